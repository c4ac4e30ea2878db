# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time in a folder: the others wait, as long as the one that works gets further."""

from __future__ import annotations

import os
import time
from typing import Callable

from .._base.locks import try_lock
from .._base.progress import Progress
from .errors import ArtifactError
from .work_tree import WorkTree


def acquire_folder(
    tree: WorkTree, timeout: float, received: Callable[[], int], progress: Progress, sleep: Callable[[float], None]
) -> int:
    """Return the open file of the folder's lock; closing it ends the lock, as the end of all its holders does.

    ArtifactError when another run has brought nothing for ``timeout`` seconds. ``received`` says how many bytes other
    hosts have given.
    """
    name = os.path.join(tree.own_dir, "lock")

    def arrived() -> int:
        return sum(partial.size for partial in tree.partials()) + received()

    while True:
        os.makedirs(tree.own_dir, exist_ok=True)
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(fd):
                with progress.watching("waiting for another run", arrived, None):
                    _wait(fd, tree.dest, timeout, arrived, sleep)
            if _is_file(fd, name):
                os.ftruncate(fd, 0)
                os.pwrite(fd, ("%d\n" % os.getpid()).encode(), 0)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # the folder was pruned while we waited


def _wait(fd: int, dest: str, timeout: float, arrived: Callable[[], int], sleep: Callable[[float], None]) -> None:
    deadline = time.monotonic() + timeout
    seen = -1
    while not try_lock(fd):
        now = arrived()
        if now != seen:
            # The lock's holder makes progress on the same download, so keep waiting.
            seen = now
            deadline = time.monotonic() + timeout
        if time.monotonic() >= deadline:
            holder = os.pread(fd, 100, 0).decode("utf-8", "replace").strip()
            raise ArtifactError(
                "another run (process %s, or a git-lfs it started) holds %s and has brought nothing for "
                "%d seconds. Wait for it to end, end it, or raise lock_timeout." % (holder or "unknown", dest, timeout)
            )
        sleep(0.5)


def _is_file(fd: int, name: str) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name))
    except FileNotFoundError:
        return False
