# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts beside an engine's own log that tell the cause of a failure: of the kernel, of npu-smi, of docker.

In the form of `_serving/signatures.py`, whose table holds for the logs of engines and of CANN.
"""

from __future__ import annotations

import re

from .._serving.signatures import Signature


def _signature(name: str, pattern: str, meaning: str, fix: str) -> Signature:
    return Signature(name, re.compile(pattern), meaning, fix)


KERNEL_SIGNATURES: tuple[Signature, ...] = (
    _signature(
        "out_of_memory",
        r"[Oo]ut of memory: Kill|oom-kill:|invoked oom-killer|[Mm]emory cgroup out of memory",
        "the kernel has killed a process because the host, or its container, had no memory left",
        "see in the line which process it was; more memory, fewer replicas, or a smaller shm_size",
    ),
    _signature(
        "hung_task",
        r"blocked for more than \d+ seconds|hung_task|rcu_sched self-detected stall|soft lockup",
        "a process hangs in the kernel, often in the driver of the chips",
        "see which one, and npu-smi info; when it does not end, reboot the host",
    ),
    _signature(
        "pcie_error",
        r"PCIe Bus Error|AER:.*[Ee]rror|pcieport .*(?:Uncorrected|[Ff]atal)",
        "a device on the PCIe bus has reported errors",
        "compare its address with bus_id of npu-smi info; if it is a card, have the card and its slot looked at",
    ),
    _signature(
        "driver_fault",
        r"(?:devdrv|davinci|tsdrv|ascend|hisi_hdc|drv_\w+)"
        r".*(?:heart ?beat (?:lost|fail)|device (?:lost|offline)|load fail)",
        "the driver has lost a chip",
        "npu-smi info -t health -i N; reboot the host; if it comes back, have the card looked at",
    ),
    _signature(
        "disk_errors",
        r"I/O error, dev|EXT4-fs error|XFS \(\S+\): .*(?:error|[Ss]hutting down)|critical medium error",
        "a disk of the host fails",
        "smartctl -a of the device in the line; move the data, and exchange it",
    ),
    _signature(
        "machine_check",
        r"Hardware Error|Machine check events logged|EDAC .*[UC]E ",
        "processor or memory have reported a hardware error",
        "see the management controller's log of the server",
    ),
)

HOST_SIGNATURES: tuple[Signature, ...] = (
    _signature(
        "card_held",
        r"(?<![\w.])-80(?:05|20)\b|device is used|\b507008\b",
        "another process or container holds the card, or the driver was upgraded without a reboot",
        "run preflight: it names the holder. Stop it; after an upgrade of the driver reboot the host",
    ),
    _signature(
        "device_unavailable",
        r"[Dd]evice is unavailable",
        "the driver does not give the card away: in a virtual machine, it is not passed through whole",
        "preflight (SYS-…) names a virtual machine. Pass all functions of the card through, or serve on bare metal",
    ),
    _signature(
        "driver_libraries",
        r"lib(?:ascend_hal|dcmi|drvdsmi\w*)\.so[^:]*: cannot open shared object",
        "the driver's libraries are not found",
        "install the driver again, and run preflight (DKR-008, DKR-009)",
    ),
    _signature(
        "npu_smi_is_a_directory",
        r"npu-smi: Is a directory|npu-smi is a directory|unable to start .*npu-smi.*: is a directory",
        "docker has made a folder where npu-smi should be, for a mount whose source was missing",
        "remove the empty folder, and install the driver again",
    ),
    _signature(
        "archive_damaged",
        r"invalid tar header|unexpected EOF|archive/tar: ",
        "docker could not read an image archive: it is damaged, or this docker is too old for its format",
        "verify the archive (model_artifacts, vllm_image check its hash); on Kylin take a newer docker",
    ),
    _signature(
        "seccomp_old",
        r"error adding seccomp filter rule|seccomp.*[Oo]peration not permitted",
        "docker or libseccomp is too old for the image's system",
        "install docker 20.10.10 or later, with the libseccomp that belongs to it",
    ),
    _signature(
        "exporter_refused",
        r"check uid or mode failed|get sem errno ?= ?13",
        "npu-exporter, or another component of the cluster, does not trust the driver's files or may not read them",
        "the folders of DCMI must belong to root and be writable for root alone; run it as its own user hwMindX",
    ),
)
