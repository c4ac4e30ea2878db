# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of simulated hosts and its origin: brought up, looked at, broken, mended, taken down."""

from __future__ import annotations

import io
import os
import platform
import sys
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from . import inventory, machine, origin
from .images import FILES, SIM, EngineArchives, HostImage, OriginImage
from .machine import LABEL, Daemon, Docker, Mirror
from .rootfs import Base, remove
from .shell import FleetError, lock, read_json, run, say, step, wait_for, write_atomic, write_json
from .spec import (
    ARCHITECTURES,
    HostSpec,
    Placement,
    container_options,
    content_hash,
    free_subnet,
    other_architecture,
    parse_hosts,
    place,
    tree_hash,
)

DEFAULT_HOSTS = ("a2-1:generation=a2", "a3-1:generation=a3")
GENERATIONS = ("a2", "a3")
SSH_TIMEOUT = 120.0


class Fleet:
    def __init__(self, name: str) -> None:
        self.name = name
        self.root = machine.repository_root()
        self.cache = machine.cache_home()
        self.state = self.root / ".sim" / name
        self.log = self.state / "log"
        self.docker = Docker()
        self.daemon = Daemon(self.docker, self.cache)
        self.network = "ascend-sim-%s" % name
        self.architecture = platform.machine()

    # ------------------------------------------------------------ what is remembered

    @cached_property
    def memory(self) -> dict[str, Any]:
        return read_json(self.state / "fleet.json")

    def remember(self, **values: object) -> None:
        self.memory.update(values)
        write_json(self.state / "fleet.json", self.memory)

    def hosts(self) -> tuple[HostSpec, ...]:
        return tuple(HostSpec(**{**host, "groups": tuple(host["groups"])}) for host in self.memory.get("hosts", []))

    def container(self, host: str) -> str:
        return "%s-%s" % (self.name, host)

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

    # ------------------------------------------------------------ up

    def up(self, specs: Sequence[str], inventory_path: Path | None, with_origin: bool) -> None:
        machine.require_root()
        with self._lock("fleet-%s" % self.name):
            self._up(specs, inventory_path, with_origin)

    def _lock(self, name: str) -> AbstractContextManager[None]:
        return lock(self.cache / "locks" / name, name)

    def _up(self, specs: Sequence[str], inventory_path: Path | None, with_origin: bool) -> None:
        hosts = parse_hosts(specs, self.architecture) if specs else self.hosts()
        hosts = hosts or parse_hosts(DEFAULT_HOSTS, self.architecture)
        for host in hosts:
            if host.capture and not Path(host.capture).is_file():
                raise FleetError("host %s: no capture %s" % (host.name, host.capture), "give a file that exists")
        self.state.mkdir(parents=True, exist_ok=True)
        say("fleet %s: %s" % (self.name, ", ".join("%s (%s)" % (h.name, h.generation or "no NPU") for h in hosts)))
        with self._lock("machine"):  # no other fleet stops the daemon, or takes the network, meanwhile
            machine.install_packages(self.log)
            self.daemon.ensure()
            machine.note_daemon(self.daemon, self.docker)
            self._refuse_foreign()
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
        self._keys(hosts, placement)
        jobs: list[tuple[str, Any]] = [("hosts", lambda: self._hosts(hosts, placement, images, mirror))]
        if with_origin:
            jobs.append(("origin", lambda: self._origin(hosts, placement, bases[mirror.codename])))
        machine.parallel(jobs)
        url = "http://%s:8080" % placement.origin if with_origin else None
        write_atomic(target, inventory.render(self.name, hosts, placement.hosts, self.state, url))
        say("inventory: %s" % target)
        if url:
            say("origin: %s (and https://%s:8443 with %s)" % (url, placement.origin, self.state / "origin-ca.pem"))
        say("fleet %s is up: tests/sim/fleet %sstatus" % (self.name, self._option()))

    def _option(self) -> str:
        return "" if self.name == "demo" else "--name %s " % self.name

    def _refuse_foreign(self) -> None:
        """Two checkouts may not share one fleet name on one Docker."""
        names = self.docker.names("container", "label=%s=%s" % (LABEL, self.name))
        for entry in self.docker.inspect("container", *names):
            root = entry["Config"]["Labels"].get(LABEL + ".root")
            if root != str(self.root):
                raise FleetError(
                    "fleet %s is up already, from the checkout %s" % (self.name, root),
                    "take that one down, or give this one another name: tests/sim/fleet --name NAME up",
                )

    def _labels(self, **values: str) -> list[str]:
        labels = {LABEL: self.name, LABEL + ".root": str(self.root)}
        labels.update({"%s.%s" % (LABEL, key): value for key, value in values.items()})
        return [word for key, value in labels.items() for word in ("--label", "%s=%s" % (key, value))]

    def _network(self, hosts: Sequence[HostSpec]) -> Placement:
        found = self.docker.inspect("network", self.network)
        if found:
            subnet = str(found[0]["IPAM"]["Config"][0]["Subnet"])
        else:
            used = machine.used_networks(self.docker)
            before = self.memory.get("subnet")
            subnet = free_subnet(used, [before] if before else None)
            self.docker("network", "create", "--subnet", subnet, *self._labels(), self.network)
        addresses = place(subnet, [host.name for host in hosts], self.memory.get("addresses", {}))
        return Placement(subnet, addresses)

    def _keys(self, hosts: Sequence[HostSpec], placement: Placement) -> None:
        """One key of the fleet to log in with, one key of each host to know it by."""
        self._key(self.state / "id_ed25519", "ascend-fleet-sim %s" % self.name)
        known = []
        for host in hosts:
            path = self.state / "keys" / host.name
            self._key(path, host.name)
            public = path.with_suffix(".pub").read_text().split()
            known.append("%s %s %s\n" % (placement.hosts[host.name], public[0], public[1]))
        write_atomic(self.state / "known_hosts", "".join(known), 0o600)

    @staticmethod
    def _key(path: Path, comment: str) -> None:
        if path.exists() and path.with_suffix(".pub").exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])

    # ------------------------------------------------------------ hosts

    def _hosts(
        self, hosts: Sequence[HostSpec], placement: Placement, images: Mapping[str, HostImage], mirror: Mirror
    ) -> None:
        wanted = {self.container(host.name) for host in hosts} | {self.container("origin")}
        here = set(self.docker.names("container", "label=%s=%s" % (LABEL, self.name)))
        gone = sorted(here - wanted)
        if gone:
            say("removing hosts that are no longer wanted: %s" % ", ".join(gone))
            self.docker("rm", "--force", "--volumes", *gone)
        for host in hosts:
            self._start(host, placement, images[host.os or mirror.codename].ensure())
        machine.parallel([(host.name, lambda host=host: self._settle(host, placement)) for host in hosts])

    def _start(self, host: HostSpec, placement: Placement, image: str) -> None:
        name = self.container(host.name)
        address = placement.hosts[host.name]
        fingerprint = content_hash([host.fingerprint(), image, address, (self.state / "id_ed25519.pub").read_text()])
        found = self.docker.inspect("container", name)
        if found and found[0]["Config"]["Labels"].get(LABEL + ".fingerprint") == fingerprint:
            if not found[0]["State"]["Running"]:
                self.docker("start", name)
            return
        if found:
            say("host %s: its description has changed, it is made anew" % host.name)
            self.docker("rm", "--force", "--volumes", name)
        small = "type=tmpfs,destination=/var/lib/ascend-fleet,tmpfs-size=%s" % host.disk
        limited = ["--mount", small] if host.disk else []
        self.docker(
            "create", "--name", name, "--hostname", host.name, "--network", self.network, "--ip", address,
            "--network-alias", host.name, *container_options(machine.can_raise_limits()), *limited,
            *self._labels(host=host.name, fingerprint=fingerprint), image,
        )  # fmt: skip
        self.docker("cp", "-", "%s:/" % name, input_bytes=self._personal(host))
        self.docker("start", name)
        say("host %s: container started (%s)" % (host.name, address))

    def _personal(self, host: HostSpec) -> bytes:
        """What makes a host this host: its key, who may log in, the architecture it stands for."""
        key = self.state / "keys" / host.name
        files = {
            "etc/ssh/ssh_host_ed25519_key": (key.read_bytes(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (key.with_suffix(".pub").read_bytes(), 0o644),
            "etc/ssh/authorized_keys": ((self.state / "id_ed25519.pub").read_bytes(), 0o644),
        }
        if host.architecture != self.architecture:
            files["etc/ascend-sim-architecture"] = ((host.architecture + "\n").encode(), 0o644)
        return tar_of(files)

    def _settle(self, host: HostSpec, placement: Placement) -> None:
        """systemd is up, the silicon is in, ssh and the inner Docker answer."""
        name = self.container(host.name)
        fix = "look into it: tests/sim/fleet %sexec %s journalctl -b" % (self._option(), host.name)

        def booted() -> str | None:
            done = self.docker("exec", name, "systemctl", "is-system-running", "--wait", check=False, timeout=120)
            state = done.stdout.decode().strip()
            return state if state in ("running", "degraded") else None

        state = wait_for("host %s: systemd is up" % host.name, booted, 120, fix)
        if state == "degraded":
            failed = self.docker.text("exec", name, "systemctl", "--failed", "--plain", "--no-legend", check=False)
            say("host %s: systemd runs, with failed units: %s" % (host.name, " ".join(failed.split()[:1])))
        if host.generation:
            self._silicon(host, name)
        address = placement.hosts[host.name]
        argv = ["ssh", *self.ssh_options(), "root@%s" % address, "true"]
        wait_for("host %s: ssh answers at %s" % (host.name, address),
                 lambda: run(argv, check=False, timeout=30).returncode == 0, SSH_TIMEOUT, fix)  # fmt: skip
        wait_for("host %s: its Docker answers" % host.name, lambda: self._inner_docker(name), 60, fix)
        say("host %s: ready (systemd %s, ssh root@%s, Docker)" % (host.name, state, address))

    def _inner_docker(self, name: str) -> bool:
        faults = self.docker.text("exec", name, "sh", "-c", "ascend-sim faults 2>&1", check=False)
        if "docker-down" in faults:
            return True
        return self.docker("exec", name, "docker", "version", check=False, timeout=30).returncode == 0

    def ssh_options(self) -> list[str]:
        return [
            "-i", str(self.state / "id_ed25519"), *inventory.ssh_arguments(self.state / "known_hosts"),
            "-o", "BatchMode=yes", "-o", "ConnectTimeout=5",
        ]  # fmt: skip

    def _silicon(self, host: HostSpec, name: str) -> None:
        """The simulated silicon, copied in and set up again when it or the host's description has changed."""
        folder = SIM / "silicon"
        program = folder / "ascend_sim.py"
        if not program.exists():
            say("host %s: no silicon in %s yet; the host has no NPU" % (host.name, folder))
            return
        capture = Path(host.capture).read_bytes() if host.capture else b""
        mark = content_hash([tree_hash(folder), host.fingerprint(), capture])
        marker = "/var/lib/ascend-sim-host/installed"
        if self.docker.text("exec", name, "cat", marker, check=False) == mark:
            return
        files = {
            "usr/local/lib/ascend-sim/%s" % path.relative_to(folder): (path.read_bytes(), path.stat().st_mode & 0o777)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        if capture:
            files["usr/local/lib/ascend-sim/capture.json"] = (capture, 0o644)
        self.docker("exec", "-i", name, "tar", "-x", "-C", "/", "--overwrite", input_bytes=tar_of(files))
        script = (
            "set -e; cd /usr/local/lib/ascend-sim; chmod 0755 ascend_sim.py; "
            'for name in lspci ascend-sim; do ln -sfn "$PWD/ascend_sim.py" "/usr/local/bin/$name"; done; '
            'ascend-sim install "$@"'
        )
        words = ["--generation", str(host.generation), "--architecture", host.architecture, "--driver", host.driver]
        if capture:
            words += ["--capture", "/usr/local/lib/ascend-sim/capture.json"]
        self.docker("exec", name, "sh", "-c", script, "sh", *words)
        self.docker("exec", name, "sh", "-c", 'mkdir -p "${1%/*}" && echo "$2" >"$1"', "sh", marker, mark)

    # ------------------------------------------------------------ origin

    def _origin(self, hosts: Sequence[HostSpec], placement: Placement, base: Base) -> None:
        image = OriginImage(self.docker, base, self.cache, self.log)

        def content() -> None:
            with self._lock("engine"):  # another fleet may make other archives, and remove these, a moment later
                self._content(hosts, base)

        machine.parallel([("content", content), ("image", image.ensure)])
        self._serve_origin(image.name, placement)

    def _content(self, hosts: Sequence[HostSpec], base: Base) -> None:
        archives = EngineArchives(self.docker, base, self.cache, self.architecture, self.log)
        wanted: dict[str, dict[str, Any]] = {}
        for generation in GENERATIONS:
            labels = [host.architecture for host in hosts if host.generation == generation]
            architecture = labels[0] if labels else self.architecture
            tag = origin.image_tag(generation)
            wanted[origin.image_path(generation)] = archives.ensure(generation, architecture, tag)
            if generation == "a2":  # the archive somebody takes by mistake, and the one of a mixed fleet
                other = other_architecture(architecture)
                path = origin.image_path(generation).replace(".tar", "-%s.tar" % ARCHITECTURES[other])
                wanted[path] = archives.ensure(generation, other, tag)
        root = self.state / "origin"
        key = content_hash(
            [*("%s %s" % (path, known["sha256"]) for path, known in sorted(wanted.items())),
             tree_hash(FILES / "model"), Path(origin.__file__).read_bytes()]
        )  # fmt: skip
        store = origin.Store(root)
        if self.memory.get("origin_key") != key or not store.bare(origin.IMAGE_REPOSITORY).exists():
            with step("origin: repositories and LFS objects"):
                root.mkdir(parents=True, exist_ok=True)
                (root / "files").mkdir(exist_ok=True)
                dummy = origin.dummy_weight(self.cache / "origin" / "dummy.safetensors")
                sources = {path: (Path(known["path"]), str(known["sha256"])) for path, known in wanted.items()}
                origin.fill(store, sources, dummy, FILES / "model")
            self.remember(origin_key=key, archives=wanted)

    def _serve_origin(self, image: str, placement: Placement) -> None:
        name = self.container("origin")
        config = self.state / "origin-config"
        origin.certificates(config, placement.origin)
        write_atomic(self.state / "origin-ca.pem", (config / "ca.pem").read_bytes())
        if not (config / "limits.conf").exists():
            write_atomic(config / "limits.conf", "")
        fingerprint = content_hash([image, placement.origin, str(self.state)])
        found = self.docker.inspect("container", name)
        if found and found[0]["Config"]["Labels"].get(LABEL + ".fingerprint") != fingerprint:
            self.docker("rm", "--force", "--volumes", name)
            found = []
        if not found:
            self.docker(
                "create", "--name", name, "--hostname", "origin", "--init", "--network", self.network,
                "--ip", placement.origin, "--network-alias", "origin", "--restart", "always", "--cap-add", "NET_ADMIN",
                "--volume", "%s:/srv/origin:ro" % (self.state / "origin"), "--volume", "%s:/etc/origin:ro" % config,
                *self._labels(host="origin", fingerprint=fingerprint), image,
            )  # fmt: skip
        self.docker("start", name)
        url = "http://%s:8080/%s.git" % (placement.origin, origin.IMAGE_REPOSITORY)
        fix = "look into it: tests/sim/fleet %sexec origin ps aux; docker logs %s" % (self._option(), name)
        wait_for("the origin answers at %s" % url,
                 lambda: run(["git", "ls-remote", url], check=False, timeout=20).returncode == 0
                 and self.docker("exec", name, "python3", "-c", _BATCH, check=False).returncode == 0,
                 60, fix)  # fmt: skip
        say("origin: ready at http://%s:8080" % placement.origin)

    def origin_store(self) -> origin.Store:
        if not self.memory.get("origin"):
            raise FleetError("fleet %s has no origin" % self.name, "start it: tests/sim/fleet %sup" % self._option())
        return origin.Store(self.state / "origin")

    def origin_add(self, repository: str, path: str, source: Path, plain: bool) -> dict[str, object]:
        return self.origin_store().add(repository, path, source, plain)

    def origin_limit(self, rate: str) -> None:
        """So many bytes a second for each connection that fetches an object; `none` lifts it."""
        self.origin_store()
        text = "" if rate == "none" else "limit_rate %s;\n" % rate
        (self.state / "origin-config" / "limits.conf").write_text(text)
        self.docker("exec", self.container("origin"), "nginx", "-c", "/etc/nginx/origin.conf", "-s", "reload")

    def origin_log(self) -> str:
        return self.docker.text("exec", self.known_container("origin"), "cat", "/var/log/nginx/origin.log")

    # ------------------------------------------------------------ look, touch

    def status(self) -> dict[str, Any]:
        hosts: list[dict[str, Any]] = []
        answers = self.docker.answers()
        addresses = self.memory.get("addresses", {})
        for host in self.hosts():
            name = self.container(host.name)
            entry: dict[str, Any] = {
                "name": host.name, "generation": host.generation, "architecture": host.architecture,
                "address": addresses.get(host.name), "container": name, "running": False, "systemd": None,
                "ssh": False, "docker": None, "faults": [],
            }  # fmt: skip
            found = self.docker.inspect("container", name) if answers else []
            if found and found[0]["State"]["Running"]:
                entry["running"] = True
                entry["systemd"] = self.docker.text("exec", name, "systemctl", "is-system-running", check=False)
                argv = ["ssh", *self.ssh_options(), "root@%s" % entry["address"], "true"]
                entry["ssh"] = run(argv, check=False, timeout=30).returncode == 0
                version = self.docker(
                    "exec", name, "docker", "version", "--format", "{{.Server.Version}}", check=False, timeout=30
                )
                entry["docker"] = version.stdout.decode().strip() if version.returncode == 0 else None
                if host.generation:
                    faults = self.docker("exec", name, "ascend-sim", "faults", check=False)
                    entry["faults"] = faults.stdout.decode().splitlines() if faults.returncode == 0 else []
            hosts.append(entry)
        report: dict[str, Any] = {
            "name": self.name, "docker": answers, "docker_started_here": self.daemon.ours, "hosts": hosts,
            "inventory": self.memory.get("inventory"), "origin": None, "state": str(self.state),
        }  # fmt: skip
        if self.memory.get("origin") and answers:
            found = self.docker.inspect("container", self.container("origin"))
            placement = Placement(self.memory["subnet"])
            report["origin"] = {
                "url": "http://%s:8080" % placement.origin, "https": "https://%s:8443" % placement.origin,
                "ca": str(self.state / "origin-ca.pem"), "running": bool(found and found[0]["State"]["Running"]),
                "archives": self.memory.get("archives", {}),
            }  # fmt: skip
        return report

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

    # ------------------------------------------------------------ down

    def down(self, cache: bool) -> None:
        machine.require_root()
        with self._lock("fleet-%s" % self.name), self._lock("machine"):
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
            self._refuse_foreign()
            label = "label=%s=%s" % (LABEL, self.name)
            names = self.docker.names("container", label)
            mine = {*names, *self.docker.names("network", label)}
            all_fleets = [self.docker.names(kind, "label=%s" % LABEL) for kind in ("container", "network")]
            others = sorted({name for found in all_fleets for name in found} - mine)
            if cache and others:
                say("the cache stays: another fleet uses it (%s)" % ", ".join(others))
                cache = False
            if names:
                with step("removing %s" % ", ".join(sorted(names))):
                    self.docker("rm", "--force", "--volumes", *names, check=False)
                    wait_for("the containers are gone", lambda: not self.docker.names("container", label), 60)
            for network in self.docker.names("network", label):
                self.docker("network", "rm", network)
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


# Asked inside the origin: does the LFS server itself answer a batch request (with 404: it has no such object)?
_BATCH = (
    """
import json, urllib.error, urllib.request
request = urllib.request.Request(
    "http://127.0.0.1:8080/%s.git/info/lfs/objects/batch",
    json.dumps({"operation": "download", "objects": [{"oid": "0" * 64, "size": 1}]}).encode(),
    {"Content-Type": "application/vnd.git-lfs+json", "Accept": "application/vnd.git-lfs+json"},
)
try:
    urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as error:
    assert error.code < 500
"""
    % origin.IMAGE_REPOSITORY
)


def tar_of(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, (data, mode) in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
