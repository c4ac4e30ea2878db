#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The silicon of a simulated Ascend server, in one file.

The program is four tools by the name it is called with:

* ``npu-smi``    prints what the real tool prints, rendered from a state file and from the processes that hold cards;
* ``lspci``      lists the PCI functions of the NPUs (``lspci -D -n -d 19e5:``);
* ``hccn_tool``  answers the few queries about the NPU network ports that are asked in practice;
* ``ascend-sim`` sets a host up (``install``), restores its device nodes after a boot (``boot``) and breaks or mends it.

A process holds HBM of card N for as long as it keeps a memfd named ``ascend-hbm:N:MEGABYTES`` open, so a card is busy
exactly as long as its holder lives, whatever kills the holder.

``ASCEND_SIM_ROOT`` prefixes every path that is read or written (tests), ``ASCEND_SIM_PROC`` names another ``/proc``.
Standard library only: it runs on the hosts and, mounted like the real tool, inside their containers.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import ctypes
import errno
import fcntl
import io
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

State = dict[str, Any]
Chip = dict[str, Any]

STATE_PATH = "/var/lib/ascend-sim/state.json"
# What a container sees of the state: the folder of the driver's libraries is mounted in every way of running one.
MIRROR_PATH = "/usr/local/Ascend/driver/lib64/.ascend-sim.json"
# A process that holds card N keeps a lock on this file plus N: other containers see the card as used.
LOCK_PATH = "/usr/local/Ascend/driver/lib64/.ascend-sim-card-"
DRIVER_INFO = "/usr/local/Ascend/driver/version.info"
FIRMWARE_INFO = "/usr/local/Ascend/firmware/version.info"
INSTALL_INFO = "/etc/ascend_install.info"
HCCN_CONF = "/etc/hccn.conf"
PROGRAM_PATH = "/usr/local/lib/ascend-sim/ascend_sim.py"
NPU_SMI_PATHS = ("/usr/local/sbin/npu-smi", "/usr/local/bin/npu-smi")
DAVINCI_MAJOR = 236
MANAGERS = {"davinci_manager": (235, 0), "hisi_hdc": (237, 0), "devmm_svm": (238, 0)}
DRIVER_USER = "HwHiAiUser"
MAX_PROCESSES_PER_CHIP = 8
PROCESS_NAME_LENGTH = 15
USAGE_INFO = "Usage: npu-smi info <watch|proc|-h|-m|-l|-t type> [Options...]"


def rooted(path: str) -> str:
    """The path below ``ASCEND_SIM_ROOT``."""
    root = os.environ.get("ASCEND_SIM_ROOT", "")
    return os.path.join(root, path.lstrip("/")) if root else path


