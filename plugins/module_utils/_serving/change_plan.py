# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which the replicas of a host are changed, so that never more of them are out than is allowed.

A step holds the replicas that are taken together: all of them are stopped, then all are started, and the next step
begins when these serve. What a replica needs, another one may still hold: chips, a port, a container's name. Then that
one is stopped before, or in the same step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence, Union

from .._host.systemd import short_name
from .._release.value_checks import share_of
from .settings import ServingError

KEEP, START, REPLACE, REMOVE = "keep", "start", "replace", "remove"
#: Of a container that was started by hand: it is stopped and renamed, and replicas take its place.
TAKE = "takeover"


class ChangeError(ServingError):
    """The change cannot be made as it is allowed; the message says what was found, what is needed and what to do."""


@dataclass(frozen=True)
class Change:
    """What becomes of one replica, or of a container that was started by hand."""

    unit: str
    replica: Optional[int]
    action: str
    reason: str = ""
    #: Requests may come to it now: taking it out costs capacity.
    in_service: bool = False
    #: An operator has taken it out of traffic, and it stays out.
    held_out: bool = False
    #: An earlier run has begun to change it and not ended: it must show that it serves before it gets requests.
    unproven: bool = False
    #: Chips, port and container name: what it is to have, and what its present engine has.
    needs: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()

    @property
    def touched(self) -> bool:
        """Whether it takes a step of its own."""
        return self.action != KEEP or self.unproven


@dataclass
class Step:
    """Replicas that are taken together, and why it is more than allowed where it is."""

    changes: list[Change] = field(default_factory=list)
    note: str = ""

    @property
    def cost(self) -> int:
        """How many replicas in service are out during this step."""
        return sum(c.in_service for c in self.changes)


def resources(indices: Iterable[int], port: Optional[int], container: Optional[str]) -> frozenset[str]:
    """What a replica has for itself."""
    found = {"chip %d" % index for index in indices}
    if port:
        found.add("port %d" % port)
    if container:
        found.add("the container name %s" % container)
    return frozenset(found)


def limit_of(value: Union[int, str], count: int) -> int:
    """How many of ``count`` replicas may be out: a number, or a percentage rounded down; at least 1."""
    found = share_of(value, count)
    if found is not None:
        return found
    raise ChangeError(
        "found %r as the most replicas that may be out; needed a number from 1, or a percentage from 1%% to 100%%. "
        "Fix: correct vllm_serve_max_unavailable" % (value,)
    )


def steps_of(changes: Sequence[Change], limit: int) -> list[Step]:
    """Every replica that is touched, in steps. Raises ChangeError where nothing may be taken out at all."""
    needed_first = _dependencies(changes)
    waiting = _groups([c for c in changes if c.touched], needed_first)
    out = [c for c in changes if c.held_out and c.action != REMOVE]
    budget = limit - len(out)
    costly = [c for c in changes if c.touched and c.in_service]
    if budget < 1 and costly:
        raise ChangeError(
            "found %s out of traffic by an operator, and %d in service to be changed; needed at most %d out at a time. "
            "Fix: put %s back with undrain.yml, or raise vllm_serve_max_unavailable"
            % (", ".join(short_name(c.unit) for c in out), len(costly), limit, "it" if len(out) == 1 else "them")
        )
    done: set[str] = set()
    steps = []
    while waiting:
        step = Step()
        while True:
            began = done | {c.unit for c in step.changes}
            ready = [g for g in waiting if all(needed_first[c.unit] <= began | {o.unit for o in g} for c in g)]
            # What adds capacity is back before any other is taken out: both would be out meanwhile.
            free = bool(step.changes) and step.cost == 0
            fitting = [g for g in ready if _cost(g) == 0 or (not free and step.cost + _cost(g) <= budget)]
            if not fitting and not step.changes:
                # More than allowed, but each needs what another one has: the smallest of them, alone.
                fitting = sorted(ready, key=_cost)[:1]
            if not fitting:
                break
            group = min(fitting, key=_order)
            waiting.remove(group)
            step.changes += group
            if len(group) > 1:
                step.note = "; ".join(n for n in (step.note, _note(group, needed_first, budget)) if n)
        done |= {c.unit for c in step.changes}
        steps.append(step)
    return steps


def _dependencies(changes: Sequence[Change]) -> dict[str, set[str]]:
    """By unit, the units that must have been stopped before it can start."""
    found: dict[str, set[str]] = {c.unit: set() for c in changes}
    for change in changes:
        if change.action not in (START, REPLACE):
            continue
        for other in changes:
            shared = change.needs & other.holds
            if other.unit == change.unit or not shared:
                continue
            if other.action == KEEP:
                raise ChangeError(
                    "found %s in use by %s, which is as wanted; needed for %s. Fix: report this: the plan of this "
                    "host's replicas contradicts itself" % (", ".join(sorted(shared)), other.unit, change.unit)
                )
            found[change.unit].add(other.unit)
    return found


