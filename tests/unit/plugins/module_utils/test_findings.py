# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of the catalogue: silent on a healthy node, speaking on the one change that provokes it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.module_utils._node import collect, devices, npu_smi, software, system
from ansible_collections.ascend.fleet.plugins.module_utils._node.host import Host
from ansible_collections.ascend.fleet.plugins.module_utils._npu import hardware
from ansible_collections.ascend.fleet.plugins.module_utils._preflight import catalogue, findings
from ansible_collections.ascend.fleet.plugins.module_utils._preflight.check import AREAS, Check
from ansible_collections.ascend.fleet.plugins.module_utils._preflight.words import GIB, numbers

ROOT = Path(__file__).resolve().parents[4]
TABLE = yaml.safe_load((ROOT / "plugins/plugin_utils/compatibility.yml").read_text(encoding="utf-8"))
Node = dict[str, Any]

RELEASE: dict[str, Any] = {
    "release": "r",
    "driver": {"version": "25.2.0"},
    "firmware": {"package_version": "25.2.0"},
    "cann": {"version": "8.5.0"},
    "images": [
        {
            "generation": generation,
            "architecture": "any",
            "tag": "vllm-ascend:r-%s" % generation,
            "image_id": "sha256:" + "1" * 64,
            "components": {"vllm_ascend": "0.14.0rc2.dev119+g52aa9c006"},
        }
        for generation in ("a2", "a3")
    ],
    "serve": {
        "served_model_name": "qwen3.5",
        "port": 8010,
        "options": {"tensor-parallel-size": 4, "data-parallel-size": 1},
    },
}
PLAN: dict[str, Any] = {
    "error": None,
    "replicas": [
        {
            "unit": "vllm-qwen3.5@%d.service" % n,
            "container_name": "vllm-qwen3.5-%d" % n,
            "port": 8010 + n,
            "hccl_if_base_port": 61000 + 64 * n,
        }
        for n in range(2)
    ],
}
NEED = {"/var/lib/ascend-fleet": 80 * GIB, "docker": 40 * GIB}


def healthy(generation: str = "a2") -> Node:
    """A host as it should be, through the same joins as a real one."""
    dies = {"a2": 1, "a3": 2}[generation]
    rows, pci = [], []
    for npu in range(8):
        for chip in range(dies):
            address = "0000:%02x:00.0" % (0x10 + npu * dies + chip)
            rows.append(
                {
                    "npu_id": npu,
                    "chip_id": chip,
                    "phy_id": npu * 2 + chip if dies == 2 else None,
                    "device_id": None,
                    "name": "Ascend910" if dies == 2 else "910B3",
                    "health": "OK",
                    "power_watts": 94.8 if chip == 0 else None,
                    "temperature_celsius": 36,
                    "hugepages_used": 0,
                    "hugepages_total": 0,
                    "bus_id": address.upper(),
                    "utilization_percent": 0,
                    "memory_used_mb": 0,
                    "memory_total_mb": 0,
                    "hbm_used_mb": 3407,
                    "hbm_total_mb": 65536,
                }
            )
            pci.append(
                {
                    "address": address,
                    "id": {"a2": "19e5:d802", "a3": "19e5:d803"}[generation],
                    "numa_node": npu // 2,
                    "driver": "devdrv_device_driver",
                    "in_kernel": True,
                }
            )
    names = ["davinci%d" % n for n in range(len(rows))] + ["davinci_manager", "devmm_svm", "hisi_hdc"]
    nodes = [
        {
            "path": "/dev/" + name,
            "name": name,
            "index": int(name[7:]) if name[7:].isdigit() else None,
            "is_char": True,
            "major": 236,
            "minor": n,
            "mode": "0660",
            "owner": "HwHiAiUser",
            "group": "HwHiAiUser",
        }
        for n, name in enumerate(names)
    ]
    boards = {n: {"Firmware Version": "7.8.0.7.220", "Software Version": "25.2.0"} for n in range(8)}
    version = {"version": "25.2.0", "package_version": "25.2.0", "compatible_version_fw": [["7.0.0", "8.9.9"]]}
    disk = {
        "path": "/var/lib/ascend-fleet",
        "exists": True,
        "mount": "/",
        "filesystem": "xfs",
        "total_bytes": 900 * GIB,
        "free_bytes": 500 * GIB,
        "occupied_bytes": 0,
        "read_only": False,
    }
    docker = software.empty_docker()
    docker.update(
        installed=True,
        running=True,
        engine="docker",
        server_version="24.0.7",
        default_runtime="runc",
        storage_driver="overlay2",
        image_store="docker",
        root_dir="/var/lib/docker",
        root_mount="/",
        root_free_bytes=500 * GIB,
        root_total_bytes=900 * GIB,
        architecture="aarch64",
    )
    smi = npu_smi.empty()["npu_smi"]
    smi.update(
        path="/usr/local/sbin/npu-smi",
        exit_status=0,
        npu_smi_version="25.2.0",
        driver_version="25.2.0",
        process_table=True,
    )
    return {
        "hostname": "host",
        "architecture": "aarch64",
        "python_version": "3.9.9",
        "effective_uid": 0,
        "clock": 1790000000,
        "npu_smi": smi,
        "devices": devices.join_devices(rows, boards=boards, device_nodes=nodes, pci=pci),
        "processes": [],
        "device_nodes": nodes,
        "pci": pci,
        "versions": {
            "driver": dict(version, path="/usr/local/Ascend/driver/version.info"),
            "firmware": {"version": "7.8.0.7.220", "package_version": "25.2.0"},
            "cann": [],
            "install_info": {},
        },
        "mounts": dict(hardware.MOUNT_SOURCES),
        "docker": docker,
        "disk": [disk],
        "ports": [],
        "hccn": {
            "present": True,
            "kind": "file",
            "addresses": [{"index": n, "address": "29.1.0.%d" % n} for n in range(len(rows))],
            "links": [{"index": n, "status": "UP"} for n in range(len(rows))],
        },
        "systemd": {"state": "running", "units": [], "error": None},
        "memory": {
            "total_bytes": 1000 * GIB,
            "available_bytes": 900 * GIB,
            "swap_total_bytes": 0,
            "swap_free_bytes": 0,
        },
        "tuning": {
            "sysctl": {
                "kernel.numa_balancing": 0,
                "kernel.pid_max": 4194304,
                "vm.overcommit_memory": 0,
                "vm.swappiness": 60,
                "net.ipv4.ip_local_port_range": "32768 60999",
                "net.ipv4.ip_local_reserved_ports": "",
            },
            "cpu_governors": ["performance"],
            "processors": 192,
            "reboot_required": False,
        },
        "users": {"HwHiAiUser": {"uid": 1000, "gid": 1000, "group": "HwHiAiUser"}},
        "programs": {"git": "/usr/bin/git", "git-lfs": "/usr/bin/git-lfs", "docker": "/usr/bin/docker"},
        "virtual_machine": None,
        "services": {"irqbalance": None, "firewalld": None, "ufw": None},
        "firewall": {"name": None, "open_ports": None},
        "proxies": [],
        "watchdog": None,
        "kernels": kernels("5.10.0-216", ("5.10.0-216", True)),
        "pending": [],
        "gathered": sorted(collect.SUBSETS),
        "problems": [],
    }


