# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images: of a simulated host, of the origin, and the engine image's archives as an operator downloads them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import rootfs
from .machine import Docker, can_raise_limits
from .rootfs import Base
from .shell import FleetError, lock, output, read_json, run, sha256_file, step, try_again, write_json
from .spec import ARCHITECTURES, content_hash, tree_hash

SIM = Path(__file__).resolve().parents[1]
FILES = Path(__file__).resolve().parent / "files"

HOST_PACKAGES = (
    "aria2", "ca-certificates", "curl", "dbus", "docker.io", "git", "git-lfs", "haproxy", "iproute2", "iptables",
    "keepalived", "kmod", "less", "nftables", "nginx", "openssh-client", "openssh-server", "opentracker", "procps",
    "prometheus", "prometheus-node-exporter", "psmisc", "python3", "rsync", "socat", "sudo", "systemd",
    "systemd-sysv", "zstd",
)  # fmt: skip
ORIGIN_PACKAGES = ("fcgiwrap", "git", "iproute2", "nginx-light", "procps", "python3")
ENGINE_PACKAGES = ("python3",)
# A real Git LFS server, and a WSGI server for it.
ORIGIN_PYTHON = ("giftless==0.6.2", "waitress==3.0.2")
GIFTLESS_NEEDS = (
    "cachetools", "cryptography", "figcan", "flask", "flask-classful", "flask-marshmallow", "importlib-metadata",
    "marshmallow<4", "pyjwt", "python-dateutil", "python-dotenv", "pyyaml", "typing-extensions", "webargs", "werkzeug",
)  # fmt: skip

