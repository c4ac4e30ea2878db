# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the replicas of this host are doing at this moment. What cannot be read is None, and a problem says why."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base import http_client as http
from .._host.docker import LABEL_CONFIG, LIVE_STATES, Docker, DockerError
from .._host.systemd import Systemd, SystemdError
from . import log as _vllm_log

_STARTED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z\Z")
_HEALTH_SECONDS = 5.0


class Reader:
    """Asks systemd, docker and the engines of this host."""

    def __init__(
        self,
        systemd: Optional[Systemd] = None,
        docker: Optional[Docker] = None,
        fetch: Callable[..., http.Answer] = http.fetch,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._systemd = systemd or Systemd()
        self._docker = docker or Docker()
        self._fetch = fetch
        self._now = now
        self.problems: list[str] = []

    def read(self, units: Sequence[Mapping[str, Any]], devices: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One entry for each of the deployed ``units``; ``devices`` are those of npu_info."""
        shown: Optional[dict[str, dict[str, str]]] = None
        containers: Optional[dict[str, dict[str, Any]]] = None
        try:
            shown = self._systemd.show([u["name"] for u in units])
        except SystemdError as exc:
            self.problems.append(str(exc))
        try:
            containers = {c["name"]: c for c in self._docker.containers()} if units else {}
        except DockerError as exc:
            self.problems.append(str(exc))
        chips = {d.get("index"): d for d in devices}
        return [
            {
                "replica": unit["replica"],
                "unit": unit["name"],
                "served_model_name": unit["served_model_name"],
                "release": unit["release"],
                "port": unit["port"],
                "indices": unit["indices"],
                **self._container(unit, containers),
                **self._serving(unit, shown[unit["name"]] if shown else None),
                **hbm(unit["indices"], chips),
            }
            for unit in units
        ]

    def _container(
        self, unit: Mapping[str, Any], containers: Optional[Mapping[str, Mapping[str, Any]]]
    ) -> dict[str, Any]:
        """What runs: its image, its age, and whether its configuration is the one of the unit."""
        empty = {"image_id": None, "age_seconds": None, "outdated": None}
        if containers is None:
            return empty
        container = containers.get(str(unit["container_name"]))
        if container is None or container["state"] not in LIVE_STATES:
            return empty
        return {
            "image_id": container["image_id"] or None,
            "age_seconds": age(container["started_at"], self._now()),
            "outdated": container["labels"].get(LABEL_CONFIG) != unit["config_hash"],
        }

    def _serving(self, unit: Mapping[str, Any], shown: Optional[Mapping[str, str]]) -> dict[str, Any]:
        """The state of the unit, what the engine says of its health, and how many requests it has."""
        active = (shown or {}).get("ActiveState", "unknown")
        restarts = (shown or {}).get("NRestarts", "")
        found = {
            "active_state": active,
            "restarts": int(restarts) if restarts.isdigit() else None,
            "health": active,
            "running": None,
            "waiting": None,
        }
        if active not in ("active", "unknown") or not unit["url"]:
            # Nothing is asked: a unit that does not run has no request.
            none = 0 if active in ("inactive", "failed") else None
            return {**found, "running": none, "waiting": none}
        answer = self._fetch(unit["url"] + "/health", timeout=_HEALTH_SECONDS)
        if answer.refused:
            return {**found, "health": "starting" if active == "active" else "unknown"}
        found["health"] = "healthy" if answer.ok else answer.describe()
        if answer.timed_out:
            return found
        metrics = self._fetch(unit["url"] + "/metrics", timeout=_HEALTH_SECONDS)
        counts = _vllm_log.requests_in_flight(metrics.text) if metrics.ok else None
        if counts:
            found["running"], found["waiting"] = counts
        return found


def age(started: Optional[str], now: float) -> Optional[int]:
    """Seconds since a time as docker writes it; None where it is of another form."""
    match = _STARTED.match(started or "")
    if not match:
        return None
    began = datetime.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return max(0, int(now - began.timestamp()))


def hbm(indices: Sequence[int], chips: Mapping[Any, Mapping[str, Any]]) -> dict[str, Optional[int]]:
    """The memory of a replica's chips together; None where npu-smi does not tell that of each."""
    found: dict[str, Optional[int]] = {}
    for name in ("hbm_used_mb", "hbm_total_mb"):
        known = [int(v) for v in (chips.get(index, {}).get(name) for index in indices) if v is not None]
        found[name] = sum(known) if known and len(known) == len(indices) else None
    return found
