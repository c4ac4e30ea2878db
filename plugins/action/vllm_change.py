# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the change of a host's replicas, and print the plan: nothing is restarted without a word of why."""

from __future__ import annotations

from typing import Any, Optional

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils._serving import change_plan
from ..plugin_utils._progress_lines import display


class ActionModule(ActionBase):
    """The action of ``ascend.fleet.vllm_change``."""

    TRANSFERS_FILES = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Run the module, and print a plan that changes anything."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        result: dict[str, Any] = self._execute_module(
            module_name="ascend.fleet.vllm_change", module_args=dict(self._task.args), task_vars=task_vars
        )
        plan = result.get("plan")
        if plan and plan["steps"] and boolean(self._task.args.get("show", True)):
            for line in change_plan.lines(plan):
                display.display("%s  %s" % (task_vars.get("inventory_hostname", ""), line))
        result.pop("invocation", None)
        return result
