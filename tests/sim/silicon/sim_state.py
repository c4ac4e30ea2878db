# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a simulated host as its tools read it, and the processes that hold its cards.

Imports little: npu-smi is started many times in a run.
"""

from __future__ import annotations

import copy
import json
import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself takes longer than the tool's work
    from typing import Any

    State = dict[str, Any]
    Chip = dict[str, Any]

STATE_PATH = "/var/lib/ascend-sim/state.json"
# What a container sees of the state: the folder of the driver's libraries is mounted in every way of running one.
MIRROR_PATH = "/usr/local/Ascend/driver/lib64/.ascend-sim.json"
DRIVER_INFO = "/usr/local/Ascend/driver/version.info"
INSTALL_INFO = "/etc/ascend_install.info"
HCCN_CONF = "/etc/hccn.conf"
PROCESS_NAME_LENGTH = 15
MAX_PROCESSES_PER_CHIP = 8
USAGE_INFO = "Usage: npu-smi info <watch|proc|-h|-m|-l|-t type> [Options...]"


def rooted(path: str) -> str:
    """The path below ``ASCEND_SIM_ROOT``."""
    root = os.environ.get("ASCEND_SIM_ROOT", "")
    return os.path.join(root, path.lstrip("/")) if root else path


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


def read_version(path: str, key: str) -> str | None:
    for line in (read_file(path) or "").splitlines():
        name, _, value = line.partition("=")
        if name.strip().lower() == key:
            return value.strip()
    return None