def check(node: Node, **options: Any) -> list[dict[str, Any]]:
    settings: dict[str, Any] = {"generation": "a2", "required_bytes": NEED, "table": TABLE, "plan": PLAN}
    release = options.pop("release", RELEASE)
    settings.update(options)
    return findings.findings(node, release, **settings)


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [f["id"] for f in found]


def container(**facts: Any) -> dict[str, Any]:
    base = {
        "id": "c" * 64,
        "name": "training",
        "image": "pytorch:latest",
        "state": "running",
        "privileged": False,
        "devices": [],
        "pid": 4242,
        "pids": [4242],
        "labels": {},
        "published_ports": [],
        "oom_killed": False,
    }
    return dict(base, **facts)


def holder(**facts: Any) -> dict[str, Any]:
    base = {
        "kind": "container",
        "name": "training",
        "pid": 4242,
        "process": "python",
        "image": "pytorch:latest",
        "managed": False,
        "memory_mb": 18429,
        "how": "npu-smi",
    }
    return dict(base, **facts)


ON, OFF = {"enabled": True}, {"enabled": False}


def card_ports(**facts: Any) -> list[dict[str, Any]]:
    """What hccn_tool says of the eight network ports."""
    base = {"status": "UP", "health": "Success", "tls": OFF}
    return [{"index": n, "ip": {"address": "29.1.0.%d" % n}, **base, **facts} for n in range(8)]


def put(path: str, value: Any) -> Callable[[Node], None]:
    """A change of one value, named by the keys on the way to it; a number is an index, ``*`` every element."""

    def change(node: Node) -> None:
        def walk(here: Any, parts: list[str]) -> None:
            if parts[0] == "*":
                for element in here:
                    walk(element, parts[1:])
            elif len(parts) == 1:
                key: Any = int(parts[0]) if isinstance(here, list) else parts[0]
                here[key] = copy.deepcopy(value)
            else:
                walk(here[int(parts[0])] if isinstance(here, list) else here[parts[0]], parts[1:])

        walk(node, path.split())

    return change


def drop(path: str, index: int) -> Callable[[Node], None]:
    def change(node: Node) -> None:
        del node[path][index]

    return change


def lose_node(index: int) -> Callable[[Node], None]:
    def change(node: Node) -> None:
        node["device_nodes"] = [n for n in node["device_nodes"] if n["index"] != index]
        node["devices"][index]["node_present"] = False

    return change


def broken_smi(kind: str, message: str, code: Any = None) -> Callable[[Node], None]:
    def change(node: Node) -> None:
        node["devices"] = []
        node["npu_smi"].update(error=message, error_kind=kind, error_code=code, process_table=False)
        node["npu_smi"].update(npu_smi_version=None, driver_version=None)

    return change


def no_driver(node: Node) -> None:
    node["versions"].update(driver=None, firmware=None)


def both(*changes: Callable[[Node], None]) -> Callable[[Node], None]:
    def change(node: Node) -> None:
        for one in changes:
            one(node)

    return change


def kernels(running: str, *installed: tuple[str, Any]) -> dict[str, Any]:
    known = [{"version": version, "has_driver_module": has} for version, has in installed]
    return {"running": running, "installed": known, "newest": installed[-1][0]}


def watchdog(**facts: Any) -> dict[str, Any]:
    base = {"unit": "vllm-qwen3.5@0.service", "state": "busy", "reason": "", "since": "2026-11-24T10:00:00Z"}
    return {"mode": "observe", "at": 1, "replicas": [{**base, "evidence": "", "restart": "", **facts}]}


def proxy(**facts: Any) -> dict[str, Any]:
    base = {"where": "/root/.docker/config.json", "http": "http://proxy.example:3128", "https": None}
    return {**base, "no_proxy": "", "containers": True, **facts}


LISTENER = {
    "port": 8011,
    "address": "0.0.0.0",
    "pid": 99,
    "process": "nginx",
    "container": None,
    "unit": "nginx.service",
}
SYSCTL = "tuning sysctl "

