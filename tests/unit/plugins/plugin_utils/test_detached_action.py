# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached work: how its state is asked for and read, what is tolerated, and when it is gone."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Union

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.ascend.fleet.plugins.module_utils._base import detached
from ansible_collections.ascend.fleet.plugins.plugin_utils import _detached
from ansible_collections.ascend.fleet.plugins.plugin_utils._detached import Job, Status, TransferAction

MARKER = "ascend-fleet-0123"
RUNNING = '{"started": true, "finished": false, "ansible_job_id": "j1.2"}'
ENDED = '{"changed": true}'
LOST = AnsibleConnectionFailure("lost")


def snapshot(done: int, at: float) -> str:
    return '{"stage": "download", "done": %d, "total": 100, "at": %f}' % (done, at)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ('{"failed": 0, "started": 1, "finished": 0, "ansible_job_id": "j1.2"}', False),
        ('{"started": true, "finished": false, "ansible_job_id": "j1.2"}', False),
        ('{"started": 1, "finished": 1, "failed": 1, "msg": "x"}', True),
        ('\n{"changed": true, "msg": "done"}', True),
        ('{"changed": true}\r\nConnection to a2-1 closed.', True),
        ('{"changed": tr', False),
    ],
)
def test_has_ended(text: str, expected: bool) -> None:
    assert _detached.has_ended(text) is expected


def answer(alive: str = "yes", progress: str = "", result: str = RUNNING, marker: str = MARKER) -> str:
    return f"\n{marker} process {alive}\n{marker} progress\n{progress}\n{marker} result\n{result}\n{marker} end\n"


