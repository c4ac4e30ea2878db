# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands, progress lines, errors and small files: what every other part of the simulator stands on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

_T = TypeVar("_T")
_STARTED = time.monotonic()
_PRINT_LOCK = threading.Lock()
_CHILDREN: set[subprocess.Popen[bytes]] = set()


class FleetError(Exception):
    """Something the user can act on: what was found, what was needed, what to do."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


def say(message: str) -> None:
    """One progress line: seconds since the start, then what is happening."""
    with _PRINT_LOCK:
        sys.stdout.write("[%6.1fs] %s\n" % (time.monotonic() - _STARTED, message))
        sys.stdout.flush()


@contextmanager
def step(message: str) -> Iterator[None]:
    """Say what starts, and how long it took when it is over."""
    say("%s ..." % message)
    begun = time.monotonic()
    yield
    say("%s: done in %.1f s" % (message, time.monotonic() - begun))


def quote(argv: Sequence[str | os.PathLike[str]]) -> str:
    return " ".join(shlex.quote(os.fspath(word)) for word in argv)


def _finish(
    argv: Sequence[str | os.PathLike[str]],
    input_bytes: bytes | None,
    stdout: int | IO[bytes],
    stderr: int,
    timeout: float | None,
    cwd: Path | None,
    env: Mapping[str, str],
) -> subprocess.CompletedProcess[bytes]:
    """A command in a process group of its own: when we are told to end, all of it ends (see end_children)."""
    stdin = subprocess.DEVNULL if input_bytes is None else subprocess.PIPE
    process = subprocess.Popen(
        argv, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=env, start_new_session=True
    )
    _CHILDREN.add(process)
    try:
        out, err = process.communicate(input_bytes, timeout)
    except BaseException:
        _kill(process)
        raise
    finally:
        _CHILDREN.discard(process)
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end_children() -> None:
    """End what other threads have started: half of a root filesystem is of no use, and is removed next time."""
    for process in list(_CHILDREN):
        _kill(process)


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    check: bool = True,
    input_bytes: bytes | None = None,
    timeout: float | None = 600,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    fix: str = "",
) -> subprocess.CompletedProcess[bytes]:
    """Run one command; its output is returned, or appended to this job's file in the folder ``log``."""
    full_env = {**os.environ, "LC_ALL": "C", **(env or {})}
    try:
        if log is None:
            done = _finish(argv, input_bytes, subprocess.PIPE, subprocess.PIPE, timeout, cwd, full_env)
        else:
            log = log_file(log)
            with log.open("ab") as sink:
                sink.write(("\n+ %s\n" % quote(argv)).encode())
                sink.flush()
                done = _finish(argv, None, sink, subprocess.STDOUT, timeout, cwd, full_env)
    except FileNotFoundError as error:
        raise FleetError("the command %s is missing on this machine" % error.filename, fix) from None
    except subprocess.TimeoutExpired:
        raise FleetError("no end after %g s: %s" % (timeout or 0, quote(argv)), fix) from None
    if check and done.returncode != 0:
        if log is not None:
            tail = log.read_text(errors="replace").splitlines()[-12:]
            where = "\n  the whole log: %s" % log
        else:
            tail = (done.stderr or done.stdout or b"").decode(errors="replace").splitlines()[-12:]
            where = ""
        raise FleetError(
            "exit status %d: %s\n  %s%s" % (done.returncode, quote(argv), "\n  ".join(tail) or "(no output)", where),
            fix,
        )
    return done


def log_file(folder: Path) -> Path:
    """The log of the job (thread) that asks: jobs run side by side, and their last words must not mix."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / ("%s.log" % threading.current_thread().name.replace("/", "-"))


def output(argv: Sequence[str | os.PathLike[str]], **options: Any) -> str:
    return run(argv, **options).stdout.decode(errors="replace").strip()


def wait_for(what: str, probe: Callable[[], _T | None], timeout: float, fix: str = "") -> _T:
    """Ask ``probe`` until it answers something; the pause between two questions grows to half a second."""
    deadline = time.monotonic() + timeout
    pause = 0.05
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise FleetError("%s: not so after %g s" % (what, timeout), fix)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def try_again(what: str, action: Callable[[], _T], times: int = 3, pause: float = 5.0) -> _T:
    """Do what another machine can spoil for a moment (a mirror, an index); the last error is the one that counts."""
    for left in range(times - 1, 0, -1):
        try:
            return action()
        except FleetError as error:
            say("%s: %s; tried again in %g s (%d more)" % (what, str(error).splitlines()[0], pause, left))
        time.sleep(pause)
    return action()


def write_atomic(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """The file is the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".%s.%d.%d.tmp" % (path.name, os.getpid(), threading.get_ident()))
    data = content.encode() if isinstance(content, str) else content
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as sink:
            sink.write(data)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an absent or unreadable file is an empty one (it is state that can be made again)."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def lock(path: Path, why: str) -> Iterator[None]:
    """One at a time, across processes; the kernel releases it whatever becomes of us."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run of this command to finish (%s)" % why)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
