# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chip table of ``npu-smi info``: two rows per chip, and the border that closes it."""

from __future__ import annotations

import re
from typing import Any, Optional

from .errors import Notes, NpuSmiError
from .layout import NOTHING, Layout, layout_of, read_number

HEALTH_WORDS = frozenset(("OK", "Warning", "Alarm", "Critical", "UNKNOWN"))
"""The health words that npu-smi prints."""

_BUS_ID = re.compile(r"(?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]")


class ChipTable:
    """Reads the rows of the chip table; the state is which row may come next."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.header1: Optional[tuple[str, ...]] = None
        self.layout: Optional[Layout] = None
        self.devices: list[dict[str, Any]] = []
        self.chips: set[tuple[int, int]] = set()
        self.pending: Optional[dict[str, Any]] = None  # a chip whose first row was read
        self.pending_line = ""
        self.closed = False  # a `=` border came after the second row of the last chip
        self.after_row2 = False  # no border since the second row of a chip
        self.dashes_after_close = False  # a `-` border came after the closing `=` border
        self.same_npu: Optional[int] = None  # after a `-` border between chips: the NPU that must go on

    def border(self, kind: str) -> None:
        """A border of the chip table, ``=`` or ``-``."""
        self.require_no_pending()
        if not self.devices:
            return
        if kind == "=" and self.after_row2:
            self.closed = True
            self.dashes_after_close = False
        elif kind == "-" and self.closed:
            self.dashes_after_close = True
        self.same_npu = self.devices[-1]["npu_id"] if kind == "-" and self.after_row2 else None
        self.after_row2 = False

    def require_no_pending(self) -> None:
        """Refuse the table when a chip has its first row only."""
        if self.pending is not None:
            raise self.notes.truncated("a chip has only the first of its two rows", self.pending_line)

    def first_header(self, cells: list[str], line: str) -> None:
        """The first line of the header."""
        if self.layout is not None:
            raise NpuSmiError(
                "the text holds more than one table of npu-smi: %s" % line,
                fix="Hand over the output of one run of `npu-smi info`.",
                kind="layout",
            )
        self.header1 = tuple(cells)

    def second_header(self, cells: list[str], line: str, follows_a_row: bool) -> None:
        """The second line of the header."""
        if self.header1 is None or not follows_a_row:
            raise self.notes.truncated("the first row of the header is missing", line)
        try:
            self.layout = layout_of(self.header1, tuple(cells))
        except ValueError as exc:
            raise NpuSmiError(
                "the header of npu-smi's table is truncated or of an unknown form (%s): %s" % (exc, line),
                fix="Keep the output and report it, with the version of the tool.",
                kind="layout",
            )
        if self.layout.unknown:
            self.notes.warn("unknown column %s" % ", ".join(self.layout.unknown), line)

    def row(self, layout: Layout, cells: list[str], line: str) -> None:
        """A row of the table: the first or the second one of a chip."""
        if len(cells) != layout.cells:
            raise self.notes.truncated("a row of the chip table has not as many cells as its header", line)
        health = layout.health
        second = _BUS_ID.fullmatch(cells[health]) is not None or (
            cells[health] not in HEALTH_WORDS and layout.row2.matches(cells[-1]) and not layout.row1.matches(cells[-1])
        )
        if self.pending is None:
            if second:
                raise self.notes.truncated("the second row of a chip without the first", line)
            self._first_row(layout, cells, line)
        else:
            if not second and (cells[health] in HEALTH_WORDS or layout.row1.matches(cells[-1])):
                raise self.notes.truncated("a chip has only the first of its two rows", self.pending_line)
            self._second_row(layout, cells, line)

    def _first_row(self, layout: Layout, cells: list[str], line: str) -> None:
        if layout.merged:
            parts = cells[0].split(None, 1) or [""]
            number, name = parts[0], parts[1] if len(parts) == 2 else ""
        else:
            number, name = cells[0], cells[1]
        npu_id = read_number(number)
        if npu_id is None:
            raise self.notes.truncated("the first row of a chip has no NPU id", line)
        device = layout.template.copy()
        device["npu_id"] = npu_id
        device["name"] = name
        health = cells[layout.health]
        device["health"] = health
        wrong = layout.row1.read(cells[-1], device)
        if health not in HEALTH_WORDS:
            wrong.append("unknown health %r" % health)
        if not name:
            wrong.append("no name")
        if self.same_npu is not None and self.same_npu != npu_id:
            wrong.append("NPU %s stops in the middle, a chip of it is missing" % self.same_npu)
        self.same_npu = None
        if wrong:
            self.notes.warn("; ".join(wrong), line)
        self.pending = device
        self.pending_line = line
        self.closed = self.after_row2 = False

    def _second_row(self, layout: Layout, cells: list[str], line: str) -> None:
        device = self.pending
        if device is None:
            raise ValueError("a second row without a first one: %s" % line)
        wrong = []
        if layout.merged:
            ids = cells[0].split()
            chip_id = read_number(ids[0]) if ids else None
            if chip_id is None or len(ids) != (1 if layout.second_id is None else 2):
                raise self.notes.truncated("the second row of a chip has not the ids of its header", line)
            device["chip_id"] = chip_id
            if layout.second_id and ids[1] not in NOTHING:
                device[layout.second_id] = read_number(ids[1])
                if device[layout.second_id] is None:
                    wrong.append("%s cannot be read from %r" % (layout.second_id, ids[1]))
        else:
            if cells[0] or cells[1]:
                raise self.notes.truncated("the second row of a chip is not empty where it should be", line)
            device["chip_id"] = 0
        bus_id = cells[layout.health]
        if bus_id not in NOTHING:
            if _BUS_ID.fullmatch(bus_id):
                device["bus_id"] = bus_id
            else:
                wrong.append("bus_id cannot be read from %r" % bus_id)
        wrong.extend(layout.row2.read(cells[-1], device))
        key = (device["npu_id"], device["chip_id"])
        if key in self.chips:
            wrong.append("chip %s of NPU %s is printed twice" % (key[1], key[0]))
        self.chips.add(key)
        if wrong:
            self.notes.warn("; ".join(wrong), line)
        self.devices.append(device)
        self.pending = None
        self.after_row2 = True

    # -- processes

    def cut_row(self, line: str) -> None:
        """A row without its end, or with its first cell only; it may be one of the process table that follows."""
        words = line.strip("| ")
        about_processes = words.startswith(("NPU", "No running")) or (
            words != "" and ("NPU".startswith(words) or "No running".startswith(words))
        )
        if not (self.closed and (about_processes or (not words and self.dashes_after_close))):
            raise self.notes.truncated("a row of the table has no end", line)

    def cut_border(self, line: str, follows_a_closing_border: bool) -> None:
        """Half a border: it may be the one above the process header, or one between two chips."""
        if not (self.closed and follows_a_closing_border and "=" not in line):
            raise self.notes.truncated("a border of the table has no end", line)

    def require_whole(self, line: str) -> None:
        """Refuse a table that is not whole by now."""
        self.require_no_pending()
        if not self.devices:
            raise self.notes.no_chips(line)
        if not self.closed:
            raise self.notes.truncated("the chip table is not closed", line)


def looks_like_chip(cells: list[str]) -> bool:
    """Whether a row could be one of a chip table, without a header to tell."""
    if len(cells) < 3:
        return False
    return any(_BUS_ID.fullmatch(cell) or cell in HEALTH_WORDS for cell in cells) and (
        not cells[0] or cells[0].split()[0].isdigit()
    )