@pytest.mark.parametrize("before", ["", "\r\n", "Password: \n", "** Authorised use only **\n\n{}\n"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_prompt_or_a_banner_is_no_part_of_the_state(before: str, ending: str) -> None:
    text = before + answer(progress=snapshot(5, 1)).replace("\n", ending) + before
    assert _detached.parse_status(text, MARKER) == Status(True, False, snapshot(5, 1))


def test_a_cut_answer_is_none() -> None:
    whole = answer(progress="{}", result=ENDED)
    assert _detached.parse_status(whole, MARKER) is not None
    cuts = range(len(whole) - len(" end\n"))
    assert [cut for cut in cuts if _detached.parse_status(whole[:cut], MARKER) is not None] == []


def test_an_echo_of_the_command_is_no_answer() -> None:
    job = Job("/root/.ansible_async/ascend-fleet-1/j12345.678", "j12345")
    assert _detached.parse_status(_detached.status_command(job, MARKER), MARKER) is None


@contextmanager
def process_of(word: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with this word among its arguments, as the wrapper of a job has it."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()", "AnsiballZ_async_wrapper.py", word, "60"], stdin=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(job: Job) -> Optional[Status]:
    """Run the command as Ansible does: quoted once for become, once for the login shell."""
    inner = "sh -c %s" % shlex.quote("echo BECOME-SUCCESS; %s" % _detached.status_command(job, MARKER))
    done = subprocess.run(["sh", "-c", inner], capture_output=True, text=True, check=True)
    return _detached.parse_status(done.stdout, MARKER)


def test_a_job_can_see_when_it_was_asked_for_last(tmp_path: Path) -> None:
    job = Job(str(tmp_path / "ascend-fleet-1" / "j90.4711"), "j90")
    ask(job)
    assert list(tmp_path.iterdir()) == [], "a job that has been removed stays so"
    (tmp_path / "ascend-fleet-1").mkdir()
    ask(job)
    heard = tmp_path / "ascend-fleet-1" / detached.HEARD_NAME
    os.utime(heard, (1, 1))
    ask(job)
    assert heard.stat().st_mtime > 1


def test_the_state_on_a_host(tmp_path: Path) -> None:
    folder = tmp_path / "with space" / "ascend-fleet-1"
    folder.mkdir(parents=True)
    word = "j%d" % (90000000000 + hash(str(tmp_path)) % 10**9)
    job = Job(str(folder / (word + ".4711")), word)
    with process_of(word):
        assert ask(job) == Status(True, False, "")
        Path(job.results_file).write_text(RUNNING)
        Path(job.progress_file).write_text(snapshot(7, 1))
        assert ask(job) == Status(True, False, snapshot(7, 1))
    gone = ask(job)
    assert gone == Status(False, False, snapshot(7, 1))
    assert gone is not None
    assert gone.is_gone
    Path(job.results_file).write_text(ENDED)
    assert ask(job) == Status(False, True, snapshot(7, 1))


def test_a_host_that_does_not_show_its_processes_proves_nothing() -> None:
    status = _detached.parse_status(answer("unknown"), MARKER)
    assert status == Status(None, False, "")
    assert not status.is_gone


def test_the_job_is_the_one_that_the_wrapper_names() -> None:
    named = {"ansible_job_id": "j12.34", "results_file": "/data/home/.ansible_async/ascend-fleet-1/j12.34"}
    job = _detached.job_of(named)
    assert job == Job("/data/home/.ansible_async/ascend-fleet-1/j12.34", "j12")
    assert job.progress_file == "/data/home/.ansible_async/ascend-fleet-1/progress"
    assert _detached.job_of({"failed": True, "msg": "no python"}) is None


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Shell:
    tmpdir = None


class Connection:
    def __init__(self) -> None:
        self.resets = 0
        self._shell = Shell()

    def reset(self) -> None:
        self.resets += 1


class Task:
    async_val = 0
    check_mode = False


Answer = Union[Exception, str]


class Action(TransferAction):
    """An action on a host that answers what it is told to: the last answer again and again."""

    MODULE = "ascend.fleet.image_load"

    def __init__(self, answers: list[Answer], clock: Clock) -> None:
        self._connection = Connection()
        self._task = Task()
        self.answers = answers
        self.clock = clock
        self.commands: list[str] = []
        self.modules: list[tuple[str, dict[str, Any], bool]] = []
        self.settled: dict[str, Any] = {"settled": False}
        self.result: list[Any] = [{"changed": True, "started": 1, "ansible_job_id": "j12.34"}]

    def get_plugin_option(self, plugin: Any, option: str, default: Any = None) -> Any:
        return default

    def get_shell_option(self, option: str, default: Any = None) -> Any:
        return super().get_shell_option(option, default)

    def _low_level_execute_command(self, cmd: str, **_options: Any) -> dict[str, Any]:
        self.commands.append(cmd)
        if cmd.startswith("rm "):
            return {"rc": 0}
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(said, Exception):
            raise said
        marker = next(word for word in shlex.split(cmd.replace(";", " ")) if word.startswith("ascend-fleet-"))
        return {"stdout": said.replace(MARKER, marker)}

    def _execute_module(
        self,
        module_name: str = "",
        module_args: Any = None,
        task_vars: Any = None,
        wrap_async: bool = False,
        **_options: Any,
    ) -> dict[str, Any]:
        self.modules.append((module_name, module_args, wrap_async))
        if wrap_async:
            folder = self.get_shell_option("async_dir", "~/.ansible_async")
            assert module_args["progress"] == folder + "/progress"
            return {"ansible_job_id": "j12.34", "results_file": folder.replace("~", "/data/home") + "/j12.34"}
        if module_name == "ansible.legacy.async_status":
            result = self.result.pop(0) if len(self.result) > 1 else self.result[0]
            if result is LOST:
                raise LOST
            return dict(result)
        return dict(self.settled)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Action]:
    clock = Clock()
    monkeypatch.setattr(_detached.time, "sleep", clock.sleep)
    monkeypatch.setattr(_detached.time, "monotonic", clock)
    return lambda *answers: Action(list(answers), clock)


def follow(action: Action) -> tuple[dict[str, Any], list[str]]:
    heard: list[str] = []
    result = action._run_detached(action.MODULE, {"path": "/a.tar"}, {}, 10, heard.append)
    return result, heard


def test_follows_until_the_end_and_removes_the_folder(host: Callable[..., Action]) -> None:
    action = host(answer(), answer(progress=snapshot(50, 2)), answer(progress=snapshot(50, 2)), answer(result=ENDED))
    result, heard = follow(action)
    assert result == {"changed": True}
    assert heard == ["", snapshot(50, 2), ""]
    status = action.modules[-1][1]
    assert (status["jid"], Path(status["_async_dir"]).parent) == ("j12.34", Path("/data/home/.ansible_async"))
    assert action.commands[-1] == "rm -rf %s" % status["_async_dir"]
    assert action._task.async_val == 0
    assert action.get_shell_option("async_dir", "~/.ansible_async") == "~/.ansible_async"


def test_work_that_says_nothing_new_for_hours_lives_on(host: Callable[..., Action]) -> None:
    action = host(*[answer(progress="{}")] * 2000, answer(result=ENDED))
    assert follow(action)[0] == {"changed": True}
    assert action.clock.now > 5000


def test_work_that_may_have_been_killed_unseen_ends_by_its_limit(host: Callable[..., Action]) -> None:
    action = host(answer("unknown", progress="{}"))
    result, _heard = follow(action)
    assert result["failed"]
    assert "no process list" in result["msg"]
    assert "its limit of 10 s" in result["msg"]
    assert action.clock.now < 2 * _detached.LOST_SECONDS


def test_work_that_is_gone(host: Callable[..., Action]) -> None:
    action = host(answer(progress="{}"), answer("no", progress="{}"))
    result, _heard = follow(action)
    assert result["failed"]
    assert "found no process and no result" in result["msg"]
    assert action.commands[-1].startswith("rm -rf /data/home/.ansible_async/ascend-fleet-")


def test_a_connection_that_comes_back_costs_nothing(host: Callable[..., Action]) -> None:
    action = host(answer(), LOST, LOST, answer(result=ENDED))
    action.result = [LOST, {"changed": True}]
    assert follow(action)[0] == {"changed": True}
    assert action._connection.resets == 3


def test_a_connection_that_does_not_come_back(host: Callable[..., Action]) -> None:
    action = host(answer(), AnsibleConnectionFailure("lost"))
    with pytest.raises(AnsibleConnectionFailure):
        follow(action)
    assert action.clock.now > _detached.LOST_SECONDS


def test_a_host_that_answers_something_else(host: Callable[..., Action]) -> None:
    with pytest.raises(AnsibleActionFail, match=r"found no readable answer .*expired"):
        follow(host("Your password has expired.\n"))


def test_a_module_that_was_killed_is_no_traceback(host: Callable[..., Action]) -> None:
    action = host(answer(result=ENDED))
    action.result = [{"failed": True, "cmd": "x", "data": "", "stderr": "", "msg": "Traceback ..."}]
    result, _heard = follow(action)
    assert result["failed"]
    assert "Traceback" not in result["msg"]
    assert "no output" in result["msg"]


def test_a_job_that_does_not_start_is_reported(host: Callable[..., Action], monkeypatch: pytest.MonkeyPatch) -> None:
    action = host(answer())
    monkeypatch.setattr(action, "_execute_module", lambda **_options: {"failed": True, "msg": "no space left"})
    assert follow(action) == ({"failed": True, "msg": "no space left"}, [])


def test_settled_work_is_not_started(host: Callable[..., Action]) -> None:
    action = host(answer())
    action.settled = {"settled": True, "invocation": {}}
    seen = action._check_settled({"path": "/a.tar"}, {})
    assert seen == {"settled": True}
    [(_name, arguments, detached)] = action.modules
    assert (arguments["check_settled"], detached) == (True, False)
    assert json.dumps(arguments["progress"]).startswith('"~/.ansible_async/ascend-fleet-')
