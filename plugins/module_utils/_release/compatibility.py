# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes with what: driver, CANN and vllm-ascend, by a table that is data (plugin_utils/compatibility.yml)."""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional, Sequence

from .._base.versions import Version
from .._npu import version_files

PAIRED = "paired"
COMPATIBLE = "compatible"
UNKNOWN = "unknown"
INCOMPATIBLE = "incompatible"

_INNER = re.compile(r"V[0-9]+R[0-9]+C[0-9]+", re.I)


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
            candidate = re.match(r"^\s*[vV]?\d+(?:\.\d+)*\.?(?:rc|a|b|dev)\d", vllm_ascend)
            return str(entry["candidates"] if candidate and "candidates" in entry else entry["cann"])
    return None


# -- what the host's own files say ----------------------------------------------------------------------------------


def inner_series(version: Any) -> Optional[str]:
    """``V100R001C15`` of an inner version such as ``V100R001C15SPC012B220``; None for anything else."""
    match = _INNER.match(str(version or "").strip())
    return match.group(0).upper() if match else None


def advice(versions: Mapping[str, Any]) -> list[dict[str, str]]:
    """What the packages on a host say of each other in their ``compatible_version…`` fields, where it is not yes.

    versions: as ``npu_info`` returns them. An entry has ``pair`` (``firmware_driver`` or ``cann_driver``), ``found``
    and ``needed``. It is advice: a package can only list what existed when it was made, so that a newer partner is
    missing without being wrong. Two packages of one version, and packages that list nothing, give none.
    """
    driver, firmware = versions.get("driver") or {}, versions.get("firmware") or {}
    out = []
    own = driver.get("package_version") or driver.get("version")
    listed = firmware.get("compatible_version_drv") or []
    package = firmware.get("package_version")
    if own and listed and not (package and _same(own, package)) and not version_files.in_ranges(own, listed):
        out.append(
            {
                "pair": "firmware_driver",
                "found": "driver %s, which firmware %s does not list" % (own, package or firmware.get("version")),
                "needed": "a driver from %s" % " or ".join(_range(r) for r in listed),
            }
        )
    inner = inner_series(driver.get("innerversion"))
    forward = {inner_series(v) for v in driver.get("compatible_version") or []}
    for cann in versions.get("cann") or []:
        series = inner_series(cann.get("innerversion"))
        accepted = {inner_series(v) for v in cann.get("compatible_version") or []}
        # Whichever of the two is the newer one knows the other.
        if inner and series and accepted and inner not in accepted and series not in forward and inner != series:
            out.append(
                {
                    "pair": "cann_driver",
                    "found": "driver %s (%s) and the host's CANN %s (%s), neither of which lists the other"
                    % (driver.get("version"), inner, cann.get("version"), series),
                    "needed": "a driver of %s" % ", ".join(sorted(v for v in accepted if v)),
                }
            )
    return out


def _same(left: str, right: str) -> bool:
    one, two = Version.parse(left), Version.parse(right)
    return left == right if one is None or two is None else one.same_release(two)


def _range(bounds: Sequence[str]) -> str:
    low, high = bounds[0], bounds[1].rstrip(".")
    return low if low == high else "%s to %s" % (low, high)
