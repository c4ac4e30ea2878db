# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every action that reads the results of all hosts refuses a strategy under which some of these are still to come."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail

ACTIONS = Path(__file__).resolve().parents[4] / "plugins" / "action"
PACKAGE = "ansible_collections.ascend.fleet.plugins.action."
#: What tells that an action looks at the results of all hosts: itself, or by what gathers them for it.
GATHERS = re.compile(r"\bPlayHosts\(|_replicas import gather|_drift_report\.gather|_driver_fleet import .*\bFleet\b")
NAMES = [path.stem for path in sorted(ACTIONS.glob("*.py")) if GATHERS.search(path.read_text(encoding="utf-8"))]


def run(name, strategy):
    task = MagicMock(async_val=0, args={}, check_mode=False, diff=False)
    task.action = "ascend.fleet.%s" % name
    task.get_play.return_value.strategy = strategy
    module = importlib.import_module(PACKAGE + name)
    action = module.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    return action.run(task_vars={})


def test_the_actions_are_found():
    reports = ("bench", "decommission", "diagnose", "drift", "driver", "fleet", "preflight", "smoke", "upgrade")
    assert {
        *("%s_report" % name for name in reports),
        "driver_gate",
        "fleet_gate",
        "fleet_wave",
        "rollback_plan",
        "vllm_status",
    } == set(NAMES)


@pytest.mark.parametrize("strategy", ["free", "host_pinned", "ansible.builtin.free", "vendor.other.quick"])
@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_under_which_hosts_are_at_different_tasks_is_refused(name, strategy):
    with pytest.raises(AnsibleActionFail, match="found strategy %s; needed linear" % strategy.rsplit(".", 1)[-1]):
        run(name, strategy)
