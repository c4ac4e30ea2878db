# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operating system of the host: who it is, systemd, memory, kernel settings, users."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import Any, Mapping, Optional

from .._host.systemd import Systemd, SystemdError
from .host import Host, group_name

# Kernel settings worth a look on a serving host, as files below /proc/sys.
SYSCTLS: tuple[str, ...] = (
    "fs.file-max",
    "kernel.numa_balancing",
    "kernel.pid_max",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.swappiness",
    "vm.zone_reclaim_mode",
)


def identity(host: Host) -> dict[str, Any]:
    """Name, architecture, kernel, operating system."""
    uname = os.uname()
    release = parse_os_release(host.read("/etc/os-release") or host.read("/usr/lib/os-release") or "")
    boot = re.search(r"^btime (\d+)", host.read("/proc/stat") or "", re.MULTILINE)
    return {
        "hostname": uname.nodename,
        "architecture": uname.machine,
        "kernel": uname.release,
        "os": release,
        "python_version": "%d.%d.%d" % sys.version_info[:3],
        "effective_uid": os.geteuid(),
        "clock": int(time.time()),
        "boot_time": int(boot.group(1)) if boot else None,
        "virtualization": host.read("/run/systemd/container"),
    }


def parse_os_release(text: str) -> dict[str, Any]:
    """``/etc/os-release`` in four keys; ``like`` is a list."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            values[name.strip()] = value.strip().strip("\"'")
    return {
        "id": values.get("ID"),
        "version_id": values.get("VERSION_ID"),
        "pretty_name": values.get("PRETTY_NAME"),
        "like": values.get("ID_LIKE", "").split(),
    }


def read_systemd(host: Host) -> dict[str, Any]:
    """The state of systemd and of our own units."""
    found: dict[str, Any] = {"state": None, "units": [], "error": None}
    client = Systemd(host.run, host.timeout)
    try:
        found["state"] = client.state()
    except SystemdError as exc:
        found["error"] = str(exc)
    if found["state"] in (None, "offline"):
        return found
    try:
        units = client.matching(["vllm-*.service"], ("LoadState", "ActiveState", "SubState", "MainPID", "NRestarts"))
    except SystemdError as exc:
        # The units are unknown, which is not the same as none.
        found["error"] = str(exc)
        host.problem("systemd", str(exc))
        return found
    found["units"] = [_unit(unit) for _name, unit in sorted(units.items()) if unit.get("LoadState") != "not-found"]
    return found


def _unit(values: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": values["Id"],
        "active": values.get("ActiveState"),
        "sub": values.get("SubState"),
        "main_pid": int(values.get("MainPID") or 0) or None,
        "restarts": int(values.get("NRestarts") or 0),
    }


def read_memory(host: Host) -> dict[str, Any]:
    """Main memory and swap."""
    text = host.read_required("/proc/meminfo")
    values = {name: int(number) * 1024 for name, number in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    counts = {name: int(number) for name, number in re.findall(r"^(HugePages_\w+):\s+(\d+)\s*$", text, re.MULTILINE)}
    return {
        "total_bytes": values.get("MemTotal"),
        "available_bytes": values.get("MemAvailable"),
        "swap_total_bytes": values.get("SwapTotal"),
        "swap_free_bytes": values.get("SwapFree"),
        "hugepages": {
            "size_bytes": values.get("Hugepagesize"),
            "total": counts.get("HugePages_Total"),
            "free": counts.get("HugePages_Free"),
        },
    }


def read_tuning(host: Host) -> dict[str, Any]:
    """Kernel settings that matter to serving."""
    sysctl: dict[str, Any] = {}
    for name in SYSCTLS:
        text = host.read("/proc/sys/" + name.replace(".", "/"))
        if text is not None:
            words = text.split()
            sysctl[name] = int(words[0]) if len(words) == 1 and words[0].isdigit() else " ".join(words)
    huge = re.search(r"\[(\w+)\]", host.read("/sys/kernel/mm/transparent_hugepage/enabled") or "")
    selinux = (host.read("/sys/fs/selinux/enforce") or "").strip()
    governors = sorted(
        {
            (host.read("/sys/devices/system/cpu/%s/cpufreq/scaling_governor" % cpu) or "").strip()
            for cpu in host.names("/sys/devices/system/cpu")
            if re.match(r"^cpu\d+$", cpu)
        }
        - {""}
    )
    return {
        "sysctl": sysctl,
        "transparent_hugepage": huge.group(1) if huge else None,
        "cgroup_version": _cgroup_version(host),
        "selinux": {"1": "enforcing", "0": "permissive"}.get(selinux),
        "cpu_governors": governors,
        "kernel_command_line": (host.read("/proc/cmdline") or "").strip(),
        "processors": os.cpu_count(),
        "reboot_required": host.kind("/run/reboot-required") == "file",
    }


def _cgroup_version(host: Host) -> Optional[str]:
    """``2`` where the unified hierarchy is mounted, ``1`` where controllers are mounted one by one, else None."""
    if host.kind("/sys/fs/cgroup/cgroup.controllers") == "file":
        return "2"
    return "1" if host.kind("/sys/fs/cgroup/memory") == "directory" else None


def read_users(host: Host) -> dict[str, Any]:
    """The user and the group the driver's installer needs."""
    found: dict[str, Any] = {"HwHiAiUser": None}
    for line in (host.read_noted("/etc/passwd") or "").splitlines():
        fields = line.split(":")
        if len(fields) > 3 and fields[0] == "HwHiAiUser" and fields[2].isdigit() and fields[3].isdigit():
            found["HwHiAiUser"] = {
                "uid": int(fields[2]),
                "gid": int(fields[3]),
                "group": group_name(host, int(fields[3])),
            }
    return found
