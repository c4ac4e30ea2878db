# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of ``/metrics``: series by name and labels, and quantiles of its histograms."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

#: The edge that every observation is below, as the text writes it.
LAST = "+Inf"

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? +(\S+)(?: +-?\d+)?\s*\Z")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

#: Cumulative counts by upper edge: how many observations were at most so large.
Buckets = Mapping[str, float]


class ExpositionError(ValueError):
    """The text is not what an engine writes; the message names the line."""


@dataclass(frozen=True)
class Series:
    """One line: its labels and its value."""

    labels: Mapping[str, str]
    value: float


def parse(text: str, names: Sequence[str]) -> dict[str, list[Series]]:
    """The series of these metrics, by name. A metric that the text does not have is not there.

    Raises ExpositionError for a line of one of them that cannot be read.
    """
    wanted = frozenset(names)
    found: dict[str, list[Series]] = {}
    for line in text.splitlines():
        if re.split(r"[{ ]", line, maxsplit=1)[0] not in wanted:
            continue
        match = _LINE.match(line)
        try:
            if not match:
                raise ValueError("no value")
            value = float(match.group(3))
        except ValueError as exc:
            raise ExpositionError("the line %r cannot be read" % line[:120]) from exc
        labels = {name: _unescaped(value) for name, value in _LABEL.findall(match.group(2) or "")}
        found.setdefault(match.group(1), []).append(Series(labels, value))
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda match: _ESCAPES.get(match.group(0), match.group(0)), text)


def total(series: Optional[Sequence[Series]]) -> Optional[float]:
    """The sum over all engines of a process; None where it does not tell."""
    return sum(s.value for s in series) if series else None


def by_label(series: Optional[Sequence[Series]], label: str) -> Optional[dict[str, float]]:
    """The sums by the value of a label; None where the metric is not there."""
    if not series:
        return None
    found: dict[str, float] = {}
    for one in series:
        key = one.labels.get(label, "")
        found[key] = found.get(key, 0.0) + one.value
    return found


# - histograms -


def edge(text: str) -> float:
    """An upper edge as a number."""
    return math.inf if text == LAST else float(text)


def together(histograms: Sequence[Buckets]) -> dict[str, float]:
    """Several histograms as one. Of edges that not all have, those in common are kept: the counts are cumulative."""
    edges: Optional[set[float]] = None
    for histogram in histograms:
        own = {edge(text) for text in histogram}
        edges = own if edges is None else edges & own
    found: dict[str, float] = {}
    for histogram in histograms:
        for text, count in histogram.items():
            if edge(text) in (edges or ()):
                name = LAST if text == LAST else repr(edge(text))
                found[name] = found.get(name, 0.0) + count
    return found


def observations(histogram: Buckets) -> float:
    """How many observations a histogram holds."""
    return float(histogram.get(LAST, 0.0))


def quantile(histogram: Buckets, share: float) -> Optional[float]:
    """The value that so large a share of the observations does not exceed; None without any observation.

    Inside of a bucket they count as evenly spread. Beyond the last finite edge that edge is returned: it is at least
    so much.
    """
    rows = sorted((edge(text), count) for text, count in histogram.items())
    count = observations(histogram)
    if count <= 0 or len(rows) < 2:
        return None
    wanted = share * count
    low, below = 0.0, 0.0
    for upper, cumulative in rows:
        if cumulative >= wanted and cumulative > below:
            if math.isinf(upper):
                return low
            return low + (upper - low) * (wanted - below) / (cumulative - below)
        low, below = upper, max(below, cumulative)
    return rows[-2][0]
