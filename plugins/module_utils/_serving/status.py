# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All replicas of a fleet as one table: data and text. For the controller alone.

What is not known is shown as unknown.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from .._base.text import printable
from .._host.haproxy import AGENT_DOWN
from .traffic import WATCHDOG

UNKNOWN = "unknown"
_HEAD = ("REPLICA", "RELEASE", "LAST GOOD", "IMAGE", "HEALTH", "RUNNING", "WAITING", "HBM", "AGE", "TRAFFIC")
_GIB_MB = 1024.0


def build(
    hosts: Sequence[str],
    replicas: Mapping[str, Sequence[Mapping[str, Any]]],
    reasons: Mapping[str, str],
    servers: Sequence[Mapping[str, Any]],
    problems: Sequence[str] = (),
    *,
    drivers: Optional[Mapping[str, str]] = None,
    unasked: Sequence[str] = (),
    recorded: Optional[Mapping[str, Mapping[str, Any]]] = None,
) -> dict[str, Any]:
    """The table as data.

    replicas: by host, what vllm_status_info returned. reasons: by host without replicas, why it could not be read.
    servers: what the gateways say, each with its ``gateway``. problems: what went wrong, a line each.
    drivers: by host, who takes its replicas out of traffic. unasked: hosts of which a gateway did not answer.
    recorded: by host, what its state says: ``last_good``, ``change``, ``driver`` and ``lease``; missing where it could
    not be read.
    """
    by_replica: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for server in servers:
        by_replica.setdefault((str(server["host"]), server["replica"]), []).append(server)
    report: dict[str, Any] = {"replicas": [], "not_read": [], "empty": [], "problems": [printable(p) for p in problems]}
    report["hosts"] = {host: dict((recorded or {})[host]) for host in hosts if host in (recorded or {})}
    for host in hosts:
        driver = (drivers or {}).get(host, "haproxy")
        if host not in replicas:
            report["not_read"].append({"host": host, "reason": printable(reasons.get(host) or "it was not read")})
            numbers = sorted({n for h, n in by_replica if h == host and n is not None})
            found: Sequence[Mapping[str, Any]] = [{"replica": number} for number in numbers]
        else:
            found = replicas[host]
            if not found:
                report["empty"].append(host)
        for replica in found:
            told = by_replica.get((host, replica.get("replica")), [])
            traffic = traffic_of(told, driver, asked=host not in unasked)
            good = _last_good(report["hosts"].get(host))
            report["replicas"].append(
                {
                    "host": host,
                    "name": "%s:%s" % (host, replica.get("replica")),
                    "last_good": good,
                    **replica,
                    **traffic,
                }
            )
    return report


def _last_good(state: Optional[Mapping[str, Any]]) -> Optional[str]:
    """The release that a host would go back to; empty where none is recorded, None where that is not known."""
    if state is None:
        return None
    return str((state.get("last_good") or {}).get("release") or "")


def traffic_of(servers: Sequence[Mapping[str, Any]], driver: str, *, asked: bool) -> dict[str, Any]:
    """Whether requests go to a replica, and who says so where they do not.

    ``traffic`` is ``in``, ``out`` (also by the watchdog), ``down`` (in, and the gateway's health check fails),
    ``mixed`` (gateways differ),
    ``absent`` (no gateway has it), ``direct`` (nothing stands in front of it) or ``unknown``.
    """
    states = {_state(s): s for s in reversed(servers)}
    word = "mixed"
    if driver == "none":
        word = "direct"
    elif not asked:
        word = UNKNOWN
    elif not states:
        word = "absent"
    elif len(states) == 1:
        word = next(iter(states))
    words = {
        "in": "in",
        "down": "in, but down for the gateway's health check",
        "absent": "not at a gateway",
        "direct": "no gateway",
        UNKNOWN: UNKNOWN,
    }.get(word, "")
    if word == "out":
        words = "out, " + _by_whom(servers[0])
    elif word == "mixed":
        parts = ["%s %s" % (s["gateway"], "out, " + _by_whom(s) if _state(s) == "out" else _state(s)) for s in servers]
        words = "; ".join(parts)
    shown = (
        "gateway",
        "backend",
        "admin_state",
        "status",
        "sessions",
        "queued",
        "owner",
        "drained_by",
        "reason",
        "since",
    )
    return {
        "traffic": word,
        "traffic_text": words,
        "gateways": [{key: s.get(key) for key in shown} for s in servers],
    }


def _state(server: Mapping[str, Any]) -> str:
    status = str(server.get("status") or "")
    if server["admin_state"] != "ready" or status.startswith(AGENT_DOWN):
        return "out"
    # With the driver external nobody tells how the balancer finds the replica.
    return "in" if status.startswith(("UP", "no check", UNKNOWN)) else "down"


