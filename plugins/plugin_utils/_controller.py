# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs Ansible, where, and in which process: for what hosts note of it."""

from __future__ import annotations

import getpass
import os
import platform
from typing import Any, Mapping, Optional

_PROC = "/proc"
_MACHINE = "/etc/machine-id"


def user() -> str:
    """The person at the controller, as well as that can be told."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return ""  # a user ID without a name


def hostname() -> str:
    """The name of the controller."""
    return platform.node() or "unknown"


def operator() -> str:
    """``alice@controller``"""
    return "%s@%s" % (user() or "unknown", hostname())


def claim(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of fleet_lease, with what is known of this run where they do not say it."""
    known = {"holder": user() or "unknown", "controller": hostname()}
    found = {**arguments, **{name: value for name, value in known.items() if not arguments.get(name)}}
    found["process"] = arguments.get("process") or process()
    return found


def process(pid: Optional[int] = None, proc: str = _PROC, machine: str = _MACHINE) -> dict[str, Any]:
    """What tells this run of Ansible from every other process; what cannot be told is empty.

    Actions run in children of ansible-playbook, so that is the parent. ``machine`` and ``namespace`` say where the pid
    can be looked for at all.
    """
    number = os.getppid() if pid is None else pid
    return {
        "pid": number,
        "started": _started(number, proc),
        "boot_id": _line("%s/sys/kernel/random/boot_id" % proc),
        "machine": _line(machine),
        "namespace": _link("%s/self/ns/pid" % proc),
    }


def is_gone(noted: Mapping[str, Any], proc: str = _PROC, machine: str = _MACHINE) -> bool:
    """Whether a process that was noted runs no more. Where that cannot be told from here, it does not count as gone."""
    here = process(int(noted["pid"]) if str(noted.get("pid", "")).isdigit() else 0, proc, machine)
    if not here["pid"] or not noted.get("machine") or noted["machine"] != here["machine"]:
        return False
    if not noted.get("boot_id") or not here["boot_id"]:
        return False
    if noted["boot_id"] != here["boot_id"]:
        return True
    if not noted.get("namespace") or noted["namespace"] != here["namespace"] or not noted.get("started"):
        return False
    return bool(noted["started"] != here["started"])


def _started(pid: int, proc: str) -> str:
    """When a process began, in ticks since the boot; empty where there is no such process."""
    text = _line("%s/%d/stat" % (proc, pid))
    # The name of the program, in brackets, may hold blanks and brackets. The time is field 22.
    fields = text.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
