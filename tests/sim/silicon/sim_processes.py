# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of the simulator's own that hold a card or a port, and how they are started and ended."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from sim_state import rooted

HERE = os.path.dirname(os.path.realpath(__file__))
# A process that holds card N keeps a lock on this file plus N: other containers see the card as used.
LOCK_PATH = "/usr/local/Ascend/driver/lib64/.ascend-sim-card-"
PROGRAM_PATH = "/usr/local/lib/ascend-sim/ascend_sim.py"


def own_program() -> str:
    installed = rooted(PROGRAM_PATH)
    return installed if os.path.exists(installed) else os.path.join(HERE, "ascend_sim.py")


def start_detached(*arguments: str) -> int:
    """A process of its own that outlives this one; its pid."""
    process = subprocess.Popen(
        [sys.executable, own_program(), *arguments],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    time.sleep(0.3)
    if process.poll() is not None:
        raise SystemExit(f"ascend-sim: {' '.join(arguments)} ended at once with status {process.returncode}")
    return process.pid


def start_ticks(pid: int) -> str | None:
    """When a process started: with its pid, a name that is never reused."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def end_process(entry: dict[str, Any]) -> None:
    if start_ticks(entry["pid"]) != entry["started"]:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(entry["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while start_ticks(entry["pid"]) == entry["started"] and time.monotonic() < deadline:
        time.sleep(0.05)


def set_process_name(name: str) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(15, name.encode()[:15], 0, 0, 0)


def hold_hbm(index: int, megabytes: int, utilization: int = 0) -> int:
    """Hold so much HBM of a card until the descriptor is closed or the process ends."""
    suffix = f":{utilization}" if utilization else ""
    return os.memfd_create(f"ascend-hbm:{index}:{megabytes}{suffix}")


def command_hold(options: argparse.Namespace) -> int:
    set_process_name(options.name)
    with contextlib.suppress(OSError):  # one card, one holder; whoever comes second is refused by the lock
        fcntl.flock(os.open(rooted(f"{LOCK_PATH}{options.index}"), os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    hold_hbm(options.index, options.megabytes, options.utilization)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if options.seconds:
        time.sleep(options.seconds)
        return 0
    while True:
        signal.pause()


def command_listen(options: argparse.Namespace) -> int:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("0.0.0.0", options.port))
        except OSError as error:
            return 0 if error.errno == errno.EADDRINUSE and options.tolerate else 1
        listener.listen()
        while True:
            signal.pause()
