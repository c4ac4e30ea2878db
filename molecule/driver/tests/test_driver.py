# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client notices while driver and firmware of two hosts are changed; the rows follow each other on one fleet.

Every row ends with hosts that are wholly on one version and serve. `make test` has a good change and what an operator
may get wrong; with ASCEND_DRIVER_EVENTS=all there are all rows.
"""

from __future__ import annotations

import os
import re

import pytest

from tests.driver_helpers import BAD, BAD_OR_LOST, OTHER_ARCHITECTURE, Driving
from tests.fleet_helpers import fleet, wait_on

REPLICAS = {"a2-1": 2, "a2-2": 2, "a3-1": 4}
HOSTS = ("a2-1", "a2-2")
GATEWAYS = ("gw-1", "gw-2")
CONCURRENCY = 6
OLD, NEW = "25.2.0", "25.5.0"
RELEASES = {OLD: "driver_old", NEW: "driver_new"}
BOTH = ["Firmware", "Driver"]
thorough = pytest.mark.skipif(os.environ.get("ASCEND_DRIVER_EVENTS") != "all", reason="ASCEND_DRIVER_EVENTS=all")


@pytest.fixture(scope="module")
def fleet_of(request):
    """The fleet under load, from the first row to the last; then the table."""
    found = Driving(request.config.getoption("ansible_inventory"), REPLICAS, GATEWAYS, CONCURRENCY, HOSTS)
    found.reset()
    for version, name in RELEASES.items():
        found.have(name, version, {}, {})
    with found.under_load():
        yield found


def unnoticed(driving, name, out=2):
    """Nothing failed, nothing was cut, and no more than the replicas of one host were out."""
    row = driving.row(name)
    assert row.requests > 0
    assert (row.failed, row.cut) == (0, 0), row
    assert row.lowest_in_service >= row.replicas - out, row


def version_of(driving):
    """The version of all hosts that are changed, and the other one."""
    here = OLD if driving.is_wholly_on(OLD) else NEW
    assert driving.is_wholly_on(here)
    return here, NEW if here == OLD else OLD


def good(driving, name, wanted, *options, starts=BOTH):
    with driving.event(name, timeout=240, note=lambda: f"{HOSTS}: {driving.versions('a2-1')}"):
        driving.forget_starts()
        output = driving.change(RELEASES[wanted], *options)
    unnoticed(driving, name)
    assert driving.is_wholly_on(wanted), output[-6000:]
    if starts is not None:
        assert set(map(tuple, driving.starts().values())) == {tuple(starts)}, driving.starts()
    return output


def containers(driving, host="a2-1"):
    return driving.on(host, "docker ps --no-trunc --format '{{.Names}} {{.ID}}' --filter name=vllm- | sort")


def flat(text):
    return re.sub(r"\s+", " ", text)


# -- two hosts, there and back


def test_the_plan_touches_nothing(fleet_of):
    driving, name = fleet_of, "--check --diff"
    before = {host: containers(driving, host) for host in HOSTS}
    with driving.event(name):
        output = driving.change(RELEASES[NEW], "--check", "--diff")
    unnoticed(driving, name, out=0)
    assert "PLAN of driver and firmware" in output, output[-6000:]
    assert "25.2.0 → 25.5.0" in output, output[-6000:]
    assert {host: containers(driving, host) for host in HOSTS} == before
    assert driving.record("a2-1") == {}


def test_two_hosts_upgraded(fleet_of):
    good(fleet_of, "two hosts upgraded", NEW)


def test_again_changes_nothing(fleet_of):
    good(fleet_of, "driver.yml again", NEW, starts=())


def test_the_former_version(fleet_of):
    good(fleet_of, "back to the former version", OLD)


# -- bad packages: refused before a host is touched


REFUSED = {
    "wrong architecture": ({}, {"architecture": OTHER_ARCHITECTURE}, OTHER_ARCHITECTURE),
    "wrong generation": ({"generation": "a3"}, {"generation": "a3"}, "for a3"),
    "cards that no host has": ({"generation": "a9"}, {"generation": "a9"}, "Ascend-hdk-310p"),
    "corrupt": ({}, {"fault": "corrupt"}, "as its header says"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_packages_are_refused(fleet_of, kind):
    driving = fleet_of
    here, other = version_of(driving)
    firmware, driver, words = REFUSED[kind]
    name, release = f"package: {kind}", f"driver_{kind.replace(' ', '_')}"
    driving.have(release, other, firmware, driver)
    before = containers(driving)
    with driving.event(name):
        driving.forget_starts()
        output = driving.change(release, status=BAD)
    unnoticed(driving, name, out=0)
    assert words in flat(output), output[-6000:]
    assert "no host was touched" in flat(output), output[-6000:]
    assert containers(driving) == before
    assert driving.is_wholly_on(here)
    assert driving.starts() == {host: [] for host in HOSTS}


def test_a_foreign_container_on_a_card(fleet_of):
    driving, name = fleet_of, "a foreign container on a card"
    _here, other = version_of(driving)
    fleet("break", "a2-2", "card-held", "5")
    try:
        with driving.event(name):
            driving.forget_starts()
            output = driving.change(RELEASES[other], status=BAD)
        unnoticed(driving, name, out=0)
        assert "someone-elses-training" in flat(output), output[-6000:]
        assert "someone-elses-training" in driving.on("a2-2", "docker ps --format '{{.Names}}'")
        assert driving.starts() == {host: [] for host in HOSTS}
    finally:
        fleet("mend", "a2-2", "card-held")


# -- bad packages that show themselves while they are installed, or afterwards


FAILS = {
    "fails half-way": ({"fault": "half-way"}, {}, ["Firmware"], "ended with status 1"),
    "asks for a user whose id is taken": ({"fault": "user-taken"}, {}, ["Firmware"], "UID 1000 is not unique"),
    "leaves the old firmware running": ({"fault": "old-version-runs"}, {}, BOTH, "running, and"),
}


@thorough
@pytest.mark.parametrize("kind", FAILS)
def test_a_host_that_is_not_as_wanted_stays_in_maintenance_and_the_rest_is_not_touched(fleet_of, kind):
    driving = fleet_of
    here, other = version_of(driving)
    firmware, driver, starts, words = FAILS[kind]
    name, release = f"package: {kind}", f"driver_{kind.replace(' ', '_').replace('-', '_')}"
    driving.have(release, other, firmware, driver)
    with driving.event(name, settled=driving.count - 2, timeout=240, without=("a2-1:0", "a2-1:1")):
        driving.forget_starts()
        output = driving.change(release, status=BAD)
    unnoticed(driving, name)
    assert words in flat(output), output[-6000:]
    assert "IN MAINTENANCE" in output, output[-6000:]
    assert "192.0.2.100" in output, output[-6000:]
    assert driving.starts() == {"a2-1": starts, "a2-2": []}
    # A run without a decision starts no installer again.
    if starts == ["Firmware"]:
        with driving.event(f"{name}, again", settled=driving.count - 2, timeout=240, without=("a2-1:0", "a2-1:1")):
            driving.change(release, status=BAD)
        assert driving.starts()["a2-1"] == starts
    # The documented way back.
    good(driving, f"back after it: {kind}", here, starts=None)


@thorough
@pytest.mark.parametrize(
    ("kind", "driver"),
    [("exit 2", {"status": "2"}), ("exit 0", {"status": "0"}), ("a second reboot", {"fault": "second-reboot"})],
)
def test_packages_that_are_good_in_their_own_way(fleet_of, kind, driver):
    driving = fleet_of
    _here, other = version_of(driving)
    release = f"driver_{kind.replace(' ', '_')}"
    driving.have(release, other, {}, driver)
    name = f"package: {kind}"
    with driving.event(name, timeout=240):
        driving.forget_starts()
        driving.change(release)
    unnoticed(driving, name)
    assert driving.is_wholly_on(other)
    assert driving.starts() == dict.fromkeys(HOSTS, BOTH)


@thorough
def test_ten_minutes_without_a_word(fleet_of):
    driving, name = fleet_of, "package: 10 minutes without a word"
    _here, other = version_of(driving)
    driving.have("driver_silent", other, {"silent": 600}, {})
    with driving.event(name, timeout=240):
        driving.forget_starts()
        output = driving.change("driver_silent", "--limit", "a2-1")
    unnoticed(driving, name)
    assert "Somebody should look" in flat(output), output[-6000:]
    assert driving.starts()["a2-1"] == BOTH
    good(driving, "the other host after it", other, starts=None)


# -- a host that does not come back, or comes back with less


@thorough
def test_a_host_that_does_not_come_back(fleet_of):
    driving, name = fleet_of, "one host does not come back"
    _here, other = version_of(driving)
    ssh = "ssh.service ssh.socket sshd.service"
    options = ("-e", "npu_driver_reboot_timeout_seconds=60")
    with driving.event(name, settled=driving.count - 2, timeout=240, without=("a2-1:0", "a2-1:1")):
        driving.forget_starts()
        driving.on("a2-1", f"systemctl mask {ssh} 2>/dev/null || true")
        output = driving.change(RELEASES[other], *options, status=BAD_OR_LOST)
    unnoticed(driving, name)
    assert "a2-1: IN MAINTENANCE" in output, output[-6000:]
    assert "192.0.2.100" in output, output[-6000:]
    driving.on("a2-1", f"systemctl unmask {ssh}; systemctl start ssh.service || systemctl start sshd.service")
    assert driving.starts()["a2-1"] == BOTH
    good(driving, "driver.yml goes on after it", other, starts=None)
    assert driving.starts() == {"a2-1": [], "a2-2": BOTH}


@thorough
def test_a_chip_less(fleet_of):
    driving, name = fleet_of, "one host comes back with a chip less"
    _here, other = version_of(driving)
    with driving.event(name, settled=driving.count - 2, timeout=240, without=("a2-1:0", "a2-1:1")):
        driving.forget_starts()
        with driving.changing(RELEASES[other], status=BAD) as play:
            play.reaches(lambda: driving.step("a2-1") == "installing", 600)
            fleet("break", "a2-1", "card-lost", "5")
        output = play.output
    unnoticed(driving, name)
    assert "found 7 chips; needed 8 as before" in flat(output), output[-6000:]
    assert driving.starts() == {"a2-1": BOTH, "a2-2": []}
    fleet("mend", "a2-1", "card-lost")
    good(driving, "driver.yml goes on with all chips", other, starts=None)
    assert driving.starts() == {"a2-1": [], "a2-2": BOTH}


# -- the controller is killed


@thorough
@pytest.mark.parametrize(
    ("when", "step"),
    [("before the installer", "preparing"), ("during the installer", "installing"), ("during the reboot", "rebooting"),
     ("after the reboot", "verifying"), ("while replicas come back", "serving")],
)  # fmt: skip
def test_controller_killed(fleet_of, when, step):
    driving, name = fleet_of, f"controller killed {when}"
    _here, other = version_of(driving)
    release = RELEASES[other]
    if step == "installing":
        release = f"driver_slow_{other.replace('.', '_')}"
        driving.have(release, other, {"silent": 15}, {})
    with driving.event(
        name, settled=range(driving.count - 2, driving.count + 1), timeout=240, without=("a2-1:0", "a2-1:1")
    ):
        driving.forget_starts()
        driving.kill_when("a2-1", step, release)
        # A host whose reboot has begun comes back by itself.
        wait_on("a2-1", "systemctl is-system-running --wait", 120)
    unnoticed(driving, name)
    with driving.event(f"{name}: run again", timeout=240):
        driving.change(release)
    unnoticed(driving, f"{name}: run again")
    assert driving.is_wholly_on(other)
    assert driving.starts() == dict.fromkeys(HOSTS, BOTH)


def test_nothing_failed_between_the_rows(fleet_of):
    assert [row for row in fleet_of.rows() if row.event.startswith("(") and (row.failed or row.cut)] == []
