# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host becomes ready: its keys, its container, its silicon; systemd, ssh and its own Docker answer."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import machine
from .home import Home
from .images import SIM, HostImage
from .machine import LABEL, Mirror
from .shell import run, say, wait_for, write_atomic
from .spec import HostSpec, Placement, container_options, content_hash, tree_hash

SSH_TIMEOUT = 120.0


class Hosts:
    """The hosts of a fleet."""

    def __init__(self, home: Home) -> None:
        self.home, self.docker, self.state = home, home.docker, home.state

    def bring(
        self, hosts: Sequence[HostSpec], placement: Placement, images: Mapping[str, HostImage], mirror: Mirror
    ) -> None:
        wanted = {self.home.container(host.name) for host in hosts} | {self.home.container("origin")}
        here = set(self.home.names("container"))
        gone = sorted(here - wanted)
        if gone:
            say("removing hosts that are no longer wanted: %s" % ", ".join(gone))
            self.docker("rm", "--force", "--volumes", *gone)
        for host in hosts:
            self._start(host, placement, images[host.os or mirror.codename].ensure())
        machine.parallel([(host.name, lambda host=host: self._settle(host, placement)) for host in hosts])

    def keys(self, hosts: Sequence[HostSpec], placement: Placement) -> None:
        """One key of the fleet to log in with, one key of each host to know it by."""
        self._key(self.state / "id_ed25519", "ascend-fleet-sim %s" % self.home.name)
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

    def _start(self, host: HostSpec, placement: Placement, image: str) -> None:
        name = self.home.container(host.name)
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
            "create", "--name", name, "--hostname", host.name, "--network", self.home.network, "--ip", address,
            "--network-alias", host.name, *container_options(machine.can_raise_limits()), *limited,
            *self.home.labels(host=host.name, fingerprint=fingerprint), image,
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
        if host.architecture != self.home.architecture:
            files["etc/ascend-sim-architecture"] = ((host.architecture + "\n").encode(), 0o644)
        return tar_of(files)

    def _settle(self, host: HostSpec, placement: Placement) -> None:
        """systemd is up, the silicon is in, ssh and the inner Docker answer."""
        name = self.home.container(host.name)
        fix = "look into it: tests/sim/fleet %sexec %s journalctl -b" % (self.home.name_option(), host.name)

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
        argv = ["ssh", *self.home.ssh_options(), "root@%s" % address, "true"]
        wait_for("host %s: ssh answers at %s" % (host.name, address),
                 lambda: run(argv, check=False, timeout=30).returncode == 0, SSH_TIMEOUT, fix)  # fmt: skip
        wait_for("host %s: its Docker answers" % host.name, lambda: self._inner_docker(name), 60, fix)
        say("host %s: ready (systemd %s, ssh root@%s, Docker)" % (host.name, state, address))

    def _inner_docker(self, name: str) -> bool:
        faults = self.docker.text("exec", name, "sh", "-c", "ascend-sim faults 2>&1", check=False)
        if "docker-down" in faults:
            return True
        return self.docker("exec", name, "docker", "version", check=False, timeout=30).returncode == 0

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


def tar_of(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, (data, mode) in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
