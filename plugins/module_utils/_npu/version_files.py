# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the version files of the driver, the firmware, CANN and its additions (nnal/atb)."""

from __future__ import annotations

import re
from typing import Any, Sequence

from .._base.versions import Version

_LIST = re.compile(r"\[([^\[\]]*)\]")
_RANGE_KEYS = frozenset(("compatible_version_fw", "compatible_version_drv"))
_SET_KEYS = frozenset(("compatible_version",))
_FIELDS = ("version", "package_version", "innerversion", "package_name", "arch", "path")


def parse_pairs(text: str) -> dict[str, str]:
    """Return the pairs of a file of ``key=value`` or ``key : value`` lines, keys in lower case.

    ``/usr/local/Ascend/driver/version.info`` writes ``Version=``, CANN writes ``version=``, nnal writes
    ``Ascend-cann-atb : 8.5.0``. Of a key that stands twice the last value counts, as for a shell that sources the
    file: ``/etc/ascend_install.info`` is appended to by every installation.
    Empty lines, comments (``#``) and lines that are no pair are passed over.
    """
    pairs: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip().lstrip("\ufeff")
        if not line or line.startswith("#"):
            continue
        equals, colon = line.find("="), line.find(":")
        at = equals if equals >= 0 and (colon < 0 or equals < colon) else colon
        if at > 0:
            pairs[line[:at].strip().lower()] = line[at + 1 :].strip().strip('"')
    return pairs


def parse_ranges(text: str) -> list[list[str]]:
    """Return the bracketed groups of a ``compatible_version…`` value: ``[6.4.0,6.4.99],[7.0.0,8.9.9]`` has two."""
    return [[part.strip() for part in group.split(",") if part.strip()] for group in _LIST.findall(text)]


def parse_version_info(text: str) -> dict[str, Any]:
    """Read a ``version.info`` or ``ascend_*_install.info`` file.

    Returns every pair of the file under its key in lower case (str), and besides, always:

    ``version``: str or None; of the driver, of the firmware (its own number, 7.x: not the package's), of CANN;
        for nnal's file (``Ascend-cann-atb : …``) the component's.
    ``package_version``: str or None; the version of the package it came in (driver and firmware: 25.2.0).
    ``innerversion``, ``package_name``, ``arch``, ``path``: str or None.
    ``compatible_version``: list of str; the inner versions that go together with it.
    ``compatible_version_fw``, ``compatible_version_drv``: list of ``[lowest, highest]``; see ``in_range``.
    ``build_version``: str or None; nnal's version with its build (``8.5.0.B080``).

    A value that is missing or empty (a file cut off) is None, never an empty string.
    """
    pairs = parse_pairs(text)
    info: dict[str, Any] = dict(pairs)
    for key in _FIELDS:
        info[key] = pairs.get(key) or None
    if info["version"] is None:
        for key, value in pairs.items():
            if key.startswith("ascend-") and not key.endswith(" version") and value:
                info["package_name"], info["version"] = key, value
                break
    if info["arch"] is None:
        info["arch"] = pairs.get("platform") or None
    info["build_version"] = next((v for k, v in pairs.items() if k.endswith(" version") and v), None)
    for key in _SET_KEYS:
        info[key] = [part for group in parse_ranges(pairs.get(key, "")) for part in group]
    for key in _RANGE_KEYS:
        # a group of another size is no range: it is left out, and the text stays in the pair's own words
        info[key] = [group for group in parse_ranges(pairs.get(key, "")) if len(group) == 2]
    return info


def in_range(version: str, bounds: Sequence[str]) -> bool:
    """Whether a version lies within ``[lowest, highest]``, both included.

    A highest bound with a dot at its end stands for all that begins with it: ``[24.1,24.1.]`` holds 24.1.rc3 and
    24.1.0.3. False for what is no version.
    """
    low, high = bounds
    parsed, lowest, highest = Version.parse(version), Version.parse(low), Version.parse(high)
    if parsed is None or lowest is None or highest is None:
        return False
    within = parsed.begins_with(high) if high.endswith(".") else False
    above = parsed >= lowest or parsed.begins_with(low)
    return above and (within or parsed <= highest or parsed.same_release(highest))


def in_ranges(version: str, ranges: Sequence[Sequence[str]]) -> bool:
    """Whether a version lies within any of the ranges."""
    return any(in_range(version, bounds) for bounds in ranges)
