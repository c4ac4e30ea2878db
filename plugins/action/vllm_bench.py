# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure replicas detached on the host, and show how far they are."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Mapping, Optional

from ansible.errors import AnsibleActionFail

from ..module_utils._base.progress import duration
from ..module_utils._host.systemd import short_name
from ..plugin_utils._detached import DetachedAction, read_progress
from ..plugin_utils._progress_lines import STEP_PERCENT, Lines, Pace, display, lines_for

#: The module's own deadline of one run of the client, and what it may take beside.
TIMEOUT_SECONDS = 3600.0
SPARE_SECONDS = 600.0
#: Without news a line comes only so often.
QUIET_SECONDS = 30.0


class Teller:
    """Prints a line for a replica with each stage and each tenth of its requests, and a sign of life now and then."""

    def __init__(self, host: str, say: Callable[[str], Any], now: Callable[[], float] = time.monotonic) -> None:
        self._host = host
        self._say = say
        self._pace = Pace(QUIET_SECONDS, now)

    def tell(self, replicas: list[dict[str, Any]]) -> None:
        """Print what is new."""
        for replica in replicas:
            if replica.get("finished") or not replica.get("workload"):
                continue
            name, total, done = short_name(str(replica["unit"])), replica.get("total"), int(replica.get("done") or 0)
            tenth = 100 * done // total // STEP_PERCENT if total else -1
            if not self._pace.is_due(name, (replica["workload"], replica["repeat"], replica["stage"], tenth)):
                continue
            words = [self._host, name, str(replica["workload"])]
            if replica["repeats"] > 1:
                words.append("%d. of %d" % (replica["repeat"], replica["repeats"]))
            words.append("%d/%d requests  %d %%" % (done, total, 100 * done // total) if total else replica["stage"])
            self._say("%s  (%s)" % ("  ".join(words), duration(replica["seconds"])))


class ActionModule(DetachedAction):
    """The action of ``ascend.fleet.vllm_bench``."""

    TRANSFERS_FILES = False
    MODULE = "ascend.fleet.vllm_bench"

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Measure detached on the host, and print how far it is."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = self._arguments()
        if self._task.check_mode or self._task.async_val:
            return self._module(arguments, task_vars)
        # What is wrong stands in the result: where only that is wanted, there is nothing to print meanwhile.
        shown = lines_for(self, task_vars) is Lines.ALL
        teller = Teller(str(task_vars.get("inventory_hostname", "")), display.display)

        controller = os.getppid()

        def on_progress(text: str) -> None:
            if os.getppid() != controller:
                # A worker outlives a killed ansible-playbook. As it asks no more, the host ends the measurement.
                raise AnsibleActionFail("found that ansible-playbook has ended; needed it to take the result")
            if shown:
                teller.tell(read_progress(text, []))

        result = self._run_detached(self.MODULE, arguments, task_vars, limit_seconds(arguments), on_progress)
        result.pop("invocation", None)
        return result


def limit_seconds(arguments: Mapping[str, Any]) -> int:
    """After so long the host kills the job: replicas are measured beside each other, their runs one after the other."""
    each = float(arguments.get("timeout") or TIMEOUT_SECONDS)
    counts: dict[Any, int] = {}
    for run in arguments.get("runs") or []:
        if isinstance(run, Mapping):
            counts[run.get("unit")] = counts.get(run.get("unit"), 0) + int(run.get("repeats") or 1)
    return int(each * max(counts.values(), default=1) + SPARE_SECONDS)
