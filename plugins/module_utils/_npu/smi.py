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
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Optional

HEALTH_WORDS = frozenset(("OK", "Warning", "Alarm", "Critical", "UNKNOWN"))
"""The health words that npu-smi prints."""

_NOTHING = frozenset(("-", "NA"))  # what npu-smi prints in place of a value that does not exist
_MAX_DIGITS = 18  # longer "numbers" are damage (and int() refuses very long ones)

_BORDER = re.compile(r"\+[-+=|]*[-=][-+=|]*\+")
_VERSION_LINE = re.compile(r"npu-smi\s+(?!Version:)(\S+)\s+Version:\s*(\S+)")
_TOOL_VERSION = re.compile(r"npu-smi\s+(?!Version:)(\S+)")
_DRIVER_VERSION = re.compile(r"\sVersion:\s*(\S+)")
_BUS_ID = re.compile(r"(?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]")
_IDLE = re.compile(r"No running processes found in NPU\s+[0-9]+")
_PROCESS_KEY = re.compile(r"[0-9]{1,18}(?:\s+[0-9]{1,18})?")
_FLOAT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_HEADINGS = re.compile(r"NPU\s+Util\(%\)|\S+")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CODE = re.compile(r"\bret(?:\s+is|\s*=|\s*:)?\s*(-[0-9]{3,5})\b")

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

# heading (lower case) -> field of a process
_PROCESS_COLUMNS = {
    "process id": "pid",
    "process name": "name",
    "process memory(mb)": "memory_mb",
    "process id in container": "container_pid",
}
_PROCESS_DEFAULT = ("key", "pid", "name", "memory_mb", "container_pid")


class NpuSmiError(ValueError):
    """npu-smi's output cannot be used.

    message: what is wrong, with the tool's own words or the line in question.
    meaning: what that means, where it is known.
    fix: what to do about it, where it is known.
    code: the tool's own (negative) error code, such as -8005, where there is one.
    kind: ``truncated``, ``no chips``, ``tool`` (the tool's own complaint) or ``layout`` (a table of an unknown form).

    ``str()`` gives message, meaning and fix as one text.
    """

    def __init__(
        self,
        message: str,
        meaning: Optional[str] = None,
        fix: Optional[str] = None,
        code: Optional[int] = None,
        kind: str = "tool",
    ) -> None:
        super().__init__(message, meaning, fix, code, kind)
        self.message = message
        self.meaning = meaning
        self.fix = fix
        self.code = code
        self.kind = kind

    def __str__(self) -> str:
        """Return the message, its meaning and the fix as one text."""
        text = self.message
        for part in (self.meaning, self.fix):
            if part:
                text += ("" if text.endswith((".", "!", "?")) else ".") + " " + part
        return text


# --- what the tool's own complaints mean -----------------------------------------------------------------------------

_HELD_OR_STALE = (
    "The driver does not give npu-smi access to a card: another container holds it, or the driver was upgraded "
    "and the host has not been rebooted since."
)
_HELD_FIX = (
    "Look on the host for containers that were started with the card's /dev/davinciN or with --privileged and "
    "stop them; if there are none, reboot the host. Inside a container, look also whether /usr/local/dcmi and the "
    "driver's lib64 folder are mounted."
)
_CODES: dict[int, tuple[str, str]] = {
    -8005: (_HELD_OR_STALE, _HELD_FIX),
    -8020: (_HELD_OR_STALE, _HELD_FIX),
    -9005: (
        "npu-smi could not read the board type of a card. This happens where only some of the cards, or only some of "
        "the driver's device nodes, are visible, as in a container.",
        "Run npu-smi on the host as root, or give the container /dev/davinci_manager, /dev/devmm_svm and "
        "/dev/hisi_hdc beside its /dev/davinciN.",
    ),
    -8001: ("The driver refused a parameter.", "Check the card and chip numbers against `npu-smi info -m`."),
    -8002: ("npu-smi was not run with sufficient rights.", "Run it as root, or as a member of the driver's group."),
    -8006: ("A card did not answer in time.", "Look into dmesg; reset the card or power-cycle the host."),
    -8007: ("There is no such card.", "Check the card number against `npu-smi info -l`."),
    -8008: (
        "The driver sees no such device: a card may have dropped off the bus.",
        "Compare `lspci -d 19e5:` with the number of cards built in.",
    ),
    -8012: ("A card is not ready yet.", "Wait until it has started, then ask again."),
    -8013: ("This is not supported inside a container.", "Run npu-smi on the host."),
    -8017: ("A card's firmware is being upgraded.", "Wait until the upgrade has ended, then ask again."),
    -8255: ("This device or driver does not support the question.", "Ask another one, or upgrade the driver."),
}
# The exit status is the code modulo 256.
_STATUS_TO_CODE = {code % 256: code for code in _CODES}

