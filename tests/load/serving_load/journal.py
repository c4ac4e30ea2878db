# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of a load: one JSON object a line, for every request, every look at the fleet, and every event."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OK, FAILED, CUT = "ok", "failed", "cut"
BEGIN, END = "begin", "end"


@dataclass(frozen=True)
class Request:
    """One request and how it ended. Times are seconds since the epoch."""

    number: int
    shape: str
    begin: float
    end: float
    outcome: str
    first: float | None = None  # the first token of a stream
    status: int | None = None  # the HTTP status, where there was an answer
    error: str = ""
    by: str = ""  # who answered, where the answer tells: release, host and port; also of a failure and of a cut stream

    @property
    def release(self) -> str:
        return self.by.partition(" ")[0]

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True)
class Sample:
    """One look at the fleet: which replicas answer /health, and what each gateway says of its servers.

    A gateway that did not answer is None.
    """

    at: float
    healthy: dict[str, bool] = field(default_factory=dict)
    gateways: dict[str, dict[str, str] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """An event begins or ends."""

    at: float
    row: str
    edge: str
    note: str = ""


Entry = Request | Sample | Mark
KINDS: dict[str, type[Request] | type[Sample] | type[Mark]] = {"request": Request, "sample": Sample, "mark": Mark}


def line_of(entry: Entry) -> str:
    kind = next(name for name, known in KINDS.items() if isinstance(entry, known))
    return json.dumps({"kind": kind, **asdict(entry)}, ensure_ascii=False, sort_keys=True) + "\n"


def entry_of(line: str) -> Entry:
    value: dict[str, Any] = json.loads(line)
    return KINDS[value.pop("kind")](**value)


class Journal:
    """Appends whole lines: processes (the client, and the one that marks events) may write to one log."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, entry: Entry) -> None:
        os.write(self._descriptor, line_of(entry).encode())

    def mark(self, row: str, edge: str, note: str = "") -> None:
        self.write(Mark(time.time(), row, edge, note))

    def close(self) -> None:
        os.close(self._descriptor)


def read(lines: Iterable[str]) -> list[Entry]:
    """Every entry. The last line may be half written: a client that was killed."""
    found: list[Entry] = []
    pending = ""
    for line in lines:
        if pending:
            raise ValueError(f"a line of the log is no entry: {pending!r}")
        try:
            found.append(entry_of(line))
        except (ValueError, KeyError, TypeError):
            pending = line.strip()
    if pending and pending.endswith("}"):
        raise ValueError(f"a line of the log is no entry: {pending!r}")
    return found
