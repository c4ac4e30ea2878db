# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm_traffic on the controller: who asks, what runs detached, and which lines it prints."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.ascend.fleet.plugins.action import vllm_traffic as action


@pytest.fixture
def run(monkeypatch):
    """A function that runs the action, and returns its result and what the module was asked for."""
    asked = []

    def start(arguments, answers, check=False):
        plugin = action.ActionModule.__new__(action.ActionModule)
        plugin._task = SimpleNamespace(args=arguments, check_mode=check, async_val=0)
        waiting = list(answers)

        def module(given, _task_vars):
            asked.append(dict(given))
            return waiting.pop(0)

        def detached(_name, given, _task_vars, limit, _on_progress):
            asked.append({**given, "limit": limit})
            return waiting.pop(0)

        monkeypatch.setattr(ActionBase, "run", lambda *_args, **_more: {})
        monkeypatch.setattr(plugin, "_module", module)
        monkeypatch.setattr(plugin, "_run_detached", detached)
        monkeypatch.setattr(plugin, "_progress_path", lambda: "/p")
        monkeypatch.setattr(action, "lines_for", lambda *_args: action.Lines.NONE)
        return plugin.run(task_vars={"inventory_hostname": "a2-1"}), asked

    return start


def test_the_user_of_the_controller_is_noted(run, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "alice")
    assert run({"state": "out", "by": ""}, [{}])[1] == [{"state": "out", "by": "alice"}]


@pytest.mark.parametrize("arguments", [{"state": "out", "by": "bob"}, {"state": "in"}, {"state": "query"}])
def test_what_is_quick_is_one_call(run, arguments):
    result, asked = run(arguments, [{"changed": True}])
    assert (result, asked) == ({"changed": True}, [arguments])


def test_idle_waits_detached_when_there_is_something_to_wait_for(run):
    result, asked = run({"state": "idle", "timeout": 60}, [{"settled": False}, {"settled": True, "invocation": {}}])
    assert result == {"settled": True}
    assert [a.get("check_settled") for a in asked] == [True, None]
    assert asked[1]["limit"] == 180


@pytest.mark.parametrize("answer", [{"settled": True}, {"failed": True}, {"unreachable": True}])
def test_idle_does_not_wait_otherwise(run, answer):
    assert run({"state": "idle"}, [{**answer, "invocation": {}}])[0] == answer


def test_idle_looks_once_in_check_mode(run):
    assert run({"state": "idle"}, [{"settled": False}], check=True)[1] == [{"state": "idle"}]


def test_lines_come_with_news_and_as_a_sign_of_life():
    said, now = [], [0.0]
    teller = action.Teller("a2-1", said.append, lambda: now[0])
    for at, words in (
        (0, "a2-1:0: 3 sessions"),
        (2, "a2-1:0: 3 sessions"),
        (4, "a2-1:0: 1 session"),
        (40, "a2-1:0: 1 session"),
        (41, ""),
    ):
        now[0] = at
        teller.tell({"text": words, "seconds": float(at)})
    assert said == [
        "a2-1  waits for a2-1:0: 3 sessions  (0 s)",
        "a2-1  waits for a2-1:0: 1 session  (4 s)",
        "a2-1  waits for a2-1:0: 1 session  (40 s)",
    ]


@pytest.mark.parametrize(("text", "found"), [("", {}), ("{", {}), ("[]", {}), ('{"text": "x"}', {"text": "x"})])
def test_a_progress_file_that_is_not_whole_says_nothing(text, found):
    assert action.parse_progress(text) == found
