# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of what can be broken on a host, by the name it is asked for with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sim_faults_engine import break_engine, break_running_engine
from sim_faults_host import (
    break_card_held,
    break_disk_full,
    break_docker_down,
    break_port_taken,
    break_process_held,
    mend_card_held,
    mend_disk_full,
    mend_docker_down,
    mend_port_taken,
    mend_process_held,
)
from sim_faults_silicon import (
    break_chips,
    break_device_node,
    break_driver_incomplete,
    break_driver_version,
    break_firmware_version,
    break_flag,
    break_hidden,
    break_late_driver,
    break_manager_node,
    break_npu_smi_directory,
    break_reboot_pending,
    break_truncated,
    mend_driver_incomplete,
    mend_driver_version,
    mend_firmware_version,
    mend_flag,
    mend_hidden,
    mend_late_driver,
    mend_nodes,
    mend_reboot_pending,
)
from sim_install import NPU_SMI_PATHS
from sim_state import DRIVER_INFO, HCCN_CONF, INSTALL_INFO

if TYPE_CHECKING:
    from sim_state import State


class Fault:
    def __init__(
        self, description: str, apply: Callable[[State, str | None], None], undo: Callable[[State], None]
    ) -> None:
        self.description, self.apply, self.undo = description, apply, undo


def chip_fault(name: str, description: str) -> Fault:
    return Fault(description, break_chips(name), mend_flag(name))


def flag_fault(name: str, description: str) -> Fault:
    return Fault(description, break_flag(name), mend_flag(name))


def running_fault(name: str, description: str, value: str | None = None) -> Fault:
    return Fault(description, break_running_engine(name, value), mend_flag(name))


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
    "engine-hang": running_fault("engine-hang", "[PORT] the engine gives no token more; /health stays well"),
    "engine-garbage": running_fault("engine-garbage", "[PORT] the engine answers garbage"),
    "engine-slow": running_fault("engine-slow", "[PORT[,FACTOR=10]] every token takes FACTOR times as long", "10"),
    "engine-errors": running_fault(
        "engine-errors", "[PORT[,PERCENT=100]] so many questions end with status 500", "100"
    ),
    "engine-start": running_fault("engine-start", "[PORT[,SECONDS=30]] engines started from now on take longer", "30"),
}
