# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller adds to state and lease: who, from where, in which process, and whether an earlier one lives."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.ascend.fleet.plugins.action import fleet_lease, fleet_state
from ansible_collections.ascend.fleet.plugins.plugin_utils import _controller


@pytest.fixture
def run(monkeypatch):
    """A function that runs an action; returns its result and what the module was asked for."""
    monkeypatch.setattr(ActionBase, "run", lambda *_args, **_more: {})
    monkeypatch.setenv("SUDO_USER", "alice")
    monkeypatch.setattr(_controller.platform, "node", lambda: "ctl")

    def start(action, arguments, *answers):
        plugin = action.ActionModule.__new__(action.ActionModule)
        plugin._task = SimpleNamespace(args=arguments)
        asked, waiting = [], list(answers)

        def execute(module_name, module_args, task_vars):
            asked.append(module_args)
            return waiting.pop(0)

        monkeypatch.setattr(plugin, "_execute_module", execute)
        return plugin.run(task_vars={}), asked

    return start


def test_the_state_tells_who_makes_the_change(run):
    result, asked = run(fleet_state, {"state": "good"}, {"changed": True, "invocation": {"long": 1}})
    assert (result, asked) == ({"changed": True}, [{"state": "good", "by": "alice@ctl"}])
    assert run(fleet_state, {"by": "bob@ctl"}, {})[1] == [{"by": "bob@ctl"}]


def test_the_lease_tells_who_where_and_in_which_process(run):
    _result, [asked] = run(fleet_lease, {"change": "c1"}, {"changed": True})
    assert (asked["holder"], asked["controller"], asked["change"]) == ("alice", "ctl", "c1")
    assert asked["process"]["pid"] == os.getppid()
    assert asked["process"]["started"].isdigit()
    assert "gone" not in asked
    _result, [asked] = run(fleet_lease, {"holder": "bob", "controller": "x", "process": {"pid": 1}}, {})
    assert (asked["holder"], asked["controller"], asked["process"]) == ("bob", "x", {"pid": 1})


def ended_process():
    """What was noted of a process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        return {**_controller.process(child.pid)}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with a name of its own, whatever the one that tests run on has."""
    path = tmp_path / "machine-id"
    path.write_text("9c1e\n")
    for function in (_controller.process, _controller.is_gone):
        kept = function.__defaults__[:-1]
        monkeypatch.setattr(function, "__defaults__", (*kept, str(path)))


def test_the_lease_of_ones_own_run_that_was_killed_is_taken_over(run, machine):
    left = {"process": ended_process()}
    result, asked = run(fleet_lease, {"change": "c1"}, {"failed": True, "asked": left}, {"changed": True})
    assert result == {"changed": True}
    assert asked[1] == {**asked[0], "gone": left["process"]}


@pytest.mark.parametrize("asked", [None, {"process": {}}, {"process": {"pid": 1, "started": "1"}}])
def test_what_lives_or_cannot_be_told_is_not_taken_over(run, machine, asked):
    result, calls = run(fleet_lease, {"change": "c1"}, {"failed": True, "asked": asked, "msg": "held"})
    assert (result["msg"], len(calls)) == ("held", 1)


def test_a_process_that_lives_is_not_gone(machine):
    mine = _controller.process(os.getpid())
    assert not _controller.is_gone(mine)
    assert _controller.is_gone({**mine, "started": "1"})
    assert _controller.is_gone({**mine, "boot_id": "of the boot before"})
    assert _controller.is_gone(ended_process())


@pytest.mark.parametrize("name", ["machine", "namespace", "started", "boot_id", "pid"])
def test_where_it_cannot_be_looked_for_it_is_not_gone(machine, name):
    ended = ended_process()
    assert not _controller.is_gone({**ended, name: ""})
    if name in ("machine", "namespace"):
        assert not _controller.is_gone({**ended, name: "another"})


def test_a_controller_without_proc_knows_nothing(tmp_path):
    nowhere = str(tmp_path)
    found = _controller.process(7, nowhere, nowhere + "/machine-id")
    assert found == {"pid": 7, "started": "", "boot_id": "", "machine": "", "namespace": ""}
    assert not _controller.is_gone(found, nowhere, nowhere + "/machine-id")


def test_a_user_without_a_name_is_unknown(monkeypatch):
    def nameless():
        raise KeyError("uid 4711")

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(_controller.getpass, "getuser", nameless)
    assert _controller.user() == ""
    assert _controller.operator().startswith("unknown@")
