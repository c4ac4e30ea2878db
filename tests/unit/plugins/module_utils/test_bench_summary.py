# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's benchmark results say, small enough for a report on the fleet."""

from __future__ import annotations

from ansible_collections.ascend.fleet.plugins.module_utils._bench import compare, conditions, summary

CONDITIONS = {
    "chip": "910B3",
    "tensor_parallel_size": 4,
    "workload": "text",
    "client_version": "0.16.0",
    "load": "alone",
}
NUMBERS = {"completed": 100, "output_throughput": 1210.123, "median_ttft_ms": 402.0, "median_tpot_ms": 26.4,
           "mean_ttft_ms": 500.0}  # fmt: skip


def record(run, factor=1.0, referenced=True, unit=0, **more):
    numbers = {n: v * factor if n.endswith("_ms") else v for n, v in NUMBERS.items()}
    numbers["output_throughput"] = NUMBERS["output_throughput"] / factor
    own = {
        "schema": 1, "run": run, "host": "a2-1", "replica": unit, "unit": "vllm-m@%d.service" % unit, "kind": "full",
        "workload": "text", "key": conditions.key(CONDITIONS), "conditions": CONDITIONS, "metrics": numbers,
        "spread": {}, "repeats": [numbers], "seconds": 9.0, "finished": run, "baseline": False, "problem": None,
        "comparisons": [], **more,
    }  # fmt: skip
    if referenced:
        kept = {"metrics": NUMBERS, "conditions": CONDITIONS, "spread": {}}
        own["comparisons"] = [compare.compare(own, kept, source="its own baseline")]
    return own


def test_the_newest_of_each_replica_counts_and_the_others_are_its_trend():
    first, second = summary.newest([record("1"), record("2"), record("3", unit=1), record("4", factor=1.01)])
    assert (first["run"], first["outcome"], first["with"]) == ("4", "same", "its own baseline")
    assert first["trend"] == [1210.0, 1210.0, 1198.0]
    assert (second["replica"], second["trend"]) == (1, [1210.0])
    assert [f["metric"] for f in first["figures"]] == list(summary.JUDGED)
    assert first["figures"][0] == {"metric": "output_throughput", "value": 1198.0, "reference": 1210.0, "worse": False}


def test_a_slower_one_is_named_with_its_finding():
    [found] = summary.newest([record("1", factor=1.5)])
    assert found["outcome"] == "worse"
    assert all(figure["worse"] for figure in found["figures"])
    assert [(f["id"], f["severity"]) for f in found["findings"]] == [("PERF-001", "error")]


def test_other_conditions_are_no_reference_and_no_trend():
    other = {**CONDITIONS, "chip": "910B1"}
    apart = record("1", key=conditions.key(other), conditions=other)
    apart["comparisons"] = [compare.compare(apart, {"metrics": NUMBERS, "conditions": CONDITIONS}, source="s")]
    [found] = summary.newest([record("0"), apart])
    assert found["outcome"] == "no comparison"
    assert "chip" in found["reason"]
    assert {figure["reference"] for figure in found["figures"]} == {None}
    assert found["trend"] == [1210.0]


def test_one_without_a_result_says_why():
    broken = record("2", metrics={}, repeats=[], problem="the client ended with status 1", referenced=False)
    [found] = summary.newest([record("1"), broken])
    assert (found["problem"], found["figures"]) == ("the client ended with status 1", [])
    assert found["trend"] == [1210.0]
    assert [f["id"] for f in found["findings"]] == ["PERF-004"]


def test_the_trend_is_short():
    found = summary.newest([record(str(n)) for n in range(100, 130)])[0]
    assert len(found["trend"]) == summary.TREND
    assert summary.newest([]) == []
