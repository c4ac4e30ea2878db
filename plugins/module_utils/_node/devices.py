# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chips: their device nodes, their place on the PCI bus, and who holds them."""

from __future__ import annotations

import os
import re
import stat
from typing import Any, Mapping, Optional, Sequence

from .._host import docker
from .._npu import hardware, lspci
from .._npu.hardware import device_index
from .host import Host, group_name, user_name
from .processes import describe_process

_DAVINCI = re.compile(r"davinci(\d+)")


def read_device_nodes(host: Host) -> list[dict[str, Any]]:
    """The device nodes of the NPUs and of their managers, NPUs first and in order."""
    managers = {os.path.basename(p) for p in hardware.MANAGER_NODES}
    found = []
    for name in host.names("/dev"):
        match = _DAVINCI.fullmatch(name)
        if not match and name not in managers:
            continue
        try:
            status = os.stat(host.path("/dev/" + name))
        except OSError as exc:
            host.problem("/dev/" + name, "cannot be read: %s" % exc.strerror)
            continue
        found.append(
            {
                "path": "/dev/" + name,
                "name": name,
                "index": int(match.group(1)) if match else None,
                "is_char": stat.S_ISCHR(status.st_mode),
                "major": os.major(status.st_rdev) if stat.S_ISCHR(status.st_mode) else None,
                "minor": os.minor(status.st_rdev) if stat.S_ISCHR(status.st_mode) else None,
                "mode": "%04o" % stat.S_IMODE(status.st_mode),
                "owner": user_name(host, status.st_uid),
                "group": group_name(host, status.st_gid),
            }
        )
    return sorted(found, key=lambda n: (n["index"] is None, n["index"] or 0, n["name"]))


def read_pci(host: Host) -> list[dict[str, Any]]:
    """The Ascend processors on the PCI bus: from lspci where it exists, else from the kernel's tree."""
    functions: Optional[list[dict[str, Any]]] = None
    program = host.which("lspci")
    if program:
        done = host.run([program, "-D", "-n", "-d", hardware.VENDOR + ":"])
        if done.ok:
            functions = [dict(f) for f in lspci.parse_lspci(done.stdout)]
        else:
            host.problem("lspci", done.describe())
    if functions is None:
        functions = _pci_tree(host)
    found = []
    for function in functions:
        # The vendor makes network cards and disks too.
        if function["id"] not in hardware.PCI_IDS and function.get("class_id") != hardware.ACCELERATOR_CLASS:
            continue
        address = hardware.normal_address(function["address"])
        folder = "/sys/bus/pci/devices/%s" % address
        numa = (host.read(folder + "/numa_node") or "").strip()
        driver = host.path(folder + "/driver")
        found.append(
            {
                "address": address,
                "id": function["id"],
                "numa_node": int(numa) if numa.isdigit() else None,
                "driver": os.path.basename(os.path.realpath(driver)) if os.path.exists(driver) else None,
                "in_kernel": os.path.isdir(host.path(folder)),
            }
        )
    return sorted(found, key=lambda f: str(f["address"]))


def _pci_tree(host: Host) -> list[dict[str, Any]]:
    found = []
    for address in host.names("/sys/bus/pci/devices"):
        folder = "/sys/bus/pci/devices/%s/" % address
        vendor, device, kind = ((host.read(folder + n) or "").strip() for n in ("vendor", "device", "class"))
        if vendor == "0x" + hardware.VENDOR:
            found.append({"address": address, "id": "%s:%s" % (vendor[2:], device[2:]), "class_id": kind[2:6] or None})
    return found


