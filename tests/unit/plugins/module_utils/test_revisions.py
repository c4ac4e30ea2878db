# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which revisions are superfluous, and when each was last used."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.revisions import (
    Revision,
    later_uses,
    mentions,
    superfluous,
)


@pytest.mark.parametrize(
    ("keep", "in_use", "removed"),
    [
        (0, [], []),
        (1, [], ["m@1", "m@2"]),
        (2, [], ["m@1"]),
        (9, [], []),
        (1, ["m@1"], ["m", "m@2"]),
        (1, ["m@1", "m@2"], ["m"]),
        (2, ["m@1"], ["m@2"]),
    ],
)
def test_superfluous(keep: int, in_use: list[str], removed: list[str]) -> None:
    revisions = [Revision("m@1", "m", 1), Revision("m@2", "m", 2), Revision("m", "m", 3), Revision("other", "o", 0)]
    assert [r.name for r in superfluous(revisions, keep, in_use)] == removed


def test_what_was_asked_for_together_counts_as_one() -> None:
    revisions = [Revision(name, "r", at) for name, at in (("a0", 1), ("b0", 1), ("a1", 2), ("b1", 2), ("a2", 3))]
    assert [r.name for r in superfluous(revisions, 2, [])] == ["a0", "b0"]
    assert [r.name for r in superfluous(revisions, 2, ["a0"])] == ["a1", "b1"]


@pytest.mark.parametrize(
    ("serving", "current", "expected"),
    [
        ([], [], {}),
        ([], ["c"], {}),
        (["b"], ["c"], {}),
        ([], ["a"], {"a": 50.0}),
        (["a"], ["c"], {"a": 50.0, "c": 51.0}),
        (["a"], ["a"], {"a": 50.0}),
        ([], ["a", "c"], {"a": 50.0, "c": 50.0}),
        (["unknown"], ["unknown"], {}),
    ],
)
def test_later_uses(serving: list[str], current: list[str], expected: dict[str, float]) -> None:
    assert later_uses({"a": 1.0, "b": 2.0, "c": 3.0}, serving, current, now=50.0) == expected


def test_a_clock_that_was_set_back_makes_nothing_old() -> None:
    used_at = {"a": 100.0, "b": 200.0}
    used_at.update(later_uses(used_at, ["a"], now=50.0))
    assert used_at == {"a": 201.0, "b": 200.0}
    assert later_uses(used_at, ["a"], now=60.0) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--volume /r/models/m:/r/models/m:ro", True),
        ('"Source": "/r/models/m"', True),
        ("vllm serve /r/models/m/", True),
        ("/r/models/m@v1", False),
        ("/r/models/m-2", False),
        ("/r/models/m.old /r/models/m2", False),
    ],
)
def test_mentions(text: str, expected: bool) -> None:
    assert mentions(text, "/r/models/m") is expected
