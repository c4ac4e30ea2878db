# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a fleet as one HTML page that needs nothing else: template, style, script, and the document.

The document is data in the page: no character of it can end its element, and the script shows it as text alone. The
page's own policy lets the browser run this script and use this style, and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

FOLDER = Path(__file__).resolve().parent / "report_page"
#: Shorter tables are not worth their columns' names.
_FEW_ROWS = 3
#: Characters that end an element, begin a comment, or end a line of script, as JSON writes them.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ESCAPED = str.maketrans(_ESCAPES)


def page(document: Mapping[str, Any], folder: Path = FOLDER) -> str:
    """The page."""
    style, script = (_read(folder / name) for name in ("page.css", "page.js"))
    words = _read(folder / "words.json")
    policy = "; ".join(
        (
            "default-src 'none'",
            "style-src '%s'" % _hash(style),
            "script-src '%s'" % _hash(script),
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    parts = {
        "{{policy}}": policy,
        "{{style}}": style,
        "{{words}}": embedded(json.loads(words)),
        "{{data}}": embedded(pack(document)),
        "{{script}}": script,
    }
    text = _read(folder / "page.html")
    found = []
    # Piece by piece: what stands in the data is no placeholder.
    for name, content in parts.items():
        before, place, text = text.partition(name)
        if not place:
            raise ValueError("found no %s in its order in page.html; needed all of %s" % (name, ", ".join(parts)))
        found += [before, content]
    return "".join([*found, text])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a policy names an element's text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def embedded(data: Any) -> str:
    """JSON that may stand in an element ``script``."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A lone surrogate is no character, and cannot be written as UTF-8.
    return text.translate(_ESCAPED).encode("utf-8", "backslashreplace").decode("utf-8")


# - packing -


def pack(value: Any) -> Any:
    """The same, smaller: a list of mappings with equal keys is written by columns, ``{"$rows": N, "$columns": {…}}``.

    A column of one value is ``{"$same": VALUE}``, one in which texts repeat ``{"$values": […], "$index": […]}``. The
    page's script unpacks it.
    """
    if isinstance(value, Mapping):
        return {str(key): pack(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        names = _columns(value)
        if names is None:
            return [pack(one) for one in value]
        return {"$rows": len(value), "$columns": {name: _column([row[name] for row in value]) for name in names}}
    return value


def _columns(rows: Sequence[Any]) -> Optional[list[str]]:
    """The keys that all rows have; None where this is no table."""
    if len(rows) < _FEW_ROWS or not all(isinstance(row, Mapping) for row in rows):
        return None
    names = [str(key) for key in rows[0]]
    return names if names and all([str(key) for key in row] == names for row in rows) else None


def _column(values: Sequence[Any]) -> Any:
    packed = [pack(value) for value in values]
    if not all(value is None or isinstance(value, (str, bool, int, float)) for value in packed):
        return packed
    # By type too: 1, 1.0 and true are equal, and are not the same.
    places: dict[tuple[type, Any], int] = {}
    index = [places.setdefault((type(value), value), len(places)) for value in packed]
    if len(places) == 1:
        return {"$same": packed[0]}
    # A number is not shorter for being shared.
    if 2 * len(places) > len(packed) or not any(isinstance(value, str) for value in packed):
        return packed
    return {"$values": [value for _kind, value in places], "$index": index}


def unpack(value: Any) -> Any:
    """What ``pack`` was given; the page's script does the same."""
    if isinstance(value, list):
        return [unpack(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "$columns" not in value:
        return {key: unpack(one) for key, one in value.items()}
    columns = {name: _values(column, value["$rows"]) for name, column in value["$columns"].items()}
    return [{name: columns[name][row] for name in columns} for row in range(value["$rows"])]


def _values(column: Any, rows: int) -> list[Any]:
    if isinstance(column, list):
        return [unpack(one) for one in column]
    if "$same" in column:
        return [column["$same"]] * rows
    return [column["$values"][place] for place in column["$index"]]