# (id, change of a healthy A2 host, words that the message must hold, other findings that come with it)
PROVOKED: list[tuple[str, Callable[[Node], None], str, set[str]]] = [
    ("SYS-001", put("effective_uid", 1000), "user id 1000", set()),
    ("SYS-003", put("python_version", "3.6.8"), "3.6.8", set()),
    ("SYS-004", put("programs git-lfs", None), "git-lfs", set()),
    ("SYS-005", put("systemd state", "offline"), "offline", set()),
    ("SYS-006", put("systemd state", "starting"), "starting", set()),
    ("SYS-007", put("systemd units", [{"name": "vllm-qwen3.5@0.service", "active": "failed"}]), "qwen3.5@0", set()),
    (
        "SYS-007",
        put("systemd units", [{"name": "vllm-qwen3.5@1.service", "active": "failed", "restarts": 3}]),
        "vllm-qwen3.5@1.service failed (replica 1) after 3 restarts",
        set(),
    ),
    (
        "SYS-017",
        put("kernels", kernels("5.10.0-216", ("5.10.0-216", True), ("5.10.0-250", False))),
        "kernel 5.10.0-250 without the module, 5.10.0-216 running",
        set(),
    ),
    (
        "SYS-018",
        put("pending", [{"package": "docker", "running": "24.0.7", "installed": "26.1.3"}]),
        "docker 24.0.7 running, 26.1.3 installed",
        set(),
    ),
    (
        "SYS-018",
        put("pending", [{"package": "linux-base", "running": None, "installed": None}]),
        "an upgrade of linux-base that waits for a restart",
        set(),
    ),
    ("SYS-019", put("tuning processors", 32), "32 processors for 8 chips", set()),
    ("SYS-020", put("virtual_machine", "kvm"), "a virtual machine (kvm)", set()),
    (
        "SYS-021",
        put("watchdog", watchdog(state="stalled", reason="3 requests in flight and no token for 180 s")),
        "vllm-qwen3.5@0.service: 3 requests in flight and no token for 180 s, since 2026-11-24T10:00:00Z",
        set(),
    ),
    (
        "NET-013",
        put("proxies", [proxy(no_proxy="10.0.0.0/8")]),
        "the proxy http://proxy.example:3128 in /root/.docker/config.json without an exception for 127.0.0.1",
        set(),
    ),
    (
        "NET-011",
        put("firewall", {"name": "firewalld", "open_ports": [[22, 22], [8010, 8010]]}),
        "firewalld on, ports 8011 closed",
        set(),
    ),
    ("NET-011", put("firewall", {"name": "ufw", "open_ports": []}), "ufw on, ports 8010-8011 closed", set()),
    ("SYS-008", put("memory total_bytes", 32 * GIB), "32 GiB", set()),
    ("SYS-009", put("clock", 12), "2025", set()),
    ("SYS-010", put("tuning reboot_required", True), "reboot-required", set()),
    ("SYS-011", put(SYSCTL + "kernel.numa_balancing", 1), "= 1", set()),
    (
        "SYS-012",
        both(put(SYSCTL + "vm.swappiness", 100), put("memory swap_total_bytes", 8 * GIB)),
        "= 100",
        set(),
    ),
    ("SYS-013", put("tuning cpu_governors", ["powersave"]), "powersave", set()),
    ("SYS-014", put(SYSCTL + "kernel.pid_max", 4096), "4096", set()),
    ("SYS-015", put(SYSCTL + "vm.overcommit_memory", 2), "= 2", set()),
    ("SYS-016", put("problems", [{"subject": "lspci", "message": "`lspci` hangs"}]), "lspci", set()),
    ("DRV-001", no_driver, "version.info", set()),
    ("DRV-002", put("versions driver version", None), "without a version", set()),
    ("DRV-003", both(put("versions driver version", "24.1.0"), put("npu_smi driver_version", None)), "24.1.0", set()),
    ("DRV-004", both(put("versions driver version", "25.5.0"), put("npu_smi driver_version", None)), "paired", set()),
    (
        "DRV-004",
        both(put("versions driver version", "25.3.rc1"), put("npu_smi driver_version", None)),
        "25.3.rc1, compatible",
        set(),
    ),
    ("DRV-005", both(put("versions driver version", "26.0.rc1"), put("npu_smi driver_version", None)), "26.0", set()),
    ("DRV-006", put("npu_smi driver_version", "25.0.0"), "25.0.0 running, 25.2.0 installed", {"DRV-007"}),
    ("DRV-007", put("npu_smi npu_smi_version", "24.1.0"), "npu-smi 24.1.0", set()),
    ("DRV-008", put("versions firmware", None), "firmware", set()),
    ("DRV-009", put("versions firmware package_version", "25.0.0"), "25.0.0", set()),
    (
        "DRV-010",
        both(put("versions firmware version", "6.3.0"), put("devices * board_firmware_version", None)),
        "7.0.0 to 8.9.9",
        set(),
    ),
    ("DRV-011", put("devices 3 board_firmware_version", "7.7.0.1.231"), "7.7.0.1.231 on davinci3", set()),
    ("DRV-012", put("devices * board_firmware_version", "7.7.0.1.231"), "7.7.0.1.231 running", set()),
    ("DRV-013", put("users HwHiAiUser", None), "HwHiAiUser", set()),
    (
        "DRV-014",
        put("npu_smi warnings", ["[WARNING]The driver package may not be completely installed, which may …"]),
        "npu-smi's warning",
        set(),
    ),
    ("DRV-015", put("versions firmware package_version", "24.1.rc2"), "24.1.rc2", set()),
    (
        "DRV-016",
        both(
            put("versions firmware package_version", "25.2.0"),
            put("versions firmware compatible_version_drv", [["25.0.rc1", "25.0.rc1."]]),
            put("versions driver package_version", "25.2.1"),
        ),
        "driver 25.2.1, which firmware 25.2.0 does not list",
        set(),
    ),
    (
        "DRV-017",
        put("driver_change", {"id": "20261130T061500Z-driver", "step": "verifying", "why": "a chip less"}),
        "the change 20261130T061500Z-driver at the step verifying: a chip less",
        set(),
    ),
    (
        "CANN-004",
        both(
            put("versions driver innerversion", "V100R001C13SPC012B220"),
            put(
                "versions cann",
                [
                    {
                        "version": "8.5.0",
                        "innerversion": "V100R001C25SPC001B212",
                        "compatible_version": ["V100R001C15", "V100R001C23"],
                    }
                ],
            ),
        ),
        "neither of which lists the other",
        set(),
    ),
    ("DEV-001", put("pci", []), "19e5", set()),
    ("DEV-002", put("pci * id", "19e5:d803"), "19e5:d803", set()),
    ("DEV-003", drop("pci", 5), "7 functions", set()),
    ("DEV-004", drop("devices", 7), "7 chips", {"DEV-006"}),
    ("DEV-005", lose_node(3), "no /dev/davinci3", set()),
    (
        "DEV-006",
        lambda node: node["device_nodes"].append(dict(node["device_nodes"][0], path="/dev/davinci8", index=8)),
        "/dev/davinci8",
        set(),
    ),
    ("DEV-007", drop("device_nodes", 8), "no /dev/davinci_manager", set()),
    ("DEV-008", put("device_nodes 2 is_char", False), "/dev/davinci2", set()),
    ("DEV-009", put("device_nodes 2 mode", "0000"), "0000", set()),
    ("DEV-010", put("pci 0 driver", None), "0000:10:00.0", set()),
    ("DEV-011", both(put("devices 1 index", 0), drop("device_nodes", 1)), "/dev/davinci0", set()),
    ("DEV-012", put("devices 1 pci_present", False), "davinci1 at 0000:11:00.0", set()),
    ("NPU-001", broken_smi("missing", "npu-smi is not installed"), "no npu-smi", set()),
    (
        "NPU-002",
        both(broken_smi("directory", "x"), put("npu_smi directories", ["/usr/local/sbin/npu-smi"])),
        "/usr/local/sbin/npu-smi",
        set(),
    ),
    ("NPU-003", broken_smi("hung", "npu-smi info did not answer within 30 s"), "30 s", set()),
    ("NPU-004", broken_smi("truncated", "the table is truncated after: | 3 910B3"), "truncated", set()),
    ("NPU-005", broken_smi("tool", "dcmi module initialize failed. ret is -8005", -8005), "-8005", set()),
    (
        "NPU-005",
        both(
            broken_smi("tool", "ret is -8020", -8020),
            put("docker containers", [container(privileged=True)]),
        ),
        "container `training` (image pytorch:latest) may hold",
        set(),
    ),
    ("NPU-006", broken_smi("tool", "npu get board type failed. ret is -9005", -9005), "-9005", set()),
    ("NPU-007", put("devices 2 health", "Alarm"), "davinci2 (NPU 2 chip 0) with health Alarm", set()),
    (
        "NPU-007",
        both(put("devices 2 health", "Critical"), put("devices 2 error_codes", ["80E18401"])),
        "error codes 80E18401",
        set(),
    ),
    ("NPU-008", put("devices 2 health", "Warning"), "health Warning", set()),
    ("NPU-009", put("devices 2 health", "UNKNOWN"), "health UNKNOWN", set()),
    ("NPU-009", put("devices 2 health", "Frobbed"), "health Frobbed", set()),
    ("NPU-010", both(put("devices 2 hbm_total_mb", 0), put("devices 2 temperature_celsius", 0)), "zero", {"NPU-017"}),
    (
        "NPU-011",
        both(put("devices 4 holders", [holder()]), put("devices 5 holders", [holder()])),
        "davinci4-5, held by container `training` (image pytorch:latest) with 36858 MB",
        set(),
    ),
    ("NPU-011", put("devices 4 holders", [holder(how="device", memory_mb=None)]), "container `training`", set()),
    ("NPU-012", put("devices 4 holders", [holder(kind="process", name="python", image=None)]), "process 4242", set()),
    ("NPU-012", put("devices 4 holders", [holder(kind="unit", name="train.service")]), "train.service", set()),
    ("NPU-013", put("devices 4 hbm_used_mb", 21784), "davinci4", set()),
    (
        "NPU-013",
        both(
            put("devices 4 hbm_used_mb", 21784),
            put("devices 4 holders", [holder(how="privileged", memory_mb=None)]),
        ),
        "suspected: container `training`",
        {"NPU-014"},
    ),
    ("NPU-014", put("devices * holders", [holder(how="privileged", memory_mb=None)]), "sees 8 chips", set()),
    ("NPU-015", put("npu_smi warnings", ["cannot read: | ??? |"]), "| ??? |", set()),
    ("NPU-016", put("npu_smi process_table", False), "no process table", set()),
    ("NPU-017", put("devices 0 name", "910B1"), "910B1", set()),
    ("NPU-018", put("devices 0 temperature_celsius", 97), "davinci0", set()),
    ("DKR-001", put("docker", software.empty_docker()), "docker", set()),
    (
        "DKR-002",
        put("docker", dict(software.empty_docker(), installed=True, error="Cannot connect to the Docker daemon")),
        "Cannot connect",
        set(),
    ),
    ("DKR-003", put("docker error", "`docker ps` did not end"), "docker ps", set()),
    ("DKR-004", put("docker server_version", "18.09.0"), "18.09.0", set()),
    ("DKR-005", put("docker engine", "podman"), "podman", set()),
    ("DKR-006", put("docker default_runtime", "ascend"), "`ascend`", set()),
    ("DKR-007", put("docker storage_driver", "devicemapper"), "devicemapper", set()),
    ("DKR-008", put("mounts /usr/local/dcmi", "missing"), "/usr/local/dcmi", set()),
    ("DKR-009", put("mounts /etc/hccn.conf", "directory"), "/etc/hccn.conf", set()),
    ("DKR-010", put("docker containers", [container(name="vllm-qwen3.5-0")]), "vllm-qwen3.5-0", set()),
    ("DKR-011", put("docker images", [{"id": "sha256:22", "tags": ["vllm-ascend:r-a2"]}]), "sha256:22", set()),
    (
        "DKR-012",
        put("docker containers", [container(oom_killed=True, labels={"ascend.fleet.managed": "true"})]),
        "OOM",
        set(),
    ),
    ("DSK-001", put("disk 0 free_bytes", 60 * GIB), "60 GiB free at /var/lib/ascend-fleet", set()),
    ("DSK-002", put("docker root_free_bytes", 30 * GIB), "30 GiB free in docker's folder", {"DSK-004"}),
    (
        "DSK-003",
        both(
            put("disk 0 free_bytes", 100 * GIB),
            put("docker root_free_bytes", 100 * GIB),
        ),
        "100 GiB free at /",
        set(),
    ),
    ("DSK-004", put("docker root_free_bytes", 41 * GIB), "5 %", {"DSK-003"}),
    ("DSK-005", put("disk 0 filesystem", "nfs4"), "nfs4", set()),
    ("DSK-006", put("disk 0 free_bytes", None), "/var/lib/ascend-fleet", set()),
    ("DSK-007", put("disk 0 read_only", True), "read-only", set()),
    ("NET-001", put("ports", [LISTENER]), "port 8011 taken by systemd unit `nginx.service`", set()),
    ("NET-001", put("ports", [dict(LISTENER, unit=None)]), "process 99 (nginx)", set()),
    ("NET-001", put("ports", [dict(LISTENER, container="web")]), "container `web`", set()),
    ("NET-001", put("ports", [dict(LISTENER, unit=None, pid=None)]), "an unknown process", set()),
    ("NET-002", put("hccn", {"present": False, "kind": "missing", "addresses": [], "links": []}), "hccn.conf", set()),
    (
        "NET-002",
        put("hccn", {"present": False, "kind": "dangling", "addresses": [], "links": []}),
        "a link to a file that does not exist",
        set(),
    ),
    ("NET-003", lambda node: node["hccn"]["addresses"].pop(2), "davinci2", set()),
    ("NET-005", put("hccn links 3 status", "DOWN"), "davinci3 down", set()),
    ("NET-004", put(SYSCTL + "net.ipv4.ip_local_port_range", "1024 65535"), "61000-61127", set()),
]


