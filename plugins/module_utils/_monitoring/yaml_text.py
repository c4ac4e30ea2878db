# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data as YAML for people to read. Every text is quoted as in JSON, which YAML reads as the same text."""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*\Z")
_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def yaml_text(data: Any) -> str:
    """Mappings, lists, texts, numbers, booleans and None. Keys keep their order."""
    return "\n".join(_lines(data)) + "\n"


def _lines(data: Any) -> list[str]:
    if isinstance(data, dict) and data:
        found = []
        for key, value in data.items():
            found += _entry(_scalar(str(key)) + ":", value)
        return found
    if isinstance(data, (list, tuple)) and data:
        found = []
        for value in data:
            lines = _lines(value)
            found += ["- " + lines[0], *("  " + line for line in lines[1:])]
        return found
    return [_scalar(data)]


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, (dict, list, tuple)) and value:
        return [key, *("  " + line for line in _lines(value))]
    return ["%s %s" % (key, _scalar(value))]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
