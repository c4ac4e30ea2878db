# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a kill: whole or not written at all, and locks that end with whoever holds them."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import Iterator, Optional

#: Why a file system gives a file no second name.
NO_LINK = (errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV)


def write_atomically(name: str, content: str | bytes, mode: Optional[int] = None) -> None:
    """Write ``content`` beside ``name``, flush it to disk, and rename it over ``name``. OSError as open() raises it.

    Without ``mode`` the umask decides. What a killed run left beside it (``NAME.new``) is written over.
    """
    fresh = name + ".new"
    with open(fresh, "wb") as handle:
        handle.write(content if isinstance(content, bytes) else content.encode("utf-8"))
        handle.flush()
        if mode is not None:
            os.fchmod(handle.fileno(), mode)
        os.fsync(handle.fileno())
    os.replace(fresh, name)


def remove(name: str) -> None:
    """Remove a file that may not be there."""
    try:
        os.unlink(name)
    except FileNotFoundError:
        pass


def locked(fd: int) -> bool:
    """Take an open file for oneself; whether that succeeded, at once."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """Hold a lock, a file or a folder, while the body works: says whether it is held, and never waits."""
    flags = os.O_RDONLY if os.path.isdir(name) else os.O_RDWR | os.O_CREAT
    fd = os.open(name, flags | os.O_CLOEXEC, 0o600)
    try:
        yield locked(fd)
    finally:
        os.close(fd)


@contextmanager
def beside_others(folder: str) -> Iterator[None]:
    """Hold a folder together with others who do so while the body works; waits for who has it alone."""
    os.makedirs(folder, mode=0o755, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
        except OSError:
            pass  # where there are no locks nobody has it alone either
        yield
    finally:
        os.close(fd)
