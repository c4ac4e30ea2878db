# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of all hosts as data, and as text in the form of the client's own table. For the controller alone."""

from __future__ import annotations

import re
from statistics import median
from typing import Any, Mapping, Optional, Sequence

from .._base.progress import duration
from .._base.text import printable
from . import findings, metrics
from .workloads import QUICK

Line = tuple[str, Optional[str]]

#: So many replicas have a column of their own; of more, the middle and the ends are shown.
_COLUMNS = 6
_WIDTH = 50
_LABEL = 40
_CELL = 14
_PERCENTILE = re.compile(r"p(\d+)_(ttft|tpot|itl)_ms\Z")


def build(
    hosts: Sequence[str],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    reasons: Mapping[str, str],
    tolerances: Optional[Mapping[str, float]] = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The report of a run.

    results: by host, the results as vllm_bench returns them. reasons: by host that was not measured to the
    end, why. A host in neither is left out. notes: what was said about clients and files.
    """
    measurements = [dict(m) for host in hosts for m in results.get(host, ())]
    found = findings.findings(measurements, tolerances)
    for measurement in measurements:
        measurement["verdict"] = findings.verdict(measurement, found)
    own = {
        host: findings.host_verdict([m["verdict"] for m in measurements if m["host"] == host])
        for host in hosts
        if results.get(host)
    }
    return {
        "schema": 1,
        "run": measurements[0]["run"] if measurements else None,
        "kind": measurements[0]["kind"] if measurements else None,
        "hosts": own,
        "not_measured": [{"host": h, "reason": printable(reasons[h])} for h in hosts if h in reasons],
        "measurements": measurements,
        "findings": found,
        "notes": [printable(n) for n in dict.fromkeys(notes)],
    }


def lines(report: Mapping[str, Any], title: str = "") -> list[Line]:
    """The tables and the findings, as lines with their tone."""
    errors = [f for f in report["findings"] if f["severity"] == findings.ERROR]
    missing = report["not_measured"]
    heading = "BENCHMARK%s: %d result%s of %d host%s, %d finding%s" % (
        " " + title if title else "",
        *_plural(len(report["measurements"])),
        *_plural(len(report["hosts"])),
        *_plural(len(report["findings"])),
    )
    if missing:
        heading += ", %d host%s not measured" % _plural(len(missing))
    found: list[Line] = [("", None), (printable(heading), "error" if errors or missing else "ok")]
    for group in _groups(report["measurements"]):
        found += _table(group)
    for number, finding in enumerate(report["findings"], 1):
        words = "%d. %s %s:%s %s: %s. Fix: %s" % (
            number,
            finding["id"],
            finding["host"],
            finding["replica"],
            finding["workload"],
            finding["message"],
            finding["fix"],
        )
        found.append((printable(words), "error" if finding["severity"] == findings.ERROR else "warning"))
    found += [(printable("%s was not measured: %s" % (m["host"], m["reason"])), "error") for m in missing]
    found += [(printable("note: %s" % words), None) for words in report["notes"]]
    return found


def plan_lines(plans: Mapping[str, Mapping[str, Any]], reasons: Mapping[str, str]) -> list[Line]:
    """What would be measured on each host, how long that takes, and what it is compared with."""
    seconds = [p["seconds"] for p in plans.values()]
    longest = max((s for s in seconds if s is not None), default=None)
    heading = "BENCHMARK PLAN: %d host%s" % _plural(len(plans))
    if longest is not None:
        heading += ", about %s" % duration(longest)
    if None in seconds:
        heading += " and what was never measured before"
    found: list[Line] = [("", None), (heading, "ok")]
    rows = [("REPLICA", "WORKLOAD", "REPEATS", "TAKES", "COMPARED WITH")]
    for host, plan in plans.items():
        for run in plan["runs"]:
            takes = "unknown" if run["seconds"] is None else "about " + duration(run["seconds"])
            name = "%s:%s" % (host, run["replica"])
            rows.append((name, run["workload"], str(run["repeats"]), takes, run["against"]))
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    for row in rows if len(rows) > 1 else ():
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        found.append((printable("  ".join([*cells, row[-1]])), None))
    for host, plan in plans.items():
        found += [(printable("note: %s: %s" % (host, words)), None) for words in plan["notes"]]
    found += [(printable("%s would not be measured: %s" % (h, r)), "error") for h, r in reasons.items()]
    return found


def _plural(number: int) -> tuple[int, str]:
    return number, "" if number == 1 else "s"


def _groups(measurements: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The results by workload and conditions: a table holds what may be compared."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for measurement in measurements:
        groups.setdefault((measurement["workload"], measurement["key"]), []).append(measurement)
    return list(groups.values())


def _table(group: Sequence[Mapping[str, Any]]) -> list[Line]:
    first = group[0]
    about = first["conditions"]
    heading = "%s on %s, tensor-parallel size %s, client %s, %s" % (
        first["workload"],
        about.get("chip") or "unknown chips",
        about.get("tensor_parallel_size"),
        about.get("client_version"),
        about.get("load"),
    )
    most = max(len(m["repeats"]) for m in group)
    if most > 1:
        heading += ", median of %d" % most
    found: list[Line] = [("", None), (printable(heading), None)]
    good = [m for m in group if not m.get("problem")]
    if not good:
        return [*found, ("no result", "error")]
    columns = [*_reference_columns(good), *_replica_columns(good)]
    names = [name for name, _numbers in columns]
    widths = [max(_CELL, len(name) + 2) for name in names]
    found.append((_rule(" Serving Benchmark Result ", "=") + "".join(n.rjust(w) for n, w in zip(names, widths)), None))

    def row(metric: metrics.Metric) -> None:
        values = [numbers.get(metric.name) for _name, numbers in columns]
        if all(value is None for value in values):
            return
        cells = [_cell(value, metric.whole).rjust(w) for value, w in zip(values, widths)]
        found.append((metric.title.ljust(_WIDTH) + "".join(cells), None))

    for metric in metrics.COUNTS:
        row(metric)
    for name, title, tolerance in metrics.LATENCIES:
        found.append((_rule(title, "-"), None))
        for metric in (*metrics.latency_metrics(name, tolerance), *_percentiles(columns, name)):
            row(metric)
    found.append(("=" * _WIDTH, None))
    found += _verdicts(group)
    return found


def _rule(title: str, sign: str) -> str:
    return title.center(_WIDTH, sign)


def _cell(value: Optional[float], whole: bool) -> str:
    if value is None:
        return "-"
    return "%d" % value if whole else "%.2f" % value


def _percentiles(columns: Sequence[tuple[str, Mapping[str, Any]]], name: str) -> list[metrics.Metric]:
    """The percentiles that the client wrote beside those of the table."""
    found = {
        int(m.group(1)) for _n, numbers in columns for m in map(_PERCENTILE.match, numbers) if m and m.group(2) == name
    }
    return [
        metrics.Metric("p%d_%s_ms" % (number, name), "P%d %s (ms):" % (number, name.upper()), metrics.LOWER)
        for number in sorted(found - {99})
    ]


def _reference_columns(group: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """The release's table, which is the same for all, and one replica's former result where it is alone."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for comparison in group[0].get("comparisons") or []:
        reference = comparison.get("reference")
        if reference is None:
            continue
        table = str(comparison["with"]).startswith("the table")
        if table or len(group) == 1:
            name = "release" if table else "before"
            found.append((name + " (o.c.)" if comparison["differences"] else name, reference))
    return found


def _replica_columns(group: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    if len(group) <= _COLUMNS:
        return [("%s:%s" % (m["host"], m["replica"]), m["metrics"]) for m in group]
    ordered = sorted(group, key=lambda m: float(m["metrics"].get("output_throughput") or 0))
    names = dict.fromkeys(name for m in group for name in m["metrics"])
    middle = {n: median([float(m["metrics"][n]) for m in group if n in m["metrics"]]) for n in names}
    ends = (("slowest ", ordered[0]), ("fastest ", ordered[-1]))
    return [
        ("median of %d" % len(group), middle),
        *(("%s%s:%s" % (word, m["host"], m["replica"]), m["metrics"]) for word, m in ends),
    ]


def _verdicts(group: Sequence[Mapping[str, Any]]) -> list[Line]:
    """A line for each result, with what it was compared with, its outcome, and its spread where it was repeated."""
    found: list[Line] = []
    for measurement in group:
        parts = [] if measurement["kind"] == QUICK else [measurement["verdict"]]
        parts += [_outcome(comparison) for comparison in measurement.get("comparisons") or []]
        # The spread of what is judged unless the operator says otherwise.
        judged = {name for name, metric in metrics.METRICS.items() if metric.tolerance is not None}
        spread = ["%s %.0f %%" % (n, 100 * s) for n, s in measurement["spread"].items() if n in judged]
        if spread:
            parts.append("spread " + ", ".join(spread))
        if measurement.get("baseline"):
            parts.append("it is the baseline of later ones now")
        tone = {"slow": "error", "no result": "error", "not judged": "warning"}.get(measurement["verdict"], "ok")
        words = "%s:%s  %s" % (measurement["host"], measurement["replica"], "; ".join(parts))
        found.append((printable(words), tone))
    return found


def _outcome(comparison: Mapping[str, Any]) -> str:
    """What a result was compared with, how that ended, and the numbers that are judged."""
    words = "%s: %s" % (comparison["with"], comparison["outcome"])
    if comparison["reason"]:
        words += " (%s)" % comparison["reason"]
    judged = [f for f in comparison["figures"] if f["tolerance"] is not None]
    return ", ".join([words, *("%s %+.0f %%" % (f["metric"], 100 * _change(f)) for f in judged)])


def _change(figure: Mapping[str, Any]) -> float:
    return float((figure["value"] - figure["reference"]) / figure["reference"])
