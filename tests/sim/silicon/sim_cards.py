# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cards of a generation as values: the state of a host whose description names no captured one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_driver import FIRMWARE_OF_PACKAGE

if TYPE_CHECKING:
    from sim_state import Chip, State

A2_CARDS = (  # bus, watts, degrees, idle HBM in MB, CPU affinity
    ("C1", "94.8", 36, 3407, "144-167"),
    ("C2", "90.5", 34, 3398, "144-167"),
    ("81", "90.6", 33, 3400, "96-119"),
    ("82", "98.8", 35, 3400, "96-119"),
    ("01", "93.2", 35, 3402, "0-23"),
    ("02", "95.8", 37, 3400, "0-23"),
    ("41", "97.8", 38, 3401, "48-71"),
    ("42", "90.8", 39, 3413, "48-71"),
)

A3_CARDS = (  # buses of the two dies, watts, degrees, idle HBM in MB of the two dies, CPU affinity
    ("9C", "9E", "162.8", 37, 3133, 2876, "0-39"),
    ("37", "39", "167.1", 38, 3116, 2822, "40-79"),
    ("A4", "A6", "165.0", 37, 3128, 2880, "80-119"),
    ("3F", "41", "159.4", 36, 3120, 2874, "120-159"),
    ("B4", "B6", "161.7", 39, 3131, 2869, "160-199"),
    ("17", "19", "159.6", 39, 3140, 2882, "200-239"),
    ("AC", "AE", "163.9", 40, 3122, 2871, "240-279"),
    ("0F", "11", "160.2", 38, 3119, 2878, "280-319"),
)

BOARDS = {
    "a2": {"product_name": "IT21HMDC_Bin5", "board_id": "0x60", "serial_prefix": "1025C90487"},
    "a3": {"product_name": "IT22SMDB", "npu_name": "9392", "board_id": "0xb6", "serial_prefix": "1024A70311"},
}


def new_chip(
    npu: int, die: int, dies: int, name: str, bus: str, power: str, degrees: int, idle: int, affinity: str
) -> Chip:
    index = npu * dies + die
    return {
        "index": index,
        "npu_id": npu,
        "chip_id": die,
        "logic_id": index,
        "phy_id": index if dies > 1 else None,
        "name": name,
        "health": "OK",
        "power": power,
        "temperature": degrees,
        "bus_id": f"0000:{bus}:00.0",
        "aicore": 0,
        "hugepages_used": 0,
        "hugepages_total": 0,
        "memory_used": 0,
        "memory_total": 0,
        "hbm_idle": idle,
        "hbm_total": 65536,
        "cpu_affinity": affinity,
    }


def default_state(generation: str, architecture: str, driver: str) -> State:
    chips = []
    if generation == "a2":
        for npu, (bus, power, degrees, idle, affinity) in enumerate(A2_CARDS):
            chips.append(new_chip(npu, 0, 1, "910B3", bus, power, degrees, idle, affinity))
    else:
        for npu, (first, second, power, degrees, idle0, idle1, affinity) in enumerate(A3_CARDS):
            chips.append(new_chip(npu, 0, 2, "Ascend910", first, power, degrees, idle0, affinity))
            chips.append(new_chip(npu, 1, 2, "Ascend910", second, "-", degrees, idle1, affinity))
    return {
        "generation": generation,
        "architecture": architecture,
        "pci_id": "19e5:d802" if generation == "a2" else "19e5:d803",
        "layout": "114" if driver.startswith("26.") else "96",
        "process_table": True,
        "mcu": True,
        "npu_smi_version": driver,
        "driver_version": driver,
        "firmware_version": FIRMWARE_OF_PACKAGE.get(driver, "7.8.0.7.220"),
        "firmware_package_version": driver,
        "board": BOARDS[generation],
        "chips": chips,
        "processes": [],
        "faults": {},
        "engine": {},
    }


def default_index(state: State) -> int:
    """The chip that is broken where none is named."""
    return min(3, len(state["chips"]) - 1)
