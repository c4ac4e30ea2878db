# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together from the variables of all hosts what Prometheus is to ask, and have it so in one call."""

from __future__ import annotations

from typing import Any, Optional

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._base.native import to_native_types
from ..plugin_utils import _monitoring
from ..plugin_utils._play_variables import PlayVariables, SettingsError


class ActionModule(ActionBase):
    """The action ``ascend.fleet.fleet_prometheus``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, options = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "when_missing": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
            }
        )
        known = task_vars or {}
        host = str(known.get("inventory_hostname", ""))
        play = PlayVariables(known, self._task, self._loader, _monitoring.ROLES)
        arguments: dict[str, Any] = dict(options)
        try:
            if options["state"] == "present":
                groups = to_native_types(dict(known.get("groups", {})))
                arguments.update(_monitoring.arguments_of(host, play.of, groups))
            else:
                arguments["folder"] = str(play.of(host)["fleet_monitoring_path"])
        except (_monitoring.MonitoringError, SettingsError, AnsibleError) as exc:
            return {**result, "failed": True, "msg": "%s: %s" % (host, exc)}
        result.update(
            self._execute_module(module_name="ascend.fleet.fleet_prometheus", module_args=arguments, task_vars=known)
        )
        for note in result.get("notes") or []:
            Display().warning(note)
        result.pop("invocation", None)
        return result
