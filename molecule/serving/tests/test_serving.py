# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client notices while the fleet is changed and broken; the events follow each other on one fleet.

`make test` has the changes that an operator makes every day, and an engine that dies. `make serving` has all of it.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
import yaml

from tests import guide_helpers
from tests.fleet_helpers import ROOT, derived_archive, fleet, recap
from tests.serving_helpers import Serving

REPLICAS = {"a2-1": 2, "a3-1": 4}
GATEWAYS = ("gw-1", "gw-2")
UNIT = "ascend-fleet-gateway.service"
SHIPPED = ROOT / "playbooks/releases/qwen3_5_27b_v0.yml"
WEIGHTS = "Qwen3.5-27B"
EVERYTHING = os.environ.get("ASCEND_SERVING_EVENTS") == "all"
thorough = pytest.mark.skipif(not EVERYTHING, reason="`make serving` runs it")
#: As many questions are open at a time.
CONCURRENCY = 6
#: The client waits so long for the next byte.
CLIENT_SECONDS = 30
#: Never more than one replica may be out at a time.
ALLOWED_OUT = 1


@pytest.fixture(scope="module")
def serving(request):
    """The fleet under load, from the first event to the last; then the table."""
    found = Serving(request.config.getoption("ansible_inventory"), REPLICAS, GATEWAYS, CONCURRENCY)
    found.reset()
    with found.under_load():
        yield found


def unnoticed(row, allowed_out=ALLOWED_OUT):
    """A change that was made on purpose: nothing failed, nothing was cut, and no more were out than allowed."""
    assert row.requests > 0
    assert (row.failed, row.cut) == (0, 0), row
    assert row.lowest_in_service >= row.replicas - allowed_out, row


def active_gateway(serving):
    """Who has the floating address."""
    holders = [host for host in GATEWAYS if serving.floating in serving.on(host, "ip -4 -o address show")]
    assert len(holders) == 1, holders
    return holders[0]


def containers(serving, host):
    """The running engines of a host, by name, with ID and when they were started."""
    form = "docker inspect --format '{{.Name}} {{.Id}} {{.State.StartedAt}}' $(docker ps -q --filter name=vllm-) | sort"
    return dict(line.split(" ", 1) for line in serving.on(host, form).splitlines())


def test_quiet(serving):
    with serving.event("nothing happens"):
        time.sleep(5)
    row = serving.row("nothing happens")
    unnoticed(row)
    assert row.lowest_in_service == row.lowest_healthy == 6


def test_option_changed(serving):
    changed = REPLICAS if EVERYTHING else {"a2-1": REPLICAS["a2-1"]}
    before = {host: containers(serving, host) for host in REPLICAS}
    with serving.event("option changed, site.yml"):
        serving.settings("npu_hosts" if EVERYTHING else "atlas_a2", {"vllm_serve_options": {"max-num-seqs": 64}})
        serving.play("site.yml")
    unnoticed(serving.row("option changed, site.yml"))
    after = {host: containers(serving, host) for host in REPLICAS}
    for host, number in REPLICAS.items():
        assert len(after[host]) == number
        if host not in changed:
            assert after[host] == before[host]
            continue
        assert not set(after[host].values()) & set(before[host].values())
        assert serving.on(host, "docker inspect vllm-qwen3.5-0").count('"64"') >= 1


def test_nothing_left_to_do(serving):
    before = {host: containers(serving, host) for host in REPLICAS}
    with serving.event("site.yml again"):
        output = serving.play("site.yml")
    unnoticed(serving.row("site.yml again"))
    assert {host for host, numbers in recap(output).items() if numbers["changed"]} == set(), output
    assert {host: containers(serving, host) for host in REPLICAS} == before


@thorough
def test_hosts_of_one_wave(serving):
    """Both hosts at the same time: one replica of A2 and two of A3 are out at once."""
    name = "option changed, both hosts in one wave, two of A3 at a time"
    before = {host: containers(serving, host) for host in REPLICAS}
    with serving.event(name):
        serving.settings("atlas_a3", {"vllm_serve_max_unavailable": "50%"})
        serving.settings("npu_hosts", {"vllm_serve_options": {"max-num-seqs": 48}})
        output = serving.play("site.yml", "-e", '{"fleet_batches": [2]}')
    unnoticed(serving.row(name), allowed_out=3)
    assert len(re.findall(r"^a3-1 .*step \d of 2: replace", output, re.MULTILINE)) == 2, output[-6000:]
    for host in REPLICAS:
        assert not set(containers(serving, host).values()) & set(before[host].values())
    serving.settings("atlas_a3", {})


