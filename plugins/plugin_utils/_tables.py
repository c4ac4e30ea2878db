# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a table of the whole fleet at the end of a playbook, and keep it as JSON. For the controller alone."""

from __future__ import annotations

import json
import os
from typing import Any, Iterable, Mapping, Optional

from ansible.utils.display import Display

from ..module_utils._base.files import write_atomically

_COLORS = {"error": "red", "warning": "bright purple", "ok": "green", "ignored": "dark gray"}


def show(lines: Iterable[tuple[str, Optional[str]]]) -> None:
    """Print lines, each with its tone: error, warning, ok, ignored, or none."""
    display = Display()
    for line, tone in lines:
        display.display(line, color=_COLORS.get(tone or ""))


def save(report: Mapping[str, Any], path: str, variable: str) -> dict[str, Any]:
    """Write the table to a file of the controller; return what a task's result needs where that fails.

    variable: the one that names the path.
    """
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        write_atomically(path, json.dumps(report, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    except OSError as exc:
        found = "found %s: %s; needed to write the table there" % (path, exc.strerror)
        return {"failed": True, "msg": "%s. Fix: another path in %s" % (found, variable)}
    return {}
