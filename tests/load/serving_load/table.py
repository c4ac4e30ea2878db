# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the log of a load to a table: one row an event, and what the client has noticed of it."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .journal import BEGIN, CUT, END, FAILED, OK, Entry, Mark, Request, Sample

SLOW = 3.0  # so many times the median of its shape, and a request counts as slow
BETWEEN = "(between the events)"


@dataclass(frozen=True)
class Row:
    """What was noticed between the begin and the end of one event. None is not known."""

    event: str
    seconds: float
    requests: int
    failed: int
    cut: int
    slow: int
    lowest_in_service: int | None  # as the gateways see it: the lowest number of any that answered
    lowest_healthy: int | None  # replicas that answered /health
    in_service_after: int | None
    replicas: int
    note: str = ""
    errors: list[str] = field(default_factory=list)


def medians(requests: Iterable[Request]) -> dict[str, float]:
    """The usual duration of each shape of request."""
    by_shape: dict[str, list[float]] = {}
    for request in requests:
        if request.outcome == OK:
            by_shape.setdefault(request.shape, []).append(request.seconds)
    return {shape: statistics.median(found) for shape, found in by_shape.items()}


def in_service(sample: Sample) -> int | None:
    """How many servers are in service at the gateway that has the fewest; None where no gateway answered."""
    counts = [
        sum(state == "UP" for state in servers.values()) for servers in sample.gateways.values() if servers is not None
    ]
    return min(counts) if counts else None


def replicas_of(samples: Sequence[Sample]) -> int:
    known = [len(sample.healthy) for sample in samples]
    known += [len(servers) for sample in samples for servers in sample.gateways.values() if servers is not None]
    return max(known, default=0)


def spans(marks: Iterable[Mark]) -> list[tuple[str, float, float, str]]:
    """Name, begin, end and note of each event; one that has not ended lasts for ever."""
    found: list[tuple[str, float, float, str]] = []
    for mark in marks:
        if mark.edge == BEGIN:
            found.append((mark.row, mark.at, float("inf"), mark.note))
        elif mark.edge == END:
            for place in range(len(found) - 1, -1, -1):
                name, begin, end, note = found[place]
                if name == mark.row and end == float("inf"):
                    found[place] = (name, begin, mark.at, mark.note or note)
                    break
            else:
                raise ValueError(f"the event {mark.row!r} ends and never began")
    return found


def row_of(
    event: str,
    begin: float,
    end: float,
    requests: Sequence[Request],
    samples: Sequence[Sample],
    usual: dict[str, float],
    replicas: int,
    note: str,
) -> Row:
    counts = [count for sample in samples if (count := in_service(sample)) is not None]
    healthy = [sum(sample.healthy.values()) for sample in samples if sample.healthy]
    # The same words are told once, with their number.
    told: dict[str, int] = {}
    for request in requests:
        if request.outcome != OK:
            words = f"{request.outcome}: {request.error}"
            told[words] = told.get(words, 0) + 1
    last = max([request.end for request in requests] + [sample.at for sample in samples], default=begin)
    return Row(
        event=event,
        seconds=round((last if end == float("inf") else end) - begin, 1),
        requests=len(requests),
        failed=sum(request.outcome == FAILED for request in requests),
        cut=sum(request.outcome == CUT for request in requests),
        slow=sum(
            request.outcome == OK and request.seconds > SLOW * usual.get(request.shape, float("inf"))
            for request in requests
        ),
        lowest_in_service=min(counts, default=None),
        lowest_healthy=min(healthy, default=None),
        in_service_after=counts[-1] if counts else None,
        replicas=replicas,
        note=note,
        errors=[words if number == 1 else f"{number} x {words}" for words, number in told.items()],
    )


def rows(entries: Sequence[Entry]) -> list[Row]:
    """A row for each event in its order, and one for what went wrong outside of all of them.

    A request belongs to the event during which it ended.
    """
    requests = [entry for entry in entries if isinstance(entry, Request)]
    samples = [entry for entry in entries if isinstance(entry, Sample)]
    usual, replicas = medians(requests), replicas_of(samples)
    found: list[Row] = []
    taken: set[int] = set()
    for event, begin, end, note in spans(entry for entry in entries if isinstance(entry, Mark)):
        mine = [request for request in requests if begin <= request.end < end and request.number not in taken]
        taken.update(request.number for request in mine)
        seen = [sample for sample in samples if begin <= sample.at <= end]
        found.append(row_of(event, begin, end, mine, seen, usual, replicas, note))
    rest = [request for request in requests if request.number not in taken]
    if any(request.outcome != OK for request in rest):
        begin, end = min(request.begin for request in rest), max(request.end for request in rest)
        found.append(row_of(BETWEEN, begin, end, rest, [], usual, replicas, ""))
    return found


HEAD = ("event", "s", "requests", "failed", "cut", "slow", "in service, lowest", "healthy, lowest", "after")


def of(count: int | None, whole: int) -> str:
    return "unknown" if count is None else f"{count}/{whole}"


def render(found: Sequence[Row]) -> str:
    """The table as Markdown, which is also readable as it is."""
    lines = [HEAD] + [
        (
            row.event,
            f"{row.seconds:.0f}",
            str(row.requests),
            str(row.failed),
            str(row.cut),
            str(row.slow),
            of(row.lowest_in_service, row.replicas),
            of(row.lowest_healthy, row.replicas),
            of(row.in_service_after, row.replicas) + (f"; {row.note}" if row.note else ""),
        )
        for row in found
    ]
    return markdown(lines, range(1, 6))


def markdown(lines: Sequence[Sequence[str]], numbers: Collection[int]) -> str:
    """A table of Markdown. The first line is its head; the columns ``numbers`` are set to the right."""
    widths = [max(2, *(len(line[column]) for line in lines)) for column in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append(f"| {' | '.join(cells)} |")
    rule = [f"{'-' * (width - 1)}:" if column in numbers else "-" * width for column, width in enumerate(widths)]
    text.insert(1, f"| {' | '.join(rule)} |")
    return "\n".join(text) + "\n"


def as_data(found: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in found]
