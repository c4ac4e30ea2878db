# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An installer that ends by itself alone, and that is never run twice.

It runs as a transient unit of systemd, so that neither a lost connection nor the end of whoever started it matters.
Each installation has a folder of its own, which knows its process by number, start time and boot, what it prints, and
what it ended with. Where that does not tell how it ended, a person has to look: half a firmware is not flashed over.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base import command
from .._base.files import remove, write_atomically
from .._base.text import printable
from .._upgrade.deployment import FOLDER
from .._upgrade.state import folder_lock

FOLDER_NAME = "driver"
RECORD, SCRIPT_NAME, BEGAN, EXIT, LOG = "record.json", "run.sh", "began", "exit", "log"
#: What installers of driver and firmware end with when they have done it.
SUCCESS = (0, 2)
NONE, STARTING, RUNNING, ENDED, CUT = "none", "starting", "running", "ended", "cut off"
#: systemd starts it within seconds; past this it never began.
_START_SECONDS = 60
_TAIL_BYTES = 4096
_PERCENT = re.compile(r"(\d{1,3})\s?%")
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._+@=:,-]*\Z")
_INTERPRETER = re.compile(rb"#!\s*(?:/usr)?(/bin/(?:ba|da)?sh)\b")

SCRIPT = """\
# Runs an installer to its end, and writes down its process and its exit status. Written by ascend.fleet.
folder=$1
shift
umask 077
started=$(sed 's/.*) //' /proc/$$/stat | cut -d' ' -f20)
printf '%s %s\\n' "$$" "$started" > "$folder/began.new" && mv "$folder/began.new" "$folder/began" || exit 97
umask 022
"$@" < /dev/null > "$folder/log" 2>&1
code=$?
printf '%s %s\\n' "$code" "$(date +%s)" > "$folder/exit.new"
sync
mv "$folder/exit.new" "$folder/exit"
sync
"""


class InstallerError(Exception):
    """The installer cannot be started, or nobody knows how it ended; the message says what to do."""


@dataclass(frozen=True)
class Look:
    """What is known of an installation. seconds: since it began; silent: since it last said something."""

    state: str = NONE
    code: Optional[int] = None
    pid: Optional[int] = None
    seconds: float = 0.0
    silent: float = 0.0
    percent: Optional[int] = None
    tail: str = ""

    @property
    def done(self) -> bool:
        """Whether it has come to a good end."""
        return self.state == ENDED and self.code in SUCCESS


