# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cards as the engine sees them: nodes, driver, the exclusive hold of a card and of its memory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

MIRROR_PATH = "/usr/local/Ascend/driver/lib64/.ascend-sim.json"
FAULT_FILE = "/etc/ascend-sim/engine-fault"
MANAGERS = ("davinci_manager", "devmm_svm", "hisi_hdc")


def rooted(path: str) -> str:
    root = os.environ.get("ASCEND_SIM_ROOT", "")
    return os.path.join(root, path.lstrip("/")) if root else path


@dataclass
class Node:
    """What of the host is seen from inside the container."""

    indices: list[int]
    missing_managers: list[str]
    libraries: bool
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def generation(self) -> str | None:
        value = self.state.get("generation")
        return str(value).upper() if value else None

    def idle_mb(self, index: int) -> int:
        for chip in self.state.get("chips", []):
            if chip["index"] == index:
                return int(chip["hbm_idle"])
        return 3400

    def total_mb(self, index: int) -> int:
        for chip in self.state.get("chips", []):
            if chip["index"] == index:
                return int(chip["hbm_total"])
        return 65536


def look() -> Node:
    try:
        names = os.listdir(rooted("/dev"))
    except OSError:
        names = []
    found = [int(match[1]) for name in names if (match := re.fullmatch(r"davinci(\d+)", name))]
    visible = os.environ.get("ASCEND_RT_VISIBLE_DEVICES", "").strip()
    indices = sorted(found)
    if visible:
        wanted = [int(text) for text in visible.split(",") if text.strip().isdigit()]
        indices = [indices[number] for number in wanted if number < len(indices)]
    state: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError), open(rooted(MIRROR_PATH), encoding="utf-8") as stream:
        state = json.load(stream)
    return Node(
        indices=indices,
        missing_managers=[name for name in MANAGERS if not os.path.exists(rooted(f"/dev/{name}"))],
        libraries=os.path.exists(rooted("/usr/local/Ascend/driver/lib64/driver/libascend_hal.so")),
        state=state,
    )


def fault(node: Node) -> str:
    """The failure that was asked for, or an empty text."""
    asked = os.environ.get("ASCEND_SIM_ENGINE_FAULT", "")
    if asked:
        return asked
    with contextlib.suppress(OSError), open(rooted(FAULT_FILE), encoding="utf-8") as stream:
        return stream.read().strip()
    return str(node.state.get("faults", {}).get("engine", {}).get("fault", ""))


def speed(node: Node) -> float:
    """How many times faster than real: every duration is divided by it."""
    for text in (os.environ.get("ASCEND_SIM_SPEED"), node.state.get("engine", {}).get("speed")):
        with contextlib.suppress(ValueError):
            number = float(str(text))
            if number > 0:
                return number
    return 1.0


class CardBusy(Exception):
    """Another process, perhaps of another container, holds the card."""


def claim(index: int) -> int | None:
    """Hold a card alone until this process ends; None where the host has no lock files."""
    path = rooted(os.path.join(os.path.dirname(MIRROR_PATH), f".ascend-sim-card-{index}"))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise CardBusy(str(index)) from error
    return descriptor


def hold_memory(index: int, megabytes: int) -> int:
    """Hold HBM of a card for as long as the descriptor lives."""
    return os.memfd_create(f"ascend-hbm:{index}:{megabytes}")
