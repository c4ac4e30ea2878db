# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module that works for long on the host, detached, and print how far it is. For the controller alone."""

from __future__ import annotations

import collections
import enum
import json
import os
import shlex
import stat
import time
from typing import Any, Callable, Mapping, Optional

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._base import progress as _progress

# A line for every tenth of the work, and a sign of life now and then.
STEP_PERCENT = 10
QUIET_SECONDS = 30.0
# The rate is that of the last minute: it follows a line that gets slower, and no single poll.
RATE_SECONDS = 60.0
POLL_SECONDS = (0.5, 1.0, 2.0, 3.0)
LOST_SECONDS = 300.0
# The module writes its progress every second; when that stops, the module is gone.
GONE_SECONDS = 60.0
_ASYNC_KEYS = (
    "ansible_job_id",
    "started",
    "finished",
    "results_file",
    "stdout",
    "stderr",
    "stdout_lines",
    "stderr_lines",
)

display = Display()


# Where there is no /proc: a strategy imports actions before it forks the workers, which have no output of their own.
_TERMINAL_AT_IMPORT = os.isatty(1)
# Devices of memory, such as /dev/null. Every other character device that a command writes to is a terminal.
_MEMORY_DEVICES = 1


class Lines(enum.Enum):
    """Which lines are printed."""

    ALL = "all"
    STALLS = "stalls"
    NONE = "none"


def lines_wanted(mode: Any, controller: Optional[int] = None) -> Lines:
    """Which lines ``fleet_progress`` and the output of the controlling process ask for.

    A log is read later: what is wrong is news there, how far things were is not.
    """
    if mode not in _progress.MODES:
        raise AnsibleActionFail(
            "found fleet_progress: %s; needed %s. Fix: set it to one of them or remove it"
            % (mode, ", ".join(_progress.MODES))
        )
    if mode == "never":
        return Lines.NONE
    return Lines.ALL if mode == "always" or _is_on_terminal(controller or os.getppid()) else Lines.STALLS


def _is_on_terminal(process: int) -> bool:
    """Whether a process writes to a terminal. It is not opened: it may belong to the user before ``su``."""
    try:
        status = os.stat("/proc/%d/fd/1" % process)
    except OSError:
        return _TERMINAL_AT_IMPORT
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) != _MEMORY_DEVICES


