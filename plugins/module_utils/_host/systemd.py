# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemctl command line of a host. One client owns the program's name, its deadlines and its errors.

A command that fails, or does not end within its deadline, raises SystemdError: what systemctl did not say is unknown,
and never an empty answer.
"""

from __future__ import annotations

import re
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
    "ActiveEnterTimestampMonotonic",
)
_NO_SYSTEMD = re.compile(r"not been booted with systemd", re.IGNORECASE)
_VERSION = re.compile(r"systemd (\d+)")


def short_name(unit: str) -> str:
    """A unit's name without its ending, as people write it."""
    return unit[: -len(".service")] if unit.endswith(".service") else unit


def question(*words: str) -> tuple[str, ...]:
    """A command line of systemctl whose text is kept for people as it is, whatever it says."""
    return ("systemctl", *words)


class SystemdError(Exception):
    """systemctl did not do or say what it was asked; the message names the command and how it ended.

    ``timed_out`` is true where the deadline passed. What was asked of systemd then goes on.
    """

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class NoSystemd(SystemdError):
    """The host's init is not systemd."""


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
    """The systemctl command line of this host. ``timeout`` is the deadline of a query, in seconds."""

    def __init__(self, run: Callable[..., command.Completed] = command.run, timeout: float = 30.0) -> None:
        self._run = run
        self._timeout = timeout

    def show(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Properties of units by name. A unit that does not exist has the LoadState ``not-found``."""
        if not names:
            return {}
        done = self._do("show", "--property=" + ",".join(_PROPERTIES), "--", *names)
        found = {b["Id"]: b for b in parse_show(done.stdout) if "Id" in b}
        unnamed = [name for name in names if name not in found]
        if unnamed:
            raise SystemdError(
                "found no answer about %s from `%s`; needed the state of every unit. Fix: see `systemctl status %s`"
                % (", ".join(unnamed), " ".join(done.argv), unnamed[0])
            )
        return found

    def loaded(self, patterns: Sequence[str]) -> list[str]:
        """Names of the units that systemd has in memory and that match one of these patterns."""
        done = self._do("list-units", "--all", "--plain", "--no-legend", "--no-pager", "--full", "--", *patterns)
        return sorted(line.split()[0] for line in done.stdout.splitlines() if line.strip())

    def matching(self, patterns: Sequence[str], properties: Sequence[str]) -> dict[str, dict[str, str]]:
        """These properties of units, by name: of all in memory that match a pattern, also of those that do not run.

        A name without ``*`` that does not exist has the LoadState ``not-found``, as with ``show``.
        """
        done = self._do("show", "--all", "--property=" + ",".join(["Id", *properties]), "--", *patterns)
        return {b["Id"]: b for b in parse_show(done.stdout) if b.get("Id")}

    def state(self) -> str:
        """The state of the host, such as ``running``, ``degraded`` or ``starting``; ``offline`` without systemd."""
        done = self._run(["systemctl", "is-system-running"], timeout=self._timeout)
        said = done.stdout.strip()
        if done.timed_out or not said:
            raise _error(done)
        return said  # the exit status is 0 for `running` alone

    def version(self) -> int:
        """The version of systemd, such as 249."""
        done = self._do("--version")
        match = _VERSION.match(done.stdout)
        if not match:
            raise SystemdError(
                "found no version in the answer of `%s`; needed `systemd NUMBER`. Fix: repair the installation of "
                "systemd" % " ".join(done.argv)
            )
        return int(match.group(1))

    def start(self, names: Sequence[str], *, timeout: Optional[float] = None) -> None:
        """Start units and wait until they run."""
        self._do("start", *names, timeout=timeout)

    def stop(self, names: Sequence[str], *, timeout: Optional[float] = None) -> None:
        """Stop units and wait until they have ended."""
        self._do("stop", *names, timeout=timeout)

    def restart(self, names: Sequence[str], *, timeout: Optional[float] = None) -> None:
        """Stop units where they run, start them, and wait until they run."""
        self._do("restart", *names, timeout=timeout)

    def reload_units(self, names: Sequence[str]) -> None:
        """Have running units read their configuration again."""
        self._do("reload", *names)

    def enable(self, names: Sequence[str]) -> None:
        """Start units with the host."""
        self._do("enable", "--quiet", *names)

    def disable(self, names: Sequence[str]) -> None:
        """Do not start units with the host."""
        self._do("disable", "--quiet", *names)

    def reload(self) -> None:
        """Have systemd read the unit files again."""
        self._do("daemon-reload", timeout=120)

    def reset_failed(self, names: Sequence[str]) -> None:
        """Forget failures and counted starts of units. A unit that is not loaded has none."""
        for name in names:
            try:
                self._do("reset-failed", name)
            except SystemdError as exc:
                if "not loaded" not in str(exc):
                    raise

    def _do(self, *words: str, timeout: Optional[float] = None) -> command.Completed:
        done = self._run(["systemctl", *words], timeout=timeout or self._timeout)
        if done.ok:
            return done
        raise _error(done)


def _error(done: command.Completed) -> SystemdError:
    if done.exit_status == 127 or (done.exit_status and _NO_SYSTEMD.search(done.stderr)):
        return NoSystemd(
            "found no systemd (%s); needed systemd as the host's init. Fix: serve on a host that systemd has booted"
            % done.describe()
        )
    units = [word for word in done.argv if word.endswith(".service")]
    hint = "journalctl -u %s -n 50" % units[0] if units else "systemctl status"
    return SystemdError("found: %s; needed success. Fix: see `%s`" % (done.describe(), hint), timed_out=done.timed_out)
