# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section ``upgrade`` of a release: what it must satisfy beside the release that it replaces.

A release without the section, or with a part of it, has the defaults.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from . import checks

#: bake: the new release in traffic beside the old one. error_share, error_share_above_old: shares of the requests.
#: min_requests: of fewer nothing is concluded. longest_minutes: so long a bake that concludes nothing is extended.
#: ttft_p95, inter_token_p95: so many times the old one's; preemptions_per_request: a number. None: shown alone.
#: capacity: what stays while replicas are out. kv_cache_usage: a share; load: a share of the benchmarked concurrency.
#: bench: the quick benchmark beside the replica's own former result, times that. output_throughput: at least;
#: output_throughput_again: below it, it is measured once more; the others: at most.
DEFAULTS: dict[str, dict[str, Any]] = {
    "bake": {
        "error_share": 0.01,
        "error_share_above_old": 0.005,
        "min_requests": 100,
        "longest_minutes": 30,
        "ttft_p95": None,
        "inter_token_p95": None,
        "preemptions_per_request": None,
    },
    "capacity": {"kv_cache_usage": 0.8, "load": 1.0},
    "bench": {
        "output_throughput": 0.90,
        "output_throughput_again": 0.95,
        "median_tpot_ms": 1.15,
        "p95_ttft_ms": 1.25,
    },
}


def _number(low: float, high: float) -> checks.Check:
    needed = "a number from %g to %g" % (low, high)

    def check(value: Any) -> Optional[str]:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        return None if good else needed

    return check


_SHARE, _TIMES_LESS, _TIMES_MORE = _number(0, 1), _number(0.01, 1), _number(1, 100)
_CHECKS: dict[str, dict[str, checks.Check]] = {
    "bake": {
        "error_share": _number(0.0001, 1),
        "error_share_above_old": _SHARE,
        "min_requests": checks.integer(1),
        "longest_minutes": _number(0, 1440),
        "ttft_p95": _TIMES_MORE,
        "inter_token_p95": _TIMES_MORE,
        "preemptions_per_request": _number(0, 1000000),
    },
    "capacity": {"kv_cache_usage": _TIMES_LESS, "load": _number(0.01, 100)},
    "bench": {
        "output_throughput": _TIMES_LESS,
        "output_throughput_again": _TIMES_LESS,
        "median_tpot_ms": _TIMES_MORE,
        "p95_ttft_ms": _TIMES_MORE,
    },
}


def read_section(root: checks.Section) -> None:
    """Take the section from a release, with its defaults; mistakes are added to the release's."""
    upgrade = root.section("upgrade", required=False)
    for name, keys in DEFAULTS.items():
        part = upgrade.section(name, required=False)
        for key, default in keys.items():
            part.take(key, _CHECKS[name][key], default)
        part.close()
    bench = upgrade.out["bench"]
    if bench["output_throughput_again"] < bench["output_throughput"]:
        upgrade.problem(
            "bench.output_throughput_again",
            "%g" % bench["output_throughput_again"],
            "output_throughput (%g) or more: between the two it is measured once more" % bench["output_throughput"],
        )
    upgrade.close()


def limits(release: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The limits of ``bake``, ``capacity`` or ``bench`` in a release, whole, also of one without the section."""
    given = (release.get("upgrade") or {}).get(part) or {}
    return {key: given.get(key, default) for key, default in DEFAULTS[part].items()}
