# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module that records on a host what is done there, with who does it. For the controller alone."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ._controller import operator


class StateAction(ActionBase):
    """The action of a module with the option ``by``: it knows who runs Ansible, and where."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    #: The module that the action of this name runs.
    MODULE = ""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if not arguments.get("by"):
            arguments["by"] = operator()
        result: dict[str, Any] = self._execute_module(
            module_name=self.MODULE, module_args=arguments, task_vars=task_vars
        )
        result.pop("invocation", None)  # releases and plans are long, and stand in the file that it has written
        return result
