# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far long work is: measured, written, read and said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base import progress as _progress
from ansible_collections.ascend.fleet.plugins.module_utils._base.progress import Progress, Snapshot

GIB = 1024**3


@pytest.mark.parametrize(
    ("snapshot", "first", "text"),
    [
        (Snapshot("download", 0, 1000, 5.0), None, "image  0 %  0/1000 B"),
        (
            Snapshot("download", 81 * GIB // 10, 189 * GIB // 10, 70.0),
            Snapshot("download", 81 * GIB // 10 - 60 * 92 * 1024**2, 189 * GIB // 10, 10.0),
            "image  42 %  8.1/18.9 GiB  92 MiB/s  2 min left",
        ),
        (
            Snapshot("download", 5 * 1024**2, 20 * GIB, 11.0),
            Snapshot("download", 0, 20 * GIB, 10.0),
            "image  0 %  0.0/20.0 GiB  5.0 MiB/s  68 min left",
        ),
        (Snapshot("download", 10, 100, 100.0), Snapshot("download", 10, 100, 10.0), "image  10 %  10/100 B"),
        (
            Snapshot("verify", 100, 100, 20.0),
            Snapshot("verify", 0, 100, 10.0),
            "image verify  100 %  100/100 B  10 B/s",
        ),
        (Snapshot("verify", 2048, None, 20.0), Snapshot("download", 0, None, 10.0), "image verify  2.0 KiB"),
        (Snapshot("waiting for another run", 0, None, 20.0), None, "image waiting for another run"),
    ],
)
def test_describe(snapshot: Snapshot, first: Snapshot | None, text: str) -> None:
    assert _progress.describe("image", snapshot, first) == text


@pytest.mark.parametrize(
    ("at", "stood", "text"),
    [
        (55.0, None, "weights  43 %  430/1000 B  stalled: no bytes for 45 s"),
        (29.0, None, "weights  43 %  430/1000 B"),
        (29.0, 200.0, "weights  43 %  430/1000 B  goes on after 3 min"),
    ],
)
def test_describe_what_stands_still(at: float, stood: float | None, text: str) -> None:
    moved = Snapshot("download", 430, 1000, 10.0)
    assert _progress.describe("weights", Snapshot("download", 430, 1000, at), moved, moved, stood) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (53_800_000_000, "50.1 GiB"),
        (3 * 1024**4, "3.0 TiB"),
        (5 * 1024**5, "5120.0 TiB"),
    ],
)
def test_human_bytes(count: int, text: str) -> None:
    assert _progress.human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1 h 30 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert _progress.duration(seconds) == text


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"stage": "x"}', '{"stage":1,"done":"a","total":1,"at":1}'])
def test_parse_of_what_is_none(text: str) -> None:
    assert _progress.parse(text) is None


def wait_for(path: Path, stage: str) -> Snapshot:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = _progress.parse(path.read_text()) if path.exists() else None
        if found is not None and found.stage == stage:
            return found
        time.sleep(0.01)
    raise AssertionError("no snapshot of %s" % stage)


def test_stages_are_written_and_end(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    progress = Progress(str(path), every=0.01)
    wait_for(path, _progress.PREPARE)
    with progress.watching("download", lambda: 7, 10):
        found = wait_for(path, "download")
        assert (found.done, found.total) == (7, 10)
    wait_for(path, _progress.PREPARE)
    progress.close()
    path.unlink()
    time.sleep(0.05)
    assert not path.exists()


def test_a_measure_that_fails_does_not_stop_the_work(tmp_path: Path) -> None:
    def measure() -> int:
        raise FileNotFoundError("renamed")

    path = tmp_path / "progress"
    progress = Progress(str(path), every=0.01)
    with progress.watching("download", measure, 10):
        time.sleep(0.05)
    wait_for(path, _progress.PREPARE)
    progress.close()


def test_nowhere_is_fine() -> None:
    progress = Progress(None)
    with progress.watching("download", lambda: 1, 1):
        pass
    progress.close()
