# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that is read: its commands, each with a deadline, and its files. Nothing here changes anything."""

from __future__ import annotations

import os
from typing import Callable, Optional, Sequence

from .._base import command
from .._base.text import printable
from .._npu import hardware

_SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Host:
    """The machine that is read: its commands, each with a deadline, and its files below ``root``."""

    def __init__(
        self,
        root: str = "/",
        run: Callable[..., command.Completed] = command.run,
        timeout: float = 30.0,
    ) -> None:
        self.root = root
        self.timeout = timeout
        self._run = run
        self.problems: list[dict[str, str]] = []

    def problem(self, subject: str, message: str) -> None:
        """Note that something could not be read. What cannot be printed is escaped."""
        entry = {"subject": printable(subject), "message": printable(message)}
        if entry not in self.problems:
            self.problems.append(entry)

    def path(self, path: str) -> str:
        """``path`` below the root."""
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    def run(self, argv: Sequence[str], timeout: Optional[float] = None) -> command.Completed:
        """Run a command with the deadline; the driver's libraries can be found whatever shell this is."""
        libraries = ":".join(
            p
            for p in (
                os.environ.get("LD_LIBRARY_PATH", ""),
                hardware.DRIVER_PATH + "/lib64",
                hardware.DRIVER_PATH + "/lib64/common",
                hardware.DRIVER_PATH + "/lib64/driver",
            )
            if p
        )
        environment = {"LD_LIBRARY_PATH": libraries} if os.path.basename(argv[0]) == "npu-smi" else None
        return self._run(argv, timeout=timeout or self.timeout, env=environment)

    def read(self, path: str) -> Optional[str]:
        """A file's text; None when it cannot be read."""
        try:
            with open(self.path(path), encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except OSError:
            return None

    def read_noted(self, path: str) -> Optional[str]:
        """A file's text; None where there is no such file. That a present file cannot be read is a problem."""
        text = self.read(path)
        if text is None and os.path.lexists(self.path(path)):
            kind = "is a directory, not a file" if os.path.isdir(self.path(path)) else "cannot be read"
            self.problem(path, "%s %s" % (path, kind))
        return text

    def read_required(self, path: str) -> str:
        """A file's text. That it is missing or cannot be read is a problem; the text is then empty."""
        text = self.read_noted(path)
        if text is None and not os.path.lexists(self.path(path)):
            self.problem(path, "there is no such file")
        return text or ""

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; none when there is no such folder. One that cannot be read is a problem."""
        try:
            return sorted(os.listdir(self.path(path)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            self.problem(path, "cannot be read: %s" % exc.strerror)
            return []

    def kind(self, path: str) -> str:
        """``file``, ``directory``, ``other``, ``missing``, or ``dangling`` for a link to a path that is missing."""
        full = self.path(path)
        if os.path.isdir(full):
            return "directory"
        if os.path.isfile(full):
            return "file"
        if os.path.islink(full) and not os.path.exists(full):
            return "dangling"
        return "other" if os.path.lexists(full) else "missing"

    def which(self, name: str) -> Optional[str]:
        """Where an executable program lies on the usual path."""
        for folder in dict.fromkeys([*_SEARCH, *os.environ.get("PATH", "").split(os.pathsep)]):
            full = self.path(os.path.join(folder, name))
            if folder and os.path.isfile(full) and os.access(full, os.X_OK):
                return os.path.join(folder, name)
        return None


def user_name(host: Host, uid: int) -> str:
    """A user's name, or the number where it has none."""
    return _id_name(host.read("/etc/passwd"), uid)


def group_name(host: Host, gid: int) -> str:
    """A group's name, or the number where it has none."""
    return _id_name(host.read("/etc/group"), gid)


def _id_name(table: Optional[str], number: int) -> str:
    for line in (table or "").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(number):
            return fields[0]
    return str(number)
