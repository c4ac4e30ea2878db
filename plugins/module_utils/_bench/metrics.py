# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of a benchmark: what each is called, where it stands in the client's table, and how it is judged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any, Mapping, Optional, Sequence

HIGHER, LOWER = "higher", "lower"


@dataclass(frozen=True)
class Metric:
    """A number of the client's result file.

    title: its words in the client's table. better: which way is good. tolerance: how much worse, as a share, is not yet
    a finding; None where the number is shown and not judged.
    """

    name: str
    title: str
    better: Optional[str] = None
    tolerance: Optional[float] = None
    whole: bool = False


#: The part of the table before the latencies, in its order.
COUNTS = (
    Metric("completed", "Successful requests:", whole=True),
    Metric("failed", "Failed requests:", whole=True),
    Metric("max_concurrency", "Maximum request concurrency:", whole=True),
    Metric("duration", "Benchmark duration (s):", LOWER),
    Metric("total_input_tokens", "Total input tokens:", whole=True),
    Metric("total_output_tokens", "Total generated tokens:", whole=True),
    Metric("request_throughput", "Request throughput (req/s):", HIGHER),
    Metric("output_throughput", "Output token throughput (tok/s):", HIGHER, 0.10),
    Metric("max_output_tokens_per_s", "Peak output token throughput (tok/s):", HIGHER),
    Metric("max_concurrent_requests", "Peak concurrent requests:"),
    Metric("total_token_throughput", "Total token throughput (tok/s):", HIGHER),
)
#: The latencies: name, headline, tolerance of the median. A mean follows the few longest, and the 99th percentile of
#: some hundred requests is one of the two longest: both are shown and not judged. Nor is the time between two tokens,
#: which depends on how many of them arrive in one piece.
LATENCIES: tuple[tuple[str, str, Optional[float]], ...] = (
    ("ttft", "Time to First Token", 0.25),
    ("tpot", "Time per Output Token (excl. 1st token)", 0.15),
    ("itl", "Inter-token Latency", None),
)


def latency_metrics(name: str, tolerance: Optional[float]) -> tuple[Metric, ...]:
    """The rows of one latency."""
    word = name.upper()
    return (
        Metric("mean_%s_ms" % name, "Mean %s (ms):" % word, LOWER),
        Metric("median_%s_ms" % name, "Median %s (ms):" % word, LOWER, tolerance),
        Metric("p99_%s_ms" % name, "P99 %s (ms):" % word, LOWER),
    )


METRICS: dict[str, Metric] = {
    m.name: m for m in (*COUNTS, *(row for name, _title, share in LATENCIES for row in latency_metrics(name, share)))
}

#: Numbers that only a release judges, where the client was asked for them. They stand in no table of their own.
JUDGED_BY_RELEASE: dict[str, Metric] = {"p95_ttft_ms": Metric("p95_ttft_ms", "P95 TTFT (ms):", LOWER)}
ALL: dict[str, Metric] = {**METRICS, **JUDGED_BY_RELEASE}
#: A percentile of fewer requests is one of the slowest of them.
_PERCENTILE_REQUESTS = 20
#: The standard error of the 95th percentile, in those of the mean, of numbers that are spread normally.
_PERCENTILE_ERROR = 2.1


def tolerances_of(floors: Mapping[str, Any]) -> dict[str, float]:
    """The tolerances that a release's limits mean: 0.90 times the tokens and 1.15 times the time are 10 % and 15 %."""
    found = {}
    for name in ALL:
        if floors.get(name) is not None:
            found[name] = round(abs(float(floors[name]) - 1.0), 6)
    return found


def is_telling(metric: Metric, measurement: Mapping[str, Any]) -> bool:
    """Whether a number means something: a high percentile needs more requests than the others."""
    completed = (measurement.get("metrics") or {}).get("completed") or 0
    return metric.name not in JUDGED_BY_RELEASE or completed >= _PERCENTILE_REQUESTS


def tolerance_of(metric: Metric, tolerances: Mapping[str, float]) -> Optional[float]:
    """The tolerance of a number, as the operator or else this table says; None where it is not judged."""
    if metric.better is None:
        return None
    own = tolerances.get(metric.name, metric.tolerance)
    return None if own is None else float(own)


def worsening(metric: Metric, value: float, reference: float) -> float:
    """By which share ``value`` is worse than ``reference``; negative where it is better."""
    share = (value - reference) / reference
    return -share if metric.better == HIGHER else share


def combine(repeats: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """The median of each number over the repeats, and its spread: (largest - smallest) / median.

    Percentiles that only some clients write are taken too. With one repeat no spread is known, and none is given.
    """
    numbers: dict[str, float] = {}
    spread: dict[str, float] = {}
    for name in repeats[0]:
        values = [repeat.get(name) for repeat in repeats]
        known = [float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
        if len(known) != len(repeats):
            continue
        numbers[name] = median(known)
        if len(known) > 1 and numbers[name]:
            spread[name] = (max(known) - min(known)) / abs(numbers[name])
    return numbers, spread


def noise(metric: Metric, measurement: Mapping[str, Any]) -> float:
    """How uncertain a number of a measurement is, as a share.

    The spread of its repeats; for a latency that was measured once, the standard error of its mean.
    """
    spread = measurement.get("spread") or {}
    if metric.name in spread:
        return float(spread[metric.name])
    numbers = measurement.get("metrics") or {}
    base = metric.name.partition("_")[2]
    deviation, mean, count = numbers.get("std_" + base), numbers.get("mean_" + base), numbers.get("completed")
    if metric.better == LOWER and deviation is not None and mean and count:
        times = _PERCENTILE_ERROR if metric.name in JUDGED_BY_RELEASE else 1.0
        return times * float(deviation) / float(mean) / math.sqrt(float(count))
    return 0.0
