# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host differs from its release and from the fleet, in the form of the preflight's findings."""

from __future__ import annotations

from typing import Any, Sequence

from .._preflight.check import ERROR
from .._preflight.report import Kind
from . import replicas, versions
from .check import AREAS, Check, Facts

#: How its ids begin.
PREFIX = "DRF-"


def _all_checks() -> dict[str, Check]:
    found: dict[str, Check] = {}
    for entry in (*replicas.CHECKS, *versions.CHECKS):
        if entry.id in found:
            raise ValueError("%s stands twice in the catalogue" % entry.id)
        found[entry.id] = entry
    return found


CATALOGUE: dict[str, Check] = _all_checks()


def catalogue() -> list[dict[str, str]]:
    """The catalogue as data, in its order: ``id``, ``severity``, ``area``, ``title``, ``what``, ``fix``."""
    return [
        {"id": c.id, "severity": c.severity, "area": c.area, "title": c.title, "what": c.what, "fix": c.fix}
        for c in CATALOGUE.values()
    ]


DRIFT = Kind("DRIFT", tuple(dict.fromkeys(AREAS.values())), catalogue, "without errors", "has drifted")


def findings(facts: Facts, ignore: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Everything in which a host differs, errors first. ``ignore``: ids that are accepted on purpose; ValueError."""
    unknown = sorted(i for i in ignore if i.startswith(PREFIX) and i not in CATALOGUE)
    if unknown:
        raise ValueError(
            "cannot ignore %s: no such finding; the ids stand in docs/findings.md, from %s to %s"
            % (", ".join(unknown), min(CATALOGUE), max(CATALOGUE))
        )
    result = []
    for entry in CATALOGUE.values():
        for found in entry.apply(facts):
            result.append(
                {
                    "id": entry.id,
                    "severity": found.severity or entry.severity,
                    "area": entry.area,
                    "title": entry.title,
                    "message": "%s: found %s; needed %s" % (entry.title, found.found, found.needed),
                    "found": found.found,
                    "needed": found.needed,
                    "fix": found.fix or entry.fix,
                    "ignored": entry.id in ignore,
                }
            )
    return sorted(result, key=lambda f: (f["ignored"], f["severity"] != ERROR))
