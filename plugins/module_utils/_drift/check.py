# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an entry of the catalogue of drift is, and what its checks look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Optional

from .._preflight.check import Found
from .compare import Expected

#: The second digit of an id's number is the area; the order is that of the report.
AREAS: dict[str, str] = {
    "0": "release",
    "1": "units",
    "2": "containers",
    "3": "versions",
    "4": "fleet",
    "5": "fleet",
}


@dataclass(frozen=True)
class Facts:
    """Everything that a check of one host may look at.

    node: as npu_info returns it. release: with its lock. planned: by unit, what the release makes of this host; None:
    it cannot be worked out, and ``plan_error`` says why. image: the release's image for the host. weights: the folders
    in which its weights may lie. odd: by id, what the fleet comparison found for this host.
    """

    node: Mapping[str, Any]
    release: Mapping[str, Any]
    planned: Optional[Mapping[str, Expected]] = None
    plan_error: str = ""
    image: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    odd: Mapping[str, list[Found]] = field(default_factory=dict)

    @property
    def serving(self) -> Mapping[str, Any]:
        """What npu_info says of our units."""
        return self.node.get("serving") or {}

    @property
    def errors(self) -> Mapping[str, str]:
        """By subject, what could not be read of them."""
        return self.serving.get("errors") or {}

    @property
    def units(self) -> list[Mapping[str, Any]]:
        """Our units on the host."""
        return list(self.serving.get("units") or [])

    @property
    def name(self) -> str:
        """The name of the release."""
        return str(self.release.get("release") or "")

    @property
    def pairs(self) -> list[tuple[Mapping[str, Any], Expected]]:
        """The units of this release, each with what the release makes of it."""
        planned = self.planned or {}
        return [(u, planned[str(u["name"])]) for u in self.units if u["name"] in planned and self.is_of_release(u)]

    @property
    def running(self) -> list[tuple[Mapping[str, Any], Mapping[str, Any], Expected]]:
        """Those of them that run: unit, container, and what the release makes of it."""
        return [(u, u["container"], wanted) for u, wanted in self.pairs if u.get("container")]

    def is_of_release(self, unit: Mapping[str, Any]) -> bool:
        """Whether a unit says that it is of the host's release."""
        return str(unit.get("release")) == self.name


CheckFunction = Callable[[Facts], Iterable[Found]]


@dataclass(frozen=True)
class Check:
    """An entry of the catalogue: ``DRF-NNN``, its severity, words, and the function that yields what it found."""

    id: str
    severity: str
    title: str
    what: str
    fix: str
    function: CheckFunction

    @property
    def area(self) -> str:
        """The column of the report."""
        return AREAS[self.id[-2]]

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
                    "error",
                )
            ]


def check(identity: str, severity: str, title: str, *, what: str, fix: str) -> Callable[[CheckFunction], Check]:
    """Make a function the check of this id."""

    def make(function: CheckFunction) -> Check:
        return Check(identity, severity, title, what, fix, function)

    return make
