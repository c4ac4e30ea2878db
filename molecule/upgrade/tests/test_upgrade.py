# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client notices while the fleet goes from release to release; the rows follow each other on one fleet.

Every row begins and ends with a fleet that runs one release. `make test` has a good upgrade, a rollback and what an
operator may get wrong. `make upgrade` has all of it.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import time

import pytest
import yaml

from tests.fleet_helpers import fleet, recap
from tests.upgrade_helpers import (
    BAD,
    BAD_OR_LOST,
    LATE,
    ROLLBACK,
    SHORT,
    STATE,
    TIMEOUT,
    UPGRADE,
    Upgrading,
    lowest_allowed,
)

REPLICAS = {"a2-1": 2, "a2-2": 2, "a3-1": 4}
GATEWAYS = ("gw-1", "gw-2")
UNIT = "ascend-fleet-gateway.service"
thorough = pytest.mark.skipif(os.environ.get("ASCEND_UPGRADE_EVENTS") != "all", reason="`make upgrade` runs it")
#: As many questions are open at a time.
CONCURRENCY = 6
#: One replica of each of the two hosts that are changed at the same time: the canary, one of each generation.
ALLOWED_OUT = 2
CONTAINERS = "docker ps --no-trunc --format '{{.Names}} {{.ID}}' --filter name=vllm- | sort"
QUICK = ("-e", "fleet_upgrade_bench=quick")


@pytest.fixture(scope="module")
def fleet_of(request, tmp_path_factory):
    """The fleet under load, from the first row to the last; then the table."""
    found = Upgrading(request.config.getoption("ansible_inventory"), REPLICAS, GATEWAYS, CONCURRENCY)
    found.reset()
    found.have_releases(tmp_path_factory.mktemp("archives"))
    with found.under_load():
        yield found


def containers(serving):
    return {host: serving.on(host, CONTAINERS) for host in REPLICAS}


def unnoticed(serving, name, allowed_out=ALLOWED_OUT):
    """Nothing failed and nothing was cut but what a bad release has answered itself, and no more were out than may."""
    one = serving.change_row(name)
    assert one.row.requests > 0
    assert (one.failed, one.cut) == (0, 0), (one.row, one.by_replica)
    assert lowest_allowed(one.row, allowed_out), one.row
    return one


def costs_only_open_streams(serving, name, began, lost=CONCURRENCY):
    """What was open may fail, and what was asked within the seconds in which it is noticed; then all is well."""
    one = serving.change_row(name)
    assert one.failed + one.cut <= lost, (one.row, one.by_replica)
    late = [request for request in serving.requests(began) if request.begin > began + 6 and request.outcome != "ok"]
    assert late == [], late[:3]


def is_wholly_on(serving, release):
    """Every replica runs it, and every host says so: it is the last good one, and nothing is under way."""
    assert serving.one_release() == release
    for host, replicas in REPLICAS.items():
        state = serving.state(host)
        assert state["change"] is None, state
        assert state["last_good"]["release"] == release, state
        assert len(state["replicas"]) == replicas, state
        assert {one["release"] for one in state["replicas"].values()} == {release}, state


# -- what an operator may get wrong; nothing is changed by it


def refused(serving, book, *options, words):
    """A playbook that must fail with these words, without a traceback, and without touching a replica."""
    before = containers(serving)
    output = serving.play(book, *SHORT, *options, timeout=TIMEOUT, status=BAD)
    assert "Traceback" not in output, output
    flat = re.sub(r"\s+", " ", output)
    assert [word for word in words if word not in flat] == [], output[-6000:]
    assert containers(serving) == before
    assert set(serving.look().healthy.values()) == {True}


def without_a_last_good(serving):
    """Hosts that have never noted anything."""
    for host in REPLICAS:
        serving.on(host, f"[ ! -e {STATE} ] || mv {STATE} {STATE}.aside")
    try:
        refused(serving, ROLLBACK, words=["found no"])
    finally:
        for host in REPLICAS:
            serving.on(host, f"[ ! -e {STATE}.aside ] || mv {STATE}.aside {STATE}")


def test_bad_inputs(fleet_of):
    serving = fleet_of
    name, here = "wrong input, five ways", serving.one_release()
    other = serving.other_release()
    with serving.change(name):
        without_a_last_good(serving)
        refused(serving, UPGRADE, "-e", "fleet_release=upgrade_none", words=["upgrade_none", "searched"])
        refused(serving, UPGRADE, "-e", "fleet_release=upgrade_no_a3", words=["no image for", "a3"])
        here_not = {"fleet_release": other, "fleet_canary": ["a2-9"]}
        refused(serving, UPGRADE, "-e", json.dumps(here_not), words=["fleet_canary", "a2-9"])
        # All mistakes at once.
        wrong = {
            "fleet_batches": [0],
            "fleet_bake_minutes": ["soon"],
            "fleet_min_available": "200%",
            "fleet_until": "midnight",
            "fleet_upgrade_bench": "slow",
        }
        refused(serving, UPGRADE, "-e", json.dumps({"fleet_release": other, **wrong}), words=list(wrong))
    assert unnoticed(serving, name, allowed_out=0).row.lowest_in_service == serving.count
    assert serving.one_release() == here


