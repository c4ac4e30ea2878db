# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print one preflight report for all hosts of the play."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, Optional

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._base.files import write_atomically
from ..module_utils._base.native import to_native_types
from ..module_utils._npu import hardware
from ..module_utils._preflight import report as _preflight

_COLORS = {"error": "red", "warning": "bright purple", "ok": "green", "ignored": "dark gray"}


class ActionModule(ActionBase):
    """The action ``ascend.fleet.preflight_report``: no connection; looks at every host of the play."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "variable": {"type": "str", "default": "npu_preflight_findings"},
                "node_variable": {"type": "str", "default": "npu_preflight_node"},
                "result_variable": {"type": "str", "default": ""},
                "report": {"type": "dict"},
                "show": {"type": "bool", "default": True},
                "title": {"type": "str", "default": ""},
                "json_path": {"type": "path"},
                "junit_path": {"type": "path"},
            }
        )
        report = to_native_types(options["report"]) or self._gather(options, task_vars or {})
        display = Display()
        for line, tone in _preflight.lines(report, options["title"]) if options["show"] else ():
            display.display(line, color=_COLORS.get(tone))
        files = {} if self._task.check_mode else {"json_path": _json, "junit_path": _preflight.junit}
        for option, render in files.items():
            path = options[option]
            try:
                if path:
                    _write(path, render(report))
            except OSError as exc:
                result.update(failed=True, msg="the report cannot be written to %s: %s" % (path, exc.strerror))
        result.update(changed=False, report=report)
        return result

    def _gather(self, options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """The report of every host of the play."""
        everyone = [str(h) for h in task_vars.get("ansible_play_hosts_all") or []]
        alive = {str(h) for h in task_vars.get("ansible_play_hosts") or []}
        hostvars = task_vars.get("hostvars") or {}
        findings: dict[str, Any] = {}
        about: dict[str, str] = {}
        reasons: dict[str, str] = {}
        for host in everyone:
            findings[host] = None
            if host not in alive:
                continue  # what a former role left in its variables says nothing about now
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
        return _preflight.build(everyone, findings, about, reasons)


def unread(result: Any) -> Optional[str]:
    """Why a registered result of ``npu_info`` holds no node, in a line; None when it holds one."""
    result = to_native_types(result)
    if isinstance(result, Mapping) and isinstance(result.get("node"), Mapping):
        return None
    if not isinstance(result, Mapping):
        return "it was not read"
    said = " ".join(str(result.get("msg") or result.get("module_stderr") or "no reason was given").split())
    words = said if len(said) <= 300 else said[:299] + "…"
    return ("unreachable: %s" if result.get("unreachable") else "reading it failed: %s") % words


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
