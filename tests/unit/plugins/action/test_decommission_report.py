# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing goes before it was listed and confirmed; and the module is told where asynchronous jobs leave their files."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.ascend.fleet.plugins.action import decommission_report, fleet_decommission
from ansible_collections.ascend.fleet.plugins.module_utils._serving import removal_plan

FULL = {"plan": removal_plan.plan([removal_plan.Thing("units", "unit", "vllm-m@0.service")], [], ["units"])}
EMPTY = {"plan": removal_plan.plan([], [], ["units"])}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    display = MagicMock(display=lambda line, **_more: lines.append(line))
    monkeypatch.setattr(decommission_report._tables, "Display", lambda: display)
    return lines


def action_of(plugin: Any, check: bool = False, **arguments: Any) -> Any:
    task = MagicMock(async_val=0, args=arguments, check_mode=check, diff=False)
    task.action = plugin.__name__
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    return action


def report(confirmed: bool = False, check: bool = False, **hosts: Any) -> dict[str, Any]:
    action = action_of(decommission_report, check, variable="plan", confirmed=confirmed)
    variables = {host: {} if found is None else {"plan": found} for host, found in hosts.items()}
    found: dict[str, Any] = action.run(task_vars={"hostvars": variables, "ansible_play_hosts_all": list(hosts)})
    return found


def test_without_a_confirmation_it_lists_and_stops(shown: list[str]) -> None:
    found = report(h1=FULL, h2=EMPTY)
    assert found["failed"]
    assert "Nothing was removed" in found["msg"]
    assert "-e decommission_confirm=true" in found["msg"]
    assert found["hosts"] == ["h1"]
    assert "  unit       vllm-m@0.service" in shown


@pytest.mark.parametrize("about", [{"confirmed": True}, {"check": True}])
def test_confirmed_or_in_check_mode_it_only_lists(shown: list[str], about: dict[str, bool]) -> None:
    assert not report(h1=FULL, **about).get("failed")
    assert "  unit       vllm-m@0.service" in shown


def test_where_nothing_is_to_be_removed_nothing_needs_a_confirmation(shown: list[str]) -> None:
    assert not report(h1=EMPTY).get("failed")


def test_hosts_that_were_not_read_are_named(shown: list[str]) -> None:
    report(True, h1=FULL, h2={"unreachable": True, "msg": "no route"}, h3={"failed": True, "msg": "bad"}, h4=None)
    assert shown[-3:] == [
        "h2 was not read: unreachable: no route",
        "h3 was not read: bad",
        "h4 was not read: see above",
    ]


def test_the_module_learns_where_asynchronous_jobs_leave_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    action = action_of(fleet_decommission, state="planned")
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(action, "_execute_module", lambda **more: given.append(more["module_args"]) or {"plan": {}})
    monkeypatch.setattr(action, "get_shell_option", lambda option, default: {"async_dir": "/var/tmp/jobs"}[option])
    assert action.run(task_vars={})["plan"] == {}
    assert given == [{"state": "planned", "async_dir": "/var/tmp/jobs"}]
