# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with artifacts, in words for the operator."""

from __future__ import annotations

import errno

_OF_ERRNO: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("room on the file system", "free room there; what is there is kept"),
    errno.EDQUOT: ("room within the quota", "raise the quota or free room; what is there is kept"),
    errno.EACCES: ("the right to do that", "run as a user that has it (become), or correct owner and mode"),
    errno.EPERM: ("the right to do that", "run as a user that has it (become), or remove the file's attributes"),
    errno.EROFS: ("a file system that can be written", "mount it writable, or choose another folder"),
    errno.EIO: ("a disk that reads and writes", "look for errors of the disk with dmesg and replace it"),
    errno.ENOTDIR: ("a folder", "remove the file that stands in its place"),
    errno.EISDIR: ("a file", "remove the folder that stands in its place"),
    errno.ELOOP: ("a path without a loop of links", "remove the link"),
    errno.ENAMETOOLONG: ("a shorter path", "choose a folder with a shorter name"),
    errno.EMFILE: ("more open files", "raise the limit of open files (ulimit -n)"),
    errno.ENFILE: ("more open files", "raise fs.file-max"),
    errno.ESTALE: ("a share that is mounted", "mount the share again"),
}


class ArtifactError(Exception):
    """Something the operator has to know; the message says what was found, what is needed and what to do."""


def describe_os_error(exc: OSError, doing: str) -> str:
    """Return the message for an error of the operating system: which file, what failed, what to do."""
    needed, fix = _OF_ERRNO.get(exc.errno or 0, ("that to succeed", "remove the cause and run again"))
    names = [str(name) for name in (exc.filename, exc.filename2) if name is not None]
    return "%s failed: found %s%s; needed %s. Fix: %s." % (
        doing,
        exc.strerror or str(exc) or type(exc).__name__,
        " at " + " and ".join(names) if names else "",
        needed,
        fix,
    )
