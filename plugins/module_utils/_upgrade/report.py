# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an upgrade or a rollback has done: one table of the whole, as data, text and Markdown.

A host whose replicas serve two releases is named, whatever the reason. Null is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

from .tables import UNKNOWN, Line, Table, share_text, time_text

SCHEMA = 1
GOOD, ROLLED_BACK, STOPPED, FAILED = "good", "rolled_back", "stopped", "failed"
AS_WANTED, LEFT_ALONE, LEFT, UNTOUCHED = "as wanted", "left alone", "left for another time", "not touched"
#: What of a benchmark the table shows, with whether more is better.
BENCH = {"output_throughput": "tokens/s", "median_tpot_ms": "TPOT p50 ms", "p95_ttft_ms": "TTFT p95 ms"}
#: What the report tells of the requests that gateways have counted.
_COUNTS = ("answers", "answers_5xx", "broken", "client_aborts", "refused", "failed")
_HEAD = ("REPLICA", "RELEASE", "WAVE", "OUT", "START", "BENCH", "OUTCOME")
_COHORTS = ("WAVE", "GENERATION", "RELEASE", "HOSTS", "REQUESTS", "FAILED", "SHARE", "RESTARTS", "TTFT P95", "VERDICT")
_WORDS = {GOOD: "good", ROLLED_BACK: "rolled back", STOPPED: "stopped", FAILED: "failed"}


@dataclass(frozen=True)
class Host:
    """What became of a host.

    aside: why it was left alone. left: its turn did not come in time. absent: why it cannot be looked at. outcome: of
    its change, one of good, rolled_back, stopped, failed; empty: it was not touched. why: of the outcome. replicas: by
    unit, ``replica``, ``release``, ``out_seconds``, ``start_seconds``, ``outcome`` and ``why``, as far as they are
    known. measurements: of the benchmark.
    """

    name: str
    generation: str = ""
    converged: bool = False
    aside: str = ""
    left: bool = False
    absent: str = ""
    outcome: str = ""
    why: str = ""
    replicas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    measurements: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Run:
    """The change as a whole. wanted: the release that all are to serve.

    bakes: the verdicts, each with ``wave`` and ``hosts``. gateways: what all gateways have counted of each replica, by
    ``HOST:NUMBER``; None: not known. notes: what else is worth knowing.
    """

    change: str
    kind: str
    wanted: str
    from_release: str = ""
    began: str = ""
    ended: str = ""
    by: str = ""
    waves: Sequence[Sequence[str]] = ()
    bakes: Sequence[Mapping[str, Any]] = ()
    gateways: Optional[Mapping[str, Mapping[str, int]]] = None
    notes: Sequence[str] = ()


def build(hosts: Sequence[Host], run: Run) -> dict[str, Any]:
    """The report as data."""
    numbers = {name: number for number, names in enumerate(run.waves, 1) for name in names}
    rows = [_host(host, numbers.get(host.name), run) for host in hosts]
    mixed = [words for row in rows for words in _mixed(row)]
    failed = None if run.gateways is None else _failed(run.gateways)
    return {
        "schema": SCHEMA,
        "change": run.change,
        "kind": run.kind,
        "release": run.wanted,
        "from_release": run.from_release,
        "began": run.began,
        "ended": run.ended,
        "by": run.by,
        "outcome": outcome_of(rows),
        "hosts": rows,
        "releases": _by_release(rows),
        "mixed": mixed,
        "not_on_it": [{"host": r["host"], "outcome": r["outcome"], "why": r["why"]} for r in rows if not r["on_it"]],
        "waves": [{"number": number, "hosts": list(names)} for number, names in enumerate(run.waves, 1)],
        "bakes": [dict(bake) for bake in run.bakes],
        "failed_requests": failed,
        "notes": list(run.notes),
    }


def outcome_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """What became of the whole: good where every host that was to change has, or is as wanted."""
    found = {row["outcome"] for row in rows}
    for outcome in (FAILED, ROLLED_BACK, STOPPED):
        if outcome in found:
            return outcome
    return STOPPED if found & {LEFT, UNTOUCHED} else GOOD


def _host(host: Host, wave: Optional[int], run: Run) -> dict[str, Any]:
    outcome = host.outcome
    why = host.why
    if host.aside:
        outcome, why = LEFT_ALONE, host.aside
    elif host.absent and outcome in ("", GOOD):
        outcome, why = FAILED, host.absent
    elif not outcome:
        outcome = AS_WANTED if host.converged else LEFT if host.left else UNTOUCHED
    replicas = [_replica(host, unit, about, run) for unit, about in host.replicas.items()]
    releases = {replica["release"] for replica in replicas}
    return {
        "host": host.name,
        "generation": host.generation,
        "wave": wave,
        "outcome": outcome,
        "why": why,
        "replicas": replicas,
        "on_it": bool(replicas) and releases == {run.wanted},
        "out_seconds": _longest(r["out_seconds"] for r in replicas),
    }


