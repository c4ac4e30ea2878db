# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of an upgrade, as lines of a terminal and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from .._base.progress import duration
from .._base.text import printable

Line = tuple[str, Optional[str]]
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Table:
    """A heading, and rows of as many cells. tones: of each row ``error``, ``warning``, ``ok`` or None."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    tones: Sequence[Optional[str]] = ()

    def lines(self) -> list[Line]:
        """For a terminal; nothing where there is no row."""
        if not self.rows:
            return []
        widths = [max(len(row[n]) for row in [self.head, *self.rows]) for n in range(len(self.head))]
        tones = [*self.tones, *[None] * (len(self.rows) - len(self.tones))]
        found: list[Line] = [(_line(self.head, widths), None)]
        found += [(printable(_line(row, widths)), tone) for row, tone in zip(self.rows, tones)]
        return found

    def markdown(self) -> list[str]:
        """As Markdown; nothing where there is no row."""
        if not self.rows:
            return []
        rule = "|%s" % ("---|" * len(self.head))
        return [_markdown(self.head), rule, *(_markdown(row) for row in self.rows), ""]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()


def _markdown(cells: Sequence[str]) -> str:
    return "| %s |" % " | ".join(printable(cell).replace("|", "\\|") for cell in cells)


def time_text(seconds: Optional[float]) -> str:
    """Such as ``14 min``; ``unknown`` where it is not known."""
    return UNKNOWN if seconds is None else duration(seconds)


def size_text(count: Optional[int]) -> str:
    """In GB, as disks and lines are sold: ``53.8 GB``; ``unknown`` where it is not known."""
    return UNKNOWN if count is None else "%.1f GB" % (count / 1e9)


def share_text(value: Optional[float]) -> str:
    """Such as ``0.5 %``; ``-`` where there is none."""
    return "-" if value is None else "%.2g %%" % (100 * value)
