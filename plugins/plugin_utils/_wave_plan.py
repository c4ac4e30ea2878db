# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The waves of a play, from what its hosts have registered. For the controller alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Mapping, Optional, Sequence

from ..module_utils._base.native import to_native_types
from ..module_utils._serving import waves
from ..module_utils._upgrade import window
from ._upgrade_hosts import SAMPLE, STATE, Hosts

#: The options of an action that divides hosts into waves.
OPTIONS: dict[str, dict[str, Any]] = {
    "batches": {"type": "list", "elements": "str", "default": [str(b) for b in waves.BATCHES]},
    "max_unavailable": {"type": "str"},
    "group": {"type": "str", "default": "npu_hosts"},
    "accept_outage": {"type": "bool", "default": False},
    "canary": {"type": "list", "elements": "str"},
    "with_canary": {"type": "bool", "default": False},
    "min_available": {"type": "str"},
    "state_variable": {"type": "str", "default": STATE},
    "sample_variable": {"type": "str", "default": SAMPLE},
}


@dataclass(frozen=True)
class WavePlan:
    """The waves, the hosts that are left alone with why, and every host of the fleet."""

    waves: waves.Waves
    set_aside: Mapping[str, str]
    fleet: Sequence[str]


def plan(options: Mapping[str, Any], task_vars: Mapping[str, Any], now: datetime) -> WavePlan:
    """Divide the hosts of the play. options: those of OPTIONS, and ``variable`` and ``converged_variable``.

    Raises ServingError and WindowError.
    """
    alive = [str(h) for h in task_vars.get("ansible_play_hosts") or []]
    everyone = [str(h) for h in to_native_types((task_vars.get("groups") or {}).get(options["group"]) or [])]
    registered = Hosts(task_vars)
    aside = registered.set_aside(dict.fromkeys([*everyone, *alive]), now)
    present = [name for name in alive if name not in aside]
    expected = registered.expected(present, options["state_variable"])
    hosts = [h for h in (_host(name, options, registered, expected) for name in present) if h]
    beyond = registered.samples_of_others([str(h) for h in task_vars.get("ansible_play_hosts_all") or []])
    serving = {name: sample for name, sample in beyond.items() if name in everyone and name not in alive}
    # Hosts of the play that are not changed, and of which no more is known than what serves there.
    serving.update((name, registered.registered(name, options["sample_variable"])) for name in present)
    known = {host.name for host in hosts}
    hosts += [
        _beyond(name, sample, registered)
        for name, sample in serving.items()
        if sample.get("replicas") and name not in aside and name not in known
    ]
    canary = options["canary"]
    if canary is None:
        canary = waves.default_canary(hosts) if options["with_canary"] else []
    found = waves.waves_of(
        hosts,
        batches=options["batches"],
        max_unavailable=options["max_unavailable"] or None,
        others=len(set(everyone) - {h.name for h in hosts}),
        canary=canary,
        min_available=options["min_available"] or None,
        fleet=[*everyone, *alive],
    )
    return WavePlan(found, aside, everyone)


def _beyond(name: str, sample: Mapping[str, Any], hosts: Hosts) -> waves.Host:
    """A host that is not changed, and serves."""
    replicas = sample["replicas"]
    return waves.Host(
        name=name,
        models=tuple(sorted({str(r["served_model_name"]) for r in replicas})),
        generation=str(hosts.value(name, "npu_generation") or ""),
        in_service=sum(r["active_state"] == "active" for r in replicas),
        changes=False,
    )


def _host(name: str, options: Mapping[str, Any], hosts: Hosts, expected: window.Expected) -> Optional[waves.Host]:
    """What is known of a host; None where it was not asked in this run."""
    domain = hosts.read(name, "fleet_domain")
    place = "" if domain is None else str(domain)
    generation = str(hosts.read(name, "npu_generation") or "")
    answer = hosts.read(name, options["variable"])
    plan_ = answer.get("plan") if isinstance(answer, dict) else None
    if plan_:
        return waves.Host(
            name=name,
            models=tuple(plan_["served_model_names"]),
            domain=place,
            generation=generation,
            expected_seconds=expected.seconds(name, plan_),
            in_service=int(plan_["in_service"]),
            out_at_once=int(plan_["out_at_once"]),
            least_in_service=plan_.get("least_in_service"),
            outages=tuple(plan_.get("outages") or ()),
        )
    state = hosts.read(name, options["converged_variable"] or "")
    replicas = state.get("replicas") if isinstance(state, dict) and state.get("converged") else None
    if replicas is None:
        return None
    models = tuple(sorted({str(r["served_model_name"]) for r in replicas}))
    return waves.Host(
        name=name, models=models, domain=place, generation=generation, in_service=len(replicas), changes=False
    )
