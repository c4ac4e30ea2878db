# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root filesystems: a Debian base, and what is installed on it in a chroot, with the machine's network, apt and CA."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from .machine import Docker, Mirror
from .shell import FleetError, lock, run, say, step, try_again
from .spec import content_hash

# Changes when what the functions below do to a tree changes.
RECIPE = "7"

# Mounts made for a chroot are seen by nobody else, and end with the last process.
NAMESPACE = ("unshare", "--mount", "--propagation", "private")
_DPKG = """force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/lintian/*
"""
_STRIP = (
    "usr/share/doc", "usr/share/info", "usr/share/man", "usr/share/locale", "usr/share/lintian",
    "var/lib/apt/lists", "var/cache/apt", "var/cache/debconf", "var/log",
)  # fmt: skip


def pack(tree: Path, target: Path, log: Path) -> None:
    """A tree into a compressed tar, which exists whole or not at all."""
    temporary = target.with_name(target.name + ".tmp")
    target.parent.mkdir(parents=True, exist_ok=True)
    run(
        ["tar", "--numeric-owner", "--xattrs", "-I", "zstd -1 -T0", "-cf", temporary, "-C", tree, "."],
        log=log, timeout=1200,
    )  # fmt: skip
    temporary.replace(target)


def unpack(archive: Path, tree: Path, log: Path) -> None:
    remove(tree)
    tree.mkdir(parents=True)
    run(["tar", "--numeric-owner", "--xattrs", "-I", "zstd", "-xf", archive, "-C", tree], log=log, timeout=1200)


def remove(tree: Path) -> None:
    """A tree, and nothing that is mounted under it (a killed build's mounts are in a namespace that died with it)."""
    if tree.exists():
        run(["rm", "-rf", "--one-file-system", tree], timeout=600)


class Base:
    """The minimal Debian everything here stands on, for one release."""

    def __init__(self, docker: Docker, mirror: Mirror, cache: Path, codename: str, log: Path) -> None:
        self.docker = docker
        self.mirror = mirror
        self.codename = codename
        self.cache = cache
        self.log = log
        self.key = content_hash([RECIPE, codename, *mirror.sources])
        self.archive = cache / "base" / ("%s-%s.tar.zst" % (codename, self.key))
        self._lock = threading.Lock()

    def ensure(self) -> Path:
        with self._lock, lock(self.cache / "locks" / ("base-%s" % self.codename), "base system %s" % self.codename):
            if not self.archive.exists():
                tree = self.cache / "build" / ("base-%s" % self.codename)
                remove(tree)
                if not self._pull(tree):
                    self._debootstrap(tree)
                prepare(tree, self.mirror, self.codename)
                pack(tree, self.archive, self.log)
                remove(tree)
        return self.archive

    def _pull(self, tree: Path) -> bool:
        """debian:RELEASE from a registry, where one can be reached."""
        image = "debian:%s-slim" % self.codename
        if self.mirror.keyring is None or "debian" in self.mirror.keyring:
            try:
                with_image = self.docker("pull", "--quiet", image, check=False, timeout=40)
            except FleetError:
                return False
            if with_image.returncode != 0:
                return False
            say("base system: %s from a registry" % image)
            container = self.docker.text("create", image)
            try:
                archive = tree.with_suffix(".tar")
                self.docker("export", "--output", archive, container, log=self.log)
                tree.mkdir(parents=True)
                run(["tar", "--numeric-owner", "-xf", archive, "-C", tree], log=self.log)
                archive.unlink()
            finally:
                self.docker("rm", container, check=False)
            return True
        return False

    def _debootstrap(self, tree: Path) -> None:
        packages = self.cache / "debs" / self.codename
        packages.mkdir(parents=True, exist_ok=True)
        keyring = ["--keyring", self.mirror.keyring] if self.mirror.keyring else []

        def bootstrap() -> None:
            remove(tree)  # debootstrap wants an empty one; what it has downloaded stays in its cache
            run(
                [*NAMESPACE, "debootstrap", "--variant=minbase", "--cache-dir=%s" % packages, *keyring, self.codename,
                 tree, self.mirror.main],
                log=self.log, timeout=1800,
                fix="see that this machine's apt mirror offers %s" % self.codename,
            )  # fmt: skip

        with step("base system: debootstrap %s from this machine's mirror (no registry answers)" % self.codename):
            try_again("debootstrap", bootstrap)


