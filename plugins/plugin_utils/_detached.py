# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module detached on the host and follow it until it has ended. For the controller alone."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, TypeVar

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ..module_utils._base import detached
from ..module_utils._base import progress as _progress
from ._progress_lines import Teller, display, lines_for

Progress = TypeVar("Progress", list[Any], dict[str, Any])
# Short work is noticed at once, long work is not asked about often.
POLL_SECONDS = (0.5, 1.0, 2.0, 3.0)
# The host may be out of reach for so long while the work goes on there.
LOST_SECONDS = 300.0
# What the wrapper of an asynchronous job adds to a result, or what is only the module's transport.
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


@dataclass(frozen=True)
class Job:
    """A detached job on the host.

    results_file: the file the job's wrapper has named; it says ``started`` until it holds the module's result
    process_word: a word of the command line of the job's processes, and of no other process
    """

    results_file: str
    process_word: str

    @property
    def folder(self) -> str:
        """The folder that holds everything of this job and nothing else."""
        return os.path.dirname(self.results_file)

    @property
    def progress_file(self) -> str:
        """The file into which the module writes how far it is."""
        return os.path.join(self.folder, detached.FILE_NAME)


@dataclass(frozen=True)
class Status:
    """What the host says of a job.

    alive: whether a process of the job runs; None when the host does not show its processes
    ended: whether the results file holds the module's result
    progress: the text that the module has written last
    """

    alive: Optional[bool]
    ended: bool
    progress: str

    @property
    def is_gone(self) -> bool:
        """Whether the job is proven to have no process and no result. Processes are looked at before the result."""
        return self.alive is False and not self.ended


def job_of(answer: Mapping[str, Any]) -> Optional[Job]:
    """The job that ``async_wrapper`` has started; None when it has started none."""
    job_id, results_file = str(answer.get("ansible_job_id") or ""), str(answer.get("results_file") or "")
    if not job_id or not results_file:
        return None
    # The ID is WORD.PID, and the wrapper's command line has the word. The process of that ID has ended by design.
    return Job(results_file, job_id.partition(".")[0])


def status_command(job: Job, marker: str) -> str:
    """The shell command whose output :func:`parse_status` reads.

    Every part stands between lines of its own that begin with ``marker``: a prompt, a banner or a message of the
    terminal may come before, between or after them. The command must not contain the job's word in one piece, since
    it would find itself among the processes.
    """
    first, rest = job.process_word[:2], job.process_word[2:]
    name = os.path.basename(job.results_file)[len(job.process_word) :]
    heard = os.path.join(job.folder, detached.HEARD_NAME)
    return (
        f"[ ! -d {shlex.quote(job.folder)} ] || : > {shlex.quote(heard)}; "
        f"id={first}''{rest}; alive=unknown; "
        "if [ -r /proc/self/cmdline ]; then case \"$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\000' ' ')\" in "
        '*"$id"*) alive=yes;; *) alive=no;; esac; fi; '
        f"printf '\\n%s process %s\\n' {marker} \"$alive\"; "
        f"printf '%s progress\\n' {marker}; cat {shlex.quote(job.progress_file)} 2>/dev/null; "
        f"printf '\\n%s result\\n' {marker}; cat {shlex.quote(job.folder)}/\"$id\"{shlex.quote(name)} 2>/dev/null; "
        f"printf '\\n%s end\\n' {marker}"
    )


def parse_status(text: str, marker: str) -> Optional[Status]:
    """Read the output of :func:`status_command`; None when it is not a whole one."""
    parts: dict[str, list[str]] = {}
    current: Optional[list[str]] = None
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [marker] and len(words) > 1:
            current = parts.setdefault(words[1], words[2:])
        elif current is not None:
            current.append(line)
    if not {"process", "progress", "result", "end"} <= parts.keys():
        return None
    alive = {"yes": True, "no": False}.get(parts["process"][0] if parts["process"] else "")
    return Status(alive, has_ended("\n".join(parts["result"])), "\n".join(parts["progress"]).strip())


def has_ended(text: str) -> bool:
    """Whether the file of an asynchronous job holds its result: until then it says ``started``."""
    begin = text.find("{")
    if begin < 0:
        return False
    try:
        data, _end = json.JSONDecoder().raw_decode(text[begin:])
    except ValueError:
        return False  # it is being written
    return "started" not in data or bool(data.get("finished"))