def join_devices(
    devices: Sequence[Mapping[str, Any]],
    *,
    chips: Sequence[Mapping[str, Any]] = (),
    topology: Optional[Mapping[str, Any]] = None,
    boards: Optional[Mapping[int, Mapping[str, str]]] = None,
    health: Optional[Mapping[tuple[int, int], Mapping[str, str]]] = None,
    device_nodes: Sequence[Mapping[str, Any]] = (),
    pci: Sequence[Mapping[str, Any]] = (),
    processes: Sequence[Mapping[str, Any]] = (),
    scan: Optional[Mapping[int, Mapping[str, Any]]] = None,
    containers: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """One record per chip: the tool's row with its node, its place in the machine and its holders."""
    mapped = {(c["npu_id"], c["chip_id"]): c for c in chips}
    present = sorted(n["index"] for n in device_nodes if n["index"] is not None)
    functions = {hardware.normal_address(f["address"]): f for f in pci}
    affinity = _affinities(topology, len(devices))
    joined = []
    for position, device in enumerate(devices):
        key = (device["npu_id"], device["chip_id"])
        chip = mapped.get(key, {})
        phy_id = device["phy_id"] if device["phy_id"] is not None else chip.get("phy_id")
        logic_id = chip.get("logic_id")
        if logic_id is None:
            logic_id = device.get("device_id")
        index = device_index(position, logic_id, phy_id, present)
        path = None if index is None else "/dev/davinci%d" % index
        function = functions.get(hardware.normal_address(device["bus_id"]), {})
        board = (boards or {}).get(key[0], {})
        detail = (health or {}).get(key, {})
        joined.append(
            dict(
                device,
                hbm_free_mb=_free(device),
                index=index,
                node=path,
                node_present=index in present,
                logic_id=logic_id,
                phy_id=phy_id,
                numa_node=function.get("numa_node"),
                pci_present=bool(function) if device["bus_id"] and pci else None,
                cpu_affinity=affinity[position],
                board_driver_version=board.get("Software Version"),
                board_firmware_version=board.get("Firmware Version"),
                product_name=board.get("Product Name"),
                serial_number=board.get("Serial Number"),
                error_codes=(detail.get("Error Code") or "").split(),
                error_information=detail.get("Error Information") or None,
                holders=holders(key, path, processes, scan or {}, containers),
            )
        )
    return joined


def _free(device: Mapping[str, Any]) -> Optional[int]:
    """The free memory of a chip; None where the tool did not tell."""
    used, total = device.get("hbm_used_mb"), device.get("hbm_total_mb")
    return None if used is None or total is None else int(total) - int(used)


def _affinities(topology: Optional[Mapping[str, Any]], count: int) -> list[Optional[str]]:
    names = list((topology or {}).get("devices") or [])
    affinity = (topology or {}).get("cpu_affinity") or {}
    if len(names) != count:
        return [None] * count
    return [affinity.get(name) for name in names]


def holders(
    key: tuple[int, int],
    path: Optional[str],
    processes: Sequence[Mapping[str, Any]],
    scan: Mapping[int, Mapping[str, Any]],
    containers: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Who holds a chip, the best evidence first, each once.

    ``how``: ``npu-smi`` lists the process; ``open`` a process has the device node open; ``device`` the container was
    given the node; ``privileged`` the container could open any node.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    by_id = {c["id"]: c for c in containers}

    def add(holder: dict[str, Any]) -> None:
        # What holds is the container or the unit; a bare process is told apart by its number.
        identity = (holder["kind"], holder["name"] + (":%s" % holder["pid"] if holder["kind"] == "process" else ""))
        known = found.get(identity)
        if known is None:
            found[identity] = holder
        elif holder["memory_mb"] is not None:
            known["memory_mb"] = (known["memory_mb"] or 0) + holder["memory_mb"]

    for process in processes:
        if (process["npu_id"], process["chip_id"]) == key:
            add(_holder_of_process(process, process["memory_mb"], "npu-smi"))
    for pid in sorted(scan):
        facts = scan[pid]
        if path is not None and path in facts["device_nodes"]:
            described = describe_process(pid, facts["name"], facts, by_id)
            add(_holder_of_process(described, None, "open"))
    for container in containers:
        if container["state"] not in docker.LIVE_STATES:
            continue
        if path is not None and path in container["devices"]:
            add(_holder_of_container(container, "device"))
        elif container["privileged"]:
            add(_holder_of_container(container, "privileged"))
    return list(found.values())


def _holder_of_process(process: Mapping[str, Any], memory_mb: Optional[int], how: str) -> dict[str, Any]:
    container, unit = process["container"], process["unit"]
    kind = "container" if container else "unit" if unit else "process"
    return {
        "kind": kind,
        "name": container["name"] if container else unit if unit else process["name"],
        "pid": process["pid"],
        "process": process["name"],
        "image": container["image"] if container else None,
        "runtime": container["runtime"] if container else None,
        "managed": process["managed"],
        "memory_mb": memory_mb,
        "how": how,
    }


def _holder_of_container(container: Mapping[str, Any], how: str) -> dict[str, Any]:
    return {
        "kind": "container",
        "name": container["name"],
        "pid": container["pid"],
        "process": None,
        "image": container["image"],
        "runtime": "docker",
        "managed": docker.is_managed(container["labels"]),
        "memory_mb": None,
        "how": how,
    }
