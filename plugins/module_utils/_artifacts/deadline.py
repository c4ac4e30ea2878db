# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deadline of a request, and what the steps of one run share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Callable

from .._base.progress import Progress
from .errors import ArtifactError


class Deadline:
    """The moment at which a request has to have ended."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._now = now
        self._end = now() + seconds

    def left(self) -> float:
        """The seconds until then; not more than 0 when it has passed."""
        return self._end - self._now()

    def check(self, doing: str) -> None:
        """Raise ArtifactError when it has passed; ``doing`` says what did not end."""
        if self.left() <= 0:
            raise ArtifactError(
                "%s did not end within its deadline of %g s. What arrived is kept; run again to go on from there, or "
                "raise timeout." % (doing, self.seconds)
            )


@dataclass(frozen=True)
class Run:
    """What the steps of one run share: its deadline, its progress, how it waits, and the open file of its lock."""

    deadline: Deadline
    progress: Progress = field(default_factory=Progress)
    sleep: Callable[[float], None] = time.sleep
    lock_fds: tuple[int, ...] = ()