class Installation:
    """One installation on this host. run: its name, such as ``20261130T061500Z-firmware``."""

    def __init__(
        self,
        run: str,
        *,
        folder: str = FOLDER,
        boot_id: str = "",
        proc: str = "/proc",
        execute: Callable[..., command.Completed] = command.run,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not _RUN_NAME.match(run):
            raise InstallerError("found the name %r; needed letters, digits, dots, dashes and underscores" % run)
        self.run = run
        self.folder = os.path.join(folder, FOLDER_NAME, run)
        self._root = folder
        self._proc = proc
        self._boot_id = boot_id or _line(os.path.join(proc, "sys/kernel/random/boot_id"))
        self._execute = execute
        self._clock = clock

    @property
    def unit(self) -> str:
        """The unit in which it runs."""
        return "ascend-fleet-install-%s.service" % self.run

    @property
    def log(self) -> str:
        """The file with everything that it prints."""
        return os.path.join(self.folder, LOG)

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    # - looking -

    def record(self) -> Optional[dict[str, Any]]:
        """What was noted before it was started; None where nothing was. InstallerError."""
        try:
            with open(self._path(RECORD), encoding="utf-8") as handle:
                data = json.load(handle)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise InstallerError(
                "found %s unreadable (%s); needed what was installed. Fix: see %s how it ended, then run again with "
                "-e npu_driver_retry=true" % (self._path(RECORD), exc, self.log)
            ) from exc
        return data if isinstance(data, dict) else {}

    def look(self) -> Look:
        """How it stands. InstallerError."""
        noted = self.record()
        if noted is None:
            return Look()
        now = self._clock()
        began = float(noted.get("at") or now)
        tail, spoke = self._said()
        percents = _PERCENT.findall(tail)
        about = Look(
            silent=max(0.0, now - max(spoke or 0.0, began)),
            percent=min(100, int(percents[-1])) if percents else None,
            tail=tail,
        )
        ended = _line(self._path(EXIT)).split()
        if len(ended) == 2 and all(word.isdigit() for word in ended):
            return replace(about, state=ENDED, code=int(ended[0]), seconds=max(0.0, float(ended[1]) - began))
        process = _line(self._path(BEGAN)).split()
        same_boot = noted.get("boot_id") == self._boot_id
        if len(process) != 2 or not process[0].isdigit():
            waits = same_boot and now - began < _START_SECONDS
            return Look(STARTING, seconds=now - began) if waits else Look()
        alive = same_boot and self._started(process[0]) == process[1]
        return replace(about, state=RUNNING if alive else CUT, pid=int(process[0]), seconds=max(0.0, now - began))

    def _started(self, pid: str) -> str:
        fields = _line(os.path.join(self._proc, pid, "stat")).rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 else ""

    def _said(self) -> tuple[str, Optional[float]]:
        """The last words, and when they were said."""
        try:
            with open(self.log, "rb") as handle:
                size = os.fstat(handle.fileno()).st_size
                handle.seek(max(0, size - _TAIL_BYTES))
                lines = handle.read().decode("utf-8", "replace").splitlines()
                return "\n".join(printable(line) for line in lines[-20:]), os.fstat(handle.fileno()).st_mtime
        except OSError:
            return "", None

    # - starting -

    def start(self, path: str, arguments: Sequence[str], about: Mapping[str, Any], *, retry: bool = False) -> bool:
        """Start it unless it was; returns whether it was started now. InstallerError, StateError.

        about: what is noted of the package. retry: whether one that has failed, or of which nobody knows how it ended,
        is started anew; its folder is kept under another name.
        """
        if not _PLAIN_PATH.match(path):
            raise InstallerError(
                "found the path %r; needed one of letters, digits and ._+@=:,- alone. Fix: move the package" % path
            )
        with folder_lock(self._root):
            found = self.look()
            if found.state in (STARTING, RUNNING) or found.done:
                return False
            if found.state != NONE and not retry:
                raise InstallerError(self.failure(found))
            if found.state != NONE:
                os.rename(self.folder, "%s.%d" % (self.folder, int(self._clock())))
            self._begin(path, arguments, about)
        return True

    def _begin(self, path: str, arguments: Sequence[str], about: Mapping[str, Any]) -> None:
        with open(path, "rb") as handle:
            match = _INTERPRETER.match(handle.readline(200))
        argv = [match.group(1).decode() if match else "/bin/sh", path, *arguments]
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        for name in (BEGAN, EXIT, LOG):
            remove(self._path(name))
        write_atomically(self._path(SCRIPT_NAME), SCRIPT, 0o700)
        noted = {**about, "argv": argv, "boot_id": self._boot_id, "at": self._clock(), "unit": self.unit}
        write_atomically(self._path(RECORD), json.dumps(noted, indent=1, sort_keys=True) + "\n", 0o600)
        done = self._execute(
            [
                "systemd-run",
                "--quiet",
                "--collect",
                "--unit=%s" % self.unit,
                "--description=ascend.fleet: %s" % os.path.basename(path),
                # Also a shutdown waits for it, and nothing else ends it.
                "--property=KillMode=process",
                "--property=SendSIGKILL=no",
                "--property=TimeoutStopSec=infinity",
                "--property=OOMScoreAdjust=-1000",
                "--setenv=LC_ALL=C",
                "--setenv=HOME=/root",
                "--setenv=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "/bin/sh",
                self._path(SCRIPT_NAME),
                self.folder,
                *argv,
            ],
            timeout=_START_SECONDS,
        )
        if not done.ok and not os.path.exists(self._path(BEGAN)):
            if not done.timed_out:
                remove(self._path(RECORD))
            raise InstallerError(
                "found that %s; needed the installer started as a unit of systemd. Nothing was installed. Fix: see "
                "`systemctl status %s`, and run again" % (done.describe(), self.unit)
            )

    # - words -

    def failure(self, found: Look) -> str:
        """Why an installation that did not come to a good end is not simply started again."""
        last = next((line for line in reversed(found.tail.splitlines()) if line.strip()), "nothing")
        again = "remove the cause, then run driver.yml again with -e npu_driver_retry=true"
        if found.state == CUT:
            return (
                "found that the installer of %s was cut off (its process %s is gone and no exit status is written; it "
                "last said: %s); needed its end. What is flashed may be incomplete: the host must not serve. Fix: look "
                "at %s and at dmesg; %s" % (self.run, found.pid, last, self.log, again)
            )
        return (
            "found that the installer of %s ended with status %s (it last said: %s); needed 0 or 2. Fix: see %s; %s"
            % (
                self.run,
                found.code,
                last,
                self.log,
                again,
            )
        )


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read().strip()
    except OSError:
        return ""