def by_hand(**facts: Any) -> Callable[[Node], None]:
    """The guide's container, with `vllm serve` on the port and four cards of our first replica."""
    engine = {"pid": 7, "port": 8010, "model": "/data/w", "served_model_names": ["qwen3.5"], "tensor_parallel_size": 4}
    base = {"name": "qwen3.5", "privileged": True, "shell": True, "network_mode": "host", "engines": [engine]}
    base.update(image="vllm-ascend:r-a2", image_id="sha256:" + "1" * 64, restart_policy="no")
    return both(
        put("docker containers", [container(**{**base, **facts})]),
        *(put("devices %d holders" % n, [holder(name="qwen3.5", image="vllm-ascend:r-a2")]) for n in range(4)),
        *(put("devices %d holders" % n, [holder(name="qwen3.5", how="privileged")]) for n in range(4, 8)),
        put("ports", [{**LISTENER, "port": 8010, "container": "qwen3.5", "unit": None}]),
    )


def test_a_container_that_was_started_by_hand_is_one_finding_with_its_fix() -> None:
    (found,) = check(provoke(by_hand()))
    assert found["id"] == "DKR-013"
    assert "container `qwen3.5`" in found["found"]
    assert "port 8010, on davinci0" in found["found"]
    assert "playbooks/takeover.yml" in found["fix"]


