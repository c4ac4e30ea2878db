# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of a host: what its engines and its gateway have counted up to a moment. Two samples tell what happened
between them.

Counters begin anew with a process. A process that was replaced between two samples is told by its start, and counts as
a restart; what the new one has counted is what is known. A difference is never negative.

A sample is data (a module returns it): ``at``, ``replicas``, ``gateway``, ``problems``. What could not be read has a
``problem``, which is no bad value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .._host.haproxy import METRICS_BACKEND
from .._serving.traffic import replica_of
from .._serving.watchdog_rules import STALL_SECONDS
from . import exposition

#: What is read of an engine: its name there.
RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
KV_CACHE = "vllm:kv_cache_usage_perc"
FINISHED, TOKENS, PREEMPTIONS = (
    "vllm:request_success_total",
    "vllm:generation_tokens_total",
    "vllm:num_preemptions_total",
)
STARTED, ANSWERS = "process_start_time_seconds", "http_requests_total"
HISTOGRAMS = {"ttft": "vllm:time_to_first_token_seconds", "inter_token": "vllm:inter_token_latency_seconds"}
#: Without these a sample of an engine tells nothing.
NEEDED = (RUNNING, WAITING, FINISHED, TOKENS)
NAMES = (
    *NEEDED, KV_CACHE, PREEMPTIONS, STARTED, ANSWERS, *(name + "_bucket" for name in HISTOGRAMS.values())
)  # fmt: skip
#: What a sample has of an engine beside ``finished`` and ``histograms``; None where it does not tell.
NUMBERS = ("started", "running", "waiting", "kv_cache_usage", "generation_tokens", "preemptions", "answers_5xx")
#: How a request can end that its client did not get whole. A client that leaves is an ``abort`` too.
ABORT, ERROR = "abort", "error"
#: HAProxy's columns of a server, and what they are called in a sample.
STAT_COLUMNS = {
    "hrsp_2xx": "answers",
    "hrsp_3xx": "answers",
    "hrsp_4xx": "answers",
    "hrsp_5xx": "answers_5xx",
    "hrsp_other": "answers",
    "eresp": "response_errors",
    "srv_abrt": "server_aborts",
    "cli_abrt": "client_aborts",
    "econ": "refused",
}
SERVER_COUNTS = ("answers", "answers_5xx", "response_errors", "server_aborts", "client_aborts", "refused")

#: The starts of one process, as two samples tell them, differ by less.
_SAME_START_SECONDS = 2.0
#: A gateway tells since when it runs in whole seconds.
_SAME_GATEWAY_SECONDS = 5.0
_DOWN = ("inactive", "failed", "activating", "deactivating")


class SampleError(ValueError):
    """A text cannot be read; the message says what was found and needed."""


# - reading -


def engine_counts(text: str) -> dict[str, Any]:
    """What the text of an engine's ``/metrics`` tells: counters, gauges and histograms. Null is what it does not tell.

    Times are in seconds. Raises SampleError where it does not tell what is needed.
    """
    try:
        found = exposition.parse(text, NAMES)
    except exposition.ExpositionError as exc:
        raise SampleError("found /metrics: %s; needed the text of an engine" % exc) from exc
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise SampleError("found /metrics without %s; needed the text of a vLLM engine" % ", ".join(missing))
    posts = [s for s in found.get(ANSWERS, []) if s.labels.get("method") == "POST"]
    histograms = {}
    for name, metric in HISTOGRAMS.items():
        buckets = exposition.by_label(found.get(metric + "_bucket"), "le")
        if buckets and exposition.LAST in buckets:
            histograms[name] = buckets
    usage = found.get(KV_CACHE)
    return {
        "started": exposition.total(found.get(STARTED)),
        "running": exposition.total(found[RUNNING]),
        "waiting": exposition.total(found[WAITING]),
        # Of several engines in one process the fullest counts.
        "kv_cache_usage": max(s.value for s in usage) if usage else None,
        "finished": exposition.by_label(found[FINISHED], "finished_reason"),
        "generation_tokens": exposition.total(found[TOKENS]),
        "preemptions": exposition.total(found.get(PREEMPTIONS)),
        "answers_5xx": sum(s.value for s in posts if s.labels.get("status", "").startswith("5"))
        if ANSWERS in found
        else None,
        "histograms": histograms,
    }


def gateway_counts(stat: Mapping[tuple[str, str], Mapping[str, str]], info: Mapping[str, str]) -> dict[str, Any]:
    """What a gateway has counted, by ``BACKEND/SERVER``. stat, info: ``show stat`` and ``show info`` as HAProxy's
    client returns them.

    Raises SampleError where a number is missing.
    """
    servers: dict[str, dict[str, int]] = {}
    for (backend, server), row in stat.items():
        if backend == METRICS_BACKEND:
            continue
        counts = dict.fromkeys(SERVER_COUNTS, 0)
        for column, name in STAT_COLUMNS.items():
            value = row.get(column, "")
            if not value.isdigit():
                raise SampleError(
                    "found %r as %s of %s/%s in `show stat`; needed a number" % (value, column, backend, server)
                )
            counts[name] += int(value)
        servers["%s/%s" % (backend, server)] = counts
    uptime = info.get("Uptime_sec", "")
    if not uptime.isdigit() or not info.get("Pid", "").isdigit():
        raise SampleError("found `show info` without Pid and Uptime_sec; needed which process has counted")
    return {"pid": int(info["Pid"]), "uptime_seconds": int(uptime), "servers": servers}


# - differences -