# -- good


def test_good_upgrade(fleet_of):
    serving = fleet_of
    name, other = "good upgrade", serving.other_release()
    before, weights = containers(serving), {host: serving.weights_of(host) for host in REPLICAS}
    with serving.change(name):
        serving.upgrade(other)
    one = unnoticed(serving, name)
    assert set(one.by_release) >= {other}
    is_wholly_on(serving, other)
    assert serving.outcomes(other) == dict.fromkeys(REPLICAS, "good")
    after = containers(serving)
    assert all(not set(after[host].split()[1::2]) & set(before[host].split()[1::2]) for host in REPLICAS)
    assert len(one.out) == serving.count
    assert all(one.out.values()), one.out
    # The weights are another commit of the same branch: those of before are still there, untouched.
    for host, former in weights.items():
        assert len(former) == 1
        assert not serving.weights_of(host) & former, host
        assert serving.on(host, f"cd {former.pop()} && [ ! -e NOTICE.md ] && ls *.safetensors | wc -l").strip() == "4"


def test_again_it_is_quiet(fleet_of):
    """NEW is what runs: nothing is changed, by one call a host or more."""
    serving = fleet_of
    name, here = "upgrade.yml again", serving.one_release()
    before = containers(serving)
    with serving.change(name):
        output = serving.upgrade(here)
    assert unnoticed(serving, name, allowed_out=0).out == dict.fromkeys(serving.look().healthy, 0.0)
    assert {host for host, numbers in recap(output).items() if numbers["changed"]} == set(), output[-6000:]
    assert containers(serving) == before
    is_wholly_on(serving, here)


def test_a_host_of_another_lock(fleet_of, tmp_path):
    """One lock holds for all hosts: one that would follow another one stops everything, and is named."""
    serving = fleet_of
    name, other = "a host of another lock", serving.other_release()
    serving.play("playbooks/lock.yml", "-e", f"fleet_release={other}")
    lock = yaml.safe_load((serving.inventory / "releases" / f"{other}.lock.yml").read_text())
    # It concerns an image that the host does not use, so that nothing else can be wrong on it.
    next(image for image in lock["images"] if image["generation"] == "a3")["sha256"] = "0" * 64
    (tmp_path / f"{other}.lock.yml").write_text(yaml.safe_dump(lock))
    own = serving.inventory / "host_vars" / "a2-2.yml"
    own.parent.mkdir(exist_ok=True)
    own.write_text(yaml.safe_dump({"fleet_lock_path": str(tmp_path)}))
    try:
        with serving.change(name):
            refused(serving, UPGRADE, "-e", f"fleet_release={other}", words=[f"lock of {other}", "a2-2"])
    finally:
        own.unlink()
    assert unnoticed(serving, name, allowed_out=0).row.lowest_in_service == serving.count


# -- and back


def test_rollback(fleet_of):
    """The whole fleet goes back, rolling. Nothing is downloaded for it, and no release file is read."""
    serving = fleet_of
    name, here = "rollback.yml afterwards", serving.one_release()
    former = {serving.state(host)["previous_good"]["release"] for host in REPLICAS}
    assert len(former) == 1
    assert here not in former
    asked = fleet("origin-log")
    with serving.change(name):
        serving.play(ROLLBACK, "-e", "fleet_release=upgrade_none", timeout=TIMEOUT)
    unnoticed(serving, name)
    is_wholly_on(serving, former.pop())
    assert fleet("origin-log") == asked


# -- how long it takes


@thorough
def test_downtime_is_the_start_of_an_engine(fleet_of):
    """A start of 120 s: what the change adds to it is no more than a fifth."""
    serving = fleet_of
    name = "good upgrade, engines that start for 120 s"
    here = serving.one_release()
    with serving.change(name):
        serving.upgrade("upgrade_slow_start")
    started = {host: serving.state(host)["replicas"] for host in REPLICAS}
    # Whatever it took: the rows that follow would take as long for each replica.
    with serving.change("and back by upgrade.yml"):
        serving.upgrade(here)
    unnoticed(serving, "and back by upgrade.yml")
    one = unnoticed(serving, name)
    longest = {host: max(replica["start_seconds"] for replica in found.values()) for host, found in started.items()}
    late = {replica: out for replica, out in one.out.items() if out > 1.2 * longest[replica.partition(":")[0]]}
    assert late == {}, longest


