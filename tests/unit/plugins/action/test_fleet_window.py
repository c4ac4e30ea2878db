# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: whether the next wave may begin."""

from __future__ import annotations

from datetime import datetime, timedelta
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.ascend.fleet.plugins.action import fleet_window as plugin
from ansible_collections.ascend.fleet.plugins.filter.maintenance_words import FilterModule

UNIT = "vllm-m@0.service"


def run(monkeypatch, minutes, seconds=600, **args):
    monkeypatch.setattr(plugin.display, "display", lambda _line: None)
    until = "" if minutes is None else (datetime.now() + timedelta(minutes=minutes)).isoformat(timespec="seconds")
    task = MagicMock(async_val=0, args={"until": until, **args}, check_mode=False, diff=False)
    task.action = "ascend.fleet.fleet_window"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    plan = {"plan": {"rolling": True, "steps": [{"stop": [UNIT], "start": [UNIT]}]}}
    state = {"state": {"history": [], "replicas": {UNIT: {"out_seconds": seconds}}}}
    hostvars = {"h1": {"__vllm_serve_change": plan, "__upgrade_state": state}}
    return action.run(task_vars={"hostvars": hostvars, "ansible_play_hosts_all": ["h1"], "ansible_play_batch": ["h1"]})


def test_a_wave_that_ends_in_time_begins(monkeypatch):
    assert run(monkeypatch, None)["open"]
    assert run(monkeypatch, 11)["open"]
    late = run(monkeypatch, 9)
    assert not late["open"]
    assert "expected to take 10 min" in late["why"]
    assert not run(monkeypatch, 11, bake_minutes=2.0)["open"]


def test_where_nothing_tells_how_long_it_takes_it_begins_before_the_end(monkeypatch):
    assert run(monkeypatch, 1, seconds=None)["open"]
    assert "expected to take unknown" in run(monkeypatch, -1, seconds=None)["why"]


def test_a_time_that_is_none_is_told(monkeypatch):
    result = run(monkeypatch, None, until="late")
    assert result["failed"]
    assert "fleet_until" in result["msg"]


def test_the_filter_says_why_a_host_is_left_alone():
    words = FilterModule().filters()["maintenance_words"]
    assert words({"reason": "a fan"}) == "a fan"
    assert words({}) == ""
    with pytest.raises(AnsibleFilterError, match="fleet_maintenance"):
        words({"reason": "a fan", "until": "soon"})
