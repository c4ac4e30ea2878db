# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wings of plugins/module_utils: which may use which, as docs/architecture.md draws it. How long a file may be."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HOME = ROOT / "plugins" / "module_utils"

#: A wing may use itself and these; what they may use, it may use too.
USES: dict[str, tuple[str, ...]] = {
    "_base": (),
    "_npu": ("_base",),
    "_host": ("_base",),
    "_release": ("_npu",),
    "_node": ("_npu", "_host"),
    "_preflight": ("_node", "_release"),
    "_artifacts": ("_release", "_host"),
    "_images": ("_base", "_host"),
    "_serving": ("_release", "_npu", "_host"),
    "_drift": ("_preflight", "_serving", "_images"),
    "_bench": ("_serving",),
    "_diagnose": ("_node", "_serving"),
    "_upgrade": ("_bench",),
    "_monitoring": ("_npu", "_host"),
    "_driver": ("_upgrade", "_node", "_artifacts"),
}
#: Limits of one file and one class, in lines: past them it usually does two jobs.
FILE_LINES, CLASS_LINES = 500, 250
FILES = sorted(p for p in HOME.rglob("*.py"))
#: The collection, the simulated fleet, the gate. Programs without a suffix are a few lines long.
PROGRAMS = sorted(p for folder in ("plugins", "tests/sim", "tests/tools") for p in (ROOT / folder).rglob("*.py"))


def reach(wing: str) -> set[str]:
    """The wings that a wing may use, itself among them."""
    return {wing}.union(*(reach(other) for other in USES[wing]))


def imports(path: Path) -> list[str]:
    """What a file imports, as dotted names below module_utils; other names are left out."""
    inside = path.parent.relative_to(HOME).parts
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = inside[: len(inside) - (node.level - 1)]
            module = [*above, *(node.module or "").split(".")] if node.module else list(above)
            # `from .. import wing` and `from . import file` name what is imported behind the word import.
            found += [".".join(filter(None, [*module, alias.name])) for alias in node.names]
    return found


def test_every_file_lies_in_a_wing_and_no_wing_has_an_init() -> None:
    assert {p.relative_to(HOME).parts[0] for p in FILES} == set(USES)
    assert all(len(p.relative_to(HOME).parts) == 2 for p in FILES)
    assert not list(HOME.rglob("__init__.py"))


def test_the_architecture_has_a_row_for_every_wing_and_names_every_role_once() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert sorted(name.strip("`") for name in rows if name.startswith("`_")) == sorted(USES)
    (roles,) = (line for line in text.splitlines() if line.startswith("| `roles/` |"))
    assert {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()} == set(re.findall(r"`(\w+)`", roles))


def test_a_file_uses_its_own_wing_and_lower_ones() -> None:
    wrong = {}
    for path in FILES:
        name = path.relative_to(HOME)
        wrong[str(name)] = sorted({used.split(".")[0] for used in imports(path)} - reach(name.parts[0]))
    assert {name: used for name, used in wrong.items() if used} == {}
    assert len(wrong) > 100


def test_plugins_import_the_collection_relatively() -> None:
    absolute = [
        str(p.relative_to(ROOT))
        for p in sorted((ROOT / "plugins").rglob("*.py"))
        for node in ast.walk(ast.parse(p.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ansible_collections.ascend")
    ]
    assert not absolute


def test_no_file_and_no_class_grows_past_one_job() -> None:
    large: dict[str, int] = {}
    for path in PROGRAMS:
        text, name = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        if len(text.splitlines()) > FILE_LINES:
            large[name] = len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno + 1 > CLASS_LINES:
                large["%s: %s" % (name, node.name)] = (node.end_lineno or 0) - node.lineno + 1
    assert large == {}
    assert len(PROGRAMS) > 200