# -- releases that are bad


def goes_back(serving, name, release, *options, bad=(), allowed_out=ALLOWED_OUT):
    """The upgrade comes back by itself, and the fleet is wholly on what it ran before."""
    here = serving.one_release()
    with serving.change(name, bad):
        output = serving.upgrade(release, *options, status=BAD)
    one = unnoticed(serving, name, allowed_out)
    is_wholly_on(serving, here)
    outcomes = serving.outcomes(release)
    assert outcomes, output[-6000:]
    assert "good" not in outcomes.values(), outcomes
    # Its failures end with it.
    began = time.time()
    time.sleep(3)
    assert {request.release for request in serving.requests(began) if request.begin > began} == {here}
    return one


@pytest.mark.parametrize(
    ("name", "release", "options"),
    [
        # --limit leaves out localhost too, where what the run knows of itself is kept.
        pytest.param(
            "engine answers garbage", "upgrade_garbage", ("--limit", "npu_hosts"), marks=thorough, id="garbage"
        ),
        pytest.param("engine never ready", "upgrade_never_ready", (), marks=thorough, id="never-ready"),
    ],
)
def test_bad_before_traffic(fleet_of, name, release, options):
    """No client ever sees it."""
    one = goes_back(fleet_of, name, release, *options, bad=(release,))
    assert release not in one.by_release, one.by_release


@thorough
def test_slow(fleet_of):
    """Told by the quick benchmark, beside what the same replica does before it is replaced."""
    one = goes_back(fleet_of, "engine 30 % slower", "upgrade_slow", *QUICK, bad=("upgrade_slow",))
    assert "upgrade_slow" not in one.by_release, one.by_release


@pytest.mark.parametrize(
    ("name", "release", "minutes", "bad", "out"),
    [
        pytest.param(
            "3 % of requests fail in traffic", "upgrade_errors", 1, ("upgrade_errors",), ALLOWED_OUT, id="errors"
        ),
        # What hangs answers nothing: who it was is told by the time that the client has waited. The watchdog takes out
        # every engine of the canary that hangs. Until each has had its 100 requests takes minutes.
        pytest.param("engine hangs after 100 requests", "upgrade_hangs", 10, ("upgrade_hangs", LATE), 6, id="hangs"),
    ],
)
@thorough
def test_bad_in_traffic(fleet_of, name, release, minutes, bad, out):
    """Told by the bake. Its own failures are counted apart."""
    options = ("-e", json.dumps({"fleet_bake_minutes": [minutes, 0]}))
    one = goes_back(fleet_of, name, release, *options, bad=bad, allowed_out=out)
    assert one.bad_failed > 0, one


# -- what happens meanwhile


@thorough
def test_host_lost(fleet_of):
    serving = fleet_of
    name, other = "host lost in the middle", serving.other_release()
    # What was under way on it, and on the other host of its wave, may be left out of traffic.
    with serving.change(name, settled=range(serving.count - 3, serving.count + 1)):
        with serving.upgrading(other, status=(0, *BAD_OR_LOST)):
            began = time.time()
            serving.on("a2-1", "systemctl reboot --force --force || true")
        fleet("up", "--inventory", f"{serving.inventory}/hosts.yml")
    costs_only_open_streams(serving, name, began)
    with serving.change("upgrade.yml goes on after it"):
        serving.upgrade(other)
    unnoticed(serving, "upgrade.yml goes on after it", allowed_out=3)
    is_wholly_on(serving, other)


@thorough
def test_controller_killed(fleet_of):
    serving = fleet_of
    name, other = "controller killed in mid-wave", serving.other_release()
    # One replica of each of the two hosts, or of the one that was first.
    with serving.change(name, settled=range(serving.count - 2, serving.count)):
        words = ("-e", f"fleet_release={other}", *SHORT)
        serving.kill_play_when(serving.one_is_out, UPGRADE, *words, timeout=TIMEOUT)
    unnoticed(serving, name)
    # It is said what is half-way.
    assert {serving.state(host)["change"]["release"] for host in ("a2-1", "a3-1")} == {other}
    with serving.change("upgrade.yml started again"):
        serving.upgrade(other)
    unnoticed(serving, "upgrade.yml started again")
    is_wholly_on(serving, other)


@thorough
def test_second_operator(fleet_of):
    """Who has the lease, since when and what for is said; the first one is not disturbed."""
    serving = fleet_of
    name, other, here = "second operator", serving.other_release(), serving.one_release()
    with serving.change(name), serving.upgrading(other):
        said = serving.upgrade(here, status=BAD)
    assert getpass.getuser() in said, said[-6000:]
    assert "holds the fleet" in re.sub(r"\s+", " ", said), said[-6000:]
    unnoticed(serving, name)
    is_wholly_on(serving, other)