class Pace:
    """Says when something is worth a line: with news, and as a sign of life now and then."""

    def __init__(self, quiet_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet_seconds
        self._now = now
        self._told: dict[str, tuple[Any, float]] = {}

    def is_due(self, name: str, news: Any, repeat: bool = True) -> bool:
        """Whether to say ``news`` about ``name`` now; it counts as said then."""
        before, at = self._told.get(name, (None, 0.0))
        if news == before and (not repeat or self._now() - at < self._quiet):
            return False
        self._told[name] = (news, self._now())
        return True


class Teller:
    """Prints lines about one transfer."""

    def __init__(
        self,
        host: str,
        title: str,
        say: Callable[[str], Any],
        lines: Lines = Lines.ALL,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._title = title
        self._say = say
        self._lines = lines
        self._pace = Pace(QUIET_SECONDS, now)
        self._recent: collections.deque[_progress.Snapshot] = collections.deque()
        self._moved: Optional[_progress.Snapshot] = None
        self._stalled = False

    def tell(self, snapshot: Optional[_progress.Snapshot]) -> None:
        """Print how far the work is, unless that was just said."""
        if snapshot is None or snapshot.stage == _progress.PREPARE:
            return
        before, stood = self._moved, None
        if before is None or (before.stage, before.done) != (snapshot.stage, snapshot.done):
            self._moved = snapshot
            if before is not None and self._stalled:
                stood = snapshot.at - before.at
        if stood is not None or (self._recent and self._recent[0].stage != snapshot.stage):
            self._recent.clear()
        self._recent.append(snapshot)
        while snapshot.at - self._recent[0].at > RATE_SECONDS:
            self._recent.popleft()
        self._stalled = _progress.is_stalled(snapshot, self._moved)
        if self._lines is Lines.NONE or (self._lines is Lines.STALLS and not self._stalled and stood is None):
            return
        percent = 100 * snapshot.done // snapshot.total if snapshot.total else 0
        if self._pace.is_due(self._title, (snapshot.stage, percent // STEP_PERCENT, self._stalled, stood is not None)):
            text = _progress.describe(self._title, snapshot, self._recent[0], self._moved, stood)
            self._say("%s  %s" % (self._host, text))


def lines_for(action: Any, task_vars: Mapping[str, Any]) -> Lines:
    """Which lines an action prints for a host."""
    return lines_wanted(action._templar.template(task_vars.get("fleet_progress", _progress.MODES[0])))


class LiveAction(ActionBase):  # type: ignore[misc]
    """The action of a module with the options ``check_settled``, ``progress``, ``timeout`` and the result ``settled``.

    The module is asked first whether it has anything to do. If not, that is all. Otherwise it is started detached, so
    that it goes on when this controller goes away, and its progress is read until it has ended.
    """

    TRANSFERS_FILES = False
    MODULE = ""
    #: What lines call the work, where the arguments do not say it.
    TITLE = ""
    #: What the module may take beside what its option ``timeout`` limits: waiting for another run, hashing.
    SPARE_SECONDS = 7200

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = {k: v for k, v in self._task.args.items() if k != "progress"}
        if self._task.check_mode or self._task.async_val:
            return self._module(arguments, task_vars)
        seen = self._module(dict(arguments, check_settled=True), task_vars)
        if seen.get("failed") or seen.get("unreachable") or seen.get("settled"):
            seen.pop("invocation", None)
            return seen
        return self._follow(arguments, task_vars, self._teller(arguments, task_vars))

    def _title(self, arguments: Mapping[str, Any]) -> str:
        return self.TITLE

    def _teller(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Teller:
        # Lines name host and transfer: the task's headline may come later, with the first result.
        host = str(task_vars.get("inventory_hostname", ""))
        return Teller(host, self._title(arguments), display.display, lines_for(self, task_vars))

    def _module(self, arguments: Mapping[str, Any], task_vars: dict[str, Any], **options: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name=self.MODULE, module_args=dict(arguments), task_vars=task_vars, **options
        )
        return result

    def _follow(self, arguments: Mapping[str, Any], task_vars: dict[str, Any], teller: Teller) -> dict[str, Any]:
        folder = self._remote_expand_user(self.get_shell_option("async_dir", default="~/.ansible_async"))
        progress = self._connection._shell.join_path(folder, "ascend-fleet-%d.progress" % time.time_ns())
        self._task.async_val = int(arguments.get("timeout") or 86400) + self.SPARE_SECONDS
        try:
            job = self._module(dict(arguments, progress=progress), task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0
        if job.get("failed") or not job.get("ansible_job_id"):
            return job
        jid = str(job["ansible_job_id"])
        ended = self._connection._shell.join_path(folder, jid)
        if not self._poll(progress, ended, teller):
            return {
                "failed": True,
                "msg": "the work on the host ended without a result: the host was restarted, or the process was "
                "killed. Run again: what was done is kept.",
            }
        status = {"jid": jid, "_async_dir": folder}
        result: dict[str, Any] = self._execute_module(
            module_name="ansible.legacy.async_status", module_args=dict(status, mode="status"), task_vars=task_vars
        )
        self._execute_module(
            module_name="ansible.legacy.async_status", module_args=dict(status, mode="cleanup"), task_vars=task_vars
        )
        self._low_level_execute_command("rm -f %s" % shlex.quote(progress))
        return {k: v for k, v in result.items() if k not in _ASYNC_KEYS}

    def _poll(self, progress: str, ended: str, teller: Teller) -> bool:
        """Follow the work until it has ended; say whether it left a result."""
        command = "cat %s 2>/dev/null; echo; cat %s 2>/dev/null" % (shlex.quote(progress), shlex.quote(ended))
        heard = moved = time.monotonic()
        last = None
        count = 0
        while True:
            time.sleep(POLL_SECONDS[min(count, len(POLL_SECONDS) - 1)])
            count += 1
            try:
                said = self._low_level_execute_command(command)
            except AnsibleConnectionFailure:
                # The work goes on without us; a network that comes back in time costs nothing.
                if time.monotonic() - heard > LOST_SECONDS:
                    raise
                self._connection.reset()
                continue
            heard = time.monotonic()
            first, _newline, rest = str(said.get("stdout", "")).partition("\n")
            if has_ended(rest):
                return True
            snapshot = _progress.parse(first)
            if snapshot != last:
                last, moved = snapshot, heard
                teller.tell(snapshot)
            elif heard - moved > GONE_SECONDS:
                return False


def has_ended(text: str) -> bool:
    """Whether the file of an asynchronous job holds its result: until then it says ``started``."""
    begin = text.find("{")
    if begin < 0:
        return False
    try:
        data = json.loads(text[begin:])
    except ValueError:
        return False  # it is being written
    return "started" not in data or bool(data.get("finished"))
