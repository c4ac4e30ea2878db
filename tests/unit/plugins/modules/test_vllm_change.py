# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm_change and vllm_verify as Ansible calls them, on a host with two replicas."""

from __future__ import annotations

import contextlib
import io
import json
import time

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._serving import changes, units
from ansible_collections.ascend.fleet.plugins.module_utils._serving.unit_steps import Present, Steps
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import lease
from ansible_collections.ascend.fleet.plugins.modules import vllm_change, vllm_verify


def call(module, check=False, **arguments):
    """Run a module's main() and return its result."""
    out = io.StringIO()
    given = patch_module_args({**arguments, "_ansible_check_mode": check})
    with given, contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        module.main()
    return json.loads(out.getvalue())


def unit(number, port=None):
    return {
        "name": "vllm-m@%d.service" % number,
        "replica": number,
        "served_model_name": "m",
        "indices": [number],
        "port": port or 8010 + number,
        "url": "http://127.0.0.1:%d" % (port or 8010 + number),
        "container_name": "vllm-m-%d" % number,
        "config_hash": "a" * 64,
        "image": "sha256:1",
    }


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A host with the replicas 0 and 1, both in service, of which the first is to run something else."""
    monkeypatch.setattr(vllm_change, "deployed", lambda: [unit(0), unit(1)])
    monkeypatch.setattr(vllm_verify, "deployed", lambda: [unit(0), unit(1)])
    monkeypatch.setattr(changes, "serves", bool)
    monkeypatch.setattr(changes.Changes.__init__, "__defaults__", (bool,))
    folder = str(tmp_path / "changing")
    monkeypatch.setattr(lease.read, "__defaults__", (str(tmp_path),))
    for name in ("marked", "mark", "unmark", "seconds_out"):
        monkeypatch.setattr(getattr(changes, name), "__defaults__", (folder,))
    running = Present(content="text", active="active", container="running")
    monkeypatch.setattr(units.Host, "look", lambda self, names: dict.fromkeys(names, running))

    def plan(self, wanted, secrets, *, start, enable, exclusive, leaving=()):
        actions = ("restart", None)
        found = [
            units.Wanted(u, "text", "", running, Steps(action=a, reason="it runs another configuration" if a else None))
            for u, a in zip(wanted, actions)
        ]
        return units.Plan(wanted=found)

    monkeypatch.setattr(units.Host, "plan", plan)


def test_a_plan_tells_what_each_step_does(host):
    result = call(vllm_change, units=[unit(0), unit(1)], max_unavailable="50%")
    assert result["changed"] is False
    plan = result["plan"]
    assert [(r["action"], r["in_service"]) for r in plan["replicas"]] == [("replace", True), ("keep", True)]
    [step] = plan["steps"]
    name, endpoint = "vllm-m@0.service", {"unit": "vllm-m@0.service", "url": "http://127.0.0.1:8010"}
    assert (step["stop"], step["start"], step["names"], step["out"], step["back"]) == ([name], [name], [name], [0], [0])
    assert step["prove"] == [{**endpoint, "served_model_name": "m"}]
    assert step["chips"] == [0]
    assert step["moved"] is False
    assert plan["kept"] == ["vllm-m@1.service"]
    assert [r["unit"] for r in plan["kept_replicas"]] == ["vllm-m@1.service"]
    assert (plan["rolling"], plan["max_unavailable"], plan["served_model_names"]) == (True, 1, ["m"])


def test_another_port_is_told(host):
    [step] = call(vllm_change, units=[unit(0, port=9000), unit(1)])["plan"]["steps"]
    assert step["moved"] is True


def test_what_an_operator_keeps_out_is_heeded(host):
    traffic = [{"replica": 1, "admin_state": "drain", "owner": "operator"}]
    result = call(vllm_change, units=[unit(0), unit(1)], traffic=traffic)
    assert "vllm-m@1 out of traffic by an operator" in result["msg"]


def test_a_restart_needs_no_wanted_units(host):
    plan = call(vllm_change, restart=[1])["plan"]
    assert [s["stop"] for s in plan["steps"]] == [["vllm-m@1.service"]]
    assert len(call(vllm_change)["plan"]["steps"]) == 2
    assert call(vllm_change, restart=[])["plan"]["steps"] == []
    answers = [{"unit": "vllm-m@0.service", "problems": ["garbled"]}, {"unit": "vllm-m@1.service", "problems": []}]
    plan = call(vllm_change, answers=answers, reason="its answers are wrong")["plan"]
    assert [r["reason"] for r in plan["replicas"]] == ["its answers are wrong", ""]
    assert "no replica 5" in call(vllm_change, restart=[5])["msg"]


def test_marks_outlive_a_run(host):
    names = ["vllm-m@1.service"]
    assert call(vllm_change, check=True, state="begun", names=names)["changed"] is True
    assert call(vllm_change, state="begun", names=names)["changed"] is True
    assert call(vllm_change, state="begun", names=names)["changed"] is False
    plan = call(vllm_change, units=[unit(0), unit(1)])["plan"]
    assert [s["text"] for s in plan["steps"]] == ["check vllm-m@1", "replace vllm-m@0"]
    assert (plan["marked"], plan["unproven_numbers"]) == (names, [1])
    assert call(vllm_change, state="done", names=names)["names"] == names
    assert call(vllm_change, state="done", names=names)["changed"] is False


@pytest.mark.parametrize("name", ["../../etc/passwd", "vllm-a/b@1.service", "sshd.service"])
def test_only_units_are_marked(host, name):
    assert "found the unit name" in call(vllm_change, state="begun", names=[name])["msg"]


def test_zero_is_refused(host):
    assert "vllm_serve_max_unavailable" in call(vllm_change, restart=[0], max_unavailable="0")["msg"]


class Docker:
    """Both containers run; that of replica 1 is of another image."""

    def inspect_image(self, ref):
        return {"id": "sha256:1"}

    def containers(self):
        return [
            {
                "name": "vllm-m-%d" % n,
                "state": "running",
                "image_id": "sha256:%d" % (n + 1),
                "labels": {"ascend.fleet.unit": "vllm-m@%d.service" % n, "ascend.fleet.config": "a" * 64},
            }
            for n in (0, 1)
        ]


def test_what_runs_is_verified_and_warm(host, monkeypatch):
    monkeypatch.setattr(vllm_verify, "Docker", Docker)
    monkeypatch.setattr(vllm_verify.proof, "version_of", lambda url: ("0.16.0", None))
    monkeypatch.setattr(vllm_verify.proof, "warm_up", lambda url, name, count, **more: ([0.1] * count, None))
    one = [{"unit": "vllm-m@0.service", "url": "http://127.0.0.1:8010", "served_model_name": "m"}]
    [found] = call(vllm_verify, replicas=one)["replicas"]
    assert (found["version"], found["seconds"], found["problems"]) == ("0.16.0", [0.1, 0.1, 0.1], [])
    result = call(vllm_verify)
    assert result["failed"]
    assert "vllm-m@1.service: found a container of the image sha256:2" in result["msg"]
    assert "failed" not in call(vllm_verify, check=True)
    assert "found no unit" in call(vllm_verify, replicas=[{"unit": "vllm-m@7.service"}])["msg"]


def by_hand(**changed):
    found = {
        "name": "m", "id": "9f", "state": "running", "live": True, "comes_back": False, "privileged": True,
        "engines": [], "pids": [7], "ports": [8010], "indices": [0], "weights": None, "folders": [],
    }  # fmt: skip
    return {**found, **changed}


@pytest.fixture
def empty(host, monkeypatch):
    """A host on which nothing of ours is deployed yet, with an engine that was started by hand."""
    monkeypatch.setattr(vllm_change, "deployed", list)
    monkeypatch.setattr(vllm_change.takeover.change_of, "__kwdefaults__", {"beside": True, "serving": bool})
    left = []

    def plan(self, wanted, secrets, *, start, enable, exclusive, leaving=()):
        left.append(set(leaving))
        return units.Plan(wanted=[units.Wanted(u, "text", "", Present(), Steps(action="start")) for u in wanted])

    monkeypatch.setattr(units.Host, "plan", plan)
    return left


def release_unit(number):
    return {**unit(number), "release": "r", "url": "http://127.0.0.1:%d" % (8010 + number)}


def test_a_takeover_says_what_it_stops_what_stands_in_and_what_starts_beside(empty):
    plan = call(vllm_change, units=[release_unit(0), release_unit(1)], by_hand=[by_hand()])["plan"]
    assert empty == [{"m"}]
    first, second = plan["steps"]
    assert (first["start"], first["take"], first["beside"]) == (["vllm-m@1.service"], [], True)
    assert [(r["unit"], r["port"]) for r in first["standing_in"]] == [("vllm-m@0.service", 8010)]
    assert ([c["id"] for c in second["take"]], second["beside"], second["standing_in"]) == (["9f"], False, [])
    assert second["start"] == ["vllm-m@0.service"]
    [words] = plan["outages"]
    assert "no gateway in front of it" in words


def test_behind_a_gateway_a_takeover_is_no_outage(empty):
    traffic = [{"replica": 0, "admin_state": "ready", "status": "UP", "owner": ""}]
    plan = call(vllm_change, units=[release_unit(0), release_unit(1)], by_hand=[by_hand()], traffic=traffic)["plan"]
    assert (plan["outages"], plan["least_in_service"]) == ([], 1)


def test_a_container_that_is_in_nobodys_way_stays(empty):
    stopped = by_hand(live=False, state="exited", pids=[], ports=[], indices=[])
    plan = call(vllm_change, units=[release_unit(0)], by_hand=[stopped])["plan"]
    assert [step["take"] for step in plan["steps"]] == [[]]


def test_what_is_done_tells_how_long_it_took(host):
    name = "vllm-m@0.service"
    call(vllm_change, state="begun", names=[name])
    ready = [{"unit": name, "start_seconds": 187.42}, {"unit": "vllm-m@1.service", "start_seconds": 3.0}]
    looked = call(vllm_change, check=True, state="done", names=[name], ready=ready)
    done = call(vllm_change, state="done", names=[name], ready=ready)
    for result in (looked, done):
        assert result["changed"] is True
        assert set(result["times"]) == {name}
        assert result["times"][name]["start_seconds"] == 187.4
        assert 0 <= result["times"][name]["out_seconds"] < 600
    assert call(vllm_change, state="done", names=[name])["times"] == {}


def test_a_plan_tells_who_holds_the_fleet(host, tmp_path):
    wanted = [unit(0), unit(1)]
    assert call(vllm_change, units=wanted)["lease"] is None
    lease.write(lease.take(None, lease.Claim("alice", "ctl", "c1", "upgrade to r_v1"), time.time()), str(tmp_path))
    found = call(vllm_change, units=wanted)["lease"]
    assert (found["owner"], found["what"], found["alive"]) == ("alice@ctl", "upgrade to r_v1", True)
    (tmp_path / lease.NAME).write_text("{}")
    assert "damaged" in call(vllm_change, units=wanted)["msg"]
