# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a benchmark: tables in the client's form, findings, and the plan of check mode."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._bench import compare, conditions, report
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

GUIDE = Path(__file__).resolve().parents[2] / "fixtures" / "guide"
WORKLOADS = _releases.by_name("qwen3_5_27b_v0", {})["benchmark"]["workloads"]
BASELINE = dict(WORKLOADS[1]["baseline"])
CONDITIONS = {
    "chip": "910B3",
    "tensor_parallel_size": 4,
    "workload": "text_2048_output_2048",
    "client_version": "0.16.0",
    "load": "alone",
}

#: Not given, where None is a value of its own.
MISSING = object()


def measured(host="a2-1", replica=0, factor=1.0, kind="full", reference=MISSING, **changed):
    reference = BASELINE if reference is MISSING else reference
    numbers = {n: v * factor if n.endswith("_ms") else v for n, v in BASELINE.items()}
    numbers["output_throughput"] = BASELINE["output_throughput"] / factor
    own = {
        "schema": 1,
        "run": "20261129T184000Z",
        "host": host,
        "replica": replica,
        "unit": "vllm-qwen3.5@%d.service" % replica,
        "workload": "text_2048_output_2048",
        "kind": kind,
        "key": conditions.key(CONDITIONS),
        "conditions": dict(CONDITIONS),
        "indices": [0, 1, 2, 3],
        "metrics": numbers,
        "repeats": [numbers],
        "spread": {},
        "problem": None,
        "baseline": False,
    }
    own.update(changed)
    kept = {"metrics": reference, "conditions": dict(CONDITIONS), "spread": {}}
    own["comparisons"] = [compare.compare(own, kept, source="the table of the release r")]
    return own


def text(found):
    return "\n".join(line for line, _tone in found)


def test_the_table_is_the_guide_s_with_ours_beside_it():
    shown = text(report.lines(report.build(["a2-1"], {"a2-1": [measured()]}, {})))
    guide = (GUIDE / "bench_random.txt").read_text(encoding="utf-8").splitlines()
    rows = {}
    for line in shown.splitlines():
        row = re.match(r"([A-Z][^:]*:) +(\S+) +(\S+)$", line)
        if row:
            rows[row.group(1)] = (float(row.group(2)), float(row.group(3)))
    wanted = {}
    for line in guide:
        title, colon, value = line.partition(":")
        if colon and re.fullmatch(r" *[\d.]+ *", value):
            wanted[title + ":"] = (float(value), float(value))
    assert len(wanted) == 20
    assert rows == wanted
    order = [line.partition(":")[0] for line in guide if line.partition(":")[0] + ":" in wanted]
    assert [title.rstrip(":") for title in rows] == order
    for headline in ("Serving Benchmark Result", "Time to First Token", "Inter-token Latency"):
        assert any(headline in line for line in shown.splitlines())
    assert "release        a2-1:0" in shown
    assert "as the release says" in shown


def test_other_conditions_are_marked():
    own = measured()
    own["comparisons"][0]["differences"] = ["chip 910B3 instead of 910B4"]
    assert "release (o.c.)" in text(report.lines(report.build(["a2-1"], {"a2-1": [own]}, {})))


def test_a_slow_replica_is_named_below_the_table():
    results = {"a3-1": [measured("a3-1", n, factor=1.3 if n == 3 else 1.0) for n in range(4)]}
    whole = report.build(["a3-1"], results, {})
    assert whole["hosts"] == {"a3-1": "slow"}
    assert [m["verdict"] for m in whole["measurements"]] == ["as the release says"] * 3 + ["slow"]
    shown = report.lines(whole, "for r")
    assert shown[1][0] == "BENCHMARK for r: 4 results of 1 host, 2 findings"
    assert shown[1][1] == "error"
    assert [line for line, _tone in shown if "PERF-002 a3-1:3 text_2048_output_2048" in line]
    assert [tone for line, tone in shown if "PERF-003" in line] == ["warning"]


def test_of_many_replicas_the_middle_and_the_ends_are_shown():
    results = {"h%d" % n: [measured("h%d" % n, factor=1 + n / 100)] for n in range(9)}
    shown = text(report.lines(report.build(list(results), results, {})))
    assert "median of 9" in shown
    assert "slowest h8:0" in shown
    assert "fastest h0:0" in shown
    assert "h4:0  as the release says" in shown


def test_percentiles_that_the_client_wrote_are_rows():
    own = measured()
    own["metrics"].update(p50_ttft_ms=1.0, p95_ttft_ms=2.0)
    lines = [line for line, _tone in report.lines(report.build(["a2-1"], {"a2-1": [own]}, {}))]
    assert [line.split() for line in lines if line.startswith("P95 TTFT")] == [["P95", "TTFT", "(ms):", "-", "2.00"]]


def test_repeats_tell_their_spread():
    own = measured(repeats=[BASELINE] * 3, spread={"output_throughput": 0.04, "duration": 0.5})
    shown = text(report.lines(report.build(["a2-1"], {"a2-1": [own]}, {})))
    assert "alone, median of 3" in shown
    assert "spread output_throughput 4 %" in shown
    assert "duration 50" not in shown


def test_a_host_without_results_is_named():
    bad = measured(problem="found no result file; needed one. Fix: see its log", metrics={})
    whole = report.build(["a2-1", "a2-2", "a2-3"], {"a2-1": [bad]}, {"a2-2": "unreachable:\x1b no route"})
    assert whole["hosts"] == {"a2-1": "no result"}
    shown = text(report.lines(whole))
    assert "no result" in shown
    assert r"a2-2 was not measured: unreachable:\x1b no route" in shown
    assert "1. PERF-004 a2-1:0" in shown
    assert "a2-3" not in shown


def test_a_quick_result_tells_its_outcome():
    own = measured(kind="quick", factor=1.3)
    own["comparisons"][0]["with"] = "its last quick result"
    shown = text(report.lines(report.build(["a2-1"], {"a2-1": [own]}, {})))
    assert "its last quick result: worse" in shown
    assert "output_throughput -23 %" in shown
    assert "PERF-001" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (850.2, "BENCHMARK PLAN: 1 host, about 14 min"),
        (None, "BENCHMARK PLAN: 1 host and what was never measured before"),
    ],
)
def test_check_mode_says_what_would_run(seconds, words):
    runs = [{"replica": 0, "workload": "text", "repeats": 2, "seconds": seconds, "against": "its own baseline (run r)"}]
    plan = {"seconds": seconds, "runs": runs, "notes": ["the client has no --num-warmups"]}
    shown = text(report.plan_lines({"a2-1": plan}, {"a2-2": "found no replica on this host"}))
    assert words in shown
    assert "its own baseline (run r)" in shown
    assert "a2-2 would not be measured: found no replica on this host" in shown
    assert "note: a2-1: the client has no --num-warmups" in shown