_SAYINGS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"error while loading shared libraries:\s*(\S+?):", re.I),
        "The dynamic loader does not find a library of the Ascend driver.",
        "Install the driver (its libraries lie in /usr/local/Ascend/driver/lib64), or set LD_LIBRARY_PATH to "
        "/usr/local/Ascend/driver/lib64:/usr/local/Ascend/driver/lib64/common:/usr/local/Ascend/driver/lib64/driver; "
        "in a container, mount that folder and /usr/local/dcmi from the host.",
    ),
    (
        re.compile(r"Is a directory", re.I),
        "A folder stands where the npu-smi program should be: a container was started with a mount of npu-smi from "
        "a host path that did not exist, and Docker created the folder.",
        "Remove the empty folder and install the driver again.",
    ),
    (
        re.compile(r"(?:npu-smi|command).*(?:not found|No such file or directory)|No such file or directory.*npu-smi"),
        "The program npu-smi is not there: the Ascend driver is not installed, or not visible in this container.",
        "Install the driver, or look in /usr/local/sbin and /usr/local/bin; in a container, mount npu-smi.",
    ),
    (
        re.compile(r"Exec format error|cannot execute binary file", re.I),
        "This npu-smi was built for another processor architecture.",
        "Install the driver package for this host's architecture.",
    ),
    (
        re.compile(r"Permission denied|Operation not permitted|must be root|as root|root (?:user|permission)", re.I),
        "npu-smi was not run with sufficient rights.",
        "Run it as root, or as a member of the driver's group (HwHiAiUser).",
    ),
    (
        re.compile(
            r"(?:not support|cannot be executed|occupied).*(?:virtual machine|\bVM\b|container|docker)"
            r"|(?:container|docker|\bVM\b).*(?:not support|cannot be executed)",
            re.I,
        ),
        "npu-smi does not answer this in a virtual machine or a container.",
        "Run it on the physical host.",
    ),
    (
        re.compile(r"There is no NPU card", re.I),
        "The driver does not see a single card.",
        "Compare `lspci -d 19e5:` with the number of cards built in; look into dmesg; install or reload the driver.",
    ),
    (
        re.compile(r"driver package may not be completely installed", re.I),
        "/etc/ascend_install.info does not say `Driver_Install_Status=complete`.",
        "Install the driver again.",
    ),
    (
        re.compile(r"does not support", re.I),
        "This device or driver does not support the question.",
        "Ask another one, or upgrade the driver.",
    ),
    (
        re.compile(r"Invalid card id|Error parameter of -i", re.I),
        "There is no card of that number, or it has dropped off the bus.",
        "Check the number against `npu-smi info -l`; compare `lspci -d 19e5:` with the number of cards built in.",
    ),
    (
        re.compile(r"Error parameter", re.I),
        "This npu-smi does not know the question.",
        "Compare with `npu-smi info -h`; another generation or version of the tool has other types.",
    ),
    (
        re.compile(r"DrvMngGetConsoleLogLevel failed"),
        "The driver's manager device could not be asked for its log level, and nothing came after that.",
        "Check that /dev/davinci_manager exists and that the driver is loaded (lsmod | grep drv).",
    ),
)
# Says only that a log level could not be read, or that nothing is wrong with the question: what follows decides.
_HARMLESS = ("DrvMngGetConsoleLogLevel failed", "[WARNING]The driver package may not be completely installed")


def _meaning(code: Optional[int]) -> tuple[Optional[str], Optional[str]]:
    """What a code means and what to do; npu-smi's own codes (-90xx) follow the driver interface's (-80xx)."""
    if code is None:
        return None, None
    return _CODES.get(code) or _CODES.get(code + 1000) or (None, None)


