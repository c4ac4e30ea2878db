# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about one NPU server, read by subject and joined. Nothing here changes anything, and nothing here raises.

``collect`` reads a ``Host`` (commands with a deadline, files below a root) and returns the node as plain data.
What cannot be read becomes an entry of ``problems`` or an ``error`` key beside the null it explains.
"""

from __future__ import annotations

from typing import Any, Sequence

from .._host import engines
from .._npu import hardware
from . import devices, disk, network, npu_smi, processes, software, surroundings, system
from .host import Host

SUBSETS: tuple[str, ...] = (
    "npu", "board", "topology", "versions", "docker", "disk", "network", "systemd", "system", "serving",
)  # fmt: skip

DEFAULT_PATHS: tuple[str, ...] = ("/var/lib/ascend-fleet",)

# Programs whose presence other steps rely on.
PROGRAMS: tuple[str, ...] = ("docker", "git", "git-lfs", "journalctl", "lspci", "nft", "npu-smi", "systemctl")

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - measured, never written to


def subsets(wanted: Sequence[str]) -> set[str]:
    """The subsets that ``gather_subset`` asks for: names, ``all``, ``min`` (none), and ``!name`` to leave one out."""
    plain = {w for w in wanted if not w.startswith("!")}
    chosen = set(SUBSETS) if "all" in plain or not plain else plain & set(SUBSETS)
    return chosen - {w[1:] for w in wanted if w.startswith("!")}


def collect(
    host: Host,
    *,
    gather_subset: Sequence[str] = ("all",),
    paths: Sequence[str] = DEFAULT_PATHS,
    ports: Sequence[int] = (),
) -> dict[str, Any]:
    """Read ``host`` and return the node."""
    chosen = subsets(gather_subset)
    node = system.identity(host)

    node["device_nodes"] = devices.read_device_nodes(host) if "npu" in chosen else []
    node["pci"] = devices.read_pci(host) if "npu" in chosen else []
    smi = npu_smi.read(host, chosen, node["device_nodes"], node["pci"]) if "npu" in chosen else npu_smi.empty()
    node["npu_smi"] = smi["npu_smi"]
    node["versions"] = software.read_versions(host) if "versions" in chosen else software.empty_versions()
    node["docker"] = software.read_docker(host) if "docker" in chosen else software.empty_docker()
    scan = processes.scan_processes(host, {c["id"] for c in node["docker"]["containers"]}) if "npu" in chosen else {}
    for container in node["docker"]["containers"]:
        container["pids"] = sorted(p for p, facts in scan.items() if facts["container_id"] == container["id"])
        container["engines"] = engines.first_of_each({pid: scan[pid].get("engine") for pid in container["pids"]})
    node["processes"] = processes.join_processes(smi["processes"], scan, node["docker"]["containers"])
    node["devices"] = devices.join_devices(
        smi["devices"],
        chips=smi["chips"],
        topology=smi["topology"],
        boards=smi["boards"],
        health=smi["health"],
        device_nodes=node["device_nodes"],
        pci=node["pci"],
        processes=node["processes"],
        scan=scan,
        containers=node["docker"]["containers"],
    )
    indices = {(d["npu_id"], d["chip_id"]): d["index"] for d in node["devices"]}
    for process in node["processes"]:
        process["index"] = indices.get((process["npu_id"], process["chip_id"]))
    node["topology"] = smi["topology"]
    node["driver_change"] = software.read_driver_change(host) if "versions" in chosen else None
    node["mounts"] = {p: host.kind(p) for p in hardware.MOUNT_SOURCES} if "versions" in chosen else {}

    wanted = list(dict.fromkeys(paths))
    root_dir = node["docker"]["root_dir"]
    node["disk"] = [disk.read_disk(host, p) for p in wanted] if "disk" in chosen else []
    for measured in node["disk"]:
        measured["occupied_bytes"] = disk.occupied_bytes(host, measured)
    if "disk" in chosen and root_dir:
        docker_disk = disk.read_disk(host, root_dir)
        node["docker"]["root_free_bytes"] = docker_disk["free_bytes"]
        node["docker"]["root_total_bytes"] = docker_disk["total_bytes"]
        node["docker"]["root_filesystem"] = docker_disk["filesystem"]
        node["docker"]["root_mount"] = docker_disk["mount"]
    node["ports"] = network.read_ports(host, ports, scan, node["docker"]["containers"]) if "network" in chosen else []
    node["hccn"] = (
        network.read_hccn(host, [d["index"] for d in node["devices"] if d["index"] is not None])
        if "network" in chosen
        else {"present": False, "kind": None, "addresses": [], "links": []}
    )
    node["systemd"] = system.read_systemd(host) if "systemd" in chosen else {"state": None, "units": [], "error": None}
    node["watchdog"] = surroundings.read_watchdog(host) if "systemd" in chosen else None
    node["memory"] = system.read_memory(host) if "system" in chosen else {"total_bytes": None, "available_bytes": None}
    shm = disk.read_disk(host, SHARED_MEMORY) if "system" in chosen else {}
    node["shm"] = {"size_bytes": shm.get("total_bytes"), "free_bytes": shm.get("free_bytes")}
    node["tuning"] = system.read_tuning(host) if "system" in chosen else {}
    node["kernels"] = software.read_kernels(host) if "system" in chosen else software.empty_kernels()
    node["pending"] = (
        software.read_pending(host, node["kernels"], node["docker"]["server_version"]) if "system" in chosen else []
    )
    node["virtual_machine"] = surroundings.virtual_machine(host, node["virtualization"]) if "system" in chosen else None
    node["services"] = surroundings.read_services(host) if "system" in chosen else {}
    node["firewall"] = (
        surroundings.read_firewall(host, node["services"])
        if {"system", "network"} <= chosen
        else {"name": None, "open_ports": None}
    )
    node["proxies"] = surroundings.read_proxies(host) if "docker" in chosen else []
    node["users"] = system.read_users(host) if "system" in chosen else {}
    node["programs"] = {name: host.which(name) for name in PROGRAMS} if "system" in chosen else {}
    node["serving"] = None  # the module adds it: what units say of themselves is known to a wing above this one
    node["gathered"] = sorted(chosen)
    node["problems"] = host.problems
    return node
