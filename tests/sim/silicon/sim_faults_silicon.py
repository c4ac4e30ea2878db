# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the silicon: what its tools, its driver's files and its device nodes then say."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sim_cards import default_index
from sim_change import write_file
from sim_driver import (
    FIRMWARE_INFO,
    FIRMWARE_OF_PACKAGE,
    INSTALL_INFO_TEXT,
    driver_info,
    firmware_info,
)
from sim_install import NPU_SMI_PATHS
from sim_nodes import MANAGERS, make_nodes
from sim_state import DRIVER_INFO, INSTALL_INFO, faults, find_chip, read_file, rooted

if TYPE_CHECKING:
    from sim_state import State


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


def break_late_driver(state: State, argument: str | None) -> None:
    faults(state)["late-driver"] = {"seconds": float(argument or "30"), "up": True}


def mend_late_driver(state: State) -> None:
    faults(state).pop("late-driver", None)
    make_nodes(state)


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
