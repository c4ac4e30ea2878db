# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: whether a change of the fleet goes on, before and after a wave."""

from __future__ import annotations

from datetime import datetime, timedelta
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.ascend.fleet.plugins.action import fleet_wave as plugin
from ansible_collections.ascend.fleet.plugins.filter.maintenance_words import FilterModule

UNIT = "vllm-m@0.service"


def act(monkeypatch, hostvars, alive=None, everyone=None, **args):
    monkeypatch.setattr(plugin.display, "display", lambda _line: None)
    task = MagicMock(async_val=0, args={"hosts": list(hostvars), **args}, check_mode=False, diff=False)
    task.action = "ascend.fleet.fleet_wave"
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    names = everyone or list(hostvars)
    play = {"ansible_play_hosts_all": names, "ansible_play_hosts": names if alive is None else alive}
    return action.run(task_vars={"hostvars": hostvars, **play})


def run(monkeypatch, minutes, seconds=600, more=None, **args):
    until = "" if minutes is None else (datetime.now() + timedelta(minutes=minutes)).isoformat(timespec="seconds")
    plan = {"plan": {"rolling": True, "steps": [{"stop": [UNIT], "start": [UNIT]}]}}
    state = {"state": {"history": [], "replicas": {UNIT: {"out_seconds": seconds}}}}
    hostvars = {"h1": {"__vllm_serve_change": plan, "__upgrade_state": state, **(more or {})}}
    return act(monkeypatch, hostvars, **{"state": "begins", "until": until, **args})


def test_a_wave_that_ends_in_time_begins(monkeypatch):
    assert run(monkeypatch, None)["stop"] == {}
    assert run(monkeypatch, 11)["stop"] == {}
    late = run(monkeypatch, 9)["stop"]
    assert late["kind"] == "later"
    assert "expected to take 10 min" in late["why"]
    assert run(monkeypatch, 11, bake_minutes=2.0)["stop"]["kind"] == "later"


def test_where_nothing_tells_how_long_it_takes_it_begins_before_the_end(monkeypatch):
    assert run(monkeypatch, 1, seconds=None)["stop"] == {}
    assert "expected to take unknown" in run(monkeypatch, -1, seconds=None)["stop"]["why"]


def test_a_time_that_is_none_is_told(monkeypatch):
    result = run(monkeypatch, None, until="late")
    assert result["failed"]
    assert "fleet_until" in result["msg"]


def test_a_host_that_was_lost_stops_the_next_wave_unless_it_is_under_maintenance(monkeypatch):
    found = run(monkeypatch, None, everyone=["h1", "h2"], alive=["h1"])["stop"]
    assert (found["kind"], "h2" in found["why"]) == ("lost", True)
    hostvars = {"h1": {}, "h2": {"fleet_maintenance": {"reason": "a fan"}}}
    assert act(monkeypatch, hostvars, state="begins", alive=["h1"])["stop"] == {}


def test_a_request_to_stop_is_heard_before_the_next_wave(monkeypatch):
    asked = {"lease": {"stop": {"by": "bob@laptop", "at": "2026-11-30T06:31:02Z"}}}
    found = run(monkeypatch, None, more={"renewed": asked}, lease_variable="renewed")["stop"]
    assert (found["kind"], "bob@laptop" in found["why"]) == ("stopped", True)
    assert run(monkeypatch, None, more={"renewed": {"lease": {"holder": "a"}}}, lease_variable="renewed")["stop"] == {}
    # In a wave that has no turn any more the lease was not renewed.
    assert run(monkeypatch, None, more={"renewed": {"skipped": True}}, lease_variable="renewed")["stop"] == {}


def test_what_has_stopped_the_change_before_stays(monkeypatch):
    stop = {"kind": "asks", "why": "few requests"}
    assert run(monkeypatch, -5, stop=stop)["stop"] == stop
    assert run(monkeypatch, None, everyone=["h1", "h2"], alive=["h1"], stop=stop)["stop"] == stop


def outcome(kind, why="x"):
    return {"__upgrade_outcome": {"outcome": "failed", "kind": kind, "why": why}}


def test_after_a_wave_a_release_that_is_bad_decides_before_a_host_that_was_lost(monkeypatch):
    good = {"__upgrade_outcome": {"outcome": "good", "kind": "", "why": ""}}
    assert act(monkeypatch, {"h1": good, "h2": {}}, state="ended")["stop"] == {}
    # Whichever of them comes first.
    for hostvars in ({"h1": outcome("lost"), "h2": outcome("bad")}, {"h1": outcome("bad"), "h2": outcome("lost")}):
        assert act(monkeypatch, hostvars, state="ended")["stop"]["kind"] == "bad"
    found = act(monkeypatch, {"h1": outcome("lost", "a"), "h2": outcome("lost", "b")}, state="ended")["stop"]
    assert found == {"kind": "lost", "why": "h1: a\nh2: b"}
    stop = {"kind": "later", "why": "late"}
    assert act(monkeypatch, {"h1": outcome("lost")}, state="ended", stop=stop)["stop"] == stop
    assert act(monkeypatch, {"h1": outcome("bad")}, state="ended", stop=stop)["stop"]["kind"] == "bad"


def test_the_filter_says_why_a_host_is_left_alone():
    words = FilterModule().filters()["maintenance_words"]
    assert words({"reason": "a fan"}) == "a fan"
    assert words({}) == ""
    with pytest.raises(AnsibleFilterError, match="fleet_maintenance"):
        words({"reason": "a fan", "until": "soon"})
