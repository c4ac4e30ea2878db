# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: what plays have left in the variables of hosts becomes the reasons not to begin."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible_collections.ascend.fleet.plugins.action import fleet_gate as plugin

COMMIT, IMAGE, DIGEST = "c" * 40, "sha256:" + "1" * 64, "d" * 64


class Play:
    """The variables of each host, as the play sees them."""

    def __init__(self, hostvars, **more):
        self._hostvars, self._more = hostvars, more

    def of(self, host):
        defaults = {"vllm_gateway_traffic": "haproxy", "vllm_gateway_placement": "gateways", "fleet_release": "new"}
        return {**defaults, **self._more, **self._hostvars[host]}


def read(name, variables):
    images = [{"generation": g, "architecture": "any", "image_id": IMAGE} for g in ("a2", "a3")]
    workloads = [{"name": "w", "options": {"max-concurrency": 50}}]
    return {
        "release": name,
        "images": images,
        "model": {"commit": variables.get("commit", COMMIT)},
        "serve": {},
        "benchmark": {"workloads": workloads},
    }


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


def host(**more):
    replicas = [{"replica": n, "unit": "u%d" % n, "action": "replace", "in_service": True} for n in (0, 1)]
    plan = {
        "served_model_names": ["m"],
        "in_service": 2,
        "out_at_once": 1,
        "replicas": replicas,
        "steps": [{"out": [0]}, {"out": [1]}],
    }
    own = {
        "npu_generation": "a2",
        "__site_state": {"converged": False},
        "__vllm_serve_change": {"plan": plan},
        "model_artifacts_result": {"weights": "/w", "commits": {"weights": COMMIT}},
        "vllm_image_result": {"image_id": IMAGE, "config_digest": IMAGE},
        "__upgrade_state": {
            "state": {"last_good": {"release": "old", "digest": DIGEST}, "history": [], "replicas": {}},
            "lease": None,
            "kept": [DIGEST],
        },
        "__upgrade_sample": sample(3.0, 2.0),
    }
    return {**own, **more}


def converged(**more):
    state = {"converged": True, "replicas": [{"served_model_name": "m"}] * 2}
    return host(__site_state=state, __vllm_serve_change={"skipped": True}, **more)


GATEWAY = {"__upgrade_sample": sample(gateway={"pid": 1, "uptime_seconds": 9, "servers": {}, "problem": ""})}


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin.display, "display", lines.append)
    monkeypatch.setattr(plugin.display, "warning", lambda words: lines.append("WARNING " + words))
    return lines


def run(monkeypatch, hosts, alive=None, check_mode=False, groups=None, gateways=None, play=None, **args):
    gateways = {"gw": GATEWAY} if gateways is None else gateways
    hostvars = {**hosts, **gateways}
    monkeypatch.setattr(plugin, "PlayVariables", lambda *_a: Play(hostvars, **(play or {})))
    monkeypatch.setattr(plugin, "reader", lambda *_a: read)
    task = MagicMock(async_val=0, args={"release": "new", **args}, check_mode=check_mode, diff=False)
    task.action = "ascend.fleet.fleet_gate"
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    names = list(hosts)
    return action.run(
        task_vars={
            "hostvars": hostvars,
            "ansible_play_hosts_all": names,
            "ansible_play_hosts": names if alive is None else alive,
            "groups": {"npu_hosts": names, "gateways": list(gateways), **(groups or {})},
        }
    )


def only(result):
    assert result["failed"]
    [words] = result["reasons"]
    assert words in result["msg"]
    return words


def test_nothing_stands_in_the_way(said, monkeypatch):
    result = run(monkeypatch, {"h1": host(), "h2": converged()})
    assert not result.get("failed"), result
    assert (result["reasons"], result["changing"], result["as_wanted"]) == ([], ["h1"], ["h2"])
    assert (result["nothing_to_do"], result["set_aside"], said) == (False, {}, [])


