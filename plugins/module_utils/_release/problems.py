# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with what an operator wrote: one problem in words, and the error that lists all of them."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Problem:
    """One mistake in a release: where, what was found, what is needed."""

    path: str
    found: str
    needed: str

    def text(self) -> str:
        """One line for people."""
        return "%s: found %s; needed %s" % (self.path, self.found, self.needed)


class ReleaseError(Exception):
    """A release that cannot be used; the message lists every mistake."""

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        self.where = where
        self.problems = list(problems)
        noun = "1 mistake" if len(self.problems) == 1 else "%d mistakes" % len(self.problems)
        lines = ["%s: %s" % (where, noun)]
        lines += ["%d. %s" % (n, p.text()) for n, p in enumerate(self.problems, 1)]
        super().__init__("\n".join(lines))


def quote(value: Any) -> str:
    """A value as an error message shows it: short, and telling a string from a number."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        # A URL may carry a password.
        text = re.sub(r"://[^/@\s]+@", "://***@", json.dumps(value, ensure_ascii=False))
    elif isinstance(value, bool):
        text = "the boolean %s" % str(value).lower()
    elif isinstance(value, (int, float)):
        text = "the number %s" % value
    elif isinstance(value, Mapping):
        text = "a mapping (%s)" % ", ".join(str(k) for k in value)
    elif isinstance(value, (list, tuple)):
        text = "a list of %d" % len(value)
    else:
        text = "a %s (%s)" % (type(value).__name__, value)
    return text if len(text) <= 120 else text[:117] + "..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean `x`?)`` for a near miss, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return " (did you mean `%s`?)" % near[0] if near else ""
