# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read ``lspci``: which Huawei functions are on the PCI bus."""

from __future__ import annotations

import re
from typing import Any, Optional

VENDOR = "19e5"
_VENDOR_NAME = "Huawei Technologies Co., Ltd."
_ACCELERATORS = "Processing accelerators"
ACCELERATOR_CLASS = "1200"

_ADDRESS = re.compile(r"((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\s+(.*)", re.I)
# `1200: 19e5:d802 (rev 20)` (-n), with `Class` in front in old versions
_NUMERIC = re.compile(r"(?:Class\s+)?([0-9a-f]{4}):\s+([0-9a-f]{4}):([0-9a-f]{4})\b(.*)", re.I)
# `Processing accelerators [1200]: Huawei … Device [19e5:d802] (rev 20)` (-nn)
_BOTH = re.compile(r"(.*?)\s*\[([0-9a-f]{4})\]:\s+(.*)\[([0-9a-f]{4}):([0-9a-f]{4})\](.*)", re.I)
# `Processing accelerators: Huawei Technologies Co., Ltd. Device d802 (rev 20)`
_NAMED = re.compile(r"([^:]+):\s+(.*?)(?:\s+Device\s+([0-9a-f]{4}))?(\s+\(.*\))?", re.I)
_REVISION = re.compile(r"\(rev ([0-9a-f]{2})\)", re.I)


def parse_lspci(text: str) -> list[dict[str, Any]]:
    """Read lspci's lines, with or without ``-D``, with ``-n``, ``-nn`` or neither.

    Returns one mapping per function, in printed order:

    ``address``: str, ``0000:c1:00.0``, lower case and always with a domain (0000 where none is printed).
    ``id``: str ``19e5:d802`` in lower case, or None where only names are printed and they do not tell it.
    ``class_id``: str such as ``1200`` (processing accelerators), or None where only another class name is printed.
    ``revision``: str such as ``20``, or None.

    Lines of another form (the details of ``-v``, messages) are passed over.
    """
    functions = []
    for raw in text.splitlines():
        found = _ADDRESS.match(raw.strip("\ufeff")) if raw and not raw[0].isspace() else None
        if not found:
            continue
        address, rest = found.group(1).lower(), found.group(2).strip()
        identity = _identity(rest)
        if identity is None:
            continue
        class_id, pci_id = identity
        revision = _REVISION.search(rest)
        functions.append(
            {
                "address": address if address.count(":") == 2 else "0000:" + address,
                "id": pci_id,
                "class_id": class_id,
                "revision": revision.group(1).lower() if revision else None,
            }
        )
    return functions


def _identity(rest: str) -> Optional[tuple[Optional[str], Optional[str]]]:
    """Return (class id, vendor:device) of what follows the address; None where it is no function."""
    match = _NUMERIC.fullmatch(rest)
    if match:
        return match.group(1).lower(), "%s:%s" % (match.group(2).lower(), match.group(3).lower())
    match = _BOTH.fullmatch(rest)
    if match:
        return match.group(2).lower(), "%s:%s" % (match.group(4).lower(), match.group(5).lower())
    match = _NAMED.fullmatch(rest)
    if match:
        device = match.group(3)
        huawei = match.group(2).startswith(_VENDOR_NAME)
        class_id = ACCELERATOR_CLASS if match.group(1) == _ACCELERATORS else None
        return class_id, "%s:%s" % (VENDOR, device.lower()) if device and huawei else None
    return None
