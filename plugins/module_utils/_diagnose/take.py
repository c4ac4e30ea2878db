# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take one source: run its command or read its file, with a deadline and a limit, and without its secrets.

Output goes line by line through the redactor; what was not redacted is never kept, and never written to a disk.
"""

from __future__ import annotations

import codecs
import collections
import gzip
import os
import re
import select
import signal
import stat
import subprocess
import time
from dataclasses import dataclass, field
from typing import IO, Callable, Iterator, Optional, Sequence, cast

from .._base.text import is_text
from .._npu.hardware import DRIVER_PATH
from .redact import READ_CHARACTERS, Redactor

KIB = 1024
HEAD, TAIL = "head", "tail"
#: What became of a source.
COLLECTED, EMPTY, FAILED, TIMED_OUT, LEFT_OUT = "collected", "empty", "failed", "timed out", "left out"
# How many bytes of a stream are read when only its end is kept.
_MOST_READ = 512 * KIB * KIB
_CHUNK = 64 * KIB
# Programs that need the driver's libraries, which are found there whatever shell this is.
_OF_DRIVER = frozenset({"npu-smi", "hccn_tool", "msnpureport"})
_LIBRARIES = tuple(DRIVER_PATH + "/" + name for name in ("lib64", "lib64/common", "lib64/driver"))


class Absent(Exception):
    """A source is not there; the message says so in words."""


@dataclass(frozen=True)
class Source:
    """What is to be taken, and where it lies in the bundle.

    argv: a command · path: a file · ask: a function that returns text · reason: why it is left out from the beginning.
    folder: the file must lie in it whatever links say, since a container can write there.
    group: after a source of it has hung, the others are left out. signs: where signatures are looked for in it.
    """

    name: str
    title: str
    argv: tuple[str, ...] = ()
    path: str = ""
    ask: Optional[Callable[[], str]] = None
    reason: str = ""
    seconds: float = 20.0
    limit: int = 256 * KIB
    keep: str = HEAD
    only: Optional[re.Pattern[str]] = None
    folder: str = ""
    group: str = ""
    signs: str = ""
    unit: str = ""
    accepts: tuple[int, ...] = (0,)
    cwd: str = "/"


@dataclass
class Taken:
    """What became of a source."""

    source: Source
    state: str = LEFT_OUT
    reason: str = ""
    text: str = ""
    cut_bytes: int = 0
    redacted: int = 0
    seconds: float = 0.0


@dataclass
class _Kept:
    """The lines of a source that are kept: its first ones, or its last ones."""

    limit: int
    keep: str
    size: int = 0
    cut: int = 0
    lines: collections.deque[str] = field(default_factory=collections.deque)

    def add(self, line: str) -> bool:
        """Keep a line; false where nothing more is wanted."""
        size = len(line.encode("utf-8", "replace")) + 1
        if self.keep == HEAD and self.size + size > self.limit:
            self.cut += size
            return False
        self.lines.append(line)
        self.size += size
        while self.size > self.limit and self.lines:
            gone = len(self.lines.popleft().encode("utf-8", "replace")) + 1
            self.size -= gone
            self.cut += gone
        return True

    def text(self) -> str:
        return "".join(line + "\n" for line in self.lines)


class Lines:
    """Bytes in pieces, as lines: one that is too long is cut, and what follows of it is dropped."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._skipping = False

    def feed(self, data: bytes, final: bool = False) -> Iterator[str]:
        """The lines that are whole now. Progress bars rewrite theirs with carriage returns; NUL is a blank."""
        text = self._rest + self._decoder.decode(data, final).replace("\0", " ")
        parts = re.split(r"\r?\n|\r(?!\Z)", text)
        self._rest = parts.pop()
        for part in parts:
            if not self._skipping:
                yield part[:READ_CHARACTERS]
            self._skipping = False
        if len(self._rest) > READ_CHARACTERS:
            if not self._skipping:
                yield self._rest[:READ_CHARACTERS]
            self._rest, self._skipping = "", True
        if final and self._rest.strip("\r") and not self._skipping:
            yield self._rest.rstrip("\r")[:READ_CHARACTERS]


