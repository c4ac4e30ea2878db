# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines about questions that are waited for, and the job they come from."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.ascend.fleet.plugins.action import vllm_probe as action
from ansible_collections.ascend.fleet.plugins.plugin_utils import _progress_lines

UNIT = "vllm-qwen3.5@0.service"
ANSWERS = {"changed": False, "answers": [{"text": "ok"}], "problems": [], "settled": True}


def asked(question, tokens=0, seconds=0.0, finished=False):
    shown = {"unit": UNIT, "url": "http://127.0.0.1:8010", "question": question}
    return {**shown, "tokens": tokens, "seconds": seconds, "finished": finished}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "ALL",
            [
                "a2-1  vllm-qwen3.5@0  introduce_yourself  waits for the first token  (1 s)",
                "a2-1  vllm-qwen3.5@0  introduce_yourself  waits for the first token  (32 s)",
                "a2-1  vllm-qwen3.5@0  introduce_yourself  3 tokens  (41 s)",
                "a2-1  vllm-qwen3.5@0  read_a_picture  waits for the first token  (1 s)",
            ],
        ),
        ("STALLS", ["a2-1  vllm-qwen3.5@0  introduce_yourself  waits for the first token  (32 s)"]),
        ("NONE", []),
    ],
)
def test_what_is_waited_for(lines, expected):
    said, now = [], [0.0]
    teller = action.Teller("a2-1", said.append, _progress_lines.Lines[lines], lambda: now[0])
    for at, one in (
        (1, asked("introduce_yourself", 0, 1.0)),
        (5, asked("introduce_yourself", 0, 5.0)),
        (32, asked("introduce_yourself", 0, 32.0)),
        (41, asked("introduce_yourself", 3, 41.0)),
        (43, asked("introduce_yourself", 50, 43.0)),
        (44, asked("read_a_picture", 0, 1.0)),
        (49, asked("read_a_picture", 9, 5.0, finished=True)),
    ):
        now[0] = at
        teller.tell([one])
    assert said == expected


def plugin(monkeypatch, results, check_mode=False, told=(), **arguments):
    """The result of the action, what it asked of the host, and what it said. The last result comes from a job."""
    found = action.ActionModule.__new__(action.ActionModule)
    found._task = SimpleNamespace(args=arguments, check_mode=check_mode, async_val=0)
    found._templar = SimpleNamespace(template=lambda value: value)
    calls, said = [], []

    def execute(module_name, module_args, task_vars):
        calls.append(module_args)
        return results.pop(0)

    def run_detached(module, arguments, task_vars, limit_seconds, on_progress):
        calls.append({**arguments, "limit_seconds": limit_seconds})
        for text in told:
            on_progress(text)
        return results.pop(0)

    found._execute_module = execute
    found._run_detached = run_detached
    found._progress_path = lambda: "/tmp/job/progress"
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(action.display, "display", said.append)
    return found.run(None, {"inventory_hostname": "a2-1", "fleet_progress": "always"}), calls, said


QUESTIONS = [{"name": "a", "timeout_seconds": 20}, {"name": "b"}]


def test_quick_answers_need_one_call(monkeypatch):
    result, calls, said = plugin(monkeypatch, [{**ANSWERS, "invocation": {}}], questions=QUESTIONS, api_key=None)
    assert result == ANSWERS
    assert calls == [{"questions": QUESTIONS, "check_settled": True, "progress": "/tmp/job/progress"}]
    assert said == []


def test_slow_ones_are_asked_by_a_job(monkeypatch):
    told = ["", "[", json.dumps([asked("a", 0, 1.0)]), json.dumps([asked("a", 2, 3.0)])]
    results = [{**ANSWERS, "answers": [], "settled": False}, dict(ANSWERS)]
    result, calls, said = plugin(monkeypatch, results, told=told, questions=QUESTIONS)
    assert result == ANSWERS
    assert calls[1] == {"questions": QUESTIONS, "limit_seconds": 320 + action.SPARE_SECONDS}
    assert [line.split("  ")[3] for line in said] == ["waits for the first token", "2 tokens"]


def test_check_mode_asks_once(monkeypatch):
    _result, calls, _said = plugin(monkeypatch, [dict(ANSWERS, settled=False)], check_mode=True, questions=QUESTIONS)
    assert calls == [{"questions": QUESTIONS}]


def test_a_failure_at_once_starts_no_job(monkeypatch):
    result, calls, _said = plugin(monkeypatch, [{"failed": True, "msg": "no replica", "answers": []}], questions=[])
    assert (result["msg"], len(calls)) == ("no replica", 1)
