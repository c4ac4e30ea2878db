# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that did not tell what they stand for stay gone."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
GONE = {
    "_also",
    "_because",
    "_conclude",
    "_doomed",
    "_foretell",
    "_live",
    "_native",
    "_refuse_strangers",
    "_unnamed",
    "alone",
    "beside_others",
    "foresee",
    "peek",
}


def _defined() -> Iterator[tuple[str, str]]:
    for path in sorted(PLUGINS.rglob("*.py")):
        yield path.stem, path.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield node.name, "%s:%d" % (path.name, node.lineno)


def test_names_that_say_nothing_stay_gone() -> None:
    defined = list(_defined())
    assert len(defined) > 1000
    assert [(name, where) for name, where in defined if name in GONE] == []
