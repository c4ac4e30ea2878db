# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask replicas their smoke questions, and show what is waited for where that takes longer than some seconds."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Optional

from ..module_utils._host.systemd import short_name
from ..plugin_utils._detached import DetachedAction, read_progress
from ..plugin_utils._progress_lines import Lines, Pace, display, lines_for

# Without news a line comes only so often.
QUIET_SECONDS = 15.0
# The module's own limits for one question, where the caller gives none, and what it may take beside.
QUESTION_SECONDS = 300
SPARE_SECONDS = 300
# A replica that lets a question wait for so long is worth a line in a log too.
LATE_SECONDS = 30.0


class Teller:
    """Prints a line for a replica with each question, with its first token, and as a sign of life now and then."""

    def __init__(
        self, host: str, say: Callable[[str], Any], lines: Lines, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host
        self._say = say
        self._lines = lines
        self._pace = Pace(QUIET_SECONDS, now)

    def tell(self, replicas: list[dict[str, Any]]) -> None:
        """Print what is new."""
        for replica in replicas:
            if self._lines is Lines.NONE or not replica.get("question") or replica.get("finished"):
                continue
            waits = not replica["tokens"]
            if self._lines is Lines.STALLS and not (waits and replica["seconds"] >= LATE_SECONDS):
                continue
            name = short_name(str(replica["unit"] or replica["url"]))
            # A log is told once of a question that waits.
            repeat = self._lines is Lines.ALL
            if not self._pace.is_due(name, (replica["question"], waits), repeat=repeat):
                continue
            what = "waits for the first token" if waits else "%d tokens" % replica["tokens"]
            self._say("%s  %s  %s  %s  (%d s)" % (self._host, name, replica["question"], what, replica["seconds"]))


class ActionModule(DetachedAction):
    """The action of ``ascend.fleet.vllm_probe``."""

    TRANSFERS_FILES = False
    MODULE = "ascend.fleet.vllm_probe"

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Ask for some seconds; where answers do not come by then, ask detached on the host and say what is awaited."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = self._arguments()
        teller = Teller(str(task_vars.get("inventory_hostname", "")), display.display, lines_for(self, task_vars))
        result, _followed = self._look_or_follow(
            arguments, task_vars, limit_seconds(arguments), lambda text: teller.tell(read_progress(text, []))
        )
        return result


def limit_seconds(arguments: Mapping[str, Any]) -> int:
    """After so long the host kills the job: each question has its own deadline, and they are asked one by one."""
    total = 0
    for question in arguments.get("questions") or []:
        given = question.get("timeout_seconds") if isinstance(question, Mapping) else None
        total += int(given or QUESTION_SECONDS)
    return total + SPARE_SECONDS