class Taker:
    """Takes sources. resolve: where a program lies, None where it is not installed. below: a path below the root."""

    def __init__(
        self,
        redactor: Redactor,
        resolve: Callable[[str], Optional[str]],
        below: Callable[[str], str] = lambda path: path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.redactor = redactor
        self._resolve = resolve
        self._below = below
        self._clock = clock

    def take(self, source: Source, seconds: float) -> Taken:
        """Take a source within so many seconds, and its own deadline."""
        began, before = self._clock(), self.redactor.count
        taken = Taken(source)
        if source.reason:
            taken.reason = source.reason
            return taken
        until = began + min(seconds, source.seconds)
        kept = _Kept(source.limit, source.keep)
        try:
            if source.ask is not None:
                taken.state = COLLECTED
                self._add(Lines().feed(source.ask().encode("utf-8", "replace"), True), source, kept)
            elif source.argv:
                self._command(source, kept, taken, until)
            else:
                self._file(source, kept, taken, until)
        except Absent as exc:
            taken.state, taken.reason = LEFT_OUT, self.redactor.line(str(exc))
        except (OSError, EOFError) as exc:
            taken.state, taken.reason = FAILED, self.redactor.line(" ".join(str(exc).split()) or type(exc).__name__)
        taken.text = kept.text()
        taken.cut_bytes += kept.cut
        taken.redacted = self.redactor.count - before
        taken.seconds = round(self._clock() - began, 2)
        if taken.state == COLLECTED and not taken.text.strip():
            taken.state, taken.text = EMPTY, ""
        return taken

    def _add(
        self, lines: Iterator[str], source: Source, kept: _Kept, redact: Optional[Callable[[str], str]] = None
    ) -> bool:
        redact = redact or self.redactor.stream()
        for line in lines:
            if source.only is not None and not source.only.search(line):
                continue
            if not kept.add(redact(line)):
                return False
        return True

    # - commands -

    def _command(self, source: Source, kept: _Kept, taken: Taken, until: float) -> None:
        program = self._resolve(source.argv[0])
        if program is None:
            taken.reason = "%s is not installed" % os.path.basename(source.argv[0])
            return
        environment = dict(os.environ, LC_ALL="C", LANGUAGE="C", PAGER="cat", SYSTEMD_PAGER="", SYSTEMD_COLORS="0")
        if os.path.basename(program) in _OF_DRIVER:
            libraries = [os.environ.get("LD_LIBRARY_PATH", ""), *_LIBRARIES]
            environment["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
        # AnsibleModule.run_command keeps all output, and has no deadline.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            [program, *source.argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=source.cwd,
            start_new_session=True,
        )
        enough = timed_out = False
        try:
            pipe = cast("IO[bytes]", process.stdout)
            lines, redact = Lines(), self.redactor.stream()
            while not enough:
                ready, _none, _none2 = select.select([pipe], [], [], max(until - self._clock(), 0))
                if not ready:
                    timed_out = True
                    break
                data = os.read(pipe.fileno(), _CHUNK)
                enough = not self._add(lines.feed(data, not data), source, kept, redact)
                if not data:
                    break
            if not enough and not timed_out:
                timed_out = not _ends(process, max(until - self._clock(), 0.1))
        finally:
            _end(process)
        taken.state = TIMED_OUT if timed_out else COLLECTED
        if timed_out:
            taken.reason = "`%s` did not end within %d s" % (" ".join(source.argv), source.seconds)
        elif not enough and process.returncode not in source.accepts:
            said = kept.lines[-1].strip()[-300:] if kept.lines else "it said nothing"
            taken.state = FAILED
            taken.reason = "`%s` ended with status %s: %s" % (" ".join(source.argv), process.returncode, said)
        taken.reason = self.redactor.line(taken.reason)

    # - files -

    def _file(self, source: Source, kept: _Kept, taken: Taken, until: float) -> None:
        path = self._below(source.path)
        if source.folder and not _is_inside(path, self._below(source.folder)):
            taken.reason = "it is a link that leads out of %s" % source.folder
            return
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if source.folder else 0))
        except FileNotFoundError:
            taken.reason = "there is no such file"
            return
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                taken.reason = "it is not a regular file"
                return
            stream: IO[bytes] = file
            if path.endswith(".gz"):
                stream = gzip.open(file)  # type: ignore[assignment]  # noqa: SIM115 - reads from a file that is closed
            elif source.keep == TAIL and status.st_size > 4 * source.limit:
                # What stands before the first whole line could be the end of a secret.
                file.seek(status.st_size - 4 * source.limit)
                file.readline(READ_CHARACTERS)
                taken.cut_bytes = file.tell()
            self._read(source, stream, kept, taken, until)

    def _read(self, source: Source, stream: IO[bytes], kept: _Kept, taken: Taken, until: float) -> None:
        lines, redact, count = Lines(), self.redactor.stream(), 0
        taken.state = COLLECTED
        while True:
            data = stream.read(_CHUNK)
            if count == 0 and not is_text(data[:4096].decode("utf-8", "replace")) and data:
                taken.state, taken.reason = LEFT_OUT, "it holds no text"
                return
            count += len(data)
            if not self._add(lines.feed(data, not data), source, kept, redact) or not data:
                return
            if self._clock() > until or count > _MOST_READ:
                taken.state = TIMED_OUT
                taken.reason = "it was not read whole within %d s" % source.seconds
                return


def _is_inside(path: str, folder: str) -> bool:
    real = os.path.realpath(folder)
    return os.path.realpath(path).startswith(real.rstrip("/") + "/")


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command with everything it has started. One that cannot be ended (a hung device) is not waited for."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        _ends(process, 2)
    if process.stdout is not None:
        process.stdout.close()


def newest(paths: Sequence[str], count: int) -> list[str]:
    """The newest of these files, oldest first; those that are gone meanwhile are left out."""
    times = {}
    for path in paths:
        try:
            times[path] = os.lstat(path).st_mtime
        except OSError:
            continue
    return sorted(times, key=lambda p: (times[p], p))[-count:]