def write_file(path: str, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old text or the new one, never half of it."""
    target = rooted(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".ascend-sim-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        os.fchmod(stream.fileno(), mode)
    os.replace(temporary, target)


def read_file(path: str) -> str | None:
    try:
        with open(rooted(path), encoding="utf-8") as stream:
            return stream.read()
    except OSError:
        return None


# ------------------------------------------------------------------------------------------------------------- state


def load_state() -> State | None:
    """The state of the host, or in a container the mirror of it that lies among the driver's libraries."""
    for path in (STATE_PATH, MIRROR_PATH):
        text = read_file(path)
        if text is not None:
            return dict(json.loads(text))
    return None


def save_state(state: State) -> None:
    text = json.dumps(state, indent=1, sort_keys=True) + "\n"
    write_file(STATE_PATH, text)
    write_file(MIRROR_PATH, text)


@contextlib.contextmanager
def changing_state() -> Iterator[State]:
    """The state, locked; saved again at the end."""
    lock_path = rooted(os.path.join(os.path.dirname(STATE_PATH), "lock"))
    os.makedirs(os.path.dirname(lock_path), exist_ok=True)
    with open(lock_path, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = load_state()
        if state is None:
            raise SystemExit("ascend-sim: this host has no silicon yet: run `ascend-sim install` first")
        yield state
        save_state(state)


def chip_index(chip: Chip) -> int:
    """N of /dev/davinciN."""
    return int(chip["index"])


def faults(state: State) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = state.setdefault("faults", {})
    return found


def find_chip(state: State, index: int) -> Chip:
    for chip in state["chips"]:
        if chip_index(chip) == index:
            return dict(chip)
    raise SystemExit(f"ascend-sim: no chip {index}; this host has 0 to {len(state['chips']) - 1}")


# ----------------------------------------------------------------------------------------------------------- holders

HELD = re.compile(r"/memfd:ascend-hbm:(\d+):(\d+)(?::(\d+))?(?: \(deleted\))?$")


def proc_root() -> str:
    return os.environ.get("ASCEND_SIM_PROC", "/proc")


def live_holders() -> list[dict[str, Any]]:
    """One entry per process and chip: {index, pid, name, memory_mb, utilization, container_pid}."""
    held: dict[tuple[int, int], dict[str, Any]] = {}
    proc = proc_root()
    try:
        pids = sorted(int(name) for name in os.listdir(proc) if name.isdigit())
    except OSError:
        return []
    for pid in pids:
        folder = f"{proc}/{pid}/fd"
        seen: set[tuple[int, int]] = set()
        try:
            descriptors = os.listdir(folder)
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                match = HELD.search(os.readlink(f"{folder}/{descriptor}"))
                if not match:
                    continue
                inode = os.stat(f"{folder}/{descriptor}").st_ino if proc == "/proc" else int(descriptor)
            except OSError:
                continue
            index, megabytes, utilization = int(match[1]), int(match[2]), int(match[3] or 0)
            if (index, inode) in seen:
                continue
            seen.add((index, inode))
            entry = held.setdefault(
                (index, pid),
                {
                    "index": index,
                    "pid": pid,
                    "name": process_name(pid),
                    "memory_mb": 0,
                    "utilization": 0,
                    "container_pid": container_pid(pid),
                },
            )
            entry["memory_mb"] += megabytes
            entry["utilization"] = max(entry["utilization"], utilization)
    return [held[key] for key in sorted(held)]


def process_name(pid: int) -> str:
    try:
        with open(f"{proc_root()}/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return stream.read().rstrip("\n")[:PROCESS_NAME_LENGTH]
    except OSError:
        return ""


def container_pid(pid: int) -> int | None:
    """The pid in the process's own namespace, where it has one."""
    try:
        with open(f"{proc_root()}/{pid}/status", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.startswith("NSpid:"):
                    numbers = line.split()[1:]
                    return int(numbers[-1]) if len(numbers) > 1 else None
    except OSError:
        pass
    return None


def in_container() -> bool:
    """The state itself stays on the host: only its mirror is seen from inside a container."""
    return not os.path.exists(rooted(STATE_PATH))


def current_view(state: State) -> tuple[list[Chip], list[dict[str, Any]]]:
    """The chips as they are now and the processes on them, as the tool sees them from where it runs."""
    broken = faults(state)
    holders = live_holders() if state.get("live_processes", True) else []
    chips = []
    processes = [dict(entry) for entry in state.get("processes", [])]
    lost = {
        int(chip["npu_id"])
        for chip in state["chips"]
        if "card-lost" in broken and chip_index(chip) in broken["card-lost"]["indices"]
    }
    for configured in state["chips"]:
        chip = copy.deepcopy(configured)
        index = chip_index(chip)
        if chip["npu_id"] in lost:
            continue
        if in_container() and not os.path.exists(rooted(f"/dev/davinci{index}")):
            continue
        used = sum(
            entry["memory_mb"]
            for entry in processes
            if (entry["npu_id"], entry["chip_id"]) == (chip["npu_id"], chip["chip_id"])
        )
        for entry in holders:
            if entry["index"] != index:
                continue
            used += entry["memory_mb"]
            chip["aicore"] = max(chip["aicore"], entry["utilization"])
            processes.append(
                {
                    "npu_id": chip["npu_id"],
                    "chip_id": chip["chip_id"],
                    "pid": entry["pid"],
                    "name": entry["name"],
                    "memory_mb": entry["memory_mb"],
                    "container_pid": entry["container_pid"],
                }
            )
        chip["hbm_used"] = min(chip["hbm_idle"] + used, max(chip["hbm_total"], chip["hbm_idle"]))
        for word, fault in (("Warning", "warning"), ("Alarm", "alarm"), ("Critical", "critical")):
            if fault in broken and index in broken[fault]["indices"]:
                chip["health"] = word
        if "no-heartbeat" in broken and index in broken["no-heartbeat"]["indices"]:
            chip.update(power="0.0", temperature=0, aicore=0, hbm_used=0, hbm_total=0, memory_used=0, memory_total=0)
        chips.append(chip)
    return chips, processes


# --------------------------------------------------------------------------------------------------- the main table


class Layout:
    """One layout of the table of ``npu-smi info``: widths of its three cells and of the columns in them."""

    def __init__(
        self,
        cells: tuple[int, int, int],
        columns: tuple[int, int],
        version_column: int,
        values: tuple[int, int, int],
        pair: int,
        hugepages_pair: int,
        processes: tuple[int, ...],
        hbm: bool = True,
        second_column: str = "",
        process_columns: tuple[str, ...] = ("NPU     Chip", "Process id", "Process name", "Process memory(MB)"),
    ) -> None:
        self.cells = cells
        self.columns = columns
        self.version_column = version_column
        self.values = values
        self.pair = pair
        self.hugepages_pair = hugepages_pair
        self.processes = processes
        self.hbm = hbm
        self.second_column = second_column
        self.process_columns = process_columns

    @property
    def width(self) -> int:
        return sum(self.cells) + 2

    def border(self, char: str, cells: bool = True) -> str:
        return "+" + "+".join(char * cell for cell in self.cells) + "+" if cells else "+" + char * self.width + "+"

    def line(self, text: str) -> str:
        return "|" + f" {text}".ljust(self.width) + "|"

    def row(self, first: tuple[str, str], second: str, third: tuple[str, str, str]) -> str:
        left = f" {first[0]:<{self.columns[0]}} {first[1]:<{self.columns[1]}} "
        middle = f" {second:<{self.cells[1] - 2}} "
        right = " " + " ".join(f"{text:<{width}}" for text, width in zip(third, self.values))
        return f"|{left:<{self.cells[0]}}|{middle}|{right:<{self.cells[2]}}|"


FIVE_COLUMNS = ("NPU     Chip", "Process id", "Process name", "Process memory(MB)", "Process id in container")
LAYOUTS: dict[str, Layout] = {
    # 910B*, 910, 23.0.rc2 to 25.5.x: the common one
    "96": Layout((27, 15, 52), (5, 19), 25, (11, 17, 21), 5, 5, (25, 13, 24, 23)),
    # 910B*, A3, 26.0 and 26.1: a fifth process column
    "114": Layout((27, 15, 70), (5, 19), 36, (20, 23, 23), 5, 5, (25, 13, 18, 21, 23), process_columns=FIVE_COLUMNS),
    # first generation 910, 22.0.x
    "91": Layout((22, 15, 52), (5, 14), 26, (11, 17, 21), 5, 5, (20, 13, 24, 23)),
    # 310P, 24.1: no HBM column, a Device column
    "104": Layout((31, 17, 54), (7, 21), 41, (12, 17, 22), 5, 6, (29, 15, 24, 25), hbm=False, second_column="Device"),
}


def pair_text(used: int, total: int, width: int) -> str:
    """``used/ total``: five digits eat the blank in front of the slash."""
    return f"{used:<{width}}/ {total}"


def render_info(state: State) -> str:
    """The table of ``npu-smi info``, from values alone."""
    layout = LAYOUTS[str(state.get("layout", "96"))]
    chips, processes = current_view(state)
    second_column = layout.second_column or ("Phy-ID" if any(chip.get("phy_id") is not None for chip in chips) else "")
    versions = f"npu-smi {state['npu_smi_version']:<{layout.version_column}}Version: {state['driver_version']}"
    lines = [layout.border("-", cells=False), layout.line(versions), layout.border("-")]
    lines.append(layout.row(("NPU", "Name"), "Health", ("Power(W)", "Temp(C)", "Hugepages-Usage(page)")))
    last = ("Memory-Usage(MB)", "HBM-Usage(MB)") if layout.hbm else ("Memory-Usage(MB)", "")
    lines.append(layout.row(("Chip", second_column), "Bus-Id", ("AICore(%)", *last)))
    lines.append(layout.border("="))
    for position, chip in enumerate(chips):
        lines.append(
            layout.row(
                (str(chip["npu_id"]), chip["name"]),
                chip["health"],
                (
                    str(chip["power"]),
                    str(chip["temperature"]),
                    pair_text(chip["hugepages_used"], chip["hugepages_total"], layout.hugepages_pair),
                ),
            )
        )
        second = {"Phy-ID": chip.get("phy_id"), "Device": chip.get("device_id"), "": ""}[second_column]
        memory = pair_text(chip["memory_used"], chip["memory_total"], layout.pair)
        hbm = pair_text(chip["hbm_used"], chip["hbm_total"], layout.pair) if layout.hbm else ""
        third = (str(chip["aicore"]), memory, hbm)
        lines.append(layout.row((str(chip["chip_id"]), str(second)), chip["bus_id"], third))
        same_card = position + 1 < len(chips) and chips[position + 1]["npu_id"] == chip["npu_id"]
        lines.append(layout.border("-", cells=not layout.hbm) if same_card else layout.border("="))
    if state.get("process_table", True):
        lines += render_processes(layout, chips, processes)
    text = "".join(f"{line}\n" for line in lines[: len(lines) - int(state.get("lines_lost", 0))])
    install_info = read_file(INSTALL_INFO)
    if install_info is not None and "Driver_Install_Status=complete" not in install_info and not in_container():
        text += (
            "[WARNING]The driver package may not be completely installed, "
            "which may cause function abnormal. Please reinstall it.\n"
        )
    return text


def render_processes(layout: Layout, chips: list[Chip], processes: list[dict[str, Any]]) -> list[str]:
    def row(texts: tuple[str, ...]) -> str:
        return "|" + "|".join(f" {text:<{width}} " for text, width in zip(texts, layout.processes)) + "|"

    lines = [layout.border("-"), row(layout.process_columns), layout.border("=")]
    for npu_id in dict.fromkeys(chip["npu_id"] for chip in chips):
        printed = 0
        for chip in chips:
            if chip["npu_id"] != npu_id:
                continue
            on_chip = [entry for entry in processes if (entry["npu_id"], entry["chip_id"]) == (npu_id, chip["chip_id"])]
            for entry in on_chip[:MAX_PROCESSES_PER_CHIP]:
                inner = entry.get("container_pid")
                texts = (
                    f"{npu_id!s:<7} {chip['chip_id']}",
                    str(entry["pid"]),
                    entry["name"][:PROCESS_NAME_LENGTH],
                    str(entry["memory_mb"]),
                    "NA" if inner is None else str(inner),
                )
                lines.append(row(texts[: len(layout.processes)]))
                printed += 1
        if not printed:
            lines.append(layout.line(f"No running processes found in NPU {npu_id}"))
        lines.append(layout.border("="))
    return lines


# ------------------------------------------------------------------------------------------------- the sub-commands


def block(*pairs: tuple[str, object]) -> str:
    return "".join(f"\t{key:<30} : {value}\n" for key, value in pairs)


def by_card(chips: list[Chip]) -> dict[int, list[Chip]]:
    cards: dict[int, list[Chip]] = {}
    for chip in chips:
        cards.setdefault(int(chip["npu_id"]), []).append(chip)
    return cards


def percent(used: int, total: int) -> int:
    return used * 100 // total if total else 0


def render_list(state: State) -> str:
    cards = by_card(current_view(state)[0])
    text = block(("Total Count", len(cards)))
    for npu_id, chips in cards.items():
        text += "\n" + block(("NPU ID", npu_id), ("Chip Count", len(chips)))
    return text


def render_mapping(state: State) -> str:
    chips, _ = current_view(state)
    phy = any(chip.get("phy_id") is not None for chip in chips)
    headings = ["NPU ID", "Chip ID", "Chip Logic ID", *(["Chip Phy-ID"] if phy else []), "Chip Name"]
    rows = [headings]
    for npu_id, on_card in by_card(chips).items():
        for chip in on_card:
            name = chip["name"] if chip["name"].startswith("Ascend") else f"Ascend {chip['name']}"
            rows.append(
                [
                    str(npu_id),
                    str(chip["chip_id"]),
                    str(chip["logic_id"]),
                    *([str(chip["phy_id"])] if phy else []),
                    name,
                ]
            )
        if state.get("mcu", True):
            rows.append([str(npu_id), str(len(on_card)), "-", *(["-"] if phy else []), "Mcu"])
    return "".join("\t" + " ".join(f"{text:<30}" for text in row[:-1]) + f" {row[-1]}\n" for row in rows)


def render_board(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    if chip is not None:
        return block(
            ("NPU ID", npu_id),
            ("Chip ID", chip["chip_id"]),
            ("Chip Type", "Ascend"),
            ("Chip Name", chip["name"]),
            ("Chip Version", "V1"),
            ("Board ID", state["board"]["board_id"]),
            ("PCB ID", "NA"),
            ("BOM ID", "1"),
            ("VDie ID", die_id(chip, "V")),
            ("NDie ID", die_id(chip, "N")),
            ("Chip Position ID", chip["chip_id"]),
            ("PCIe Bus Info", chip["bus_id"]),
            ("Firmware Version", state["firmware_version"]),
        )
    board = state["board"]
    names = (("NPU Name", board["npu_name"]),) if board.get("npu_name") else ()
    return block(
        ("NPU ID", npu_id),
        ("Product Name", board["product_name"]),
        ("Model", "NA"),
        *names,
        ("Manufacturer", "Huawei"),
        ("Serial Number", f"{board['serial_prefix']}{npu_id:02d}"),
        ("Software Version", state["driver_version"]),
        ("Firmware Version", state["firmware_version"]),
        ("Compatibility", "OK"),
        ("Board ID", board["board_id"]),
        ("PCB ID", "A"),
        ("BOM ID", "1"),
        ("PCIe Bus Info", on_card[0]["bus_id"]),
        ("Slot ID", npu_id),
        ("Class ID", "NA"),
        ("PCI Vendor ID", "0x19E5"),
        ("PCI Device ID", "0x" + state["pci_id"].split(":")[1].upper()),
        ("Subsystem Vendor ID", "0x19E5"),
        ("Subsystem Device ID", "0x3003"),
        ("Chip Count", len(on_card)),
    )


def die_id(chip: Chip, letter: str) -> str:
    seed = (chip_index(chip) + 1) * (0x01000193 if letter == "V" else 0x0100D1E5)
    return " ".join(f"{(seed * factor) & 0xFFFFFFFF:08X}" for factor in (7, 11, 13, 17, 19))


def render_common(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(
            ("Chip ID", entry["chip_id"]),
            ("Memory Usage Rate(%)", percent(entry["memory_used"], entry["memory_total"])),
            ("HBM Usage Rate(%)", percent(entry["hbm_used"], entry["hbm_total"])),
            ("Aicore Usage Rate(%)", entry["aicore"]),
            ("Aicore Freq(MHZ)", 1800),
            ("Aicore curFreq(MHZ)", 1800 if entry["aicore"] else 800),
            ("Aicore Count", 24),
            ("Temperature(C)", entry["temperature"]),
            ("NPU Real-time Power(W)", entry["power"]),
        )
    if state.get("mcu", True) and chip is None:
        text += "\n" + block(("Chip Name", "mcu"), ("Temperature(C)", 38))
    return text


def render_usages(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(
            ("DDR Capacity(MB)", entry["memory_total"]),
            ("DDR Usage Rate(%)", percent(entry["memory_used"], entry["memory_total"])),
            ("DDR Hugepages Total(page)", entry["hugepages_total"]),
            ("DDR Hugepages Usage Rate(%)", percent(entry["hugepages_used"], entry["hugepages_total"])),
            ("HBM Capacity(MB)", entry["hbm_total"]),
            ("HBM Usage Rate(%)", percent(entry["hbm_used"], entry["hbm_total"])),
            ("Aicore Usage Rate(%)", entry["aicore"]),
            ("Aivector Usage Rate(%)", 0),
            ("Aicpu Usage Rate(%)", 0),
            ("Ctrlcpu Usage Rate(%)", 6),
            ("DDR Bandwidth Usage Rate(%)", 0),
            ("HBM Bandwidth Usage Rate(%)", 0),
            ("NPU Utilization(%)", entry["aicore"]),
            ("Aicube Usage Rate(%)", 0),
            ("Chip ID", entry["chip_id"]),
        )
    return text


ALARM_TEXT = {
    "Warning": ("80E18402", "node type=HBM, sensor type=Memory, event state=Correctable ECC over threshold"),
    "Alarm": (
        "80E3A203",
        "node type=LPM, sensor type=Chip Hardware, event state=The function of obtaining the current is abnormal",
    ),
    "Critical": ("80E01801", "node type=HBM, sensor type=Memory, event state=Uncorrectable ECC"),
}


def render_health(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    if chip is not None:
        code, information = ALARM_TEXT.get(chip["health"], ("NA", "NA"))
        return block(("Health Status", chip["health"]), ("Error Code", code), ("Error Information", information))
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in on_card:
        text += "\n" + block(("Health", entry["health"]), ("Chip ID", entry["chip_id"]))
    if state.get("mcu", True):
        text += "\n" + block(("Health", "OK"), ("Chip Name", "MCU"))
    return text


def render_memory(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(
            ("DDR Capacity(MB)", entry["memory_total"]),
            ("DDR Clock Speed(MHz)", 0),
            ("HBM Capacity(MB)", entry["hbm_total"]),
            ("HBM Clock Speed(MHz)", 1600),
            ("HBM Temperature(C)", entry["temperature"]),
            ("HBM Manufacturer ID", "0x56"),
            ("Chip ID", entry["chip_id"]),
        )
    return text


def render_temperature(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(("NPU Temperature (C)", entry["temperature"]), ("Chip ID", entry["chip_id"]))
    if state.get("mcu", True) and chip is None:
        text += "\n" + block(("LM75A_TE (C)", 36), ("LM75B_TE (C)", 36), ("Chip Name", "MCU"))
    return text


def render_power(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(("NPU Real-time Power(W)", entry["power"]), ("Chip ID", entry["chip_id"]))
    return text


def render_process_memory(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    _, processes = current_view(state)
    text = block(("NPU ID", npu_id))
    for entry in [chip] if chip else on_card:
        for process in processes:
            if (process["npu_id"], process["chip_id"]) == (npu_id, entry["chip_id"]):
                text += (
                    f"\tProcess id:{process['pid']}  Process name:{process['name'][:PROCESS_NAME_LENGTH]:<18}"
                    f" Process memory(MB):{process['memory_mb']}\n"
                )
    return text


LEGEND = """
Legend:

  X    = Self
  SYS  = Path traversing PCIe and NUMA nodes. Nodes are connected through SMP, such as QPI, UPI.
  PHB  = Path traversing PCIe and the PCIe host bridge of a CPU.
  PIX  = Path traversing a single PCIe switch
  PXB  = Path traversing multipul PCIe switches
  HCCS = Connection traversing HCCS.
  NA   = Unknown relationship.
"""


def render_topology(state: State) -> str:
    chips, _ = current_view(state)
    dies = any(chip.get("phy_id") is not None for chip in chips)
    names = [f"Phy-ID{chip['phy_id']}" if dies else f"NPU{chip['logic_id']}" for chip in chips]
    text = "\t" + " " * 11 + "".join(f"{name:<11}" for name in names) + "CPU Affinity\n"
    for row, chip in enumerate(chips):
        links = []
        for column, other in enumerate(chips):
            if row == column:
                links.append("X")
            elif dies and chip["npu_id"] == other["npu_id"]:
                links.append("SIO")
            else:
                links.append("HCCS_SW" if dies else "HCCS")
        text += "\t" + f"{names[row]:<11}" + "".join(f"{link:<11}" for link in links) + f"{chip['cpu_affinity']}\n"
    return text + LEGEND


RENDERERS: dict[str, Callable[[State, int, list[Chip], Chip | None], str]] = {
    "board": render_board,
    "common": render_common,
    "usages": render_usages,
    "health": render_health,
    "memory": render_memory,
    "temp": render_temperature,
    "power": render_power,
    "proc-mem": render_process_memory,
}

INFO_HELP = (
    USAGE_INFO
    + """

Commands:
       watch          Show all device's status in scrolling format
       proc           Show device's matrix process status in scrolling format
       -h, --help     Show this help text and exit
       -m             Show all device's mapping information
       -l             Show all device's topology information
       -t type        Show information for type
                      type: board, memory, usages, temp, power, common, health, proc-mem, topo.

Options:
       -i %d          Card ID
       -c %d          Chip ID
       -p %d          Chip Physical ID
"""
)

MAIN_HELP = """Usage: npu-smi <Command|-h|-v> [Options...]

npu-smi Command:
        -h            This command's help information
        --help        This command's help information
        -v            Show npu-smi version information
        info          Show hardware details
        set           Modify device configuration properties
        clear         Clear device information
        upgrade       Upgrade firmware
"""


class Refused(Exception):
    """What the tool says instead of an answer: text, stream and exit status."""

    def __init__(self, text: str, status: int, stream: str = "stdout") -> None:
        super().__init__(text)
        self.text, self.status, self.stream = text, status, stream


def dcmi_refusal(code: int, text: str) -> Refused:
    """npu-smi's own words are on stdout, its exit status is the code modulo 256."""
    return Refused(text + "\n", code % 256)


def check_driver(state: State | None) -> State:
    """What goes wrong before npu-smi reads its arguments."""

    def library(name: str) -> Refused:
        return Refused(
            f"npu-smi: error while loading shared libraries: {name}: "
            "cannot open shared object file: No such file or directory\n",
            127,
            "stderr",
        )

    # The dynamic loader's work: in a container the libraries are there only if their folders are mounted.
    if state is None or "missing-library" in faults(state):
        raise library("libdrvdsmi_host.so")
    if state.get("libraries", True):
        if not os.path.exists(rooted("/usr/local/Ascend/driver/lib64/driver/libdrvdsmi_host.so")):
            raise library("libdrvdsmi_host.so")
        if not os.path.exists(rooted("/usr/local/dcmi/libdcmi.so")):
            raise library("libdcmi.so")
    broken = faults(state)
    if "dcmi-8005" in broken or not broken.get("late-driver", {"up": True})["up"] or driver_not_loaded(state):
        raise dcmi_refusal(-8005, "dcmi module initialize failed. ret is -8005")
    if "dcmi-8020" in broken:
        raise dcmi_refusal(
            -8020,
            "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\n"
            "dcmi model initialized failed, because the device is used. ret is -8020",
        )
    if "board-9005" in broken:
        raise dcmi_refusal(-9005, "DrvMngGetConsoleLogLevel failed. (ret=4)\nnpu get board type failed. ret is -9005")
    if in_container():
        present = [chip for chip in state["chips"] if os.path.exists(rooted(f"/dev/davinci{chip_index(chip)}"))]
        if not os.path.exists(rooted("/dev/davinci_manager")) or not present:
            raise dcmi_refusal(
                -8005, "DrvMngGetConsoleLogLevel failed. (ret=4)\ndcmi module initialize failed. ret is -8005"
            )
    return state


def driver_not_loaded(state: State) -> bool:
    """Another driver is installed than the one the kernel runs: the host was not rebooted after an upgrade."""
    installed = read_version(DRIVER_INFO, "version")
    return not in_container() and installed is not None and installed != state["driver_version"]


def read_version(path: str, key: str) -> str | None:
    for line in (read_file(path) or "").splitlines():
        name, _, value = line.partition("=")
        if name.strip().lower() == key:
            return value.strip()
    return None


def npu_smi(arguments: list[str]) -> str:
    """The text of one npu-smi command."""
    state = check_driver(load_state())
    if "hung" in faults(state):
        while True:
            signal.pause()
    if not arguments or arguments[0] in ("-h", "--help"):
        return MAIN_HELP
    if arguments[0] == "-v":
        return f"npu-smi version: {state['npu_smi_version']}\n"
    if arguments[0] != "info":
        raise Refused(f"Error parameter of {arguments[0]}\n" + MAIN_HELP, 1)
    options = arguments[1:]
    if not options:
        text = render_info(state)
        if "truncated" in faults(state):
            text = text[: len(text) * int(faults(state)["truncated"].get("percent", 45)) // 100]
        return text
    if options[0] in ("-h", "--help"):
        return INFO_HELP
    if options == ["-l"]:
        return render_list(state)
    if options == ["-m"]:
        return render_mapping(state)
    return npu_smi_type(state, options)


def npu_smi_type(state: State, options: list[str]) -> str:
    values: dict[str, str] = {}
    rest = list(options)
    while rest:
        name = rest.pop(0)
        if name not in ("-t", "-i", "-c", "-p") or not rest:
            raise Refused(f"Error parameter of {name}\n{USAGE_INFO}\n", 1)
        values[name] = rest.pop(0)
    if values.get("-t") == "topo":
        return render_topology(state)
    renderer = RENDERERS.get(values.get("-t", ""))
    if renderer is None:
        raise Refused(f"Error parameter of -t\n{USAGE_INFO}\n", 1)
    cards = by_card(current_view(state)[0])
    if not values.get("-i", "").isdigit() or int(values["-i"]) not in cards:
        raise Refused(f"Invalid card id.\nError parameter of -i\n{USAGE_INFO}\n", 1)
    on_card = cards[int(values["-i"])]
    chip = None
    if "-c" in values:
        chip = next((entry for entry in on_card if str(entry["chip_id"]) == values["-c"]), None)
        if chip is None:
            raise Refused(f"Invalid chip id.\nError parameter of -c\n{USAGE_INFO}\n", 1)
    return renderer(state, int(values["-i"]), on_card, chip)


def main_npu_smi(arguments: list[str]) -> int:
    try:
        sys.stdout.write(npu_smi(arguments))
    except Refused as refusal:
        (sys.stderr if refusal.stream == "stderr" else sys.stdout).write(refusal.text)
        return refusal.status
    return 0


# ------------------------------------------------------------------------------------------------ lspci and hccn_tool


def main_lspci(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lspci", add_help=False)
    parser.add_argument("-D", action="store_true")
    parser.add_argument("-n", action="count", default=0)
    parser.add_argument("-k", action="store_true")
    parser.add_argument("-m", action="count", default=0)
    parser.add_argument("-v", action="count", default=0)
    parser.add_argument("-d", default="")
    parser.add_argument("-s", default="")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        sys.stderr.write(f"lspci: invalid option -- '{unknown[0].lstrip('-')[:1]}'\n")
        return 1
    state = load_state()
    if state is None:
        return 0
    vendor, _, device = state["pci_id"].partition(":")
    wanted_vendor, _, wanted_device = options.d.partition(":")
    if wanted_vendor and int(wanted_vendor, 16) != int(vendor, 16):
        return 0
    if wanted_device and not device.startswith(wanted_device.split(":")[0].lower()):
        return 0
    gone = faults(state).get("pci-lost", {}).get("indices", [])
    addresses = sorted(chip["bus_id"].lower() for chip in state["chips"] if chip_index(chip) not in gone)
    for address in addresses:
        if options.s and options.s.lower() not in address:
            continue
        shown = address if options.D else address.partition(":")[2]
        if options.n:
            sys.stdout.write(f"{shown} 1200: {vendor}:{device} (rev 20)\n")
        else:
            words = "Processing accelerators: Huawei Technologies Co., Ltd. Device"
            sys.stdout.write(f"{shown} {words} {device} (rev 20)\n")
        if options.k:
            sys.stdout.write("\tKernel driver in use: devdrv_device_driver\n")
    return 0


def main_hccn_tool(arguments: list[str]) -> int:
    state = load_state()
    if state is None or "-i" not in arguments:
        sys.stdout.write("hccn_tool: wrong parameter.\n")
        return 1
    index = arguments[arguments.index("-i") + 1] if arguments.index("-i") + 1 < len(arguments) else ""
    if not index.isdigit() or int(index) >= len(state["chips"]):
        sys.stdout.write("hccn_tool: wrong device id.\n")
        return 1
    down = int(index) in faults(state).get("link-down", {}).get("indices", [])
    conf = {key: value for key, _, value in (line.partition("=") for line in (read_file(HCCN_CONF) or "").splitlines())}
    answers = {
        "-link": f"link status: {'DOWN' if down else 'UP'}\n",
        "-net_health": f"net health status: {'Socket failed' if down else 'Success'}\n",
        "-ip": f"ipaddr:{conf.get(f'address_{index}', '')}\nnetmask:{conf.get(f'netmask_{index}', '')}\n",
        "-gateway": f"default gateway:{conf.get(f'gateway_{index}', '')}, Iface:eth{index}\n",
        "-tls": (
            f"dev_id:{index}, tls switch[0](0:disable, 1:enable), tls preconfigured[1](0:non-preset, 1:preset), "
            "tls alarm time threshold[60]days\n"
        ),
        "-fec": "fec mode: rs FEC mode\n",
    }
    for option in arguments:
        if option in answers:
            sys.stdout.write(answers[option])
            return 0
    sys.stdout.write("hccn_tool: wrong parameter.\n")
    return 1


# ---------------------------------------------------------------------------------------------------------- install

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
FIRMWARE_OF_PACKAGE = {
    "24.1.0": "7.5.0.3.220",
    "25.0.rc1.1": "7.7.0.1.231",
    "25.2.0": "7.8.0.7.220",
    "25.5.0": "7.8.0.5.201",
    "25.5.1": "7.8.0.6.201",
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


def driver_info(version: str) -> str:
    return f"""Version={version}
ascendhal_version=7.35.23
aicpu_version=1.0
tdt_version=1.0
log_version=1.0
prof_version=2.0
dvppkernels_version=1.1
tsfw_version=1.0
Innerversion=V100R001C22SPC005B220
compatible_version=[V100R001C19],[V100R001C20],[V100R001C21],[V100R001C22],[V100R001C23]
compatible_version_fw=[7.0.0,7.8.99]
package_version={version}
"""


def firmware_info(version: str, package_version: str) -> str:
    return f"""Version={version}
firmware_version=1.0
package_version={package_version}
compatible_version_drv=[24.1.rc3,24.1.rc3.],[25.0.rc1,25.0.rc1.],[25.2.0,25.2.0.],[25.5.0,25.5.0.]
"""


INSTALL_INFO_TEXT = """UserName=HwHiAiUser
UserGroup=HwHiAiUser
Firmware_Install_Type=full
Firmware_Install_Path_Param=/usr/local/Ascend
Driver_Install_Type=full
Driver_Install_Path_Param=/usr/local/Ascend
Driver_Install_For_All=yes
Driver_Install_Mode=normal
Driver_Install_Status=complete
"""


def hccn_conf(state: State, seed: int) -> str:
    text = ""
    for chip in state["chips"]:
        index = chip_index(chip)
        text += (
            f"address_{index}=29.{seed}.{137 + index % 2}.{10 + index}\nnetmask_{index}=255.255.0.0\n"
            f"netdetect_{index}=29.{seed}.0.1\ngateway_{index}=29.{seed}.0.1\nsend_arp_status_{index}=1\n"
        )
    return text


def driver_owner() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(DRIVER_USER)
        return entry.pw_uid, entry.pw_gid
    except KeyError:
        return 0, 0


def ensure_driver_user() -> None:
    """User and group of the driver, id 1000 where that is free, as the driver package makes them."""
    if os.environ.get("ASCEND_SIM_ROOT") or os.geteuid() != 0:
        return
    try:
        pwd.getpwnam(DRIVER_USER)
        return
    except KeyError:
        pass
    wanted = [] if any(entry.pw_uid == 1000 for entry in pwd.getpwall()) else ["-u", "1000"]
    group = ["-g", "1000"] if wanted else []
    subprocess.run(["groupadd", *group, DRIVER_USER], check=False, capture_output=True)
    subprocess.run(
        ["useradd", *wanted, "-g", DRIVER_USER, "-d", f"/home/{DRIVER_USER}", "-m", "-s", "/bin/bash", DRIVER_USER],
        check=False,
        capture_output=True,
    )


def make_node(name: str, major: int, minor: int) -> None:
    """One device node; below ASCEND_SIM_ROOT, or without the right to make one, a plain file stands in."""
    path = rooted(f"/dev/{name}")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        existing = os.lstat(path)
        if stat.S_ISCHR(existing.st_mode) and existing.st_rdev == os.makedev(major, minor):
            return
        os.unlink(path)
    try:
        os.mknod(path, stat.S_IFCHR | 0o660, os.makedev(major, minor))
        os.chmod(path, 0o660)
        os.chown(path, *driver_owner())
    except PermissionError:
        if not os.environ.get("ASCEND_SIM_ROOT"):
            raise
        with open(path, "w", encoding="utf-8"):
            pass


def make_nodes(state: State) -> None:
    missing = faults(state).get("device-node", {}).get("indices", [])
    for chip in state["chips"]:
        if chip_index(chip) not in missing:
            make_node(f"davinci{chip_index(chip)}", DAVINCI_MAJOR, chip_index(chip))
    gone = faults(state).get("manager-node", {}).get("names", [])
    for name, (major, minor) in MANAGERS.items():
        if name not in gone:
            make_node(name, major, minor)


def install_program() -> None:
    """The tools at their real places, as files: containers mount them one by one."""
    own = os.path.realpath(__file__)
    for path in (*NPU_SMI_PATHS, "/usr/local/Ascend/driver/tools/hccn_tool"):
        target = rooted(path)
        if os.path.isdir(target):
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        temporary = f"{target}.new"
        shutil.copyfile(own, temporary)
        os.chmod(temporary, 0o755)
        os.replace(temporary, target)


def command_install(options: argparse.Namespace) -> int:
    state = default_state(options.generation, options.architecture, options.driver)
    if options.capture:
        with open(options.capture, encoding="utf-8") as stream:
            state.update(json.load(stream))
    if options.firmware:
        state["firmware_version"] = options.firmware
    ensure_driver_user()
    write_file(DRIVER_INFO, driver_info(state["driver_version"]))
    write_file(FIRMWARE_INFO, firmware_info(state["firmware_version"], state["firmware_package_version"]))
    write_file(INSTALL_INFO, INSTALL_INFO_TEXT)
    write_file(HCCN_CONF, hccn_conf(state, sum(socket.gethostname().encode()) % 200 + 1))
    dummy = "This stands for a library of the driver; the simulated host has no NPU.\n"
    for path in (
        "/usr/local/dcmi/libdcmi.so",
        "/usr/local/dcmi/dcmi_interface_api.h",
        "/usr/local/Ascend/driver/lib64/libdcmi.so",
        "/usr/local/Ascend/driver/lib64/driver/libdrvdsmi_host.so",
        "/usr/local/Ascend/driver/lib64/driver/libascend_hal.so",
        "/usr/local/Ascend/driver/lib64/driver/libdrvhdc_host.so",
        "/usr/local/Ascend/driver/lib64/common/libc_sec.so",
    ):
        write_file(path, dummy)
    for chip in state["chips"]:
        if not os.path.exists(rooted(f"{LOCK_PATH}{chip_index(chip)}")):  # never replaced: a holder has it open
            write_file(f"{LOCK_PATH}{chip_index(chip)}", "")
    install_program()
    save_state(state)
    make_nodes(state)
    return 0


def command_boot(_options: argparse.Namespace) -> int:
    """What the kernel and the driver do at boot: load the installed driver, make the nodes."""
    with changing_state() as state:
        installed = read_version(DRIVER_INFO, "version")
        if installed is not None and installed != state["driver_version"]:
            state["driver_version"] = state["npu_smi_version"] = installed
            state["layout"] = "114" if installed.startswith("26.") else "96"
        firmware = read_version(FIRMWARE_INFO, "version")
        if firmware is not None:
            state["firmware_version"] = firmware
            state["firmware_package_version"] = read_version(FIRMWARE_INFO, "package_version") or firmware
        for name in ("process-held", "port-taken"):  # they do not survive a boot
            faults(state).pop(name, None)
        if faults(state).get("disk-full", {}).get("how") == "mount":
            faults(state).pop("disk-full")
        late = faults(state).get("late-driver")
        if late is None:
            make_nodes(state)
        else:
            late["up"] = False
    if late is not None:
        start_detached("late-boot", str(late["seconds"]))
    return 0


def command_late_boot(options: argparse.Namespace) -> int:
    """The second half of a boot with a late driver: its nodes appear only so long after docker listens."""
    while not os.path.exists(rooted("/run/docker.sock")):
        time.sleep(0.2)
    time.sleep(options.seconds)
    with changing_state() as state:
        if "late-driver" in faults(state):
            faults(state)["late-driver"]["up"] = True
        make_nodes(state)
    return 0


# ------------------------------------------------------------------------------------------------------------ faults


def default_index(state: State) -> int:
    return min(3, len(state["chips"]) - 1)


def add_index(state: State, name: str, argument: str | None) -> dict[str, Any]:
    """Remember one more chip under a fault; breaking the same one twice changes nothing."""
    index = int(argument) if argument is not None else default_index(state)
    find_chip(state, index)
    entry = faults(state).setdefault(name, {"indices": []})
    if index not in entry["indices"]:
        entry["indices"].append(index)
        entry["indices"].sort()
    return entry


def break_chips(name: str) -> Callable[[State, str | None], None]:
    def apply(state: State, argument: str | None) -> None:
        add_index(state, name, argument)

    return apply


def break_flag(name: str) -> Callable[[State, str | None], None]:
    def apply(state: State, _argument: str | None) -> None:
        faults(state).setdefault(name, {})

    return apply


def mend_flag(name: str) -> Callable[[State], None]:
    def apply(state: State) -> None:
        faults(state).pop(name, None)

    return apply


def break_driver_version(state: State, argument: str | None) -> None:
    saved = faults(state).setdefault("driver-version", {"was": state["driver_version"]})
    version = argument or "24.1.rc2"
    saved["now"] = version
    state["driver_version"] = state["npu_smi_version"] = version
    write_file(DRIVER_INFO, driver_info(version))


def mend_driver_version(state: State) -> None:
    saved = faults(state).pop("driver-version", None)
    if saved:
        state["driver_version"] = state["npu_smi_version"] = saved["was"]
        write_file(DRIVER_INFO, driver_info(saved["was"]))


def break_firmware_version(state: State, argument: str | None) -> None:
    saved = faults(state).setdefault(
        "firmware-version", {"was": [state["firmware_version"], state["firmware_package_version"]]}
    )
    package = argument or "24.1.rc2"
    saved["now"] = package
    state["firmware_package_version"] = package
    state["firmware_version"] = FIRMWARE_OF_PACKAGE.get(package, "7.3.0.1.231")
    write_file(FIRMWARE_INFO, firmware_info(state["firmware_version"], package))


def mend_firmware_version(state: State) -> None:
    saved = faults(state).pop("firmware-version", None)
    if saved:
        state["firmware_version"], state["firmware_package_version"] = saved["was"]
        write_file(FIRMWARE_INFO, firmware_info(*saved["was"]))


def break_reboot_pending(state: State, argument: str | None) -> None:
    """A newer driver was installed and the host not rebooted."""
    faults(state).setdefault("reboot-pending", {"was": state["driver_version"]})
    write_file(DRIVER_INFO, driver_info(argument or "25.5.0"))


def mend_reboot_pending(state: State) -> None:
    saved = faults(state).pop("reboot-pending", None)
    if saved:
        write_file(DRIVER_INFO, driver_info(saved["was"]))


def break_device_node(state: State, argument: str | None) -> None:
    for index in add_index(state, "device-node", argument)["indices"]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(rooted(f"/dev/davinci{index}"))


def break_manager_node(state: State, argument: str | None) -> None:
    name = argument or "davinci_manager"
    if name not in MANAGERS:
        raise SystemExit(f"ascend-sim: no manager node {name}; there are {', '.join(MANAGERS)}")
    names = faults(state).setdefault("manager-node", {"names": []})["names"]
    if name not in names:
        names.append(name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(rooted(f"/dev/{name}"))


def mend_nodes(name: str) -> Callable[[State], None]:
    def apply(state: State) -> None:
        faults(state).pop(name, None)
        make_nodes(state)

    return apply


def break_truncated(state: State, argument: str | None) -> None:
    faults(state)["truncated"] = {"percent": int(argument) if argument else 45}


def hide(path: str) -> None:
    target = rooted(path)
    if os.path.lexists(target) and not os.path.isdir(target):
        os.replace(target, f"{target}.ascend-sim-hidden")


def unhide(path: str) -> None:
    target = rooted(path)
    if os.path.lexists(f"{target}.ascend-sim-hidden"):
        if os.path.isdir(target) and not os.path.islink(target):
            shutil.rmtree(target)
        os.replace(f"{target}.ascend-sim-hidden", target)


def break_hidden(name: str, *paths: str) -> Callable[[State, str | None], None]:
    def apply(state: State, _argument: str | None) -> None:
        faults(state).setdefault(name, {})
        for path in paths:
            hide(path)

    return apply


def mend_hidden(name: str, *paths: str) -> Callable[[State], None]:
    def apply(state: State) -> None:
        faults(state).pop(name, None)
        for path in paths:
            unhide(path)

    return apply


def break_npu_smi_directory(state: State, _argument: str | None) -> None:
    """docker made a folder where a container asked for a file that was not there."""
    faults(state).setdefault("npu-smi-directory", {})
    for path in NPU_SMI_PATHS:
        hide(path)
        os.makedirs(rooted(path), exist_ok=True)


def break_driver_incomplete(state: State, _argument: str | None) -> None:
    faults(state).setdefault("driver-incomplete", {})
    text = read_file(INSTALL_INFO) or INSTALL_INFO_TEXT
    write_file(INSTALL_INFO, text.replace("Driver_Install_Status=complete\n", ""))


def mend_driver_incomplete(state: State) -> None:
    faults(state).pop("driver-incomplete", None)
    write_file(INSTALL_INFO, INSTALL_INFO_TEXT)


def own_program() -> str:
    installed = rooted(PROGRAM_PATH)
    return installed if os.path.exists(installed) else os.path.realpath(__file__)


def start_detached(*arguments: str) -> int:
    """A process of its own that outlives this one; its pid."""
    process = subprocess.Popen(
        [sys.executable, own_program(), *arguments],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    time.sleep(0.3)
    if process.poll() is not None:
        raise SystemExit(f"ascend-sim: {' '.join(arguments)} ended at once with status {process.returncode}")
    return process.pid


def start_ticks(pid: int) -> str | None:
    """When a process started: with its pid, a name that is never reused."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def end_process(entry: dict[str, Any]) -> None:
    if start_ticks(entry["pid"]) != entry["started"]:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(entry["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while start_ticks(entry["pid"]) == entry["started"] and time.monotonic() < deadline:
        time.sleep(0.05)


def break_process_held(state: State, argument: str | None) -> None:
    """``N``, or ``N,SECONDS`` for a holder that lets go by itself, as a driver does that frees memory late."""
    chip, _, seconds = (argument or str(default_index(state))).partition(",")
    index = int(chip)
    find_chip(state, index)
    held = faults(state).setdefault("process-held", {"processes": []})["processes"]
    held[:] = [entry for entry in held if start_ticks(entry["pid"]) == entry["started"]]
    if any(entry["index"] == index for entry in held):
        return
    limit = ["--seconds", seconds] if seconds else []
    pid = start_detached("hold", str(index), "18429", "--utilization", "25", "--name", "python", *limit)
    held.append({"index": index, "pid": pid, "started": start_ticks(pid)})


def mend_process_held(state: State) -> None:
    for entry in (faults(state).pop("process-held", None) or {"processes": []})["processes"]:
        end_process(entry)


FOREIGN_CONTAINER = "someone-elses-training"
FOREIGN_IMAGE = "registry.example/pytorch-training:2.1"


def docker(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *arguments], input=stdin, capture_output=True, check=False, timeout=120)


def docker_or_exit(*arguments: str, stdin: bytes | None = None) -> bytes:
    result = docker(*arguments, stdin=stdin)
    if result.returncode != 0:
        reason = result.stderr.decode(errors="replace").strip()
        raise SystemExit(f"ascend-sim: docker {' '.join(arguments[:2])}: {reason}")
    return result.stdout


def foreign_root() -> bytes:
    """A root file system with nothing in it but the places where the host's /usr is mounted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("usr", "etc", "tmp", "proc", "sys", "dev", "run", "var"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name in ("bin", "sbin", "lib", "lib64"):
            if os.path.islink(f"/{name}"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{name}"
                archive.addfile(entry)
    return buffer.getvalue()


def break_card_held(state: State, argument: str | None) -> None:
    index = int(argument) if argument is not None else default_index(state)
    find_chip(state, index)
    template = '{{.State.Running}} {{index .Config.Labels "ascend-sim.index"}}'
    running = docker("inspect", "-f", template, FOREIGN_CONTAINER)
    if running.returncode == 0 and running.stdout.decode().split() == ["true", str(index)]:
        faults(state)["card-held"] = {"index": index}
        return
    docker("rm", "-f", FOREIGN_CONTAINER)
    if docker("image", "inspect", FOREIGN_IMAGE).returncode != 0:
        docker_or_exit("import", "-", FOREIGN_IMAGE, stdin=foreign_root())
    docker_or_exit(
        "run",
        "-d",
        "--name",
        FOREIGN_CONTAINER,
        "--label",
        f"ascend-sim.index={index}",
        "--net=none",
        f"--device=/dev/davinci{index}",
        "--device=/dev/davinci_manager",
        "-v",
        "/usr:/usr:ro",
        "-v",
        f"{own_program()}:/train.py:ro",
        FOREIGN_IMAGE,
        "/usr/bin/python3",
        "/train.py",
        "hold",
        str(index),
        "41872",
        "--utilization",
        "97",
        "--name",
        "python",
    )
    faults(state)["card-held"] = {"index": index}


def mend_card_held(state: State) -> None:
    if faults(state).pop("card-held", None) is not None:
        docker("rm", "-f", FOREIGN_CONTAINER)
        docker("rmi", FOREIGN_IMAGE)


def systemctl(*arguments: str) -> None:
    subprocess.run(["systemctl", *arguments], check=False, capture_output=True, timeout=120)


def break_docker_down(state: State, _argument: str | None) -> None:
    faults(state).setdefault("docker-down", {})
    systemctl("stop", "docker.socket", "docker.service")


def mend_docker_down(state: State) -> None:
    if faults(state).pop("docker-down", None) is not None:
        systemctl("start", "docker.socket", "docker.service")


ARTIFACTS = "/var/lib/ascend-fleet"
BALLAST = f"{ARTIFACTS}/.ascend-sim-ballast"
SMALL_DISK = 4 << 30


def break_disk_full(state: State, argument: str | None) -> None:
    """Leave so many MB free below the folder of the artifacts.

    A small disk of its own is filled up. The hosts' ordinary folders lie on one real disk, which must not be filled:
    there a small file system is mounted over the folder instead.
    """
    megabytes = int(argument) if argument else 100
    mend_disk_full(state)
    folder = rooted(ARTIFACTS)
    os.makedirs(folder, exist_ok=True)
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free <= SMALL_DISK:
        size = free - (megabytes << 20)
        if size > 0:
            with open(rooted(BALLAST), "wb") as ballast:
                os.posix_fallocate(ballast.fileno(), 0, size)
        faults(state)["disk-full"] = {"megabytes": megabytes, "how": "ballast"}
        return
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "ascend-sim-small-disk", folder]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"ascend-sim: {result.stderr.strip()}")
    faults(state)["disk-full"] = {"megabytes": megabytes, "how": "mount"}


def mend_disk_full(state: State) -> None:
    was = faults(state).pop("disk-full", None)
    if was is None:
        return
    if was["how"] == "ballast":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(rooted(BALLAST))
    else:
        subprocess.run(["umount", "-l", rooted(ARTIFACTS)], check=False, capture_output=True)


def break_port_taken(state: State, argument: str | None) -> None:
    port = int(argument) if argument else 8010
    taken = faults(state).setdefault("port-taken", {"processes": []})["processes"]
    taken[:] = [entry for entry in taken if start_ticks(entry["pid"]) == entry["started"]]
    if any(entry["port"] == port for entry in taken):
        return
    pid = start_detached("listen", str(port))
    taken.append({"port": port, "pid": pid, "started": start_ticks(pid)})


def mend_port_taken(state: State) -> None:
    for entry in (faults(state).pop("port-taken", None) or {"processes": []})["processes"]:
        end_process(entry)


def break_late_driver(state: State, argument: str | None) -> None:
    faults(state)["late-driver"] = {"seconds": float(argument or "30"), "up": True}


def mend_late_driver(state: State) -> None:
    faults(state).pop("late-driver", None)
    make_nodes(state)


def break_engine(state: State, argument: str | None) -> None:
    faults(state)["engine"] = {"fault": argument or "garbled"}


class Fault:
    def __init__(
        self, description: str, apply: Callable[[State, str | None], None], undo: Callable[[State], None]
    ) -> None:
        self.description, self.apply, self.undo = description, apply, undo


def chip_fault(name: str, description: str) -> Fault:
    return Fault(description, break_chips(name), mend_flag(name))


def flag_fault(name: str, description: str) -> Fault:
    return Fault(description, break_flag(name), mend_flag(name))


FAULTS: dict[str, Fault] = {
    "driver-version": Fault("[VERSION=24.1.rc2] another driver runs", break_driver_version, mend_driver_version),
    "firmware-version": Fault(
        "[PACKAGE=24.1.rc2] another firmware runs", break_firmware_version, mend_firmware_version
    ),
    "reboot-pending": Fault(
        "[VERSION=25.5.0] a driver was installed, the host not rebooted", break_reboot_pending, mend_reboot_pending
    ),
    "late-driver": Fault(
        "[SECONDS=30] from the next boot on the driver comes up so long after docker",
        break_late_driver,
        mend_late_driver,
    ),
    "driver-incomplete": Fault(
        "the driver package is not completely installed", break_driver_incomplete, mend_driver_incomplete
    ),
    "device-node": Fault("[N] /dev/davinciN is missing", break_device_node, mend_nodes("device-node")),
    "manager-node": Fault(
        "[NAME=davinci_manager] a manager node is missing", break_manager_node, mend_nodes("manager-node")
    ),
    "warning": chip_fault("warning", "[N] chip N reports Warning"),
    "alarm": chip_fault("alarm", "[N] chip N reports Alarm"),
    "critical": chip_fault("critical", "[N] chip N reports Critical"),
    "no-heartbeat": chip_fault("no-heartbeat", "[N] chip N is printed with zeros"),
    "card-lost": chip_fault("card-lost", "[N] npu-smi lost the card of chip N, PCI still shows it"),
    "pci-lost": chip_fault("pci-lost", "[N] the PCI function of chip N is gone"),
    "link-down": chip_fault("link-down", "[N] the network port of chip N is down"),
    "truncated": Fault("[PERCENT=45] the table of npu-smi stops early", break_truncated, mend_flag("truncated")),
    "hung": flag_fault("hung", "npu-smi never answers"),
    "dcmi-8005": flag_fault("dcmi-8005", "npu-smi: dcmi module initialize failed"),
    "dcmi-8020": flag_fault("dcmi-8020", "npu-smi: the device is used"),
    "board-9005": flag_fault("board-9005", "npu-smi: get board type failed"),
    "missing-library": flag_fault("missing-library", "npu-smi does not find a library of the driver"),
    "npu-smi-missing": Fault(
        "there is no npu-smi",
        break_hidden("npu-smi-missing", *NPU_SMI_PATHS),
        mend_hidden("npu-smi-missing", *NPU_SMI_PATHS),
    ),
    "npu-smi-directory": Fault(
        "npu-smi is a folder", break_npu_smi_directory, mend_hidden("npu-smi-directory", *NPU_SMI_PATHS)
    ),
    "no-hccn-conf": Fault(
        "there is no /etc/hccn.conf", break_hidden("no-hccn-conf", HCCN_CONF), mend_hidden("no-hccn-conf", HCCN_CONF)
    ),
    "no-install-info": Fault(
        "there is no /etc/ascend_install.info",
        break_hidden("no-install-info", INSTALL_INFO),
        mend_hidden("no-install-info", INSTALL_INFO),
    ),
    "no-driver-info": Fault(
        "the driver has no version.info",
        break_hidden("no-driver-info", DRIVER_INFO),
        mend_hidden("no-driver-info", DRIVER_INFO),
    ),
    "card-held": Fault("[N] a foreign container holds card N", break_card_held, mend_card_held),
    "process-held": Fault("[N[,SECONDS]] a foreign process holds card N", break_process_held, mend_process_held),
    "docker-down": Fault("docker is stopped", break_docker_down, mend_docker_down),
    "disk-full": Fault("[MB=100] so little disk is free for artifacts", break_disk_full, mend_disk_full),
    "port-taken": Fault("[PORT=8010] a foreign process listens on PORT", break_port_taken, mend_port_taken),
    "engine": Fault(
        "[FAULT=garbled] how engines started from now on fail (see the engine's README)",
        break_engine,
        mend_flag("engine"),
    ),
}


def command_break(options: argparse.Namespace) -> int:
    with changing_state() as state:
        FAULTS[options.what].apply(state, options.argument)
    return 0


def command_mend(options: argparse.Namespace) -> int:
    with changing_state() as state:
        for name in [options.what] if options.what else list(faults(state)):
            FAULTS[name].undo(state)
    return 0


def command_faults(options: argparse.Namespace) -> int:
    if options.known:
        for name, fault in FAULTS.items():
            sys.stdout.write(f"{name:<18} {fault.description}\n")
        return 0
    state = load_state() or {}
    for name, entry in faults(state).items():
        sys.stdout.write(f"{name} {json.dumps(entry, sort_keys=True)}\n")
    return 0


def command_idle(_options: argparse.Namespace) -> int:
    """Status 1 while a process holds a card: neither driver nor firmware can be installed then."""
    held = live_holders()
    for entry in held:
        sys.stdout.write(f"davinci{entry['index']}: {entry['name']} (pid {entry['pid']}), {entry['memory_mb']} MB\n")
    return 1 if held else 0


def command_set(options: argparse.Namespace) -> int:
    with changing_state() as state:
        if options.name == "speed":
            state.setdefault("engine", {})["speed"] = float(options.value)
        elif options.name == "layout":
            if options.value not in LAYOUTS:
                raise SystemExit(f"ascend-sim: no layout {options.value}; there are {', '.join(LAYOUTS)}")
            state["layout"] = options.value
    return 0


# ----------------------------------------------------------------------------------------------- the foreign processes


def set_process_name(name: str) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(15, name.encode()[:15], 0, 0, 0)


def hold_hbm(index: int, megabytes: int, utilization: int = 0) -> int:
    """Hold so much HBM of a card until the descriptor is closed or the process ends."""
    suffix = f":{utilization}" if utilization else ""
    return os.memfd_create(f"ascend-hbm:{index}:{megabytes}{suffix}")


def command_hold(options: argparse.Namespace) -> int:
    set_process_name(options.name)
    with contextlib.suppress(OSError):  # one card, one holder; whoever comes second is refused by the lock
        fcntl.flock(os.open(rooted(f"{LOCK_PATH}{options.index}"), os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    hold_hbm(options.index, options.megabytes, options.utilization)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if options.seconds:
        time.sleep(options.seconds)
        return 0
    while True:
        signal.pause()


def command_listen(options: argparse.Namespace) -> int:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("0.0.0.0", options.port))
        except OSError as error:
            return 0 if error.errno == errno.EADDRINUSE and options.tolerate else 1
        listener.listen()
        while True:
            signal.pause()


def main_ascend_sim(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ascend-sim", description="The silicon of a simulated Ascend server.")
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="set this host up: nodes, version files, tools, state")
    install.add_argument("--generation", choices=("a2", "a3"), default="a2")
    install.add_argument("--architecture", choices=("aarch64", "x86_64"), default="aarch64")
    install.add_argument("--driver", default="25.2.0", metavar="VERSION")
    install.add_argument("--firmware", metavar="VERSION")
    install.add_argument("--capture", metavar="FILE", help="values of a captured host (JSON), not the default ones")
    install.set_defaults(run=command_install)
    boot = commands.add_parser("boot", help="after a boot: load the installed driver, make the device nodes")
    boot.set_defaults(run=command_boot)
    late_boot = commands.add_parser("late-boot", help="make the device nodes so many seconds after docker listens")
    late_boot.add_argument("seconds", type=float)
    late_boot.set_defaults(run=command_late_boot)
    breaking = commands.add_parser("break", help="break something")
    breaking.add_argument("what", choices=tuple(FAULTS), metavar="WHAT")
    breaking.add_argument("argument", nargs="?")
    breaking.set_defaults(run=command_break)
    mending = commands.add_parser("mend", help="mend one thing, or all")
    mending.add_argument("what", nargs="?", choices=tuple(FAULTS), metavar="WHAT")
    mending.set_defaults(run=command_mend)
    listing = commands.add_parser("faults", help="what is broken now")
    listing.add_argument("--known", action="store_true", help="what can be broken")
    listing.set_defaults(run=command_faults)
    idle = commands.add_parser("idle", help="who holds a card; status 1 when somebody does")
    idle.set_defaults(run=command_idle)
    setting = commands.add_parser("set", help="speed of engines (1: as a real one, 10: ten times as fast), layout")
    setting.add_argument("name", choices=("speed", "layout"))
    setting.add_argument("value")
    setting.set_defaults(run=command_set)
    hold = commands.add_parser("hold", help="hold HBM of a card until killed")
    hold.add_argument("index", type=int)
    hold.add_argument("megabytes", type=int)
    hold.add_argument("--utilization", type=int, default=0)
    hold.add_argument("--name", default="python")
    hold.add_argument("--seconds", type=float, help="let go after so long")
    hold.set_defaults(run=command_hold)
    listen = commands.add_parser("listen", help="listen on a port until killed")
    listen.add_argument("port", type=int)
    listen.add_argument("--tolerate", action="store_true")
    listen.set_defaults(run=command_listen)
    options = parser.parse_args(arguments)
    return int(options.run(options))


TOOLS: dict[str, Callable[[list[str]], int]] = {
    "npu-smi": main_npu_smi,
    "lspci": main_lspci,
    "hccn_tool": main_hccn_tool,
}


def main() -> int:
    tool = TOOLS.get(os.path.basename(sys.argv[0]), main_ascend_sim)
    try:
        return tool(sys.argv[1:])
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
