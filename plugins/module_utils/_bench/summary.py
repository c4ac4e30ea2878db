# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's stored results say, small enough for a report on the whole fleet: the newest of each replica and
workload, what it was compared with, how it went before, and what is wrong with it."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from . import findings, history, metrics
from .compare import SAME, WORSE

#: The numbers that are judged, in the order of the client's table.
JUDGED = tuple(name for name, metric in metrics.METRICS.items() if metric.tolerance is not None)
#: So many former results under the same conditions are shown beside the newest.
TREND = 10


def newest(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The newest result of each replica, workload and kind. records: oldest first, as ``history.read`` returns them."""
    last: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for record in records:
        last[(str(record["unit"]), str(record["workload"]), str(record["kind"]))] = record
    return [_entry(record, records) for _key, record in sorted(last.items())]


def _entry(record: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    comparison = _comparison(record)
    judged = comparison is not None and comparison.get("outcome") in (SAME, WORSE)
    reference = (comparison or {}).get("reference") if judged else None
    worse = {f["metric"] for f in (comparison or {}).get("figures") or [] if judged and f.get("worse")}
    numbers = record["metrics"]
    return {
        **{name: record[name] for name in ("unit", "replica", "workload", "kind", "run", "finished", "baseline")},
        "problem": str(record.get("problem") or ""),
        "with": str((comparison or {}).get("with") or ""),
        "outcome": str((comparison or {}).get("outcome") or ""),
        "reason": str((comparison or {}).get("reason") or ""),
        "figures": [
            {
                "metric": name,
                "value": _rounded(numbers.get(name)),
                "reference": _rounded((reference or {}).get(name)),
                "worse": name in worse,
            }
            for name in JUDGED
            if numbers.get(name) is not None
        ],
        "trend": [_rounded(r["metrics"].get(JUDGED[0])) for r in _alike(record, records)][-TREND:],
        "findings": [
            {key: f[key] for key in ("id", "severity", "title", "found", "needed", "fix")}
            for f in findings.findings([record])
        ],
    }


def _comparison(record: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
    """The comparison that decided; without one the first that was tried."""
    found = [c for c in record.get("comparisons") or [] if isinstance(c, Mapping)]
    judged = [c for c in found if c.get("outcome") in (SAME, WORSE)]
    return next(iter(judged or found), None)


def _alike(record: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All results of this replica and workload under the same conditions that hold numbers, oldest first."""
    names = ("unit", "workload", "kind", "key")
    return [r for r in records if history.good(r) and all(r[name] == record[name] for name in names)]


def _rounded(value: Any) -> Optional[float]:
    """A number to four digits; what is no number is unknown."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float("%.4g" % value)
