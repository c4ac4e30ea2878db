# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemctl command line of a host. One client owns the program's name, its deadline and its errors."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from .._base import command

_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "NeedDaemonReload",
    "Result",
    "NRestarts",
    "ExecMainStatus",
    "ExecMainCode",
    "InvocationID",
    "FragmentPath",
)


class SystemdError(Exception):
    """systemctl did not do or say what it was asked; the message names the command and how it ended."""


def parse_show(text: str) -> list[dict[str, str]]:
    """``systemctl show UNIT…``: blocks of ``Key=Value``, one per unit."""
    blocks: list[dict[str, str]] = [{}]
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            blocks[-1][key] = value
        elif not line.strip() and blocks[-1]:
            blocks.append({})
    return [b for b in blocks if b]


class Systemd:
    """The systemctl command line of this host."""

    def __init__(self, run: Callable[..., command.Completed] = command.run, timeout: float = 30.0) -> None:
        self._run = run
        self._timeout = timeout
        self.present = True

    def show(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Properties of units by name; nothing where there is no systemd."""
        if not names:
            return {}
        done = self._run(
            ["systemctl", "show", "--property=" + ",".join(_PROPERTIES), "--", *names], timeout=self._timeout
        )
        if done.exit_status == 127 or not done.ok:
            self.present = False
            return {}
        return {b["Id"]: b for b in parse_show(done.stdout) if "Id" in b}

    def __call__(self, *words: str, timeout: Optional[float] = None) -> None:
        """Do something; raises SystemdError when it does not succeed."""
        done = self._run(["systemctl", *words], timeout=timeout or self._timeout)
        if not done.ok:
            units = [w for w in words if w.endswith(".service")]
            hint = "journalctl -u %s -n 50" % units[0] if units else "systemctl status"
            raise SystemdError("found: %s; needed success. Fix: see `%s`" % (done.describe(), hint))