@thorough
def test_asked_to_stop(fleet_of):
    """The replicas in hand are finished; a rollback then takes back what was reached, and leaves alone what was not."""
    serving = fleet_of
    name, other, here = "asked to stop", serving.other_release(), serving.one_release()
    with serving.change(name):
        with serving.upgrading(other, status=BAD) as upgrade:
            serving.play("playbooks/stop.yml")
        assert "has asked at" in re.sub(r"\s+", " ", upgrade.output), upgrade.output[-6000:]
    unnoticed(serving, name)
    reached = {one.partition(":")[0] for one, release in serving.running().items() if release == other}
    assert {"a2-1", "a3-1"} >= reached
    assert reached
    before = containers(serving)
    with serving.change("rollback.yml of what was reached"):
        output = serving.play(ROLLBACK, timeout=TIMEOUT)
    assert f"a2-2 is left alone: it serves {here}" in re.sub(r"\s+", " ", output), output[-6000:]
    unnoticed(serving, "rollback.yml of what was reached")
    assert containers(serving)["a2-2"] == before["a2-2"]
    is_wholly_on(serving, here)


@thorough
def test_nothing_in_service_on_a_host(fleet_of):
    """What is started there goes through the same gates as what is replaced."""
    serving = fleet_of
    name, other = "a host with nothing in service", serving.other_release()
    with serving.change(name):
        began = time.time()
        serving.on("a2-2", "systemctl stop 'vllm-*@*.service'")
        output = serving.upgrade(other)
    costs_only_open_streams(serving, name, began)
    assert "at_once_proven.yml for a2-2" in output, output[-6000:]
    is_wholly_on(serving, other)
    assert all(replica["out_seconds"] for replica in serving.state("a2-2")["replicas"].values())


@thorough
def test_disk_full_at_stage(fleet_of):
    serving = fleet_of
    name, other, here = "disk full at stage", serving.other_release(), serving.one_release()
    before = containers(serving)
    fleet("break", "a2-2", "disk-full", "5")
    try:
        with serving.change(name):
            output = serving.upgrade(other, status=BAD)
    finally:
        fleet("mend", "a2-2", "disk-full")
    assert "DSK-001" in output, output[-6000:]
    assert unnoticed(serving, name, allowed_out=0).row.lowest_in_service == serving.count
    assert containers(serving) == before
    assert serving.one_release() == here


@thorough
def test_gateways_reloaded_and_restarted(fleet_of):
    serving = fleet_of
    other = serving.other_release()
    with serving.change("gateways reloaded during it"), serving.upgrading(other):
        for host in GATEWAYS:
            serving.on(host, f"systemctl reload {UNIT}")
    unnoticed(serving, "gateways reloaded during it")
    is_wholly_on(serving, other)
    back = serving.other_release()
    with serving.change("gateways restarted during it"), serving.upgrading(back):
        began = time.time()
        for host in GATEWAYS:
            serving.on(host, f"systemctl restart {UNIT}")
            time.sleep(4)
    costs_only_open_streams(serving, "gateways restarted during it", began + 4, lost=4 * CONCURRENCY)
    is_wholly_on(serving, back)


@thorough
def test_operators_own_drain(fleet_of):
    """It stays out until its operator puts it back. What may not be out beside it is named, and changed afterwards."""
    serving = fleet_of
    name, other = "operator's own drain during it", serving.other_release()
    drained = ("--limit", "a2-2", "-e", "drain_replicas=1")
    with serving.change(name, settled=serving.count - 1):
        with serving.upgrading(other, status=BAD) as upgrade:
            serving.play("playbooks/drain.yml", *drained, "-e", "drain_reason='a fan'")
        assert "found vllm-qwen3.5@1 out of traffic by an operator" in re.sub(r"\s+", " ", upgrade.output)
        for servers in serving.look().gateways.values():
            assert [replica for replica, state in servers.items() if state != "UP"] == ["a2-2:1"], servers
    unnoticed(serving, name, allowed_out=ALLOWED_OUT + 1)
    with serving.change("undrained"):
        serving.play("playbooks/undrain.yml", *drained)
    unnoticed(serving, "undrained", allowed_out=1)
    with serving.change("upgrade.yml goes on when it is undrained"):
        serving.upgrade(other)
    unnoticed(serving, "upgrade.yml goes on when it is undrained")
    is_wholly_on(serving, other)


def test_nothing_failed_between_the_rows(fleet_of):
    assert [one for one in fleet_of.changes() if one.event.startswith("(")] == []
