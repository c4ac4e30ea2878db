# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Divide the hosts of the play into waves, in one process on the controller."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping, Optional

from ..module_utils._base.native import to_native_types
from ..module_utils._serving import waves
from ..module_utils._serving.settings import ServingError
from ..module_utils._upgrade import lease, window
from ..plugin_utils import _controller, _wave_plan
from ..plugin_utils._progress_lines import display
from ..plugin_utils._registered import AllHostsAction, together
from ..plugin_utils._upgrade_hosts import Hosts


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.fleet_waves``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "variable": {"type": "str", "required": True},
                "converged_variable": {"type": "str"},
                "until": {"type": "str"},
                "bake_minutes": {"type": "list", "elements": "float", "default": []},
                "change": {"type": "str", "default": ""},
                "take_over": {"type": "str", "default": ""},
                **_wave_plan.OPTIONS,
            }
        )
        options = to_native_types(options)
        now = datetime.now().astimezone()
        try:
            until = window.end_of(options["until"], now)
            plan = _wave_plan.plan(options, task_vars or {}, now)
        except (ServingError, window.WindowError) as exc:
            return {**result, "failed": True, "msg": str(exc)}
        held = _held(Hosts(task_vars or {}), plan.waves, options)
        if held and not self._task.check_mode:
            return {**result, "failed": True, "msg": "\n".join(held)}
        for line in held:
            display.warning(line)
        found = plan.waves
        found.keep(window.fitting(_seconds(found, options["bake_minutes"]), now, until))
        for host, words in plan.set_aside.items():
            display.display("%s is left alone, because it is under maintenance: %s" % (host, words))
        for line in found.lines():
            display.display(line)
        if until and found.left:
            words = "what is expected of them does not end by %s" % until.isoformat(timespec="minutes")
            display.display("left for another time, because %s: %s" % (words, ", ".join(found.left)))
        result.update(changed=False, **waves.describe(found))
        result.update(set_aside=dict(plan.set_aside), until=until.isoformat(timespec="seconds") if until else "")
        result["expected_seconds"] = {h.name: h.expected_seconds for group in found.groups for h in group.hosts}
        if found.outages and (options["accept_outage"] or self._task.check_mode):
            for words in found.outages:
                display.warning(words)
        elif found.outages:
            result.update(failed=True, msg="\n".join(found.outages))
        return result


def _held(hosts: Hosts, found: waves.Waves, options: Mapping[str, Any]) -> list[str]:
    """Why hosts may not be changed beside the change of somebody else, a line for each lease."""
    known = _controller.claim({})
    claim = lease.Claim(known["holder"], known["controller"], options["change"], process=known["process"])
    hindered: dict[str, str] = {}
    for name in [host.name for group in found.groups for host in group.hosts]:
        about = hosts.mapping(name, options["variable"]).get("lease")
        if about and (hosts.plan(name, options["variable"]) or {}).get("steps"):
            left = about.get("process") or {}
            gone = left if _controller.is_gone(left) else None
            words = lease.hindrance(about, claim, take_over=options["take_over"], gone=gone)
            if words:
                hindered[name] = words
    return together(hindered)


def _seconds(found: waves.Waves, bake_minutes: list[float]) -> list[Optional[float]]:
    """What is expected of each group: the change of its slowest host, and the bake behind it."""
    first = 60 * bake_minutes[0] if bake_minutes else 0.0
    later = 60 * bake_minutes[-1] if bake_minutes else 0.0
    return [
        None if g.expected_seconds is None else g.expected_seconds + (first if g.kind == waves.CANARY else later)
        for g in found.groups
    ]