def test_where_every_host_serves_it_nothing_is_changed_and_it_says_so(said, monkeypatch):
    result = run(monkeypatch, {"h1": converged(), "h2": converged()}, gateways={"gw": {}})
    assert (result["changed"], result["nothing_to_do"], result.get("failed")) == (False, True, None)
    assert said == ["every host serves new already: nothing to do"]


def test_a_lease_that_was_read_before_this_run_took_it_is_no_reason(said, monkeypatch):
    """Such as that of a run that was killed, or of one whose host was lost before it could give it back."""
    left = {"holder": "alice", "controller": "ctl", "change": "C0", "since": "s", "renewed": "r", "what": ""}
    read = {**host()["__upgrade_state"], "lease": left}
    assert "that alice@ctl holds the fleet for C0" in only(run(monkeypatch, {"h1": host(__upgrade_state=read)}))
    taken = host(__upgrade_state=read, __upgrade_lease={"changed": True, "lease": {"change": "C1"}})
    assert run(monkeypatch, {"h1": taken})["reasons"] == []


def test_hosts_under_maintenance_are_no_reason(said, monkeypatch):
    aside = {"npu_generation": "a9", "fleet_maintenance": {"reason": "a fan"}}
    result = run(monkeypatch, {"h1": host(), "h2": aside}, alive=["h1"])
    assert not result.get("failed"), result
    assert result["set_aside"] == {"h2": "a fan"}
    assert said == ["h2 is left alone, because it is under maintenance: a fan"]


def test_what_failed_before_is_told_with_what_the_preflight_found(said, monkeypatch):
    finding = {
        "id": "DRV-003",
        "severity": "error",
        "ignored": False,
        "title": "T",
        "found": "F",
        "needed": "N",
        "fix": "X",
    }
    report = {"__npu_preflight_report": {"findings": {"h2": [finding], "h3": []}}}
    hosts = {"h1": host(**report), "h2": host(**report), "h3": host(**report)}
    result = run(monkeypatch, hosts, alive=["h1"])
    assert result["reasons"] == [
        "h2: found DRV-003 T: F; needed N. Fix: X",
        "h3: found that it failed or was unreachable before (see above); needed every host of the play, so that nobody "
        "is forgotten. Fix: remove the cause and run again, or set fleet_maintenance for the host: then it is left "
        "alone and named",
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model_artifacts_result": {}}, "h2: found no weights of new"),
        ({"commit": "e" * 40, "fleet_lock_path": "/other"}, "h2: found weights of commit cccc"),
        ({"npu_generation": "a5"}, "h2: found no image for the generation a5 in new"),
        ({"__upgrade_state": {"failed": True, "msg": "x"}}, "h2: found that its state was not read"),
        ({"__upgrade_lease": {"failed": True, "msg": "found that bob holds it"}}, "h2: found that bob holds it"),
    ],
)
def test_one_host_that_is_not_as_the_others(said, monkeypatch, changed, words):
    result = run(monkeypatch, {"h1": host(), "h2": host(**changed)})
    assert result["failed"]
    assert any(reason.startswith(words) for reason in result["reasons"]), result["reasons"]


def test_an_outage_is_a_reason_unless_it_is_accepted(said, monkeypatch):
    lone = host()
    lone["__vllm_serve_change"] = {"plan": {**lone["__vllm_serve_change"]["plan"], "out_at_once": 2}}
    assert any("fleet_accept_outage" in words for words in run(monkeypatch, {"h1": lone})["reasons"])
    assert not [w for w in run(monkeypatch, {"h1": lone}, accept_outage=True)["reasons"] if "accept_outage" in w]


def test_a_canary_that_is_not_in_the_fleet(said, monkeypatch):
    assert "fleet_canary: h9" in only(run(monkeypatch, {"h1": host()}, canary=["h9"]))


