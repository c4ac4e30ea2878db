# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of single values, and of a mapping key by key. A check returns what is needed instead, or None."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from .problems import Problem, did_you_mean, quote

_VERSION = re.compile(r"\d+(\.[0-9A-Za-z]+)*([.+-][0-9A-Za-z.+-]+)?\Z")
#: The long name of an option, as releases and inventories write it.
OPTION_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")

_MISSING = object()
Check = Callable[[Any], Optional[str]]


@dataclass
class Section:
    """Reads one mapping key by key, remembers what was asked for, and reports everything else as unknown."""

    value: Mapping[str, Any]
    path: str
    problems: list[Problem]
    out: dict[str, Any] = field(default_factory=dict)

    def at(self, key: str) -> str:
        """The place of ``key`` in the whole file."""
        return "%s.%s" % (self.path, key) if self.path else key

    def problem(self, key: str, found: str, needed: str) -> None:
        """Add what is wrong with ``key``."""
        self.problems.append(Problem(self.at(key), found, needed))

    def take(self, key: str, check: Check, default: Any = _MISSING) -> Any:
        """The value of ``key``, checked; ``check`` returns what is needed instead, or None when all is well."""
        present = key in self.value and self.value[key] is not None
        if not present:
            if default is _MISSING:
                self.problem(key, "nothing", check(None) or "a value")
                self.out[key] = None
                return None
            self.out[key] = default
            return default
        value = self.value[key]
        needed = check(value)
        if needed:
            self.problem(key, quote(value), needed)
            value = None if default is _MISSING else default
        self.out[key] = value
        return value

    def section(self, key: str, *, required: bool = True) -> Section:
        """The mapping under ``key``."""
        value = self.value.get(key)
        if isinstance(value, Mapping):
            return Section(value, self.at(key), self.problems, self.out.setdefault(key, {}))
        if value is not None or required:
            self.problem(key, quote(value), "a mapping")
        # What a broken or missing mapping would have held is not reported once more, key by key.
        return Section({}, self.at(key), [], self.out.setdefault(key, {}))

    def sections(self, key: str, *, required: bool = True) -> list[Section]:
        """The mappings in the list under ``key``."""
        value = self.value.get(key)
        self.out[key] = []
        if not isinstance(value, (list, tuple)) or (required and not value):
            if value is not None or required:
                self.problem(key, quote(value), "a list of mappings with at least one entry")
            return []
        found = []
        for index, entry in enumerate(value):
            if not isinstance(entry, Mapping):
                self.problem("%s[%d]" % (key, index), quote(entry), "a mapping")
                continue
            self.out[key].append({})
            found.append(Section(entry, "%s[%d]" % (self.at(key), index), self.problems, self.out[key][-1]))
        return found

    def close(self) -> None:
        """Report the keys nobody asked for."""
        for key in self.value:
            if key not in self.out:
                self.problem(
                    str(key),
                    "an unknown key" + did_you_mean(str(key), self.out),
                    "one of: %s" % ", ".join(sorted(self.out)),
                )


def text(value: Any) -> Optional[str]:
    """Text that is not blank."""
    return None if isinstance(value, str) and value.strip() else "text"


def matching(pattern: re.Pattern[str], needed: str) -> Check:
    """Text that matches ``pattern``, which ``needed`` puts into words."""
    return lambda value: None if isinstance(value, str) and pattern.match(value) else needed


def one_of(known: Sequence[str]) -> Check:
    """One of the words ``known``."""

    def check(value: Any) -> Optional[str]:
        if isinstance(value, str) and value in known:
            return None
        hint = did_you_mean(value.lower(), known) if isinstance(value, str) else ""
        return "one of: %s%s" % (", ".join(known), hint)

    return check


def integer(low: int, high: Optional[int] = None) -> Check:
    """An integer within the bounds, both included; no boolean, no text."""
    needed = "an integer from %d to %d" % (low, high) if high is not None else "an integer, %d or more" % low

    def check(value: Any) -> Optional[str]:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= low
        return None if good and (high is None or value <= high) else needed

    return check


def version(value: Any) -> Optional[str]:
    """A version as text."""
    if isinstance(value, str) and _VERSION.match(value):
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 'a version in quotes, such as "25.2.0": YAML reads 25.20 without quotes as the number 25.2'
    return "a version such as 25.2.0"


def texts(value: Any) -> Optional[str]:
    """A list of texts, none of them empty."""
    good = isinstance(value, (list, tuple)) and all(isinstance(v, str) and v for v in value)
    return None if good else "a list of texts"


def repository(value: Any) -> Optional[str]:
    """The URL of a git repository."""
    needed = "the URL of a git repository, such as https://modelers.cn/OWNER/NAME.git, without user name or password"
    if not isinstance(value, str):
        return needed
    parts = urlsplit(value)
    good = parts.scheme in ("http", "https", "ssh", "file") and parts.path.strip("/")
    return None if good and (parts.netloc or parts.scheme == "file") and parts.password is None else needed


def relative(value: Any) -> Optional[str]:
    """A path that stays inside the folder it is meant for."""
    good = isinstance(value, str) and value and not value.startswith("/") and ".." not in value.split("/")
    return None if good else "a path inside the repository: relative, without `..`"


def json_object(value: Any) -> Optional[str]:
    """A mapping, or the text of one in JSON."""
    if isinstance(value, Mapping):
        return None
    try:
        good = isinstance(json.loads(value), dict) if isinstance(value, str) else False
    except ValueError as exc:
        return "a mapping, or a JSON object as text (JSON says: %s)" % exc
    return None if good else "a mapping, or a JSON object as text"
