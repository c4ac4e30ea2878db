# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what npu-smi prints beside its main table: key/value blocks, the chip mapping (-m), the topology matrix."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Optional

from .._base.text import printable
from .errors import NpuSmiError, explain_error
from .smi import parse_info

_NOTHING = frozenset(("-", "NA"))
_INTEGER = re.compile(r"[0-9]{1,18}")

# `Key   :value`: a blank before the colon, none behind it
_TIGHT = re.compile(r"(\S(?:[^:]*\S)?)\s+:(\S.*)")
_PROPER = re.compile(r"[^\s:][^:]*\s:")
# `Key: value`: only in texts that have other, proper pairs
_LOOSE = re.compile(r"([A-Za-z][^:]{0,48}):\s+(\S.*)")
# `key:value  key:value`: one record on one line
_RECORD_FIELD = re.compile(r"([A-Za-z][^:]{0,48}):(.*)")
# `Status : OK         Message : done`: a second pair on the line
_SECOND_PAIR = re.compile(r"(.*?\S)\s{2,}([A-Z][^:]*?\S) : (.*)")

# what may stand between `NPU ID` and the first `Chip ID` of a block that the chip id opens
_HEAD_KEYS = frozenset(("Chip Count", "NPU Name", "Slot ID", "Product Name", "Card Count", "Total Count"))
_TOTAL_KEYS = frozenset(("Total Count", "Card Count"))


class _Pair(NamedTuple):
    key: str
    value: str
    line: str
    gap: bool  # a blank line stands before it
    record: bool  # one of several pairs on a line

    @property
    def mcu(self) -> bool:
        return self.key == "Chip Name" and self.value.lower() == "mcu"

    @property
    def names_chip(self) -> bool:
        return self.key == "Chip ID" or self.mcu


def _integer(text: str) -> Optional[int]:
    return int(text) if _INTEGER.fullmatch(text) else None


def _pairs(text: str, warnings: list[str]) -> list[_Pair]:
    """Split the text into pairs; continuation lines are joined to the value above them by a newline."""
    lines = text.expandtabs(8).splitlines()
    proper = any(_PROPER.match(line.strip()) for line in lines)
    pairs: list[_Pair] = []
    gap = False
    value_column = -1
    for raw in lines:
        line = raw.rstrip().lstrip("\ufeff")
        body = line.strip()
        if not body:
            gap = True
            continue
        indent = len(line) - len(line.lstrip())
        if body == ":" or body.startswith(": "):
            if pairs:
                last = pairs[-1]
                more = body[1:].strip()
                pairs[-1] = last._replace(value=last.value + "\n" + more if last.value else more)
            else:
                warnings.append("nothing that this line could continue: " + body)
            gap = False
            continue
        found = _split(body) if proper else []
        if not found:
            if pairs and not gap and 0 < value_column <= indent:
                last = pairs[-1]
                pairs[-1] = last._replace(value=last.value + "\n" + body)
            else:
                warnings.append("unreadable line: " + body)
            continue
        value_column = indent + body.rfind(found[0][1]) if len(found) == 1 and found[0][1] else -1
        for key, value in found:
            pairs.append(_Pair(key, value, body, gap, len(found) > 1))
            gap = False
    if len(pairs) > 2 and all(pair.gap for pair in pairs[1:]):
        # the text was reformatted on its way, with a blank after every line: the gaps mean nothing
        pairs = [pair._replace(gap=False) for pair in pairs]
    return pairs


def _split(body: str) -> list[tuple[str, str]]:
    """Return the pairs of one line: usually one, none where the line is no pair."""
    at = (body + " ").find(" : ")
    if at > 0:
        key, value = body[:at].strip(), body[at + 2 :].strip()
        second = _SECOND_PAIR.fullmatch(value)
        if second:
            return [(key, second.group(1)), (second.group(2), second.group(3).strip())]
        return [(key, value)]
    tight = _TIGHT.fullmatch(body)
    if tight:
        return [(tight.group(1), tight.group(2))]
    fields = [_RECORD_FIELD.fullmatch(part) for part in re.split(r"\s{2,}", body)]
    if len(fields) > 1 and all(fields):
        return [(field.group(1).strip(), field.group(2).strip()) for field in fields if field]
    loose = _LOOSE.fullmatch(body)
    return [(loose.group(1).strip(), loose.group(2))] if loose else []


