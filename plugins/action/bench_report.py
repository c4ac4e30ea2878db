# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what a benchmark has measured on all hosts of the play, and keep it on the controller."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional

from ..module_utils._base.native import to_native_types
from ..module_utils._bench import findings, history, report
from ..plugin_utils import _locks, _tables
from ..plugin_utils._registered import AllHostsAction, PlayHosts

VARIABLE = "vllm_bench_reports_path"


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.bench_report``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "variable": {"type": "str", "default": "vllm_bench_result"},
                "title": {"type": "str", "default": ""},
                "folder": {"type": "str", "default": ""},
                "tolerances": {"type": "dict", "default": {}},
            }
        )
        known = task_vars or {}
        found, reasons = gather(known, options["variable"])
        result["changed"] = False
        if self._task.check_mode:
            plans = {host: own["plan"] for host, own in found.items() if own.get("plan")}
            _tables.show(report.plan_lines(plans, reasons))
            return {**result, "plans": plans, "slow": [], "report": {}}
        tolerances = {str(k): float(v) for k, v in to_native_types(options["tolerances"]).items()}
        results = {host: own.get("measurements") or [] for host, own in found.items()}
        notes = [f"{host}: {n}" for host, own in found.items() for n in (own.get("plan") or {}).get("notes") or []]
        whole = report.build(list(found) + [h for h in reasons if h not in found], results, reasons, tolerances, notes)
        _tables.show(report.lines(whole, options["title"]))
        where = folder(options["folder"], known)
        if where and whole["run"]:
            result.update(save(whole, os.path.join(where, str(whole["run"]))))
        errors = {f["host"] for f in whole["findings"] if f["severity"] == findings.ERROR}
        result.update(report=whole, folder=where, slow=sorted(errors), plans={})
        return result


def folder(wanted: str, task_vars: Mapping[str, Any]) -> Optional[str]:
    """Where reports lie on the controller: as wanted, or ``reports/benchmark`` beside the inventory."""
    if wanted:
        return os.path.expanduser(wanted)
    beside = _locks.folder({k: to_native_types(task_vars[k]) for k in _locks.VARIABLES[:2] if task_vars.get(k)})
    return None if beside is None else os.path.join(str(beside.parent), "reports", "benchmark")


def save(whole: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Write the report, and the results of each host as they lie on the host."""
    for host in whole["hosts"]:
        own = [{k: v for k, v in m.items() if k != "verdict"} for m in whole["measurements"] if m["host"] == host]
        content = {"schema": history.SCHEMA, "host": host, "measurements": own}
        problem = _tables.save(content, os.path.join(path, "%s.json" % host), VARIABLE)
        if problem:
            return problem
    return _tables.save(whole, os.path.join(path, "report.json"), VARIABLE)


def gather(task_vars: Mapping[str, Any], variable: str) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What every host of the play has, and why a host has nothing."""
    hosts = PlayHosts(task_vars)
    hostvars = task_vars.get("hostvars") or {}
    found: dict[str, dict[str, Any]] = {}
    reasons: dict[str, str] = {}
    for host in hosts.everyone:
        try:
            own = to_native_types(hostvars[host].get(variable))
        except Exception as exc:  # one host's broken variables must not hide another's results
            reasons[host] = "its results cannot be read: %s" % " ".join(str(exc).split())
            continue
        if isinstance(own, dict) and (own.get("plan") or own.get("measurements")):
            found[host] = own
            if own.get("problem"):
                reasons[host] = str(own["problem"])
        elif isinstance(own, dict) and own.get("problem"):
            reasons[host] = str(own["problem"])
        else:
            reasons.update(hosts.absence(host, "it was not asked in this run"))
    return found, reasons
