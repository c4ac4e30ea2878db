# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate over the fleet, its plan and its report, and the lines about an installer."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.ascend.fleet.plugins.action import driver_gate, driver_report, npu_driver
from ansible_collections.ascend.fleet.plugins.plugin_utils import _tables

DIGEST = "d" * 64


def release(name, variables):
    workloads = [{"name": "w", "options": {"max-concurrency": 50}}]
    return {"release": name, "images": [], "model": {}, "serve": {}, "benchmark": {"workloads": workloads}}


class Play:
    """The variables of each host, as the play sees them."""

    def __init__(self, hostvars):
        self._hostvars = hostvars

    def of(self, host):
        defaults = {"vllm_gateway_traffic": "haproxy", "vllm_gateway_placement": "gateways", "fleet_release": "new"}
        return {**defaults, **self._hostvars[host]}


def sample(*running, gateway=None):
    replicas = [
        {
            "replica": n,
            "unit": "vllm-m@%d.service" % n,
            "served_model_name": "m",
            "active_state": "active",
            "running": count,
            "waiting": 0.0,
            "kv_cache_usage": 0.1,
            "problem": "",
        }
        for n, count in enumerate(running)
    ]
    return {"at": 1.0, "replicas": replicas, "gateway": gateway, "problems": []}


GATEWAY = {"__upgrade_sample": sample(gateway={"pid": 1, "uptime_seconds": 9, "servers": {}, "problem": ""})}


def versions(version, runs=None):
    about = {"installed": version, "package": version, "runs": [runs or version], "in_force": runs in (None, version)}
    return {"driver": about, "firmware": about}


def host(**more):
    replicas = [{"replica": n, "unit": "u%d" % n, "action": "restart", "in_service": True} for n in (0, 1)]
    changed = {
        "served_model_names": ["m"],
        "in_service": 2,
        "out_at_once": 2,
        "replicas": replicas,
        "steps": [{"out": [0, 1], "stop": ["u0", "u1"], "start": ["u0", "u1"]}],
    }
    install = {"kind": "driver", "version": "25.5.0", "path": "d.run", "sha256": DIGEST, "file": "/srv/d.run"}
    plan = {
        "converged": False, "goes_on": False, "step": "", "why": "", "reasons": [], "warnings": [],
        "installs": [install],
        "wanted": {"driver": "25.5.0", "firmware": "25.5.0"}, "found": {"driver": "25.2.0", "firmware": "25.2.0"},
        "versions": versions("25.2.0"), "bmc": "192.0.2.110",
    }  # fmt: skip
    history = [{"outcome": "good", "replicas": {"u0": {"out_seconds": 600.0}, "u1": {"out_seconds": 660.0}}}]
    own = {
        "npu_generation": "a2",
        "__npu_driver_about": {"state": {"history": history, "replicas": {}}},
        "__npu_driver_plan": plan,
        "__driver_converged": {"converged": False, "replicas": []},
        "__vllm_serve_change": {"plan": changed},
        "__upgrade_lease": {"changed": False},
        "__upgrade_state": {"state": {"last_good": {"release": "old", "digest": DIGEST}}, "runs_last_good": True},
        "__upgrade_sample": sample(3.0, 2.0),
    }
    plan.update(more.pop("plan", {}))
    return {**own, **more}


def done(**more):
    converged = {"converged": True, "replicas": [{"served_model_name": "m"}] * 2}
    plan = {
        "converged": True,
        "installs": [],
        "versions": versions("25.5.0"),
        "found": {"driver": "25.5.0", "firmware": "25.5.0"},
    }
    return host(plan=plan, __driver_converged=converged, __vllm_serve_change={"skipped": True}, **more)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(driver_gate.display, "display", lines.append)
    monkeypatch.setattr(driver_gate.display, "warning", lambda words: lines.append("WARNING " + words))
    monkeypatch.setattr(_tables, "show", lambda shown: lines.extend(text for text, _tone in shown))
    return lines


def run(monkeypatch, plugin, hosts, alive=None, check_mode=False, gateways=None, **args):
    gateways = {"gw": GATEWAY} if gateways is None else gateways
    hostvars = {**hosts, **gateways}
    monkeypatch.setattr(driver_gate, "PlayVariables", lambda *_a: Play(hostvars))
    monkeypatch.setattr(driver_gate, "reader", lambda *_a: release)
    task = MagicMock(async_val=0, args={"release": "new", **args}, check_mode=check_mode, diff=False)
    task.action = "ascend.fleet.x"
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    names = list(hosts)
    return action.run(
        task_vars={
            "hostvars": hostvars,
            "ansible_play_hosts_all": names,
            "ansible_play_hosts": names if alive is None else alive,
            "groups": {"npu_hosts": names, "gateways": list(gateways)},
        }
    )


