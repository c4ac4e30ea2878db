# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the replicas that stay carry the load in every wave, as it was measured. For the controller alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Mapping, Optional, Sequence

from ..module_utils._bench.workloads import concurrency_of
from ..module_utils._release.upgrade import limits
from ..module_utils._serving import waves
from ..module_utils._upgrade import capacity
from ..module_utils._upgrade.gate import out_together


@dataclass
class Load:
    """reasons: why the switch may not begin. warnings: what was measured, where ``fleet_min_available`` decides."""

    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def judge(
    found: waves.Waves,
    plans: Mapping[str, Mapping[str, Any]],
    samples: Mapping[str, Optional[Mapping[str, Any]]],
    release: Mapping[str, Any],
    min_available: Optional[str],
) -> Load:
    """Every wave against the load that was measured; of each model the worst wave counts.

    plans: of the hosts that are changed. samples: of every host that serves, as vllm_metrics_info returns them; None:
    it was not measured. The waves themselves keep to ``fleet_min_available``.
    """
    load = Load()
    unread = [host for host, sample in samples.items() if sample is None]
    if unread:
        load.reasons.append(
            "%s: found no load that was measured; needed what runs and waits on every host. Fix: see why "
            "vllm_metrics_info has failed there, and run again" % ", ".join(unread)
        )
    replicas = [r for host, sample in samples.items() if sample for r in _replicas(host, sample, plans.get(host))]
    own = limits(release, "capacity")
    bounds = capacity.Limits(
        concurrency=concurrency_of(release),
        kv_cache_usage=own["kv_cache_usage"],
        load=own["load"],
        least=min_available,
    )
    worst: dict[str, capacity.Answer] = {}
    for wave in found.waves:
        out = out_together([(h.name, plans[h.name]) for h in wave if h.name in plans])
        try:
            answers = capacity.answer(replicas, out, bounds)
        except capacity.CapacityError as exc:
            load.reasons.append(str(exc))
            return load
        for answer in answers:
            if answer.model not in worst or answer.staying < worst[answer.model].staying:
                worst[answer.model] = answer
    for answer in worst.values():
        if min_available is None:
            load.reasons += answer.reasons
        load.warnings += answer.warnings
    return load


def _replicas(host: str, sample: Mapping[str, Any], plan: Optional[Mapping[str, Any]]) -> Sequence[capacity.Replica]:
    """The replicas of a host; the plan of its change knows which of them are out of traffic."""
    found = capacity.replicas_of(host, sample)
    serving = {r["replica"]: bool(r.get("in_service")) for r in (plan or {}).get("replicas") or ()}
    return [replace(r, in_service=serving.get(r.replica, r.in_service)) for r in found]
