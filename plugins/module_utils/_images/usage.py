# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What on this host names images and folders that are in use: containers in any state, and units of vLLM."""

from __future__ import annotations

import json
import os

from .._host.docker import Docker, DockerError

UNIT_DIR = "/etc/systemd/system"


class Usage:
    """What is in use on a host. What docker does not say is a DockerError: nothing may be removed then."""

    def __init__(self, docker: Docker, units: str = UNIT_DIR, *, docker_required: bool = True) -> None:
        """``docker_required`` is false where there may be no docker, as on a mirror. One that is there is asked."""
        self._docker = docker
        self._units = units
        self._docker_required = docker_required

    def text(self) -> str:
        """Every text that names what is in use."""
        return "\n".join([self._containers(), *self._unit_texts()])

    def _containers(self) -> str:
        try:
            return json.dumps(self._docker.raw_containers(), ensure_ascii=False)
        except DockerError as exc:
            if not exc.installed and not self._docker_required:
                return ""
            raise

    def _unit_texts(self) -> list[str]:
        try:
            names = sorted(os.listdir(self._units))
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            if name.startswith("vllm-") and name.endswith(".service"):
                with open(os.path.join(self._units, name), encoding="utf-8", errors="replace") as handle:
                    found.append(handle.read())
        return found
