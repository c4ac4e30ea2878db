# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of the host: which container or unit each belongs to, and which NPUs and sockets it has open."""

from __future__ import annotations

import os
import re
import time
from typing import Any, Mapping, Optional, Sequence

from .._base.text import printable
from .._host import containers as other_containers
from .._host import docker, engines
from .host import Host

_CONTAINER_ID = re.compile(r"(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])")
_NPU_NODE = re.compile(r"/dev/davinci\d+")


def unit_is_managed(unit: Optional[str]) -> bool:
    """Whether a systemd unit is one of ours."""
    return bool(unit) and str(unit).startswith("vllm-") and str(unit).endswith(".service")


def scan_processes(host: Host, container_ids: set[str]) -> dict[int, dict[str, Any]]:
    """What every process belongs to, which NPU nodes it has open, and which sockets."""
    own = set(_CONTAINER_ID.findall(host.read("/proc/1/cgroup") or ""))
    until = time.monotonic() + host.timeout
    found: dict[int, dict[str, Any]] = {}
    closed: list[str] = []  # processes whose open files may not be seen
    others: dict[str, dict[str, Optional[str]]] = {}  # containers that docker does not know, each looked up once
    for name in host.names("/proc"):
        if not name.isdigit():
            continue
        if time.monotonic() > until:
            host.problem("/proc", "the processes could not all be looked at within %g s" % host.timeout)
            break
        folder = "/proc/" + name
        cgroup = host.read(folder + "/cgroup")
        if cgroup is None:
            continue  # ended meanwhile
        container_id, unit = owner_of_cgroup(cgroup, container_ids, own)
        if container_id and container_id not in container_ids and container_id not in others:
            others[container_id] = other_containers.describe(container_id, cgroup, host.read, host.names)
        nodes, sockets, seen = _open_files(host, folder + "/fd")
        if not seen:
            closed.append(name)
        found[int(name)] = {
            "name": printable((host.read(folder + "/comm") or "").strip()),
            "container_id": container_id,
            "container": others.get(container_id or ""),
            "unit": unit,
            "device_nodes": nodes,
            "sockets": sockets,
            "engine": engines.engine_of((host.read(folder + "/cmdline") or "").split("\0")) if container_id else None,
        }
    if closed:
        host.problem(
            "/proc", "the open files of %d processes may not be read, such as /proc/%s/fd" % (len(closed), closed[0])
        )
    return found


def _open_files(host: Host, folder: str) -> tuple[list[str], list[str], bool]:
    """The NPU nodes and the sockets (inodes) a process has open, and whether they could be seen."""
    nodes: set[str] = set()
    sockets: list[str] = []
    try:
        descriptors = os.listdir(host.path(folder))
    except PermissionError:
        return [], [], False
    except OSError:
        return [], [], True  # ended meanwhile
    for descriptor in descriptors:
        try:
            target = os.readlink(host.path("%s/%s" % (folder, descriptor)))
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.append(target[8:-1])
        elif _NPU_NODE.fullmatch(target):
            nodes.add(target)
    return sorted(nodes), sockets, True


def owner_of_cgroup(text: str, container_ids: set[str], own: set[str]) -> tuple[Optional[str], Optional[str]]:
    """The container id and the systemd unit of a process, from its ``/proc/PID/cgroup``.

    The innermost id that docker knows is taken; else the innermost one that this host does not itself carry (where the
    host is a container, every process has the host's own id in its path).
    """
    container: Optional[str] = None
    unit: Optional[str] = None
    for line in text.splitlines():
        path = line.split(":", 2)[-1]
        ids = _CONTAINER_ID.findall(path)
        known = [i for i in ids if i in container_ids] or [i for i in ids if i not in own]
        if known and (container is None or known[-1] in container_ids):
            container = known[-1]
        for part in path.split("/"):
            if part.endswith(".service") and (line.startswith("0::") or ":name=systemd:" in line):
                unit = part
    return container, None if container else unit


def describe_process(
    pid: int, name: str, facts: Optional[Mapping[str, Any]], by_id: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """A process with its container or its unit, and whether it is one of ours."""
    container: Optional[dict[str, Any]] = None
    unit = None
    managed = False
    if facts:
        name = name or facts["name"]
        unit = facts["unit"]
        if facts["container_id"]:
            known = by_id.get(facts["container_id"])
            other = facts.get("container") or {}
            container = {
                "id": facts["container_id"],
                "name": known["name"] if known else other.get("name") or facts["container_id"][:12],
                "image": known["image"] if known else other.get("image"),
                "runtime": "docker" if known else other.get("runtime"),
            }
            managed = docker.is_managed(known["labels"]) if known else False
            unit = (known or {}).get("labels", {}).get(docker.LABEL_UNIT) or None
        else:
            managed = unit_is_managed(unit)
    return {"pid": pid, "name": name, "container": container, "unit": unit, "managed": managed}


def join_processes(
    rows: Sequence[Mapping[str, Any]],
    scan: Mapping[int, Mapping[str, Any]],
    containers: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The rows of the tool's process table with what each process belongs to."""
    by_id = {c["id"]: c for c in containers}
    joined = []
    for row in rows:
        described = describe_process(row["pid"], row["name"], scan.get(row["pid"]), by_id)
        described.update(
            npu_id=row["npu_id"],
            chip_id=row["chip_id"],
            index=None,
            memory_mb=row["memory_mb"],
            container_pid=row.get("container_pid"),
            on_host=row["pid"] in scan,
        )
        joined.append(described)
    return joined
