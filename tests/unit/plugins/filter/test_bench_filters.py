# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters behind the gates of an upgrade."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.ascend.fleet.plugins.filter.bake_cohort import bake_cohort
from ansible_collections.ascend.fleet.plugins.filter.bench_problems import bench_problems


def measurement(outcome="same", reason="", problem="", worse=False, source="its last quick result"):
    figure = {"metric": "output_throughput", "value": 500.0, "reference": 720.0, "worse_by": 0.3, "worse": worse}
    comparison = {"with": source, "outcome": outcome, "reason": reason, "figures": [figure], "differences": []}
    return {
        "host": "a2-1",
        "replica": 1,
        "workload": "quick_load",
        "kind": "quick",
        "problem": problem or None,
        "comparisons": [] if problem else [comparison],
        "conditions": {},
        "metrics": {"output_throughput": 500.0},
        "spread": {},
    }


class TestBenchProblems:
    @pytest.mark.parametrize(
        "good",
        [measurement(), measurement("no comparison", "no former result"), measurement("no comparison", "noise: 9 %")],
    )
    def test_what_is_no_problem(self, good):
        assert bench_problems({"measurements": [good]}) == []

    def test_a_replica_that_is_slower(self):
        [line] = bench_problems({"measurements": [measurement(), measurement("worse", worse=True)]})
        assert line.startswith("replica 1, quick_load: ")
        assert "500.00, 31 % less than 720.00" in line
        assert "Fix: " in line

    def test_a_replica_without_a_result(self):
        [line] = bench_problems({"measurements": [measurement(problem="found 3 of 16 requests failed")]})
        assert "found 3 of 16 requests failed" in line

    @pytest.mark.parametrize("broken", [None, [], {}, {"measurements": None}])
    def test_what_is_no_result_is_an_error(self, broken):
        with pytest.raises(AnsibleFilterError, match="vllm_bench_result"):
            bench_problems(broken)


VARIABLES = {name: {"npu_generation": name[:2]} for name in ("a2-1", "a2-2", "a2-3", "a3-1")}


class TestBakeCohort:
    def test_some_of_each_generation_in_their_order(self):
        assert bake_cohort(list(VARIABLES), VARIABLES, 2) == ["a2-1", "a2-2", "a3-1"]
        assert bake_cohort([], VARIABLES) == []
        assert bake_cohort(["x"], {"x": {}}) == ["x"]

    @pytest.mark.parametrize("broken", ["a2-1", None, {"a2-1": 1}])
    def test_needs_a_list(self, broken):
        with pytest.raises(AnsibleFilterError, match="needed a list of hosts"):
            bake_cohort(broken, VARIABLES)
