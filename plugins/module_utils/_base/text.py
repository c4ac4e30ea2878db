# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of other programs made safe to show: a device's garbage must not drive the reader's terminal."""

from __future__ import annotations

import re

_NOT_PRINTABLE = re.compile("[\ufffd\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")


def printable(text: str, keep: str = "") -> str:
    r"""Return the text with every character that is not printable written as an escape, such as ``\x1b``.

    keep: characters that stay as they are, such as ``"\n\t"``.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def is_text(text: str) -> bool:
    """Whether this can be what a program wrote for people to read.

    Binary data decoded as text holds control characters and U+FFFD (bytes that are no UTF-8). A few of them are damage
    to a text; one character in ten is not a text.
    """
    return len(_NOT_PRINTABLE.findall(text)) * 10 < max(len(text), 1)
