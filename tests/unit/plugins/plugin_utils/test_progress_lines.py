# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that the controller prints while a module works."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.ascend.fleet.plugins.module_utils._base.progress import PREPARE, Snapshot
from ansible_collections.ascend.fleet.plugins.plugin_utils import _progress_lines
from ansible_collections.ascend.fleet.plugins.plugin_utils._progress_lines import Lines


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def tell(snapshots: Iterable[tuple[float, int]], lines: Lines = Lines.ALL, total: int = 1000) -> list[str]:
    """What is said of a download that had so many bytes at these times."""
    said: list[str] = []
    clock = Clock()
    teller = _progress_lines.Teller("a2-1", "image", said.append, lines, clock)
    teller.tell(None)
    teller.tell(Snapshot(PREPARE, 0, None, 0.0))
    for clock.now, done in snapshots:
        teller.tell(Snapshot("download", done, total, clock.now))
    return said


def test_a_line_for_every_tenth_and_a_sign_of_life() -> None:
    moving = [(float(second), 20 * second) for second in range(51)]
    said = tell(moving)
    assert said[:2] == ["a2-1  image  0 %  0/1000 B", "a2-1  image  10 %  100/1000 B  20 B/s  45 s left"]
    assert len(said) == 11
    assert said[-1] == "a2-1  image  100 %  1000/1000 B  20 B/s"
    assert len(tell(moving + [(51.0 + second, 1000) for second in range(61)])) == 13


# 5 bytes a second to the 30th second, nothing to the 80th, then on.
STALLS = [(float(second), 5 * min(second, 30) + 5 * max(0, second - 80)) for second in range(101)]
NEWS = [
    "a2-1  image  15 %  150/1000 B  stalled: no bytes for 20 s",
    "a2-1  image  15 %  150/1000 B  stalled: no bytes for 50 s",
    "a2-1  image  15 %  155/1000 B  goes on after 51 s",
]


def test_a_stalled_transfer_is_named_at_once_and_again_with_its_age() -> None:
    said = tell(STALLS)
    assert [line for line in said if line in NEWS] == NEWS
    # What is said later is the rate since then, not one that the stall has a part in.
    assert said[-1] == "a2-1  image  20 %  200/1000 B  5 B/s  3 min left"


def test_a_log_hears_of_stalls_only() -> None:
    assert tell(STALLS, Lines.STALLS) == NEWS
    assert tell(STALLS, Lines.NONE) == []


def test_the_rate_is_that_of_the_last_minute() -> None:
    said = tell(
        [(float(second), 1000 * min(second, 60) + 10 * max(0, second - 60)) for second in range(200)], total=10**6
    )
    assert " 10 B/s " in said[-1]


def test_the_end_of_a_stall_may_be_another_stage() -> None:
    said: list[str] = []
    teller = _progress_lines.Teller("a2-1", "image", said.append, Lines.STALLS)
    for stage, at in (("download", 0.0), ("download", 25.0), ("verify", 30.0), ("verify", 31.0)):
        teller.tell(Snapshot(stage, 5, 10, at))
    assert said == [
        "a2-1  image  50 %  5/10 B  stalled: no bytes for 25 s",
        "a2-1  image verify  50 %  5/10 B  goes on after 30 s",
    ]


@contextmanager
def process_with(output: int) -> Iterator[int]:
    """A process that writes to this file until it is told to end."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=output) as process:
        yield process.pid
        process.communicate(b"")


def test_lines_by_where_the_controller_writes_to(tmp_path: Path) -> None:
    master, terminal = os.openpty()
    null = os.open(os.devnull, os.O_WRONLY)
    reader, pipe = os.pipe()
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    try:
        for output, lines in ((terminal, Lines.ALL), (null, Lines.STALLS), (pipe, Lines.STALLS), (file, Lines.STALLS)):
            with process_with(output) as controller:
                assert _progress_lines.lines_wanted("auto", controller) is lines
                assert _progress_lines.lines_wanted("always", controller) is Lines.ALL
                assert _progress_lines.lines_wanted("never", controller) is Lines.NONE
    finally:
        for opened in (master, terminal, null, reader, pipe, file):
            os.close(opened)


@pytest.mark.parametrize(("at_import", "lines"), [(True, Lines.ALL), (False, Lines.STALLS)])
def test_without_proc_what_was_seen_before_the_fork_counts(
    monkeypatch: pytest.MonkeyPatch, at_import: bool, lines: Lines
) -> None:
    monkeypatch.setattr(_progress_lines, "_TERMINAL_AT_IMPORT", at_import)
    assert _progress_lines.lines_wanted("auto", 2**30) is lines


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(AnsibleActionFail, match="found fleet_progress: on; needed auto, always, never"):
        _progress_lines.lines_wanted("on")
