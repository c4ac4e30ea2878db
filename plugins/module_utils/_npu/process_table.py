# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process table of ``npu-smi info``, which follows the chip table where one is printed."""

from __future__ import annotations

import re
from typing import Any, Iterable, Optional

from .errors import Notes
from .layout import NOTHING, read_number

_IDLE = re.compile(r"No running processes found in NPU\s+([0-9]+)")
_PROCESS_KEY = re.compile(r"[0-9]{1,18}(?:\s+[0-9]{1,18})?")

# heading (lower case) -> field of a process
_COLUMNS = {
    "process id": "pid",
    "process name": "name",
    "process memory(mb)": "memory_mb",
    "process id in container": "container_pid",
}
_DEFAULT = ("key", "pid", "name", "memory_mb", "container_pid")


class ProcessTable:
    """Reads the rows of the process table. A row that cannot be read is a warning, never an error."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.printed = False
        self.processes: list[dict[str, Any]] = []
        self.columns: Optional[tuple[str, ...]] = None
        self.rows = 0
        self.open = False  # no border since the last row
        self.named: set[int] = set()  # the NPUs that have a row
        self.unreadable = False  # a row may have been of any NPU

    def header(self, cells: list[str], line: str) -> None:
        """The header; a second one is a warning."""
        if self.printed and (self.columns is not None or self.rows):
            self.notes.warn("a second header of processes", line)
            return
        self.printed = True
        columns = ["key", *(_COLUMNS.get(" ".join(cell.lower().split()), "") for cell in cells[1:])]
        if "" in columns or not {"pid", "name", "memory_mb"} <= set(columns):
            self.notes.warn("header of processes not understood", line)
        self.columns = tuple(columns)

    def idle(self, cell: str, line: str) -> None:
        """A line that says that an NPU has no processes; ``cell`` is its only cell."""
        self._begin_rows(line)
        self.rows += 1
        self.open = True
        match = _IDLE.fullmatch(cell)
        self.named.update([int(match.group(1))] if match else [])

    def row(self, cells: list[str], line: str, merged_ids: bool) -> None:
        """A process. merged_ids: the NPU's and the chip's id share a cell (all but the 950)."""
        self._begin_rows(line)
        self.rows += 1
        self.open = True
        columns = self.columns or _DEFAULT[: max(4, min(5, len(cells)))]
        values = dict(zip(columns, cells))
        key = cells[0].split()
        if len(cells) != len(columns) or not {"pid", "name"} <= set(columns) or not _PROCESS_KEY.fullmatch(cells[0]):
            self.unreadable = True
            self.notes.warn("unreadable process", line)
            return
        pid = read_number(values["pid"])
        if pid is None or len(key) != (2 if merged_ids else 1):
            self.unreadable = True
            self.notes.warn("unreadable process", line)
            return
        self.named.add(int(key[0]))
        process: dict[str, Any] = {
            "npu_id": int(key[0]),
            "chip_id": int(key[1]) if merged_ids else 0,
            "pid": pid,
            "container_pid": None,
            "name": values["name"],
            "memory_mb": None,
        }
        wrong = []
        for field in ("memory_mb", "container_pid"):
            text = values.get(field, "NA")
            if text not in NOTHING:
                process[field] = read_number(text)
                if process[field] is None:
                    wrong.append("%s cannot be read from %r" % (field, text))
        if wrong:
            self.notes.warn("; ".join(wrong), line)
        self.processes.append(process)

    def _begin_rows(self, line: str) -> None:
        if not self.printed or (self.columns is None and not self.rows):
            self.notes.warn("the process table has no header", line)
        self.printed = True

    def end(self, npus: Iterable[int], line: str) -> None:
        """The end of the text: a table that stops early, or has no row of one of the host's ``npus``, is a warning."""
        if not self.rows:
            self.notes.warn("the process table has nothing under its header", line)
        elif self.open:
            self.notes.warn("the process table is not closed", line)
        unnamed = sorted(set(npus) - self.named)
        if self.rows and unnamed and not self.unreadable:
            # A driver that has nothing to say of an NPU, and a table cut behind a border, look alike.
            about = ", ".join(str(npu) for npu in unnamed)
            self.notes.warn("the process table has no row of NPU %s, whose processes are unknown" % about, line)


def is_idle_line(cell: str) -> bool:
    """Whether a row's only cell says that an NPU has no processes."""
    return _IDLE.fullmatch(cell) is not None


def looks_like_process(cells: list[str]) -> bool:
    """Whether a row could be one of a process table whose header is missing."""
    return (
        len(cells) in (4, 5)
        and _PROCESS_KEY.fullmatch(cells[0]) is not None
        and read_number(cells[1]) is not None
        and all(cell in NOTHING or read_number(cell) is not None for cell in cells[3:])
    )
