# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links in the documents lead somewhere, and both READMEs tell the same commands."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Iterator

import pytest

ROOT = Path(__file__).resolve().parents[3]
SKIP = {".cache", ".collections", ".sim", ".git", "output"}


def documents() -> Iterator[Path]:
    """Every document; folders that come and go while other steps of the gate run are not looked into."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in SKIP]
        yield from (Path(folder, name).relative_to(ROOT) for name in files if name.endswith(".md"))


DOCUMENTS = sorted(documents())


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    broken = [t for t in targets if "://" not in t and not (ROOT / document.parent / t).exists()]
    assert broken == []


def test_both_readmes_name_the_same_commands_and_variables():
    found = []
    for name in ("README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        found.append(set(re.findall(r"\b(make [a-z-]+|playbooks/\w+\.yml|(?:fleet|npu|vllm|artifact)_\w+)\b", text)))
    assert found[0] == found[1]
