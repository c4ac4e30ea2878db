# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unfinished bytes of earlier downloads: which of them git-lfs and the stores can go on from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Iterable, Mapping, Optional

_PARTIAL_NAME = re.compile(r"^(?P<oid>[0-9a-f]{64})(?P<rest>.*)$")


@dataclass(frozen=True)
class Partial:
    """A file of unfinished bytes left by an earlier download."""

    file: str
    size: int


@dataclass
class Rescue:
    """What to do with unfinished bytes so that git-lfs goes on from them."""

    keep: dict[str, Partial] = field(default_factory=dict)
    whole: dict[str, Partial] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)

    @property
    def bytes_kept(self) -> int:
        """How many bytes need not be downloaded again."""
        return sum(p.size for p in self.keep.values()) + sum(p.size for p in self.whole.values())


def plan_rescue(found: Iterable[Partial], sizes: Mapping[str, int]) -> Rescue:
    """Decide about the files in git-lfs' ``incomplete`` and ``tmp`` folders.

    git-lfs goes on only from ``<oid>.part``. A kill leaves ``<oid><random>`` instead, which it never looks at again
    and never deletes. So for every object still wanted (``sizes`` by oid) the largest piece is kept, a piece that
    is as large as the object is taken for a candidate of the whole object (its hash decides), and the others go.
    Pieces of objects that are not wanted now are left alone when git-lfs would still use them (``.part``).
    """
    rescue = Rescue()
    candidates: dict[str, list[Partial]] = {}
    for partial in found:
        match = _PARTIAL_NAME.match(partial.file.rsplit("/", 1)[-1])
        if not match:
            continue
        if match["oid"] in sizes:
            candidates.setdefault(match["oid"], []).append(partial)
        elif match["rest"] != ".part":
            rescue.delete.append(partial.file)
    for oid, pieces in candidates.items():
        size = sizes[oid]
        # On equal size the one that already has the right name wins.
        pieces.sort(key=lambda p: (p.size, p.file.endswith(".part")), reverse=True)
        best: Optional[Partial] = None
        for piece in pieces:
            if best is None and 0 < piece.size <= size:
                best = piece
            else:
                rescue.delete.append(piece.file)
        if best is not None:
            (rescue.whole if best.size == size else rescue.keep)[oid] = best
    return rescue
