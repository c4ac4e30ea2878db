# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the hosts that go back together, over all hosts of the play at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping, Optional, Sequence

from ..module_utils._base.native import to_native_types
from ..module_utils._upgrade import back, window
from ..plugin_utils._progress_lines import display
from ..plugin_utils._registered import AllHostsAction, PlayHosts, failure, together
from ..plugin_utils._upgrade_hosts import STATE, Hosts


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.rollback_plan``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "release": {"type": "str", "default": ""},
                "changed": {"type": "list", "elements": "str"},
                "state_variable": {"type": "str", "default": STATE},
                "lease_variable": {"type": "str", "default": "__upgrade_lease"},
            }
        )
        options, known = to_native_types(options), task_vars or {}
        in_play, hosts = PlayHosts(known), Hosts(known)
        try:
            aside = hosts.set_aside(in_play.everyone, datetime.now().astimezone())
        except window.WindowError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        aside = {name: "it is under maintenance: %s" % words for name, words in aside.items()}
        found: list[back.Host] = []
        for name in in_play.everyone:
            about = hosts.registered(name, options["state_variable"])
            if name in aside:
                continue
            if name in in_play.alive and isinstance(about.get("state"), dict):
                found.append(back.Host(name, about["state"], about.get("runs_last_good")))
                continue
            words = failure(hosts.mapping(name, options["state_variable"]), "it failed or was unreachable before")
            aside[name] = "what it serves could not be read (%s)" % words
        result.update(changed=False, fleet=[host.name for host in found])
        if options["changed"] is not None:
            return {**result, **_of_this_run(found, options["release"], options["changed"])}
        held = _held(hosts, result["fleet"], options["lease_variable"])
        if held and not self._task.check_mode:
            return {**result, "failed": True, "msg": "\n".join(held)}
        for words in held:
            display.warning(words)
        return {**result, **_planned(found, aside, options["release"])}


def _planned(found: Sequence[back.Host], aside: Mapping[str, str], release: str) -> dict[str, Any]:
    """Those that the newest change has reached."""
    planned = back.plan(found, release)
    everybody = {**aside, **planned.aside}
    for name, words in everybody.items():
        display.display("%s is left alone: %s" % (name, words))
    result: dict[str, Any] = {
        "hosts": list(planned.targets),
        "targets": planned.targets,
        "left": planned.left,
        "release": ", ".join(dict.fromkeys(planned.targets.values())),
        "aside": everybody,
        "notes": [],
    }
    if not planned.targets:
        lines = ["%s: %s" % pair for pair in everybody.items()]
        words = (
            "found no host to take back; needed one that serves what the newest change has brought (%s), and has a "
            "record of what it served well before. Fix: none, where the fleet serves what it should; otherwise "
            "upgrade.yml with the release that is wanted" % (planned.left or "none is recorded")
        )
        result.update(failed=True, msg="\n".join([words, *lines]))
    return result


def _of_this_run(found: Sequence[back.Host], release: str, changed: Sequence[str]) -> dict[str, Any]:
    """Those that this run has changed, and those on which an earlier one has left the same change open."""
    opened = [h.name for h in found if h.state["change"] and back.has(h.state, release)]
    names = list(dict.fromkeys([*(h.name for h in found if h.name in changed), *opened]))
    stay = back.of_earlier_runs(found, release, names)
    notes = []
    if stay:
        notes.append(
            "%s: found on %s since an earlier run, which it has served well; left as it is. To take it back too: "
            "rollback.yml --limit %s" % (", ".join(stay), release, ",".join(stay))
        )
    return {"hosts": names, "targets": {}, "left": release, "release": "", "aside": {}, "notes": notes}


def _held(hosts: Hosts, names: Sequence[str], variable: str) -> list[str]:
    """Why hosts could not be held for this change, a line for each reason."""
    leases = {name: hosts.mapping(name, variable) for name in names}
    return together({name: failure(lease) for name, lease in leases.items() if lease.get("failed")})