def test_takeover_itself_accepts_it() -> None:
    (found,) = check(provoke(by_hand()), ignore=["DKR-013"])
    assert found["ignored"]


def test_a_near_miss_stays_a_foreigner_with_the_reason() -> None:
    found = check(provoke(by_hand(image_id="sha256:" + "2" * 64, image="vllm-ascend:other")))
    assert set(ids(found)) == {"NPU-011", "NPU-014", "NET-001"}
    (held,) = [f for f in found if f["id"] == "NPU-011"]
    for words in ("cannot be taken over: its image is vllm-ascend:other (sha256:2222", "vllm-ascend:r-a2 (sha256:1111"):
        assert words in held["found"]


def test_a_stopped_one_matters_only_where_it_has_the_name_of_ours() -> None:
    def stopped(node: Node) -> None:
        put("docker containers", [container(**node_container)])(node)

    about = {"name": "qwen3.5", "privileged": True, "shell": True, "network_mode": "host", "state": "exited"}
    node_container = {**about, "image_id": "sha256:" + "1" * 64, "restart_policy": "no"}
    assert check(provoke(stopped)) == []
    plan = {**PLAN, "replicas": [{**PLAN["replicas"][0], "container_name": "qwen3.5"}]}
    (found,) = check(provoke(stopped), plan=plan)
    assert found["id"] == "DKR-013"


def provoke(change: Callable[[Node], None]) -> Node:
    node = healthy()
    change(node)
    return node


@pytest.mark.parametrize("generation", ["a2", "a3"])
@pytest.mark.parametrize("architecture", ["aarch64", "x86_64"])
def test_a_healthy_host_has_no_finding(generation: str, architecture: str) -> None:
    node = healthy(generation)
    node["architecture"] = node["docker"]["architecture"] = architecture
    assert check(node, generation=generation) == []


