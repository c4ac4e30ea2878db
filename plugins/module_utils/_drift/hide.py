# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown of commands, variables and files that may hold secrets: everything but the secrets themselves.

What was planned is made unreadable in the same way before it is compared, so that both sides read alike.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence

from .._serving.container import SECRET

HIDDEN = "***"
_PASSWORD = re.compile(r"(://)[^/@\s\"']+@")
_IN_TEXT = re.compile(
    r"([A-Za-z0-9_.-]*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?))(\s*[=:]\s*|[\"']?\s+(?=[^\s-]))(\"[^\"]*\"|\S+)",
    re.IGNORECASE,
)


def value(name: str, content: Any) -> str:
    """The value of a variable, hidden where its name is one of a secret; passwords in URLs are hidden anyway."""
    return HIDDEN if SECRET.search(name) and content != "" else _PASSWORD.sub(r"\1***@", str(content))


def variables(found: Mapping[str, Any]) -> dict[str, str]:
    """Variables by name."""
    return {str(name): value(str(name), content) for name, content in found.items()}


def command(words: Sequence[str]) -> list[str]:
    """The words of a command: what follows an option such as ``--api-key`` is hidden."""
    found: list[str] = []
    hides = False
    for word in map(str, words):
        name, equals, content = word.partition("=")
        if hides and not word.startswith("-"):
            found.append(HIDDEN)
        elif equals and SECRET.search(name):
            found.append("%s=%s" % (name, HIDDEN if content else ""))
        else:
            found.append(_PASSWORD.sub(r"\1***@", word))
        hides = word.startswith("-") and not equals and bool(SECRET.search(word))
    return found


def text(content: str) -> str:
    """The text of a file: what stands behind the name of a secret is hidden."""
    return _PASSWORD.sub(r"\1***@", _IN_TEXT.sub(lambda m: m.group(1) + m.group(2) + HIDDEN, content))
