# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell before and after a wave whether a change of the fleet goes on."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping, Optional, Sequence

from ..module_utils._base.native import to_native_types
from ..module_utils._base.progress import duration
from ..module_utils._upgrade import course, window
from ..plugin_utils._progress_lines import display
from ..plugin_utils._registered import AllHostsAction, PlayHosts
from ..plugin_utils._upgrade_hosts import CHANGE, OUTCOME, STATE, Hosts


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.fleet_wave``: no connection; looks at every host of the wave."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["begins", "ended"], "required": True},
                "hosts": {"type": "list", "elements": "str", "required": True},
                "stop": {"type": "dict", "default": {}},
                "until": {"type": "str"},
                "bake_minutes": {"type": "float", "default": 0.0},
                "variable": {"type": "str", "default": CHANGE},
                "state_variable": {"type": "str", "default": STATE},
                "outcome_variable": {"type": "str", "default": OUTCOME},
                "lease_variable": {"type": "str", "default": ""},
            }
        )
        options, known = to_native_types(options), task_vars or {}
        result.update(changed=False, stop=options["stop"])
        hosts, in_play = Hosts(known), PlayHosts(known)
        if options["state"] == "ended":
            outcomes = {name: hosts.mapping(name, options["outcome_variable"]) for name in options["hosts"]}
            found = course.stop_of(outcomes)
            # That a release is bad is worth more than what stopped the change before: hosts go back then.
            if found and (not options["stop"] or found["kind"] == course.BAD):
                result["stop"] = found
            return result
        now = datetime.now().astimezone()
        try:
            until = window.end_of(options["until"], now)
            aside = hosts.set_aside(in_play.everyone, now)
        except window.WindowError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        seconds = _expected(hosts, in_play, options)
        result["expected_seconds"] = seconds
        if options["stop"]:
            return result
        gone = [name for name in in_play.everyone if name not in in_play.alive and name not in aside]
        asked = _asked(hosts, options["hosts"], options["lease_variable"])
        if gone:
            result["stop"] = course.lost(gone)
        elif asked:
            result["stop"] = {"kind": course.STOPPED, "why": asked}
        elif until is not None and not window.fits(now, until, seconds):
            result["stop"] = {"kind": course.LATER, "why": _too_late(now, until, seconds)}
            names = ", ".join(options["hosts"])
            display.display("left for another time: %s: %s" % (names, result["stop"]["why"]))
        return result


def _asked(hosts: Hosts, names: Sequence[str], variable: str) -> str:
    """Who has asked the change to stop, in words; empty where nobody has."""
    leases = [hosts.registered(name, variable).get("lease") for name in names] if variable else []
    return next((course.asked(one["stop"]) for one in leases if isinstance(one, dict) and one.get("stop")), "")


def _expected(hosts: Hosts, in_play: PlayHosts, options: Mapping[str, Any]) -> Optional[float]:
    """How long the wave takes with what is waited behind it; None where nothing tells."""
    expected = hosts.expected(in_play.everyone, options["state_variable"])
    names: Sequence[str] = options["hosts"]
    times = [expected.seconds(name, hosts.plan(name, options["variable"])) for name in names]
    if None in times:
        return None
    return max((t for t in times if t is not None), default=0.0) + 60 * float(options["bake_minutes"])


def _too_late(now: datetime, until: datetime, seconds: Optional[float]) -> str:
    takes = "unknown" if seconds is None else duration(seconds)
    return "it is %s, the wave is expected to take %s, and it has to end by %s (fleet_until)" % (
        now.isoformat(timespec="minutes"),
        takes,
        until.isoformat(timespec="minutes"),
    )