@pytest.mark.parametrize(("identity", "change", "words", "others"), PROVOKED, ids=[p[0] for p in PROVOKED])
def test_a_check_speaks(identity: str, change: Callable[[Node], None], words: str, others: set[str]) -> None:
    found = check(provoke(change))
    assert set(ids(found)) == {identity} | others
    mine = [f for f in found if f["id"] == identity]
    assert any(words in f["message"] for f in mine), [f["message"] for f in mine]
    for finding in found:
        assert re.search(r": found .+; needed .+", finding["message"])
        assert finding["fix"]


RELEASE_CHECKS = [
    ("SYS-002", {"images": [dict(RELEASE["images"][1])]}, "one for a2/aarch64"),
    ("CANN-001", {}, "no CANN"),
    ("CANN-002", {"images": [dict(RELEASE["images"][0], components={"vllm_ascend": "0.18.0"})]}, "CANN 8.5.1"),
    ("CANN-003", {"driver": {"version": "24.1.0"}}, "24.1.0 with CANN 8.5.0"),
]


@pytest.mark.parametrize(("identity", "change", "words"), RELEASE_CHECKS, ids=[c[0] for c in RELEASE_CHECKS])
def test_a_check_of_the_release_speaks(identity: str, change: dict[str, Any], words: str) -> None:
    found = check(healthy(), release=dict(RELEASE, **change), require_host_cann=identity == "CANN-001")
    mine = [f for f in found if f["id"] == identity]
    assert len(mine) == 1
    assert words in mine[0]["message"]


def with_chip(index: int, **facts: Any) -> list[dict[str, Any]]:
    chips = card_ports()
    chips[index].update(facts)
    return chips


# (id, the chips' ports, TLS on other hosts, words): an engine that runs on several hosts needs the cards' network
ACROSS_HOSTS: list[tuple[str, list[dict[str, Any]], set[bool], str]] = [
    ("NET-006", with_chip(3, status="DOWN"), {False}, "davinci3 down"),
    ("NET-006", card_ports(status="DOWN"), {False}, "davinci0-7 down"),
    ("NET-007", with_chip(2, ip=None), {False}, "no address for davinci2"),
    ("NET-008", with_chip(5, tls=ON), {False, True}, "TLS on for davinci5, off for davinci0-4,6-7"),
    ("NET-008", card_ports(), {False, True}, "TLS off for davinci0-7, and the other way round on other hosts"),
    ("NET-007", with_chip(4, ip={"address": None}), {False}, "no address for davinci4"),
    ("NET-009", with_chip(1, tls=None), {False}, "no whole answer for davinci1"),
    ("NET-009", [c for c in card_ports() if c["index"] != 6], {False}, "no whole answer for davinci6"),
    ("NET-009", [], {False}, "no whole answer for davinci0-7"),
]


@pytest.mark.parametrize(("identity", "chips", "tls", "words"), ACROSS_HOSTS)
def test_an_engine_on_several_hosts_needs_the_cards_network(
    identity: str, chips: list[dict[str, Any]], tls: set[bool], words: str
) -> None:
    node = healthy()
    node["hccn"]["links"] = chips
    (found,) = check(node, plan={**PLAN, "spans_hosts": True}, fleet_tls=tls)
    assert (found["id"], found["severity"]) == (identity, "error")
    assert words in found["message"]


@pytest.mark.parametrize(
    "change",
    [
        put("watchdog", watchdog(state="idle")),
        put("proxies", [proxy(no_proxy="localhost, 127.0.0.1")]),
        put("proxies", [proxy(containers=False)]),
        put("firewall", {"name": "ufw", "open_ports": [[8000, 8100]]}),
        put("firewall", {"name": "firewalld", "open_ports": None}),
        put("services irqbalance", "active"),
    ],
)
def test_surroundings_that_are_well_say_nothing(change: Callable[[Node], None]) -> None:
    node = healthy()
    change(node)
    assert check(node) == []


def test_irqbalance_matters_where_interrupts_are_bound() -> None:
    node = healthy()
    node["services"]["irqbalance"] = "active"
    guide = {**PLAN, "profile": "guide"}
    (found,) = check(node, plan=guide)
    assert found["id"] == "SYS-022"
    node["architecture"] = "x86_64"
    assert check(node, plan=guide) == []


def test_one_engine_on_several_hosts_has_one_driver() -> None:
    node = healthy()
    node["hccn"]["links"] = card_ports()
    drivers = {"25.2.0", "25.5.0"}
    (found,) = check(node, plan={**PLAN, "spans_hosts": True}, fleet_tls={False}, fleet_drivers=drivers)
    assert (found["id"], found["severity"]) == ("NET-012", "error")
    assert "driver 25.2.0 here, 25.5.0 on others" in found["message"]
    assert check(node, fleet_drivers=drivers) == []


def test_closed_ports_need_nft() -> None:
    node = healthy()
    node["programs"]["nft"] = None
    assert check(node) == []
    (found,) = check(node, plan={**PLAN, "closes_ports": True})
    assert (found["id"], found["severity"]) == ("NET-014", "error")
    assert "nftables" in found["fix"]
    node["programs"]["nft"] = "/usr/sbin/nft"
    assert check(node, plan={**PLAN, "closes_ports": True}) == []


def test_a_310p_is_named_as_not_supported() -> None:
    node = healthy()
    for entry in node["pci"]:
        entry["id"] = "19e5:d500"
    found = next(f for f in check(node) if f["id"] == "DEV-002")
    assert "(310P) is not supported" in found["fix"]


def test_a_whole_network_of_the_cards_says_nothing() -> None:
    node = healthy()
    node["hccn"]["links"] = card_ports()
    assert check(node, plan={**PLAN, "spans_hosts": True}, fleet_tls={False}) == []


