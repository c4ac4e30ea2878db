# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks on files and folders (flock) that end with the process that holds them."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import Iterator


def try_lock(fd: int) -> bool:
    """Take the exclusive lock of an open file without waiting; whether that succeeded."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def exclusive_lock(path: str) -> Iterator[bool]:
    """Hold the exclusive lock of a file or folder while the body works: says whether it is held, and never waits."""
    flags = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR | os.O_CREAT
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield try_lock(fd)
    finally:
        os.close(fd)


@contextmanager
def awaited_lock(path: str, seconds: float) -> Iterator[bool]:
    """As ``exclusive_lock``, but waits for this many seconds while another process holds it."""
    until = time.monotonic() + seconds
    while True:
        with exclusive_lock(path) as held:
            if held or time.monotonic() >= until:
                yield held
                return
        time.sleep(0.1)


@contextmanager
def shared_lock(folder: str) -> Iterator[None]:
    """Hold the shared lock of a folder while the body works; waits while the exclusive one is held."""
    os.makedirs(folder, mode=0o755, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
        except OSError:
            pass  # a file system without locks has no exclusive holders either
        yield
    finally:
        os.close(fd)
