# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the replicas that stay carry the load while others are out of traffic. Pure: nobody is asked here.

The load is what was measured: requests that run and wait, and how full the caches are. It is spread anew over the
replicas that stay, and must be within what the release was benchmarked with. ``fleet_min_available`` decides instead
where it is set: what was measured is a warning then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

from .._release.value_checks import share_of


class CapacityError(ValueError):
    """The question cannot be answered; the message says what was found and needed."""


@dataclass(frozen=True)
class Replica:
    """A replica at the moment of measuring. ``in_service``: requests go to it. Null is unknown.

    kv_cache_usage: a share, 1 is full.
    """

    host: str
    replica: Optional[int]
    model: str
    in_service: bool
    running: Optional[float] = None
    waiting: Optional[float] = None
    kv_cache_usage: Optional[float] = None


@dataclass(frozen=True)
class Limits:
    """What a replica may be given. concurrency: the requests that the release was benchmarked with.

    load: the share of that; kv_cache_usage: how full the caches may be, a share. least: ``fleet_min_available``, a
    number or a percentage of the replicas of a model; None: what was measured decides.
    """

    concurrency: int
    kv_cache_usage: float = 0.8
    load: float = 1.0
    least: Optional[Any] = None


@dataclass(frozen=True)
class Answer:
    """Of one model: how many replicas serve now, stay and are needed. reasons: why they do not carry the load.

    warnings: what was measured, where the operator has decided. ``requests`` and ``caches`` are the sums that were
    measured; a cache that is full counts 1.
    """

    model: str
    serving: int
    staying: int
    needed: int
    requests: Optional[float]
    caches: Optional[float]
    reasons: Sequence[str] = field(default_factory=tuple)
    warnings: Sequence[str] = field(default_factory=tuple)

    @property
    def carries(self) -> bool:
        """Whether those that stay carry the load."""
        return not self.reasons


def replicas_of(host: str, sample: Mapping[str, Any]) -> list[Replica]:
    """The replicas in a sample of a host. One that answers serves; who is drained is for the caller to take out."""
    return [
        Replica(
            host=host,
            replica=r["replica"],
            model=str(r["served_model_name"]),
            in_service=r["active_state"] == "active",
            running=r["running"],
            waiting=r["waiting"],
            kv_cache_usage=r["kv_cache_usage"],
        )
        for r in sample["replicas"]
    ]


def answer(replicas: Sequence[Replica], out: Iterable[tuple[str, Optional[int]]], limits: Limits) -> list[Answer]:
    """For every model that loses replicas: whether those that stay carry its load.

    out: host and number of the replicas that are out at the same time; a number of None is all of the host. Raises
    CapacityError for a limit that is none.
    """
    if limits.concurrency < 1:
        raise CapacityError(
            "found the concurrency %d; needed the one that the release was benchmarked with. Fix: add "
            "benchmark.workloads with max-concurrency to the release" % limits.concurrency
        )
    leaving = set(out)
    found = []
    for model in sorted({r.model for r in replicas}):
        serving = [r for r in replicas if r.model == model and r.in_service]
        gone = [r for r in serving if (r.host, r.replica) in leaving or (r.host, None) in leaving]
        if gone:
            found.append(_of_model(model, serving, len(serving) - len(gone), limits))
    return found


def least_staying(serving: Sequence[Replica], limits: Limits) -> Optional[int]:
    """How many of these replicas must stay by what was measured; None where that is not known of all of them."""
    requests, caches = _requests(serving), _caches(serving)
    if requests is None or caches is None:
        return None
    return max(_by_requests(requests, limits), _by_caches(caches, limits), 1)


def _by_requests(requests: float, limits: Limits) -> int:
    return math.ceil(requests / (limits.concurrency * limits.load) - 1e-9)


def _by_caches(caches: float, limits: Limits) -> int:
    """Below the limit, not at it."""
    return math.floor(caches / limits.kv_cache_usage + 1e-9) + 1 if caches > 0 else 0


def _of_model(model: str, serving: Sequence[Replica], staying: int, limits: Limits) -> Answer:
    requests, caches = _requests(serving), _caches(serving)
    measured = _measured(model, serving, staying, limits)
    needed = least_staying(serving, limits) or len(serving)
    if limits.least is None:
        return Answer(model, len(serving), staying, needed, requests, caches, tuple(measured))
    wanted = least_of(limits.least, len(serving))
    reasons = []
    if staying < wanted:
        reasons.append(
            "%s: found %d of %d replicas that stay in service; needed %d (fleet_min_available: %s). Fix: smaller waves "
            "with fleet_batches, or another fleet_min_available" % (model, staying, len(serving), wanted, limits.least)
        )
    return Answer(model, len(serving), staying, wanted, requests, caches, tuple(reasons), tuple(measured))


def least_of(least: Any, count: int) -> int:
    """``fleet_min_available`` of so many replicas: a number as it stands, a percentage rounded up.

    Raises CapacityError for what is neither. 0 allows that none stays.
    """
    text = str(least).strip()
    if text in ("0", "0%"):
        return 0
    if share_of(text, 100) is None:
        raise CapacityError(
            "found fleet_min_available: %r; needed a number, or a percentage up to 100%%. Fix: correct it" % (least,)
        )
    return -(-count * int(text[:-1]) // 100) if text.endswith("%") else int(text)


def _measured(model: str, serving: Sequence[Replica], staying: int, limits: Limits) -> list[str]:
    """Why the replicas that stay do not carry what was measured."""
    unknown = ["%s:%s" % (r.host, r.replica) for r in serving if _unknown(r)]
    fix = "Fix: wait for a quieter time, smaller waves with fleet_batches, or decide with fleet_min_available"
    if unknown:
        return [
            "%s: found no load of %s; needed that of every replica in service. Fix: see whether it answers at "
            "/metrics, or decide with fleet_min_available" % (model, ", ".join(unknown))
        ]
    if not staying:
        return ["%s: found that none of %d replicas stays in service; needed one. %s" % (model, len(serving), fix)]
    found = []
    requests, caches = _requests(serving) or 0.0, _caches(serving) or 0.0
    if staying < _by_requests(requests, limits):
        found.append(
            "%s: found %d requests that run or wait; needed at most %d, as %d of %d replicas stay and the release was "
            "benchmarked with %d at a time. %s"
            % (
                model,
                requests,
                staying * limits.concurrency * limits.load,
                staying,
                len(serving),
                limits.concurrency,
                fix,
            )
        )
    if staying < _by_caches(caches, limits):
        found.append(
            "%s: found that the caches of the %d of %d replicas that stay would be %.0f %% full; needed less than "
            "%.0f %%. %s" % (model, staying, len(serving), 100 * caches / staying, 100 * limits.kv_cache_usage, fix)
        )
    return found


def _unknown(replica: Replica) -> bool:
    return replica.running is None or replica.waiting is None or replica.kv_cache_usage is None


def _requests(serving: Sequence[Replica]) -> Optional[float]:
    known = [r.running + r.waiting for r in serving if r.running is not None and r.waiting is not None]
    return sum(known) if len(known) == len(serving) else None


def _caches(serving: Sequence[Replica]) -> Optional[float]:
    known = [r.kv_cache_usage for r in serving if r.kv_cache_usage is not None]
    return sum(known) if len(known) == len(serving) else None
