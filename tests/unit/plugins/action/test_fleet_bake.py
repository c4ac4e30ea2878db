# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: samples that tasks have registered become a verdict and one table."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible_collections.ascend.fleet.plugins.action import fleet_bake as plugin
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import samples

NOW = 1_796_000_000.0


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin._tables, "show", lambda found: lines.extend(line for line, _tone in found))
    return lines


def sample(at, ended, failed=0, gateway=None):
    replica = {
        "replica": 0, "unit": "vllm-m@0.service", "active_state": "active", "restarts": 0, "invocation": "i",
        "started": NOW, "running": 0, "waiting": 0, "generation_tokens": 9.0 * ended, "preemptions": 0,
        "finished": {"stop": ended - failed, "error": failed}, "answers_5xx": None, "histograms": {},
        "watchdog": None, "problem": "",
    }  # fmt: skip
    return {"changed": False, "at": at, "replicas": [replica], "gateway": gateway, "problems": []}


def host(ended=500, failed=0, generation="a2"):
    before, after = sample(NOW, 0), sample(NOW + 600, ended, failed)
    return {"npu_generation": generation, "__upgrade_bake_before": before, "__upgrade_bake_after": after}


def run(hostvars, check_mode=False, **args):
    arguments = {"new": ["n1"], "old": ["o1"], "minutes": 10, **args}
    task = MagicMock(async_val=0, args=arguments, check_mode=check_mode, diff=False)
    task.action = "ascend.fleet.fleet_bake"
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    return action.run(task_vars={"hostvars": hostvars, "ansible_play_hosts_all": list(hostvars)})


def test_samples_of_the_hosts_become_a_verdict(shown):
    result = run({"n1": host(), "o1": host()}, title="of wave 1")
    assert not result.get("failed")
    assert (result["changed"], result["verdict"], result["go_on"]) == (False, "good", True)
    assert [f["cohort"] for f in result["figures"]] == ["new", "old"]
    assert shown[1] == "BAKE of wave 1: good"
    assert (result["hosts"], result["wave"], result["stop"]) == (["n1"], 1, {})
    assert run({"n1": host(), "o1": host()}, wave=3)["wave"] == 3


def test_a_bad_release_fails_nothing_by_itself(shown):
    result = run({"n1": host(500, 20), "o1": host()})
    assert not result.get("failed")
    assert (result["verdict"], result["go_on"], result["stop"]["kind"]) == ("bad", False, "bad")
    assert result["stop"]["why"] == "; ".join(result["reasons"]) != ""
    asks = run({"n1": {**host(), "__upgrade_bake_after": None}, "o1": host()}, extended=True)
    assert asks["stop"] == {"kind": "asks", "why": asks["question"]}


def test_samples_of_a_loop_over_hosts_are_found_wherever_they_were_registered(shown):
    own = {name: host() for name in ("n1", "o1")}
    loops = {
        v: {"results": [{**h[v], "item": n} for n, h in own.items()]}
        for v in ("__upgrade_bake_before", "__upgrade_bake_after")
    }
    everyone = {"n1": {"npu_generation": "a2", **loops}, "o1": {"npu_generation": "a2"}}
    assert run(everyone)["verdict"] == "good"
    everyone["o1"]["__upgrade_bake_before"] = {"skipped": True, "changed": False}
    assert run(everyone)["verdict"] == "good"
    assert run({**everyone, "n1": {"npu_generation": "a2"}, "gw": loops})["verdict"] == "good"


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"unreachable": True, "msg": "no route"}, "unreachable: no route"),
        ({"failed": True, "msg": "broke"}, "broke"),
        ("text", "the second sample is missing"),
        (None, "the second sample is missing"),
    ],
)
def test_a_host_without_a_sample_is_named(shown, after, words):
    result = run({"n1": {**host(), "__upgrade_bake_after": after}, "o1": host()})
    assert result["verdict"] == "inconclusive"
    assert words in result["problems"][0]
    assert result["extend_minutes"] == 20


def test_a_host_that_is_not_there_is_named(shown):
    assert "n9" in run({"n1": host(), "o1": host()}, new=["n1", "n9"])["problems"][0]


def test_shared_gateways(shown):
    zero = dict.fromkeys(samples.SERVER_COUNTS, 0)

    def told(uptime, **counts):
        servers = {"vllm-m/n1:0": {**zero, **counts}}
        return {"pid": 7, "uptime_seconds": uptime, "servers": servers, "problem": ""}

    before = {**sample(NOW, 0, gateway=told(0)), "replicas": []}
    after = {**sample(NOW + 600, 0, gateway=told(600, answers=450, server_aborts=50)), "replicas": []}
    own = {"__upgrade_bake_before": before, "__upgrade_bake_after": after}
    result = run({"n1": host(), "o1": host(), "gw": own}, gateways=["gw"])
    assert (result["verdict"], result["figures"][0]["broken"]) == ("bad", 50)


def test_the_limits_of_the_release(shown):
    limits = {"bake": {"min_requests": 1000}, "bench": {}}
    assert run({"n1": host(), "o1": host()}, limits=limits)["verdict"] == "inconclusive"
    assert run({"n1": host(), "o1": host()}, limits=limits, promote=True)["go_on"]
    assert run({"n1": host(), "o1": host()}, limits=limits, extended=True)["go_on"]
    assert not run({"n1": host(), "o1": host()}, limits=limits, extended=True, canary=True)["go_on"]


@pytest.mark.parametrize(("args", "words"), [({"old": ["n1"]}, "n1 both as new and as old"), ({"minutes": -1}, "-1")])
def test_what_nobody_can_mean_is_refused(shown, args, words):
    result = run({"n1": host(), "o1": host()}, **args)
    assert result["failed"]
    assert words in result["msg"]
