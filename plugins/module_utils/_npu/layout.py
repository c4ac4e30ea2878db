# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of the chip table, as its two-line header describes it: columns, and how their values are read."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Optional

NOTHING = frozenset(("-", "NA"))  # what npu-smi prints in place of a value that does not exist
_MAX_DIGITS = 18  # longer "numbers" are damage (and int() refuses very long ones)

_FLOAT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_HEADINGS = re.compile(r"NPU\s+Util\(%\)|\S+")

# heading -> (kind, fields)
_COLUMNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Power(W)": ("float", ("power_watts",)),
    "Temp(C)": ("signed", ("temperature_celsius",)),
    "Hugepages-Usage(page)": ("pair", ("hugepages_used", "hugepages_total")),
    "AICore(%)": ("int", ("utilization_percent",)),
    "NPU Util(%)": ("int", ("utilization_percent",)),
    "Memory-Usage(MB)": ("pair", ("memory_used_mb", "memory_total_mb")),
    "HBM-Usage(MB)": ("pair", ("hbm_used_mb", "hbm_total_mb")),
}


class Columns:
    """The columns of one cell that holds several values, by its heading."""

    __slots__ = ("fields", "pattern", "unknown")

    def __init__(self, heading: str) -> None:
        pieces = []
        self.fields: list[tuple[str, str]] = []  # (field or "", kind) per group of the pattern, pairs taking three
        self.unknown: list[str] = []
        for printed in _HEADINGS.findall(heading):
            name = " ".join(printed.split())
            kind, fields = _COLUMNS.get(name, ("pair" if "Usage" in name else "int", ("",)))
            if fields == ("",):
                self.unknown.append(name)
                fields = ("", "") if kind == "pair" else ("",)
            if kind == "pair":
                pieces.append(r"(?:([^\s/]+)\s*/\s*([^\s/]+)|(?:NA|-))")
            else:
                pieces.append(r"([^\s/]+)")
            self.fields.extend((field, "int" if kind == "pair" else kind) for field in fields)
        self.pattern = re.compile(r"\s+".join(pieces)) if pieces else re.compile(r"(?!)")

    def matches(self, cell: str) -> bool:
        return self.pattern.fullmatch(cell) is not None

    def read(self, cell: str, device: dict[str, Any]) -> list[str]:
        """Put the cell's values into the device; return what was wrong with it."""
        match = self.pattern.fullmatch(cell)
        if match is None:
            return ["the values do not fit the columns"]
        wrong = []
        for (field, kind), text in zip(self.fields, match.groups()):
            if not field or text is None or text in NOTHING:
                continue
            value = read_number(text, kind)
            if value is None:
                wrong.append("%s cannot be read from %r" % (field, text))
            device[field] = value
        return wrong


class Layout:
    """One form of the chip table, as its two header rows describe it."""

    __slots__ = ("cells", "health", "merged", "row1", "row2", "second_id", "template", "unknown")

    def __init__(self, header1: tuple[str, ...], header2: tuple[str, ...]) -> None:
        health = header1.index("Health")
        self.cells = len(header1)
        self.health = health
        first = header1[0].split()
        if self.cells != len(header2) or self.cells != health + 2 or header2[health] != "Bus-Id":
            raise ValueError("the two rows of the header do not fit each other")
        ids = header2[0].split()
        self.merged = health == 1  # the NPU's id and name share a cell (all but the 950)
        if self.merged:
            if first != ["NPU", "Name"] or not ids or ids[0] != "Chip" or len(ids) > 2:
                raise ValueError("the first column is not `NPU Name` over `Chip`")
        elif health != 2 or first != ["NPU", "ID"] or header1[1] != "Name" or ids or header2[1]:
            raise ValueError("the first columns are not `NPU ID` and `Name`")
        self.row1 = Columns(header1[-1])
        self.row2 = Columns(header2[-1])
        self.unknown = self.row1.unknown + self.row2.unknown
        # what stands beside the chip's id: None (nothing), "" (something unknown) or a field
        self.second_id: Optional[str] = None
        if len(ids) == 2:
            self.second_id = {"Phy-ID": "phy_id", "Device": "device_id"}.get(ids[1], "")
            if not self.second_id:
                self.unknown.append(ids[1])
        self.template: dict[str, Any] = dict.fromkeys(
            (
                "npu_id",
                "chip_id",
                "phy_id",
                "device_id",
                "name",
                "health",
                "power_watts",
                "temperature_celsius",
                "hugepages_used",
                "hugepages_total",
                "bus_id",
                "utilization_percent",
                "memory_used_mb",
                "memory_total_mb",
                "hbm_used_mb",
                "hbm_total_mb",
            )
        )


@lru_cache(maxsize=64)
def layout_of(header1: tuple[str, ...], header2: tuple[str, ...]) -> Layout:
    return Layout(header1, header2)


def read_number(text: str, kind: str = "int") -> Any:
    """Return the number that the text is, or None."""
    if len(text) > _MAX_DIGITS or not text.isascii():
        return None
    if kind == "float":
        return float(text) if _FLOAT.fullmatch(text) else None
    digits = text[1:] if kind == "signed" and text[0] == "-" else text
    return int(text) if digits.isdigit() else None