@pytest.mark.parametrize("identity", ["NPU-007", "NPU-013"])
@pytest.mark.parametrize(("generation", "all_at_once"), [("a2", True), ("a3", False)])
def test_a_card_is_reset_only_when_nothing_is_served(identity: str, generation: str, all_at_once: bool) -> None:
    node = healthy(generation)
    node["devices"][0].update({"health": "Alarm"} if identity == "NPU-007" else {"hbm_used_mb": 20000})
    node["systemd"]["units"] = [
        {"name": "vllm-qwen3.5@%d.service" % n, "active": state} for n, state in ((1, "active"), (0, "inactive"))
    ]
    (found,) = check(node, generation=generation)
    assert found["id"] == identity
    stop = "drain and stop every replica of the host (`systemctl stop vllm-qwen3.5@1.service`), then reset the card"
    assert stop in found["fix"]
    assert ("resetting one NPU resets every NPU of the host" in found["fix"]) is all_at_once
    written = catalogue.CATALOGUE[identity].fix
    assert written.index("drain and stop every replica of the host") < written.index("reset the card")


def test_docker_below_the_version_that_knows_clone3_is_a_warning_with_its_reason() -> None:
    for version, expected in (
        ("20.10.9", ["DKR-004"]),
        ("20.10.10", []),
        ("20.10.24+dfsg1", []),
        ("18.9.0", ["DKR-004"]),
    ):
        assert ids(check(provoke(put("docker server_version", version)))) == expected
    assert "can't start new thread" in catalogue.CATALOGUE["DKR-004"].what


def test_a_layout_that_cannot_be_is_found_in_the_planners_words() -> None:
    error = "found 8 usable chips (…); needed 12 for 3 replicas of 4. Fix: fewer replicas"
    (found,) = check(healthy(), plan={"replicas": [], "error": error})
    assert (found["id"], found["found"]) == ("NPU-019", "8 usable chips (…)")
    assert (found["needed"], found["fix"]) == ("12 for 3 replicas of 4", "fewer replicas")


def test_the_gateways_port_must_be_free_where_a_gateway_stands_on_the_host() -> None:
    node = provoke(put("ports", [dict(LISTENER, port=8000)]))
    assert check(node) == []
    (found,) = check(node, plan={**PLAN, "gateway_port": 8000})
    assert (found["id"], found["found"]) == ("NET-010", "port 8000 taken by systemd unit `nginx.service`")
    node = provoke(put("ports", [dict(LISTENER, port=8000, unit="ascend-fleet-gateway.service")]))
    assert check(node, plan={**PLAN, "gateway_port": 8000}) == []


def test_every_check_is_provoked() -> None:
    provoked = {p[0] for p in PROVOKED} | {c[0] for c in RELEASE_CHECKS} | {c[0] for c in ACROSS_HOSTS}
    provoked |= {"NPU-019", "SYS-022", "NET-010", "NET-012", "NET-014", "DKR-013"}
    assert provoked == set(catalogue.CATALOGUE)


# -- what must stay silent ------------------------------------------------------------------------------------------

OURS = holder(managed=True, name="vllm-qwen3.5-0", image="vllm-ascend:r-a2")
SILENT: list[tuple[str, Callable[[Node], None]]] = [
    (
        "our own engines hold the cards and the ports",
        both(
            put("devices * holders", [OURS]),
            put("devices * hbm_used_mb", 61000),
            put("ports", [dict(LISTENER, unit="vllm-qwen3.5@1.service", managed=True)]),
            put("docker containers", [container(name="vllm-qwen3.5-0", labels={"ascend.fleet.managed": "true"})]),
        ),
    ),
    ("our own privileged engine", put("devices * holders", [dict(OURS, how="privileged")])),
    ("a port that is not ours", put("ports", [dict(LISTENER, port=22)])),
    ("a port beyond the replicas", put("ports", [dict(LISTENER, port=8012)])),
    ("a stopped container", put("docker containers", [container(state="exited", devices=["/dev/davinci0"])])),
    ("a network that is not in use", put("hccn links * status", "DOWN")),
    ("an idle chip's memory", put("devices * hbm_used_mb", 4200)),
    ("a build number", both(put("npu_smi driver_version", "25.2.0.B030"), put("npu_smi npu_smi_version", "25.2.0"))),
    ("another spelling", put("versions driver version", "V25.2.0")),
    ("a newer kernel that has the module",
        put("kernels", kernels("5.10.0-216", ("5.10.0-216", True), ("5.10.0-250", True)))),
    ("a newer kernel of which it is not known",
        put("kernels", kernels("5.10.0-216", ("5.10.0-216", True), ("5.10.0-250", None)))),
    ("an older kernel without the module",
        put("kernels", kernels("5.10.0-216", ("5.10.0-100", False), ("5.10.0-216", True)))),
    ("few processors where workers are not bound", both(
        put("tuning processors", 2), put("architecture", "x86_64"))),
    ("40 processors for 8 chips", put("tuning processors", 40)),
    ("chips whose links are down where one host serves alone", put("hccn links", card_ports(status="DOWN"))),
    ("a redacted version", both(put("npu_smi driver_version", "xxx"), put("npu_smi npu_smi_version", "xxx"))),
    ("an empty package version", put("versions firmware package_version", None)),
    ("swappiness without swap", put(SYSCTL + "vm.swappiness", 100)),
    ("a degraded systemd", put("systemd state", "degraded")),
    ("podman absent, old docker-ce", put("docker server_version", "20.10.24+dfsg1")),
    ("an image that is loaded already", both(
        put("docker root_free_bytes", 50 * GIB), put("disk 0 free_bytes", 90 * GIB),
        put("docker images", [{"id": "sha256:" + "1" * 64, "tags": ["vllm-ascend:r-a2"]}]))),
    ("an image that is loaded already, in containerd's store", both(
        put("docker root_free_bytes", 50 * GIB), put("disk 0 free_bytes", 90 * GIB),
        put("docker image_store", "containerd"),
        put("docker images", [{"id": "sha256:" + "2" * 64, "tags": ["vllm-ascend:r-a2"]}]))),
    ("a driver that the firmware lists", both(
        put("versions firmware compatible_version_drv", [["24.1.rc3", "24.1.rc3."], ["25.2.0", "25.2.0."]]),
        put("versions firmware package_version", None))),
    ("a firmware of the driver's own version that lists older ones only",
        put("versions firmware compatible_version_drv", [["23.0.rc3", "23.0.rc3."]])),
    ("a host's CANN that lists the driver", both(
        put("versions driver innerversion", "V100R001C23SPC002B212"),
        put("versions cann", [{"version": "8.5.0", "innerversion": "V100R001C25SPC001B212",
                               "compatible_version": ["V100R001C21", "V100R001C23"]}]))),
    ("the log level's line", put("npu_smi warnings", ["DrvMngGetConsoleLogLevel failed. (ret=4)"])),
    ("ports that are reserved", both(
        put(SYSCTL + "net.ipv4.ip_local_port_range", "1024 65535"),
        put(SYSCTL + "net.ipv4.ip_local_reserved_ports", "60000-62000"))),
    ("no topology of the PCI bus in the kernel", both(put("pci * driver", None), put("pci * in_kernel", False))),
]  # fmt: skip