def _known_code(text: str) -> Optional[int]:
    codes = _CODE.findall(text)
    return int(codes[-1]) if codes else None


def explain_error(stdout: str, stderr: str = "", exit_status: Optional[int] = None) -> NpuSmiError:
    """Return (not raise) the error that npu-smi's words and exit status amount to.

    stdout, stderr: what it printed; its own complaints come on stdout, the loader's and the shell's on stderr.
    exit_status: npu-smi's, where known: its error code modulo 256 (-8005 gives 187); None when it did not end.

    The error's ``message`` holds the tool's own words in printed order, ``code`` the code it printed (or the one
    that the exit status stands for), ``meaning`` and ``fix`` what is known about them.
    """
    lines = [line.strip() for line in (stdout + "\n" + stderr).splitlines()]
    lines = [line for line in lines if line]
    telling = [line for line in lines if not line.startswith(_HARMLESS)] or lines
    words = "; ".join(lines[:8])
    if len(lines) > 8:
        words += "; …"
    said = "\n".join(telling)
    code = _known_code(said)
    if code is None and exit_status is not None:
        code = _STATUS_TO_CODE.get(exit_status)
    ended = "" if exit_status in (None, 0) else " (exit status %s)" % exit_status
    if not lines:
        meaning, fix = _meaning(code)
        if meaning is not None:
            return NpuSmiError("npu-smi printed nothing%s" % ended, meaning, fix, code)
        return NpuSmiError(
            "npu-smi printed nothing%s" % ended,
            "Either its output was not captured, or it was ended before it answered.",
            "Run `npu-smi info` on the host as root.",
            code,
        )
    message = "npu-smi said%s: %s" % (ended, words)
    known = _meaning(code)
    if known[0] is not None:
        return NpuSmiError(message, known[0], known[1], code)
    for pattern, meaning, fix in _SAYINGS:
        if pattern.search(said):
            return NpuSmiError(message, meaning, fix, code)
    return NpuSmiError(message, None, None, code)


# --- the layout: what the two-line header says -----------------------------------------------------------------------


class _Columns:
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
            if not field or text is None or text in _NOTHING:
                continue
            value = _number(text, kind)
            if value is None:
                wrong.append("%s cannot be read from %r" % (field, text))
            device[field] = value
        return wrong


class _Layout:
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
        self.row1 = _Columns(header1[-1])
        self.row2 = _Columns(header2[-1])
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
def _layout(header1: tuple[str, ...], header2: tuple[str, ...]) -> _Layout:
    return _Layout(header1, header2)


def _number(text: str, kind: str = "int") -> Any:
    """Return the number that the text is, or None."""
    if len(text) > _MAX_DIGITS or not text.isascii():
        return None
    if kind == "float":
        return float(text) if _FLOAT.fullmatch(text) else None
    digits = text[1:] if kind == "signed" and text[0] == "-" else text
    return int(text) if digits.isdigit() else None