def test_a_load_that_those_that_stay_do_not_carry(said, monkeypatch):
    heavy = {"h1": host(__upgrade_sample=sample(40.0, 40.0))}
    assert "80 requests that run or wait" in only(run(monkeypatch, heavy))
    result = run(monkeypatch, heavy, min_available="1")
    assert not result.get("failed"), result
    assert "80 requests that run or wait" in result["notes"][0]
    assert said == ["WARNING " + result["notes"][0]]
    accepted = run(monkeypatch, heavy, accept_outage=True)
    assert (accepted["reasons"], accepted.get("failed")) == ([], None)
    assert "80 requests that run or wait" in accepted["notes"][0]
    relieved = {**heavy, "h2": converged(__upgrade_sample=sample(0.0, 0.0))}
    assert not run(monkeypatch, relieved).get("failed")


def test_hosts_that_have_no_part_in_the_run_carry_too(said, monkeypatch):
    """With --limit they and the gateways are asked by a loop, from a host of the play."""
    asked = [{"item": "gw", **GATEWAY["__upgrade_sample"]}, {"item": "h2", **sample(0.0, 0.0)}]
    heavy = host(__upgrade_sample=sample(40.0, 40.0), __upgrade_samples={"results": asked})
    limited = {"gateways": {"gw": {}, "h2": {}}, "groups": {"npu_hosts": ["h1", "h2"], "gateways": ["gw"]}}
    assert run(monkeypatch, {"h1": heavy}, **limited)["reasons"] == []
    # One that does not answer is nobody's reason to stop; it does not count.
    lost = host(**{**heavy, "__upgrade_samples": {"results": [asked[0], {"item": "h2", "unreachable": True}]}})
    assert "80 requests that run or wait" in only(run(monkeypatch, {"h1": lost}, **limited))
    # Neither does one that is under maintenance.
    away = {**limited, "gateways": {"gw": {}, "h2": {"fleet_maintenance": {"reason": "a fan"}}}}
    assert "80 requests that run or wait" in only(run(monkeypatch, {"h1": heavy}, **away))


def test_a_load_that_was_not_measured(said, monkeypatch):
    hosts = {"h1": host(), "h2": converged(__upgrade_sample={"failed": True, "msg": "x"})}
    assert only(run(monkeypatch, hosts)).startswith("h2: found no load that was measured")


def test_gateways_that_do_not_answer(said, monkeypatch):
    hosts = {"h1": host()}
    assert only(run(monkeypatch, hosts, gateways={"gw": {}})).startswith("gw: found that the gateway was not reached")
    assert not run(monkeypatch, hosts, gateways={}).get("failed")
    none = {"vllm_gateway_traffic": "none"}
    assert not run(monkeypatch, hosts, gateways={"gw": {}}, play=none).get("failed")
    own = {"vllm_gateway_placement": "hosts"}
    assert only(run(monkeypatch, hosts, play=own)).startswith("h1: found no gateway installed")


def test_check_mode_warns_and_does_not_ask_for_what_it_does_not_bring(said, monkeypatch):
    result = run(monkeypatch, {"h1": host(model_artifacts_result={}, vllm_image_result={})}, check_mode=True)
    assert (result.get("failed"), result["reasons"]) == (None, [])
    result = run(monkeypatch, {"h1": host()}, check_mode=True, canary=["h9"])
    assert result.get("failed") is None
    assert said[-1].startswith("WARNING ")
    assert "fleet_canary: h9" in said[-1]


def test_a_release_is_read_once_for_all_hosts_of_one_place():
    reads = []
    releases = plugin.Releases(lambda name, _variables: reads.append(name) or {"release": name})
    hosts = [{"fleet_release": "new", "inventory_dir": "/i"}] * 3 + [{"fleet_release": "new", "inventory_dir": "/j"}]
    assert [releases.of(h)[0] for h in hosts] == [{"release": "new"}] * 4
    assert reads == ["new", "new"]


def test_a_release_that_cannot_be_read_says_why():
    def refuse(_name, _variables):
        raise ValueError("found no\nrelease new")

    assert plugin.Releases(refuse).of({"fleet_release": "new"}) == (None, "found no release new")
