# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a transfer detached on the host, and print how far it is. For the controller alone."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ..module_utils._base import progress as _progress
from ._detached import DetachedAction
from ._progress_lines import Teller, display, lines_for


class LiveAction(DetachedAction):
    """The action of a module with the options ``check_settled``, ``progress``, ``timeout`` and the result ``settled``.

    The module first says whether everything is settled. When it is, that is all. Otherwise it is started detached, so
    that it goes on when this controller goes away, and its progress is read until it has ended.
    """

    TRANSFERS_FILES = False
    MODULE = ""
    #: What lines call the work, where the arguments do not say it.
    TITLE = ""
    #: What the module may take beside what its option ``timeout`` limits: waiting for another run, hashing.
    SPARE_SECONDS = 7200

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = {k: v for k, v in self._task.args.items() if k != "progress"}
        if self._task.check_mode or self._task.async_val:
            return self._module(arguments, task_vars)
        seen = self._check_settled(arguments, task_vars)
        if seen.get("failed") or seen.get("unreachable") or seen.get("settled"):
            return seen
        teller = self._teller(arguments, task_vars)
        return self._run_detached(
            self.MODULE,
            arguments,
            task_vars,
            int(arguments.get("timeout") or 86400) + self.SPARE_SECONDS,
            lambda text: teller.tell(_progress.parse(text)),
        )

    def _check_settled(self, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask the module whether there is anything to do; it also removes what ended jobs have left on the host."""
        seen = self._module(dict(arguments, check_settled=True, progress=self._progress_path()), task_vars)
        seen.pop("invocation", None)
        return seen

    def _title(self, arguments: Mapping[str, Any]) -> str:
        return self.TITLE

    def _teller(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Teller:
        # Lines name host and transfer: the task's headline may come later, with the first result.
        host = str(task_vars.get("inventory_hostname", ""))
        return Teller(host, self._title(arguments), display.display, lines_for(self, task_vars))

    def _module(self, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name=self.MODULE, module_args=dict(arguments), task_vars=task_vars
        )
        return result
