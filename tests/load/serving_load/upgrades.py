# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the log of a load to the table of upgrades: who failed, and how long each replica was out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import table
from .journal import CUT, FAILED, OK, Entry, Mark, Request, Sample

#: Whom no answer tells of: there was none, or none within the time that the client waits.
NOBODY, LATE = "(no answer)", "(no answer in time)"


@dataclass
class Counts:
    """What was asked of one release or replica, or in one span of time."""

    requests: int = 0
    failed: int = 0
    cut: int = 0
    slow: int = 0

    def add(self, request: Request, usual: Mapping[str, float]) -> None:
        self.requests += 1
        self.failed += request.outcome == FAILED
        self.cut += request.outcome == CUT
        self.slow += is_slow(request, usual)


def is_slow(request: Request, usual: Mapping[str, float]) -> bool:
    """Whether a good answer took much longer than those of its shape do."""
    return request.outcome == OK and request.seconds > table.SLOW * usual.get(request.shape, float("inf"))


def nobody(request: Request) -> str:
    return LATE if "timed out" in request.error else NOBODY


def counts_by(
    requests: Iterable[Request], usual: Mapping[str, float], key: Callable[[Request], str]
) -> dict[str, Counts]:
    """The counts of every release (or replica, or whatever the key tells); what got no answer is of NOBODY or LATE."""
    found: dict[str, Counts] = {}
    for request in requests:
        found.setdefault(key(request) or nobody(request), Counts()).add(request, usual)
    return dict(sorted(found.items()))


def over_time(
    requests: Iterable[Request], usual: Mapping[str, float], every: float = 10.0
) -> list[tuple[float, dict[str, Counts]]]:
    """For every so many seconds in which a request ended: their begin, and the counts by who answered."""
    spans: dict[float, list[Request]] = {}
    for request in requests:
        spans.setdefault(request.end // every * every, []).append(request)
    return [(begin, counts_by(found, usual, lambda request: request.by)) for begin, found in sorted(spans.items())]


def seconds_out(samples: Sequence[Sample]) -> dict[str, float]:
    """How long each replica was out of service at any gateway that answered; from one look to the next.

    A look at which no gateway answered tells nothing: what was so before goes on.
    """
    out: dict[str, float] = {}
    away: set[str] = set()
    known: set[str] = set()
    before: float | None = None
    for sample in sorted(samples, key=lambda one: one.at):
        if before is not None:
            for name in away:
                out[name] = out.get(name, 0.0) + sample.at - before
        before = sample.at
        tables = [servers for servers in sample.gateways.values() if servers is not None]
        if tables:
            known |= {name for servers in tables for name in servers}
            away = {name for name in known if any(servers.get(name) != "UP" for servers in tables)}
    return {name: round(out.get(name, 0.0), 1) for name in sorted(known)}


@dataclass(frozen=True)
class Upgrade:
    """One row: what was noticed of one change of the fleet, and how it ended."""

    event: str
    row: table.Row
    bad: tuple[str, ...]  # whose failures are counted apart: the bad release, and LATE where it hangs
    by_release: dict[str, Counts] = field(default_factory=dict)
    by_replica: dict[str, Counts] = field(default_factory=dict)
    out: dict[str, float] = field(default_factory=dict)  # seconds by replica

    @property
    def failed(self) -> int:
        """Without those that the bad release itself has answered."""
        return self.row.failed - sum(counts.failed for counts in self._bad)

    @property
    def cut(self) -> int:
        return self.row.cut - sum(counts.cut for counts in self._bad)

    @property
    def bad_failed(self) -> int:
        """What the bad release has failed and cut itself."""
        return sum(counts.failed + counts.cut for counts in self._bad)

    @property
    def _bad(self) -> list[Counts]:
        return [counts for name, counts in self.by_release.items() if name in self.bad]


def upgrades(entries: Sequence[Entry], bad: Mapping[str, tuple[str, ...]]) -> list[Upgrade]:
    """A row for each event. ``bad``: by event, whose failures are counted apart."""
    requests = [entry for entry in entries if isinstance(entry, Request)]
    samples = [entry for entry in entries if isinstance(entry, Sample)]
    usual = table.medians(requests)
    found = []
    spans = {name: (begin, end) for name, begin, end, _note in table.spans(e for e in entries if isinstance(e, Mark))}
    for row in table.rows(entries):
        begin, end = spans.get(row.event, (float("-inf"), float("inf")))
        mine = [request for request in requests if begin <= request.end < end] if row.event in spans else []
        seen = [sample for sample in samples if begin <= sample.at <= end] if row.event in spans else []
        found.append(
            Upgrade(
                event=row.event,
                row=row,
                bad=bad.get(row.event, ()),
                by_release=counts_by(mine, usual, lambda request: request.release),
                by_replica=counts_by(mine, usual, lambda request: request.by),
                out=seconds_out(seen),
            )
        )
    return found


HEAD = (
    "what happens", "s", "requests", "failed", "cut", "by the bad release", "slow", "serving, lowest",
    "minutes out per replica", "state after",
)  # fmt: skip
NUMBERS = range(1, 7)


def minutes_out(out: Mapping[str, float]) -> str:
    """Of the replicas that were out at all: the shortest and the longest."""
    found = sorted(seconds / 60 for seconds in out.values() if seconds)
    if not found:
        return "none"
    span = f"{found[0]:.1f}" if f"{found[0]:.1f}" == f"{found[-1]:.1f}" else f"{found[0]:.1f} to {found[-1]:.1f}"
    return f"{span} ({len(found)} of {len(out)})"


def render(found: Sequence[Upgrade]) -> str:
    """The table as Markdown, which is also readable as it is."""
    lines: list[tuple[str, ...]] = [HEAD]
    for one in found:
        row = one.row
        lines.append(
            (
                one.event,
                f"{row.seconds:.0f}",
                str(row.requests),
                str(one.failed),
                str(one.cut),
                str(one.bad_failed) if one.bad else "-",
                str(row.slow),
                table.of(row.lowest_in_service, row.replicas),
                minutes_out(one.out),
                row.note or table.of(row.in_service_after, row.replicas),
            )
        )
    return table.markdown(lines, NUMBERS)


def as_json(found: Sequence[Upgrade], entries: Sequence[Entry]) -> str:
    """Everything behind the table: each row with its counts by release and replica, and the load over time."""
    requests = [entry for entry in entries if isinstance(entry, Request)]
    usual = table.medians(requests)
    timed: list[dict[str, Any]] = [
        {"at": begin, "by": {name: asdict(counts) for name, counts in by.items()}}
        for begin, by in over_time(requests, usual)
    ]
    data = {"rows": [asdict(one) for one in found], "over_time": timed}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