def _block(npu_id: Optional[int], chip_id: Optional[int] = None, mcu: bool = False) -> dict[str, Any]:
    return {"npu_id": npu_id, "chip_id": chip_id, "mcu": mcu, "values": {}}


class _Section:
    """The pairs that follow one `NPU ID` line (or stand before the first)."""

    def __init__(self, npu_id: Optional[int], listed: bool, warnings: list[str]) -> None:
        self.npu_id = npu_id
        self.listed = listed  # part of a list of all NPUs: every NPU has its own `NPU ID` line
        self.warnings = warnings
        self.pairs: list[_Pair] = []
        self.blocks: list[dict[str, Any]] = []

    def finish(self) -> list[dict[str, Any]]:
        """Return the section's blocks in the order in which they are printed."""
        first = next((at for at, pair in enumerate(self.pairs) if pair.names_chip), None)
        if first is None:
            self._without_chips()
        elif all(pair.key in _HEAD_KEYS for pair in self.pairs[:first]) and not (
            self.pairs[-1].names_chip and first != len(self.pairs) - 1
        ):
            self._opened(first)
        else:
            self._closed()
        return self.blocks

    def _chip_id(self, pair: _Pair) -> Optional[int]:
        number = _integer(pair.value)
        if number is None:
            self.warnings.append("chip id cannot be read: " + pair.line)
        return number

    def _new(self, chip_id: Optional[int] = None, mcu: bool = False) -> dict[str, Any]:
        block = _block(self.npu_id, chip_id, mcu)
        self.blocks.append(block)
        return block

    def _without_chips(self) -> None:
        block: Optional[dict[str, Any]] = None
        for pair in self.pairs:
            if block is None:
                block = self._new()
            elif pair.key in block["values"]:
                if not pair.record and not pair.gap:
                    self.warnings.append("a key for the second time, of another part: " + pair.line)
                elif self.listed:
                    self.warnings.append("a block whose NPU ID is missing: " + pair.line)
                block = self._new()
                if self.listed:
                    block["npu_id"] = None
            block["values"][pair.key] = pair.value

    def _head(self, pairs: list[_Pair]) -> None:
        if pairs:
            self._new()["values"].update((pair.key, pair.value) for pair in pairs)

    def _opened(self, first: int) -> None:
        """`Chip ID` (or the MCU's name) stands before its values: `-t common`, `-t board -c`."""
        self._head(self.pairs[:first])
        block: dict[str, Any] = {}
        unknown = False
        for pair in self.pairs[first:]:
            if pair.mcu and block and not pair.gap and not block["mcu"] and set(block["values"]) <= {"Chip Type"}:
                block["mcu"] = True
            elif pair.names_chip:
                unknown = False
                block = self._new(mcu=True) if pair.mcu else self._new(self._chip_id(pair))
            else:
                values = block["values"]
                again = pair.key in values
                if pair.record and again:
                    block = self._new(block["chip_id"], block["mcu"])
                elif again or (pair.gap and not unknown):
                    self.warnings.append("values of a chip whose id is missing: " + pair.line)
                    block, unknown = self._new(), True
                block["values"][pair.key] = pair.value
        self._check_count(first)

    def _closed(self) -> None:
        """`Chip ID` (or the MCU's name) stands behind its values: `-t usages`, `-t temp`, `-t health`."""
        head = 0
        while self.pairs[head].key in _HEAD_KEYS:
            head += 1
        self._head(self.pairs[:head])
        values: dict[str, str] = {}
        last_line = ""
        closed_before = False  # the line before named a chip
        for pair in self.pairs[head:]:
            if pair.names_chip:
                if not values and closed_before and pair.mcu and not pair.gap and not self.blocks[-1]["mcu"]:
                    self.blocks[-1]["mcu"] = True
                else:
                    if not values:
                        self.warnings.append("a chip without values: " + pair.line)
                    block = self._new(mcu=True) if pair.mcu else self._new(self._chip_id(pair))
                    block["values"] = values
                values = {}
                closed_before = True
                continue
            if values and (pair.gap or pair.key in values):
                self._unclosed(values, last_line)
                values = {}
            values[pair.key] = pair.value
            last_line = pair.line
            closed_before = False
        if values:
            self._unclosed(values, last_line)
        self._check_count(head)

    def _unclosed(self, values: dict[str, str], line: str) -> None:
        self.warnings.append("values of a chip whose id is missing: " + line)
        self._new()["values"] = values

    def _check_count(self, head: int) -> None:
        for pair in self.pairs[:head]:
            count = _integer(pair.value) if pair.key == "Chip Count" else None
            found = sum(1 for block in self.blocks if block["chip_id"] is not None and not block["mcu"])
            if count is not None and count != found:
                self.warnings.append("values of %s chips, where there should be as many as in: %s" % (found, pair.line))