def gate(monkeypatch, hosts, **more):
    return run(monkeypatch, driver_gate, hosts, **more)


def test_nothing_stands_in_the_way(said, monkeypatch):
    result = gate(monkeypatch, {"h1": host(), "h2": host(), "h3": done()}, with_canary=True)
    assert not result.get("failed"), result
    assert (result["reasons"], result["changing"], result["nothing_to_do"]) == ([], ["h1", "h2"], False)


def test_where_every_host_is_as_wanted_it_says_so_and_asks_nobody(said, monkeypatch):
    result = gate(monkeypatch, {"h1": done(), "h2": done()}, gateways={"gw": {}})
    assert (result["nothing_to_do"], result.get("failed")) == (True, None)
    assert said == ["driver and firmware of every host are as the release wants: nothing to do"]


def failed(words):
    return {"failed": True, "msg": words}


CASES = {
    "refused by its plan": (
        {"plan": {"reasons": [["the container training, which holds /dev/davinci5", "no process", "stop it"]]}},
        "h1: found the container training, which holds /dev/davinci5; needed no process. Fix: stop it",
    ),
    "somebody else": (
        {"__upgrade_lease": failed("found that bob@x holds the fleet")},
        "found that bob@x holds the fleet",
    ),
    "no plan": ({"__npu_driver_plan": {}}, "h1: found no plan of its driver"),
    "nothing to start again": (
        {"__upgrade_state": {"state": {"last_good": None}}},
        "no deployment that is recorded as good",
    ),
    "something else deployed": (
        {"__upgrade_state": {"state": {"last_good": {"digest": DIGEST}}, "runs_last_good": False}},
        "replicas that are not those of the last good deployment",
    ),
    "not measured": ({"__upgrade_sample": failed("no")}, "found no load that was measured"),
}


@pytest.mark.parametrize("name", CASES)
def test_reasons(said, monkeypatch, name):
    more, words = CASES[name]
    result = gate(monkeypatch, {"h1": host(**more), "h2": done()})
    assert result["failed"]
    assert words in result["msg"], result["msg"]
    assert "no host was touched" in result["msg"]


def test_hosts_that_are_lost_outages_and_gateways_are_reasons_all_at_once(said, monkeypatch):
    result = gate(monkeypatch, {"h1": host(), "h2": host()}, alive=["h1"], gateways={"gw": {}})
    text = result["msg"]
    assert "h2: found that it failed or was unreachable before" in text
    assert "gateway was not reached" in text
    # h1 alone is left, and would take the last replicas out.
    assert len(result["reasons"]) >= 3


def test_a_load_that_the_others_do_not_carry(said, monkeypatch):
    busy = sample(40.0, 40.0)
    result = gate(monkeypatch, {"h1": host(__upgrade_sample=busy), "h2": host(__upgrade_sample=busy)})
    assert result["failed"]
    accepted = gate(
        monkeypatch, {"h1": host(__upgrade_sample=busy), "h2": host(__upgrade_sample=busy)}, accept_outage=True
    )
    assert not accepted.get("failed"), accepted
    assert any(line.startswith("WARNING") for line in said)


def test_check_mode_tells_reasons_and_fails_nothing(said, monkeypatch):
    result = gate(monkeypatch, {"h1": host(__npu_driver_plan={}), "h2": done()}, check_mode=True)
    assert not result.get("failed")
    assert said[-1].startswith("WARNING h1: found no plan")


def test_hosts_that_are_left_alone_are_named(said, monkeypatch):
    aside = done(fleet_maintenance={"reason": "a fan"})
    result = gate(monkeypatch, {"h1": host(), "h2": done(), "h3": aside})
    assert result["set_aside"] == {"h3": "a fan"}
    assert not result.get("failed")


WAVES = {"hosts": ["h1"], "sizes": [1], "left": [], "expected_seconds": {"h1": 660.0}}