@thorough
def test_image_changed(serving, tmp_path):
    """A release of the site's own with another image for A2."""
    base = yaml.safe_load(SHIPPED.read_text())
    entry = next(image for image in base["images"] if image["generation"] == "a2")
    path, tag = "vllm-image/another.tar", "vllm-ascend:another-a2"
    archives = json.loads(fleet("status", "--json"))["origin"]["archives"]
    archive = derived_archive(archives[entry["path"]]["path"], tmp_path / "another.tar", tag)
    repository = entry["repository"].split("/", 3)[3].removesuffix(".git")
    added = json.loads(fleet("origin-add", repository, path, str(archive)))
    others = [image for image in base["images"] if image is not entry]
    release = dict(base, release="another", images=[dict(entry, revision=added["commit"], path=path, tag=tag), *others])
    releases = serving.inventory / "releases"
    releases.mkdir(exist_ok=True)
    if not (releases / "files").exists():
        (releases / "files").symlink_to(ROOT / "playbooks/releases/files")
    (releases / "another.yml").write_text(yaml.safe_dump(release))
    untouched = containers(serving, "a3-1")
    with serving.event("image of A2 changed, site.yml"):
        serving.settings("atlas_a2", {"fleet_release": "another"})
        serving.play("site.yml")
    unnoticed(serving.row("image of A2 changed, site.yml"))
    images = serving.on("a2-1", "docker inspect --format '{{.Image}}' vllm-qwen3.5-0 vllm-qwen3.5-1").split()
    assert set(images) == set(serving.on("a2-1", f"docker image inspect --format '{{{{.Id}}}}' {tag}").split())
    assert containers(serving, "a3-1") == untouched


@thorough
def test_controller_killed_and_run_again(serving):
    with serving.event("controller killed in a replacement", settled=5):
        serving.settings("atlas_a2", {"fleet_release": "another", "vllm_serve_options": {"max-num-seqs": 96}})
        serving.kill_play_when(
            lambda: not all(serving.look().healthy[name] for name in ("a2-1:0", "a2-1:1")), "site.yml"
        )
    with serving.event("site.yml goes on"):
        serving.play("site.yml")
    for name in ("controller killed in a replacement", "site.yml goes on"):
        unnoticed(serving.row(name))
    for replica in (0, 1):
        assert '"96"' in serving.on("a2-1", f"docker inspect vllm-qwen3.5-{replica}")


@thorough
def test_taken_over(serving):
    """Somebody serves on A2 by hand as in the guide; it becomes ours again, and nobody who asks the gateway notices."""
    path = serving.inventory / "releases" / "another.yml"
    release = yaml.safe_load((path if path.exists() else SHIPPED).read_text())
    tag = next(image["tag"] for image in release["images"] if image["generation"] == "a2")
    origin = yaml.safe_load((serving.inventory / "hosts.yml").read_text())["all"]["vars"]["artifact_origin"]

    def on(command):
        return fleet("exec", "a2-1", "--", "bash", "-ec", command)

    serving.play("site.yml")  # the lock beside this inventory gets the image's ID
    with serving.event("units of A2 removed, started by hand", settled=5, without=["a2-1:1"]):
        serving.play("playbooks/drain.yml", "--limit", "a2-1", "-e", "drain_reason='by hand'")
        # The gateways keep the servers, as where somebody has removed the units by hand.
        gone = {"decommission_confirm": True, "decommission_artifacts": True, "vllm_gateway_traffic": "none"}
        serving.play("playbooks/decommission.yml", "--limit", "a2-1", "-e", json.dumps(gone))
        guide_helpers.download(on, origin, release, "a2")
        guide_helpers.run(on, tag)
        guide_helpers.serve(on, f"{guide_helpers.FOLDER}/{WEIGHTS}")
        guide_helpers.wait_until_ready(on)
        serving.play("playbooks/undrain.yml", "--limit", "a2-1")
    with serving.event("container started by hand, takeover.yml"):
        output = serving.play("playbooks/takeover.yml")
    unnoticed(serving.row("container started by hand, takeover.yml"))
    assert "step 1 of 2: start vllm-qwen3.5@1" in output
    assert "step 2 of 2: takeover container qwen3.5; start vllm-qwen3.5@0" in output
    left = on("docker ps -a --format '{{.Names}} {{.State}}' --filter name=before-takeover").strip()
    assert re.fullmatch(r"qwen3\.5-before-takeover-\d{8} exited", left), left
    shard = "model-00001-of-00004.safetensors"
    same = on(f"stat -c %i {guide_helpers.FOLDER}/{WEIGHTS}/{shard} /var/lib/ascend-fleet/models/*/{shard}").split()
    assert (len(same), len(set(same))) == (2, 1), same
    # The lock pins the image's ID, and docker has it: not even the clone's archive was wanted.
    assert on("find /var/lib/ascend-fleet -name '*.tar'") == ""
    before = containers(serving, "a2-1")
    output = serving.play("playbooks/takeover.yml")
    assert {host for host, numbers in recap(output).items() if numbers["changed"]} == set(), output[-6000:]
    assert containers(serving, "a2-1") == before


