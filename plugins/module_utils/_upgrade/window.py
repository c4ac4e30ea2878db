# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of an upgrade: how long a host takes, by its history, what fits before an end, and who is left alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median
from typing import Any, Mapping, Optional, Sequence

from .._base.moments import moment_of

#: By host, the changes that its state remembers, newest last.
Histories = Mapping[str, Sequence[Mapping[str, Any]]]


class WindowError(ValueError):
    """A time cannot be used; the message says what was found, what is needed and what to do."""


# - how long -


def out_seconds(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How long each replica of a host was out when it was last changed well, by unit."""
    found: dict[str, float] = {}
    for change in history:
        if change.get("outcome") != "good":
            continue
        for unit, about in (change.get("replicas") or {}).items():
            seconds = about.get("out_seconds")
            if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds > 0:
                found[str(unit)] = float(seconds)
    return found


class Expected:
    """How long the change of a host takes. generations: by host."""

    def __init__(self, histories: Histories, generations: Mapping[str, str]) -> None:
        self._own = {host: out_seconds(history) for host, history in histories.items()}
        self._generations = generations

    def seconds(self, host: str, plan: Optional[Mapping[str, Any]]) -> Optional[float]:
        """How long the steps of a plan take; None where nothing tells.

        A replica takes as long as it did last time; one without a history, as long as the middle of its host's, and
        then of the hosts of its generation.
        """
        if not plan:
            return None
        steps = [[str(u) for u in [*step.get("stop", ()), *step.get("start", ())]] for step in plan.get("steps") or ()]
        total = [self._step(host, units) for units in steps if units]
        if None in total:
            return None
        known = [seconds for seconds in total if seconds is not None]
        # Where nothing is in service, everything starts at once.
        return sum(known) if plan.get("rolling", True) else max(known, default=0.0)

    def _step(self, host: str, units: Sequence[str]) -> Optional[float]:
        times = [self._replica(host, unit) for unit in units]
        return None if None in times else max(t for t in times if t is not None)

    def _replica(self, host: str, unit: str) -> Optional[float]:
        own = self._own.get(host, {})
        if unit in own:
            return own[unit]
        alike = [h for h in self._own if self._generations.get(h) == self._generations.get(host)]
        for values in ([*own.values()], [seconds for h in alike for seconds in self._own[h].values()]):
            if values:
                return median(values)
        return None


def fits(now: datetime, until: Optional[datetime], seconds: Optional[float]) -> bool:
    """Whether what takes so long may begin now. Where that is not known, it may as long as the end is ahead."""
    if until is None:
        return True
    return now < until if seconds is None else now + timedelta(seconds=seconds) <= until


def fitting(groups: Sequence[Optional[float]], now: datetime, until: Optional[datetime]) -> int:
    """How many of these groups, one after the other, may begin as far as is known now. A group is its expected seconds.

    What comes behind one whose end is not known is not left out: its turn decides.
    """
    at = now
    for count, seconds in enumerate(groups):
        if not fits(at, until, seconds):
            return count
        if seconds is None:
            break
        at += timedelta(seconds=seconds)
    return len(groups)


def end_of(value: Any, now: datetime) -> Optional[datetime]:
    """The time that ``fleet_until`` names; None where it names none. Raises WindowError."""
    if value in (None, ""):
        return None
    found = moment_of(value, now)
    if found is None:
        raise WindowError(
            'found fleet_until: %s; needed a time such as "05:00" or "2026-12-01T05:00". Fix: correct fleet_until'
            % value
        )
    return found


# - who is left alone -


def under_maintenance(value: Any, now: datetime) -> Optional[str]:
    """Why a host is left alone, in words; None where it is not, or not any more.

    value: what ``fleet_maintenance`` of the host says: ``reason`` and ``until``. Raises WindowError.
    """
    if not value:
        return None
    if not isinstance(value, Mapping) or not str(value.get("reason") or "").strip():
        raise WindowError(
            "found fleet_maintenance: %s; needed a reason, and with or without a time, such as "
            '{reason: exchange of a fan, until: "2026-12-01"}. Fix: correct fleet_maintenance' % (value,)
        )
    until = value.get("until")
    if until in (None, ""):
        return str(value["reason"])
    end = moment_of(until, now)
    if end is None:
        raise WindowError(
            'found fleet_maintenance until: %s; needed a time such as "2026-12-01" or "2026-12-01T05:00". Fix: correct '
            "fleet_maintenance" % (until,)
        )
    return None if end <= now else "%s (until %s)" % (value["reason"], until)
