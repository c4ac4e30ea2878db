# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the benchmark client tells its options, warms up, and writes percentiles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._bench import client

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "sim" / "engine"))

from sim_vllm import bench, options


def test_its_help_is_read_as_that_of_the_real_client() -> None:
    found = client.parse_probe("sha256:1", 0, client.MARK + "0.16\n" + options.bench_help(whole=True), "")
    recorded = (ROOT / "tests/unit/fixtures/vllm/bench-serve-help-0.16.txt").read_text(encoding="utf-8")
    real = client.parse_probe("sha256:1", 0, client.MARK + "0.16\n" + recorded, "")
    assert found.options == real.options - {"help"}


def test_percentiles_are_those_that_are_asked_for() -> None:
    values = [float(number) for number in range(101)]
    found = bench.spread("ttft", values, [50.0, 95.0, 99.0])
    assert (found["p50_ttft_ms"], found["p95_ttft_ms"], found["p99_ttft_ms"]) == (50000.0, 95000.0, 99000.0)
    namespace = options.parse_bench(["--metric-percentiles", "50,99.9"])
    assert bench.percents_of(namespace) == [50.0, 99.9]
    assert bench.percents_of(options.parse_bench([])) == [99.0]


def test_warm_ups_are_asked_and_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    async def run_all(namespace: Any, requests: list[Any]) -> tuple[list[Any], float]:
        asked.append((namespace.disable_tqdm, len(requests)))
        return [], 0.0

    monkeypatch.setattr(bench, "run_all", run_all)
    namespace = options.parse_bench(["--num-warmups", "5"])
    bench.warm_up(namespace, bench.Sample("a", 1, 1))
    assert asked == [(True, 5)]
    assert not namespace.disable_tqdm
    assert "Warming up with 5 requests" in capsys.readouterr().out


def test_its_help_without_all_names_no_option():
    with pytest.raises(client.ClientError, match="needed `vllm bench serve` with --save-result"):
        client.parse_probe("sha256:1", 0, client.MARK + "0.16\n" + options.bench_help(whole=False), "")
