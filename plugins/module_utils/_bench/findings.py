# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark finds wrong, with stable IDs, as the preflight's findings have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Sequence

from . import compare
from .workloads import QUICK

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Kind:
    """An entry of the catalogue."""

    id: str
    severity: str
    title: str
    what: str
    fix: str


_KINDS = (
    Kind(
        "PERF-001",
        ERROR,
        "The replica is slower than before",
        "A number of the benchmark is worse than the replica's own baseline under equal conditions, by more than its "
        "tolerance and by more than the noise.",
        "compare `npu-smi info` (temperature, power, frequency) and the host's load with another host; if the change "
        "is "
        "wanted, make the result the baseline with vllm_bench_renew_baseline=true",
    ),
    Kind(
        "PERF-002",
        ERROR,
        "The replica is slower than the fleet",
        "A number is worse than the median of all replicas of the run under equal conditions. A slow chip or a slow "
        "host "
        "is the usual reason.",
        "look at its chips with `npu-smi info -t common -i N`, at clocks and temperature, and at what else runs on "
        "the host",
    ),
    Kind(
        "PERF-003",
        WARNING,
        "The replica is slower than the release's table",
        "A number is worse than in the table of the release, whose conditions are equal as far as the release tells "
        "them: "
        "the guide does not name its chip.",
        "see whether other hosts of this chip are as fast; then the own baseline is the better measure",
    ),
    Kind(
        "PERF-004",
        ERROR,
        "The benchmark has no result",
        "The client ended with an error, requests failed (which the client's exit status does not tell), its result is "
        "missing, or it did not end in time.",
        "see the client's log beside its results in /var/lib/ascend-fleet/bench, and the journal of the unit",
    ),
    Kind(
        "PERF-005",
        WARNING,
        "The result is too noisy to be judged",
        "The spread of the repeats, or of the requests, is larger than the tolerance.",
        "see what else runs on the host, and repeat: vllm_bench_repeats=3",
    ),
)
CATALOGUE: dict[str, Kind] = {kind.id: kind for kind in _KINDS}


def findings(
    measurements: Sequence[Mapping[str, Any]], tolerances: Optional[Mapping[str, float]] = None
) -> list[dict[str, Any]]:
    """Everything that the results of a run have wrong, errors first."""
    found: list[dict[str, Any]] = []
    for measurement in measurements:
        if measurement.get("problem"):
            found.append(_finding("PERF-004", measurement, str(measurement["problem"]), "", whole=True))
            continue
        for comparison in measurement.get("comparisons") or []:
            found += _of_comparison(measurement, comparison)
    slow = compare.outliers(measurements, tolerances)
    for entry in slow:
        measurement = entry["measurement"]
        said = "; ".join(compare.say(f) for f in entry["figures"])
        needed = "the median of %d replicas under equal conditions" % entry["replicas"]
        found.append(
            _finding("PERF-002", measurement, "%s%s" % (said, _where(measurement, slow, measurements)), needed)
        )
    return sorted(found, key=lambda f: f["severity"] != ERROR)


def problems(measurements: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why replicas must not have requests: slower than they were themselves, or not measured. A line each."""
    return [
        "replica %s, %s: %s. Fix: %s" % (f["replica"], f["workload"], f["message"], f["fix"])
        for f in findings(measurements)
        if f["id"] in ("PERF-001", "PERF-004")
    ]


def _of_comparison(measurement: Mapping[str, Any], comparison: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    if comparison["outcome"] == compare.WORSE:
        worse = [f for f in comparison["figures"] if f["worse"]]
        identity = "PERF-003" if str(comparison["with"]).startswith("the table") else "PERF-001"
        yield _finding(identity, measurement, "; ".join(compare.say(f) for f in worse), comparison["with"])
    elif comparison["reason"].startswith("noise"):
        needed = "figures that repeat within their tolerance, to compare with %s" % comparison["with"]
        yield _finding("PERF-005", measurement, comparison["reason"], needed)


def _where(
    measurement: Mapping[str, Any], slow: Sequence[Mapping[str, Any]], everyone: Sequence[Mapping[str, Any]]
) -> str:
    """Whether the whole host is slow, or this replica with its chips alone."""
    host, workload = measurement["host"], measurement["workload"]
    own = {m["replica"] for m in everyone if m["host"] == host and m["workload"] == workload}
    bad = {
        e["measurement"]["replica"]
        for e in slow
        if e["measurement"]["host"] == host and e["measurement"]["workload"] == workload
    }
    if len(own) > 1 and own == bad:
        return " (so are all %d replicas of this host)" % len(own)
    chips = ", ".join("/dev/davinci%d" % i for i in measurement.get("indices") or [])
    return " (its chips: %s)" % chips if chips else ""


def _finding(
    identity: str, measurement: Mapping[str, Any], found: str, needed: str, *, whole: bool = False
) -> dict[str, Any]:
    kind = CATALOGUE[identity]
    said = found if whole else "found %s; needed %s" % (found, needed)
    fix = "see the message" if whole and "Fix: " in found else kind.fix
    return {
        "id": identity,
        "severity": kind.severity,
        "title": kind.title,
        "host": measurement["host"],
        "replica": measurement["replica"],
        "workload": measurement["workload"],
        "message": "%s: %s" % (kind.title, said),
        "found": found,
        "needed": needed,
        "fix": fix,
    }


def verdict(measurement: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> str:
    """One word on a result: ``no result``, ``slow``, ``as before``, ``as the release says``, ``not judged``."""
    own = [
        f
        for f in found
        if (f["host"], f["replica"], f["workload"])
        == (measurement["host"], measurement["replica"], measurement["workload"])
    ]
    if measurement.get("problem"):
        return "no result"
    if any(f["id"] in ("PERF-001", "PERF-002", "PERF-003") for f in own):
        return "slow"
    judged = [c for c in measurement.get("comparisons") or [] if c["outcome"] == compare.SAME]
    if not judged:
        return "not judged"
    if measurement["kind"] == QUICK or not str(judged[0]["with"]).startswith("the table"):
        return "as before"
    return "as the release says"


def host_verdict(words: Sequence[str]) -> str:
    """The verdict on a host out of those on its results: the worst."""
    for word in ("no result", "slow", "not judged"):
        if word in words:
            return word
    return words[0] if words else "no result"
