# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An A2 host with driver and firmware, as npu_driver_info returns it, for the tests of their change."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.ascend.fleet.plugins.module_utils._driver import record

FIRMWARE = {"25.2.0": "7.8.0.7.220", "25.5.0": "7.8.0.5.201"}
DRIVER_FILE = "Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.run"
FIRMWARE_FILE = "Ascend-hdk-910b-npu-firmware_7.8.0.5.201.run"
TABLE = {
    "cann_driver": [
        {
            "cann": "8.5.0",
            "paired": [{"series": "25.5.0"}],
            "compatible": [{"series": "25.2"}],
            "incompatible": [{"until": "24.1"}],
        },
        {"cann": "8.2", "paired": [{"series": "25.2.0"}], "compatible": [], "incompatible": [{"from": "25.5"}]},
    ]
}  # fmt: skip


def node(version: str = "25.2.0", runs: str = "", chips: int = 8) -> dict[str, Any]:
    """A node with this version installed, and another one running."""
    runs = runs or version
    devices = [
        {
            "index": n,
            "npu_id": n,
            "chip_id": 0,
            "bus_id": "0000:C%d:00.0" % n,
            "health": "OK",
            "serial_number": "S%d" % n,
            "board_driver_version": runs,
            "board_firmware_version": FIRMWARE[runs],
            "holders": [],
        }
        for n in range(chips)
    ]
    names = ["davinci%d" % n for n in range(chips)] + ["davinci_manager", "devmm_svm", "hisi_hdc"]
    return {
        "architecture": "aarch64",
        "devices": devices,
        "device_nodes": [{"name": name} for name in names],
        "pci": [{"address": "0000:c%d:00.0" % n, "id": "19e5:d802"} for n in range(chips)],
        "topology": {"links": {"NPU0": {"NPU1": "HCCS"}}},
        "versions": {
            "driver": {"version": version, "compatible_version_fw": [["7.0.0", "7.8.99"]]},
            "firmware": {"version": FIRMWARE[version], "package_version": version},
        },
        "npu_smi": {"driver_version": runs, "error": None},
        "docker": {"installed": True, "running": True, "error": None},
        "hccn": {
            "addresses": [{"index": n, "address": "29.1.0.%d" % n} for n in range(chips)],
            "links": [{"index": n, "status": "UP"} for n in range(chips)],
        },
        "disk": [{"path": "/var/lib/ascend-fleet", "free_bytes": 50 << 30}],
        "users": {"HwHiAiUser": {"uid": 1000}},
        "kernels": {
            "running": "5.10",
            "newest": "5.10",
            "installed": [{"version": "5.10", "has_driver_module": True, "headers": True}],
        },
    }  # fmt: skip


def read_package(of: str = "driver", **more: Any) -> dict[str, Any]:
    """What a package on the host says of itself."""
    path = DRIVER_FILE if of == "driver" else FIRMWARE_FILE
    about = {
        "path": path,
        "file": "/srv/%s" % path,
        "sha256": ("d" if of == "driver" else "f") * 64,
        "kind": of,
        "product": "Ascend-hdk-910b",
        "generation": "a2",
        "architecture": "aarch64" if of == "driver" else None,
        "version": "25.5.0" if of == "driver" else FIRMWARE["25.5.0"],
        "package_version": "25.5.0",
        "release_version": "25.5.0",
        "firmware_ranges": [["7.0.0", "7.8.99"]] if of == "driver" else [],
    }
    return {**about, **more}


def about(**more: Any) -> dict[str, Any]:
    """What npu_driver_info returns."""
    found = {
        "node": node(),
        "packages": [read_package("firmware"), read_package("driver")],
        "state": record.empty(),
        "releases": [{"name": "r_v0", "role": "running and last good", "cann": "8.5.0"}],
        "boot_id": "one",
        "bmc": "192.0.2.110",
        "ids": {"uid": "HwHiAiUser", "gid": "HwHiAiUser"},
    }
    return copy.deepcopy({**found, **more})


def release(version: str = "25.5.0") -> dict[str, Any]:
    """A release that wants these versions, with its packages."""
    entry = {"generation": "a2", "repository": None, "revision": "main", "size_bytes": None}
    driver = {**entry, "architecture": "aarch64", "path": DRIVER_FILE, "sha256": "d" * 64}
    firmware = {**entry, "architecture": "any", "path": FIRMWARE_FILE, "sha256": "f" * 64}
    return {
        "release": "r_v1",
        "driver": {"version": version, "packages": [driver]},
        "firmware": {"package_version": version, "packages": [firmware]},
        "cann": {"version": "8.5.0"},
    }
