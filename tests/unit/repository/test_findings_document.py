# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/findings.md is what the catalogue says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "findings_doc.py"


@pytest.mark.skipif(not TOOL.exists(), reason="an installed collection has neither tools nor docs")
def test_the_document_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("findings_doc", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text(encoding="utf-8") == module.render(), "run python tests/tools/findings_doc.py"
