# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run an external command with a deadline, in the C locale, without ever raising."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from .text import printable


@dataclass(frozen=True)
class Completed:
    """What became of a command.

    ``exit_status`` is None when the deadline passed (``timed_out``), 127 when the program does not exist,
    126 when it cannot be executed (for example because a directory stands in its place), and negative
    (minus the signal's number) when a signal ended it.
    """

    argv: tuple[str, ...]
    exit_status: Optional[int]
    stdout: str
    stderr: str
    timed_out: bool

    @property
    def ok(self) -> bool:
        """Whether the command ended with exit status 0 within its deadline."""
        return self.exit_status == 0

    def describe(self) -> str:
        """One line for an error message: the command, how it ended, and its last words, safe to show."""
        said = (self.stderr.strip() or self.stdout.strip()).splitlines()
        tail = ": " + printable(said[-1].strip()) if said else ""
        if self.timed_out:
            return "`%s` did not end within its deadline%s" % (" ".join(self.argv), tail)
        return "`%s` ended with status %s%s" % (" ".join(self.argv), self.exit_status, tail)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Optional[Mapping[str, Optional[str]]] = None,
    cwd: Optional[str] = None,
    stdin: Optional[str] = None,
    pass_fds: Sequence[int] = (),
    stderr_path: Optional[str] = None,
) -> Completed:
    """Run ``argv`` for at most ``timeout`` seconds and return what became of it.

    The command runs in its own session, so that at the deadline it is killed with everything it started.
    Output is decoded as UTF-8 with replacement: a device's garbage must not crash a reader.
    ``env`` is added to the present environment, and what is None in it is taken out; ``LC_ALL=C`` always holds.
    ``pass_fds`` stay open in the command: a lock's descriptor given here is held for as long as the command lives,
    even when this process is killed.
    ``stderr_path`` is a file that standard error is written to, so that it can be read while the command runs.
    """
    changed = dict(os.environ, **(env or {}), LC_ALL="C", LANGUAGE="C")
    environment = {name: value for name, value in changed.items() if value is not None}
    command = tuple(str(a) for a in argv)
    errors: Any = subprocess.PIPE
    try:
        if stderr_path is not None:
            errors = open(stderr_path, "wb")  # noqa: SIM115 - it stays open for the command
        # AnsibleModule.run_command has no deadline, and a hung device must not hang the run.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            command,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except FileNotFoundError as exc:
        return Completed(command, 127, "", "%s: %s" % (exc.filename or command[0], exc.strerror), False)
    except OSError as exc:
        return Completed(command, 126, "", "%s: %s" % (exc.filename or command[0], exc.strerror), False)
    finally:
        if errors is not subprocess.PIPE:
            errors.close()
    timed_out = False
    try:
        out, err = process.communicate(stdin.encode() if stdin is not None else None, timeout=timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        _kill_session(process)
        try:
            # A process in uninterruptible sleep (a hung device) cannot be reaped: do not wait for it for ever.
            out, err = process.communicate(timeout=2)
        except subprocess.TimeoutExpired as exc:
            out, err = exc.stdout or b"", exc.stderr or b""
    if stderr_path is not None:
        with open(stderr_path, "rb") as file:
            err = file.read()
    return Completed(
        command,
        None if timed_out else process.returncode,
        (out or b"").decode("utf-8", "replace"),
        (err or b"").decode("utf-8", "replace"),
        timed_out,
    )


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
