# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watchdog of a serving host decides: pure rules over what it has seen. Installed beside its program.

An engine is judged by its tokens, since a busy one may let a question wait:

- stalled: requests are in flight and no token has come for STALL_SECONDS, or nothing is in flight and a question for
  one token gets no answer within QUESTION_SECONDS;
- what cannot be read is unknown, and never a stall.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Optional

STALL_SECONDS = 180.0
#: The first request after a start may compile kernels for minutes.
FIRST_SECONDS = 600.0
#: An idle engine is asked so often, and has so long to answer.
ASK_SECONDS = 300.0
QUESTION_SECONDS = 60.0
RESTART_SECONDS = 3600.0
_GAUGES = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|generation_tokens_total|prompt_tokens_total)"
    r"(?:\{[^}]*\})? ([0-9.eE+-]+)$",
    re.MULTILINE,
)


@dataclass
class Seen:
    """One look at a replica; numbers are None where /metrics did not tell them."""

    unit: str
    active: bool
    invocation: str
    in_flight: Optional[int] = None
    generated: Optional[float] = None
    progress: Optional[float] = None  # generated and read tokens: a long prompt moves too


@dataclass
class Memory:
    """What is remembered of a replica from look to look. Times are of the clock that runs since the boot."""

    invocation: str = ""
    generated: float = 0.0
    progress: float = -1.0
    moved: float = 0.0  # when tokens last moved, or nothing was in flight
    alive: float = 0.0  # when the engine last showed that it answers
    state: str = "new"
    reason: str = ""
    since: str = ""
    evidence: str = ""
    restart: str = ""  # what became of a restart
    out: str = ""  # since when it is out of traffic; it stays so over its restart


def metrics(text: str) -> dict[str, float]:
    """The sums over all engines of the numbers that are looked at."""
    found: dict[str, float] = {}
    for name, value in _GAUGES.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def look_at(seen: Seen, text: Optional[str]) -> Seen:
    """Add what /metrics says; nothing where it does not say all."""
    found = metrics(text or "")
    names = ("num_requests_running", "num_requests_waiting", "generation_tokens_total")
    if all(name in found for name in names):
        seen.in_flight = int(found["num_requests_running"] + found["num_requests_waiting"])
        seen.generated = found["generation_tokens_total"]
        seen.progress = seen.generated + found.get("prompt_tokens_total", 0.0)
    return seen


def judge(memory: Memory, seen: Seen, now: float) -> Memory:
    """The memory after a look. Its state: ``down``, ``unknown``, ``busy``, ``idle``, ``ask`` (idle for so long that a
    question is due) or ``stalled``."""
    if seen.invocation != memory.invocation:
        memory = Memory(invocation=seen.invocation, moved=now, alive=now, out=memory.out)
    if not seen.active:
        memory.state = "down"
        return memory
    if seen.progress is None or seen.in_flight is None:
        if memory.state != "stalled":
            memory.state = "unknown"
        return memory
    memory.generated = seen.generated or 0.0
    if seen.progress != memory.progress:
        memory.progress, memory.moved, memory.alive = seen.progress, now, now
    if seen.in_flight:
        limit = STALL_SECONDS if memory.generated > 0 else FIRST_SECONDS
        stood = now - memory.moved
        if stood >= limit:
            reason = "%d requests in flight and no token for %d s" % (seen.in_flight, stood)
            return stalled(memory, reason)
        memory.state = "busy"
    elif memory.state == "stalled" and memory.alive != now:
        # Its clients gave up, which proves nothing: a question does.
        memory.state, memory.moved = "ask", now
        return memory
    else:
        memory.moved = now
        # What is out must show that it answers before it gets requests again.
        memory.state = "ask" if memory.out or now - memory.alive >= ASK_SECONDS else "idle"
    memory.reason = memory.since = memory.evidence = memory.restart = ""
    return memory


def stalled(memory: Memory, reason: str) -> Memory:
    """The memory of a replica that stalls; the first reason and time of a stall stay."""
    memory.state = "stalled"
    memory.reason = memory.reason or reason
    memory.since = memory.since or time_text(time.time())
    return memory


def time_text(seconds: float) -> str:
    """A time, such as ``2026-11-24T21:58:23Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def answers_again(memory: Memory) -> bool:
    """Whether a replica that is out gives tokens: it has answered a question, or has given some to others."""
    return memory.state == "idle" or (memory.state == "busy" and memory.generated > 0)


def after_question(memory: Memory, problem: Optional[str], later: Seen, now: float) -> Memory:
    """The memory after a question for one token. ``later`` is a look after it: tokens for others are an answer too."""
    moved = later.active and later.progress is not None and later.progress != memory.progress
    if problem is None or (moved and later.invocation == memory.invocation):
        memory.state, memory.alive, memory.moved = "idle", now, now
        memory.progress = memory.progress if later.progress is None else later.progress
        memory.generated = memory.generated if later.generated is None else later.generated
        memory.reason = memory.since = memory.evidence = memory.restart = ""
        return memory
    if later.progress is None or later.invocation != memory.invocation or not later.active:
        memory.state = "unknown"
        return memory
    return stalled(memory, "nothing in flight and a question for one token: %s" % problem)


def refusal(
    memory: Memory,
    others: int,
    restarts: list[dict[str, Any]],
    wall: float,
    allowed: Optional[bool] = None,
) -> str:
    """Why a stalled replica is not restarted; empty where it may be.

    others: how many other replicas of the host are healthy. allowed: what the program watchdog-allow says, None where
    there is none.
    """
    if memory.generated <= 0:
        return "it has given no token since its start, so a restart may not help"
    recent = [r for r in restarts if abs(wall - float(r["at"])) < RESTART_SECONDS]
    if recent:
        return "%s was restarted within the last hour, and a common cause must not restart a host" % recent[-1]["unit"]
    if allowed is not None:
        return "" if allowed else "the program watchdog-allow says no"
    return "" if others else "no other replica of this host is healthy"
