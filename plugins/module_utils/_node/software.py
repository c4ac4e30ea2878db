# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The software of the host: driver, firmware, CANN, docker, kernels, and what waits for a restart."""

from __future__ import annotations

import glob
import json
import os
import re
from typing import Any, Mapping, Optional

from .._base.text import printable
from .._host import docker
from .._npu import version_files
from .host import Host

# The driver installs drv_*.ko and davinci_*.ko, packed or not; the kernel writes names with underscores.
_DRIVER_MODULE = re.compile(r"(?:drv|davinci|devdrv|ascend)_\w+\.ko(?:\.\w+)?$")
_DRIVER_LOADED = re.compile(r"(?:drv|davinci|devdrv|ascend)_\w+ ")
_DOCKERD_VERSION = re.compile(r"version (\S+?),")


def empty_versions() -> dict[str, Any]:
    """What ``read_versions`` returns when nothing was asked."""
    return {"driver": None, "firmware": None, "cann": [], "install_info": None}


def read_versions(host: Host) -> dict[str, Any]:
    """The version files of driver, firmware and CANN."""
    found = empty_versions()
    text = host.read_noted("/etc/ascend_install.info")
    if text is not None:
        found["install_info"] = dict(version_files.parse_pairs(text))
    base = (found["install_info"] or {}).get("driver_install_path_param") or "/usr/local/Ascend"
    for part in ("driver", "firmware"):
        path = "%s/%s/version.info" % (base.rstrip("/"), part)
        text = host.read_noted(path)
        if text is not None:
            found[part] = dict(version_files.parse_version_info(text), path=path)
    seen: set[str] = set()
    for pattern in ("cann-*/*-linux", "cann/*-linux", "ascend-toolkit/*/*-linux", "ascend-toolkit/latest"):
        full = host.path("/usr/local/Ascend/%s/ascend_toolkit_install.info" % pattern)
        for path in sorted(glob.glob(full)):
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            shown = real if host.root == "/" else "/" + os.path.relpath(real, os.path.realpath(host.root))
            info = version_files.parse_version_info(host.read(shown) or "")
            found["cann"].append(
                {
                    "version": info["version"],
                    "path": shown,
                    "architecture": info["arch"],
                    "innerversion": info["innerversion"],
                    "compatible_version": info["compatible_version"],
                }
            )
    return found


#: What a host remembers of changes of its driver, as the wing _driver writes it.
DRIVER_RECORD = "/var/lib/ascend-fleet/driver.json"


def read_driver_change(host: Host) -> Optional[dict[str, str]]:
    """The change of driver and firmware that is open on the host; None where none is.

    A record that cannot be read counts as open: it is not known whether the host may serve.
    """
    text = host.read_noted(DRIVER_RECORD)
    if text is None:
        there = host.kind(DRIVER_RECORD) != "missing"
        return {"id": "", "step": "", "why": "%s cannot be read" % DRIVER_RECORD} if there else None
    try:
        change = json.loads(text)["change"]
        return None if change is None else {key: str(change[key]) for key in ("id", "step", "why")}
    except (ValueError, KeyError, TypeError):
        return {"id": "", "step": "", "why": "%s is damaged" % DRIVER_RECORD}


def empty_docker() -> dict[str, Any]:
    """What ``read_docker`` returns when nothing was asked."""
    return dict(
        {"installed": False, "running": False, "error": None},
        **docker.empty_info(),
        root_free_bytes=None,
        root_total_bytes=None,
        root_filesystem=None,
        root_mount=None,
        containers=[],
        images=[],
    )


def read_docker(host: Host) -> dict[str, Any]:
    """The docker daemon, its containers and its images."""
    found = empty_docker()
    client = docker.Docker(timeout=host.timeout, run=host.run)
    try:
        found.update(client.info(), installed=True, running=True)
    except docker.DockerError as exc:
        found.update(installed=exc.installed, error=printable(str(exc)))
        return found
    try:
        found["containers"] = client.containers()
        found["images"] = client.images()
    except docker.DockerError as exc:
        found["error"] = printable(str(exc))
        host.problem("docker", str(exc))
    return found


def empty_kernels() -> dict[str, Any]:
    """What ``read_kernels`` returns when nothing was asked."""
    return {"running": None, "installed": [], "newest": None}


def read_kernels(host: Host) -> dict[str, Any]:
    """The running kernel, the installed ones, the newest of them, and which of them the driver has modules for."""
    running = os.uname().release
    installed = []
    for version in host.names("/lib/modules"):
        folder = "/lib/modules/" + version
        # The folder of a kernel that was removed holds only what others have put there.
        if version == running or host.kind(folder + "/modules.builtin") == "file":
            installed.append({"version": version, "has_driver_module": _has_driver_module(host, folder)})
    if _driver_is_loaded(host) and not any(k["has_driver_module"] for k in installed if k["version"] == running):
        # The driver's modules lie where this does not look: nothing is known of the other kernels either.
        for kernel in installed:
            kernel["has_driver_module"] = None
    installed.sort(key=lambda k: kernel_order(str(k["version"])))
    newest = installed[-1] if installed else {"version": None}
    if newest["version"] not in (None, running) and newest["has_driver_module"] is None:
        host.problem(
            "/lib/modules",
            "whether the driver has modules for the newest kernel, %s, is not known: no modules.dep, or the modules of "
            "the running kernel lie elsewhere" % newest["version"],
        )
    return {"running": running, "installed": installed, "newest": newest["version"]}


def kernel_order(version: str) -> list[int]:
    """What sorts the kernels of one distribution by age: the numbers in their versions."""
    return [int(n) for n in re.findall(r"\d+", version)]


def _has_driver_module(host: Host, folder: str) -> Optional[bool]:
    """Whether modules of the Ascend driver lie there; None when the list of modules cannot be read."""
    for place in ("updates", "updates/dkms", "extra", "weak-updates"):
        if any(_DRIVER_MODULE.match(name) for name in host.names("%s/%s" % (folder, place))):
            return True
    listed = host.read_noted(folder + "/modules.dep")
    if listed is None:
        return None
    return any(_DRIVER_MODULE.match(os.path.basename(line.partition(":")[0])) for line in listed.splitlines())


def _driver_is_loaded(host: Host) -> bool:
    loaded = host.read("/proc/modules") or ""
    return any(_DRIVER_LOADED.match(line) for line in loaded.splitlines())


def read_pending(host: Host, kernels: Mapping[str, Any], docker_version: Optional[str]) -> list[dict[str, Any]]:
    """What is installed but does not run yet: it takes effect at the next boot or restart.

    Read from what lies on the host, without its package manager: ``running`` and ``installed`` are versions, or None
    where only the name is known.
    """
    pending: list[dict[str, Any]] = []
    newest, running = kernels["newest"], kernels["running"]
    if newest and running and kernel_order(newest) > kernel_order(running):
        pending.append({"package": "kernel", "running": running, "installed": newest})
    program = host.which("dockerd")
    if program and docker_version:
        done = host.run([program, "--version"])
        version = _DOCKERD_VERSION.search(done.stdout)
        if not done.ok or not version:
            host.problem("dockerd", done.describe())
        elif version.group(1) != docker_version:
            pending.append({"package": "docker", "running": docker_version, "installed": version.group(1)})
    names = {name.strip() for name in (host.read_noted("/run/reboot-required.pkgs") or "").splitlines()}
    for name in sorted(names - {""}):
        pending.append({"package": name, "running": None, "installed": None})
    return pending
