# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a site's own checks: what an entry of ``npu_preflight_site_checks`` may say, and what an expectation is.

Expressions are read where the library for them is; here they are texts.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional, Sequence

from .._base.versions import Version
from .checks import Section, matching, one_of, text
from .problems import Problem, quote

ID = re.compile(r"SITE-\d{3}\Z")
EMPTY, NOT_EMPTY = "empty", "not empty"
#: What an expectation may be, each with an example.
EXPECTATIONS: dict[str, str] = {
    "equals": "{equals: 60}",
    "in": "{in: [cgroupfs, systemd]}",
    "min": "{min: 1000}",
    "max": "{max: 10}",
    "version": "{version: '>=5.10, <6'}",
    "pattern": "{pattern: '5[.]10[.].*'}",
}
_COMPARATOR = re.compile(r"(>=|<=|==|!=|>|<)?\s*(\S+)\Z")
_NEEDED = "one of: %s, empty, not empty; min and max may stand together" % ", ".join(EXPECTATIONS.values())


def problems_of(value: Any, path: str) -> list[Problem]:
    """The mistakes in a list of checks, as it stands under ``path``."""
    found: list[Problem] = []
    if not isinstance(value, (list, tuple)):
        return [Problem(path, quote(value), "a list of checks")]
    section = Section({path: value}, "", found)
    seen: dict[str, int] = {}
    for index, entry in enumerate(section.sections(path, required=False)):
        identity = entry.take("id", matching(ID, "an ID such as SITE-001"))
        entry.take("severity", one_of(("error", "warning")), "error")
        for name in ("title", "query", "fix"):
            entry.take(name, text)
        for name in ("found", "needed"):
            entry.take(name, text, "")
        if "expect" not in entry.value:
            found.append(Problem(entry.at("expect"), "nothing", _NEEDED))
        else:
            found += _expectation_problems(entry.value["expect"], entry.at("expect"))
        entry.out["expect"] = None
        entry.close()
        if identity in seen:
            found.append(Problem(entry.at("id"), "%s, as in entry %d" % (identity, seen[identity]), "an ID of its own"))
        elif identity:
            seen[identity] = index
    return found


def _expectation_problems(value: Any, path: str) -> list[Problem]:
    if isinstance(value, str):
        return [] if as_word(value) else [Problem(path, quote(value), _NEEDED)]
    if not isinstance(value, Mapping) or not value or set(value) - set(EXPECTATIONS):
        return [Problem(path, quote(value), _NEEDED)]
    if len(value) > 1 and set(value) != {"min", "max"}:
        return [Problem(path, quote(value), "one expectation; only min and max may stand together")]
    needed = [(name, _needed_instead(name, content)) for name, content in value.items()]
    return [Problem("%s.%s" % (path, name), quote(value[name]), words) for name, words in needed if words]


def _needed_instead(name: str, content: Any) -> Optional[str]:
    if name == "in" and (not isinstance(content, (list, tuple)) or not content):
        return "a list of values"
    if name in ("min", "max") and (isinstance(content, bool) or not isinstance(content, (int, float))):
        return "a number without quotes"
    if name == "version":
        return (
            None if comparisons(content) else "a range of versions such as '>=5.10, <6', or a pattern such as '25.2.X'"
        )
    if name == "pattern":
        try:
            re.compile(content)
        except (re.error, TypeError) as exc:
            return "a regular expression (%s)" % exc
    return None


def as_word(value: Any) -> Optional[str]:
    """``empty`` or ``not empty`` of an expectation that is one of these words, however it is joined; else None."""
    word = " ".join(str(value).replace("_", " ").split()).lower() if isinstance(value, str) else ""
    return word if word in (EMPTY, NOT_EMPTY) else None


def comparisons(value: Any) -> Sequence[tuple[str, str]]:
    """A range of versions as comparisons, all of which must hold; none where it is no range.

    ``>=5.10, <6`` is two of them. A version alone, or a pattern such as ``25.2.X``, has the comparison ``==``.
    """
    found = []
    for part in str(value).split(",") if isinstance(value, str) else ():
        match = _COMPARATOR.match(part.strip())
        if match is None:
            return ()
        sign, version = match.group(1) or "==", match.group(2)
        wild = version.rpartition(".")[2].lower() in ("x", "*")
        if (wild and sign not in ("==", "!=")) or Version.parse(
            version.rpartition(".")[0] if wild else version
        ) is None:
            return ()
        found.append((sign, version))
    return found
