# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain Python values out of whatever a template engine hands over."""

from __future__ import annotations

from typing import Any


def to_native_types(value: Any) -> Any:
    """Return ``value`` rebuilt of plain dict, list, str, int, float, bool and None.

    ansible-core 2.19 and later tag the values that pass through templates with subclasses of the built-in types;
    pure code, JSON and YAML writers must not see those. Tuples and sets become lists; anything else becomes str.
    """
    if value is None or isinstance(value, bool):
        return None if value is None else bool(value)
    if isinstance(value, dict):
        return {to_native_types(k): to_native_types(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_native_types(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((to_native_types(v) for v in value), key=str)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    # str() of a str subclass may return the subclass itself; joining always builds a plain one.
    return "".join(value) if isinstance(value, str) else str(value)
