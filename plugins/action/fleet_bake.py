# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the hosts of a new release beside those of the old one, by two samples of each."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ..module_utils._base.native import to_native_types
from ..module_utils._release import upgrade
from ..module_utils._upgrade import bake_table, cohorts
from ..plugin_utils import _tables
from ..plugin_utils._registered import MOST, AllHostsAction, failure
from ..plugin_utils._upgrade_hosts import Hosts


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.fleet_bake``: no connection; looks at the hosts that it is given."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        names = {"type": "list", "elements": "str"}
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "new": {**names, "required": True},
                "old": {**names, "default": []},
                "gateways": {**names, "default": []},
                "minutes": {"type": "float", "required": True},
                "extended": {"type": "bool", "default": False},
                "canary": {"type": "bool", "default": False},
                "wave": {"type": "int", "default": 1},
                "promote": {"type": "bool", "default": False},
                "limits": {"type": "dict", "default": {}},
                "before": {"type": "str", "default": "__upgrade_bake_before"},
                "after": {"type": "str", "default": "__upgrade_bake_after"},
                "title": {"type": "str", "default": ""},
            }
        )
        options = to_native_types(options)
        both = sorted(set(options["new"]) & set(options["old"]))
        if both or options["minutes"] < 0:
            found = "%s both as new and as old" % ", ".join(both) if both else "minutes: %g" % options["minutes"]
            needed = "a host in one of the two" if both else "0 or more"
            return {**result, "failed": True, "msg": "found %s; needed %s" % (found, needed)}
        samples = Samples(task_vars or {}, options)
        new, old, gateways = ([samples.host(name) for name in options[which]] for which in ("new", "old", "gateways"))
        request = cohorts.Request(
            limits=upgrade.limits({"upgrade": options["limits"]}, "bake"),
            minutes=options["minutes"],
            extended=options["extended"],
            canary=options["canary"],
            promote=options["promote"],
        )
        verdict = cohorts.judge(new, old, gateways, request).as_data()
        _tables.show(bake_table.lines(verdict, options["title"]))
        told = {"hosts": options["new"], "wave": options["wave"], "stop": _stop(verdict)}
        return {**result, "changed": False, **verdict, **told}


def _stop(verdict: Mapping[str, Any]) -> dict[str, str]:
    """Why the upgrade stops after this bake; empty where it goes on."""
    if verdict["go_on"]:
        return {}
    kind = "bad" if verdict["verdict"] == "bad" else "asks"
    return {"kind": kind, "why": verdict["question"] or "; ".join(verdict["reasons"])}


class Samples:
    """The samples of hosts, as tasks have registered them: on the host itself, or by a loop over names."""

    def __init__(self, task_vars: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self._hosts = Hosts(task_vars)
        self._variables = {name: str(options[name]) for name in ("before", "after")}
        everyone = [str(h) for h in task_vars.get("ansible_play_hosts_all") or []]
        named = [name for which in ("new", "old", "gateways") for name in options[which]]
        among = list(dict.fromkeys([*everyone, *named]))
        self._looped = {variable: self._hosts.looped(among, variable) for variable in self._variables.values()}

    def host(self, name: str) -> cohorts.Host:
        """A host with its samples."""
        found: dict[str, Any] = {}
        generation = str(self._hosts.value(name, "npu_generation") or "")
        for word, variable in self._variables.items():
            own: Optional[dict[str, Any]] = self._hosts.mapping(name, variable)
            if not own or "results" in own or own.get("skipped"):
                own = self._looped[variable].get(name)
            if own is None:
                continue
            if not isinstance(own.get("replicas"), list):
                problem = "the sample %s: %s" % (variable, failure(own, most=MOST))
                return cohorts.Host(name, generation, problem=problem)
            found[word] = own
        return cohorts.Host(name, generation, found.get("before"), found.get("after"))