def parse_blocks(text: str) -> dict[str, Any]:
    """Read the ``key : value`` output of ``npu-smi info -l`` or ``info -t TYPE`` (board, common, usages, health, …).

    Returns ``{"blocks": [...], "warnings": [...]}``; a block is a mapping of

    ``npu_id`` (int or None), ``chip_id`` (int or None: the values are the card's, the MCU's, or of a chip that cannot
    be told, which is a warning), ``mcu`` (bool: the values are the board controller's),
    ``values`` (mapping of str to str: keys and values as printed; `NPU ID`, `Chip ID` and the MCU's `Chip Name` are
    not repeated in it; the lines of a value that is printed on several are joined by a newline).

    ``Chip ID`` stands before the values of its chip in some outputs and behind them in others; which it is, is told
    by what stands between ``NPU ID`` and the first ``Chip ID``.

    Unlike a table, such output has no end that could be missing: text that is cut within its last line cannot be told
    from whole text. Fewer chips than ``Chip Count``, or fewer NPUs than ``Total Count`` announce, are a warning.

    Raises NpuSmiError, with the tool's words and their meaning, for text without any pair.
    """
    warnings: list[str] = []
    pairs = _pairs(text, warnings)
    if not pairs:
        raise explain_error(text)
    if not pairs[-1].value:
        warnings.append("the last line has no value, the output may be cut: " + pairs[-1].line)
    sections: list[_Section] = []
    listed = False
    section = _Section(None, False, warnings)
    for pair in pairs:
        if pair.key in _TOTAL_KEYS:
            listed = True
            section.pairs.append(pair)
        elif pair.key == "NPU ID":
            number = _integer(pair.value)
            if number is None and pair.value not in _NOTHING:
                warnings.append("NPU id cannot be read: " + pair.line)
            before = section.pairs if not sections and section.npu_id is None else []
            own = [early for early in before if early.key in _TOTAL_KEYS] if before else []
            fresh = _Section(number, listed, warnings)
            if before and not own and not pair.gap:
                # `Chip Phy-ID` may stand before `NPU ID` in the same block
                fresh.pairs.extend(before)
            else:
                sections.append(section)
            section = fresh
        else:
            section.pairs.append(pair)
    sections.append(section)
    blocks = [block for part in sections for block in part.finish()]
    if listed:
        _check_total(pairs, warnings)
    return {"blocks": blocks, "warnings": warnings}


def _check_total(pairs: list[_Pair], warnings: list[str]) -> None:
    found = sum(1 for pair in pairs if pair.key == "NPU ID")
    for pair in pairs:
        if pair.key in _TOTAL_KEYS and _integer(pair.value) not in (None, found):
            warnings.append("%s NPUs, where there should be as many as in: %s" % (found, pair.line))


# --- info -m ---------------------------------------------------------------------------------------------------------

