# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folders of detached jobs on a host: how they are named, and removing those that ended jobs have left."""

from __future__ import annotations

import os
import shutil
import time
from typing import Optional

#: Ansible's folder for asynchronous jobs, unless ``async_dir`` is set.
ASYNC_FOLDER = "~/.ansible_async"
#: A job has a folder of this name below Ansible's folder for asynchronous jobs; it holds everything of the job.
FOLDER_PREFIX = "ascend-fleet-"
#: The file in it into which the module writes how far it is. Beside it lies the result, as Ansible names it: jN.PID.
FILE_NAME = "progress"
#: The file that the action touches whenever it asks how far the job is. Its age tells that somebody waits.
HEARD_NAME = "heard"
#: A job that has just been started has a folder, but may not have its first file yet.
_YOUNG_SECONDS = 120.0


def leftovers(base: str, proc: str = "/proc") -> list[str]:
    """The paths of what ended jobs have left below ``base``, Ansible's folder for asynchronous jobs.

    proc: where the processes are shown; where they are not, no job counts as ended
    """
    try:
        entries = [os.path.join(base, name) for name in os.listdir(base) if name.startswith(FOLDER_PREFIX)]
    except OSError:
        return []  # no job was ever started here
    found = []
    for path in sorted(entries):
        try:
            if time.time() - os.stat(path).st_mtime >= _YOUNG_SECONDS and not _is_alive(path, proc):
                found.append(path)
        except OSError:
            continue  # another run removed it, or the processes are not shown
    return found


def remove_leftovers(progress: Optional[str], proc: str = "/proc") -> list[str]:
    """Remove what ended jobs have left where ``progress`` lies, and return the paths.

    progress: path of the progress file of a new job; None for a module that was not started by its action
    """
    if progress is None:
        return []
    removed = []
    for path in leftovers(os.path.dirname(os.path.dirname(progress)), proc):
        if path == os.path.dirname(progress):
            continue
        try:
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except OSError:
            continue  # another run removed it
        removed.append(path)
    return removed


def _is_alive(folder: str, proc: str) -> bool:
    """Whether a process belongs to the job. Its command line has the first part of the name of the results file."""
    words = (
        {name.partition(".")[0] for name in os.listdir(folder) if name.startswith("j")} if os.path.isdir(folder) else ()
    )
    if not words:
        return False
    for process in os.listdir(proc):
        if not process.isdigit():
            continue
        try:
            with open(os.path.join(proc, process, "cmdline"), "rb") as handle:
                line = handle.read().decode("utf-8", "replace")
        except OSError:
            continue  # it ended
        if any(word in line for word in words):
            return True
    return False
