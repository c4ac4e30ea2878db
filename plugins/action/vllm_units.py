# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring units about, and list what was done with each: a rewritten or restarted unit is never silent."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ansible.plugins.action import ActionBase

from ..module_utils._host.systemd import short_name
from ..plugin_utils._progress_lines import display


class ActionModule(ActionBase):
    """The action of ``ascend.fleet.vllm_units``."""

    TRANSFERS_FILES = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Run the module and print a line for every unit that it changed."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        result: dict[str, Any] = self._execute_module(
            module_name="ascend.fleet.vllm_units", module_args=dict(self._task.args), task_vars=task_vars
        )
        for line in lines(result):
            display.display("%s  %s" % (task_vars.get("inventory_hostname", ""), line))
        return result


def lines(result: Mapping[str, Any]) -> list[str]:
    """One line for each unit that was changed or removed: its name, the steps, and why it was (re)started."""
    found = []
    for unit in result.get("units") or []:
        if unit.get("steps"):
            reason = " (%s)" % unit["reason"] if unit.get("reason") else ""
            found.append("%s  %s%s" % (short_name(unit["name"]), ", ".join(unit["steps"]), reason))
    found += ["%s  removed" % short_name(name) for name in result.get("removed") or []]
    return found
