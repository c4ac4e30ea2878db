# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What npu-smi says of the chips, under the names and in the units of the vendor's npu-exporter.

Names, labels and units are those of Ascend/mind-cluster, component/npu-exporter: memory in MB, temperatures in degrees
Celsius, power in W, shares in per cent, states 1 and 0. What npu-smi does not print is left out, and with it the labels
``vdie_id``, ``namespace``, ``pod_name`` and ``container_name``. ``model_name`` is the name that npu-smi prints.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional, Sequence

from .._npu.hardware import device_index
from .exposition import Metrics

CATALOGUE: dict[str, str] = {
    "machine_npu_nums": "Chips that npu-smi shows.",
    "machine_card_nums": "Cards (NPUs) that npu-smi shows; one of Atlas A3 has two chips.",
    "machine_healthy_npu_nums": "Chips with the health OK.",
    "machine_unhealthy_npu_nums": "Chips with another health, Warning among them.",
    "machine_unknown_npu_nums": "Chips whose health npu-smi does not know.",
    "npu_chip_info_name": "The chip's name, with the value 1.",
    "npu_chip_info_health_status": "1 where the chip's health is OK, 0 for Warning, Alarm, Critical and UNKNOWN.",
    "npu_chip_info_temperature": "The chip's temperature in degrees Celsius.",
    "npu_chip_info_power": "What the chip takes, in W. On Atlas A3 the first chip of a card says it for both.",
    "npu_chip_info_utilization": "How busy the AI cores are, in per cent.",
    "npu_chip_info_hbm_used_memory": "HBM in use, in MB.",
    "npu_chip_info_hbm_total_memory": "All HBM of the chip, in MB.",
    "npu_chip_info_hbm_utilization": "The share of HBM in use, in per cent.",
    "npu_chip_info_used_memory": "DDR in use, in MB.",
    "npu_chip_info_total_memory": "All DDR of the chip, in MB.",
    "npu_chip_info_process_info_num": "Processes on the chip.",
    "npu_chip_info_process_info": "Memory of a process on the chip, in MB.",
    "npu_chip_info_hbm_ecc_single_bit_error_cnt": "Single bit errors of HBM since the driver was loaded.",
    "npu_chip_info_hbm_ecc_double_bit_error_cnt": "Double bit errors of HBM since the driver was loaded.",
    "npu_chip_info_hbm_ecc_total_single_bit_error_cnt": "All single bit errors of HBM in the chip's life.",
    "npu_chip_info_hbm_ecc_total_double_bit_error_cnt": "All double bit errors of HBM in the chip's life.",
    "npu_chip_info_hbm_ecc_single_bit_isolated_pages_cnt": "Pages of HBM isolated for single bit errors.",
    "npu_chip_info_hbm_ecc_double_bit_isolated_pages_cnt": "Pages of HBM isolated for double bit errors.",
    "npu_chip_info_link_status": "1 where the link of the chip's own network port is up.",
    "npu_chip_info_network_status": "1 where the chip's own network reaches its detection address.",
}

_ECC = {
    "HBM Single Bit Error Count": "npu_chip_info_hbm_ecc_single_bit_error_cnt",
    "HBM Double Bit Error Count": "npu_chip_info_hbm_ecc_double_bit_error_cnt",
    "HBM Single Bit Aggregate Total Err Cnt": "npu_chip_info_hbm_ecc_total_single_bit_error_cnt",
    "HBM Double Bit Aggregate Total Err Cnt": "npu_chip_info_hbm_ecc_total_double_bit_error_cnt",
    "HBM Single Bit Isolated Pages Count": "npu_chip_info_hbm_ecc_single_bit_isolated_pages_cnt",
    "HBM Double Bit Isolated Pages Count": "npu_chip_info_hbm_ecc_double_bit_isolated_pages_cnt",
}
_UNKNOWN = "UNKNOWN"