_MAPPING_HEADINGS = {
    "NPU ID": "npu_id",
    "Slot ID": "slot_id",
    "Chip ID": "chip_id",
    "Chip Logic ID": "logic_id",
    "Chip Phy-ID": "phy_id",
    "Chip Name": "name",
}
_MAPPING_HEADER = re.compile(
    "|".join(r"\s+".join(re.escape(word) for word in heading.split()) for heading in _MAPPING_HEADINGS)
)


def _mapping_header(line: str) -> list[str]:
    """Return the fields of a header line, "" for an unknown column; none where the line is no header."""
    if not line.startswith("NPU") or "Chip Name" not in " ".join(line.split()):
        return []
    fields: list[str] = []
    end = 0
    for match in _MAPPING_HEADER.finditer(line):
        fields.extend("" for _unknown in re.split(r"\s{2,}", line[end : match.start()].strip()) if _unknown)
        fields.append(_MAPPING_HEADINGS[" ".join(match.group().split())])
        end = match.end()
    return fields if fields[-1:] == ["name"] and not line[end:].strip() and "npu_id" in fields else []


def parse_mapping(text: str) -> dict[str, Any]:
    """Read ``npu-smi info -m``: which chip has which logic id and which /dev/davinciN.

    Returns ``{"chips": [...], "warnings": [...]}``; a chip is a mapping of ``npu_id``, ``chip_id`` (int),
    ``logic_id``, ``phy_id`` (int or None: not printed, or `-`), ``name`` (str), ``mcu`` (bool: the board controller,
    which is no chip to compute on).

    Columns are found by the names in the header. A row that cannot be read is a warning that quotes it.
    Raises NpuSmiError where there is no header (with the tool's words) or nothing under it.
    """
    warnings: list[str] = []
    chips: list[dict[str, Any]] = []
    fields: list[str] = []
    seen: set[tuple[int, int]] = set()
    last = ""
    for raw in text.splitlines():
        line = raw.strip(" \t\ufeff")
        if not line:
            continue
        last = line
        header = _mapping_header(line)
        if header:
            if fields and header != fields:
                warnings.append("a second header: " + line)
            fields = header
            continue
        cells = line.split(None, len(fields) - 1) if fields else []
        row = dict(zip(fields, cells))
        npu_id = _integer(row.get("npu_id", ""))
        chip_id = _integer(row.get("chip_id", "")) if "chip_id" in fields else 0
        if len(cells) != len(fields) or npu_id is None or chip_id is None:
            warnings.append(("unreadable row: " if fields else "unknown line: ") + line)
            continue
        wrong = []
        chip: dict[str, Any] = {"npu_id": npu_id, "chip_id": chip_id}
        for field in ("logic_id", "phy_id"):
            value = row.get(field, "-")
            chip[field] = None if value in _NOTHING else _integer(value)
            if chip[field] is None and value not in _NOTHING:
                wrong.append("%s cannot be read from %r" % (field, value))
        chip["name"] = row["name"].strip()
        chip["mcu"] = chip["name"].lower() == "mcu"
        if (npu_id, chip_id) in seen:
            wrong.append("chip %s of NPU %s for the second time" % (chip_id, npu_id))
        seen.add((npu_id, chip_id))
        if wrong:
            warnings.append("; ".join(wrong) + ": " + line)
        chips.append(chip)
    if not fields:
        raise explain_error(text)
    if not chips:
        raise NpuSmiError(
            "no chips under the header of `npu-smi info -m` (empty or truncated): " + last, kind="no chips"
        )
    return {"chips": chips, "warnings": warnings}


# --- info -t topo ----------------------------------------------------------------------------------------------------

_TOPO_DEVICE = re.compile(r"(?:NPU|Phy-ID)[0-9]+")
_TOPO_LINK = re.compile(r"[A-Z][A-Z0-9_]*")