def prepare(tree: Path, mirror: Mirror, codename: str) -> None:
    """Sources of this machine, no services at installation, no documentation."""
    (tree / "etc/apt/sources.list.d").mkdir(parents=True, exist_ok=True)
    for path in (tree / "etc/apt/sources.list.d").iterdir():
        path.unlink()
    (tree / "etc/apt/sources.list").write_text(mirror.sources_for(codename))
    (tree / "etc/dpkg/dpkg.cfg.d").mkdir(parents=True, exist_ok=True)
    (tree / "etc/dpkg/dpkg.cfg.d/ascend-sim").write_text(_DPKG)
    (tree / "etc/apt/apt.conf.d/90ascend-sim").write_text(
        'APT::Install-Recommends "false";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
    )


def machine_apt_settings() -> str:
    """Proxy and certificate settings of this machine's apt, for the time of the build only."""
    lines = run(["apt-config", "dump"]).stdout.decode(errors="replace").splitlines()
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check", "Acquire::Retries")
    return "".join(line + "\n" for line in lines if line.startswith(wanted) and '""' not in line)


def install(tree: Path, packages: Sequence[str], debs: Path, log: Path, optional: str = "") -> None:
    """apt-get install in a chroot, in a mount namespace of its own: a kill leaves no mount behind.

    ``optional`` names a package that not every release has.
    """
    debs.mkdir(parents=True, exist_ok=True)
    etc = tree / "etc"
    policy = tree / "usr/sbin/policy-rc.d"
    settings = etc / "apt/apt.conf.d/99ascend-sim-machine"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    settings.write_text(machine_apt_settings())
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(Path("/etc") / name, etc / name)
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    lent = tree / "etc/ssl/certs/ca-certificates.crt"
    if bundle.exists() and not lent.exists():  # an https mirror, before ca-certificates is in the tree
        lent.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle, lent)
    script = (
        'set -e; root=$1; debs=$2; optional=$3; shift 3; mount -t proc proc "$root/proc"; '
        'mkdir -p "$root/var/cache/apt/archives"; mount --bind "$debs" "$root/var/cache/apt/archives"; '
        "export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8; "
        'chroot "$root" apt-get update -q; '
        'if chroot "$root" apt-cache show "$optional" >/dev/null 2>&1; then set -- "$@" "$optional"; fi; '
        'chroot "$root" apt-get install -y -q --no-install-recommends "$@"'
    )
    words = [os.fspath(tree), os.fspath(debs), optional or "-", *packages]
    run(
        [*NAMESPACE, "sh", "-c", script, "sh", *words], log=log, timeout=1800,
        fix="see that apt-get works on this machine, then run the command again",
    )  # fmt: skip
    policy.unlink()
    settings.unlink()
    for name in ("resolv.conf", "hosts", "machine-id", "hostname"):
        (etc / name).unlink(missing_ok=True)


def strip(tree: Path, deeper: bool = False) -> None:
    """What no container here needs; ``deeper`` also what only a machine that installs packages needs."""
    extra = ("usr/share/zoneinfo", "usr/lib/python3/dist-packages", "usr/share/bash-completion") if deeper else ()
    for name in (*_STRIP, *extra):
        path = tree / name
        if path.is_dir():
            for entry in path.iterdir():
                remove(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    for pattern in ("usr/lib/*-linux-gnu/gconv", "usr/lib/*-linux-gnu/perl-base/unicore") if deeper else ():
        for path in tree.glob(pattern):
            remove(path)
    (tree / "var/lib/apt/lists/partial").mkdir(parents=True, exist_ok=True)
    (tree / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)
