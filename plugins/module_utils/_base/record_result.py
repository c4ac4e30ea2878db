# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module returns that has changed a record of a host's changes."""

from __future__ import annotations

from typing import Any, Callable, Mapping


def result_of(
    path: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    dump: Callable[[Mapping[str, Any]], str],
    *,
    begins: bool,
) -> dict[str, Any]:
    """``changed``, ``state``, ``diff`` and, for a module that ``begins`` a change, ``goes_on``.

    before, after: records with ``change``, the open change with the time ``began``, or None where none is open
    dump: gives the text of a record
    """
    result: dict[str, Any] = {"changed": after != before, "state": after}
    result["diff"] = {
        "before_header": path,
        "after_header": path,
        "before": dump(before),
        "after": dump(after),
    }
    if begins:
        result["goes_on"] = bool(before["change"]) and after["change"]["began"] == before["change"]["began"]
    return result
