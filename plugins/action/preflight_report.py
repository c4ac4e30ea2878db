# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check every host of the play in one process on the controller, and print one report."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, Optional

from ansible.plugins.loader import lookup_loader

from ..module_utils._base.files import write_atomically
from ..module_utils._base.native import to_native_types
from ..module_utils._npu import hardware
from ..module_utils._preflight import report as _preflight
from ..plugin_utils import _site_checks, _tables
from ..plugin_utils._play_variables import HostVariables, PlayVariables
from ..plugin_utils._preflight_plan import HostSettings, findings_of_all, settings_of
from ..plugin_utils._registered import AllHostsAction, PlayHosts, unread

#: Roles whose settings decide what a host needs, and which the play may leave to another one.
_ROLES = ("model_artifacts", "vllm_serve", "vllm_gateway", "npu_preflight")


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.preflight_report``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "variable": {"type": "str", "default": "npu_preflight_findings"},
                "node_variable": {"type": "str", "default": "npu_preflight_node"},
                "result_variable": {"type": "str", "default": ""},
                "check": {"type": "bool", "default": False},
                "report": {"type": "dict"},
                "show": {"type": "bool", "default": True},
                "after_stop": {"type": "bool", "default": False},
                "title": {"type": "str", "default": ""},
                "json_path": {"type": "path"},
                "junit_path": {"type": "path"},
            },
            required_if=[("check", True, ("result_variable",))],
        )
        findings: dict[str, Any] = {}
        settings: dict[str, HostSettings] = {}
        report = to_native_types(options["report"])
        if not report:
            report, findings, settings = self._gather(options, task_vars or {})
        if options["check"]:
            result["stopped"] = stopped(report, settings)
            if result["stopped"] and options["after_stop"]:
                result.update(changed=False, report=report, findings=findings)
                return result
        if options["show"]:
            _tables.show(_preflight.lines(report, options["title"]))
        files = {} if self._task.check_mode else {"json_path": _json, "junit_path": _preflight.junit}
        for option, render in files.items():
            path = options[option]
            try:
                if path:
                    _write(path, render(report))
            except OSError as exc:
                result.update(failed=True, msg="the report cannot be written to %s: %s" % (path, exc.strerror))
        result.update(changed=False, report=report)
        if findings:
            result["findings"] = findings
        return result

    def _gather(
        self, options: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, HostSettings]]:
        """The report of every host of the play, the findings by host, and the settings of those that were checked."""
        hosts = PlayHosts(task_vars)
        reasons: dict[str, str] = {}
        about: dict[str, str] = {}
        settings: dict[str, HostSettings] = {}
        # What a former role left in the variables of a host that has died since says nothing about now.
        present = [host for host in hosts.everyone if host in hosts.alive]
        if options["check"]:
            findings, settings = self._check(options, task_vars, present, about, reasons)
        else:
            findings = _collect(options, task_vars, present, about, reasons)
        own = _site_checks.entries([check for host in settings.values() for check in host.site_checks])
        return _preflight.build(hosts.everyone, findings, about, reasons, site_checks=own), findings, settings

    def _check(
        self,
        options: Mapping[str, Any],
        task_vars: Mapping[str, Any],
        hosts: list[str],
        about: dict[str, str],
        reasons: dict[str, str],
    ) -> tuple[dict[str, Any], dict[str, HostSettings]]:
        """Work out the findings of the hosts that were read; beside them the settings."""
        play = PlayVariables(task_vars, self._task, self._loader, _ROLES)
        nodes: dict[str, dict[str, Any]] = {}
        releases: dict[str, dict[str, Any]] = {}
        settings: dict[str, HostSettings] = {}
        known: dict[tuple[str, str], dict[str, Any]] = {}
        for host in hosts:
            try:
                variables = play.of(host)
                answer = variables.registered(options["result_variable"])
                why = unread(answer)
                if why is None:
                    releases[host] = self._release(variables, known)
                    settings[host] = settings_of(variables)
                    nodes[host] = answer["node"]
                    about[host] = describe(answer["node"])
                else:
                    reasons[host] = why
            except Exception as exc:  # one host's broken variables must not hide another's findings
                reasons[host] = "its settings cannot be used: %s" % " ".join(str(exc).split())
        findings, failed = findings_of_all(nodes, releases, settings)
        reasons.update({host: "its settings cannot be used: %s" % why for host, why in failed.items()})
        return findings, settings

    def _release(self, variables: HostVariables, known: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
        """The release of a host, read once for all hosts of one name and inventory."""
        name, folder = str(variables["fleet_release"]), str(variables.get("inventory_dir"))
        if (name, folder) not in known:
            lookup = lookup_loader.get("ascend.fleet.release", loader=self._loader, templar=self._templar)
            known[name, folder] = to_native_types(lookup.run([name], variables=variables)[0])
        return known[name, folder]


def stopped(report: Mapping[str, Any], settings: Mapping[str, HostSettings]) -> list[str]:
    """The hosts that do not go on, by what each of them takes for a reason."""
    found = []
    for host, about in report["hosts"].items():
        own = settings.get(host)
        enough = ("not checked", "error", *(["warning"] if own and own.fail_on == "warning" else []))
        if about["worst"] in enough:
            found.append(host)
    return found


def _collect(
    options: Mapping[str, Any],
    task_vars: Mapping[str, Any],
    hosts: list[str],
    about: dict[str, str],
    reasons: dict[str, str],
) -> dict[str, Any]:
    """The findings that earlier tasks have left in the variables of the hosts."""
    hostvars = task_vars.get("hostvars") or {}
    findings: dict[str, Any] = {}
    for host in hosts:
        try:
            own = hostvars[host]
            why = unread(own.get(options["result_variable"])) if options["result_variable"] else None
            if why is not None:
                reasons[host] = why
                continue
            found = own.get(options["variable"])
            if isinstance(found, list):
                findings[host] = to_native_types(found)
                about[host] = describe(own.get(options["node_variable"]))
            else:
                reasons[host] = "it has no variable `%s`: its checks did not run" % options["variable"]
        except Exception as exc:  # one host's broken variables must not hide another's findings
            reasons[host] = "its findings cannot be read: %s" % exc
    return findings


def describe(node: Any) -> str:
    """A host in a few words: generation, architecture, driver."""
    node = to_native_types(node)
    if not isinstance(node, Mapping):
        return ""
    generation = hardware.generation_of_pci(list(node.get("pci") or []))
    driver = ((node.get("versions") or {}).get("driver") or {}).get("version")
    words = [generation or "", str(node.get("architecture") or ""), "driver %s" % driver if driver else ""]
    return " ".join(w for w in words if w)


def _json(report: Mapping[str, Any]) -> str:
    return json.dumps(report, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _write(path: str, text: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    write_atomically(path, text)