def _replica(host: Host, unit: str, about: Mapping[str, Any], run: Run) -> dict[str, Any]:
    number = about.get("replica")
    name = "%s:%s" % (host.name, number)
    raw = None if run.gateways is None else run.gateways.get(name)
    counts = None if raw is None else requests_of(raw)
    return {
        "name": name,
        "unit": unit,
        "replica": number,
        "release": about.get("release"),
        "out_seconds": about.get("out_seconds"),
        "start_seconds": about.get("start_seconds"),
        "outcome": about.get("outcome") or host.outcome,
        "why": about.get("why") or "",
        "bench": _bench([m for m in host.measurements if m.get("unit") == unit]),
        "requests": counts,
        "failed_requests": None if counts is None else counts["failed"],
    }


def _bench(measurements: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was measured beside the replica's own former result, a row for each number."""
    found = []
    for measurement in measurements:
        compared: Mapping[str, Any] = next((c for c in measurement.get("comparisons") or () if c.get("figures")), {})
        former = {figure["metric"]: figure["reference"] for figure in compared.get("figures") or ()}
        for metric in BENCH:
            value = (measurement.get("metrics") or {}).get(metric)
            if value is None:
                continue
            before = former.get(metric)
            found.append(
                {
                    "workload": measurement.get("workload"),
                    "metric": metric,
                    "before": before,
                    "after": value,
                    "ratio": value / before if before else None,
                }
            )
    return found


def _longest(values: Iterable[Optional[float]]) -> Optional[float]:
    return max((v for v in values if v is not None), default=None)


def _by_release(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The replicas by the release that they serve."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for replica in row["replicas"]:
            found.setdefault(str(replica["release"] or UNKNOWN), []).append(replica["name"])
    return found


def _mixed(row: Mapping[str, Any]) -> list[str]:
    """Where the replicas of one host serve more than one release, or nobody knows which."""
    found: dict[str, list[str]] = {}
    for replica in row["replicas"]:
        found.setdefault(str(replica["release"] or UNKNOWN), []).append(replica["name"])
    if len(found) < 2 and UNKNOWN not in found:
        return []
    said = "; ".join("%s on %s" % (release, ", ".join(names)) for release, names in found.items())
    return ["%s: its replicas serve %s" % (row["host"], said)]


def requests_of(counts: Mapping[str, int]) -> dict[str, int]:
    """What gateways have counted of a replica, with what its clients did not get whole.

    A connection that is reset within an answer counts as an error of the response and as one that the server ended.
    """
    broken = max(counts.get("response_errors", 0), counts.get("server_aborts", 0))
    found = {name: counts.get(name, 0) for name in _COUNTS}
    return {**found, "broken": broken, "failed": found["answers_5xx"] + broken}


def _failed(gateways: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    each = [requests_of(counts) for counts in gateways.values()]
    return {name: sum(counts[name] for counts in each) for name in _COUNTS}


# - for people -


def lines(report: Mapping[str, Any]) -> list[Line]:
    """The report as lines with their tone."""
    tone = "ok" if report["outcome"] == GOOD and not report["mixed"] else "error"
    found: list[Line] = [("", None), (_heading(report), tone), *_replica_table(report).lines()]
    cohorts = _cohort_table(report).lines()
    found += [("", None), *cohorts] if cohorts else []
    found += [("mixed: %s" % words, "error") for words in report["mixed"]]
    found += [(_missing(entry), "warning") for entry in report["not_on_it"]]
    found += [(words, "warning") for words in _reasons(report)]
    notes = ["note: %s" % _first_line(note) for note in report["notes"]]
    found += [(words, None) for words in [_counted(report), *notes]]
    return found


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    about = [("began", report["began"]), ("ended", report["ended"]), ("by", report["by"])]
    parts = ["# %s" % _heading(report), "", *["- %s: %s" % pair for pair in about if pair[1]], ""]
    parts += _replica_table(report).markdown()
    cohorts = _cohort_table(report).markdown()
    parts += ["## Bakes", "", *cohorts] if cohorts else []
    wrong = ["mixed: %s" % words for words in report["mixed"]] + [_missing(e) for e in report["not_on_it"]]
    wrong += _reasons(report)
    parts += ["## What is open", "", *["- %s" % words for words in wrong], ""] if wrong else []
    parts += ["## Requests", "", _counted(report), ""]
    parts += ["## Notes", "", *["- %s" % note for note in report["notes"]], ""] if report["notes"] else []
    return "\n".join(parts)


def _heading(report: Mapping[str, Any]) -> str:
    counts = ", ".join("%d on %s" % (len(names), release) for release, names in report["releases"].items())
    words = (report["kind"].upper(), report["change"], report["release"], _WORDS[report["outcome"]])
    return "%s %s to %s: %s; replicas: %s" % (*words, counts or "none known")


def _replica_table(report: Mapping[str, Any]) -> Table:
    rows, tones = [], []
    for row in report["hosts"]:
        wave = "-" if row["wave"] is None else str(row["wave"])
        if not row["replicas"]:
            rows.append((row["host"], "-", wave, "-", "-", "-", _outcome(row["outcome"], _found(row["why"]))))
            tones.append(_tone(row["outcome"]))
        for replica in row["replicas"]:
            touched = row["outcome"] in _WORDS
            times = [time_text(replica[key]) if touched else "-" for key in ("out_seconds", "start_seconds")]
            outcome = replica["outcome"] or row["outcome"]
            words = _outcome(outcome, _found(replica["why"] or row["why"]))
            release = str(replica["release"] or UNKNOWN)
            rows.append((replica["name"], release, wave, *times, _bench_text(replica["bench"]), words))
            tones.append(_tone(outcome))
    return Table(_HEAD, rows, tones)


def _tone(outcome: str) -> Optional[str]:
    return {GOOD: "ok", AS_WANTED: None, LEFT_ALONE: "ignored"}.get(outcome, "warning")


def _outcome(outcome: str, why: str) -> str:
    return _WORDS.get(outcome, outcome) + (": %s" % why if why and outcome != GOOD else "")


def _bench_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The number that matters most, before and after."""
    rates = [r for r in rows if r["metric"] == "output_throughput"]
    if not rates:
        return "-"
    first = max(rates, key=lambda r: float(r["after"]))
    if first["before"] is None:
        return "%.1f %s" % (first["after"], BENCH["output_throughput"])
    return "%.1f -> %.1f %s" % (first["before"], first["after"], BENCH["output_throughput"])


def _cohort_table(report: Mapping[str, Any]) -> Table:
    rows, tones = [], []
    for bake in report["bakes"]:
        for figures in bake.get("figures") or ():
            rows.append(
                (
                    str(bake.get("wave", "-")),
                    str(figures.get("generation") or "-"),
                    str(figures.get("cohort") or "-"),
                    str(len(figures.get("hosts") or ())),
                    str(figures.get("requests", UNKNOWN)),
                    str(figures.get("failed", UNKNOWN)),
                    share_text(figures.get("error_share")),
                    str(figures.get("restarts", UNKNOWN)),
                    _seconds(figures.get("ttft_p95_seconds")),
                    str(bake.get("verdict") or "-"),
                )
            )
            tones.append({"bad": "error", "inconclusive": "warning"}.get(str(bake.get("verdict"))))
    return Table(_COHORTS, rows, tones)


def _seconds(value: Optional[float]) -> str:
    return "-" if value is None else "%.2f s" % value


def _missing(entry: Mapping[str, str]) -> str:
    return "%s does not serve it: %s" % (entry["host"], _outcome(entry["outcome"], _first_line(entry["why"])))


def _first_line(why: str) -> str:
    """What was found, needed and is to be done, without the lines of a log behind it."""
    return why.partition("\n")[0]


def _found(why: str) -> str:
    """What was found, for a table: what is to be done stands below it."""
    return _first_line(why).partition("; needed ")[0]


def _reasons(report: Mapping[str, Any]) -> list[str]:
    """Why bakes were not good."""
    return [
        "bake after wave %s is %s: %s" % (bake.get("wave", "-"), bake["verdict"], reason)
        for bake in report["bakes"]
        for reason in (bake.get("reasons") or () if bake.get("verdict") != GOOD else ())
    ]


def _counted(report: Mapping[str, Any]) -> str:
    """The requests that failed, as the gateways counted them."""
    counts = report["failed_requests"]
    if counts is None:
        return "failed requests: unknown, as no gateway has counted them from the beginning to the end"
    return "failed requests: %d of %d answers (%d with status 5xx, %d cut), as the gateways counted them" % (
        counts["failed"],
        counts["answers"] + counts["answers_5xx"],
        counts["answers_5xx"],
        counts["broken"],
    )
