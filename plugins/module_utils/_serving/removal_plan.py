# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a removal takes from a host, what it leaves there and why: one plan for the list and for what is done.

Pure: what is on the host is read elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Collection, Iterable, Mapping, Optional, Sequence

from .._base.progress import human_bytes
from .._base.text import printable

UNITS, GATEWAY, MIRROR, IMAGES = "units", "gateway", "mirror", "images"
SHARING, ARTIFACTS, SERVICE = "sharing", "artifacts", "service"
#: What is removed, in this order, and the tags of a run that mean it.
PHASES: dict[str, frozenset[str]] = {
    UNITS: frozenset({"serve"}),
    GATEWAY: frozenset({"serve", "gateway"}),
    MIRROR: frozenset({"artifacts"}),
    IMAGES: frozenset({"image"}),
    SHARING: frozenset({"serve", "artifacts"}),
    ARTIFACTS: frozenset({"artifacts"}),
    SERVICE: frozenset({"serve"}),
}
#: What took hours to bring goes only when it is asked for.
ON_REQUEST = {IMAGES: "decommission_images", ARTIFACTS: "decommission_artifacts"}
CONFIRM = "decommission_confirm"
_EVERYTHING, _SPECIAL = {"all", "tagged"}, {"always", "never"}

# A line of the list: its text and its tone, as tables have it.
Line = tuple[str, Optional[str]]


@dataclass(frozen=True)
class Thing:
    """Something of this collection on a host. ``used_by``: who else uses it, so that it cannot go."""

    phase: str
    kind: str
    name: str
    detail: str = ""
    size_bytes: Optional[int] = None
    used_by: str = ""


@dataclass(frozen=True)
class Foreign:
    """Something beside it that is not of this collection."""

    kind: str
    name: str
    reason: str


def chosen(
    run_tags: Collection[str] = ("all",), skip_tags: Collection[str] = (), *, images: bool, artifacts: bool
) -> list[str]:
    """The phases of a run with these tags, in their order."""
    asked = {IMAGES: images, ARTIFACTS: artifacts}
    wanted, unwanted = set(run_tags) - _SPECIAL, set(skip_tags)
    return [
        phase
        for phase, tags in PHASES.items()
        if asked.get(phase, True) and (wanted & _EVERYTHING or wanted & tags) and not unwanted & tags
    ]


def plan(
    things: Iterable[Thing],
    foreign: Iterable[Foreign],
    phases: Sequence[str],
    replicas: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What goes and what stays, as data. ``replicas``: those that are deployed, by unit and number."""
    order = {phase: number for number, phase in enumerate(PHASES)}
    removed: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    for thing in sorted(things, key=lambda t: order[t.phase]):
        about = asdict(thing)
        used_by = about.pop("used_by")
        if thing.phase not in phases:
            kept.append(dict(about, reason=_left_out(thing.phase, phases)))
        elif used_by:
            kept.append(dict(about, reason="%s uses it" % used_by))
        else:
            removed.append(about)
    for other in foreign:
        kept.append({"phase": "", "kind": other.kind, "name": other.name, "detail": "", "size_bytes": None})
        kept[-1]["reason"] = other.reason
    return {
        "phases": list(phases),
        "replicas": [dict(r) for r in replicas] if UNITS in phases else [],
        "removed": removed,
        "kept": kept,
    }


def _left_out(phase: str, phases: Sequence[str]) -> str:
    """Why a phase is not taken."""
    if phase not in ON_REQUEST:
        return "left out by the tags of this run"
    return "-e %s=true removes it too" % ON_REQUEST[phase]


# - the list -


def lines(
    plans: Mapping[str, Mapping[str, Any]], unread: Mapping[str, str], *, confirmed: bool, check: bool = False
) -> list[Line]:
    """The list of all hosts as lines. ``unread``: hosts that could not be read, with the reason."""
    goes = sum(bool(p["removed"]) for p in plans.values())
    heading = "DECOMMISSION: %s of %s" % (
        "nothing to remove from any" if not goes else "to be removed from %d" % goes,
        "1 host" if len(plans) == 1 else "%d hosts" % len(plans),
    )
    if goes and not confirmed:
        heading += "; nothing has been removed"
    found: list[Line] = [("", None), (heading, "warning" if goes else "ok")]
    for host, about in plans.items():
        found += _of_host(host, about)
    found += [(printable("%s was not read: %s" % (host, words)), "error") for host, words in unread.items()]
    if goes and (check or not confirmed):
        found.append(("To remove it, run the same again with -e %s=true" % CONFIRM, None))
    return found


def _of_host(host: str, about: Mapping[str, Any]) -> list[Line]:
    total = sum(entry["size_bytes"] or 0 for entry in about["removed"])
    found: list[Line] = []
    if about["removed"]:
        found.append((printable("%s: these go%s" % (host, " (%s)" % human_bytes(total) if total else "")), None))
        found += [(_line(entry, entry["detail"]), "warning") for entry in about["removed"]]
    else:
        found.append((printable("%s: nothing goes" % host), "ok"))
    if about["kept"]:
        found.append((printable("%s: these stay" % host), None))
        found += [(_line(entry, entry["reason"]), None) for entry in about["kept"]]
    return found


def _line(entry: Mapping[str, Any], words: str) -> str:
    size = "" if entry["size_bytes"] is None else human_bytes(entry["size_bytes"])
    text = "  %-9s  %s" % (entry["kind"], entry["name"])
    more = ", ".join(filter(None, (size, words)))
    return printable("%s (%s)" % (text, more) if more else text)
