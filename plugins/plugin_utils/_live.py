# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module that works for long on the host, detached, and print how far it is. For the controller alone."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any, Callable, Mapping, Optional

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.ascend.fleet.plugins.module_utils import _progress

# A line for every tenth of the work, and a sign of life now and then: a log of CI stays readable.
STEP_PERCENT = 10
QUIET_SECONDS = 30.0
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


class Teller:
    """Prints a line when there is news."""

    def __init__(self, prefix: str, say: Callable[[str], Any], now: Callable[[], float] = time.monotonic) -> None:
        self._prefix = prefix
        self._say = say
        self._now = now
        self._first: Optional[_progress.Snapshot] = None
        self._moved: Optional[_progress.Snapshot] = None
        self._news: Optional[tuple[str, int, bool]] = None
        self._at = 0.0

    def tell(self, snapshot: Optional[_progress.Snapshot]) -> None:
        """Print how far the work is, unless that was just said."""
        if snapshot is None or snapshot.stage == _progress.PREPARE:
            return
        if self._first is None or self._first.stage != snapshot.stage:
            self._first = snapshot
        if self._moved is None or (self._moved.stage, self._moved.done) != (snapshot.stage, snapshot.done):
            self._moved = snapshot
        percent = 100 * snapshot.done // snapshot.total if snapshot.total else 0
        news = (snapshot.stage, percent // STEP_PERCENT, _progress.is_stalled(snapshot, self._moved))
        if news == self._news and self._now() - self._at < QUIET_SECONDS:
            return
        self._news, self._at = news, self._now()
        self._say("%s %s" % (self._prefix, _progress.describe(snapshot, self._first, self._moved)))


class LiveAction(ActionBase):  # type: ignore[misc]
    """The action of a module with the options ``peek``, ``progress`` and ``timeout`` and the result ``settled``.

    The module first peeks. When there is nothing to do, that is all. Otherwise it is started detached, so that it goes
    on when this controller goes away, and its progress is read until it has ended.
    """

    TRANSFERS_FILES = False
    MODULE = ""
    #: What the module may take beside what its option ``timeout`` limits: waiting for another run, hashing.
    SPARE_SECONDS = 7200

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = {k: v for k, v in self._task.args.items() if k != "progress"}
        if self._task.check_mode or self._task.async_val:
            return self._module(arguments, task_vars)
        seen = self._module(dict(arguments, peek=True), task_vars)
        if seen.get("failed") or seen.get("unreachable") or seen.get("settled"):
            seen.pop("invocation", None)
            return seen
        # The task is named in every line: its headline may come later, with the first result.
        prefix = "%s  %s:" % (task_vars.get("inventory_hostname", ""), self._task.name or self.MODULE)
        teller = Teller(prefix, display.display)
        return self._follow(arguments, task_vars, teller)

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
