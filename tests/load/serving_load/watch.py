# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the fleet beside the load: /health of every replica, and the servers of every gateway."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from .journal import Sample

DEADLINE = 2.0
# HAProxy's own exporter: one line for each state a server may be in, 1 for the one it is in.
_STATUS = re.compile(
    r'haproxy_server_status\{proxy="([^"]*)",server="([^"]*)",state="([^"]*)"\} 1(?:\.0)?$', re.MULTILINE
)

Get = Callable[[str], str | None]


def get(url: str) -> str | None:
    """The body of an answer with status 200; None for everything else."""
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            return str(answer.read().decode(errors="replace"))
    except (OSError, ValueError):  # URLError is an OSError
        return None


def servers_of(metrics: str, backend: str) -> dict[str, str]:
    """The state of each server of a backend, from a gateway's metrics."""
    return {server: state for proxy, server, state in _STATUS.findall(metrics) if proxy == backend}


class Watch:
    """What is looked at: /health URLs by replica, metrics URLs by gateway."""

    def __init__(
        self, replicas: Mapping[str, str], gateways: Mapping[str, str], backend: str, fetch: Get = get
    ) -> None:
        self.replicas, self.gateways, self.backend, self.fetch = replicas, gateways, backend, fetch
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(replicas) + len(gateways)))

    def look(self) -> Sample:
        at = time.time()
        health = {name: self._pool.submit(self.fetch, url) for name, url in self.replicas.items()}
        metrics = {name: self._pool.submit(self.fetch, url) for name, url in self.gateways.items()}
        gateways: dict[str, dict[str, str] | None] = {}
        for name, asked in metrics.items():
            text = asked.result()
            gateways[name] = None if text is None else servers_of(text, self.backend)
        return Sample(at, {name: asked.result() is not None for name, asked in health.items()}, gateways)

    def close(self) -> None:
        self._pool.shutdown(wait=False)
