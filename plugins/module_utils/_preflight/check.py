# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an entry of the catalogue is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Optional, Sequence

from .facts import Facts

ERROR = "error"
WARNING = "warning"

# The first part of an id is the area; the order is that of the report.
AREAS: dict[str, str] = {
    "SYS": "system",
    "DRV": "driver",
    "CANN": "CANN",
    "DEV": "devices",
    "NPU": "NPUs",
    "DKR": "docker",
    "DSK": "disk",
    "NET": "network",
}


@dataclass(frozen=True)
class Found:
    """What a check found and needs; what to do and how bad it is, where that differs from the catalogue."""

    found: str
    needed: str
    fix: Optional[str] = None
    severity: Optional[str] = None


CheckFunction = Callable[[Facts], Iterable[Found]]


@dataclass(frozen=True)
class Check:
    """An entry of the catalogue.

    id: stable, ``AREA-NNN``. severity: ``error`` or ``warning``. needs: the subsets of ``npu_info`` without which the
    check says nothing. function: yields what it found; it reads nothing itself.
    """

    id: str
    severity: str
    title: str
    what: str
    fix: str
    needs: tuple[str, ...]
    function: CheckFunction

    @property
    def area(self) -> str:
        """The column of the report."""
        return AREAS[self.id.split("-", 1)[0]]

    def apply(self, facts: Facts) -> list[Found]:
        """What the check finds. An exception in it is a finding too: strange data must not hide other findings."""
        try:
            return list(self.function(facts))
        except Exception as exc:
            return [
                Found(
                    "that the check itself failed, unchecked (%s: %s)" % (type(exc).__name__, exc),
                    "data that the check understands",
                    "report this as a bug of the collection, with the node's data",
                )
            ]


def check(
    identity: str, severity: str, title: str, *, what: str, fix: str, needs: Sequence[str] = ()
) -> Callable[[CheckFunction], Check]:
    """Make a function the check of this id."""

    def make(function: CheckFunction) -> Check:
        return Check(identity, severity, title, what, fix, tuple(needs), function)

    return make
