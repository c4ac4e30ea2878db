# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs verified in a folder, and which request asked for which files of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Optional


@dataclass(frozen=True)
class Record:
    """A file that was verified: as long as size, time and inode are the same, so is its content."""

    oid: str
    size: int
    mtime_ns: int
    inode: int
    lfs: bool


@dataclass
class State:
    """What earlier runs verified (``files``), and which request asked for which files, and when (``requests``).

    ``repository`` is the path of the repository that the folder belongs to (:func:`.names.repository_path`); None where
    version 0.1 wrote the state, which did not say it.
    """

    files: dict[str, Record] = field(default_factory=dict)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    repository: Optional[str] = None


def load_state(text: str, used_at: float = 0.0) -> State:
    """Read the state file; one that is damaged or of another version counts as empty: everything is verified anew.

    ``used_at`` is for requests of which an earlier version of this file did not say when they were used.
    """
    try:
        data = json.loads(text)
        if data["version"] != 1:
            return State()
        return State(
            files={path: Record(**record) for path, record in data["files"].items()},
            requests={
                key: {
                    "revision": str(r["revision"]),
                    "commit": str(r["commit"]),
                    "files": dict(r["files"]),
                    "used_at": float(r.get("used_at", used_at)),
                }
                for key, r in data["requests"].items()
            },
            repository=None if data.get("repository") is None else str(data["repository"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return State()


def dump_state(state: State) -> str:
    """Write the state file."""
    return (
        json.dumps(
            {
                "version": 1,
                **({} if state.repository is None else {"repository": state.repository}),
                "files": {path: vars(record) for path, record in sorted(state.files.items())},
                "requests": state.requests,
            },
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )


def remembered_commit(state: State, key: str, revision: str) -> Optional[str]:
    """Return the commit that ``revision`` was: for this request, or else for another one of the same repository."""
    if key in state.requests:
        return str(state.requests[key]["commit"])
    for request in state.requests.values():
        if request["revision"] == revision:
            return str(request["commit"])
    return None
