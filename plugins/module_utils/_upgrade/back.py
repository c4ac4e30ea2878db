# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of a fleet go back together, so that none of them goes back one release too far.

A rollback undoes one change: the newest one of the fleet. Hosts that this change has not reached serve what the others
go back to, and are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .state import GOOD, rollback_target


@dataclass(frozen=True)
class Host:
    """What a host has recorded.

    state: as ``state.read`` returns it. runs_last_good: whether its units are those of the last good deployment; None
    where none is recorded.
    """

    name: str
    state: Mapping[str, Any]
    runs_last_good: Optional[bool] = None


@dataclass
class Back:
    """left: the release that is left; empty where something that was never recorded is left.

    targets: the release that each host goes back to. aside: the other hosts, and why they do not go.
    """

    left: str = ""
    targets: dict[str, str] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)


def newest(hosts: Sequence[Host]) -> str:
    """The release that the newest change of these hosts has brought, or was bringing; empty where none is recorded."""
    found = [event for host in hosts for event in [_event(host.state)] if event is not None]
    return max(found)[1] if found else ""


def _event(state: Mapping[str, Any]) -> Optional[tuple[str, str]]:
    """When the newest change of a host began, and the release that a rollback of it leaves."""
    entry = state["change"] or next((e for e in reversed(state["history"]) if e["outcome"] == GOOD), None)
    if entry is None:
        last = state["last_good"]
        return (last["since"], last["release"]) if last else None
    name = entry["from_release"] if entry["kind"] == "rollback" else entry["release"]
    return (entry["began"], name) if name else None


def plan(hosts: Sequence[Host], release: str = "") -> Back:
    """Who goes back. release: the one that is left; empty: that of the newest change.

    What is deployed and was never recorded as good is newer than every change that is.
    """
    unrecorded = {h.name for h in hosts if h.state["change"] is None and h.runs_last_good is False}
    is_open = any(h.state["change"] for h in hosts)
    left = release or ("" if unrecorded and not is_open else newest(hosts))
    found = Back(left)
    for host in hosts:
        target = rollback_target(host.state, runs_last_good=host.runs_last_good is not False)
        if host.name not in unrecorded and not (left and has(host.state, left)):
            found.aside[host.name] = _other(host.state, left)
        elif target is None:
            found.aside[host.name] = "it serves %s, and has no record of what it served well before" % (
                left or "what was never recorded as good"
            )
        else:
            found.targets[host.name] = str(target["release"])
    return found


def has(state: Mapping[str, Any], release: str) -> bool:
    """Whether a host serves this release, is being brought to it, or is on its way back from it."""
    change = state["change"]
    if change:
        return bool((change["from_release"] if change["kind"] == "rollback" else change["release"]) == release)
    return bool(state["last_good"]) and state["last_good"]["release"] == release


def _other(state: Mapping[str, Any], left: str) -> str:
    last = state["last_good"]
    if not last:
        return "nothing is recorded of it"
    words = "which the change to %s has not reached" % left if left else "as it is recorded"
    return "it serves %s, %s" % (last["release"], words)


def of_earlier_runs(hosts: Sequence[Host], release: str, changed: Sequence[str]) -> list[str]:
    """Hosts that an earlier upgrade has brought to this release, and that served it well: they stay on it."""
    found = []
    for host in hosts:
        history = host.state["history"]
        served_well = host.state["change"] is None and has(host.state, release)
        if host.name not in changed and served_well and history and history[-1]["kind"] == "upgrade":
            found.append(host.name)
    return found
