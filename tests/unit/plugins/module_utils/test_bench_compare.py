# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparisons of results: directions, tolerances, noise, conditions, outliers, and the findings they make."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._bench import compare, conditions, findings, metrics

CONDITIONS = {
    "image_id": "sha256:" + "a" * 64,
    "chip": "910B3",
    "tensor_parallel_size": 4,
    "serve_options": {"max-num-seqs": "128"},
    "environment": {"HCCL_BUFFSIZE": "1024"},
    "workload": "text",
    "workload_options": {"num-prompts": "150"},
    "client_version": "0.16.0",
    "load": "alone",
}
JUDGED = ("output_throughput", "median_ttft_ms", "median_tpot_ms")
NUMBERS = {
    "completed": 150,
    "failed": 0,
    "duration": 380.0,
    "output_throughput": 800.0,
    "median_ttft_ms": 13000.0,
    "median_tpot_ms": 55.0,
    "median_itl_ms": 44.0,
    "p99_ttft_ms": 28000.0,
}


def measurement(host="a2-1", replica=0, kind="full", factor=1.0, **changed):
    """A result; ``factor`` is how many times slower than usual everything is."""
    numbers = dict(NUMBERS)
    for name in numbers:
        if name.endswith("_ms") or name == "duration":
            numbers[name] *= factor
    numbers["output_throughput"] /= factor
    own = {
        "host": host,
        "replica": replica,
        "unit": "vllm-qwen3.5@%d.service" % replica,
        "workload": "text",
        "kind": kind,
        "indices": [4 * replica + i for i in range(4)],
        "conditions": copy.deepcopy(CONDITIONS),
        "metrics": numbers,
        "spread": {},
        "repeats": [numbers],
        "problem": None,
        "baseline": False,
        "run": "20261129T184000Z",
        "comparisons": [],
    }
    own.update(changed)
    own["key"] = conditions.key(own["conditions"])
    return own


def compared(own, reference, **options):
    return compare.compare(own, reference, source="its own baseline", **options)


def test_equal_results_are_the_same():
    found = compared(measurement(), measurement())
    assert (found["outcome"], found["reason"], found["differences"]) == ("same", "", [])


def test_a_replica_slowed_by_30_per_cent_is_worse():
    found = compared(measurement(factor=1.3), measurement())
    assert found["outcome"] == compare.WORSE
    assert {f["metric"] for f in found["figures"] if f["worse"]} == {
        "output_throughput",
        "median_ttft_ms",
        "median_tpot_ms",
    }


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.09])
def test_faster_or_a_little_slower_is_the_same(factor):
    assert compared(measurement(factor=factor), measurement())["outcome"] == compare.SAME


def test_the_99th_percentile_is_shown_and_not_judged():
    own = measurement()
    own["metrics"]["p99_ttft_ms"] *= 3
    found = compared(own, measurement())
    assert found["outcome"] == compare.SAME
    assert [f["worse_by"] for f in found["figures"] if f["metric"] == "p99_ttft_ms"] == [pytest.approx(2.0)]


def test_the_operator_may_judge_more():
    own = measurement()
    own["metrics"]["p99_ttft_ms"] *= 3
    assert compared(own, measurement(), tolerances={"p99_ttft_ms": 0.5})["outcome"] == compare.WORSE
    assert compared(own, measurement(), tolerances={"p99_ttft_ms": 2.5})["outcome"] == compare.SAME


def test_tolerances_are_the_operator_s():
    own = measurement(factor=1.05)
    assert compared(own, measurement(), tolerances={"median_tpot_ms": 0.02})["outcome"] == compare.WORSE
    assert compared(measurement(factor=1.3), measurement(), tolerances=dict.fromkeys(JUDGED, 0.5))["outcome"] == (
        compare.SAME
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image_id", "sha256:" + "b" * 64, "image aaaaaaaaaaaa instead of bbbbbbbbbbbb"),
        ("chip", "910B4", "chip 910B3 instead of 910B4"),
        ("tensor_parallel_size", 8, "tensor-parallel size 4 instead of 8"),
        (
            "serve_options",
            {"max-num-seqs": "64", "x": "true"},
            "--max-num-seqs 128 instead of 64; --x not set instead of true",
        ),
        ("environment", {}, "HCCL_BUFFSIZE 1024 instead of not set"),
        ("workload_options", {"num-prompts": "10"}, "--num-prompts 150 instead of 10"),
        ("client_version", "0.33.0", "client 0.16.0 instead of 0.33.0"),
        ("load", "in traffic", "load alone instead of in traffic"),
    ],
)
def test_other_conditions_are_shown_and_never_compared(name, value, words):
    reference = measurement(factor=0.1)
    reference["conditions"][name] = value
    found = compared(measurement(), reference)
    assert found["outcome"] == compare.NO_COMPARISON
    assert found["reason"].startswith("other conditions: ")
    assert words in found["reason"]
    assert found["figures"]
    assert found["reference"] == reference["metrics"]
    assert conditions.key(CONDITIONS) != conditions.key(reference["conditions"])


