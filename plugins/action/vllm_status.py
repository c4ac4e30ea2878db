# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what all replicas of the play are doing, and whether requests go to them, as one table."""

from __future__ import annotations

from typing import Any, Optional

from ..module_utils._drift.findings import DRIFT
from ..module_utils._preflight import report as preflight
from ..module_utils._serving import status
from ..plugin_utils import _drift_report, _queries, _tables
from ..plugin_utils._play_variables import PlayVariables
from ..plugin_utils._registered import AllHostsAction
from ..plugin_utils._replicas import gather

_ROLES = ("vllm_gateway",)


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.vllm_status``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "node_variable": {"type": "str", "required": True},
                "shared_variable": {"type": "str", "required": True},
                "own_variable": {"type": "str", "required": True},
                "drift_variable": {"type": "str"},
                "title": {"type": "str", "default": ""},
                "query": {"type": "str", "default": ""},
                "json_path": {"type": "path"},
            }
        )
        known = task_vars or {}
        play = PlayVariables(known, self._task, self._loader, _ROLES)
        report = gather(known, play, options)
        drift: Optional[dict[str, Any]] = None
        if options["drift_variable"]:
            drift, _stopped = _drift_report.gather(
                known, self._task, self._loader, self._templar, options["drift_variable"]
            )
            report["drift"] = drift
        try:
            if options["query"]:
                result["selected"] = _queries.show(report, options["query"])
            else:
                _tables.show(status.lines(report, options["title"]))
                _tables.show(preflight.short_lines(drift, DRIFT) if drift else ())
        except _queries.QueryError as exc:
            result.update(failed=True, msg=str(exc))
        if options["json_path"] and not self._task.check_mode:
            result.update(_tables.save(report, options["json_path"], "fleet_status_json"))
        result.update(changed=False, report=report)
        return result
