# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host for each of our units: the unit's own files, its container, and what its image holds.

Runs on the host. Nothing here changes anything, and nothing here raises: what cannot be read is null, and ``errors``
says why.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base import command
from .._base.text import printable
from .._host import docker
from .._host.systemd import Systemd, SystemdError
from .._images import records
from .._serving import deployed
from .._serving.container import CONFIG_DIR, LABEL_RELEASE, LABEL_WEIGHTS
from . import hide

#: Folders in which an operator's own settings of a unit lie, as ``NAME.d``.
_DROP_INS = ("/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/system")
_WEIGHTS = re.compile(re.escape(LABEL_WEIGHTS) + r"=([^\s\"\\]+)")
RECORDS = "/var/lib/ascend-fleet/images"


def empty() -> dict[str, Any]:
    """What ``Reader.read`` returns when nothing was asked."""
    return {"units": [], "systemd_version": None, "errors": {}}


class Reader:
    """Reads the units of this host, each external command with a deadline."""

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        run: Callable[..., command.Completed] = command.run,
        unit_dir: str = deployed.UNIT_DIR,
        config_dir: str = CONFIG_DIR,
        records_in: Sequence[str] = (RECORDS,),
        drop_ins_in: Sequence[str] = _DROP_INS,
    ) -> None:
        self._systemd = Systemd(run, timeout)
        self._docker = docker.Docker(timeout=timeout, run=run)
        self._unit_dir = unit_dir
        self._config_dir = config_dir
        self._records = list(dict.fromkeys(records_in))
        self._drop_ins = (unit_dir, *drop_ins_in)
        self._errors: dict[str, str] = {}

    def read(self) -> dict[str, Any]:
        """``units``, ``systemd_version``, and in ``errors`` by subject what could not be read."""
        found = empty()
        try:
            units = deployed.deployed(self._unit_dir)
        except deployed.UnitsError as exc:
            self._failed("units", exc)
            return {**found, "units": None, "errors": self._errors}
        states: Mapping[str, Mapping[str, str]] = {}
        containers: Optional[list[dict[str, Any]]] = []
        if units:
            # A host that serves nothing may have neither.
            found["systemd_version"] = self._asked("systemd", self._systemd.version)
            states = self._asked("systemd", lambda: self._systemd.show([u["name"] for u in units])) or {}
            containers = self._asked("docker", self._docker.raw_containers)
        images = self._images([c for c in containers or [] if _owner(c)])
        found["units"] = [self._unit(unit, states, containers, images) for unit in units]
        found["errors"] = self._errors
        return found

    def _asked(self, subject: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (SystemdError, docker.DockerError) as exc:
            self._failed(subject, exc)
            return None

    def _failed(self, subject: str, why: object) -> None:
        self._errors.setdefault(subject, printable(str(why)))

    def _images(self, containers: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        wanted = sorted({str(c.get("Image")) for c in containers if c.get("Image")})
        found = self._asked("docker", lambda: self._docker.inspect_images(wanted)) if wanted else []
        return {str(image["id"]): image for image in found or []}

    def _unit(
        self,
        unit: Mapping[str, Any],
        states: Mapping[str, Mapping[str, str]],
        containers: Optional[Sequence[Mapping[str, Any]]],
        images: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        name = str(unit["name"])
        text = self._text(os.path.join(self._unit_dir, name)) or ""
        weights = _WEIGHTS.search(text)
        own = [c for c in containers or [] if _owner(c) == name]
        live = [c for c in own if (c.get("State") or {}).get("Status") in docker.LIVE_STATES]
        container = container_of(live[0], images) if live else None
        variables = self._text(os.path.join(self._config_dir, name[: -len(".service")] + ".env"))
        return {
            **{key: content for key, content in unit.items() if key != "url"},
            "content": hide.text(printable(text, keep="\n\t")),
            "weights_content": weights.group(1) if weights else "",
            "drop_ins": self._own_settings(name),
            "environment": None if variables is None else hide.variables(parse_env(variables)),
            "active": states.get(name, {}).get("ActiveState"),
            "container": container,
            "contents": self._contents(container["image_id"]) if container else None,
        }

    def _text(self, path: str) -> Optional[str]:
        try:
            return deployed.read_text(path)
        except deployed.UnitsError as exc:
            self._failed("units", exc)
            return None

    def _own_settings(self, name: str) -> list[str]:
        template = re.sub(r"@\d+\.service\Z", "@.service", name)
        patterns = [os.path.join(glob.escape(d), n + ".d", "*.conf") for d in self._drop_ins for n in (name, template)]
        return sorted(path for pattern in patterns for path in glob.glob(pattern))

    def _contents(self, image_id: str) -> Optional[dict[str, Any]]:
        """What the image holds, as was recorded when it was verified: it is not run again."""
        for folder in self._records:
            found = records.recall_contents(folder, image_id, ())
            if found is not None:
                cann = [str(c["version"]) for c in found.get("cann") or [] if c.get("version")]
                return {"cann": sorted(set(cann)), "components": dict(found["components"])}
        return None


def _owner(raw: Mapping[str, Any]) -> Optional[str]:
    labels = (raw.get("Config") or {}).get("Labels") or {}
    return labels.get(docker.LABEL_UNIT) if docker.is_managed(labels) else None


def parse_env(text: str) -> dict[str, str]:
    """A file for ``docker run --env-file``."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {name: content for name, _equals, content in (line.partition("=") for line in lines)}


def container_of(raw: Mapping[str, Any], images: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A container of ``docker container inspect``, in our words and without secrets.

    ``environment`` is all that it has. ``inherited`` names those variables that its image gives, unchanged.
    """
    config, host, state = (raw.get(name) or {} for name in ("Config", "HostConfig", "State"))
    labels = config.get("Labels") or {}
    given = parse_env("\n".join(str(e) for e in config.get("Env") or []))
    image = images.get(str(raw.get("Image")))
    from_image = parse_env("\n".join(image["environment"])) if image else {}
    mounts = [m for m in raw.get("Mounts") or [] if isinstance(m, dict) and m.get("Type") == "bind"]
    return {
        "id": str(raw.get("Id") or ""),
        "name": str(raw.get("Name") or "").lstrip("/"),
        "state": str(state.get("Status") or "unknown"),
        "started_at": state.get("StartedAt") or None,
        "image_id": str(raw.get("Image") or ""),
        "config_hash": labels.get(docker.LABEL_CONFIG),
        "release": labels.get(LABEL_RELEASE),
        "weights_content": labels.get(LABEL_WEIGHTS) or "",
        "command": hide.command([printable(str(word)) for word in config.get("Cmd") or []]),
        "environment": hide.variables({printable(k): printable(v) for k, v in given.items()}),
        "inherited": sorted(name for name, content in given.items() if from_image.get(name) == content),
        "mounts": sorted(
            (
                {
                    "source": str(m.get("Source")),
                    "destination": str(m.get("Destination")),
                    "read_only": m.get("RW") is False,
                }
                for m in mounts
            ),
            key=lambda m: str(m["destination"]),
        ),
        "devices": sorted({str(d.get("PathOnHost")) for d in host.get("Devices") or [] if isinstance(d, dict)}),
        "privileged": bool(host.get("Privileged")),
        "network_mode": host.get("NetworkMode") or None,
        "shm_bytes": int(host.get("ShmSize") or 0) or None,
        "security_options": sorted(str(o) for o in host.get("SecurityOpt") or []),
    }
