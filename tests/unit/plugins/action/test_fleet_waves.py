# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: plans of all hosts of the play become the waves of the next play."""

from __future__ import annotations

from datetime import datetime, timedelta
from unittest.mock import MagicMock

import pytest
from ansible_collections.ascend.fleet.plugins.action import fleet_waves as plugin
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import lease
from ansible_collections.ascend.fleet.plugins.plugin_utils import _controller


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin.display, "display", lines.append)
    monkeypatch.setattr(plugin.display, "warning", lambda words: lines.append("WARNING " + words))
    return lines


def run(hostvars, check_mode=False, groups=None, **args):
    task = MagicMock(async_val=0, args={"variable": "planned", **args}, check_mode=check_mode, diff=False)
    task.action = "ascend.fleet.fleet_waves"
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    known = {"hostvars": hostvars, "ansible_play_hosts": list(hostvars), "ansible_play_hosts_all": list(hostvars)}
    return action.run(task_vars={**known, "groups": groups or {"npu_hosts": list(hostvars)}})


def planned(in_service, out_at_once, **more):
    plan = {"served_model_names": ["m"], "in_service": in_service, "out_at_once": out_at_once}
    return {"planned": {"plan": plan}, **more}


def converged(count):
    return {"state": {"converged": True, "replicas": [{"served_model_name": "m"}] * count}}


def test_plans_become_hosts_and_sizes(said):
    hosts = {"h1": planned(2, 1), "h2": planned(0, 0), "h3": planned(2, 1), "h4": converged(2)}
    result = run(hosts, converged_variable="state")
    assert result["changed"] is False
    assert not result.get("failed")
    assert (result["hosts"], result["sizes"]) == (["h2", "h1", "h3"], [1, 1, 1])
    assert (result["at_once"], result["waves"]) == (["h2"], [["h1"], ["h3"]])
    assert said[0] == "at once, because they lose nothing: h2"


def test_the_domains_of_hosts_are_theirs(said):
    hosts = {n: planned(2, 1, fleet_domain=d) for n, d in (("h1", "a"), ("h2", 7), ("h3", "a"))}
    assert run(hosts, batches=["100%"])["waves"] == [["h1", "h3"], ["h2"]]
    assert said[1] == "wave 2 of 2 (7): h2: 1 of 2 out at a time"


def test_an_outage_stops_before_anything_is_touched(said):
    result = run({"h1": planned(1, 1)})
    assert result["failed"]
    assert "fleet_accept_outage" in result["msg"]
    for accepted in ({"accept_outage": True}, {"check_mode": True}):
        said.clear()
        result = run({"h1": planned(1, 1)}, **accepted)
        assert not result.get("failed")
        assert said[-1].startswith("WARNING h1: found 1 replica of m")


def test_a_replica_that_serves_meanwhile_may_be_on_a_host_that_is_as_wanted(said):
    assert not run({"h1": planned(1, 1), "h2": converged(1)}, converged_variable="state").get("failed")
    result = run({"h1": planned(1, 1)}, groups={"npu_hosts": ["h1", "h2"]})
    assert "1 more hosts of the inventory were not asked" in result["msg"]


def test_a_replica_that_serves_meanwhile_may_be_on_a_host_that_has_no_part_in_the_run(said):
    """Those that --limit leaves out are asked by a loop, where the playbook does so."""
    groups = {"npu_hosts": ["h1", "h2"], "gateways": ["gw"]}
    replica = {"served_model_name": "m", "active_state": "active"}
    asked = [{"item": "gw", "replicas": []}, {"item": "h2", "replicas": [replica]}]
    found = run({"h1": planned(1, 1, __upgrade_samples={"results": asked})}, groups=groups)
    assert not found.get("failed"), found
    assert found["hosts"] == ["h1"]
    for one in (
        {"item": "h2", "unreachable": True},
        {"item": "h2", "replicas": [{**replica, "active_state": "failed"}]},
    ):
        found = run({"h1": planned(1, 1, __upgrade_samples={"results": [asked[0], one]})}, groups=groups)
        assert "fleet_accept_outage" in found["msg"], one


