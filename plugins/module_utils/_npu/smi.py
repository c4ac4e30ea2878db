# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the main table of ``npu-smi info``: text in, plain data out.

The table is drawn for people, in a dozen layouts. The rules here:

- Columns are found by the words of the two-line header and cells by the pipes, never by position in the line.
- A value is read whole or not at all: what cannot be read is None with a warning that quotes the line.
  It is never 0 and never a guess.
- A table that is cut off is an error, because a half-read table looks like a healthy machine with fewer chips.
- Text without a table is the tool's own complaint: the error carries its words, their meaning and what to do.

``errors`` knows the complaints, ``layout`` the columns, ``chip_table`` and ``process_table`` the rows; this file tells
the lines apart.
"""

from __future__ import annotations

import re
from typing import Any, Optional, Sequence

from .._base.text import printable
from .chip_table import ChipTable, looks_like_chip
from .errors import HARMLESS, Notes, explain_error
from .process_table import ProcessTable, is_idle_line, looks_like_process

_BORDER = re.compile(r"\+[-+=|]*[-=][-+=|]*\+")
_VERSION_LINE = re.compile(r"npu-smi\s+(?!Version:)(\S+)\s+Version:\s*(\S+)")
_TOOL_VERSION = re.compile(r"npu-smi\s+(?!Version:)(\S+)")
_DRIVER_VERSION = re.compile(r"\sVersion:\s*(\S+)")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class _Reader:
    """Tells the lines apart and hands each to its table."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.chips = ChipTable(self.notes)
        self.processes = ProcessTable(self.notes)
        self.npu_smi_version: Optional[str] = None
        self.driver_version: Optional[str] = None
        self.version_seen = False
        self.previous = ""  # the kind of the line before: "=", "-", "row", "text"
        self.last_line = ""
        self.table_seen = False  # anything that only a table of npu-smi prints
        self.drawn = False  # any line that is drawn of pipes and borders

    def line(self, line: str, cut: bool) -> None:
        """One line; ``cut`` when it is known to be the beginning of a line only."""
        self.last_line = line
        if line[0] == "|" and line[-1] == "|" and len(line) > 1:
            self.drawn = True
            self.row(line)
            self.previous = "row"
        elif line[0] == "+" and not cut and _BORDER.fullmatch(line):
            self.drawn = True
            kind = "=" if "=" in line else "-"
            if self.processes.printed:
                self.processes.open = False
            else:
                self.chips.border(kind)
            self.previous = kind
        else:
            self.text(line)
            self.previous = "text"

    def text(self, line: str) -> None:
        """A line that is neither a whole row nor a whole border."""
        if self.chips.pending is not None:
            # Whatever stands between the two rows of a chip may have swallowed rows of others.
            raise self.notes.truncated("a chip's second row does not follow its first", line)
        if line[0] == "|" or (line[0] == "+" and not line.strip("+-=|")):
            self.drawn = True
            if line.lstrip("| ").startswith(("npu-smi", "NPU", "Chip ")):
                self.table_seen = True
            if self.chips.layout is not None and not self.processes.printed:
                if line[0] == "|":
                    self.chips.cut_row(line)
                else:
                    self.chips.cut_border(line, self.previous == "=")
            self.notes.warn("cut line", line)
        else:
            known = line.startswith(HARMLESS)
            if not known and line.strip(". …"):
                self.notes.complaints.append(line)
            self.notes.warn("reported by the tool" if known else "unknown line", line)

    def row(self, line: str) -> None:
        """A line between two pipes."""
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        first = cells[0]
        layout = self.chips.layout
        if len(cells) == 1:
            self.single_cell(first, line)
        elif cells[1].startswith("Process") and cells[1].split() == ["Process", "id"]:
            self.process_header(cells, line)
        elif first.startswith("NPU") and "Health" in cells:
            self.table_seen = True
            self.chips.first_header(cells, line)
        elif "Bus-Id" in cells and layout is None:
            self.table_seen = True
            self.chips.second_header(cells, line, self.previous == "row")
        elif self.processes.printed or (self.chips.closed and looks_like_process(cells)):
            self.processes.row(cells, line, layout is None or layout.merged)
        elif layout is not None:
            self.chips.row(layout, cells, line)
        elif looks_like_chip(cells):
            raise self.notes.truncated("rows of chips without the two-line header above them", line)
        else:
            self.unreadable(line)

    def single_cell(self, cell: str, line: str) -> None:
        """A row of one cell: the version, an idle NPU, or a row that was cut behind its first cell."""
        if is_idle_line(cell):
            self.table_seen = True
            if not self.processes.printed:
                self.chips.require_whole(line)
            self.processes.idle(cell, line)
        elif cell.startswith("npu-smi") and not self.version_seen:
            self.version(cell, line)
        elif not cell and self.chips.pending is None:
            pass  # an empty row says nothing
        else:
            self.unreadable(line)

    def unreadable(self, line: str) -> None:
        """A whole row that is none of those known."""
        if self.chips.pending is not None:
            raise self.notes.truncated("a chip's second row does not follow its first", line)
        if self.chips.layout is not None and not self.processes.printed and line.strip("| ")[:1].isdigit():
            self.chips.cut_row(line)
        self.notes.warn("unreadable line", line)

    def version(self, cell: str, line: str) -> None:
        """The line with the versions of the tool and the driver."""
        self.table_seen = self.version_seen = True
        match = _VERSION_LINE.fullmatch(cell)
        if match:
            self.npu_smi_version, self.driver_version = match.groups()
            return
        tool = _TOOL_VERSION.match(cell)
        driver = _DRIVER_VERSION.search(cell)
        self.npu_smi_version = tool.group(1) if tool else None
        self.driver_version = driver.group(1) if driver else None
        self.notes.warn("version line not understood", line)

    def process_header(self, cells: list[str], line: str) -> None:
        """The header of the process table: the chip table must be whole by now."""
        self.table_seen = True
        if not self.processes.printed:
            if self.previous == "-" and self.chips.pending is None and self.chips.devices:
                self.chips.closed = True
            self.chips.require_whole(line)
        self.processes.header(cells, line)

    def result(self, text: str) -> dict[str, Any]:
        """The data of the whole text."""
        if self.chips.layout is None:
            if self.table_seen or (self.drawn and not self.notes.complaints):
                raise self.notes.truncated("there is no two-line header of chips", self.last_line)
            raise explain_error(text)
        self.chips.require_whole(self.last_line)
        if self.processes.printed:
            self.processes.end((device["npu_id"] for device in self.chips.devices), self.last_line)
        elif self.chips.dashes_after_close:
            self.notes.warn("a border opens a process table that is not there", self.last_line)
        return {
            "npu_smi_version": self.npu_smi_version,
            "driver_version": self.driver_version,
            "devices": self.chips.devices,
            "process_table": self.processes.printed,
            "processes": self.processes.processes,
            "warnings": self.notes.warnings,
        }