def test_what_a_reference_does_not_tell_is_not_compared():
    reference = measurement()
    del reference["conditions"]["chip"]
    assert compared(measurement(), reference)["outcome"] == compare.SAME


def test_a_quick_comparison_leaves_out_image_and_options():
    reference = measurement(kind="quick")
    reference["conditions"].update(image_id="sha256:other", serve_options={}, environment={})
    found = compared(measurement(kind="quick"), reference, names=conditions.QUICK_KEY)
    assert found["outcome"] == compare.SAME
    reference["conditions"]["client_version"] = "0.33.0"
    found = compared(measurement(kind="quick"), reference, names=conditions.QUICK_KEY)
    assert found["outcome"] == compare.NO_COMPARISON


@pytest.mark.parametrize(
    ("own", "reference", "words"),
    [
        (measurement(), None, "no former result"),
        (measurement(problem="it hangs"), measurement(), "there is no result: it hangs"),
        (measurement(metrics={**NUMBERS, "completed": 4}), measurement(), "too few requests: 4, needed 8"),
        (measurement(), measurement(metrics={"completed": 150}), "they have no figure in common"),
        (
            measurement(spread=dict.fromkeys(JUDGED, 0.6)),
            measurement(factor=0.7),
            "noise: output_throughput 60 %",
        ),
        (measurement(factor=1.3), measurement(spread=dict.fromkeys(JUDGED, 0.6)), "noise: "),
    ],
)
def test_no_comparison_says_why(own, reference, words):
    found = compared(own, reference)
    assert found["outcome"] == compare.NO_COMPARISON
    assert found["reason"].startswith(words)


def test_one_noisy_number_does_not_hide_a_clear_one():
    own = measurement(factor=1.3, spread={"median_ttft_ms": 0.9})
    found = compared(own, measurement())
    assert found["outcome"] == compare.WORSE
    assert "median_ttft_ms" not in {f["metric"] for f in found["figures"] if f["worse"]}


def test_the_spread_of_single_requests_counts_where_nothing_was_repeated():
    numbers = {"mean_ttft_ms": 100.0, "std_ttft_ms": 200.0, "completed": 16}
    assert metrics.noise(metrics.METRICS["median_ttft_ms"], {"metrics": numbers}) == pytest.approx(0.5)
    assert metrics.noise(metrics.METRICS["output_throughput"], {"metrics": numbers}) == 0


def test_the_median_of_repeats_and_their_spread():
    repeats = [{"output_throughput": v, "request_goodput": None, "only": 1} for v in (100, 90)]
    repeats.append({"output_throughput": 120, "request_goodput": None})
    numbers, spread = metrics.combine(repeats)
    assert numbers == {"output_throughput": 100.0}
    assert spread == {"output_throughput": pytest.approx(0.3)}
    assert metrics.combine([{"completed": 1}]) == ({"completed": 1.0}, {})


class TestOutliers:
    def test_a_slow_replica_is_named_with_its_chips(self):
        results = [measurement("a3-1", n, factor=1.3 if n == 2 else 1.0) for n in range(4)]
        found = findings.findings(results)
        assert [(f["id"], f["host"], f["replica"], f["severity"]) for f in found] == [("PERF-002", "a3-1", 2, "error")]
        assert "/dev/davinci8, /dev/davinci9" in found[0]["message"]
        assert "needed the median of 4 replicas" in found[0]["message"]
        assert "30 % more than 55.00" in found[0]["message"]

    def test_a_slow_host_is_named_as_one(self):
        results = [
            measurement(host, n, factor=1.3 if host == "a2-3" else 1.0)
            for host in ("a2-1", "a2-2", "a2-3")
            for n in range(2)
        ]
        found = findings.findings(results)
        assert {(f["host"], f["replica"]) for f in found} == {("a2-3", 0), ("a2-3", 1)}
        assert "so are all 2 replicas of this host" in found[0]["message"]

    def test_of_two_nobody_can_tell(self):
        assert findings.findings([measurement(replica=0), measurement(replica=1, factor=2)]) == []

    def test_other_chips_are_no_measure(self):
        results = [measurement(replica=n) for n in range(3)]
        slow = measurement(replica=3, factor=1.3)
        slow["conditions"]["chip"] = "910B4"
        slow["key"] = conditions.key(slow["conditions"])
        assert findings.findings([*results, slow]) == []

    def test_another_image_is_no_measure_of_a_quick_result_either(self):
        results = [measurement(replica=n, kind="quick") for n in range(3)]
        slow = measurement(replica=3, kind="quick", factor=1.3)
        slow["conditions"]["image_id"] = "sha256:other"
        slow["key"] = results[0]["key"]
        assert findings.findings([*results, slow]) == []

    def test_what_has_no_result_is_no_outlier(self):
        results = [measurement(replica=n) for n in range(3)]
        results.append(measurement(replica=3, metrics={}, problem="found no result file"))
        assert [f["id"] for f in findings.findings(results)] == ["PERF-004"]