def parse_topo(text: str) -> dict[str, Any]:
    """Read the matrix of ``npu-smi info -t topo``.

    Returns a mapping of ``devices`` (list of names as printed: `NPU0` …, on A3 `Phy-ID0` …),
    ``links`` (device -> other device -> how they are joined, as printed: `HCCS`, `SYS`, `UB`, `SIO` …; a device has
    no entry for itself), ``cpu_affinity`` (device -> CPU list as printed, such as `144-167`), ``warnings``.

    A row that does not fit the header, or a device without a row, is a warning, and its links are left out.
    Raises NpuSmiError where there is no header (with the tool's words) or no row under it.
    """
    warnings: list[str] = []
    devices: list[str] = []
    links: dict[str, dict[str, str]] = {}
    affinity: dict[str, str] = {}
    with_affinity = False
    last = ""
    for raw in text.splitlines():
        line = raw.strip(" \t\ufeff")
        if not line:
            continue
        if line.startswith("Legend"):
            break
        last = line
        words = line.split()
        if not devices:
            named = [word for word in words if _TOPO_DEVICE.fullmatch(word)]
            rest = words[len(named) :]
            if named and words[: len(named)] == named and rest in ([], ["CPU", "Affinity"]):
                if len(set(named)) != len(named):
                    raise NpuSmiError("a device stands twice in the header of the topology: " + line, kind="layout")
                devices = named
                with_affinity = bool(rest)
            else:
                warnings.append("unknown line: " + line)
            continue
        device, row, rest = words[0], words[1 : len(devices) + 1], words[len(devices) + 1 :]
        fits = (
            device in devices
            and device not in links
            and len(row) == len(devices)
            and all(_TOPO_LINK.fullmatch(word) for word in row)
            and [at for at, word in enumerate(row) if word == "X"] == [devices.index(device)]
            and len(rest) <= (1 if with_affinity else 0)
        )
        if not fits:
            warnings.append("unreadable row: " + line)
            continue
        links[device] = {other: link for other, link in zip(devices, row) if other != device}
        if rest:
            affinity[device] = rest[0]
        elif with_affinity:
            warnings.append("a row without CPU affinity: " + line)
    if not devices:
        raise explain_error(text)
    if not links:
        raise NpuSmiError("no rows in the topology (it is empty or truncated): " + last, kind="truncated")
    missing = [device for device in devices if device not in links]
    if missing:
        warnings.append("no readable row for %s; the last line is: %s" % (", ".join(missing), last))
    uneven = [
        "%s-%s" % (one, other)
        for one, row_links in links.items()
        for other, link in row_links.items()
        if one < other and links.get(other, {}).get(one, link) != link
    ]
    if uneven:
        warnings.append("the two halves of the matrix differ for: " + ", ".join(uneven))
    return {"devices": devices, "links": links, "cpu_affinity": affinity, "warnings": warnings}


# --- any command -----------------------------------------------------------------------------------------------------


def parse_command(text: str, command: str = "info") -> dict[str, Any]:
    """Read the output of an npu-smi command, named by its own words.

    command: ``info`` (the main table), ``info -m``, ``info -t topo``, or one whose output is key/value: ``info -l``,
    ``info -t board`` …; a leading ``npu-smi`` and options such as ``-i 0 -c 0`` may be there.

    Raises NpuSmiError for output that cannot be read, ValueError for a command whose output has another form
    (``info watch``, ``info proc``, help).
    """
    words = command.split()
    if words[:1] == ["npu-smi"]:
        words = words[1:]
    if words == ["info"]:
        table: dict[str, Any] = parse_info(text)
        return table
    if not words or words[0] not in ("info", "upgrade", "set", "clear") or len(words) == 1:
        raise ValueError("`npu-smi %s` is not a command whose output is known; try `info` or `info -t board`" % command)
    if {"watch", "proc", "-h", "--help", "-v"} & set(words):
        raise ValueError("the output of `npu-smi %s` is not read by this filter" % " ".join(words))
    text = "\n".join(printable(line, keep="\t\ufeff\u00a0") for line in text.splitlines())
    if "-m" in words and words[0] == "info":
        return parse_mapping(text)
    kind = words[words.index("-t") + 1] if "-t" in words[:-1] else ""
    if words[0] == "info" and kind == "topo":
        return parse_topo(text)
    return parse_blocks(text)
