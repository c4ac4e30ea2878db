# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far long work is: written to a file by the module, read by its action."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Callable, Iterator, Optional

from .files import write_atomically

#: The stage before there is anything to measure.
PREPARE = "prepare"
#: The stage that a line does not name: what is transferred says enough.
DOWNLOAD = "download"
#: What ``fleet_progress`` may be. Left alone, a terminal gets every line and a log only what is wrong.
MODES = ("auto", "always", "never")


@dataclass(frozen=True)
class Snapshot:
    """How far a stage was at a time; ``total`` is None where it is not known."""

    stage: str
    done: int
    total: Optional[int]
    at: float


class Progress:
    """Writes a snapshot to a file every second from its creation on; without a path it writes nothing."""

    def __init__(self, path: Optional[str] = None, every: float = 1.0) -> None:
        self._path = path
        self._every = every
        self._current: tuple[str, Callable[[], int], Optional[int]] = (PREPARE, lambda: 0, None)
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None
        if path is not None:
            self._thread = threading.Thread(target=self._write_on, daemon=True)
            self._thread.start()

    @contextmanager
    def watching(self, stage: str, measure: Callable[[], int], total: Optional[int]) -> Iterator[None]:
        """While the body works, what is measured is written under the name of a stage."""
        before = self._current
        self._current = (stage, measure, total)
        try:
            yield
        finally:
            self._current = before

    def close(self) -> None:
        """Write no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _write_on(self) -> None:
        while not self._ended.is_set():
            self._write()
            self._ended.wait(self._every)

    def _write(self) -> None:
        stage, measure, total = self._current
        try:
            text = json.dumps(asdict(Snapshot(stage, measure(), total, time.time())))
            write_atomically(str(self._path), text, durable=False)
        except Exception:  # noqa: S110
            pass  # what is measured may change meanwhile; the work does not fail, and the next second is written again


def write_report(path: Optional[str], report: Any) -> None:
    """Write what a module has to say while it works, as JSON, for its action; nothing without a path."""
    if path is None:
        return
    try:
        write_atomically(path, json.dumps(report), durable=False)
    except OSError:
        pass  # the work does not fail because its progress cannot be written


def parse(text: str) -> Optional[Snapshot]:
    """Read a snapshot; None when there is none, or not a whole one."""
    try:
        data = json.loads(text)
        total = data["total"]
        return Snapshot(str(data["stage"]), int(data["done"]), None if total is None else int(total), float(data["at"]))
    except (ValueError, KeyError, TypeError):
        return None


#: A transfer without a byte for this long counts as stalled.
STALL_SECONDS = 20.0


def describe(
    title: str,
    snapshot: Snapshot,
    first: Optional[Snapshot] = None,
    moved: Optional[Snapshot] = None,
    stood: Optional[float] = None,
) -> str:
    """Say in columns what is transferred, how much of it is there, how fast it comes and how long it will take.

    The rate is the one since ``first``, of the same stage. ``moved`` is when it last got further: a transfer that
    stands still has no rate, but an age. ``stood`` is for how long it did, when it goes on.
    """
    columns = [title if snapshot.stage == DOWNLOAD else "%s %s" % (title, snapshot.stage)]
    if snapshot.total:
        columns.append("%d %%" % min(100, 100 * snapshot.done // snapshot.total))
        factor, unit = _unit(snapshot.total)
        columns.append(
            ("%d/%d %s" if factor == 1 else "%.1f/%.1f %s") % (snapshot.done / factor, snapshot.total / factor, unit)
        )
    elif snapshot.done:
        columns.append(human_bytes(snapshot.done))
    if moved is not None and is_stalled(snapshot, moved):
        columns.append("stalled: no bytes for %s" % duration(snapshot.at - moved.at))
    elif stood is not None:
        columns.append("goes on after %s" % duration(stood))
    elif first is not None and first.stage == snapshot.stage and snapshot.at - first.at >= 1:
        rate = (snapshot.done - first.done) / (snapshot.at - first.at)
        if rate > 0:
            factor, unit = _unit(int(rate))
            columns.append("%.*f %s/s" % (0 if factor == 1 or rate >= 10 * factor else 1, rate / factor, unit))
            if snapshot.total and snapshot.total > snapshot.done:
                columns.append("%s left" % duration((snapshot.total - snapshot.done) / rate))
    return "  ".join(columns)


def is_stalled(snapshot: Snapshot, moved: Optional[Snapshot]) -> bool:
    """Whether nothing has come since ``moved`` for too long, though something is still to come."""
    return (
        moved is not None
        and moved.stage == snapshot.stage
        and snapshot.at - moved.at >= STALL_SECONDS
        and snapshot.total is not None
        and snapshot.done < snapshot.total
    )


def duration(seconds: float) -> str:
    """Return a duration as people say it: 45 s, 12 min, 1 h 05 min."""
    whole = round(seconds)
    if whole < 90:
        return "%d s" % whole
    if whole < 5400:
        return "%d min" % round(whole / 60)
    return "%d h %02d min" % (whole // 3600, whole % 3600 // 60)


def human_bytes(count: int) -> str:
    """Return ``count`` bytes as people write them, in the units of ``df -h``: 50.1 GiB."""
    factor, unit = _unit(count)
    return ("%d %s" if factor == 1 else "%.1f %s") % (count / factor, unit)


def _unit(count: int) -> tuple[int, str]:
    factor = 1
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 * factor:
            return factor, unit
        factor *= 1024
    return factor, "TiB"
