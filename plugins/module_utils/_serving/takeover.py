# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take over a container that was started by hand: its place in the plan of a host, and how it is stopped and renamed.

It is never removed: whoever wants it back gives it its name again and starts it.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base import http_client as http
from .._base.progress import duration
from .._host import by_hand
from .._host.docker import LIVE_STATES, Docker, is_managed
from . import log
from .change_plan import TAKE, Change, resources
from .changes import Known, serves
from .deployed import UnitsError, read_text

#: So long after the first look that finds no request a second one must find none.
_IDLE_SECONDS = 2.0
#: A shell ignores docker's SIGTERM. The engine has ended before, so a short timeout loses nothing.
_SHELL_SECONDS = 5
_TRAFFIC = ("UP", "DRAIN", "no check")


# - its place in the plan -


def change_of(
    container: Mapping[str, Any],
    units: Sequence[Mapping[str, Any]],
    known: Known,
    *,
    beside: bool = True,
    serving: Callable[[Optional[str]], bool] = serves,
) -> Change:
    """What becomes of a container of ``by_hand.started_by_hand`` where ``units`` are wanted.

    beside: whether replicas may run beside it; without, every chip counts as held by it.
    """
    live = bool(container["live"])
    indices = list(container["indices"]) if live else []
    if live and not beside:
        indices = sorted({int(i) for unit in units for i in unit.get("indices") or ()})
    holds = resources(indices, None, str(container["name"]))
    for port in container["ports"] if live else ():
        holds |= resources((), port, None)
    numbers = {unit["replica"] for unit in _in_its_place(container, units)}
    out = bool(numbers & (known.held_out | known.drained))
    answers = any(serving("http://127.0.0.1:%d" % port) for port in container["ports"])
    return Change(
        unit="container %s" % container["name"],
        replica=None,
        action=TAKE,
        reason=by_hand.words(container),
        in_service=live and not out and answers,
        holds=holds,
    )


