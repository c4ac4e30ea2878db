# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host gets its silicon, and gets it back after a boot."""

from __future__ import annotations

import argparse
import json
import os
import py_compile
import socket
import time

from sim_cards import default_state
from sim_change import changing_state, save_state, write_file
from sim_driver import (
    FIRMWARE_INFO,
    INSTALL_INFO_TEXT,
    driver_info,
    ensure_driver_user,
    firmware_info,
    hccn_conf,
)
from sim_nodes import make_nodes
from sim_processes import LOCK_PATH, start_detached
from sim_state import DRIVER_INFO, HCCN_CONF, INSTALL_INFO, chip_index, faults, read_version, rooted

# What containers see of the tools' code: the folder of the driver's libraries is mounted in every way of running one.
LIBRARY_PATH = "/usr/local/Ascend/driver/lib64/.ascend-sim"
#: Beside a version file: at so many boots more what is installed there does not run yet.
BOOTS_WITHOUT = ".ascend-sim-boots-without"
NPU_SMI_PATHS = ("/usr/local/sbin/npu-smi", "/usr/local/bin/npu-smi")
# A tool that only reads, at its real place.
STARTER = """#!/usr/bin/env -S python3 -I -S
# Starts the simulated tool of this name. Its code lies apart, compiled once: it is started many times.
import sys

sys.path[:0] = [%r]
import sim_tools

sys.exit(sim_tools.main())
"""


def install_program() -> None:
    """The tools at their real places, as files: containers mount them one by one."""
    own = os.path.dirname(os.path.realpath(__file__))
    for name in ("sim_state.py", "sim_text.py", "sim_tools.py"):
        with open(os.path.join(own, name), encoding="utf-8") as stream:
            write_file(f"{LIBRARY_PATH}/{name}", stream.read())
        code = rooted(f"{LIBRARY_PATH}/{name}")
        py_compile.compile(code, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    for path in (*NPU_SMI_PATHS, "/usr/local/Ascend/driver/tools/hccn_tool"):
        if not os.path.isdir(rooted(path)):
            write_file(path, STARTER % rooted(LIBRARY_PATH), 0o755)


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


def takes_effect(info: str) -> bool:
    """Whether what lies installed beside ``info`` runs from this boot on; a package may want more than one boot."""
    path = rooted(os.path.join(os.path.dirname(info), BOOTS_WITHOUT))
    try:
        with open(path, encoding="utf-8") as stream:
            left = int(stream.read())
    except FileNotFoundError:
        return True
    if left > 1:
        write_file(os.path.join(os.path.dirname(info), BOOTS_WITHOUT), f"{left - 1}\n")
    else:
        os.unlink(path)
    return False


def command_boot(_options: argparse.Namespace) -> int:
    """What the kernel and the driver do at boot: load the installed driver, make the nodes."""
    with changing_state() as state:
        installed = read_version(DRIVER_INFO, "version")
        if installed is not None and installed != state["driver_version"] and takes_effect(DRIVER_INFO):
            state["driver_version"] = state["npu_smi_version"] = installed
            state["layout"] = "114" if installed.startswith("26.") else "96"
        firmware = read_version(FIRMWARE_INFO, "version")
        if firmware is not None and takes_effect(FIRMWARE_INFO):
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
