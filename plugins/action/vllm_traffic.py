# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take replicas out of traffic and put them back; wait detached until no request is left, and show what is."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Optional

from ..plugin_utils._controller import user
from ..plugin_utils._detached import DetachedAction, read_progress
from ..plugin_utils._progress_lines import Lines, Pace, display, lines_for

# The module's own deadline where the caller gives none, and what it may take beside.
TIMEOUT_SECONDS = 900
SPARE_SECONDS = 120
QUIET_SECONDS = 30


class Teller:
    """Prints what is left at the gateway when that has changed, and a sign of life now and then."""

    def __init__(self, host: str, say: Callable[[str], Any], now: Callable[[], float] = time.monotonic) -> None:
        self._host = host
        self._say = say
        self._pace = Pace(QUIET_SECONDS, now)

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Print it, if there is anything new."""
        words = str(progress.get("text") or "")
        if words and self._pace.is_due("left", (words, 0), repeat=True):
            self._say("%s  waits for %s  (%d s)" % (self._host, words, int(progress.get("seconds") or 0)))


class ActionModule(DetachedAction):
    """The action of ``ascend.fleet.vllm_traffic``."""

    TRANSFERS_FILES = False
    MODULE = "ascend.fleet.vllm_traffic"

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Run the module; what takes long runs detached on the gateway."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = self._arguments()
        if arguments.get("state") == "out" and not arguments.get("by"):
            arguments["by"] = user()
        if arguments.get("state") != "idle":
            return self._module(arguments, task_vars)
        shown = lines_for(self, task_vars) is Lines.ALL
        teller = Teller(str(task_vars.get("inventory_hostname", "")), display.display)

        def on_progress(text: str) -> None:
            if shown:
                teller.tell(parse_progress(text))

        limit = int(float(arguments.get("timeout") or TIMEOUT_SECONDS)) + SPARE_SECONDS
        return self._look_or_follow(arguments, task_vars, limit, on_progress)[0]


def parse_progress(text: str) -> dict[str, Any]:
    """The module's progress file; empty when it is not a whole one yet."""
    return read_progress(text, {})
