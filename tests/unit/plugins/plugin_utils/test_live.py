# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that the controller prints while a module works, and how it knows that the module has ended."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterable, Iterator

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.ascend.fleet.plugins.module_utils._base.progress import PREPARE, Snapshot
from ansible_collections.ascend.fleet.plugins.plugin_utils import _live
from ansible_collections.ascend.fleet.plugins.plugin_utils._live import Lines


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
    teller = _live.Teller("a2-1", "image", said.append, lines, clock)
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
    teller = _live.Teller("a2-1", "image", said.append, Lines.STALLS)
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
                assert _live.lines_wanted("auto", controller) is lines
                assert _live.lines_wanted("always", controller) is Lines.ALL
                assert _live.lines_wanted("never", controller) is Lines.NONE
    finally:
        for opened in (master, terminal, null, reader, pipe, file):
            os.close(opened)


@pytest.mark.parametrize(("at_import", "lines"), [(True, Lines.ALL), (False, Lines.STALLS)])
def test_without_proc_what_was_seen_before_the_fork_counts(
    monkeypatch: pytest.MonkeyPatch, at_import: bool, lines: Lines
) -> None:
    monkeypatch.setattr(_live, "_TERMINAL_AT_IMPORT", at_import)
    assert _live.lines_wanted("auto", 2**30) is lines


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(AnsibleActionFail, match="found fleet_progress: on; needed auto, always, never"):
        _live.lines_wanted("on")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ('{"failed": 0, "started": 1, "finished": 0, "ansible_job_id": "j1.2"}', False),
        ('{"started": true, "finished": false, "ansible_job_id": "j1.2"}', False),
        ('{"started": 1, "finished": 1, "failed": 1, "msg": "x"}', True),
        ('\n{"changed": true, "msg": "done"}', True),
        ('{"changed": tr', False),
    ],
)
def test_has_ended(text: str, expected: bool) -> None:
    assert _live.has_ended(text) is expected


class Connection:
    resets = 0

    def reset(self) -> None:
        self.resets += 1


def follow(monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> tuple[bool, list[str], Connection]:
    clock = Clock()
    monkeypatch.setattr(_live.time, "sleep", clock.sleep)
    monkeypatch.setattr(_live.time, "monotonic", clock)
    action = _live.LiveAction.__new__(_live.LiveAction)
    action._connection = Connection()
    remaining = list(answers)

    def execute(command: str) -> dict[str, Any]:
        answer = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(answer, Exception):
            raise answer
        return {"stdout": answer}

    monkeypatch.setattr(action, "_low_level_execute_command", execute)
    said: list[str] = []
    return action._poll("/p", "/e", _live.Teller("h", "image", said.append, now=clock)), said, action._connection


RUNNING = '{"started": 1}'
ENDED = '{"changed": true}'


def snapshot(done: int, at: float) -> str:
    return '{"stage": "download", "done": %d, "total": 100, "at": %f}\n' % (done, at)


def test_follows_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, said, _connection = follow(
        monkeypatch, ["\n", snapshot(0, 1) + RUNNING, snapshot(50, 2) + RUNNING, snapshot(100, 3) + ENDED]
    )
    assert ended
    assert len(said) == 2


def test_a_connection_that_comes_back_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = AnsibleConnectionFailure("lost")
    ended, _said, connection = follow(monkeypatch, [snapshot(0, 1) + RUNNING, lost, lost, "\n" + ENDED])
    assert ended
    assert connection.resets == 2


def test_a_connection_that_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleConnectionFailure):
        follow(monkeypatch, [AnsibleConnectionFailure("lost")])


def test_work_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, _said, _connection = follow(monkeypatch, [snapshot(0, 1) + RUNNING])
    assert not ended
