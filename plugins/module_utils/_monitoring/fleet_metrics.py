# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ascend.fleet itself knows of a host, as metrics of its own. Pure: data of files and of systemd in.

Times are seconds since 1970, so that a rule compares them with ``time()``.
"""

from __future__ import annotations

import calendar
import time
from typing import Any, Mapping, Optional

from .exposition import Metrics

#: What the collector reads, each with its own success.
PARTS = ("npu", "ecc", "network", "units", "state", "traffic", "disk", "certificates")

CATALOGUE: dict[str, str] = {
    "ascend_fleet_collector_success": "1 where the collector has read this part of the host.",
    "ascend_fleet_collector_seconds": "How long the collector has read this part.",
    "ascend_fleet_collector_time_seconds": "When the collector has written this file.",
    "ascend_fleet_collector_info": "How the collector gets what the chips say, with the value 1.",
    "ascend_fleet_npu_smi_hung": "1 while an npu-smi or hccn_tool of an earlier look has not ended.",
    "ascend_fleet_expected_chips": "Chips that a server of this generation has.",
    "ascend_fleet_driver_info": "The driver's version, with the value 1.",
    "ascend_fleet_unit_state": "The state of a replica's unit as systemd says it, with the value 1.",
    "ascend_fleet_unit_restarts": "How often systemd has started the unit again by itself.",
    "ascend_fleet_replica_info": "A replica with its release and port, with the value 1.",
    "ascend_fleet_replica_outdated": "1 where the unit was written after the replica was started.",
    "ascend_fleet_last_good_info": "The last release that this host has served well, with the value 1.",
    "ascend_fleet_replica_release_info": "The release that is recorded for a replica, with the value 1.",
    "ascend_fleet_change_time_seconds": "Since when a change of this host has not ended.",
    "ascend_fleet_traffic_out_time_seconds": "Since when a replica is kept out of traffic.",
    "ascend_fleet_watchdog_out": "1 where the watchdog has taken the replica of this port out of traffic.",
    "ascend_fleet_watchdog_state": "What the watchdog thinks of a replica, with the value 1.",
    "ascend_fleet_findings": "Findings on this host when it was last checked, by severity.",
    "ascend_fleet_findings_time_seconds": "When this host was last checked.",
    "ascend_fleet_disk_free_bytes": "Room that is left where artifacts and images lie.",
    "ascend_fleet_disk_needed_bytes": "Room that the next release needs there.",
    "ascend_fleet_certificate_end_time_seconds": "When a certificate ends.",
}
_SEVERITIES = ("error", "warning")


def parse_unit(text: str) -> dict[str, str]:
    """What a unit of ours says of itself; empty where it is not ours."""
    if not text.startswith("# Managed by ascend.fleet:"):
        return {}
    pairs = (line.partition("=") for line in text.partition("[X-AscendFleet]")[2].splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def add_units(
    out: Metrics,
    units: Mapping[str, Mapping[str, str]],
    shown: Mapping[str, Mapping[str, str]],
    written: Mapping[str, float],
    boot: float,
) -> None:
    """The replicas' units. written: when each unit was written. boot: when the host was started."""
    for name, about in sorted(units.items()):
        replica = {"unit": name, "replica": about.get("Replica", ""), "model_name": about.get("ServedModelName", "")}
        more = {"release": about.get("Release", ""), "port": about.get("Port", "")}
        out.add("ascend_fleet_replica_info", 1, dict(replica, **more))
        state = shown.get(name, {})
        out.add("ascend_fleet_unit_state", 1, dict(replica, state=state.get("ActiveState") or "unknown"))
        restarts = state.get("NRestarts", "")
        out.add("ascend_fleet_unit_restarts", int(restarts) if restarts.isdigit() else None, replica)
        since = state.get("ActiveEnterTimestampMonotonic", "")
        if state.get("ActiveState") == "active" and since.isdigit() and name in written:
            # A unit is written just before its start: a minute is left to both.
            started = boot + int(since) / 1e6
            out.add("ascend_fleet_replica_outdated", int(written[name] > started + 60), replica)


def add_state(out: Metrics, state: Mapping[str, Any]) -> None:
    """What state.json records: the releases, and a change that has not ended."""
    for kind in ("last_good", "previous_good"):
        about = state.get(kind) or {}
        if about.get("release"):
            out.add("ascend_fleet_last_good_info", 1, {"release": str(about["release"]), "kind": kind})
    for unit, about in sorted((state.get("replicas") or {}).items()):
        out.add("ascend_fleet_replica_release_info", 1, {"unit": unit, "release": str(about.get("release") or "")})
    change = state.get("change") or {}
    if change:
        labels = {name: str(change.get(name) or "") for name in ("kind", "release", "step")}
        out.add("ascend_fleet_change_time_seconds", seconds_of(change.get("began")), labels)


def add_traffic(out: Metrics, drains: Mapping[str, Any], watchdog_out: Mapping[str, Any], watchdog: Any) -> None:
    """Who is kept out of traffic: the records of a gateway on this host, and what its watchdog says."""
    for key, record in sorted(drains.items()):
        backend, _slash, server = key.rpartition("/")
        labels = {"backend": backend, "server": server, "owner": str(record.get("owner") or "")}
        out.add("ascend_fleet_traffic_out_time_seconds", seconds_of(record.get("since")), labels)
    for port in sorted(watchdog_out.get("out") or {}):
        out.add("ascend_fleet_watchdog_out", 1, {"port": str(port)})
    for unit, memory in sorted((watchdog.get("memory") or {}).items()):
        out.add("ascend_fleet_watchdog_state", 1, {"unit": unit, "state": str(memory.get("state") or "unknown")})


def add_findings(out: Metrics, findings: Mapping[str, Any]) -> None:
    """How many findings each kind of check had, and when: ``{source: {at, error, warning}}``."""
    for source, about in sorted(findings.items()):
        for severity in _SEVERITIES:
            out.add("ascend_fleet_findings", about.get(severity), {"source": source, "severity": severity})
        out.add("ascend_fleet_findings_time_seconds", about.get("at"), {"source": source})


def counts_of(checked: Mapping[str, Any], at: float) -> dict[str, int]:
    """What a report says of a host, with ``errors`` and ``warnings``, as ``add_findings`` wants that of one source."""
    return {"at": int(at), **{severity: int(checked[severity + "s"]) for severity in _SEVERITIES}}


def seconds_of(moment: Optional[str]) -> Optional[int]:
    """``2026-11-24T21:58:23Z`` in seconds since 1970; None for anything else."""
    try:
        return calendar.timegm(time.strptime(str(moment), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return None


def certificate_end(text: str) -> Optional[int]:
    """``notAfter=Nov 30 12:00:00 2027 GMT``, as openssl prints it, in seconds since 1970; None for anything else."""
    try:
        return calendar.timegm(time.strptime(text.strip(), "notAfter=%b %d %H:%M:%S %Y GMT"))
    except ValueError:
        return None
