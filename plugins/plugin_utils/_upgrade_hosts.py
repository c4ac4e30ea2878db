# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plays of an upgrade have left in the variables of the hosts. For the controller alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Iterable, Mapping, Optional, Sequence

from ..module_utils._base.native import to_native_types
from ..module_utils._upgrade.window import Expected, under_maintenance

#: Of every host: the results of fleet_state_info, node_converged, vllm_change and vllm_metrics_info.
STATE, CONVERGED, CHANGE, SAMPLE = "__upgrade_state", "__site_state", "__vllm_serve_change", "__upgrade_sample"
#: The result of vllm_metrics_info afterwards, of a host with a gateway of its own.
SAMPLE_AFTER = "__upgrade_sample_after"
#: The results of vllm_metrics_info by a loop over gateways and over hosts that have no part in the run, and afterwards.
SAMPLES, SAMPLES_AFTER = "__upgrade_samples", "__upgrade_samples_after"
#: What became of a host in this change: ``outcome``, ``kind``, ``why`` and ``replicas``.
OUTCOME = "__upgrade_outcome"


def is_bad(result: Mapping[str, Any]) -> bool:
    """Whether the result of a task says nothing, as it failed or was skipped, or its host did not answer."""
    return bool(result.get("failed") or result.get("unreachable") or result.get("skipped"))


class Hosts:
    """The variables of hosts, as data."""

    def __init__(self, task_vars: Mapping[str, Any]) -> None:
        self._hostvars = task_vars.get("hostvars") or {}
        self._own: dict[str, Any] = {}

    def read(self, host: str, name: str) -> Any:
        """What a variable of a host holds; None where it has none. Raises what its template raises."""
        if host not in self._own:
            self._own[host] = self._hostvars.get(host, {})
        return to_native_types(self._own[host].get(name))

    def value(self, host: str, name: str) -> Any:
        """What a variable of a host holds; None where it has none, or none that can be worked out."""
        try:
            return self.read(host, name)
        except Exception:  # one host's broken variables must not hide another's
            return None

    def mapping(self, host: str, name: str) -> dict[str, Any]:
        """The mapping that a variable of a host holds; empty where it holds none."""
        found = self.value(host, name)
        return found if isinstance(found, dict) else {}

    def registered(self, host: str, name: str) -> dict[str, Any]:
        """The result that a task has registered on a host; empty where none has, or where the task failed."""
        found = self.mapping(host, name)
        return {} if is_bad(found) else found

    def looped(self, hosts: Iterable[str], variable: str) -> dict[str, dict[str, Any]]:
        """What a task has registered on any of these hosts that went over names of hosts, by these names."""
        found: dict[str, dict[str, Any]] = {}
        for host in hosts:
            results = self.mapping(host, variable).get("results")
            for one in results if isinstance(results, list) else ():
                if isinstance(one, dict) and one.get("item") is not None:
                    found[str(one["item"])] = one
        return found

    def samples_of_others(self, hosts: Iterable[str], variable: str = SAMPLES) -> dict[str, dict[str, Any]]:
        """What was measured of gateways and of hosts that have no part in the run, by their names.

        Those that were not read are left out. hosts: those of the play.
        """
        # The task ran once for all hosts, and every one of them has the same.
        found = next((one for one in (self.looped([host], variable) for host in hosts) if one), {})
        return {name: one for name, one in found.items() if isinstance(one.get("replicas"), list) and not is_bad(one)}

    def state(self, host: str, variable: str = STATE) -> dict[str, Any]:
        """The state of a host, as fleet_state_info returns it; empty where it was not read."""
        found = self.registered(host, variable).get("state")
        return found if isinstance(found, dict) else {}

    def plan(self, host: str, variable: str = CHANGE) -> Optional[dict[str, Any]]:
        """The plan of the change of a host; None where there is none."""
        found = self.registered(host, variable).get("plan")
        return found if isinstance(found, dict) else None

    def generations(self, hosts: Sequence[str]) -> dict[str, str]:
        """The generation of each host; empty where it has none."""
        return {host: str(self.value(host, "npu_generation") or "") for host in hosts}

    def expected(self, hosts: Sequence[str], variable: str = STATE) -> Expected:
        """How long hosts take, as the histories of all these tell."""
        histories = {}
        for host in hosts:
            state = self.state(host, variable)
            # What is known of the replicas that serve now is newer than every change of theirs.
            histories[host] = [*(state.get("history") or []), {"outcome": "good", "replicas": state.get("replicas")}]
        return Expected(histories, self.generations(hosts))

    def set_aside(self, hosts: Iterable[str], now: datetime) -> dict[str, str]:
        """The hosts that are under maintenance, and why. Raises WindowError."""
        found = {host: under_maintenance(self.read(host, "fleet_maintenance"), now) for host in hosts}
        return {host: words for host, words in found.items() if words}
