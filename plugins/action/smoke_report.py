# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what all replicas of the play have answered, as one table."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ..module_utils._base.native import to_native_types
from ..module_utils._serving import smoke_table
from ..plugin_utils import _tables
from ..plugin_utils._registered import AllHostsAction, PlayHosts, failure


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.smoke_report``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "variable": {"type": "str", "default": "vllm_smoke_result"},
                "title": {"type": "str", "default": ""},
                "json_path": {"type": "path"},
            }
        )
        report = gather(task_vars or {}, options["variable"])
        _tables.show(smoke_table.lines(report, options["title"]))
        if options["json_path"] and not self._task.check_mode:
            result.update(_tables.save(report, options["json_path"], "fleet_smoke_json"))
        result.update(changed=False, report=report)
        return result


def gather(task_vars: Mapping[str, Any], variable: str) -> dict[str, Any]:
    """The table of every host of the play."""
    hosts = PlayHosts(task_vars)
    hostvars = task_vars.get("hostvars") or {}
    results: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for host in hosts.everyone:
        try:
            own = hostvars[host]
            addresses[host] = str(own.get("ansible_host") or host)
            found = to_native_types(own.get(variable))
        except Exception as exc:  # one host's broken variables must not hide another's answers
            reasons[host] = "its answers cannot be read: %s" % " ".join(str(exc).split())
            continue
        if isinstance(found, Mapping) and found.get("answers"):
            results[host] = found
        elif isinstance(found, Mapping) and (found.get("failed") or found.get("unreachable")):
            reasons[host] = failure(found)
        elif isinstance(found, Mapping):
            results[host] = {"answers": []}
        else:
            reasons.update(hosts.absence(host, "its replicas were not asked in this run"))
    return smoke_table.build(hosts.everyone, results, addresses, reasons, clients(task_vars))


def clients(task_vars: Mapping[str, Any]) -> list[dict[str, str]]:
    """Where clients ask the gateways that this run has brought about; a floating address stands for its gateways."""
    hostvars = task_vars.get("hostvars") or {}
    found: dict[tuple[str, str], None] = {}
    for host in (task_vars.get("groups") or {}).get("all") or []:
        try:
            own = hostvars[host]
            pools = (to_native_types(own.get("vllm_gateway_result")) or {}).get("pools") or []
            if not pools:
                continue
            floating = str(own.get("vllm_gateway_floating_address") or "").partition("/")[0]
            address = floating or str(own.get("ansible_host") or host)
            scheme = "https" if own.get("vllm_gateway_certificate") else "http"
        except Exception:  # noqa: S112 - a host whose variables are broken is named by the table itself
            continue
        name = "[%s]" % address if ":" in address else address
        found.update({("%s://%s:%d/v1" % (scheme, name, pool["port"]), str(pool["model"])): None for pool in pools})
    return [{"url": url, "model": model} for url, model in found]
