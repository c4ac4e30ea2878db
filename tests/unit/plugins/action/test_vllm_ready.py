# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of progress, and the job they come from."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.ascend.fleet.plugins.action import vllm_ready as action
from ansible_collections.ascend.fleet.plugins.plugin_utils import _progress_lines

UNIT = "vllm-qwen3.5@0.service"


def replica(stage, percent=None, ready=False, seconds=0.0, **more):
    text = "ready" if ready else stage if percent is None else "%s %d%%" % (stage, percent)
    shown = {"unit": UNIT, "stage": stage, "percent": percent, "text": text, "ready": ready, "seconds": seconds}
    return {**shown, **more}


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (75.9, "1:15"), (3725, "1:02:05")])
def test_clock(seconds, text):
    assert action.clock(seconds) == text


def test_only_news_are_told_and_a_sign_of_life_now_and_then():
    said, now = [], [0.0]
    teller = action.Teller("a2-1", said.append, lambda: now[0])
    for at, one in (
        (0, replica("configuring", seconds=1)),
        (5, replica("configuring", seconds=6)),
        (10, replica("loading weights", 2, seconds=11)),
        (15, replica("loading weights", 9, seconds=16)),
        (20, replica("loading weights", 24, seconds=21)),
        (85, replica("loading weights", 26, seconds=86)),
        (90, replica("ready", ready=True, seconds=91)),
        (900, replica("ready", ready=True, seconds=91)),
    ):
        now[0] = at
        teller.tell([one])
    assert said == [
        "a2-1  vllm-qwen3.5@0  configuring  (0:01)",
        "a2-1  vllm-qwen3.5@0  loading weights 2%  (0:11)",
        "a2-1  vllm-qwen3.5@0  loading weights 24%  (0:21)",
        "a2-1  vllm-qwen3.5@0  loading weights 26%  (1:26)",
        "a2-1  vllm-qwen3.5@0  ready  (1:31)",
    ]


def plugin(monkeypatch, results, check_mode=False, progress="always", told=(), **arguments):
    """The result of the action, what it asked of the host, and what it said. The last result comes from a job."""
    task = SimpleNamespace(args=arguments, check_mode=check_mode, async_val=0)
    found = action.ActionModule.__new__(action.ActionModule)
    found._task = task
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
    return found.run(None, {"inventory_hostname": "a2-1", "fleet_progress": progress}), calls, said


WAITING = {"changed": False, "finished": False, "settled": False, "replicas": [replica("configuring")]}
READY = {"changed": False, "finished": True, "replicas": [replica("ready", ready=True)]}


def test_one_look_is_enough_where_all_serve(monkeypatch):
    result, calls, said = plugin(monkeypatch, [{**READY, "settled": True, "invocation": {}}], timeout=60)
    assert result == {**READY, "settled": True}
    assert calls == [{"timeout": 60, "check_settled": True, "progress": "/tmp/job/progress"}]
    assert said == []


def test_the_wait_is_one_job_whose_progress_is_told(monkeypatch):
    told = ["", "[", json.dumps([replica("loading weights", 2)]), json.dumps([replica("loading weights", 40)])]
    # A detached job's result has lost the key `finished`, which Ansible uses for jobs.
    from_job = {k: v for k, v in READY.items() if k != "finished"}
    result, calls, said = plugin(monkeypatch, [WAITING, from_job], told=told, timeout=60, replicas=None)
    assert result == READY
    assert calls[1] == {"timeout": 60, "limit_seconds": 60 + action.SPARE_SECONDS}
    assert [line.split("  ")[2] for line in said] == ["loading weights 2%", "loading weights 40%", "ready"]


@pytest.mark.parametrize("progress", ["never", "auto"])
def test_a_log_gets_the_result_alone(monkeypatch, progress):
    monkeypatch.setattr(_progress_lines, "_is_on_terminal", lambda process: False)
    told = [json.dumps([replica("loading weights", 2)])]
    _result, _calls, said = plugin(monkeypatch, [WAITING, dict(READY)], told=told, progress=progress)
    assert said == []


def test_a_failure_at_the_first_look_starts_no_wait(monkeypatch):
    failed = {"failed": True, "msg": "it ended", "replicas": [], "finished": True}
    result, calls, _said = plugin(monkeypatch, [failed])
    assert result["msg"] == "it ended"
    assert len(calls) == 1


def test_check_mode_looks_once_and_says_nothing(monkeypatch):
    result, calls, said = plugin(monkeypatch, [{"changed": False, "finished": False, "replicas": []}], check_mode=True)
    assert result["finished"] is False
    assert calls == [{}]
    assert said == []
