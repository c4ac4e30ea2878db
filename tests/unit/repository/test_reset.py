# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever is told to reset an NPU is told first what else that resets, and to stop it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu.errors import explain_error
from ansible_collections.ascend.fleet.plugins.module_utils._npu.hardware import RESET_SCOPE

ROOT = Path(__file__).resolve().parents[3]
RESET = re.compile(r"\breset\s+(?:the|a|one|each|every)\s+(?:chip|card|NPU)|\b(?:chip|card|NPU) is reset\b")
STOP = "every replica of the host"


def _files() -> list[Path]:
    found = [path for name in ("plugins", "playbooks", "roles") for path in sorted((ROOT / name).rglob("*"))]
    found += [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
    return [path for path in found if path.suffix in (".md", ".py", ".yml")]


def _passages(text: str) -> list[str]:
    """The paragraphs of a text; of a table each row."""
    return [" ".join(re.sub(r"[\"\n#]", " ", part).split()) for part in re.split(r"\n\s*\n|\|\n", text)]


TOLD = [
    (path.relative_to(ROOT), part)
    for path in _files()
    for part in _passages(path.read_text(encoding="utf-8"))
    if RESET.search(part)
]


def test_the_places_are_found() -> None:
    assert {"alerts.md", "changes.md", "findings.md", "site_checks.md", "errors.py", "npu_idle.py", "npus.py"} <= {
        path.name for path, _part in TOLD
    }


@pytest.mark.parametrize(("path", "part"), TOLD, ids=["%s-%d" % (p, n) for n, (p, _part) in enumerate(TOLD)])
def test_a_text_that_says_to_reset_says_what_that_takes_along(path: Path, part: str) -> None:
    assert RESET_SCOPE.lower() in part.lower() or "RESET_SCOPE" in part, path
    assert STOP in part, path


def test_the_advice_for_a_card_that_does_not_answer_stops_the_replicas_first() -> None:
    advice = str(explain_error("dcmi module get info failed. ret is -8006"))
    assert RESET_SCOPE in advice
    assert advice.index(STOP) < advice.index("reset the card")