@dataclass
class Counted:
    """What a replica did between two samples. ``problem`` says what could not be read: the counts are not whole then.

    ``finished`` by the reason of the engine. ``answers_5xx`` and ``preemptions`` are None where the engine does not
    tell. ``down`` tells that it does not run at the end. Histograms are cumulative counts by upper edge in seconds.
    """

    host: str
    replica: Optional[int]
    seconds: float = 0.0
    restarts: int = 0
    down: bool = False
    stalled: str = ""
    finished: dict[str, float] = field(default_factory=dict)
    tokens: float = 0.0
    preemptions: Optional[float] = None
    answers_5xx: Optional[float] = None
    histograms: dict[str, dict[str, float]] = field(default_factory=dict)
    problem: str = ""

    @property
    def name(self) -> str:
        """Such as ``a2-1:0``."""
        return "%s:%s" % (self.host, self.replica)


def replicas_between(host: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Counted]:
    """What each replica of a host did between two samples of it."""
    former = {r["unit"]: r for r in before["replicas"]}
    seconds = float(after["at"]) - float(before["at"])
    found = [replica_between(host, former.pop(r["unit"], None), r, seconds) for r in after["replicas"]]
    for gone in former.values():
        problem = "it was there in the first sample and is not deployed in the second"
        found.append(Counted(host, gone["replica"], seconds, problem=problem))
    return found


def replica_between(
    host: str, before: Optional[Mapping[str, Any]], after: Mapping[str, Any], seconds: float
) -> Counted:
    """What one replica did within ``seconds``."""
    found = Counted(host, after["replica"], seconds, stalled=_stalled(after.get("watchdog")))
    if before is None:
        found.problem = "it is not in the first sample"
        return found
    found.restarts = _restarts(before, after)
    found.down = after.get("active_state") in _DOWN
    if found.down:
        found.restarts = max(found.restarts, 1)
        return found
    problem = before.get("problem") or after.get("problem")
    if problem:
        found.down = bool(after.get("problem") and found.restarts)
        found.problem = "" if found.down else str(problem)
        return found
    fresh = _is_new_process(before, after) or found.restarts > 0
    found.restarts = max(found.restarts, int(fresh))
    base: Mapping[str, Any] = {} if fresh else before
    finished = base.get("finished") or {}
    found.finished = {reason: count - finished.get(reason, 0.0) for reason, count in after["finished"].items()}
    found.tokens = after["generation_tokens"] - (base.get("generation_tokens") or 0.0)
    found.preemptions = _grown(base, after, "preemptions")
    found.answers_5xx = _grown(base, after, "answers_5xx")
    earlier = base.get("histograms") or {}
    for name, buckets in after["histograms"].items():
        former = earlier.get(name) or dict.fromkeys(buckets, 0.0)
        if set(former) == set(buckets):
            found.histograms[name] = {text: count - former[text] for text, count in buckets.items()}
    if not found.stalled and not fresh and seconds >= STALL_SECONDS and not found.tokens:
        least = min(s["running"] + s["waiting"] for s in (before, after))
        ended = sum(found.finished.values())
        if least > 0 and not ended:
            found.stalled = "%d requests in flight and no token for %d s" % (least, seconds)
    return found


def _grown(base: Mapping[str, Any], after: Mapping[str, Any], name: str) -> Optional[float]:
    value = after.get(name)
    return None if value is None else float(value) - float(base.get(name) or 0.0)


def _restarts(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """How often systemd has started the unit anew, by itself or because it was told."""
    earlier, later = before.get("restarts"), after.get("restarts")
    grown = later - earlier if earlier is not None and later is not None else 0
    invocations = (before.get("invocation"), after.get("invocation"))
    other = all(invocations) and invocations[0] != invocations[1]
    # A start that an operator asked for sets the number back.
    return max(grown, int(bool(other)), 0)


def _is_new_process(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the counters of the second sample are those of another process."""
    starts = (before.get("started"), after.get("started"))
    if None not in starts and abs(float(starts[1] or 0) - float(starts[0] or 0)) > _SAME_START_SECONDS:
        return True
    if after["generation_tokens"] < before["generation_tokens"]:
        return True
    return any(after["finished"].get(reason, 0.0) < count for reason, count in before["finished"].items())


def _stalled(watchdog: Optional[Mapping[str, Any]]) -> str:
    """What the watchdog says of a replica that hangs; empty where it does not hang, or is not watched."""
    if not watchdog or watchdog.get("state") != "stalled":
        return ""
    return str(watchdog.get("reason") or "the watchdog says so")


def gateway_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, dict[str, int]], bool]:
    """What a gateway has counted between two samples by ``BACKEND/SERVER``, and whether it was replaced meanwhile.

    A reload replaces it too: what the former process counted after the first sample is not known.
    before, after: the samples of its host.
    """
    earlier, later = before["gateway"], after["gateway"]
    began = [float(s["at"]) - g["uptime_seconds"] for s, g in ((before, earlier), (after, later))]
    fresh = earlier["pid"] != later["pid"] or abs(began[1] - began[0]) > _SAME_GATEWAY_SECONDS
    found: dict[str, dict[str, int]] = {}
    for key, counts in later["servers"].items():
        former = earlier["servers"].get(key) or {}
        # Counters can be cleared by a command; the configuration can have moved a server.
        if fresh or any(counts[name] < former.get(name, 0) for name in SERVER_COUNTS):
            former = {}
        found[key] = {name: counts[name] - former.get(name, 0) for name in SERVER_COUNTS}
    return found, fresh


def by_replica(gateways: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[tuple[str, Optional[int]], dict[str, int]]:
    """The counts of several gateways by host and replica."""
    found: dict[tuple[str, Optional[int]], dict[str, int]] = {}
    for servers in gateways:
        for key, counts in servers.items():
            named = replica_of(key.rpartition("/")[2])
            own = found.setdefault((named.host, named.replica), dict.fromkeys(SERVER_COUNTS, 0))
            for name in SERVER_COUNTS:
                own[name] += counts[name]
    return found
