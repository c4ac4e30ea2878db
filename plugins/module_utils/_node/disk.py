# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems of the host."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional

from .host import Host


def read_disk(host: Host, path: str) -> dict[str, Any]:
    """The file system that holds ``path``, or would hold it; ``occupied_bytes`` is what lies at ``path`` already."""
    found: dict[str, Any] = {
        "path": path,
        "exists": True,
        "mount": None,
        "filesystem": None,
        "total_bytes": None,
        "free_bytes": None,
        "occupied_bytes": None,
        "read_only": None,
    }
    asked = path
    while True:
        # A command with a deadline, because asking a dead network mount never returns.
        done = host.run(["df", "-P", "-T", "-B1", asked])
        rows = done.stdout.splitlines()
        if done.ok and len(rows) > 1:
            break
        if done.timed_out or asked in ("/", ""):
            host.problem(path, done.describe())
            return found
        found["exists"] = False
        asked = os.path.dirname(asked.rstrip("/")) or "/"
    fields = rows[-1].split()
    if len(fields) < 7 or not (fields[2].isdigit() and fields[4].isdigit()):
        host.problem(path, "the answer of df cannot be read: %s" % rows[-1])
        return found
    found.update(
        filesystem=fields[1], total_bytes=int(fields[2]), free_bytes=int(fields[4]), mount=" ".join(fields[6:])
    )
    found["read_only"] = mounted_read_only(host.read("/proc/self/mounts") or "", found["mount"])
    return found


def mounted_read_only(table: str, mount: str) -> Optional[bool]:
    """Whether the file system at ``mount`` is read-only, by the kernel's mount table; the last mount there counts."""
    result: Optional[bool] = None
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[1].replace("\\040", " ") == mount:
            result = "ro" in fields[3].split(",")
    return result


def occupied_bytes(host: Host, disk: Mapping[str, Any]) -> Optional[int]:
    """How much already lies at the path of ``disk``; a file with several links counts once. None: not known in time."""
    if not disk["exists"]:
        return 0
    # Some sub-folder may be unreadable (status 1) and the sum still stands; a huge tree is given up at the deadline.
    done = host.run(["du", "-s", "-x", "-B1", disk["path"]], timeout=min(host.timeout, 10.0))
    words = done.stdout.split()
    return int(words[0]) if words and words[0].isdigit() and not done.timed_out else None
