# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a replica is slower than before, than its release says, or than the rest of the fleet."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Any, Mapping, Optional, Sequence

from . import metrics
from .conditions import FULL_KEY, differences, key

SAME, WORSE, NO_COMPARISON = "same", "worse", "no comparison"
#: Results of fewer requests say nothing about the next ones.
FEW_REQUESTS = 8
#: A median of fewer replicas may be the slow one itself.
FEW_REPLICAS = 3


def compare(
    measurement: Mapping[str, Any],
    reference: Optional[Mapping[str, Any]],
    *,
    source: str,
    names: Sequence[str] = FULL_KEY,
    tolerances: Optional[Mapping[str, float]] = None,
    floors: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """A measurement beside a reference: ``outcome``, why there is none, the figures, and which conditions differ.

    ``reference`` of what is returned holds the numbers of the reference, for the table. ``again`` tells that it is the
    same, but so near to the floor of the release that it is to be measured once more.

    reference: ``metrics``, ``spread`` and ``conditions``; None where nothing was measured before. source: what to call
    it. names: the conditions that must be equal. floors: the part ``bench`` of the release's section ``upgrade``, for a
    quick result; what ``tolerances`` names goes before it.
    """
    found: dict[str, Any] = {"with": source, "outcome": NO_COMPARISON, "reason": "", "figures": [], "differences": []}
    found.update(reference=None, again=False)
    if measurement.get("problem"):
        return dict(found, reason="there is no result: %s" % measurement["problem"])
    if reference is None:
        return dict(found, reason="no former result")
    found["reference"] = dict(reference["metrics"])
    allowed = {**metrics.tolerances_of(floors or {}), **(tolerances or {})}
    found["figures"] = figures(measurement, reference, allowed)
    found["differences"] = differences(measurement["conditions"], reference.get("conditions") or {}, names)
    if found["differences"]:
        return dict(found, reason="other conditions: %s" % "; ".join(found["differences"]))
    fewest = min(_requests(measurement), _requests(reference))
    if fewest < FEW_REQUESTS:
        return dict(found, reason="too few requests: %d, needed %d" % (fewest, FEW_REQUESTS))
    judged = [f for f in found["figures"] if f["tolerance"] is not None]
    clear = [f for f in judged if f["noise"] <= f["tolerance"]]
    if not clear:
        words = ", ".join("%s %.0f %%" % (f["metric"], 100 * f["noise"]) for f in judged)
        return dict(found, reason="noise: %s" % words if words else "they have no figure in common")
    found["outcome"] = WORSE if any(f["worse"] for f in clear) else SAME
    found["again"] = found["outcome"] == SAME and _is_near(found["figures"], floors or {})
    return found


def _is_near(compared: Sequence[Mapping[str, Any]], floors: Mapping[str, Any]) -> bool:
    """Whether the tokens lie between the floor and what the release wants without a second look."""
    wanted = floors.get("output_throughput_again")
    own = [f for f in compared if f["metric"] == "output_throughput"]
    return wanted is not None and any(f["value"] < float(wanted) * f["reference"] for f in own)


def _requests(result: Mapping[str, Any]) -> int:
    return int((result.get("metrics") or {}).get("completed") or 0)


def figures(
    measurement: Mapping[str, Any], reference: Mapping[str, Any], tolerances: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Every number that both have, with how much worse it is. Noise of either side hides a difference."""
    own, other = measurement.get("metrics") or {}, reference.get("metrics") or {}
    found = []
    for name, metric in metrics.ALL.items():
        if metric.better is None or name not in own or not other.get(name):
            continue
        if name not in metrics.METRICS and name not in tolerances:
            continue
        if not (metrics.is_telling(metric, measurement) and metrics.is_telling(metric, reference)):
            continue
        worse_by = metrics.worsening(metric, float(own[name]), float(other[name]))
        tolerance = metrics.tolerance_of(metric, tolerances)
        noise = max(metrics.noise(metric, measurement), metrics.noise(metric, reference))
        found.append(
            {
                "metric": name,
                "value": float(own[name]),
                "reference": float(other[name]),
                "worse_by": worse_by,
                "tolerance": tolerance,
                "noise": noise,
                "worse": tolerance is not None and noise <= tolerance and worse_by > tolerance,
            }
        )
    return found


def outliers(
    measurements: Sequence[Mapping[str, Any]], tolerances: Optional[Mapping[str, float]] = None
) -> list[dict[str, Any]]:
    """The measurements that are worse than the median of all under the same conditions, each with its figures.

    ``measurements`` are of one run, from any number of hosts. An entry holds ``measurement``, ``figures``, ``replicas``
    (how many were compared).
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for measurement in measurements:
        if not measurement.get("problem"):
            # Also of quick results, whose own key leaves out image and options.
            groups[key(measurement["conditions"])].append(measurement)
    found = []
    for group in groups.values():
        if len(group) < FEW_REPLICAS:
            continue
        for measurement in group:
            own = []
            for name, metric in metrics.METRICS.items():
                tolerance = metrics.tolerance_of(metric, tolerances or {})
                if tolerance is None:
                    continue
                values = [float(m["metrics"][name]) for m in group if m["metrics"].get(name)]
                if len(values) < FEW_REPLICAS or not measurement["metrics"].get(name):
                    continue
                middle = median(values)
                worse_by = metrics.worsening(metric, float(measurement["metrics"][name]), middle)
                if worse_by > tolerance >= metrics.noise(metric, measurement):
                    own.append(
                        {
                            "metric": name,
                            "value": float(measurement["metrics"][name]),
                            "reference": middle,
                            "worse_by": worse_by,
                            "tolerance": tolerance,
                        }
                    )
            if own:
                found.append({"measurement": measurement, "figures": own, "replicas": len(group)})
    return found


def say(figure: Mapping[str, Any]) -> str:
    """One figure in words."""
    metric = metrics.ALL[figure["metric"]]
    direction = "less" if metric.better == metrics.HIGHER else "more"
    if figure["worse_by"] < 0:
        direction = "more" if direction == "less" else "less"
    words = metric.title.rstrip(":")
    return "%s %.2f, %.0f %% %s than %.2f" % (
        words,
        figure["value"],
        100 * abs(figure["value"] - figure["reference"]) / figure["reference"],
        direction,
        figure["reference"],
    )
