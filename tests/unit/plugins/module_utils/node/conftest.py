# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts that the tests of a node share."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from node_machine import A2, BOARD, CONTAINER, FIXTURES, HCCN, MAPPING, OUTER, TCP, TOPO, UNITS, Machine, foreign


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", "/usr/bin")
    return Machine(tmp_path)


@pytest.fixture
def a2(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """An A2 host with all its files, on which a foreign container holds card 4."""
    machine.program("/usr/local/sbin/npu-smi")
    machine.program("/usr/bin/docker")
    machine.program("/usr/bin/lspci")
    addresses = ["c1", "c2", "81", "82", "01", "02", "41", "42"]
    lspci = ["0000:%s:00.0 1200: 19e5:d802 (rev 20)" % a for a in addresses]
    lspci.append("0000:7d:00.0 0200: 19e5:a222 (rev 21)")
    machine.answers.update(
        {
            "npu-smi info": (0, A2, ""),
            "npu-smi info -m": (0, MAPPING, ""),
            "npu-smi info -t topo": (0, TOPO, ""),
            "npu-smi info -t board": (0, BOARD, ""),
            "lspci": (0, "\n".join(lspci), ""),
            "docker info": (0, json.dumps({"ServerVersion": "24.0.7", "DockerRootDir": "/var/lib/docker"}), ""),
            "docker ps": (0, CONTAINER, ""),
            "docker container inspect": (0, json.dumps([foreign()]), ""),
            "docker image ls": (0, "", ""),
            "systemctl is-system-running": (1, "degraded\n", ""),
            "systemctl show": (0, UNITS, ""),
        }
    )
    for address in addresses:
        folder = "/sys/bus/pci/devices/0000:%s:00.0" % address
        machine.file(folder + "/numa_node", "3\n" if address == "c1" else "-1\n")
    machine.link("/sys/bus/pci/devices/0000:c1:00.0/driver", "../../../../drivers/devdrv_device_driver")
    (machine.root / "sys/drivers/devdrv_device_driver").mkdir(parents=True)
    for name in [*("davinci%d" % n for n in range(8)), "davinci_manager", "devmm_svm", "hisi_hdc", "null", "davinci_x"]:
        machine.file("/dev/" + name)
    machine.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nHwHiAiUser:x:1001:1002::/home/HwHiAiUser:/bin/bash\n")
    machine.file("/etc/group", "root:x:0:\nHwHiAiUser:x:1002:\n")
    machine.file("/proc/1/cgroup", "0::/docker/%s/init.scope\n" % OUTER)
    machine.file("/proc/1/comm", "systemd\n")
    machine.file("/proc/1601114/cgroup", "0::/docker/%s/docker/%s\n" % (OUTER, CONTAINER))
    machine.file("/proc/1601114/comm", "python\n")
    machine.link("/proc/1601114/fd/7", "/dev/davinci4")
    machine.link("/proc/1601114/fd/8", "socket:[777]")
    machine.file("/proc/77/cgroup", "0::/docker/%s/system.slice/nginx.service\n" % OUTER)
    machine.file("/proc/77/comm", "nginx\n")
    machine.link("/proc/77/fd/3", "socket:[555]")
    machine.file("/proc/net/tcp", TCP)
    machine.file("/usr/local/Ascend/driver/version.info", "Version=25.2.0\ncompatible_version_fw=[7.0.0,8.9.9]\n")
    machine.file("/usr/local/Ascend/firmware/version.info", "Version=7.8.0.7.220\npackage_version=25.2.0\n")
    machine.file("/etc/ascend_install.info", "UserName=HwHiAiUser\nDriver_Install_Path_Param=/usr/local/Ascend\n")
    machine.file("/etc/hccn.conf", (FIXTURES / "files/hccn-conf-elided.txt").read_text(encoding="utf-8"))
    machine.file("/usr/local/Ascend/driver/tools/hccn_tool")
    for index in range(8):
        for option, words in HCCN.items():
            machine.answers["hccn_tool -i %d %s -g" % (index, option)] = (0, words, "")
    toolkit = (FIXTURES / "files/ascend-toolkit-install-info-8.5.0-aarch64.txt").read_text(encoding="utf-8")
    machine.file("/usr/local/Ascend/cann-8.5.0/aarch64-linux/ascend_toolkit_install.info", toolkit)
    machine.link("/usr/local/Ascend/cann", "cann-8.5.0")
    machine.file(
        "/proc/meminfo",
        "MemTotal:       1024 kB\nMemAvailable:    512 kB\n"
        "HugePages_Total:      64\nHugePages_Free:       60\nHugepagesize:       2048 kB\n",
    )
    machine.file("/proc/sys/vm/swappiness", "60\n")
    machine.file("/proc/sys/kernel/numa_balancing", "1\n")
    machine.file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    machine.file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    machine.file("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
    machine.file("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n")

    real = os.stat

    def as_devices(path: Any, *args: Any, **kwargs: Any) -> Any:
        found = real(path, *args, **kwargs)
        if isinstance(path, str) and path.startswith(str(machine.root / "dev/")):
            fields = list(found)
            fields[0] = stat.S_IFCHR | 0o660
            fields[4:6] = [1001, 1002]
            return os.stat_result(fields, {"st_rdev": os.makedev(236, 4)})
        return found

    monkeypatch.setattr(os, "stat", as_devices)
    return machine