FLOORS = {"output_throughput": 0.90, "output_throughput_again": 0.95, "median_tpot_ms": 1.15, "p95_ttft_ms": 1.25}


class TestFloorsOfARelease:
    def judged(self, tolerances=None, floors=(), completed=150, **times):
        floors = FLOORS if floors == () else floors
        own, former = measurement(kind="quick"), measurement(kind="quick")
        former["metrics"]["p95_ttft_ms"] = own["metrics"]["p95_ttft_ms"] = 20000.0
        for name, factor in times.items():
            own["metrics"][name] *= factor
        own["metrics"]["completed"] = completed
        return compare.compare(own, former, source="its last quick result", tolerances=tolerances, floors=floors)

    @pytest.mark.parametrize(
        ("times", "outcome", "again"),
        [
            ({}, "same", False),
            ({"output_throughput": 0.951}, "same", False),
            ({"output_throughput": 0.949}, "same", True),
            ({"output_throughput": 0.901}, "same", True),
            ({"output_throughput": 0.899}, "worse", False),
            ({"median_tpot_ms": 1.149}, "same", False),
            ({"median_tpot_ms": 1.151}, "worse", False),
            ({"p95_ttft_ms": 1.249}, "same", False),
            ({"p95_ttft_ms": 1.251}, "worse", False),
            ({"output_throughput": 0.94, "p95_ttft_ms": 1.3}, "worse", False),
        ],
    )
    def test_the_defaults(self, times, outcome, again):
        found = self.judged(**times)
        assert (found["outcome"], found["again"]) == (outcome, again)
        assert all(compare.say(f) for f in found["figures"])

    def test_they_are_data(self):
        strict = {**FLOORS, "output_throughput": 0.97, "output_throughput_again": 0.99}
        assert self.judged(floors=strict, output_throughput=0.96)["outcome"] == "worse"
        assert self.judged(floors=strict, output_throughput=0.98)["again"]
        assert self.judged(tolerances={"output_throughput": 0.3}, output_throughput=0.8)["outcome"] == "same"

    def test_without_them_the_percentile_is_not_judged_and_nothing_is_measured_again(self):
        found = self.judged(floors=None, output_throughput=0.94, p95_ttft_ms=3)
        assert (found["outcome"], found["again"]) == ("same", False)
        assert "p95_ttft_ms" not in [f["metric"] for f in found["figures"]]

    def test_a_percentile_of_few_requests_is_not_judged(self):
        assert self.judged(p95_ttft_ms=3, completed=19)["outcome"] == "same"
        assert self.judged(p95_ttft_ms=3, completed=20)["outcome"] == "worse"

    def test_a_percentile_is_less_certain_than_a_mean(self):
        numbers = {"completed": 100, "mean_ttft_ms": 100.0, "std_ttft_ms": 50.0}
        errors = [metrics.noise(metrics.ALL[n], {"metrics": numbers}) for n in ("median_ttft_ms", "p95_ttft_ms")]
        assert errors == pytest.approx([0.05, 0.105])


class TestVerdicts:
    def judged(self, factor, *, table=None):
        own = measurement(factor=factor)
        own["comparisons"] = [compared(own, measurement())]
        if table is not None:
            reference = measurement(factor=table)
            own["comparisons"].append(compare.compare(own, reference, source="the table of the release x"))
        found = findings.findings([own])
        return findings.verdict(own, found), [(f["id"], f["severity"]) for f in found]

    def test_as_before(self):
        assert self.judged(1.0, table=1.0) == ("as before", [])

    def test_slower_than_before(self):
        assert self.judged(1.3) == ("slow", [("PERF-001", "error")])

    def test_slower_than_the_release_s_table_alone_is_a_warning(self):
        assert self.judged(1.0, table=0.7) == ("slow", [("PERF-003", "warning")])

    def test_the_first_time_the_release_s_table_judges(self):
        own = measurement()
        own["comparisons"] = [
            compared(own, None),
            compare.compare(own, measurement(), source="the table of the release x"),
        ]
        assert findings.verdict(own, []) == "as the release says"

    def test_noise_is_a_finding(self):
        own = measurement(spread=dict.fromkeys(JUDGED, 0.6))
        own["comparisons"] = [compared(own, measurement())]
        found = findings.findings([own])
        assert [f["id"] for f in found] == ["PERF-005"]
        assert findings.verdict(own, found) == "not judged"

    def test_a_host_is_as_good_as_its_worst_replica(self):
        assert findings.host_verdict(["as before", "slow", "not judged"]) == "slow"
        assert findings.host_verdict(["as before", "no result"]) == "no result"
        assert findings.host_verdict(["as before", "as before"]) == "as before"
        assert findings.host_verdict([]) == "no result"
