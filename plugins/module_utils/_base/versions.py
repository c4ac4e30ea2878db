# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare version numbers as Ascend's packages write them: ``25.2.0``, ``24.1.RC2``, ``25.6.rc1.b169``."""

from __future__ import annotations

import re
from functools import total_ordering
from typing import Any, Optional

_SHAPE = re.compile(r"[vV]?[0-9]+(?:[.\-_]?(?:[0-9]+|[A-Za-z]+[0-9]*))*\.?")
_REDACTED = re.compile(r"(?<![A-Za-z])x+(?![A-Za-z0-9])", re.I)  # `25.2.x` is a pattern, `xxx` is nothing
_PIECE = re.compile(r"([0-9]+)|([A-Za-z]+)([0-9]*)")
_INNER = re.compile(r"V([0-9]+)R([0-9]+)C([0-9]+)(?:SPC([0-9]+))?(?:B([0-9]+))?", re.I)
_WILDCARDS = frozenset(("x", "*"))

# What comes before the release itself ranks below a number, what comes after it above zero.
_RANKS = {
    "t": -6,
    "dev": -5,
    "a": -4,
    "alpha": -4,
    "beta": -3,
    "c": -2,
    "rc": -2,
    "pre": -2,
    "post": 1,
    "spc": 1,
    "sp": 1,
}
_BUILDS = frozenset(("b", "build"))
_RELEASE = (0, 0)
_Parts = tuple[tuple[int, int], ...]


@total_ordering
class Version:
    """A version number with a total order.

    - Numbers compare as numbers: 24.1.10 is newer than 24.1.9, and 24.1 is 24.1.0.
    - Pre-releases come before the release: 8.5.0.alpha1 < 8.5.0.beta1 < 8.5.0.RC1 < 8.5.0. Letters have no case.
    - More numbers are newer: 24.1.rc1 < 24.1.rc1.2 and 24.1.0 < 24.1.0.3.
    - A build number (``.B030``, ``.b169``) belongs to the version that it is a build of and only decides between
      otherwise equal ones: 21.0.4 < 21.0.4.B030 < 21.0.4.1. ``release`` and ``matches`` do not look at it.
    - Inner versions (``V100R001C25SPC001B212``) compare among themselves; every one is older than an outer version.

    Raises ValueError for text that is no version, such as the redacted `xxx`.
    """

    __slots__ = ("_build", "_inner", "_parts", "text")

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self._inner = False
        self._build = 0
        parts: list[tuple[int, int]] = []
        inner = _INNER.fullmatch(self.text)
        public = self.text.split("+", 1)[0]  # what follows a plus sign does not order
        if inner:
            self._inner = True
            parts = [(0, int(number or 0)) for number in inner.groups()[:4]]
            self._build = int(inner.group(5) or 0)
        elif _SHAPE.fullmatch(public) and not _REDACTED.search(public):
            for number, word, count in _PIECE.findall(public.lstrip("vV")):
                if number:
                    parts.append((0, int(number)))
                elif word.lower() in _BUILDS and count:
                    self._build = int(count)
                else:
                    parts.append((_RANKS.get(word.lower(), -7), int(count or 0)))
        else:
            raise ValueError("%r is not a version number" % text)
        while len(parts) > 1 and parts[-1] == _RELEASE:
            parts.pop()
        self._parts: _Parts = tuple(parts)

    @classmethod
    def parse(cls, text: Any) -> Optional[Version]:
        """Return the version, or None where the value is no version number."""
        if not isinstance(text, str):
            return None
        try:
            return cls(text)
        except ValueError:
            return None

    @property
    def build(self) -> Optional[int]:
        """The build number, or None."""
        return self._build or None

    def same_release(self, other: Version) -> bool:
        """Whether both are builds of one version: 21.0.4 and 21.0.4.B030."""
        return (self._inner, self._parts) == (other._inner, other._parts)

    def matches(self, pattern: str) -> bool:
        """Whether the version is one that a pattern such as ``25.2.X`` stands for.

        ``X`` (or ``x``, ``*``) at the end stands for every version that begins with what is before it, release
        candidates and patches included: ``25.3.X`` holds 25.3.RC1 and 25.3.0.2, ``26.x`` holds 26.0.rc1 and 26.1.0.
        Without it the pattern is a version, whose builds it holds: ``21.0.4`` holds 21.0.4.B030 and not 21.0.4.1.
        """
        pieces = pattern.strip().lstrip("vV").split(".")
        if any(piece.lower() in _WILDCARDS for piece in pieces[:-1]):
            raise ValueError("%r: a wildcard stands only at the end of a pattern" % pattern)
        if pieces[-1].lower() not in _WILDCARDS:
            return self.same_release(Version(pattern))
        return len(pieces) == 1 or self.begins_with(".".join(pieces[:-1]))

    def begins_with(self, prefix: str) -> bool:
        """Whether the version is the prefix or goes on after it: 24.1.rc3.7 begins with 24.1 and with 24.1.rc3."""
        wanted = [
            (0, int(number)) if number else (_RANKS.get(word.lower(), -7), int(count or 0))
            for number, word, count in _PIECE.findall(prefix.strip().rstrip("."))
        ]
        have = [*self._parts, *[_RELEASE] * max(0, len(wanted) - len(self._parts))]
        return not self._inner and have[: len(wanted)] == wanted

    def _compare(self, other: Version) -> int:
        if self._inner != other._inner:
            return -1 if self._inner else 1
        length = max(len(self._parts), len(other._parts))
        one = (*self._parts, *(_RELEASE,) * (length - len(self._parts)))
        two = (*other._parts, *(_RELEASE,) * (length - len(other._parts)))
        left, right = (one, self._build), (two, other._build)
        return (left > right) - (left < right)

    def __eq__(self, other: object) -> bool:
        """Whether both are one version, whatever the spelling."""
        return self._compare(other) == 0 if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: Version) -> bool:
        """Whether this version is the older one."""
        return self._compare(other) < 0 if isinstance(other, Version) else NotImplemented

    def __hash__(self) -> int:
        """One value for every spelling."""
        return hash((self._inner, self._parts, self._build))

    def __str__(self) -> str:
        """The version as it was given."""
        return self.text

    def __repr__(self) -> str:
        """As Python would write it."""
        return "Version(%r)" % self.text


def compare(left: str, right: str) -> int:
    """Return -1, 0 or 1 as the left version is older than, the same as, or newer than the right one.

    Never raises: text that is no version (`xxx`) is older than every version and is ordered as text among its like.
    """
    one, two = Version.parse(left), Version.parse(right)
    if one is not None and two is not None:
        return one._compare(two)
    if one is None and two is None:
        a, b = str(left).strip().lower(), str(right).strip().lower()
        return (a > b) - (a < b)
    return -1 if one is None else 1


def matches(version: str, pattern: str) -> bool:
    """Whether a version is one that the pattern stands for (see Version.matches); False for what is no version."""
    parsed = Version.parse(version)
    return parsed is not None and parsed.matches(pattern)