@pytest.mark.parametrize("change", [s[1] for s in SILENT], ids=[s[0] for s in SILENT])
def test_what_is_in_order_says_nothing(change: Callable[[Node], None]) -> None:
    assert check(provoke(change)) == []


# -- the frame ------------------------------------------------------------------------------------------------------


def test_ignored_findings_stay_and_come_last() -> None:
    node = healthy()
    node["effective_uid"] = 1
    node["tuning"]["reboot_required"] = True
    found = check(node, ignore=["SYS-001"])
    assert [(f["id"], f["ignored"]) for f in found] == [("SYS-010", False), ("SYS-001", True)]


def test_an_unknown_id_to_ignore_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot ignore NPU-999.*docs/findings.md"):
        check(healthy(), ignore=["NPU-999", "SYS-001"])


def test_errors_come_before_warnings() -> None:
    node = healthy()
    node["tuning"]["reboot_required"] = True
    node["devices"][0]["health"] = "Alarm"
    assert ids(check(node)) == ["NPU-007", "SYS-010"]


def test_all_problems_at_once() -> None:
    node = healthy()
    for change in (lose_node(3), put("devices 2 health", "Alarm"), put("versions driver version", "24.1.0")):
        change(node)
    node["docker"] = software.empty_docker()
    assert {"DEV-005", "NPU-007", "DRV-003", "DKR-001"} <= set(ids(check(node)))


def test_what_was_not_gathered_is_not_checked() -> None:
    node = healthy()
    node.update(
        gathered=["npu"], docker=software.empty_docker(), versions=software.empty_versions(), disk=[], mounts={}
    )
    node["systemd"] = {"state": None, "units": [], "error": None}
    assert check(node) == []


def test_the_generation_is_inferred_where_the_inventory_is_silent() -> None:
    node = healthy("a3")
    node["devices"].pop()
    node["device_nodes"] = [n for n in node["device_nodes"] if n["index"] != 15]
    found = check(node, generation=None)
    assert ids(found) == ["DEV-004"]
    assert "15 chips; needed 16 (Atlas A3)" in found[0]["message"]


def test_without_any_generation_nothing_is_counted() -> None:
    node = healthy()
    node["pci"] = []
    assert ids(check(node, generation=None)) == ["DEV-001"]


def test_a_broken_host_gives_findings_not_a_traceback() -> None:
    node = system.identity(Host(root="/nonexistent"))
    smi = dict(npu_smi.empty()["npu_smi"], error="x", error_kind="missing")
    node.update(
        npu_smi=smi,
        devices=[],
        processes=[],
        device_nodes=[],
        pci=[],
        versions=software.empty_versions(),
        docker=software.empty_docker(),
        disk=[],
        ports=[],
        problems=[],
        gathered=sorted(collect.SUBSETS),
    )
    assert {"NPU-001", "DRV-001", "DKR-001", "DEV-001"} <= set(ids(check(node)))


@pytest.mark.parametrize(
    ("values", "words"),
    [([0, 1, 2, 3], "0-3"), ([5], "5"), ([7, 0, 1], "0-1,7"), ([], ""), ([3, 3, 4], "3-4")],
)
def test_numbers_are_put_together(values: list[int], words: str) -> None:
    assert numbers(values) == words


def test_the_catalogue_is_well_formed() -> None:
    entries = catalogue.catalogue()
    assert len(entries) >= 40
    for entry in entries:
        assert re.match(r"^(SYS|DRV|CANN|DEV|NPU|DKR|DSK|NET)-\d{3}$", entry["id"])
        assert entry["severity"] in ("error", "warning")
        assert entry["title"]
        assert entry["what"].endswith(".")
        assert len(entry["fix"]) > 10
    assert len({e["title"] for e in entries}) == len(entries)


def test_a_check_that_stumbles_hides_no_other() -> None:
    node = healthy()
    node["effective_uid"] = 1
    node["disk"] = [{"path": "/x"}]
    found = check(node)
    assert "SYS-001" in ids(found)
    assert any("the check itself failed" in f["message"] for f in found)


@pytest.mark.parametrize("module", catalogue._MODULES, ids=lambda m: m.__name__.rsplit(".", 1)[1])
def test_a_module_lists_every_check_it_has(module: Any) -> None:
    assert [v for v in vars(module).values() if isinstance(v, Check)] == list(module.CHECKS)


def test_every_area_is_one_module_of_the_catalogue() -> None:
    areas = [{c.area for c in module.CHECKS} for module in catalogue._MODULES]
    assert all(len(a) == 1 for a in areas)
    assert [a for own in areas for a in own] == list(AREAS.values())