def test_the_plan_is_a_table_of_all_hosts(said, monkeypatch, tmp_path):
    fetched = {"results": [{"item": {"paths": ["d.run"], "sources": ["http://mirror:8008"]}}]}
    hosts = {
        "h1": host(artifact_fetch_result=fetched),
        "h2": done(),
        "h3": host(plan={"versions": versions("25.5.0", "25.2.0"), "reasons": [["x", "y", "z"]], "installs": []}),
        "h4": {},
    }
    result = run(monkeypatch, driver_report, hosts, waves=WAVES, plan=True, folder=str(tmp_path), change="c")
    rows = {row["name"]: row for row in result["plan"]["hosts"]}
    assert [rows[n]["action"] for n in hosts] == ["change", "as wanted", "refused", "unknown"]
    assert rows["h1"]["packages"][0]["source"] == "http://mirror:8008"
    assert (rows["h1"]["wave"], rows["h1"]["expected_seconds"]) == (1, 660.0)
    assert (rows["h1"]["driver"], rows["h3"]["driver"]) == ("25.2.0 → 25.5.0", "25.5.0 (25.2.0 runs)")
    assert "PLAN of driver and firmware for new: as wanted: 1, change: 1, refused: 1, unknown: 1" in said
    assert any("h1" in line and "11 min" in line for line in said)
    assert json.loads((tmp_path / "c" / "plan.json").read_text()) == result["plan"]


def test_the_report_names_every_host_and_the_bmc_of_one_in_maintenance(said, monkeypatch, tmp_path):
    hosts = {
        "h1": host(__driver_outcome={"outcome": "good", "why": "", "replicas": {"u0": {"out_seconds": 700.0}}}),
        "h2": host(__driver_outcome={"outcome": "failed", "why": "found 7 chips; needed 8", "replicas": {}}),
        "h3": host(),
        "h4": done(),
        "h5": host(plan={"step": "verifying", "why": "a chip less"}),
        "h6": host(__driver_outcome={"outcome": "refused", "why": "a container", "replicas": {}}),
    }
    result = run(monkeypatch, driver_report, hosts, waves=WAVES, folder=str(tmp_path), notes=["h2 stopped it"])
    outcomes = {row["name"]: row["outcome"] for row in result["report"]["hosts"]}
    assert outcomes == {
        "h1": "good", "h2": "IN MAINTENANCE", "h3": "not touched", "h4": "as wanted",
        "h5": "IN MAINTENANCE", "h6": "not touched",
    }  # fmt: skip
    assert result["in_maintenance"] == ["h2", "h5"]
    text = "\n".join(said)
    assert "h2: IN MAINTENANCE: found 7 chips; needed 8. Its replicas are out of traffic" in text
    assert "BMC: 192.0.2.110" in text
    assert "h2 stopped it" in text
    assert (tmp_path / "driver" / "report.md").exists()


# - an installer -


def test_lines_about_an_installer_and_the_call_for_a_person():
    said, warned, now = [], [], [0.0]
    teller = npu_driver.Teller("a2-1", "f.run", said.append, warned.append, lambda: now[0])

    def tell(at, percent, words="", silent=0):
        now[0] = float(at)
        about = {"state": "running", "percent": percent, "seconds": at, "silent": silent, "said": words, "pid": 7}
        teller.tell({**about, "ask_seconds": 600, "unit": "u.service", "log": "/log"})

    tell(1, 10, "upgradePercentage:10%")
    tell(2, 10, "upgradePercentage:10%")
    tell(10, 30, "upgradePercentage:30%")
    tell(80, 30, "upgradePercentage:30%", silent=70)
    for at in range(90, 1300, 10):
        tell(at, 30, "upgradePercentage:30%", silent=at - 10)
    assert said[:2] == [
        "a2-1  f.run  10 %  upgradePercentage:10%  (1 s)",
        "a2-1  f.run  30 %  upgradePercentage:30%  (10 s)",
    ]
    assert "no word for" in said[2]
    assert "nothing ends it" in said[2]
    # A person is asked after ten minutes, and again after ten more; nothing else happens.
    assert len(warned) == 2
    assert "It is not ended" in warned[0]


def test_the_action_follows_without_a_limit_that_matters(monkeypatch):
    task = SimpleNamespace(args={"path": "/srv/f.run"}, check_mode=False, async_val=0)
    found = npu_driver.ActionModule.__new__(npu_driver.ActionModule)
    found._task = task
    found._templar = SimpleNamespace(template=lambda value: value)
    calls, said = [], []
    found._execute_module = lambda module_name, module_args, task_vars: {"settled": False, "changed": True}

    def run_detached(module, arguments, task_vars, limit_seconds, on_progress):
        calls.append(limit_seconds)
        on_progress('{"state": "running", "percent": 10, "seconds": 1, "silent": 0, "said": "x"}')
        on_progress("{")
        return {"changed": True, "begun": True, "exit_code": 0}

    found._run_detached = run_detached
    found._progress_path = lambda: "/tmp/job/progress"
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(npu_driver.display, "display", said.append)
    result = found.run(None, {"inventory_hostname": "a2-1", "fleet_progress": "always"})
    assert (result["begun"], calls, said) == (True, [30 * 86400], ["a2-1  f.run  10 %  x  (1 s)"])
