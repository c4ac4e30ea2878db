# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show how far replicas are while the module waits for them, in short runs of it."""

from __future__ import annotations

import time
from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ..plugin_utils._progress_lines import Lines, Pace, display, lines_for

SLICE_SECONDS = 5
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
            name = unit[: -len(".service")] if unit.endswith(".service") else unit
            self._say("%s  %s  %s  (%s)" % (self._host, name, replica["text"], clock(replica["seconds"])))


class ActionModule(ActionBase):
    """The action of ``ascend.fleet.vllm_ready``."""

    TRANSFERS_FILES = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = dict(self._task.args)
        if self._task.check_mode or self._task.async_val or arguments.get("slice_seconds"):
            return self._module(arguments, task_vars)
        # What is wrong ends the wait and stands in the result: where only that is wanted, nothing is left to print.
        shown = lines_for(self, task_vars) is Lines.ALL
        teller = Teller(task_vars.get("inventory_hostname", ""), display.display)
        resume: Optional[dict[str, Any]] = None
        while True:
            result = self._module({**arguments, "slice_seconds": SLICE_SECONDS, "resume": resume}, task_vars)
            if shown and isinstance(result.get("replicas"), list):
                teller.tell(result["replicas"])
            resume = result.pop("resume", None)
            if result.get("failed") or result.get("unreachable") or result.get("finished", True) or not resume:
                # What the caller gave is what the result shows, not the slices.
                result.pop("invocation", None)
                return result

    def _module(self, arguments: dict[str, Any], task_vars: Optional[dict[str, Any]]) -> dict[str, Any]:
        arguments = {k: v for k, v in arguments.items() if v is not None}
        result: dict[str, Any] = self._execute_module(
            module_name="ascend.fleet.vllm_ready", module_args=arguments, task_vars=task_vars
        )
        return result