# --- the reader ------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads the lines one after the other; the state is which row may come next."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.npu_smi_version: Optional[str] = None
        self.driver_version: Optional[str] = None
        self.version_seen = False
        self.header1: Optional[tuple[str, ...]] = None
        self.layout: Optional[_Layout] = None
        self.devices: list[dict[str, Any]] = []
        self.chips: set[tuple[int, int]] = set()
        self.pending: Optional[dict[str, Any]] = None  # a chip whose first row was read
        self.pending_line = ""
        self.closed = False  # the chip table is closed by a `=` border
        self.after_row2 = False  # no border since the second row of a chip
        self.dashes_after_close = False  # a `-` border came after the closing `=` border
        self.same_npu: Optional[int] = None  # after a `-` border between chips: the NPU that must go on
        self.previous = ""  # the kind of the line before: "=", "-", "row", "text"
        self.last_line = ""
        self.table_seen = False  # anything that only a table of npu-smi prints
        self.drawn = False  # any line that is drawn of pipes and borders
        self.processes: list[dict[str, Any]] = []
        self.process_table = False
        self.process_columns: Optional[tuple[str, ...]] = None
        self.process_rows = 0
        self.process_open = False
        self.complaints: list[str] = []  # lines that are no part of a table

    # -- helpers

    def warn(self, why: str, line: str) -> None:
        self.warnings.append("%s: %s" % (why, line))

    def truncated(self, why: str, line: str) -> NpuSmiError:
        message = "the output of npu-smi is truncated: %s: %s" % (why, line)
        if self.complaints:
            message += " (beside the table: %s)" % "; ".join(self.complaints[:4])
        return NpuSmiError(
            message,
            None,
            "Ask again and take the whole output; if it stays so, run `npu-smi info` on the host by hand.",
            _known_code("\n".join(self.complaints)),
            "truncated",
        )

    # -- the lines

    def line(self, line: str) -> None:
        self.last_line = line
        first = line[0]
        if first == "|" and line[-1] == "|" and len(line) > 1:
            self.drawn = True
            self.row(line)
            self.previous = "row"
        elif first == "+" and _BORDER.fullmatch(line):
            self.drawn = True
            self.border("=" if "=" in line else "-")
        else:
            self.text(line)

    def border(self, kind: str) -> None:
        if self.pending is not None:
            raise self.truncated("a chip has only the first of its two rows", self.pending_line)
        if self.process_table:
            self.process_open = False
        elif self.devices:
            if kind == "=" and self.after_row2:
                self.closed = True
                self.dashes_after_close = False
            elif kind == "-" and self.closed:
                self.dashes_after_close = True
            self.same_npu = self.devices[-1]["npu_id"] if kind == "-" and self.after_row2 else None
            self.after_row2 = False
        self.previous = kind

    def text(self, line: str) -> None:
        if self.pending is not None:
            # Whatever stands between the two rows of a chip may have swallowed rows of others.
            raise self.truncated("a chip's second row does not follow its first", line)
        if line[0] == "|" or (line[0] == "+" and not line.strip("+-=|")):
            self.drawn = True
            cut = line.lstrip("| ")
            if cut.startswith(("npu-smi", "NPU", "Chip ")):
                self.table_seen = True
            if line[0] == "|" and self.layout is not None and not self.process_table:
                about_processes = cut.startswith(("NPU", "No running")) or (
                    cut != "" and ("NPU".startswith(cut) or "No running".startswith(cut))
                )
                if not (self.closed and (self.dashes_after_close or about_processes)):
                    raise self.truncated("a row of the table has no end", line)
            self.warn("cut line", line)
        else:
            known = line.startswith(_HARMLESS)
            if not known and line.strip(". …"):
                self.complaints.append(line)
            self.warn("reported by the tool" if known else "unknown line", line)
        self.previous = "text"

    def row(self, line: str) -> None:
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        first = cells[0]
        if len(cells) == 1:
            if _IDLE.fullmatch(first):
                self.process_line(line)
            elif first.startswith("npu-smi") and not self.version_seen:
                self.version(first, line)
            elif not first and self.pending is None:
                pass  # an empty row says nothing
            else:
                self.unreadable(line)
        elif cells[1].startswith("Process") and cells[1].split() == ["Process", "id"]:
            self.process_header(cells, line)
        elif first.startswith("NPU") and "Health" in cells:
            if self.layout is not None:
                raise NpuSmiError(
                    "the text holds more than one table of npu-smi: %s" % line,
                    fix="Hand over the output of one run of `npu-smi info`.",
                    kind="layout",
                )
            self.table_seen = True
            self.header1 = tuple(cells)
        elif "Bus-Id" in cells and self.layout is None:
            self.table_seen = True
            self.second_header(tuple(cells), line)
        elif self.process_table:
            self.process_row(cells, line)
        elif self.layout is not None:
            self.chip_row(self.layout, cells, line)
        elif _looks_like_chip(cells):
            raise self.truncated("rows of chips without the two-line header above them", line)
        else:
            self.unreadable(line)

    def unreadable(self, line: str) -> None:
        if self.pending is not None:
            raise self.truncated("a chip's second row does not follow its first", line)
        self.warn("unreadable line", line)

    def version(self, cell: str, line: str) -> None:
        self.table_seen = self.version_seen = True
        match = _VERSION_LINE.fullmatch(cell)
        if match:
            self.npu_smi_version, self.driver_version = match.groups()
            return
        tool = _TOOL_VERSION.match(cell)
        driver = _DRIVER_VERSION.search(cell)
        self.npu_smi_version = tool.group(1) if tool else None
        self.driver_version = driver.group(1) if driver else None
        self.warn("version line not understood", line)

    def second_header(self, cells: tuple[str, ...], line: str) -> None:
        if self.header1 is None or self.previous != "row":
            raise self.truncated("the first row of the header is missing", line)
        try:
            self.layout = _layout(self.header1, cells)
        except ValueError as exc:
            raise NpuSmiError(
                "the header of npu-smi's table is truncated or of an unknown form (%s): %s" % (exc, line),
                fix="Keep the output and report it, with the version of the tool.",
                kind="layout",
            )
        if self.layout.unknown:
            self.warn("unknown column %s" % ", ".join(self.layout.unknown), line)

    # -- chips

    def chip_row(self, layout: _Layout, cells: list[str], line: str) -> None:
        if self.closed and _looks_like_process(cells):
            self.process_line(line, cells)
            return
        if len(cells) != layout.cells:
            raise self.truncated("a row of the chip table has not as many cells as its header", line)
        health = layout.health
        second = _BUS_ID.fullmatch(cells[health]) is not None or (
            cells[health] not in HEALTH_WORDS and layout.row2.matches(cells[-1]) and not layout.row1.matches(cells[-1])
        )
        if self.pending is None:
            if second:
                raise self.truncated("the second row of a chip without the first", line)
            self.first_row(layout, cells, line)
        else:
            if not second and (cells[health] in HEALTH_WORDS or layout.row1.matches(cells[-1])):
                raise self.truncated("a chip has only the first of its two rows", self.pending_line)
            self.second_row(layout, cells, line)

    def first_row(self, layout: _Layout, cells: list[str], line: str) -> None:
        if layout.merged:
            parts = cells[0].split(None, 1) or [""]
            number, name = parts[0], parts[1] if len(parts) == 2 else ""
        else:
            number, name = cells[0], cells[1]
        npu_id = _number(number)
        if npu_id is None:
            raise self.truncated("the first row of a chip has no NPU id", line)
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
            self.warn("; ".join(wrong), line)
        self.pending = device
        self.pending_line = line
        self.closed = self.after_row2 = False

    def second_row(self, layout: _Layout, cells: list[str], line: str) -> None:
        device = self.pending
        if device is None:
            raise ValueError("a second row without a first one: %s" % line)
        wrong = []
        if layout.merged:
            ids = cells[0].split()
            chip_id = _number(ids[0]) if ids else None
            if chip_id is None or len(ids) != (1 if layout.second_id is None else 2):
                raise self.truncated("the second row of a chip has not the ids of its header", line)
            device["chip_id"] = chip_id
            if layout.second_id and ids[1] not in _NOTHING:
                device[layout.second_id] = _number(ids[1])
                if device[layout.second_id] is None:
                    wrong.append("%s cannot be read from %r" % (layout.second_id, ids[1]))
        else:
            if cells[0] or cells[1]:
                raise self.truncated("the second row of a chip is not empty where it should be", line)
            device["chip_id"] = 0
        bus_id = cells[layout.health]
        if bus_id not in _NOTHING:
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
            self.warn("; ".join(wrong), line)
        self.devices.append(device)
        self.pending = None
        self.after_row2 = True

    # -- processes

    def end_of_chips(self, line: str) -> None:
        """The first line about processes: the chip table must be whole by now."""
        if self.pending is not None:
            raise self.truncated("a chip has only the first of its two rows", self.pending_line)
        if not self.devices:
            raise self.no_chips(line)
        if not self.closed:
            raise self.truncated("the chip table is not closed", line)
        self.process_table = True

    def process_header(self, cells: list[str], line: str) -> None:
        self.table_seen = True
        columns = ["key"]
        unknown = []
        for cell in cells[1:]:
            name = _PROCESS_COLUMNS.get(" ".join(cell.lower().split()), "")
            if not name:
                unknown.append(cell)
            columns.append(name)
        if not self.process_table:
            if self.previous == "-" and self.pending is None and self.devices:
                self.closed = True
            self.end_of_chips(line)
        elif self.process_columns is not None or self.process_rows:
            self.warn("a second header of processes", line)
            return
        if unknown or not {"pid", "name", "memory_mb"} <= set(columns):
            self.warn("header of processes not understood", line)
        self.process_columns = tuple(columns)

    def process_line(self, line: str, cells: Optional[list[str]] = None) -> None:
        """A line of the process table: a process, or that there is none."""
        self.table_seen = True
        if not self.process_table:
            self.end_of_chips(line)
        if self.process_columns is None and not self.process_rows:
            self.warn("the process table has no header", line)
        self.process_rows += 1
        self.process_open = True
        if cells is not None:
            self.process_row(cells, line)

    def process_row(self, cells: list[str], line: str) -> None:
        columns = self.process_columns or _PROCESS_DEFAULT[: max(4, min(5, len(cells)))]
        self.process_rows += 1
        self.process_open = True
        values = dict(zip(columns, cells))
        key = cells[0].split()
        if len(cells) != len(columns) or not {"pid", "name"} <= set(columns) or not _PROCESS_KEY.fullmatch(cells[0]):
            self.warn("unreadable process", line)
            return
        merged = self.layout is None or self.layout.merged
        pid = _number(values["pid"])
        if pid is None or len(key) != (2 if merged else 1):
            self.warn("unreadable process", line)
            return
        process: dict[str, Any] = {
            "npu_id": int(key[0]),
            "chip_id": int(key[1]) if merged else 0,
            "pid": pid,
            "container_pid": None,
            "name": values["name"],
            "memory_mb": None,
        }
        wrong = []
        for field in ("memory_mb", "container_pid"):
            text = values.get(field, "NA")
            if text not in _NOTHING:
                process[field] = _number(text)
                if process[field] is None:
                    wrong.append("%s cannot be read from %r" % (field, text))
        if wrong:
            self.warn("; ".join(wrong), line)
        self.processes.append(process)

    # -- the end

    def no_chips(self, line: str) -> NpuSmiError:
        message = "no chips in the table of npu-smi (it is empty or truncated): %s" % line
        if self.complaints:
            message += " (beside the table: %s)" % "; ".join(self.complaints[:4])
        code = _known_code("\n".join(self.complaints))
        meaning, fix = _meaning(code)
        return NpuSmiError(message, meaning, fix or "Run `npu-smi info` on the host as root.", code, "no chips")

    def result(self, text: str) -> dict[str, Any]:
        if self.layout is None:
            if self.table_seen or (self.drawn and not self.complaints):
                raise self.truncated("there is no two-line header of chips", self.last_line)
            raise explain_error(text)
        if self.pending is not None:
            raise self.truncated("a chip has only the first of its two rows", self.last_line)
        if not self.devices:
            raise self.no_chips(self.last_line)
        if not self.closed:
            raise self.truncated("the chip table is not closed", self.last_line)
        if self.process_table:
            if not self.process_rows:
                self.warn("the process table has nothing under its header", self.last_line)
            elif self.process_open:
                self.warn("the process table is not closed", self.last_line)
        elif self.dashes_after_close:
            self.warn("a border opens a process table that is not there", self.last_line)
        return {
            "npu_smi_version": self.npu_smi_version,
            "driver_version": self.driver_version,
            "devices": self.devices,
            "process_table": self.process_table,
            "processes": self.processes,
            "warnings": self.warnings,
        }


def _looks_like_chip(cells: list[str]) -> bool:
    """Whether a row could be one of a chip table, without a header to tell."""
    if len(cells) < 3:
        return False
    return any(_BUS_ID.fullmatch(cell) or cell in HEALTH_WORDS for cell in cells) and (
        not cells[0] or cells[0].split()[0].isdigit()
    )


def _looks_like_process(cells: list[str]) -> bool:
    """Whether a row could be one of a process table whose header is missing."""
    return (
        len(cells) in (4, 5)
        and _PROCESS_KEY.fullmatch(cells[0]) is not None
        and _number(cells[1]) is not None
        and all(cell in _NOTHING or _number(cell) is not None for cell in cells[3:])
    )


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

    Raises NpuSmiError for a table that is cut off or has no chips, and for text without a table (with the tool's own
    words and, where known, their meaning).
    """
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\u00a0" in text:
        text = text.replace("\u00a0", " ")  # web pages make these of blanks
    reader = _Reader()
    for raw in text.splitlines():
        line = raw.strip(" \t\r\n\ufeff")
        if line:
            reader.line(line)
    return reader.result(text)
