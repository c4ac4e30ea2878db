# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for replicas detached on the host, and show how far they are."""

from __future__ import annotations

import time
from typing import Any, Optional

from ..module_utils._host.systemd import short_name
from ..plugin_utils._detached import DetachedAction, read_progress
from ..plugin_utils._progress_lines import Lines, Pace, display, lines_for

# The module's own deadline where the caller gives none, and what it may take beside.
TIMEOUT_SECONDS = 2700
SPARE_SECONDS = 600
# A stage tells its percents in such steps, and without news a line comes only so often.
STEP_PERCENT = 20
QUIET_SECONDS = 60


def clock(seconds: float) -> str:
    """``75`` as ``1:15``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return "%d:%02d:%02d" % (hours, minutes, rest) if hours else "%d:%02d" % (minutes, rest)


class Teller:
    """Prints a line for a replica when it has come further, and a sign of life now and then."""

    def __init__(self, host: str, say: Any, now: Any = time.monotonic) -> None:
        self._host = host
        self._say = say
        self._pace = Pace(QUIET_SECONDS, now)

    def tell(self, replicas: list[dict[str, Any]]) -> None:
        """Print what is new."""
        for replica in replicas:
            unit = replica["unit"]
            # Requests that are left are news of their own.
            left = replica.get("requests")
            news = (str(replica["stage"]), int(replica.get("percent") or 0) // STEP_PERCENT if left is None else left)
            if replica["ready"]:
                news = ("ready", 0)
            if not self._pace.is_due(unit, news, repeat=not replica["ready"]):
                continue
            name, seconds = short_name(unit), clock(replica["seconds"])
            self._say("%s  %s  %s  (%s)" % (self._host, name, replica["text"], seconds))


class ActionModule(DetachedAction):
    """The action of ``ascend.fleet.vllm_ready``."""

    TRANSFERS_FILES = False
    MODULE = "ascend.fleet.vllm_ready"

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Look once; where there is something to wait for, wait detached on the host and print how far it is."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = self._arguments()
        # What is wrong ends the wait and stands in the result: where only that is wanted, nothing is left to print.
        shown = lines_for(self, task_vars) is Lines.ALL
        teller = Teller(str(task_vars.get("inventory_hostname", "")), display.display)

        def on_progress(text: str) -> None:
            if shown:
                teller.tell(read_progress(text, []))

        limit = int(float(arguments.get("timeout") or TIMEOUT_SECONDS)) + SPARE_SECONDS
        result, followed = self._look_or_follow(arguments, task_vars, limit, on_progress)
        if not followed:
            return result
        if shown and isinstance(result.get("replicas"), list):
            teller.tell(result["replicas"])
        if "replicas" in result:
            # A job's own key of this name took the module's place. The wait ends only when nothing is left to wait for.
            result["finished"] = True
        return result
