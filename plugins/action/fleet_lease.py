# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the lease of a host for this run of Ansible, also after an earlier run of the same person was killed."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ansible.plugins.action import ActionBase

from ..module_utils._base.native import to_native_types
from ..plugin_utils import _controller


class ActionModule(ActionBase):
    """The action of ``ascend.fleet.fleet_lease``: it knows who runs Ansible, where, and in which process."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = _controller.claim(self._task.args)
        result = self._lease(arguments, task_vars)
        left = to_native_types(result.get("asked"))
        if result.get("failed") and left and _controller.is_gone(left["process"]):
            # It is of a run from here that was killed.
            result = self._lease({**arguments, "gone": left["process"]}, task_vars)
        return result

    def _lease(self, arguments: Mapping[str, Any], task_vars: Optional[dict[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name="ascend.fleet.fleet_lease", module_args=dict(arguments), task_vars=task_vars
        )
        return found
