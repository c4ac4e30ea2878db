# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which artifacts a host holds, as far as its own records say. Read-only, for the host."""

from __future__ import annotations

import os
from typing import Any

from .state import State, load_state

_PARENTS = ("repositories", "models")
_STATE = os.path.join(".git", "ascend-fleet", "state.json")


def present_artifacts(root: str) -> list[dict[str, Any]]:
    """The folders with artifacts below ``root``, each with what it holds.

    An entry has ``folder`` (absolute path), ``repository`` (the path of the one it belongs to; None where version 0.1
    did not say it), ``bytes`` (what lies in it, a file with several links counted once) and ``requests``, those that
    were completed and whose files are all still there with their size: ``revision``, ``commit``, ``files`` (paths)
    and ``bytes`` (the sum of their sizes). Raises OSError where a folder that is there cannot be read.
    """
    found = []
    for parent in _PARENTS:
        try:
            names = sorted(os.listdir(os.path.join(root, parent)))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            folder = os.path.join(root, parent, name)
            if os.path.isdir(os.path.join(folder, ".git")):
                state = _state_of(folder)
                found.append(
                    {
                        "folder": folder,
                        "repository": state.repository,
                        "bytes": _occupied(folder),
                        "requests": _completed(folder, state),
                    }
                )
    return found


def _occupied(folder: str) -> int:
    seen = set()
    total = 0

    def refuse(error: OSError) -> None:
        # A file or folder that a running download has just removed occupies nothing; anything else is not known.
        if not isinstance(error, FileNotFoundError):
            raise error

    for where, _folders, files in os.walk(folder, onerror=refuse):
        for name in files:
            try:
                about = os.lstat(os.path.join(where, name))
            except FileNotFoundError:
                continue
            if (about.st_dev, about.st_ino) not in seen:
                seen.add((about.st_dev, about.st_ino))
                total += about.st_blocks * 512
    return total


def _state_of(folder: str) -> State:
    try:
        with open(os.path.join(folder, _STATE), encoding="utf-8", errors="replace") as handle:
            return load_state(handle.read())
    except FileNotFoundError:
        return State()


def _completed(folder: str, state: State) -> list[dict[str, Any]]:
    found = []
    for request in state.requests.values():
        sizes = [_recorded_size(folder, path, state) for path in request["files"]]
        if None not in sizes:
            found.append(
                {
                    "revision": request["revision"],
                    "commit": request["commit"],
                    "files": sorted(request["files"]),
                    "bytes": sum(size or 0 for size in sizes),
                }
            )
    return found


def _recorded_size(folder: str, path: str, state: State) -> Any:
    """The size of a file that is there as it was recorded, else None."""
    record = state.files.get(path)
    try:
        size = os.stat(os.path.join(folder, path)).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    return size if record is not None and record.size == size else None
