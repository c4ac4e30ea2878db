# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundle of a host: a tar.gz that is private from its first byte on, in a private folder of its own."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import stat
import tarfile
import tempfile
import time
from typing import Optional

#: The folder of a bundle is named so, whatever it lies in.
PREFIX = "ascend-fleet-diagnose-"
_LEFT_SECONDS = 6 * 3600
_NAME = re.compile(r"[^A-Za-z0-9@._+/-]")


class BundleError(Exception):
    """The bundle cannot be written or removed; the message says what was found, what was needed and what to do."""


class Bundle:
    """Writes a bundle. ``base``: the folder that holds its folder."""

    def __init__(self, base: str, name: str, now: float) -> None:
        if not os.path.isdir(base):
            raise BundleError("found no folder %s; needed one for the bundle. Fix: another folder" % base)
        self.folder = tempfile.mkdtemp(prefix=PREFIX, dir=base)  # 0700
        self._root, self._now = name, now
        self.path = os.path.join(self.folder, name + ".tar.gz")
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(handle, "wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w:gz", compresslevel=6)  # noqa: SIM115 - closed in close()
        self._names: set[str] = set()
        #: Bytes before compression.
        self.size = 0

    def add(self, name: str, text: str) -> str:
        """Add a text; returns its name in the bundle, which is safe for any file system."""
        safe = _NAME.sub("_", name).replace("..", "_").strip("/") or "unnamed"
        chosen, number = safe, 1
        while chosen in self._names:
            number += 1
            chosen = "%s-%d" % (safe, number)
        self._names.add(chosen)
        data = text.encode("utf-8", "replace")
        about = tarfile.TarInfo("%s/%s" % (self._root, chosen))
        about.size, about.mtime, about.mode = len(data), int(self._now), 0o600
        self._tar.addfile(about, io.BytesIO(data))
        self.size += len(data)
        return chosen

    def close(self) -> tuple[int, str]:
        """End it; returns its size and its SHA-256."""
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        digest = hashlib.sha256()
        with open(self.path, "rb") as file:
            for chunk in iter(lambda: file.read(1024 * 1024), b""):
                digest.update(chunk)
        return os.path.getsize(self.path), digest.hexdigest()

    def discard(self) -> None:
        """Remove everything that was written."""
        try:
            self._tar.close()
            self._file.close()
        except OSError:
            pass
        shutil.rmtree(self.folder, ignore_errors=True)


def remove(path: str) -> bool:
    """Remove the folder of a bundle; whether there was one. What is no folder of a bundle is refused."""
    folder = os.path.dirname(path)
    if not os.path.basename(folder).startswith(PREFIX) or not _is_own(folder):
        if not os.path.lexists(folder) and os.path.basename(folder).startswith(PREFIX):
            return False
        found = "found %s; needed a bundle that this module has written" % path
        raise BundleError("%s. Fix: give the path that it has returned" % found)
    shutil.rmtree(folder)
    return True


def remove_left(base: str, now: Optional[float] = None) -> list[str]:
    """Remove what killed runs have left in ``base``, when it is hours old; returns the folders."""
    removed = []
    for name in sorted(os.listdir(base) if os.path.isdir(base) else ()):
        path = os.path.join(base, name)
        if not name.startswith(PREFIX) or not _is_own(path):
            continue
        if (time.time() if now is None else now) - os.lstat(path).st_mtime > _LEFT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed


def _is_own(folder: str) -> bool:
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    return private and status.st_uid == os.geteuid()