def chips_of(table: Mapping[str, Any], nodes: Sequence[int]) -> list[dict[str, Any]]:
    """The chips of ``npu-smi info``, each with the ``index`` N of its /dev/davinciN. nodes: the N that there are."""
    return [
        dict(device, index=device_index(position, device["device_id"], device["phy_id"], nodes))
        for position, device in enumerate(table["devices"])
    ]


def labels_of(chip: Mapping[str, Any]) -> dict[str, str]:
    """The labels of everything that is said of a chip."""
    index = chip["index"]
    return {
        "id": "" if index is None else str(index),
        "model_name": str(chip["name"]),
        "pcie_bus_info": str(chip["bus_id"] or ""),
    }


def add_table(out: Metrics, table: Mapping[str, Any], chips: Sequence[Mapping[str, Any]]) -> None:
    """Everything that the table of ``npu-smi info`` says."""
    out.add("machine_npu_nums", len(chips))
    out.add("machine_card_nums", len({chip["npu_id"] for chip in chips}))
    unknown = sum(chip["health"] == _UNKNOWN for chip in chips)
    healthy = sum(chip["health"] == "OK" for chip in chips)
    out.add("machine_healthy_npu_nums", healthy)
    out.add("machine_unhealthy_npu_nums", len(chips) - healthy - unknown)
    out.add("machine_unknown_npu_nums", unknown)
    for chip in chips:
        labels = labels_of(chip)
        named = dict(labels, name=labels["model_name"])
        del named["model_name"]
        out.add("npu_chip_info_name", 1, named)
        out.add("npu_chip_info_health_status", int(chip["health"] == "OK"), labels)
        out.add("npu_chip_info_temperature", chip["temperature_celsius"], labels)
        out.add("npu_chip_info_power", chip["power_watts"], labels)
        out.add("npu_chip_info_utilization", chip["utilization_percent"], labels)
        used, total = chip["hbm_used_mb"], chip["hbm_total_mb"]
        out.add("npu_chip_info_hbm_used_memory", used, labels)
        out.add("npu_chip_info_hbm_total_memory", total, labels)
        out.add("npu_chip_info_hbm_utilization", _share(used, total), labels)
        if chip["memory_total_mb"]:  # 0 of 0 where the chip has no DDR of its own
            out.add("npu_chip_info_used_memory", chip["memory_used_mb"], labels)
            out.add("npu_chip_info_total_memory", chip["memory_total_mb"], labels)
        if table["process_table"]:
            _add_processes(out, table, chip, labels)


def _add_processes(out: Metrics, table: Mapping[str, Any], chip: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    key = (chip["npu_id"], chip["chip_id"])
    processes = [p for p in table["processes"] if (p["npu_id"], p["chip_id"]) == key]
    out.add("npu_chip_info_process_info_num", len(processes), labels)
    for process in processes:
        about = dict(labels, process_id=str(process["pid"]), container_id="")
        out.add("npu_chip_info_process_info", process["memory_mb"], about)


def _share(used: Optional[int], total: Optional[int]) -> Optional[float]:
    return round(100.0 * used / total, 1) if used is not None and total else None


def ecc_counts(blocks: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, int]]:
    """The counts of ``npu-smi info -t ecc -i N`` by chip id, as parse_blocks has read them."""
    found: dict[int, dict[str, int]] = {}
    for block in blocks:
        counts = {
            _ECC[key]: int(value)
            for key, value in block["values"].items()
            if key in _ECC and re.fullmatch(r"[0-9]+", value)
        }
        if counts and not block["mcu"]:
            found.setdefault(block["chip_id"] or 0, {}).update(counts)
    return found


def add_slow(out: Metrics, chips: Sequence[Mapping[str, Any]], slow: Mapping[str, Mapping[str, Any]]) -> None:
    """What is asked of each chip, less often: counts by the metrics' names, by ``slow_key`` of the chip."""
    for chip in chips:
        for name, value in (slow.get(slow_key(chip)) or {}).items():
            if name in CATALOGUE:
                out.add(name, value, labels_of(chip))


def slow_key(chip: Mapping[str, Any]) -> str:
    """What identifies a chip from one look to the next one."""
    return "%d:%d" % (chip["npu_id"], chip["chip_id"])
