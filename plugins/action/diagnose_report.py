# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Name the folder of a diagnosis, and write the first page of the fleet into it."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import Any, Mapping, Optional

from ..module_utils._base.files import write_atomically
from ..module_utils._base.native import to_native_types
from ..module_utils._diagnose import page
from ..plugin_utils import _reports, _tables
from ..plugin_utils._registered import MOST, AllHostsAction, PlayHosts, failure

NAME = "diagnose"


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.diagnose_report``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["begun", "written"], "default": "written"},
                "reports": {"type": "str", "default": ""},
                "folder": {"type": "str", "default": ""},
                "variable": {"type": "str", "default": ""},
            },
            required_if=[("state", "written", ["folder", "variable"])],
        )
        options, known = to_native_types(options), task_vars or {}
        result["changed"] = False
        now = datetime.now(timezone.utc)
        if options["state"] == "begun":
            return {**result, **begin(options["reports"], known, now, check=bool(self._task.check_mode))}
        found = gather(known, options["variable"], now)
        _tables.show(page.lines(found))
        result["page"] = found
        if self._task.check_mode:
            return {**result, "files": []}
        return {**result, **write(found, options["folder"])}


def begin(reports: str, task_vars: Mapping[str, Any], now: datetime, *, check: bool) -> dict[str, Any]:
    """The folder of this diagnosis. It is made now: who cannot write there learns it before anything is collected."""
    folder = _reports.folder(reports, task_vars, "diagnose-" + now.strftime("%Y%m%dT%H%M%SZ"))
    if not folder:
        found = "found no inventory file; needed one, beside which the bundles would lie"
        return {"failed": True, "msg": "%s. Fix: -e %s=/a/folder" % (found, _reports.VARIABLE)}
    if not check:
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        except OSError as exc:
            return _not_written(folder, exc)
    return {"folder": folder}


def gather(task_vars: Mapping[str, Any], variable: str, now: datetime) -> dict[str, Any]:
    """The page of every host of the play. variable: of the hosts, with the result of node_diagnose."""
    play = PlayHosts(task_vars)
    hostvars = task_vars.get("hostvars") or {}
    indexes: dict[str, Any] = {}
    absent: dict[str, str] = {}
    bundles: dict[str, str] = {}
    for host in play.everyone:
        try:
            registered = to_native_types(hostvars[host].get(variable))
        except Exception as exc:  # one host's broken variables must not hide another's
            absent[host] = "its variables cannot be used: %s" % " ".join(str(exc).split())[:MOST]
            continue
        if not isinstance(registered, Mapping) or not isinstance(registered.get("index"), Mapping):
            absent[host] = reason(registered)
            continue
        indexes[host] = {**registered["index"], **{k: registered.get(k) for k in ("size", "sha256")}}
        if registered.get("bundle"):
            bundles[host] = os.path.basename(str(registered["bundle"]))
        else:
            absent[host] = failure(registered, most=MOST)
    return page.build(indexes, absent, bundles, now.strftime("%Y-%m-%dT%H:%M:%SZ"))


def reason(registered: Any) -> str:
    """Why a host has no bundle."""
    if not isinstance(registered, Mapping):
        return "it was not asked"
    if registered.get("sources") and not registered.get("failed"):
        return "in check mode nothing is collected; it has %d sources" % len(registered["sources"])
    return failure(registered, most=MOST)


def write(found: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Write the page in both forms; returns where they lie, or what the result needs where that fails."""
    paths = [os.path.join(folder, NAME + suffix) for suffix in (".md", ".json")]
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        write_atomically(paths[0], page.markdown(found), 0o600)
        write_atomically(paths[1], json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n", 0o600)
    except OSError as exc:
        return _not_written(folder, exc)
    return {"files": paths}


def _not_written(folder: str, exc: OSError) -> dict[str, Any]:
    found = "found %s: %s; needed to write the diagnosis there" % (folder, exc.strerror)
    return {"failed": True, "msg": "%s. Fix: another folder in %s" % (found, _reports.VARIABLE)}
