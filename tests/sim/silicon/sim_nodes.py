# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The device nodes of the driver."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from sim_driver import driver_owner
from sim_state import chip_index, faults, rooted

if TYPE_CHECKING:
    from sim_state import State

DAVINCI_MAJOR = 236
MANAGERS = {"davinci_manager": (235, 0), "hisi_hdc": (237, 0), "devmm_svm": (238, 0)}


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
