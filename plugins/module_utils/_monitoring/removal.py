# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything of the monitoring on a host, looked at as a whole before it goes. What Prometheus has recorded stays."""

from __future__ import annotations

import json

from .._host.systemd import Systemd
from . import collector, install, server

FOLDER = "/etc/ascend-fleet/monitoring"


class MonitoringRemoval:
    """The collector, npu-exporter and Prometheus of this host. Raises SystemdError and OSError."""

    def __init__(self, systemd: Systemd, unit_dir: str, root: str = "/") -> None:
        self._collector = install.CollectorHost(systemd, root, unit_dir)
        self._prometheus = server.PrometheusHost(systemd, unit_dir=unit_dir)
        config = collector.Config()
        try:
            config = collector.config_of(json.loads(self._collector.read(install.CONFIG) or "{}"))
        except (ValueError, AttributeError):
            pass  # where it writes is not known: its file is where it is by default
        self._plan = self._collector.plan(install.Wanted(state="absent", config=config))
        self._todo = self._prometheus.absent(FOLDER)

    @property
    def steps(self) -> list[str]:
        """What is there, in words; nothing where nothing is."""
        return [*self._plan.steps, *self._todo.steps]

    def carry_out(self) -> None:
        """Remove it."""
        if self._plan.steps:
            self._collector.carry_out(self._plan, absent=True)
        if self._todo.steps:
            self._prometheus.carry_out(self._todo)