def _is_cut_border(line: str, above: Sequence[str]) -> bool:
    """Whether the last line of a text is the beginning of a border only, which itself looks like a border.

    It is where a longer line above it has a column's edge at every place where this one has one.
    """
    edges = [at for at, character in enumerate(line) if character in "+|"]
    return any(len(other) > len(line) and all(other[at] in "+|" for at in edges) for other in above)


def parse_info(text: str) -> dict[str, Any]:
    """Read the main table of ``npu-smi info`` (any layout from 20.2 to 26.1).

    Returns a mapping of:

    ``npu_smi_version``, ``driver_version``: str as printed, or None where no version line is printed.
        The first is the tool's, the second (``Version:``) the driver's; they can differ.
    ``devices``: a list in table order with one mapping per chip:
        ``npu_id`` (int, slot-like, with gaps: not an index), ``chip_id`` (int; 0 where none is printed),
        ``phy_id`` (int or None: N of /dev/davinciN on A3), ``device_id`` (int or None: the logic id of the 310 family),
        ``name``, ``health`` (str), ``power_watts`` (float or None), ``temperature_celsius`` (int or None),
        ``hugepages_used``, ``hugepages_total`` (pages), ``bus_id`` (str or None), ``utilization_percent``,
        ``memory_used_mb``, ``memory_total_mb`` (DDR), ``hbm_used_mb``, ``hbm_total_mb`` (int or None).
    ``process_table``: whether a process table was printed. Without one, nothing is known of processes.
    ``processes``: a list of mappings with ``npu_id``, ``chip_id``, ``pid`` (int), ``container_pid`` (int or None),
        ``name`` (str, may be empty), ``memory_mb`` (int or None).
    ``warnings``: a list of str, in order, each quoting a line that could not be read or is not part of the table.

    A table whose end is missing is refused, wherever it is cut: inside a row, inside a border, or after a border that
    closes nothing. Three ends cannot be told from a whole text. After the `=` border that follows the last chip, only
    the process table can be missing: ``process_table`` is then False, which says that nothing is known of processes.
    After a `=` border between two NPUs the text is, letter by letter, the table of a host with fewer NPUs; who runs
    the tool must compare the chips with another source (`npu-smi info -m`, device nodes, the PCI bus), as ``_node``
    does. After a border of the process table, rows of further NPUs may be missing; as some drivers leave out NPUs too,
    an NPU without a row is a warning.

    Raises NpuSmiError for a table that is cut off or has no chips, and for text without a table (with the tool's own
    words and, where known, their meaning).
    """
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\u00a0" in text:
        text = text.replace("\u00a0", " ")  # web pages make these of blanks
    stripped = (raw.strip(" \t\r\n\ufeff") for raw in text.splitlines())
    lines = [printable(line, keep="\t") for line in stripped if line]
    reader = _Reader()
    for at, line in enumerate(lines):
        reader.line(line, cut=at == len(lines) - 1 and line[0] == "+" and _is_cut_border(line, lines[:at]))
    return reader.result(text)