# What `docker run` needs to know of the engine image when its builder says nothing else (config.json beside it).
ENGINE_CONFIG: dict[str, Any] = {
    "Entrypoint": ["/usr/local/bin/entrypoint.sh"],
    "Cmd": ["/bin/bash"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "WorkingDir": "/vllm-workspace",
}


def image_exists(docker: Docker, name: str) -> bool:
    return docker("image", "inspect", name, check=False).returncode == 0


def import_tree(docker: Docker, tree: Path, name: str, changes: list[str], log: Path) -> None:
    """tar | docker import, without a file in between."""
    options = [word for change in changes for word in ("--change", change)]
    script = 'tree=$1; shift; tar --numeric-owner --xattrs -c -C "$tree" . | "$@"'
    words = [os.fspath(tree), docker.binary, "import", *options, "-", name]
    try:
        run(["bash", "-o", "pipefail", "-c", script, "bash", *words], log=log)
    except FleetError:
        docker("image", "rm", name, check=False)  # made from what tar could read: not what it should be
        raise


# ---------------------------------------------------------------- host


class HostImage:
    def __init__(self, docker: Docker, base: Base, cache: Path, log: Path) -> None:
        self.docker, self.base, self.cache, self.log = docker, base, cache, log
        self.wrap_runc = not can_raise_limits()
        # In Debian 12 the client is part of docker.io; later releases have it in a package of its own.
        self.client = "" if base.codename == "bookworm" else "docker-cli"
        parts = [base.key, *HOST_PACKAGES, str(self.wrap_runc), tree_hash(FILES / "host"), "4"]
        key = content_hash([*parts, self.client] if self.client else parts)
        self.name = "ascend-fleet-sim/host:%s-%s" % (base.codename, key)

    def ensure(self) -> str:
        with lock(self.cache / "locks" / ("host-%s" % self.base.codename), "host image"):
            if not image_exists(self.docker, self.name):
                self._build()
        return self.name

    def _build(self) -> None:
        archive = self.base.ensure()
        tree = self.cache / "build" / ("host-%s" % self.base.codename)
        with step("host image (%s with systemd, sshd, Docker, git-lfs)" % self.base.codename):
            rootfs.unpack(archive, tree, self.log)
            debs = self.cache / "apt" / ("host-%s" % self.base.codename)
            rootfs.install(tree, HOST_PACKAGES, debs, self.log, optional=self.client)
            rootfs.strip(tree)
            self._configure(tree)
            import_tree(self.docker, tree, self.name, ['CMD ["/usr/local/lib/ascend-sim-host/init"]'], self.log)
            rootfs.remove(tree)

    def _configure(self, tree: Path) -> None:
        own = tree / "usr/local/lib/ascend-sim-host"
        run(["cp", "-rT", "--preserve=mode", FILES / "host", tree], log=self.log)
        for name in ("init", "runc", "uname"):
            (own / name).chmod(0o755)
        (tree / "etc/sudoers.d/ops").chmod(0o440)
        if self.wrap_runc:
            # Found before /usr/sbin/runc by containerd's shim: Docker still calls its default runtime runc.
            (tree / "usr/local/sbin/runc").symlink_to("/usr/local/lib/ascend-sim-host/runc")
        (tree / "usr/bin/uname").rename(tree / "usr/bin/uname.real")
        (tree / "usr/bin/uname").symlink_to("/usr/local/lib/ascend-sim-host/uname")
        for version in tree.glob("usr/lib/python3.*"):
            customize = version / "sitecustomize.py"
            customize.unlink(missing_ok=True)
            customize.symlink_to("/usr/local/lib/ascend-sim-host/sitecustomize.py")
        for key in tree.glob("etc/ssh/ssh_host_*"):
            key.unlink()
        (tree / "etc/machine-id").write_text("")
        (tree / "var/log/journal").mkdir(parents=True, exist_ok=True)
        (tree / "lib/systemd/system/systemd-resolved.service").unlink(missing_ok=True)
        chroot = ["chroot", os.fspath(tree)]
        run([*chroot, "useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", "ops"], log=self.log)
        run(
            [
                *chroot,
                "systemctl",
                "enable",
                "ssh.service",
                "docker.service",
                "containerd.service",
                "ascend-sim.service",
            ],
            log=self.log,
        )
        # For hosts that are mirrors, gateways, or watch. They bring services that nobody has asked for.
        unasked = ("haproxy.service", "keepalived.service", "nginx.service", "opentracker.service",
                   "prometheus.service", "prometheus-node-exporter.service")  # fmt: skip
        run([*chroot, "systemctl", "disable", *unasked], log=self.log)
        run(
            [*chroot, "systemctl", "mask", "console-getty.service", "getty@.service", "systemd-firstboot.service",
             "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer",
             "systemd-networkd-wait-online.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
             "dev-hugepages.mount", "sys-fs-fuse-connections.mount"],
            log=self.log,
        )  # fmt: skip


# ---------------------------------------------------------------- origin


class OriginImage:
    def __init__(self, docker: Docker, base: Base, cache: Path, log: Path) -> None:
        self.docker, self.base, self.cache, self.log = docker, base, cache, log
        needs = (*ORIGIN_PACKAGES, *ORIGIN_PYTHON, *GIFTLESS_NEEDS)
        key = content_hash([base.key, *needs, tree_hash(FILES / "origin"), "3"])
        self.name = "ascend-fleet-sim/origin:%s" % key

    def ensure(self) -> str:
        with lock(self.cache / "locks" / "origin", "origin image"):
            if not image_exists(self.docker, self.name):
                self._build()
        return self.name

    def _build(self) -> None:
        giftless = self._giftless()
        archive = self.base.ensure()
        tree = self.cache / "build" / "origin"
        with step("origin image (git http-backend, giftless, nginx)"):
            rootfs.unpack(archive, tree, self.log)
            rootfs.install(tree, ORIGIN_PACKAGES, self.cache / "apt" / "origin", self.log)
            rootfs.strip(tree)
            run(["cp", "-rT", giftless, tree / "opt/giftless"], log=self.log)
            run(["cp", "-rT", "--preserve=mode", FILES / "origin", tree], log=self.log)
            (tree / "usr/local/sbin/origin").chmod(0o755)
            (tree / "var/log/nginx").mkdir(parents=True, exist_ok=True)
            (tree / "etc/gitconfig").write_text("[safe]\n\tdirectory = *\n")
            import_tree(self.docker, tree, self.name, ['CMD ["/usr/local/sbin/origin"]'], self.log)
            rootfs.remove(tree)

    def _giftless(self) -> Path:
        """Installed from outside, with this machine's pip configuration; the image has the same release's Python."""
        target = self.cache / "giftless" / content_hash([*ORIGIN_PYTHON, *GIFTLESS_NEEDS, self.base.codename])
        if target.exists():
            return target
        tool = self.cache / "pip"
        temporary = target.with_suffix(".tmp")
        with step("git-lfs server (giftless, from the Python package index)"):
            rootfs.remove(temporary)
            pip = tool / "bin" / "pip"
            if not pip.exists() or run([pip, "--version"], check=False).returncode != 0:
                venv = ["/usr/bin/python3", "-m", "venv", "--clear", os.fspath(tool)]
                run(venv, log=self.log, fix="apt-get install python3-venv")
            install = [os.fspath(pip), "install", "-q", "--no-compile", "--target", os.fspath(temporary)]
            install += [*ORIGIN_PYTHON, *GIFTLESS_NEEDS]
            fix = "see that pip can install giftless on this machine"
            try_again("giftless", lambda: run(install, log=self.log, timeout=900, fix=fix))
            temporary.rename(target)
        return target


# ---------------------------------------------------------------- engine archives


def archive_key(base: Base, generation: str, architecture: str) -> str:
    return content_hash([base.key, *ENGINE_PACKAGES, generation, architecture, tree_hash(SIM / "engine"), "5"])


class EngineArchives:
    """`docker save` archives of the stand-in engine, by generation and architecture."""

    def __init__(self, docker: Docker, base: Base, cache: Path, machine_architecture: str, log: Path) -> None:
        self.docker, self.base, self.cache, self.log = docker, base, cache, log
        self.native = machine_architecture
        self.rootfs = cache / "engine" / ("rootfs-%s.tar.zst" % content_hash([base.key, *ENGINE_PACKAGES, "6"]))

    def path(self, generation: str, architecture: str) -> Path:
        key = archive_key(self.base, generation, architecture)
        return self.cache / "engine" / ("%s-%s-%s.tar" % (generation, architecture, key))

    def _rootfs(self) -> Path:
        if not self.rootfs.exists():
            archive = self.base.ensure()
            tree = self.cache / "build" / "engine"
            with step("engine root filesystem (Debian with python3, stripped)"):
                rootfs.unpack(archive, tree, self.log)
                rootfs.install(tree, ENGINE_PACKAGES, self.cache / "apt" / "engine", self.log)
                rootfs.strip(tree, deeper=True)
                rootfs.pack(tree, self.rootfs, self.log)
                rootfs.remove(tree)
        return self.rootfs

    def ensure(self, generation: str, architecture: str, tag: str) -> dict[str, Any]:
        """The archive, with what is known of it: path, sha256, size, tag, image ID."""
        path = self.path(generation, architecture)
        note = path.with_suffix(".json")
        known = read_json(note)
        if path.exists() and known.get("size") == path.stat().st_size and known.get("tag") == tag:
            return known
        with step("engine image archive %s for %s" % (tag, architecture)):
            tree = self.cache / "build" / ("engine-%s-%s" % (generation, architecture))
            rootfs.unpack(self._rootfs(), tree, self.log)
            config = self._fill(tree, generation, architecture)
            temporary = path.with_suffix(".tmp")
            if architecture == self.native:
                self._save(tree, tag, config, temporary)
            else:
                write_archive(tree, tag, config, architecture, temporary, self.log)
            rootfs.remove(tree)
            known = {
                "path": str(path), "tag": tag, "architecture": architecture, "generation": generation,
                "size": temporary.stat().st_size, "sha256": sha256_file(temporary), "image_id": image_id(temporary),
            }  # fmt: skip
            temporary.replace(path)
            write_json(note, known)
        for old in path.parent.glob("%s-%s-*" % (generation, architecture)):
            if old.stem != path.stem:
                old.unlink()
        return known

    def _fill(self, tree: Path, generation: str, architecture: str) -> dict[str, Any]:
        """The engine's own files. The builder may print the image's configuration as one JSON object."""
        builder = SIM / "engine" / "build_rootfs.py"
        config = dict(ENGINE_CONFIG)
        if not builder.exists():
            return config
        said = output(
            [sys.executable, builder, tree, "--generation", generation, "--architecture", architecture],
            fix="run it by itself: %s" % builder,
        )
        try:
            told = json.loads(said.splitlines()[-1])
        except (ValueError, IndexError):
            told = {}
        if isinstance(told, dict):
            config.update({key: value for key, value in told.items() if key[:1].isupper()})
        return config

    def _save(self, tree: Path, tag: str, config: Mapping[str, Any], target: Path) -> None:
        import_tree(self.docker, tree, tag, docker_changes(config), self.log)
        try:
            self.docker("save", "--output", target, tag, log=self.log)
        finally:
            self.docker("image", "rm", tag, check=False)


def docker_changes(config: Mapping[str, Any]) -> list[str]:
    """An image configuration as Dockerfile instructions for `docker import --change`."""
    changes = ["ENV %s=%s" % (name, json.dumps(value)) for name, _, value in
               (text.partition("=") for text in config.get("Env") or [])]  # fmt: skip
    changes += ["LABEL %s=%s" % (json.dumps(name), json.dumps(value)) for name, value in
                sorted((config.get("Labels") or {}).items())]  # fmt: skip
    if config.get("WorkingDir"):
        changes.append("WORKDIR %s" % config["WorkingDir"])
    for key, word in (("Entrypoint", "ENTRYPOINT"), ("Cmd", "CMD")):
        if config.get(key):
            changes.append("%s %s" % (word, json.dumps(config[key])))
    return changes


def image_id(archive: Path) -> str:
    """The image ID an archive will have once loaded: the digest of its configuration."""
    with tarfile.open(archive) as source:
        member = source.extractfile("manifest.json")
        if member is None:
            raise FleetError("%s has no manifest.json" % archive, "remove it and run up again")
        name = json.load(member)[0]["Config"]
        config = source.extractfile(name)
        if config is None:
            raise FleetError("%s has no %s" % (archive, name), "remove it and run up again")
        return "sha256:%s" % hashlib.sha256(config.read()).hexdigest()


def write_archive(tree: Path, tag: str, config: Mapping[str, Any], architecture: str, target: Path, log: Path) -> None:
    """The archive `docker save` writes on a machine of another architecture, for which docker import would be wrong."""
    layer = target.with_suffix(".layer.tar")
    run(["tar", "--numeric-owner", "--sort=name", "-cf", layer, "-C", tree, "."], log=log)
    digest = sha256_file(layer)
    image = {
        "architecture": ARCHITECTURES[architecture],
        "os": "linux",
        "created": "2026-02-01T00:00:00Z",
        "config": dict(config),
        "history": [{"created": "2026-02-01T00:00:00Z", "comment": "Imported from -"}],
        "rootfs": {"type": "layers", "diff_ids": ["sha256:%s" % digest]},
    }
    document = json.dumps(image, sort_keys=True).encode()
    name = "%s.json" % hashlib.sha256(document).hexdigest()
    folder = hashlib.sha256(digest.encode()).hexdigest()
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": ["%s/layer.tar" % folder]}]
    repository, _, version = tag.partition(":")
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as sink:
        sink.add(layer, "%s/layer.tar" % folder, filter=_plain)
        for path, data in (
            ("%s/VERSION" % folder, b"1.0"),
            ("%s/json" % folder, json.dumps({"id": folder, "os": "linux"}).encode()),
            (name, document),
            ("manifest.json", json.dumps(manifest).encode()),
            ("repositories", json.dumps({repository: {version: folder}}).encode()),
        ):
            member = tarfile.TarInfo(path)
            member.size = len(data)
            sink.addfile(_plain(member), io.BytesIO(data))
    layer.unlink()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o644
    return member
