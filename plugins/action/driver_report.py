# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what would become of driver and firmware of all hosts, or what has; keep it as JSON and Markdown."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, Mapping, Optional

from ..module_utils._base.files import write_atomically
from ..module_utils._base.native import to_native_types
from ..module_utils._driver import tables
from ..module_utils._upgrade import window
from ..plugin_utils import _tables
from ..plugin_utils._driver_fleet import Fleet
from ..plugin_utils._registered import AllHostsAction

VARIABLE = "fleet_reports"


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.driver_report``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "release": {"type": "str", "required": True},
                "change": {"type": "str", "default": ""},
                "waves": {"type": "dict", "default": {}},
                "reasons": {"type": "list", "elements": "str", "default": []},
                "notes": {"type": "list", "elements": "str", "default": []},
                "folder": {"type": "str", "default": ""},
                "plan": {"type": "bool", "default": False},
            }
        )
        options = to_native_types(options)
        fleet = Fleet(task_vars or {})
        try:
            aside = fleet.set_aside(datetime.now().astimezone())
        except window.WindowError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        hosts = fleet.described(options["waves"], aside)
        result["changed"] = False
        if options["plan"]:
            found = tables.planned(hosts, options["release"], options["reasons"])
            _tables.show(tables.plan_lines(found))
            result["plan"] = found
            result.update(_save(found, tables.plan_markdown(found), options, "plan"))
            return result
        whole = tables.done(hosts, options["release"], options["change"], options["notes"])
        _tables.show(tables.done_lines(whole))
        in_maintenance = [h["name"] for h in whole["hosts"] if h["outcome"] == tables.MAINTENANCE]
        result.update(report=whole, in_maintenance=in_maintenance)
        result.update(_save(whole, tables.done_markdown(whole), options, "report"))
        return result


def _save(data: Mapping[str, Any], text: str, options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Write both forms where a folder is named; returns where they lie, or why not."""
    if not options["folder"]:
        return {"files": []}
    folder = os.path.join(os.path.expanduser(options["folder"]), options["change"] or "driver")
    paths = [os.path.join(folder, name + suffix) for suffix in (".json", ".md")]
    problem = _tables.save(data, paths[0], VARIABLE)
    if problem:
        return problem
    try:
        write_atomically(paths[1], text)
    except OSError as exc:
        found = "found %s: %s; needed to write the report there" % (paths[1], exc.strerror)
        return {"failed": True, "msg": "%s. Fix: another folder in %s" % (found, VARIABLE)}
    return {"files": paths}
