# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of all checks, in the order of the report."""

from __future__ import annotations

from . import cann, devices, disk, docker, driver, network, npus, system
from .check import Check

_MODULES = (system, driver, cann, devices, npus, docker, disk, network)


def _all_checks() -> dict[str, Check]:
    found: dict[str, Check] = {}
    for module in _MODULES:
        for entry in module.CHECKS:
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
