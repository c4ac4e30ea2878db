# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a sample of this host: its engines, its units, its watchdog and its gateway. What it is stands in samples.py."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base import http_client as http
from .._host import haproxy
from .._host.systemd import Systemd, SystemdError
from .._serving.watchdog_program import STATE as WATCHDOG_STATE
from . import samples

#: Where a gateway is installed, this file is there.
GATEWAY_CONFIG = "/etc/ascend-fleet/gateway/haproxy.cfg"
#: The watchdog looks every 30 s, and a look may wait for a question and for evidence.
WATCHDOG_OLD_SECONDS = 900.0
_SHOWN = ("state", "reason", "since", "out")


class Sampler:
    """Asks this host. Everything that it asks can be answered by a test instead."""

    def __init__(
        self,
        systemd: Optional[Systemd] = None,
        gateway: Optional[haproxy.Haproxy] = None,
        fetch: Callable[..., http.Answer] = http.fetch,
        now: Callable[[], float] = time.time,
        *,
        timeout: float = 10.0,
        watchdog_state: str = WATCHDOG_STATE,
        gateway_config: str = GATEWAY_CONFIG,
    ) -> None:
        self._systemd = systemd or Systemd()
        self._gateway = gateway or haproxy.Haproxy(timeout=timeout)
        self._fetch = fetch
        self._now = now
        self._timeout = timeout
        self._watchdog_state = watchdog_state
        self._gateway_config = gateway_config

    def take(self, units: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The sample as data. ``units`` are the deployed ones, as ``_serving/deployed.py`` describes them.

        Never raises for what does not answer: that stands in ``problem`` of what was asked, and in ``problems``.
        """
        problems: list[str] = []
        shown: dict[str, dict[str, str]] = {}
        try:
            shown = self._systemd.show([str(u["name"]) for u in units])
        except SystemdError as exc:
            problems.append(str(exc))
        watched = self._watched(problems)
        with ThreadPoolExecutor(max_workers=max(len(units), 1)) as pool:
            replicas = list(pool.map(lambda u: self._replica(u, shown.get(str(u["name"])), watched), units))
        problems += ["%s: %s" % (r["unit"], r["problem"]) for r in replicas if r["problem"]]
        gateway = self._gateway_sample()
        if gateway and gateway["problem"]:
            problems.append("gateway: %s" % gateway["problem"])
        # Taken last: the engines are asked at once, within their deadline.
        return {"at": round(self._now(), 3), "replicas": replicas, "gateway": gateway, "problems": problems}

    def _replica(
        self, unit: Mapping[str, Any], shown: Optional[Mapping[str, str]], watched: Mapping[str, Any]
    ) -> dict[str, Any]:
        restarts = (shown or {}).get("NRestarts", "")
        found: dict[str, Any] = {
            "replica": unit["replica"],
            "unit": unit["name"],
            "served_model_name": unit["served_model_name"],
            "release": unit["release"],
            "port": unit["port"],
            "active_state": (shown or {}).get("ActiveState", "unknown"),
            "restarts": int(restarts) if restarts.isdigit() else None,
            "invocation": (shown or {}).get("InvocationID") or None,
            "watchdog": _verdict(watched, unit, shown),
            "problem": "",
        }
        found.update(dict.fromkeys(samples.NUMBERS), finished={}, histograms={})
        if found["active_state"] not in ("active", "unknown") or not unit["url"]:
            return {**found, "problem": "its unit is %s" % found["active_state"]}
        answer = self._fetch(unit["url"] + "/metrics", timeout=self._timeout)
        if not answer.ok:
            return {**found, "problem": "found %s at /metrics; needed the engine's counters" % answer.describe()}
        try:
            return {**found, **samples.engine_counts(answer.text)}
        except samples.SampleError as exc:
            return {**found, "problem": str(exc)}

    def _watched(self, problems: list[str]) -> dict[str, Any]:
        """What the watchdog remembers of each unit; nothing where it does not run on this host."""
        try:
            with open(self._watchdog_state, encoding="utf-8") as file:
                data = json.load(file)
            old = self._now() - float(data["at"])
            memory = data["memory"]
            if not isinstance(memory, dict):
                raise ValueError("it holds no memory")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as exc:
            problems.append("found %s unreadable: %s; needed what the watchdog has seen" % (self._watchdog_state, exc))
            return {}
        # After it was switched off its file stays until the next boot.
        return memory if old <= WATCHDOG_OLD_SECONDS else {}

    def _gateway_sample(self) -> Optional[dict[str, Any]]:
        """What the gateway has counted; None where none was ever installed."""
        if not os.path.exists(self._gateway_config) and not os.path.exists(self._gateway.path):
            return None
        try:
            stat = haproxy.parse_stat(self._gateway.ask("show stat"))
            return {**samples.gateway_counts(stat, self._gateway.info()), "problem": ""}
        except (haproxy.HaproxyError, samples.SampleError) as exc:
            return {"pid": None, "uptime_seconds": None, "servers": {}, "problem": str(exc)}


def _verdict(
    watched: Mapping[str, Any], unit: Mapping[str, Any], shown: Optional[Mapping[str, str]]
) -> Optional[dict[str, str]]:
    """What the watchdog says of a unit as it runs now; None where it has not looked at that."""
    memory = watched.get(str(unit["name"]))
    if not isinstance(memory, Mapping):
        return None
    invocation = (shown or {}).get("InvocationID")
    if invocation and memory.get("invocation") != invocation:
        return None
    return {name: str(memory.get(name) or "") for name in _SHOWN}
