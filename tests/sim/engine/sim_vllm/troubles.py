# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an engine that runs, and its pace: switched on the host at run time, read here again and again.

A trouble strikes the engine that runs when it is asked for; a restart cures it. What later engines shall suffer from is
the fault ``engine`` (see the README).
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from . import device

EVERY = "all"


class Troubles:
    """The troubles of the engine behind one port."""

    def __init__(self, port: int, started: float, state: dict[str, Any] | None = None) -> None:
        self.port, self.started = str(port), started
        self.state: dict[str, Any] = state or {}
        self._seen: tuple[int, int] | None = None
        self._owed = 0.0

    def refresh(self) -> None:
        """Read the host's state where it has changed; a state that cannot be read leaves things as they are."""
        path = device.rooted(device.MIRROR_PATH)
        with contextlib.suppress(OSError, ValueError):
            found = os.stat(path)
            mark = (found.st_ino, found.st_mtime_ns)
            if mark == self._seen:
                return
            with open(path, encoding="utf-8") as stream:
                self.state = json.load(stream)
            self._seen = mark

    def _entry(self, name: str) -> dict[str, Any] | None:
        """A trouble of this engine that was asked for after it started."""
        asked = self.state.get("faults", {}).get(name, {})
        for key in (self.port, EVERY):
            entry = asked.get(key)
            if isinstance(entry, dict) and float(entry.get("since", 0)) >= self.started:
                return entry
        return None

    def _value(self, name: str, otherwise: float) -> float:
        entry = self._entry(name)
        return otherwise if entry is None else float(entry.get("value", otherwise))

    @property
    def hangs(self) -> bool:
        return self._entry("engine-hang") is not None

    @property
    def garbles(self) -> bool:
        return self._entry("engine-garbage") is not None

    @property
    def slowness(self) -> float:
        """How many times slower than usual every token comes."""
        return max(self._value("engine-slow", 1.0), 0.01)

    def refuses(self) -> bool:
        """Whether this question is one of the per cent that are answered with an error: evenly, not by chance."""
        self._owed += self._value("engine-errors", 0.0)
        if self._owed < 100:
            return False
        self._owed -= 100
        return True

    def token_seconds(self, otherwise: float) -> float:
        """The time between two tokens, where the host sets one."""
        told = self.state.get("engine", {}).get("token_seconds")
        return (otherwise if told is None else float(told)) * self.slowness


def start_delay(port: int, state: dict[str, Any]) -> float:
    """How many seconds longer than usual an engine takes that starts now."""
    asked = state.get("faults", {}).get("engine-start", {})
    entry = asked.get(str(port)) or asked.get(EVERY) or {}
    return float(entry.get("value", 0.0))