def test_hosts_of_the_play_that_are_not_changed_serve_meanwhile_as_they_were_measured(said):
    """As in a rollback of some hosts: the others have no plan of this change, but serve."""
    replica = {"served_model_name": "m", "active_state": "active"}
    beside = {"now": {"replicas": [replica]}}
    assert run({"h1": planned(1, 1), "h2": {}}).get("failed")
    found = run({"h1": planned(1, 1), "h2": beside}, sample_variable="now")
    assert not found.get("failed"), found
    assert (found["hosts"], found["groups"]) == (["h1"], [{"kind": "wave", "hosts": ["h1"]}])
    for dead in ({"now": {"replicas": [{**replica, "active_state": "failed"}]}}, {"now": {"failed": True}}):
        assert run({"h1": planned(1, 1), "h2": dead}, sample_variable="now").get("failed"), dead


def test_a_host_without_a_plan_is_left_out(said):
    hosts = {"h1": {}, "h2": {"planned": {"failed": True}}, "h3": planned(0, 0)}
    assert run(hosts)["hosts"] == ["h3"]


def test_a_wrong_size_is_told(said):
    result = run({"h1": planned(2, 1)}, batches=["0"])
    assert result["failed"]
    assert "fleet_batches" in result["msg"]


def test_a_host_that_gains_a_replica_first_loses_nothing_unless_its_clients_come_past_the_gateway(said):
    host = planned(1, 1)
    host["planned"]["plan"].update(least_in_service=1, outages=[])
    assert not run({"h1": host}).get("failed")
    host["planned"]["plan"].update(outages=["found container qwen3.5 answering, and no gateway"])
    result = run({"h1": host})
    assert (result["failed"], result["msg"]) == (True, "h1: found container qwen3.5 answering, and no gateway")
    assert not run({"h1": host}, accept_outage=True).get("failed")


def history(seconds):
    replicas = {"vllm-m@0.service": {"out_seconds": seconds}}
    return {"state": {"history": [{"outcome": "good", "replicas": replicas}], "replicas": {}}}


def steps(seconds=None, **more):
    host = planned(2, 1, **more)
    unit = ["vllm-m@0.service"]
    host["planned"]["plan"].update(rolling=True, steps=[{"stop": unit, "start": unit}])
    if seconds:
        host["__upgrade_state"] = history(seconds)
    return host


def test_without_new_options_the_result_is_as_before(said):
    result = run({"h1": planned(2, 1, npu_generation="a2"), "h2": planned(2, 1, npu_generation="a3")})
    assert (result["hosts"], result["sizes"], result["canary"]) == (["h1", "h2"], [1, 1], [])
    assert (result["left"], result["set_aside"], result["until"]) == ([], {}, "")
    assert said == ["wave 1 of 2: h1: 1 of 2 out at a time", "wave 2 of 2: h2: 1 of 2 out at a time"]


def test_the_canary_is_named_or_the_first_of_each_generation(said):
    hosts = {n: planned(2, 1, npu_generation=g) for n, g in (("h1", "a2"), ("h2", "a2"), ("h3", "a3"))}
    assert run(hosts, with_canary=True)["canary"] == ["h1", "h3"]
    result = run(hosts, with_canary=True, canary=["h2"])
    assert (result["canary"], result["hosts"]) == (["h2"], ["h2", "h1", "h3"])
    assert run(hosts, with_canary=True, canary=[])["canary"] == []
    result = run(hosts, canary=["h7"])
    assert result["failed"]
    assert "fleet_canary: h7" in result["msg"]
    assert not run(hosts, canary=["h7"], groups={"npu_hosts": [*hosts, "h7"]}).get("failed")


