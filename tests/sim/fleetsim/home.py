# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet is called, where its things lie, and what it remembers."""

from __future__ import annotations

import hashlib
import platform
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

from . import inventory, machine
from .machine import LABEL, ROOT_LABEL, Daemon, Docker
from .shell import FleetError, read_json, write_json
from .shell import lock as _lock
from .spec import HostSpec


class Home:
    """One fleet on this machine, whether it is up or not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = machine.repository_root()
        #: Tells the containers of this checkout from those of another one whose fleet has the same name.
        self.mark = hashlib.sha256(str(self.root).encode()).hexdigest()[:4]
        self.cache = machine.cache_home()
        self.state = self.root / ".sim" / name
        self.log = self.state / "log"
        self.docker = Docker()
        self.daemon = Daemon(self.docker, self.cache)
        self.network = "ascend-sim-%s-%s" % (name, self.mark)
        self.architecture = platform.machine()

    @cached_property
    def memory(self) -> dict[str, Any]:
        return read_json(self.state / "fleet.json")

    def remember(self, **values: object) -> None:
        self.memory.update(values)
        write_json(self.state / "fleet.json", self.memory)

    def hosts(self) -> tuple[HostSpec, ...]:
        return tuple(HostSpec(**{**host, "groups": tuple(host["groups"])}) for host in self.memory.get("hosts", []))

    def container(self, host: str) -> str:
        return "%s-%s-%s" % (self.name, host, self.mark)

    def default_inventory(self) -> Path:
        return self.root / "inventories" / "demo" / "hosts.yml" if self.name == "demo" else self.state / "hosts.yml"

    def known_container(self, host: str) -> str:
        """The container of a host that is up, or an error that says which there are."""
        names = [spec.name for spec in self.hosts()] + (["origin"] if self.memory.get("origin") else [])
        if host not in names:
            raise FleetError(
                "fleet %s has no host %s (it has: %s)" % (self.name, host, machine.names_of(names)),
                "name one of them, or start it: tests/sim/fleet --name %s up" % self.name,
            )
        return self.container(host)

    def lock(self, name: str) -> AbstractContextManager[None]:
        return _lock(self.cache / "locks" / name, name)

    def name_option(self) -> str:
        """What a command line needs to mean this fleet."""
        return "" if self.name == "demo" else "--name %s " % self.name

    def labels(self, **values: str) -> list[str]:
        labels = {LABEL: self.name, ROOT_LABEL: str(self.root)}
        labels.update({"%s.%s" % (LABEL, key): value for key, value in values.items()})
        return [word for key, value in labels.items() for word in ("--label", "%s=%s" % (key, value))]

    def names(self, kind: str) -> list[str]:
        """The containers, or the networks, that docker has of this fleet."""
        filters = ("label=%s=%s" % (LABEL, self.name), "label=%s=%s" % (ROOT_LABEL, self.root))
        return self.docker.names(kind, *filters)

    def ssh_options(self) -> list[str]:
        return [
            "-i", str(self.state / "id_ed25519"), *inventory.ssh_arguments(self.state / "known_hosts"),
            "-o", "BatchMode=yes", "-o", "ConnectTimeout=5",
        ]  # fmt: skip
