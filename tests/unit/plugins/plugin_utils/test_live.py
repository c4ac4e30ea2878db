# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that the controller prints while a module works, and how it knows that the module has ended."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.ascend.fleet.plugins.module_utils._progress import PREPARE, Snapshot
from ansible_collections.ascend.fleet.plugins.plugin_utils import _live


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_line_for_every_tenth_and_a_sign_of_life() -> None:
    said: list[str] = []
    clock = Clock()
    teller = _live.Teller("a2-1  Download:", said.append, clock)
    teller.tell(None)
    teller.tell(Snapshot(PREPARE, 0, None, 0.0))
    assert said == []
    for done in range(0, 101, 2):
        clock.now += 1
        teller.tell(Snapshot("download", done, 100, clock.now))
    assert len(said) == 11
    assert said[0].startswith("a2-1  Download: download,   0%")
    assert said[-1].startswith("a2-1  Download: download, 100%")
    for _second in range(61):
        clock.now += 1
        teller.tell(Snapshot("download", 100, 100, clock.now))
    assert len(said) == 13


def test_a_stalled_transfer_is_named_at_once_with_its_age() -> None:
    said: list[str] = []
    clock = Clock()
    teller = _live.Teller("a2-1  Download:", said.append, clock)
    for second in range(101):
        clock.now += 1
        # 5 bytes a second to the 30th second, nothing to the 80th, then on.
        done = 5 * min(second, 30) + 5 * max(0, second - 80)
        teller.tell(Snapshot("download", done, 1000, clock.now))
    stalls = [line for line in said if "stalled" in line]
    assert stalls == [
        "a2-1  Download: download,  15%, 150 B of 1.0 kB, stalled: no bytes for 20 s",
        "a2-1  Download: download,  15%, 150 B of 1.0 kB, stalled: no bytes for 50 s",
    ]
    assert "stalled" not in said[-1]
    assert "B/s" in said[-1]


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
    return action._poll("/p", "/e", _live.Teller("h", said.append, clock)), said, action._connection


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
