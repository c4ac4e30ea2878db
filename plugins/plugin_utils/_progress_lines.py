# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that the controller prints about work on a host. For the controller alone."""

from __future__ import annotations

import collections
import enum
import os
import stat
import time
from typing import Any, Callable, Mapping, Optional

from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display

from ..module_utils._base import progress as _progress

# A line for every tenth of the work, and a sign of life now and then.
STEP_PERCENT = 10
QUIET_SECONDS = 30.0
# The rate is that of the last minute: it follows a line that gets slower, and no single poll.
RATE_SECONDS = 60.0

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
