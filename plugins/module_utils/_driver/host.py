# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about the driver of this host in one reading. Nothing here changes anything."""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Mapping, Optional, Sequence

from .._node import collect
from .._node.host import Host
from .._upgrade import deployment, state
from . import package, record

SUBSETS = ("npu", "board", "topology", "versions", "docker", "disk", "network", "system")
#: What the plan needs of a node; the rest is not sent to the controller.
_KEYS = (
    "hostname",
    "architecture",
    "kernel",
    "devices",
    "device_nodes",
    "pci",
    "topology",
    "versions",
    "hccn",
    "disk",
    "users",
    "problems",
)
_BMC_CHANNELS = ("", "1", "8")  # the default one, and those that servers of this kind have
_ADDRESS = re.compile(r"^IP Address\s*:\s*(\d+\.\d+\.\d+\.\d+)\s*$", re.MULTILINE)
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def look(host: Host, *, root: str, folder: str = deployment.FOLDER) -> dict[str, Any]:
    """The node, what is remembered, and what only a change of the driver asks for. StateError.

    root: where packages lie; its file system is measured.
    """
    whole = collect.collect(host, gather_subset=SUBSETS, paths=[root])
    node = {key: whole[key] for key in _KEYS}
    smi, docker = whole["npu_smi"], whole["docker"]
    node["npu_smi"] = {key: smi.get(key) for key in ("driver_version", "error", "error_kind", "error_code")}
    node["docker"] = {key: docker[key] for key in ("installed", "running", "error")}
    node["kernels"] = _with_headers(host, whole["kernels"])
    return {
        "node": node,
        "state": record.read(folder),
        "releases": releases(folder),
        "boot_id": (host.read(BOOT_ID) or "").strip(),
        "bmc": bmc_address(host),
        "ids": ids(host),
    }


def _with_headers(host: Host, kernels: Mapping[str, Any]) -> dict[str, Any]:
    """The kernels, and whether modules can be built for each; null where its folder is not there to be looked at."""
    found = []
    for kernel in kernels["installed"]:
        place = "/lib/modules/%s" % kernel["version"]
        there = host.kind(place) == "directory"
        headers = host.kind(place + "/build/Makefile") == "file" or host.kind(place + "/build/include") == "directory"
        found.append({**kernel, "headers": headers if there else None})
    return {**kernels, "installed": found}


def bmc_address(host: Host) -> str:
    """The address of the BMC, as ipmitool tells it; empty where it does not."""
    program = host.which("ipmitool")
    for channel in _BMC_CHANNELS if program else ():
        done = host.run([str(program), "lan", "print", *([channel] if channel else [])], timeout=15)
        match = _ADDRESS.search(done.stdout) if done.ok else None
        if match and match.group(1) != "0.0.0.0":  # noqa: S104 - ipmitool's word for none
            return match.group(1)
    return ""


def ids(host: Host) -> dict[str, str]:
    """Who has the id 1000, which the driver's installer wants for its user and group; empty where nobody has."""
    found = {}
    for name, path in (("uid", "/etc/passwd"), ("gid", "/etc/group")):
        entries = [line.split(":") for line in (host.read_required(path)).splitlines()]
        found[name] = next((e[0] for e in entries if len(e) > 2 and e[2] == "1000"), "")
    return found


def releases(folder: str) -> list[dict[str, str]]:
    """The releases that run here, are last good, or that a rollback goes back to: name, role, CANN. StateError.

    What a host does not keep any more has no CANN: it is not known.
    """
    known = state.read(folder)
    named: dict[str, tuple[str, list[str]]] = {}
    parts = [("running", about) for about in known["replicas"].values()]
    parts += [("last good", known["last_good"]), ("good before that", known["previous_good"])]
    for role, about in parts:
        if about:
            roles = named.setdefault(str(about["digest"]), (str(about["release"]), []))[1]
            roles += [role] if role not in roles else []
    return [
        {"name": name, "role": " and ".join(roles), "cann": _cann(digest, folder)}
        for digest, (name, roles) in named.items()
    ]


def _cann(digest: str, folder: str) -> str:
    try:
        release = deployment.read(digest, folder).release
    except deployment.DeploymentError:
        return ""
    return str((release.get("cann") or {}).get("version") or "")


def read_packages(
    wanted: Sequence[Mapping[str, Any]], read: Optional[Callable[[str], package.Package]] = None
) -> list[dict[str, Any]]:
    """What each package that is there says of itself; of one that is not whole the ``problem``."""
    found: list[dict[str, Any]] = []
    for entry in wanted:
        path = str(entry.get("file") or "")
        if not path or not os.path.exists(path):
            continue
        try:
            about = (read or package.read)(path).described()
        except package.PackageError as exc:
            about = {"problem": re.sub(r"\Afound ", "", str(exc))}
        except OSError as exc:
            about = {"problem": "%s: %s" % (path, exc.strerror or exc)}
        found.append({**about, "file": path, "path": str(entry["path"])})
    return found
