# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the hardware: generations, PCI ids, device nodes."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

# The server generations that releases name. A3 carries two dies per NPU, each with its own device node.
GENERATIONS: dict[str, dict[str, Any]] = {
    "a2": {"title": "Atlas A2", "pci_id": "19e5:d802", "npus": 8, "chips_per_npu": 1, "chips": 8},
    "a3": {"title": "Atlas A3", "pci_id": "19e5:d803", "npus": 8, "chips_per_npu": 2, "chips": 16},
}

# PCI ids of Ascend processors, visible before any driver is installed.
PCI_IDS: dict[str, str] = {
    "19e5:d100": "Ascend 310",
    "19e5:d500": "Ascend 310P",
    "19e5:d801": "Ascend 910 (first generation)",
    "19e5:d802": "Atlas A2 (Ascend 910B)",
    "19e5:d803": "Atlas A3 (Ascend 910C)",
    "19e5:d806": "Ascend 950",
}

VENDOR = "19e5"
# The PCI base class "processing accelerators".
ACCELERATOR_CLASS = "1200"

MANAGER_NODES: tuple[str, ...] = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")

DRIVER_PATH = "/usr/local/Ascend/driver"
HCCN_TOOL = "/usr/local/Ascend/driver/tools/hccn_tool"
FIRMWARE_PATH = "/usr/local/Ascend/firmware"
NPU_SMI_PATHS: tuple[str, ...] = ("/usr/local/sbin/npu-smi", "/usr/local/bin/npu-smi")

# What a serving container mounts from the host, and what each must be.
MOUNT_SOURCES: dict[str, str] = {
    "/usr/local/Ascend/driver/lib64": "directory",
    "/usr/local/Ascend/driver/version.info": "file",
    "/usr/local/dcmi": "directory",
    "/etc/ascend_install.info": "file",
    "/etc/hccn.conf": "file",
}

# What resetting one NPU takes along. Every text that says to reset one carries it, and stops the replicas first.
RESET_SCOPE = "on Atlas 800 A2 resetting one NPU resets every NPU of the host"

# An idle chip reports between 2.9 and 4.2 GB as used, by chip type; more than this means that someone uses it.
IDLE_HBM_MB = 5120


def generation_of_pci(pci: list[Mapping[str, Any]]) -> Optional[str]:
    """The generation whose PCI id the functions carry; None when there is none, or several."""
    ids = {str(f.get("id", "")).lower() for f in pci}
    found = [name for name, facts in GENERATIONS.items() if facts["pci_id"] in ids]
    return found[0] if len(found) == 1 else None


def device_index(position: int, logic_id: Optional[int], phy_id: Optional[int], nodes: Sequence[int]) -> Optional[int]:
    """N of ``/dev/davinciN`` for a chip.

    The Phy-ID is N where the tool prints one. Else the chip's logic id, or its position in the table, counts the
    nodes in their order: some hosts start at 1, and with a chip missing the numbers have gaps.
    """
    if phy_id is not None:
        return phy_id
    ordinal = logic_id if logic_id is not None else position
    return nodes[ordinal] if nodes and nodes[0] != 0 and ordinal < len(nodes) else ordinal


def normal_address(address: Optional[str]) -> Optional[str]:
    """A PCI address in the kernel's own form, ``0000:c1:00.0``, from any of the ways in which tools print it."""
    if not address:
        return None
    text = address.strip().lower()
    if text.count(":") == 1:
        text = "0000:" + text
    domain, _colon, rest = text.partition(":")
    return "%s:%s" % (domain[-4:].rjust(4, "0"), rest)
