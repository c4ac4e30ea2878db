# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of variables and groups that are close to one of ours, and therefore probably a misspelt one."""

from __future__ import annotations

from typing import Collection, Iterable, Optional

#: How many letters of a name may be wrong, by the length of the right one.
_TOLERANCE = ((18, 3), (12, 2), (0, 1))


def distance(left: str, right: str, limit: int) -> int:
    """How many letters were added, left out, changed or swapped with their neighbour; at most ``limit`` + 1."""
    # Each change takes away and adds one letter at most: most pairs of names end here.
    if abs(len(left) - len(right)) > limit or len(set(left) ^ set(right)) > 2 * limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        above, before, row = before, row, [i]
        for j, other in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (one != other))
            if i > 1 and j > 1 and one == right[j - 2] and left[i - 2] == other:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]


def closest(name: str, known: Iterable[str]) -> Optional[str]:
    """The known name that a misspelt one most probably means; None where it is close to none.

    Close are: a few wrong letters, other upper and lower case, ``_`` left out, the words in another order, and one word
    of a long name left out (``vllm_api_key`` for ``vllm_serve_api_key``).
    """
    plain = name.lower().replace("-", "_")
    words = plain.split("_")
    best: Optional[tuple[int, str]] = None
    for right in known:
        limit = next(limit for length, limit in _TOLERANCE if len(right) >= length)
        found = distance(plain, right, limit)
        if found > limit and (_same_words(words, right.split("_")) or plain.replace("_", "") == right.replace("_", "")):
            found = limit
        if found <= limit and (best is None or (found, right) < best):
            best = (found, right)
    return best[1] if best else None


def _same_words(words: list[str], right: list[str]) -> bool:
    if sorted(words) == sorted(right):
        return True
    return len(words) >= 3 and any(right[:n] + right[n + 1 :] == words for n in range(len(right)))


def misspelt(names: Collection[str], known: Collection[str]) -> dict[str, str]:
    """The names that are close to a known one without being it, with the one that is meant."""
    found = {name: closest(name, known) for name in names if name not in known}
    return {name: right for name, right in found.items() if right}