def _by_whom(server: Mapping[str, Any]) -> str:
    owner, drained_by = str(server.get("owner") or UNKNOWN), str(server.get("drained_by") or "")
    if owner == WATCHDOG:
        owner = "by the watchdog"
        drained_by = ""
    words = owner if drained_by in ("", owner) else "%s %s" % (owner, drained_by)
    reason, since = server.get("reason"), server.get("since")
    return words + (": %s" % reason if reason else "") + (" (since %s)" % since if since else "")


def lines(report: Mapping[str, Any], title: str = "") -> list[tuple[str, Optional[str]]]:
    """The table as lines with their tone: ``error``, ``warning``, ``ok``, or None."""
    replicas = report["replicas"]
    serving = sum(is_serving(r) for r in replicas)
    heading = "STATUS%s: %d replica%s, %d in traffic and healthy" % (
        " " + title if title else "",
        len(replicas),
        "" if len(replicas) == 1 else "s",
        serving,
    )
    good = serving == len(replicas) and not report["not_read"] and not report["problems"]
    found: list[tuple[str, Optional[str]]] = [("", None), (heading, "ok" if good else "warning")]
    rows = [(_row(r), r) for r in replicas]
    widths = [max(len(row[n]) for row in (_HEAD, *(cells for cells, _r in rows))) for n in range(len(_HEAD) - 1)]
    if rows:
        found.append((_line(_HEAD, widths), None))
    found += [(printable(_line(cells, widths)), None if is_serving(r) else "warning") for cells, r in rows]
    found += [(printable(words), "warning") for words in _changes(report["hosts"])]
    if report["empty"]:
        found.append(("No replica is deployed on: %s" % ", ".join(report["empty"]), None))
    found += [("%s could not be read: %s" % (n["host"], n["reason"]), "error") for n in report["not_read"]]
    found += [(problem, "error") for problem in report["problems"]]
    return found


def _changes(states: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each host that is being changed, and one for each lease of the fleet."""
    found = []
    leases: dict[tuple[str, ...], list[str]] = {}
    for host, state in states.items():
        change, lease = state.get("change"), state.get("lease")
        if change:
            before = " from %s" % change["from_release"] if change.get("from_release") else ""
            about = (host, change["kind"], change["release"], before, change["step"], change["since"])
            found.append("%s: %s to %s%s, %s since %s" % about + " (%s, by %s)" % (change["id"], change["by"]))
        driver = state.get("driver")
        if driver:
            wanted = ", ".join("%s %s" % pair for pair in sorted(driver["wanted"].items()))
            found.append(
                "%s: in maintenance for a change to %s, %s since %s (%s, by %s)%s"
                % (host, wanted, driver["step"], driver["since"], driver["id"], driver["by"], _after(driver["why"]))
            )
        if lease:
            alive = "" if lease["alive"] else "; it has given no sign of life for two hours"
            key = (lease["owner"], lease["change"], lease["since"], alive)
            leases.setdefault(key, []).append(host)
    found += [
        "%s holds the fleet for %s since %s%s: %s" % (owner, change, since, alive, ", ".join(hosts))
        for (owner, change, since, alive), hosts in leases.items()
    ]
    return found


def _after(why: str) -> str:
    return ": %s" % " ".join(why.split()) if why else ""


def is_serving(replica: Mapping[str, Any]) -> bool:
    """Whether a replica is well and requests go to it."""
    return replica.get("health") == "healthy" and replica["traffic"] in ("in", "direct")


def _row(replica: Mapping[str, Any]) -> tuple[str, ...]:
    image = str(replica.get("image_id") or "")
    used, total = replica.get("hbm_used_mb"), replica.get("hbm_total_mb")
    release = str(replica.get("release") or UNKNOWN)
    memory = UNKNOWN
    if used is not None and total is not None:
        memory = "%.0f/%.0f GiB" % (used / _GIB_MB, total / _GIB_MB)
    elif used is not None:
        memory = "%.0f GiB" % (used / _GIB_MB)
    return (
        str(replica["name"]),
        release + (" (container of another configuration)" if replica.get("outdated") else ""),
        UNKNOWN if replica.get("last_good") is None else str(replica["last_good"]) or "-",
        image.partition(":")[2][:12] or image or _when_not_running(replica),
        str(replica.get("health") or UNKNOWN),
        _number(replica.get("running")),
        _number(replica.get("waiting")),
        memory,
        duration(replica["age_seconds"]) if replica.get("age_seconds") is not None else _when_not_running(replica),
        str(replica["traffic_text"]),
    )


def _when_not_running(replica: Mapping[str, Any]) -> str:
    return "-" if replica.get("active_state") in ("inactive", "failed") else UNKNOWN


def _number(value: Optional[int]) -> str:
    return UNKNOWN if value is None else str(value)


def duration(seconds: int) -> str:
    """``3d 4h``, ``2h 10m``, ``5m 3s`` or ``12s``."""
    days, rest = divmod(int(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return "%dd %dh" % (days, hours)
    if hours:
        return "%dh %dm" % (hours, minutes)
    return "%dm %ds" % (minutes, rest) if minutes else "%ds" % rest


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths)), cells[-1]]).rstrip()