def _groups(changes: Sequence[Change], needed_first: Mapping[str, set[str]]) -> list[list[Change]]:
    """Replicas that need what the others of their group hold, in a circle; most are alone in theirs."""
    reach = {c.unit: _reachable(c.unit, needed_first) for c in changes}
    groups: list[list[Change]] = []
    for change in changes:
        for group in groups:
            first = group[0].unit
            if first in reach[change.unit] and change.unit in reach[first]:
                group.append(change)
                break
        else:
            groups.append([change])
    return groups


def _reachable(unit: str, needed_first: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = set(needed_first[unit])
    while ahead:
        seen |= ahead
        ahead = {further for name in ahead for further in needed_first[name]} - seen
    return seen


def _cost(group: Sequence[Change]) -> int:
    return sum(c.in_service for c in group)


def least_in_service(changes: Sequence[Change], steps: Sequence[Step]) -> int:
    """How many replicas are in service at the worst moment: what a step has started serves in the next one."""
    serving = least = sum(c.in_service for c in changes)
    for step in steps:
        least = min(least, serving - step.cost)
        gone = sum(c.in_service for c in step.changes if c.action in (REMOVE, TAKE))
        come = sum(c.action in (START, REPLACE) and not (c.in_service or c.held_out) for c in step.changes)
        serving += come - gone
    return least


def _order(group: Sequence[Change]) -> tuple[bool, bool, bool, int, str]:
    """Sort key: steps that add capacity, then those that an earlier run has begun, then by replica; removals last."""
    first = min(group, key=lambda c: (c.replica is None, c.replica or 0, c.unit))
    removes = all(c.action == REMOVE for c in group)
    return _cost(group) > 0, not any(c.unproven for c in group), removes, first.replica or 0, first.unit


def _note(group: Sequence[Change], needed_first: Mapping[str, set[str]], budget: int) -> str:
    units = {c.unit: c for c in group}
    reasons = [
        "%s needs %s of %s" % (c.unit, ", ".join(sorted(c.needs & units[other].holds)), other)
        for c in group
        for other in sorted(needed_first[c.unit] & units.keys())
    ]
    words = "taken together: " + ", ".join(reasons)
    cost = _cost(group)
    return "%s (%d out at once, more than the allowed %d)" % (words, cost, budget) if cost > budget else words


# - as data, for a result -


def describe(changes: Sequence[Change], steps: Sequence[Step], limit: int) -> dict[str, Any]:
    """The plan as data: every replica with its action, and the steps with what each of them stops and starts."""
    in_service = sum(c.in_service for c in changes)
    return {
        "replicas": [
            {"unit": c.unit, "replica": c.replica, "action": c.action, "reason": c.reason, "in_service": c.in_service}
            for c in changes
        ],
        "max_unavailable": limit,
        "in_service": in_service,
        "least_in_service": least_in_service(changes, steps),
        "out_at_once": max((s.cost for s in steps), default=0),
        # Where nothing is in service, nothing can be lost: everything is started at once. A container is in the way.
        "rolling": bool(steps) and (in_service > 0 or any(c.action == TAKE for c in changes)),
        "unproven": [c.unit for c in changes if c.unproven and c.action != REMOVE],
        # What is started where nothing is in service, and what an earlier run has left.
        "starting": [c.unit for c in changes if c.action in (START, REPLACE) or (c.unproven and c.action != REMOVE)],
        "steps": [
            {
                "number": number,
                "names": [c.unit for c in s.changes if c.action != TAKE],
                "take": [c.unit for c in s.changes if c.action == TAKE],
                "out": sorted({c.replica for c in s.changes if c.replica is not None}),
                "stop": [c.unit for c in s.changes if c.action == REPLACE],
                "remove": [c.unit for c in s.changes if c.action == REMOVE],
                "start": [c.unit for c in s.changes if c.action in (START, REPLACE)],
                # What must show that it serves, and then gets requests again.
                "prove": [c.unit for c in s.changes if c.action not in (REMOVE, TAKE)],
                "back": sorted(c.replica for c in s.changes if c.action != REMOVE and c.replica is not None),
                "note": s.note,
                "text": step_text(s),
            }
            for number, s in enumerate(steps, 1)
        ],
    }


def step_text(step: Step) -> str:
    """``replace vllm-qwen3.5@0; remove vllm-qwen3.5@2``"""
    words = {KEEP: "check"}
    return "; ".join("%s %s" % (words.get(c.action, c.action), short_name(c.unit)) for c in step.changes)


def lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan for people: what becomes of each replica, and the steps where there is more than one."""
    found = []
    for replica in plan["replicas"]:
        why = " (%s)" % replica["reason"] if replica["reason"] else ""
        found.append("%-7s  %s%s" % (replica["action"], short_name(replica["unit"]), why))
    if plan["rolling"]:
        total = len(plan["steps"])
        for step in plan["steps"]:
            note = " (%s)" % step["note"] if step["note"] else ""
            found.append("step %d of %d: %s%s" % (step["number"], total, step["text"], note))
    return found
