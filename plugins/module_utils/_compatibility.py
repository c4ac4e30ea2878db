# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes with what: driver, CANN and vllm-ascend, by a table that is data (plugin_utils/compatibility.yml)."""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional

from ansible_collections.ascend.fleet.plugins.module_utils._versions import Version

PAIRED = "paired"
COMPATIBLE = "compatible"
UNKNOWN = "unknown"
INCOMPATIBLE = "incompatible"


def _numbers(version: str) -> list[int]:
    """The release number alone: 0.14.0 of ``0.14.0rc2.dev119+g52aa9c006``."""
    match = re.match(r"^\s*[vV]?(\d+(?:\.\d+)*)", str(version))
    return [int(p) for p in match.group(1).split(".")] if match else []


def in_series(version: str, series: str) -> bool:
    """Whether ``version`` is ``series`` or lies below it: 25.2.0 and 25.2.rc1 lie in 25.2, 25.20 does not."""
    parsed = Version.parse(version)
    return parsed is not None and parsed.begins_with(series)


def in_entry(version: str, entry: Mapping[str, Any]) -> bool:
    """Whether ``version`` is meant by an entry of the table: ``series``, or ``from`` and ``until`` (both included)."""
    if "series" in entry:
        return in_series(version, str(entry["series"]))
    numbers = _numbers(version)
    if not numbers:
        return False
    first, last = _numbers(str(entry.get("from", ""))), _numbers(str(entry.get("until", "")))
    return (not first or numbers[: len(first)] >= first) and (not last or numbers[: len(last)] <= last)


def _row(table: Mapping[str, Any], cann: str) -> Mapping[str, Any]:
    # The longest name that fits: an entry for 8.5.2 beats one for 8.5.
    rows = [r for r in table.get("cann_driver") or [] if in_series(cann, str(r["cann"]))]
    return max(rows, key=lambda r: len(str(r["cann"])), default={})


def driver_level(table: Mapping[str, Any], cann: str, driver: str) -> str:
    """How a driver stands towards a CANN version: ``paired``, ``compatible``, ``unknown`` or ``incompatible``."""
    row = _row(table, cann)
    for level in (PAIRED, COMPATIBLE, INCOMPATIBLE):
        if any(in_entry(driver, e) for e in row.get(level) or []):
            return level
    return UNKNOWN


def drivers_for(table: Mapping[str, Any], cann: str) -> list[str]:
    """The drivers that go with a CANN version, in words, the paired ones first."""
    row = _row(table, cann)
    words = []
    for level in (PAIRED, COMPATIBLE):
        for entry in row.get(level) or []:
            if "series" in entry:
                series = str(entry["series"])
                words.append(series if len(series.split(".")) > 2 else series + ".x")
            else:
                words.append("%s.x to %s.x" % (entry.get("from"), entry.get("until")))
    return words


def cann_for(table: Mapping[str, Any], vllm_ascend: str) -> Optional[str]:
    """The CANN version that a vllm-ascend version is built for; None where the table does not know it."""
    for entry in table.get("vllm_ascend_cann") or []:
        if in_entry(vllm_ascend, entry):
            return str(entry["cann"])
    return None