def test_key_added_and_revoked(serving):
    loaded = {host: serving.on(host, f"systemctl show -p MainPID --value {UNIT}") for host in GATEWAYS}
    keys = serving.keys()
    assert serving.ask("the-key-of-a-second-user").status == 401
    with serving.event("API key added"):
        serving.set_keys({**keys, "second": "the-key-of-a-second-user"})
        serving.play("playbooks/gateway.yml")
        assert serving.ask("the-key-of-a-second-user").outcome == "ok"
    with serving.event("API key revoked"):
        serving.set_keys(keys)
        serving.play("playbooks/gateway.yml")
        assert serving.ask("the-key-of-a-second-user").status == 401
    for name in ("API key added", "API key revoked"):
        row = serving.row(name)
        unnoticed(row)
        assert row.lowest_in_service == 6
    assert {host: serving.on(host, f"systemctl show -p MainPID --value {UNIT}") for host in GATEWAYS} == loaded


def test_gateways_reloaded(serving):
    with serving.event("gateways reloaded, three times"):
        for _time in range(3):
            for host in GATEWAYS:
                serving.on(host, f"systemctl reload {UNIT}")
            time.sleep(1)
    unnoticed(serving.row("gateways reloaded, three times"))


@thorough
def test_drained_by_the_operator(serving):
    """A drain holds through a reload, a restart of the gateway, and site.yml, which says so."""
    with serving.event("replica drained, gateways reloaded, site.yml", settled=5):
        serving.play("playbooks/drain.yml", "--limit", "a3-1", "-e", "drain_replicas=2", "-e", "drain_reason='a fan'")
        standby = next(host for host in GATEWAYS if host != active_gateway(serving))
        serving.on(standby, f"systemctl restart {UNIT}")
        serving.on(active_gateway(serving), f"systemctl reload {UNIT}")
        output = serving.play("site.yml")
        for servers in serving.look().gateways.values():
            assert [name for name, state in servers.items() if state != "UP"] == ["a3-1:2"], servers
    assert re.search(r"a3-1:2.*(operator|a fan)", output), output[-6000:]
    with serving.event("undrained"):
        serving.play("playbooks/undrain.yml", "--limit", "a3-1", "-e", "drain_replicas=2")
    for name in ("replica drained, gateways reloaded, site.yml", "undrained"):
        unnoticed(serving.row(name))


@thorough
def test_replica_measured(serving):
    """It is out of traffic for its benchmark, and the others answer."""
    name = "replica measured (quick benchmark)"
    with serving.event(name):
        serving.play(
            "playbooks/benchmark.yml", "--limit", "a2-1", "-e", "vllm_bench_kind=quick", "-e", "vllm_bench_replicas=0"
        )
    unnoticed(serving.row(name))


@thorough
def test_active_gateway_restarted(serving):
    host = active_gateway(serving)
    with serving.event("active gateway restarted"):
        began = time.time()
        serving.on(host, f"systemctl restart {UNIT}")
        time.sleep(4)
    costs_only_open_streams(serving, "active gateway restarted", began)


@thorough
def test_active_gateway_lost(serving):
    """The whole machine goes; the other one takes the address."""
    host = active_gateway(serving)
    with serving.event("active gateway lost (reboot)"):
        began = time.time()
        serving.on(host, "systemctl reboot --force --force || true")
        time.sleep(6)
        fleet("up", "--inventory", f"{serving.inventory}/hosts.yml")
    costs_only_open_streams(serving, "active gateway lost (reboot)", began)


def costs_only_open_streams(serving, name, began):
    """What was open may fail, and what was asked within the seconds that keepalived takes; then all is well."""
    row = serving.row(name)
    assert row.failed + row.cut <= 2 * CONCURRENCY, row
    late = [request for request in serving.requests(began) if request.begin > began + 4 and request.outcome != "ok"]
    assert late == [], late[:3]


def test_engine_killed(serving):
    with serving.event("engine killed (SIGKILL)"):
        serving.on("a3-1", "docker exec vllm-qwen3.5-1 pkill -KILL -f VLLM::EngineCore || docker kill vllm-qwen3.5-1")
        time.sleep(2)
    loses_only_what_was_open(serving.row("engine killed (SIGKILL)"))


