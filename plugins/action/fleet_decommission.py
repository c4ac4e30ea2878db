# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the module where this connection's asynchronous jobs leave their files: only the controller knows it."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ..module_utils._base.detached import ASYNC_FOLDER


class ActionModule(ActionBase):
    """The action of ``ascend.fleet.fleet_decommission``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Run the module with the folder that ``async_dir`` names."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        arguments.setdefault("async_dir", str(self.get_shell_option("async_dir", default=ASYNC_FOLDER)))
        result.update(
            self._execute_module(
                module_name="ascend.fleet.fleet_decommission", module_args=arguments, task_vars=task_vars
            )
        )
        result.pop("invocation", None)
        return result
