# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow an installer on a host and print what it says. It goes on when the controller goes away."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Optional

from ..module_utils._base.progress import duration
from ..plugin_utils._detached import DetachedAction, read_progress
from ..plugin_utils._progress_lines import Lines, Pace, display, lines_for

#: So long whoever follows may live on the host. The installer itself has no limit.
LIMIT_SECONDS = 30 * 86400
STEP_PERCENT = 10
QUIET_SECONDS = 60.0
#: From so long a silence on, a line tells how long it is.
SILENT_SECONDS = 60


class Teller:
    """Prints how far an installer is, and asks for a person where it takes too long."""

    def __init__(
        self,
        host: str,
        title: str,
        say: Callable[[str], Any],
        warn: Callable[[str], Any],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host, self._title = host, title
        self._say, self._warn = say, warn
        self._pace = Pace(QUIET_SECONDS, now)
        self._asked = 0

    def tell(self, about: Mapping[str, Any], *, shown: bool = True) -> None:
        """Print what is new. shown: whether more than what is wrong is wanted."""
        if not about:
            return
        seconds, silent = float(about.get("seconds") or 0), float(about.get("silent") or 0)
        percent = about.get("percent")
        said = str(about.get("said") or "")
        if silent >= SILENT_SECONDS:
            said = "no word for %s; it runs (process %s), and nothing ends it" % (duration(silent), about.get("pid"))
        news = (about.get("state"), (percent or 0) // STEP_PERCENT, silent >= SILENT_SECONDS)
        if shown and self._pace.is_due(self._title, news):
            how_far = "" if percent is None else "  %d %%" % percent
            self._say("%s  %s%s  %s  (%s)" % (self._host, self._title, how_far, said, duration(seconds)))
        limit = float(about.get("ask_seconds") or 0)
        if limit and seconds >= limit * (self._asked + 1):
            self._asked = int(seconds // limit)
            self._warn(
                "%s: the installer of %s has run for %s, and last spoke %s ago. It is not ended: a broken flash is "
                "worse than a slow one. Somebody should look: `systemctl status %s`, %s, dmesg"
                % (self._host, self._title, duration(seconds), duration(silent), about.get("unit"), about.get("log"))
            )


class ActionModule(DetachedAction):
    """The action of ``ascend.fleet.npu_driver``."""

    TRANSFERS_FILES = False
    MODULE = "ascend.fleet.npu_driver"

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Look once; where it has to be started or runs, start it and follow it, and print what it says."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = self._arguments()
        shown = lines_for(self, task_vars) is Lines.ALL
        title = str(arguments.get("path") or "").rsplit("/", 1)[-1]
        teller = Teller(str(task_vars.get("inventory_hostname", "")), title, display.display, display.warning)

        def on_progress(text: str) -> None:
            teller.tell(read_progress(text, {}), shown=shown)

        result, _followed = self._look_or_follow(arguments, task_vars, LIMIT_SECONDS, on_progress)
        return result
