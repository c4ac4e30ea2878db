# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what would be removed from all hosts of the play, and stop unless that is confirmed."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ..module_utils._base.native import to_native_types
from ..module_utils._serving import removal_plan
from ..plugin_utils import _tables
from ..plugin_utils._registered import AllHostsAction, PlayHosts, failure


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.decommission_report``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Print the list; fail where something would go, the removal is not confirmed, and this is no check mode."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "variable": {"type": "str", "required": True},
                "confirmed": {"type": "bool", "default": False},
            }
        )
        plans, unread = gather(task_vars or {}, options["variable"])
        check, confirmed = bool(self._task.check_mode), bool(options["confirmed"])
        _tables.show(removal_plan.lines(plans, unread, confirmed=confirmed and not check, check=check))
        result.update(changed=False, hosts=sorted(h for h, plan in plans.items() if plan["removed"]))
        if result["hosts"] and not confirmed and not check:
            result.update(
                failed=True,
                msg="found no %s=true; needed it to remove what is listed above. Nothing was removed. Fix: run the "
                "same again with -e %s=true" % (removal_plan.CONFIRM, removal_plan.CONFIRM),
            )
        return result


def gather(task_vars: Mapping[str, Any], variable: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The plan of every host of the play that has one, and why others have none."""
    hostvars = task_vars.get("hostvars") or {}
    plans: dict[str, Any] = {}
    unread: dict[str, str] = {}
    for host in PlayHosts(task_vars).everyone:
        found = to_native_types(hostvars[host].get(variable))
        if isinstance(found, Mapping) and isinstance(found.get("plan"), Mapping):
            plans[host] = found["plan"]
        else:
            unread[host] = failure(found if isinstance(found, Mapping) else {}, "see above")
    return plans, unread
