# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a host for our serving units: files, links, systemd's states and containers. Changes nothing."""

from __future__ import annotations

import glob
import os
import stat
import time
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

from .._host import docker
from .._host.systemd import Systemd
from .deployed import UNIT_NAME, UnitsError, deployed, read_text
from .unit_steps import Present

# A unit that was started a moment ago has no container yet.
_CONTAINER_SECONDS = 20.0


class UnitReader:
    """Reads the units of this host. ``needs_docker`` false: a host without the program docker has no containers."""

    def __init__(
        self,
        unit_dir: str,
        config_dir: str,
        systemd: Systemd,
        client: docker.Docker,
        *,
        needs_docker: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unit_dir = unit_dir
        self.config_dir = config_dir
        self._systemd = systemd
        self._docker = client
        self._needs_docker = needs_docker
        self._sleep = sleep
        self._clock = clock

    def unit_path(self, name: str) -> str:
        """Where the unit's file lies."""
        return os.path.join(self.unit_dir, name)

    def env_path(self, name: str) -> str:
        """Where the unit's variables lie."""
        return os.path.join(self.config_dir, name[: -len(".service")] + ".env")

    def containers(self) -> list[dict[str, Any]]:
        """Every container of the host."""
        try:
            return self._docker.containers()
        except docker.DockerError as exc:
            if not exc.installed and not self._needs_docker:
                return []
            raise UnitsError(
                "found: %s; needed docker's list of containers. Fix: see `systemctl status docker`" % exc
            ) from exc

    def image_missing(self, image: str) -> bool:
        """Whether docker does not have an image."""
        try:
            return self._docker.inspect_image(image) is None
        except docker.DockerError as exc:
            raise UnitsError("found: %s; needed docker's answer about the image %s" % (exc, image)) from exc

    def look(self, names: Sequence[str]) -> dict[str, Present]:
        """What there is for these units."""
        shown = self._systemd.show(names)
        containers = self.containers()
        found = {}
        for name in names:
            state = shown[name]
            own = [c for c in containers if c["labels"].get(docker.LABEL_UNIT) == name]
            container = next((c for c in own if c["state"] in docker.LIVE_STATES), own[0] if own else None)
            env = self.env_path(name)
            found[name] = Present(
                content=read_text(self.unit_path(name)),
                env=read_text(env),
                env_private=not os.path.exists(env) or stat.S_IMODE(os.stat(env).st_mode) == 0o600,
                load=state.get("LoadState", ""),
                active=state.get("ActiveState", "inactive"),
                sub=state.get("SubState", "dead"),
                restarts=int(state["NRestarts"]) if state.get("NRestarts", "").isdigit() else 0,
                enabled=state.get("UnitFileState") == "enabled",
                need_reload=state.get("NeedDaemonReload") == "yes",
                container=container["state"] if container else None,
                config=container["labels"].get(docker.LABEL_CONFIG) if container else None,
            )
        return found

    def look_when_settled(self, names: Sequence[str]) -> dict[str, Present]:
        """Like ``look``, but a unit that is just starting is given the time to show its container."""
        until = self._clock() + _CONTAINER_SECONDS
        while True:
            found = self.look(names)
            waiting = [
                p
                for p in found.values()
                if p.container is None and (p.active == "active" or p.sub in ("start", "start-pre", "start-post"))
            ]
            if not waiting or self._clock() >= until:
                return found
            self._sleep(0.5)

    def units(self) -> dict[str, Mapping[str, Any]]:
        """The units of ours by name, as they describe themselves."""
        return {str(u["name"]): u for u in deployed(self.unit_dir)}

    def all_names(self) -> list[str]:
        """Every unit of which there is anything: its file, its variables, a link to it, or a container of its own."""
        names = set(self.units())
        for path in glob.glob(os.path.join(glob.escape(self.config_dir), "vllm-*@*.env")):
            names.add(os.path.basename(path)[: -len(".env")] + ".service")
        for path in self.links():
            if not os.path.exists(path):
                names.add(os.path.basename(path))
        for container in self.containers():
            owner = container["labels"].get(docker.LABEL_UNIT)
            if owner and docker.is_managed(container["labels"]):
                names.add(owner)
        return sorted(n for n in names if UNIT_NAME.match(n))

    def has_files(self, name: str) -> bool:
        """Whether there is a file of a unit, or a link to it."""
        return any(os.path.lexists(p) for p in (self.unit_path(name), self.env_path(name))) or bool(self.links([name]))

    def links(self, names: Optional[Iterable[str]] = None) -> list[str]:
        """The links by which targets want our units."""
        pattern = os.path.join(glob.escape(self.unit_dir), "*.wants", "vllm-*@*.service")
        links = [p for p in glob.glob(pattern) + _dangling(pattern) if os.path.islink(p)]
        return sorted({p for p in links if names is None or os.path.basename(p) in names})


def _dangling(pattern: str) -> list[str]:
    # glob leaves out links whose target is gone.
    found = []
    for folder in glob.glob(os.path.dirname(pattern)):
        with os.scandir(folder) as entries:
            found += [e.path for e in entries if e.is_symlink() and UNIT_NAME.match(e.name)]
    return found