def loses_only_what_was_open(row, replicas_lost=1):
    """The streams of the replicas that went, and nothing that was asked afterwards."""
    assert row.failed + row.cut <= CONCURRENCY, row
    assert row.lowest_in_service >= row.replicas - replicas_lost, row


@thorough
def test_engine_hangs(serving):
    """/health stays well. site.yml asks, takes the replica out, restarts it, and asks again."""
    before = containers(serving, "a3-1")
    with serving.event("engine hangs, site.yml"):
        fleet("break", "a3-1", "engine-hang", "8013")
        serving.play("site.yml")
    row = serving.row("engine hangs, site.yml")
    # Until it is taken out, a question that waits there ends by the client's own deadline, and another one follows it.
    assert row.failed + row.cut <= CONCURRENCY + 2 * row.seconds / CLIENT_SECONDS, row
    after = containers(serving, "a3-1")
    assert {name for name in after if after[name] != before[name]} == {"/vllm-qwen3.5-3"}


@thorough
def test_ports_closed_and_the_watchdog_allowed_to_restart(serving):
    """No engine is restarted for it, and no request fails."""
    before = {host: containers(serving, host) for host in REPLICAS}
    with serving.event("ports closed, watchdog may restart, site.yml"):
        here = {"vllm_serve_access": "gateways", "vllm_serve_access_from": [serving.own_address]}
        serving.settings("all", {"vllm_serve_watchdog": "restart", **here})
        serving.play("site.yml")
    unnoticed(serving.row("ports closed, watchdog may restart, site.yml"))
    assert {host: containers(serving, host) for host in REPLICAS} == before
    health = f"curl --silent --max-time 3 http://{serving.addresses['a3-1']}:%d/health >/dev/null; echo $?"
    for port in (8010, 8013):
        assert serving.on("gw-1", health % port).split() == ["0"]
        assert serving.on("a3-1", health % port).split() == ["0"]
        assert serving.on("a2-1", health % port).split() == ["28"]  # the deadline: nothing answers


@thorough
def test_watchdog_restarts_what_hangs(serving):
    """The host does it alone: out of traffic, restarted, in traffic again. An operator's drain of another one stays."""
    before = containers(serving, "a3-1")
    serving.play("playbooks/drain.yml", "--limit", "a2-1", "-e", "drain_replicas=1", "-e", "drain_reason='a fan'")
    with serving.event("engine hangs, watchdog", settled=5):
        fleet("break", "a3-1", "engine-hang", "8012")
        # A client that waits for ever: what others ask and give up is in flight now and then only.
        body = '{"model": "qwen3.5", "prompt": "Hello", "max_tokens": 5}'
        command = "curl --silent http://127.0.0.1:8012/v1/completions -H 'Content-Type: application/json' -d"
        serving.on("a3-1", f"systemd-run --quiet --unit=waits {command} '{body}'")
        serving.wait("the gateways have it out", lambda: states(serving, "a3-1:2") == {"DOWN"}, 420)
        out = time.time()
        assert serving.look().healthy["a3-1:2"]
        table = serving.play("playbooks/status.yml")
        assert re.search(r"a3-1:2 .*out, by the watchdog: \d+ requests? in flight and no token", table), table[-6000:]
        serving.wait("it is another container", lambda: containers(serving, "a3-1") != before, 120)
    after = containers(serving, "a3-1")
    assert {name for name in after if after[name] != before[name]} == {"/vllm-qwen3.5-2"}
    assert states(serving, "a2-1:1") == {"DRAIN"}
    late = [request for request in serving.requests(out) if request.begin > out and request.outcome != "ok"]
    assert late == [], late[:3]
    with serving.event("undrained again"):
        serving.play("playbooks/undrain.yml", "--limit", "a2-1", "-e", "drain_replicas=1")


def states(serving, replica):
    """What the gateways say of a replica."""
    return {(servers or {}).get(replica) for servers in serving.look().gateways.values()}


@thorough
def test_dockerd_restarted(serving):
    with serving.event("dockerd of A2 restarted"):
        serving.on("a2-1", "systemctl restart docker")
        time.sleep(2)
    loses_only_what_was_open(serving.row("dockerd of A2 restarted"), replicas_lost=2)


@thorough
def test_host_rebooted(serving):
    with serving.event("A2 host rebooted", timeout=180):
        serving.on("a2-1", "systemctl reboot --force --force || true")
        time.sleep(3)
        fleet("up", "--inventory", f"{serving.inventory}/hosts.yml")
    loses_only_what_was_open(serving.row("A2 host rebooted"), replicas_lost=2)


def test_nothing_failed_between_the_events(serving):
    assert [row for row in serving.rows() if row.event.startswith("(")] == []
    assert Path(serving.log).stat().st_size > 0
