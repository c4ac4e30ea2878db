# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drift of all hosts of a play as one report, for whoever shows it. For the controller alone."""

from __future__ import annotations

from typing import Any, Mapping

from ..module_utils._drift.findings import DRIFT
from ..module_utils._npu import hardware
from ..module_utils._preflight import report as _report
from . import _drift_plan, _site_checks
from ._host_releases import Releases, reader
from ._play_variables import PlayVariables
from ._registered import PlayHosts, unread

#: Roles whose settings decide what a host is to run, and which the play may leave to another one.
ROLES = ("model_artifacts", "vllm_serve", "vllm_gateway", "npu_preflight")


def gather(
    task_vars: Mapping[str, Any], task: Any, loader: Any, templar: Any, variable: str
) -> tuple[dict[str, Any], list[str]]:
    """The report, and the hosts with a reason to end with an error, by what each of them takes for one.

    variable: with the registered result of npu_info. A host that was not read, or whose variables cannot be used, is
    in the report as not checked.
    """
    play = PlayVariables(task_vars, task, loader, ROLES)
    releases = Releases(reader(loader, templar))
    hosts = PlayHosts(task_vars)
    reasons: dict[str, str] = {}
    nodes: dict[str, dict[str, Any]] = {}
    about: dict[str, str] = {}
    named: dict[str, dict[str, Any]] = {}
    wanted: dict[str, _drift_plan.Wanted] = {}
    for host in hosts.everyone:
        if host not in hosts.alive:
            continue
        try:
            variables = play.of(host)
            answer = variables.registered(variable)
            why = unread(answer)
            if why is None:
                release, words = releases.of(variables)
                if release is None:
                    raise ValueError(words)
                wanted[host] = _drift_plan.wanted_of(variables)
                named[host], nodes[host], about[host] = release, answer["node"], describe(answer["node"])
            else:
                reasons[host] = why
        except Exception as exc:  # one host's broken variables must not hide another's findings
            reasons[host] = "its settings cannot be used: %s" % " ".join(str(exc).split())
    findings, failed = _drift_plan.findings_of_all(nodes, named, wanted)
    reasons.update({host: "its settings cannot be used: %s" % why for host, why in failed.items()})
    checks = _site_checks.entries([check for own in wanted.values() for check in own.host.site_checks])
    report = _report.build(hosts.everyone, findings, about, reasons, kind=DRIFT, site_checks=checks)
    return report, stopped(report, wanted)


def stopped(report: Mapping[str, Any], wanted: Mapping[str, _drift_plan.Wanted]) -> list[str]:
    """The hosts that have drifted far enough to fail, or that were not looked at."""
    found = []
    for host, entry in report["hosts"].items():
        own = wanted.get(host)
        enough = (_report.NOT_CHECKED, "error", *(["warning"] if own and own.host.fail_on == "warning" else []))
        if entry["worst"] in enough:
            found.append(host)
    return found


def describe(node: Mapping[str, Any]) -> str:
    """A host in a few words: generation, architecture, and the releases that it runs."""
    generation = hardware.generation_of_pci(list(node.get("pci") or []))
    units = (node.get("serving") or {}).get("units") or []
    running = ", ".join(sorted({str(u.get("release")) for u in units})) or "no replica"
    return " ".join(w for w in (generation or "", str(node.get("architecture") or ""), running) if w)