def test_hosts_under_maintenance_are_left_out_and_named(said):
    hosts = {"h1": planned(2, 1, fleet_maintenance={"reason": "a fan"}), "h2": planned(2, 1), "h3": converged(1)}
    result = run(hosts, converged_variable="state")
    assert (result["hosts"], result["set_aside"]) == (["h2"], {"h1": "a fan"})
    assert said[0] == "h1 is left alone, because it is under maintenance: a fan"
    over = {"h1": planned(2, 1, fleet_maintenance={"reason": "a fan", "until": "2020-01-01"}), "h2": planned(2, 1)}
    assert run(over)["hosts"] == ["h1", "h2"]
    broken = {"h1": planned(2, 1, fleet_maintenance={"reason": "a fan", "until": "soon"})}
    assert "fleet_maintenance until: soon" in run(broken)["msg"]


def test_no_wave_is_planned_that_cannot_end_in_time(said):
    hosts = {name: steps(3600) for name in ("h1", "h2", "h3")}
    soon = (datetime.now() + timedelta(minutes=150)).isoformat(timespec="minutes")
    result = run(hosts, until=soon)
    assert (result["hosts"], result["sizes"], result["left"]) == (["h1", "h2"], [1, 1], ["h3"])
    assert result["expected_seconds"] == {"h1": 3600.0, "h2": 3600.0}
    assert result["until"].startswith(soon)
    assert said[-1].endswith(": h3")
    assert run(hosts, until=soon, bake_minutes=[10, 60])["left"] == ["h2", "h3"]
    assert run({name: steps() for name in hosts}, until=soon)["left"] == []
    assert "fleet_until: late" in run(hosts, until="late")["msg"]


def test_a_variable_that_cannot_be_worked_out_is_no_empty_answer(said):
    class Broken(dict):
        def get(self, key, default=None):
            if key == "fleet_domain":
                raise ValueError("undefined variable")
            return super().get(key, default)

    with pytest.raises(ValueError, match="undefined variable"):
        run({"h1": Broken(planned(2, 1))})


NOW = 1796019300.0


def leased(claim, now=NOW, **more):
    """A host with something to change and a lease, as its plan tells it."""
    host = steps(**more)
    host["planned"]["lease"] = lease.described(lease.take(None, claim, NOW), now)
    return host


def own(**more):
    known = _controller.claim({})
    return lease.Claim(known["holder"], known["controller"], **{"change": "c1", "process": known["process"], **more})


def test_nothing_is_changed_beside_the_change_of_somebody_else(said):
    other = lease.Claim("alice", "ctl", "c1", "upgrade to r_v1")
    hosts = {"h1": leased(other), "h2": leased(other), "h3": steps()}
    result = run(hosts)
    assert result["failed"]
    assert result["msg"].startswith("h1, h2: found that alice@ctl holds the fleet for c1 (upgrade to r_v1)")
    assert not said
    assert not run(hosts, check_mode=True).get("failed")
    assert said[0].startswith("WARNING h1, h2: found that alice@ctl holds the fleet")
    # Being alive, it cannot be taken over by name; a stale one can.
    assert run(hosts, take_over="alice@ctl")["failed"]
    stale = {"h1": leased(other, NOW + lease.ALIVE_SECONDS)}
    assert run(stale)["failed"]
    assert not run(stale, take_over="alice@ctl").get("failed")


def test_ones_own_change_goes_on_and_so_does_one_after_it_was_killed(said, monkeypatch):
    assert not run({"h1": leased(own())}, change="c1").get("failed")
    ended = own(change="c0", process=_controller.process(1))
    assert run({"h1": leased(ended)})["failed"]
    monkeypatch.setattr(plugin._controller, "is_gone", lambda noted: noted["pid"] == 1)
    assert not run({"h1": leased(ended)}).get("failed")


def test_a_host_with_nothing_to_change_is_not_refused(said):
    host = planned(2, 0)
    host["planned"].update(lease=lease.described(lease.take(None, lease.Claim("alice", "ctl", "c1"), NOW), NOW))
    assert not run({"h1": host}).get("failed")
