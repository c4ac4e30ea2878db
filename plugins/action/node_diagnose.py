# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collect the bundle of a host detached, show how far it is, fetch it, and remove it from the host."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import time
from typing import Any, Mapping, Optional

from ansible.errors import AnsibleConnectionFailure

from ..module_utils._base.files import write_atomically
from ..plugin_utils import _controller
from ..plugin_utils._detached import DetachedAction, read_progress
from ..plugin_utils._progress_lines import Lines, Pace, display, lines_for

# The module's own deadline where the caller gives none, and what it may take beside: one source, and packing.
TIMEOUT_SECONDS = 900
SPARE_SECONDS = 600
QUIET_SECONDS = 30
_STEPS = 5
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class Teller:
    """Prints a line for every fifth of the sources, and when one takes long."""

    def __init__(self, host: str, say: Any, now: Any = time.monotonic) -> None:
        self._host = host
        self._say = say
        self._pace = Pace(QUIET_SECONDS, now)

    def tell(self, report: Mapping[str, Any]) -> None:
        """Print how far it is, unless that was just said."""
        try:
            number, count, title = int(report["number"]), int(report["count"]), str(report["title"])
        except (KeyError, TypeError, ValueError):
            return
        if self._pace.is_due("sources", number * _STEPS // max(count, 1)):
            self._say("%s  diagnose  %d/%d  %s" % (self._host, number, count, title))


def safe_name(host: str) -> str:
    """The name of a host as the name of a file."""
    name = _UNSAFE.sub("_", host)[:100]
    return name if name[:1].isalnum() else "host" + name


def salt() -> str:
    """The same for all hosts of this run of Ansible, and not to be guessed from outside of this controller."""
    return hashlib.sha256(json.dumps(_controller.process(), sort_keys=True).encode()).hexdigest()


class ActionModule(DetachedAction):
    """The action of ``ascend.fleet.node_diagnose``."""

    TRANSFERS_FILES = False
    MODULE = "ascend.fleet.node_diagnose"

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Collect; where ``dest`` is given, fetch the bundle and remove it from the host in any case."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = self._arguments()
        dest = arguments.pop("dest", None)
        if arguments.get("state") == "absent" or self._task.check_mode or self._task.async_val:
            return self._module(arguments, task_vars)
        host = str(task_vars.get("inventory_hostname", ""))
        arguments = {"name": safe_name(host), "salt": salt(), **arguments}
        shown = lines_for(self, task_vars) is Lines.ALL
        teller = Teller(host, display.display)

        def on_progress(text: str) -> None:
            if shown:
                teller.tell(read_progress(text, {}))

        limit = int(float(arguments.get("timeout") or TIMEOUT_SECONDS)) + SPARE_SECONDS
        result = self._run_detached(self.MODULE, arguments, task_vars, limit, on_progress)
        result.pop("invocation", None)
        if not dest or result.get("failed") or result.get("unreachable") or not result.get("archive"):
            return result
        try:
            result.update(self._fetch(result, str(dest), task_vars))
        finally:
            removed = self._removed(str(result["archive"]), task_vars)
        if removed:
            result.setdefault("warnings", []).append(removed)
        return result

    def _fetch(self, result: Mapping[str, Any], dest: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Write the bundle to the controller; returns where it lies, or what the result needs where that fails."""
        path = str(result["archive"])
        answer = self._execute_module(
            module_name="ansible.legacy.slurp", module_args={"src": path}, task_vars=task_vars
        )
        try:
            data = base64.b64decode(answer["content"], validate=True)
        except (KeyError, TypeError, binascii.Error):
            return _failed(
                "found no content of %s: %s; needed the bundle" % (path, answer.get("msg") or "no reason given")
            )
        if hashlib.sha256(data).hexdigest() != result.get("sha256"):
            return _failed("found another content of %s than was written; needed the same" % path)
        target = os.path.join(os.path.expanduser(dest), os.path.basename(path))
        try:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            write_atomically(target, data, 0o600)
        except OSError as exc:
            return _failed("found %s: %s; needed to write the bundle there" % (target, exc.strerror))
        return {"bundle": target}

    def _removed(self, path: str, task_vars: dict[str, Any]) -> str:
        """Remove the bundle from the host; why it is still there where that fails."""
        try:
            answer = self._module({"state": "absent", "path": path}, task_vars)
        except AnsibleConnectionFailure as exc:
            answer = {"failed": True, "msg": str(exc)}
        if not answer.get("failed") and not answer.get("unreachable"):
            return ""
        return "%s was not removed from the host: %s. The next run removes it" % (path, answer.get("msg"))


def _failed(words: str) -> dict[str, Any]:
    return {"failed": True, "msg": "%s. Fix: see the host and the folder, and run it again" % words}
