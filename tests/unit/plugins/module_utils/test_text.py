# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of other programs, made safe to show."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._base.text import is_text, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, and Chinese: 显卡", "plain, and Chinese: 显卡"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("bell\x07 null\x00", r"bell\x07 null\x00"),
        ("two\nlines\r", r"two\nlines\r"),
        ("turned \u202eround", r"turned \u202eround"),
        ("csi \x9b1A", r"csi \x9b1A"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_kept() -> None:
    assert printable("a\tb\nc\x1b", keep="\t\n") == "a\tb\nc\\x1b"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", True),
        ("a line\n", True),
        ("NPU \ufffd is damaged here and there\n", True),
        ("\x7fELF\x02\x01\x01\x00\x00\x00", False),
        ("\ufffd\ufffd\ufffd", False),
    ],
)
def test_is_text(text: str, result: bool) -> None:
    assert is_text(text) is result


def test_a_commands_last_words_are_safe_to_show() -> None:
    done = Completed(("tool",), 1, "", "failed \x1b]0;x\x07\n", False)
    assert done.describe() == r"`tool` ended with status 1: failed \x1b]0;x\x07"
