# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record on a host how far the change of its driver is, and who makes it."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ..plugin_utils._controller import operator


class ActionModule(ActionBase):
    """The action of ``ascend.fleet.npu_driver_state``: it knows who runs Ansible, and where."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if not arguments.get("by"):
            arguments["by"] = operator()
        result: dict[str, Any] = self._execute_module(
            module_name="ascend.fleet.npu_driver_state", module_args=arguments, task_vars=task_vars
        )
        result.pop("invocation", None)  # the plan is long, and stands in the file that it has written
        return result
