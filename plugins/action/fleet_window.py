# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell whether the next wave may begin, by the time and by how long its hosts took before."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ..module_utils._base.progress import duration
from ..module_utils._upgrade import window
from ..plugin_utils._progress_lines import display
from ..plugin_utils._upgrade_hosts import CHANGE, STATE, Hosts


class ActionModule(ActionBase):
    """The action ``ascend.fleet.fleet_window``: no connection; looks at every host of the wave."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "until": {"type": "str"},
                "bake_minutes": {"type": "float", "default": 0.0},
                "variable": {"type": "str", "default": CHANGE},
                "state_variable": {"type": "str", "default": STATE},
            }
        )
        known = task_vars or {}
        now = datetime.now().astimezone()
        try:
            until = window.end_of(options["until"], now)
        except window.WindowError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        registered = Hosts(known)
        everyone = [str(h) for h in known.get("ansible_play_hosts_all") or []]
        batch = [str(h) for h in known.get("ansible_play_batch") or []]
        expected = registered.expected(everyone, options["state_variable"])
        times = [expected.seconds(host, registered.plan(host, options["variable"])) for host in batch]
        seconds = None if None in times else max((t for t in times if t is not None), default=0.0)
        whole = None if seconds is None else seconds + 60 * options["bake_minutes"]
        is_open = window.fits(now, until, whole)
        result.update(changed=False, open=is_open, expected_seconds=whole, why="")
        if until is not None and not is_open:
            takes = "unknown" if whole is None else duration(whole)
            result["why"] = "it is %s, the wave is expected to take %s, and it has to end by %s (fleet_until)" % (
                now.isoformat(timespec="minutes"),
                takes,
                until.isoformat(timespec="minutes"),
            )
            display.display("left for another time: %s: %s" % (", ".join(batch), result["why"]))
        return result
