# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of simulated hosts and its origin comes up and goes down, in this order; nothing foreign is touched."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import inventory, machine
from .home import Home
from .hosts import Hosts
from .images import HostImage
from .machine import LABEL
from .origin_server import OriginServer
from .rootfs import Base, remove
from .shell import FleetError, say, step, wait_for, write_atomic
from .spec import HostSpec, Placement, free_subnet, parse_hosts, place

DEFAULT_HOSTS = ("a2-1:generation=a2", "a3-1:generation=a3")


class Fleet(Home):
    """What can be done with a fleet as a whole."""

    def up(self, specs: Sequence[str], inventory_path: Path | None, with_origin: bool) -> None:
        machine.require_root()
        with self.lock("fleet-%s-%s" % (self.name, self.mark)):
            self._up(specs, inventory_path, with_origin)

    def _up(self, specs: Sequence[str], inventory_path: Path | None, with_origin: bool) -> None:
        hosts = parse_hosts(specs, self.architecture) if specs else self.hosts()
        hosts = hosts or parse_hosts(DEFAULT_HOSTS, self.architecture)
        for host in hosts:
            if host.capture and not Path(host.capture).is_file():
                raise FleetError("host %s: no capture %s" % (host.name, host.capture), "give a file that exists")
        self.state.mkdir(parents=True, exist_ok=True)
        say("fleet %s: %s" % (self.name, ", ".join("%s (%s)" % (h.name, h.generation or "no NPU") for h in hosts)))
        with self.lock("machine"):  # no other fleet stops the daemon, or takes the network, meanwhile
            machine.install_packages(self.log)
            self.daemon.ensure()
            machine.note_daemon(self.daemon, self.docker)
            self._clear()
            mirror = machine.find_mirror(self.log)
            placement = self._network(hosts)
        codenames = sorted({host.os or mirror.codename for host in hosts} | {mirror.codename})
        bases = {name: Base(self.docker, mirror, self.cache, name, self.log) for name in codenames}
        images = {name: HostImage(self.docker, base, self.cache, self.log) for name, base in bases.items()}
        target = (inventory_path or self.default_inventory()).resolve()
        # Known before anything runs: what is interrupted now can be taken down later.
        self.remember(
            name=self.name, hosts=[asdict(host) for host in hosts], subnet=placement.subnet,
            addresses=dict(placement.hosts), origin=with_origin, inventory=str(target),
        )  # fmt: skip
        Hosts(self).keys(hosts, placement)
        jobs: list[tuple[str, Any]] = [("hosts", lambda: Hosts(self).bring(hosts, placement, images, mirror))]
        if with_origin:
            jobs.append(("origin", lambda: OriginServer(self).bring(hosts, placement, bases[mirror.codename])))
        machine.parallel(jobs)
        url = "http://%s:8080" % placement.origin if with_origin else None
        spare = placement.spare if any("gateways" in host.groups for host in hosts) else None
        write_atomic(target, inventory.render(self.name, hosts, placement.hosts, self.state, url, spare))
        say("inventory: %s" % target)
        if url:
            say("origin: %s (and https://%s:8443 with %s)" % (url, placement.origin, self.state / "origin-ca.pem"))
        say("fleet %s is up: tests/sim/fleet %sstatus" % (self.name, self.name_option()))

    def _clear(self) -> None:
        """What checkouts that have been removed have left goes: it would run until the machine is restarted."""
        self._remove(machine.abandoned(self.docker, "container"), machine.abandoned(self.docker, "network"))

    def _network(self, hosts: Sequence[HostSpec]) -> Placement:
        found = self.docker.inspect("network", self.network)
        before = self.memory.get("subnet")
        if found:
            subnet = str(found[0]["IPAM"]["Config"][0]["Subnet"])
        else:
            subnet = free_subnet(machine.used_networks(self.docker), before)
            self.docker("network", "create", "--subnet", subnet, *self.labels(), self.network)
        kept = self.memory.get("addresses", {}) if subnet == before else {}
        addresses = place(subnet, [host.name for host in hosts], kept)
        return Placement(subnet, addresses)

    def silicon(self, host: str, *words: str) -> None:
        """A command of the simulated silicon on a host that has some."""
        if any(spec.name == host and spec.generation is None for spec in self.hosts()) or host == "origin":
            raise FleetError("%s has no NPU: there is nothing to break or mend" % host, "name a host with NPUs")
        self.execute(host, ["ascend-sim", *words])

    def execute(self, host: str, argv: Sequence[str]) -> None:
        name = self.known_container(host)
        options = ["-i", *(["-t"] if sys.stdin.isatty() and sys.stdout.isatty() else [])]
        command = [self.docker.binary, "exec", *options, name, *(argv or ["bash", "-l"])]
        sys.stdout.flush()
        os.execvp(command[0], command)

    def down(self, cache: bool) -> None:
        machine.require_root()
        with self.lock("fleet-%s-%s" % (self.name, self.mark)), self.lock("machine"):
            cache = self._down(cache)
        if cache:
            remove(self.cache)
            say("cache removed: %s" % self.cache)

    def _down(self, cache: bool) -> bool:
        """Remove the fleet; whether the cache may go too, which it may not while another fleet lives on it."""
        has_data = (self.cache / "dockerd" / "data").exists()
        if not self.docker.answers() and self.memory and has_data:
            self.daemon.ensure()  # the containers lie in its data, whether it runs or not
        if self.docker.answers():
            containers, networks = self.names("container"), self.names("network")
            all_fleets = [self.docker.names(kind, "label=%s" % LABEL) for kind in ("container", "network")]
            others = sorted({name for found in all_fleets for name in found} - {*containers, *networks})
            if cache and others:
                say("the cache stays: another fleet uses it (%s)" % ", ".join(others))
                cache = False
            self._remove(containers, networks)
            if cache:
                images = self.docker.text("images", "--quiet", "--filter", "reference=ascend-fleet-sim/*").split()
                if images:
                    self.docker("image", "rm", "--force", *sorted(set(images)))
            running = self.docker.text("ps", "--format", "{{.Names}}").split()
            if running and self.daemon.ours and not others:
                say("dockerd stays: it runs other containers (%s)" % ", ".join(running))
            elif not others:
                self.daemon.stop()
        self._forget()
        say("fleet %s is down" % self.name)
        return cache

    def _remove(self, containers: Sequence[str], networks: Sequence[str]) -> None:
        if containers:
            with step("removing %s" % ", ".join(sorted(containers))):
                self.docker("rm", "--force", "--volumes", *containers, check=False)
                left = set(containers).intersection
                wait_for("the containers are gone", lambda: not left(self.docker.names("container")), 60)
        for network in networks:
            self.docker("network", "rm", network)

    def _forget(self) -> None:
        written = self.memory.get("inventory")
        path = Path(written) if written else self.default_inventory()
        if path.exists() and "tests/sim/fleet up (fleet %s)" % self.name in path.read_text(errors="replace"):
            path.unlink()
            # The locks of releases name commits of the origin that goes with the fleet.
            for lock in (path.parent / "releases").glob("*.lock.yml"):
                lock.unlink()
        remove(self.state)
        if self.state.parent.is_dir() and not any(self.state.parent.iterdir()):
            self.state.parent.rmdir()
