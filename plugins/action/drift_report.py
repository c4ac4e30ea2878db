# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare every host of the play with its release and with the fleet, in one process on the controller."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ..module_utils._base.native import to_native_types
from ..module_utils._drift.findings import DRIFT
from ..module_utils._preflight import report as _report
from ..plugin_utils import _drift_report, _queries, _tables
from ..plugin_utils._registered import AllHostsAction


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.drift_report``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "result_variable": {"type": "str"},
                "report": {"type": "dict"},
                "after_stop": {"type": "bool", "default": False},
                "show": {"type": "bool", "default": True},
                "title": {"type": "str", "default": ""},
                "query": {"type": "str", "default": ""},
                "json_path": {"type": "path"},
            },
            required_one_of=[("result_variable", "report")],
        )
        report: Any = to_native_types(options["report"])
        stopped: list[str] = []
        try:
            if options["query"]:
                _queries.checked(options["query"], "fleet_query")
            if not report:
                report, stopped = _drift_report.gather(
                    task_vars or {}, self._task, self._loader, self._templar, options["result_variable"]
                )
                result["stopped"] = stopped
            if not (stopped and options["after_stop"]):
                result.update(self._show(report, options))
        except _queries.QueryError as exc:
            result.update(failed=True, msg=str(exc))
        result.update(changed=False, report=report)
        return result

    def _show(self, report: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if options["query"]:
            found["selected"] = _queries.show(report, options["query"])
        elif options["show"]:
            _tables.show(_report.lines(report, options["title"], DRIFT))
        if options["json_path"] and not self._task.check_mode:
            found.update(_tables.save(report, options["json_path"], "fleet_drift_json"))
        return found
