# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the simulated fleet: its READMEs name each, and none uses itself by way of another."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

SIM = Path(__file__).resolve().parents[2] / "sim"
#: A folder of files that import each other, and the README that says what each knows.
PARTS = {"fleetsim": "README.md", "silicon": "silicon/README.md", "engine/sim_vllm": "engine/README.md"}


def imported(path: Path) -> set[str]:
    """The names behind every import of a file, the last part of dotted ones."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.update([(node.module or "").split(".")[-1]] if node.module else [name.name for name in node.names])
        elif isinstance(node, ast.Import):
            found.update(name.name for name in node.names if "." not in name.name)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_every_file_is_told_of(part: str) -> None:
    text = (SIM / PARTS[part]).read_text(encoding="utf-8")
    names = [path.name for path in (SIM / part).glob("*.py") if path.name != "__init__.py"]
    assert [name for name in names if "`%s`" % name not in text] == []
    assert names


@pytest.mark.parametrize("part", PARTS)
def test_imports_lead_one_way(part: str) -> None:
    files = {path.stem: path for path in (SIM / part).glob("*.py")}
    graph = {name: imported(path) & (files.keys() - {name}) for name, path in files.items()}
    assert sum(len(used) for used in graph.values()) > len(files)
    graphlib.TopologicalSorter(graph).prepare()


def test_what_only_reads_loads_nothing_of_what_changes() -> None:
    """npu-smi is started hundreds of times: what it loads is what an installation compiles, and no more."""
    reached, left = set(), {"sim_tools"}
    while left:
        name = left.pop()
        reached.add(name)
        used = {found for found in imported(SIM / "silicon" / (name + ".py")) if found.startswith("sim_")}
        left |= used - reached
    assert reached == {"sim_tools", "sim_text", "sim_state"}