def standing_in(containers: Sequence[Mapping[str, Any]], units: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The wanted units at whose port an engine of these containers answers: for a gateway they serve already."""
    return [unit for container in containers for unit in _in_its_place(container, units)]


def is_behind_gateway(
    container: Mapping[str, Any], units: Sequence[Mapping[str, Any]], servers: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether a gateway sends requests to a container, or holds them off it; ``servers`` are those of vllm_traffic."""
    numbers = {unit["replica"] for unit in _in_its_place(container, units)}
    return any(s.get("replica") in numbers and str(s.get("status")).startswith(_TRAFFIC) for s in servers)


def outage(container: Mapping[str, Any], units: Sequence[Mapping[str, Any]], start_seconds: int) -> str:
    """What happens to clients that ask a container's own port, and for how long."""
    ports = ", ".join(str(port) for port in container["ports"])
    heirs = ", ".join(str(unit["name"]) for unit in _in_its_place(container, units))
    until = "until %s serves there" % heirs if heirs else "and none of ours listens there afterwards"
    return (
        "found container %s answering on port %s, and no gateway in front of it; needed a gateway through which its "
        "clients ask, as nobody answers on that port from its stop %s. How long a start takes is not known on this "
        "host: minutes to tens of minutes, and %s at most (ready_timeout_seconds). Fix: run gateway.yml and let the "
        "clients ask the gateway, or accept the outage with -e fleet_accept_outage=true"
        % (container["name"], ports, until, duration(start_seconds))
    )


def _in_its_place(container: Mapping[str, Any], units: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [unit for unit in units if container["live"] and unit["port"] in container["ports"]]


# - stop and rename -


@dataclass(frozen=True)
class Waits:
    """Deadlines in seconds. cut: whether requests that are left after ``idle`` are cut off, and not waited for."""

    idle: float = 900.0
    cut: bool = False
    stop: float = 60.0


class Taker:
    """Stops and renames containers. Every step looks at what is, so that a run that was killed is simply run again."""

    def __init__(
        self,
        docker: Docker,
        waits: Waits,
        *,
        fetch: Callable[..., http.Answer] = http.fetch,
        kill: Callable[[int, int], None] = os.kill,
        read: Callable[[str], Optional[str]] = read_text,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._docker = docker
        self._waits = waits
        self._fetch = fetch
        self._kill = kill
        self._read = read
        self._sleep = sleep
        self._clock = clock

    def take(self, container: Mapping[str, Any], date: str, *, check: bool) -> dict[str, Any]:
        """Stop and rename one container; with ``check`` only say it. ``date`` as YYYYMMDD."""
        present = self._docker.container(str(container["id"]))
        result: dict[str, Any] = {"name": container["name"], "renamed_to": None, "cut": 0, "changed": False}
        if present is None:
            return result  # somebody has removed it meanwhile
        if is_managed(present["labels"]):
            raise UnitsError(
                "found that container %s is one of this collection's; needed one that was started by hand. Fix: run "
                "site.yml, which changes it" % present["name"]
            )
        taken = {c["name"] for c in self._docker.containers()} - {present["name"]}
        name = by_hand.new_name(present["name"], date, taken)
        live = present["state"] in LIVE_STATES
        comes_back = present["restart_policy"] != "no"
        result.update(renamed_to=name, changed=live or comes_back or name != present["name"])
        if check:
            return result
        if live:
            result["cut"] = self._wait_idle(str(present["name"]), list(container["ports"]))
        if comes_back:
            self._docker.keep_stopped(str(present["id"]))
        if name != present["name"]:
            self._docker.rename(str(present["id"]), name)
        if live:
            # The engine itself first: it frees its cards in order. Docker's signal reaches the shell alone.
            self._end_engines(str(present["id"]), list(container["pids"]))
            self._docker.stop(str(present["id"]), seconds=_SHELL_SECONDS)
        return result

    def _wait_idle(self, name: str, ports: Sequence[int]) -> int:
        """Wait until its engines have no request. Returns how many are left, where they may be cut off."""
        until = self._clock() + self._waits.idle
        idle = False
        while True:
            counts = [self._requests(port) for port in ports]
            if not any(count != 0 for count in counts):
                if idle or not ports:
                    return 0
                idle = True
                self._sleep(_IDLE_SECONDS)
                continue
            idle = False
            if self._clock() >= until:
                left = sum(count or 0 for count in counts)
                if self._waits.cut:
                    return left
                said = "%d requests" % left if None not in counts else "no answer about its requests"
                raise UnitsError(
                    "found %s of container %s after %d s; needed none, before it is stopped. Fix: let its clients ask "
                    "the gateway and run again, or cut them off with -e fleet_accept_outage=true. It serves on"
                    % (said, name, self._waits.idle)
                )
            self._sleep(1.0)

    def _requests(self, port: int) -> Optional[int]:
        """Running and waiting requests; None where nobody tells."""
        answer = self._fetch("http://127.0.0.1:%d/metrics" % port, timeout=10)
        if answer.refused:
            return 0  # where no connection is possible, no request is served
        counts = log.requests_in_flight(answer.text) if answer.ok else None
        return sum(counts) if counts else None

    def _end_engines(self, identity: str, pids: Sequence[int]) -> None:
        """Ask the engines to end, and give them the time. What is left is ended with the container."""
        left = [pid for pid in pids if self._lives(identity, pid)]
        for pid in left:
            try:
                self._kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
        until = self._clock() + self._waits.stop
        while any(self._lives(identity, pid) for pid in left) and self._clock() < until:
            self._sleep(0.5)

    def _lives(self, identity: str, pid: int) -> bool:
        """Whether a process is there and still of this container: numbers are given again."""
        try:
            return identity in (self._read("/proc/%d/cgroup" % pid) or "")
        except UnitsError:
            return False  # it is ending