class DetachedAction(ActionBase):
    """An action that runs a module detached: it goes on when the controller or the connection goes away."""

    #: The module that the action of this name runs.
    MODULE = ""
    _job_folder: Optional[str] = None

    def _arguments(self) -> dict[str, Any]:
        """The arguments that the caller gave."""
        return {k: v for k, v in self._task.args.items() if v is not None and k != "progress"}

    def _module(self, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run the module once, attached."""
        result: dict[str, Any] = self._execute_module(
            module_name=self.MODULE, module_args=dict(arguments), task_vars=task_vars
        )
        return result

    def _look_or_follow(
        self,
        arguments: Mapping[str, Any],
        task_vars: dict[str, Any],
        limit_seconds: int,
        on_progress: Callable[[str], None],
    ) -> tuple[dict[str, Any], bool]:
        """Run a module that knows ``check_settled`` once; where that leaves something to wait for, run it detached.

        Check mode, and ``async`` of the task, run it once as it is. Returns the result, and whether it is that of the
        detached run.
        """
        if self._task.check_mode or self._task.async_val:
            return self._module(arguments, task_vars), False
        seen = self._check_settled(arguments, task_vars)
        if seen.get("failed") or seen.get("unreachable") or seen.get("settled"):
            return seen, False
        seen = self._run_detached(self.MODULE, arguments, task_vars, limit_seconds, on_progress)
        seen.pop("invocation", None)
        return seen, True

    def _check_settled(self, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask the module whether there is anything to do; it also removes what ended jobs have left on the host."""
        seen = self._module(dict(arguments, check_settled=True, progress=self._progress_path()), task_vars)
        # What the caller gave is what the result shows, not what was asked in between.
        seen.pop("invocation", None)
        return seen

    def get_shell_option(self, option: str, default: Any = None) -> Any:
        """An option of the shell; every job gets a folder of its own below the configured ``async_dir``."""
        value = super().get_shell_option(option, default)
        return os.path.join(str(value), self._job_folder) if option == "async_dir" and self._job_folder else value

    def _progress_path(self) -> str:
        """A new name for the progress file of a job, in a folder of its own. ``~`` is expanded on the host."""
        folder = str(self.get_shell_option("async_dir", default=detached.ASYNC_FOLDER))
        return os.path.join(folder, detached.FOLDER_PREFIX + secrets.token_hex(8), detached.FILE_NAME)

    def _run_detached(
        self,
        module: str,
        arguments: Mapping[str, Any],
        task_vars: dict[str, Any],
        limit_seconds: int,
        on_progress: Callable[[str], None],
    ) -> dict[str, Any]:
        """Start ``module``, follow it and return its result.

        arguments: the module's; ``progress`` is set to the file into which the module writes how far it is
        limit_seconds: after so long the host kills the job
        on_progress: called with the text of that file whenever it has changed

        Raises AnsibleConnectionFailure when the host cannot be reached for LOST_SECONDS.
        """
        path = self._progress_path()
        self._job_folder = os.path.basename(os.path.dirname(path))
        self._task.async_val = limit_seconds
        try:
            answer: dict[str, Any] = self._execute_module(
                module_name=module,
                module_args=dict(arguments, progress=path),
                task_vars=task_vars,
                wrap_async=True,
            )
        finally:
            self._task.async_val = 0
            self._job_folder = None
        job = job_of(answer)
        if answer.get("failed") or answer.get("unreachable") or job is None:
            return answer
        missing = self._wait(job, on_progress, limit_seconds)
        if missing:
            self._remove(job)
            return {
                "failed": True,
                "msg": "found %s of the work that was started on the host; needed one of them. "
                "The host was restarted, or the process was killed (see dmesg for out of memory). "
                "Fix: run again; what was done is kept." % missing,
            }
        result = self._result(job, task_vars)
        self._remove(job)
        return result

    def _wait(self, job: Job, on_progress: Callable[[str], None], limit_seconds: int) -> str:
        """Follow the job until it has ended; return what is missing, or an empty text where it has left a result.

        Where the host does not show its processes, a job that was killed looks like one that works: there the job has
        ended when the host would have killed it.
        """
        began = time.monotonic()
        marker = "ascend-fleet-%s" % secrets.token_hex(8)
        command = status_command(job, marker)
        heard = time.monotonic()
        last: Optional[str] = None
        count = 0
        while True:
            time.sleep(POLL_SECONDS[min(count, len(POLL_SECONDS) - 1)])
            count += 1
            said = self._tolerate(lambda: self._low_level_execute_command(command), heard)
            status = parse_status(str(said.get("stdout", "")), marker) if said is not None else None
            if status is None:
                if said is not None and time.monotonic() - heard > LOST_SECONDS:
                    raise AnsibleActionFail(
                        "found no readable answer of the host for %d s (last: %r); needed the state of the job %s. "
                        "Fix: run again; the work goes on." % (LOST_SECONDS, _shown(said), job.results_file)
                    )
                continue
            heard = time.monotonic()
            if status.progress != last:
                last = status.progress
                on_progress(status.progress)
            if status.ended:
                return ""
            if status.is_gone:
                return "no process and no result"
            if status.alive is None and heard - began > limit_seconds + LOST_SECONDS:
                return "no process list and, %d s after its limit of %d s, no result" % (LOST_SECONDS, limit_seconds)

    def _result(self, job: Job, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Fetch the result of a job that has ended."""
        arguments = {"jid": os.path.basename(job.results_file), "_async_dir": job.folder, "mode": "status"}
        began = time.monotonic()
        result: Optional[dict[str, Any]] = None
        while result is None:
            result = self._tolerate(
                lambda: self._execute_module(
                    module_name="ansible.legacy.async_status", module_args=arguments, task_vars=task_vars
                ),
                began,
            )
            if result is None:
                time.sleep(POLL_SECONDS[-1])
        if result.get("failed") and {"cmd", "data"} <= result.keys():
            # The wrapper found no JSON in what the module has printed; its own message is a traceback.
            return {
                "failed": True,
                "msg": "found no result of the module on the host, but: %s; needed JSON. The process was killed "
                "(see dmesg for out of memory), or the interpreter failed. Fix: run again; what was done is kept."
                % (str(result.get("stderr") or result["data"] or "").strip()[-500:] or "no output"),
            }
        return {k: v for k, v in result.items() if k not in _ASYNC_KEYS}

    def _remove(self, job: Job) -> None:
        """Remove the folder of a job that has ended. Where that fails, the next run on the host does it."""
        self._tolerate(lambda: self._low_level_execute_command("rm -rf %s" % shlex.quote(job.folder)))

    def _tolerate(self, call: Callable[[], dict[str, Any]], heard: Optional[float] = None) -> Optional[dict[str, Any]]:
        """Call the host; None when it is out of reach, unless it was so for LOST_SECONDS since ``heard``."""
        try:
            return call()
        except AnsibleConnectionFailure:
            if heard is not None and time.monotonic() - heard > LOST_SECONDS:
                raise
            self._connection.reset()
            return None


class TransferAction(DetachedAction):
    """The action of a module with the options ``check_settled``, ``progress``, ``timeout`` and the result ``settled``.

    The module first says whether everything is settled. When it is, that is all. Otherwise it is started detached, so
    that it goes on when this controller goes away, and lines say how far it is.
    """

    TRANSFERS_FILES = False
    #: What lines call the work, where the arguments do not say it.
    TITLE = ""
    #: What the module may take beside what its option ``timeout`` limits: waiting for another run, hashing.
    SPARE_SECONDS = 7200

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        known, arguments = task_vars or {}, self._arguments()
        teller = self._teller(arguments, known)
        limit = int(arguments.get("timeout") or 86400) + self.SPARE_SECONDS
        return self._look_or_follow(arguments, known, limit, lambda text: teller.tell(_progress.parse(text)))[0]

    def _title(self, arguments: Mapping[str, Any]) -> str:
        return self.TITLE

    def _teller(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Teller:
        # Lines name host and transfer: the task's headline may come later, with the first result.
        host = str(task_vars.get("inventory_hostname", ""))
        return Teller(host, self._title(arguments), display.display, lines_for(self, task_vars))


def read_progress(text: str, nothing: Progress) -> Progress:
    """What a module's progress file holds, of the type of ``nothing``; that where it is not a whole one yet."""
    try:
        found = json.loads(text)
    except ValueError:
        return nothing
    return found if isinstance(found, type(nothing)) else nothing


def _shown(answer: Mapping[str, Any]) -> str:
    return (str(answer.get("stderr") or "") + str(answer.get("stdout") or "")).strip()[-200:]
