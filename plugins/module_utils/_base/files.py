# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one writer of whole files, and what belongs to it: reading files that may not be there, and removing them."""

from __future__ import annotations

import errno
import os
from typing import Optional

#: Why a file system gives a file no second name.
NO_LINK = (errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV)


def read_text(path: str, errors: str = "replace") -> Optional[str]:
    """A file's text, from UTF-8; None where there is no such file. One that cannot be read raises OSError.

    errors: what becomes of bytes that are no UTF-8, as open() takes it.
    """
    try:
        with open(path, encoding="utf-8", errors=errors) as file:
            return file.read()
    except FileNotFoundError:
        return None


def write_atomically(
    path: str,
    content: str | bytes,
    mode: Optional[int] = None,
    *,
    durable: bool = True,
    folder_mode: Optional[int] = None,
) -> None:
    """Replace ``path`` by a file with ``content``: whole, or not at all. OSError as open() raises it.

    The content is written to ``.NAME.PID.tmp`` in the same folder, which has its mode before it has any content, is
    flushed to disk, and is then renamed. Without ``mode`` the umask decides. Text is UTF-8; bytes that were read with
    ``surrogateescape`` are written as they were. Files of the same kind that killed runs have left are removed.

    durable: whether the content must survive a power failure; what is written every second need not.
    folder_mode: of folders that are made where they are missing; without it the folder must be there.
    """
    if folder_mode is not None:
        os.makedirs(os.path.dirname(path) or ".", mode=folder_mode, exist_ok=True)
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    temporary = os.path.join(os.path.dirname(path), ".%s.%d.tmp" % (os.path.basename(path), os.getpid()))
    for stale in temporaries(path):
        remove(stale)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise
    if durable:
        _sync_folder(os.path.dirname(path) or ".")


def temporaries(path: str) -> list[str]:
    """What killed runs have left beside a file. The file of a run that still lives is not among them."""
    folder, name = os.path.split(path)
    found = []
    for entry in os.listdir(folder or ".") if os.path.isdir(folder or ".") else ():
        if entry.startswith(".%s." % name) and entry.endswith(".tmp"):
            owner = entry[len(name) + 2 : -len(".tmp")]
            if owner == str(os.getpid()) or not os.path.exists("/proc/" + owner):
                found.append(os.path.join(folder, entry))
    return found


def remove(path: str) -> None:
    """Remove a file that may not be there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.EBADF, errno.EROFS):  # some file systems cannot flush a folder
            raise
    finally:
        os.close(fd)
