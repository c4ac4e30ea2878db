# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far long work is: written to a file by who does it, read by who waits for it."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Callable, Iterator, Optional

#: The stage before there is anything to measure.
PREPARE = "prepare"


@dataclass(frozen=True)
class Snapshot:
    """How far a stage was at a time; ``total`` is None when nobody knows."""

    stage: str
    done: int
    total: Optional[int]
    at: float


class Progress:
    """Writes a snapshot to a file every second, or nothing nowhere.

    It is written also while there is nothing new: a file that stops changing means that whoever did the work is gone.
    """

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
        fresh = "%s.new" % self._path
        try:
            text = json.dumps(asdict(Snapshot(stage, measure(), total, time.time())))
            with open(fresh, "w", encoding="utf-8") as handle:
                handle.write(text)
            os.replace(fresh, str(self._path))
        except OSError:
            pass  # work never fails because nobody can be told of it


def parse(text: str) -> Optional[Snapshot]:
    """Read a snapshot; None when there is none, or not a whole one."""
    try:
        data = json.loads(text)
        total = data["total"]
        return Snapshot(str(data["stage"]), int(data["done"]), None if total is None else int(total), float(data["at"]))
    except (ValueError, KeyError, TypeError):
        return None


#: So long without a byte is no pause of a line any more.
STALL_SECONDS = 20.0


def describe(snapshot: Snapshot, first: Optional[Snapshot] = None, moved: Optional[Snapshot] = None) -> str:
    """Say stage, percent, rate and time left; the rate is the one since ``first``, of the same stage.

    ``moved`` is when it last got further: a transfer that stands still has no rate, but an age.
    """
    words = [snapshot.stage]
    if snapshot.total:
        words.append("%3d%%" % min(100, 100 * snapshot.done // snapshot.total))
        words.append("%s of %s" % (_bytes(snapshot.done), _bytes(snapshot.total)))
    elif snapshot.done:
        words.append(_bytes(snapshot.done))
    if moved is not None and is_stalled(snapshot, moved):
        words.append("stalled: no bytes for %s" % duration(snapshot.at - moved.at))
    elif first is not None and first.stage == snapshot.stage and snapshot.at - first.at >= 1:
        rate = (snapshot.done - first.done) / (snapshot.at - first.at)
        if rate > 0:
            words.append("%s/s" % _bytes(int(rate)))
            if snapshot.total and snapshot.total > snapshot.done:
                words.append("%s left" % duration((snapshot.total - snapshot.done) / rate))
        else:
            words.append("no bytes for %s" % duration(snapshot.at - first.at))
    return ", ".join(words)


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


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return "%d %s" % (value, unit) if unit == "B" else "%.1f %s" % (value, unit)
        value /= 1000
    return "%.1f TB" % value
