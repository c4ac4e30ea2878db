# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main table of npu-smi: every captured one, and every rule of reading it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu.errors import NpuSmiError, explain_error
from ansible_collections.ascend.fleet.plugins.module_utils._npu.smi import parse_info

sys.path.insert(0, str(Path(__file__).resolve().parent))

from smi_tables import DATA, NAMES, WHOLE, expected_of, text_of


def test_there_is_something_to_test() -> None:
    assert len(NAMES) == 53
    assert len(WHOLE) == 47


@pytest.mark.parametrize("name", NAMES)
def test_captured_table(name: str) -> None:
    expected = expected_of(name)
    if "error" in expected:
        with pytest.raises(NpuSmiError, match=expected["error"]) as caught:
            parse_info(text_of(name))
        assert caught.value.kind == expected["error"]
        return
    wanted = dict(expected["result"])
    least = wanted.pop("min_warnings")
    found = parse_info(text_of(name))
    warnings = found.pop("warnings")
    assert found == wanted
    if least:
        assert len(warnings) >= least
    else:
        assert warnings == []


#: What becomes of a table on its way here, and changes nothing of what it says.
PADDING = {
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "no newline at the end": lambda text: text.rstrip("\n"),
    "blank lines between": lambda text: text.replace("\n", "\n\n"),
    "indented by a tab": lambda text: re.sub(r"(?m)^", "\t", text),
    "blanks at the ends": lambda text: re.sub(r"(?m)$", "   ", text),
    "padding shrunk": lambda text: re.sub(r" {2,}", "  ", text),
    "padding grown": lambda text: text.replace("  ", "    "),
    "tabs as padding": lambda text: text.replace("    ", "\t"),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "colours": lambda text: text.replace("|", "\x1b[0m|\x1b[1m"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_padding_means_nothing(name: str) -> None:
    text = text_of(name)
    wanted = parse_info(text)
    for what, change in PADDING.items():
        found = parse_info(change(text))
        assert len(found["warnings"]) == len(wanted["warnings"]), what
        assert {**found, "warnings": []} == {**wanted, "warnings": []}, what


# --- a small table to damage ------------------------------------------------------------------------------------------

TOP = "+------------------------------------------------------------------------------------------------+"
VERSION = "| npu-smi 25.2.0                   Version: 25.2.0                                               |"
HEAD_RULE = "+---------------------------+---------------+----------------------------------------------------+"
HEAD1 = "| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|"
HEAD2 = "| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |"
HEAD2_A3 = "| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |"
CLOSE = "+===========================+===============+====================================================+"
ROW1 = "| 4     910B3               | OK            | 91.8        36                0    / 0             |"
ROW2 = "| 0                         | 0000:C1:00.0  | 7           1    / 2          3402 / 65536         |"
PROC_HEAD = "| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |"
PROC = "| 4       0                 | 1712733       | VLLM::EngineCor          | 48954                   |"
IDLE = "| No running processes found in NPU 4                                                            |"
HEAD = [TOP, VERSION, HEAD_RULE, HEAD1, HEAD2, CLOSE]
CHIPS = [*HEAD, ROW1, ROW2, CLOSE]
WHOLE_TABLE = [*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, PROC, CLOSE]


def parse(*lines: str) -> dict[str, Any]:
    return parse_info("\n".join(lines) + "\n")


def kind_of(*lines: str) -> str:
    with pytest.raises(NpuSmiError) as caught:
        parse(*lines)
    return caught.value.kind


def test_whole_table() -> None:
    assert parse(*WHOLE_TABLE) == {
        "npu_smi_version": "25.2.0",
        "driver_version": "25.2.0",
        "devices": [
            {
                "npu_id": 4,
                "chip_id": 0,
                "phy_id": None,
                "device_id": None,
                "name": "910B3",
                "health": "OK",
                "power_watts": 91.8,
                "temperature_celsius": 36,
                "hugepages_used": 0,
                "hugepages_total": 0,
                "bus_id": "0000:C1:00.0",
                "utilization_percent": 7,
                "memory_used_mb": 1,
                "memory_total_mb": 2,
                "hbm_used_mb": 3402,
                "hbm_total_mb": 65536,
            }
        ],
        "process_table": True,
        "processes": [
            {
                "npu_id": 4,
                "chip_id": 0,
                "pid": 1712733,
                "container_pid": None,
                "name": "VLLM::EngineCor",
                "memory_mb": 48954,
            }
        ],
        "warnings": [],
    }


# --- closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([*HEAD, ROW1, ROW2], id="no border at all"),
        pytest.param([*HEAD, ROW1, ROW2, HEAD_RULE], id="a dash border at the end"),
        pytest.param([*HEAD, ROW1, ROW2, TOP], id="a plain dash border at the end"),
        pytest.param([*HEAD, ROW1, ROW2, CLOSE[:-1]], id="half a border"),
        pytest.param([*HEAD, ROW1, ROW2, CLOSE[1:]], id="the other half of a border"),
        pytest.param([*HEAD, ROW1, ROW2, "+"], id="one character of a border"),
        pytest.param([*HEAD, ROW1, ROW2, PROC_HEAD, CLOSE, PROC, CLOSE], id="the process header without a border"),
        pytest.param([*HEAD, ROW1, ROW2, HEAD_RULE, CLOSE, PROC, CLOSE], id="a dash border and no process header"),
        pytest.param([*HEAD, ROW1, ROW2, HEAD_RULE, "...", PROC_HEAD, CLOSE, PROC, CLOSE], id="not directly under it"),
        pytest.param([*HEAD, ROW1, CLOSE], id="one row of two, closed"),
        pytest.param([*HEAD, ROW1], id="one row of two"),
        pytest.param([*HEAD, ROW2, CLOSE], id="the second row alone"),
        pytest.param([*HEAD, ROW1, ROW1, ROW2, CLOSE], id="the first row twice"),
        pytest.param([*HEAD, ROW1, ROW2, ROW2, CLOSE], id="the second row twice"),
        pytest.param([*HEAD, ROW1, CLOSE, ROW2, CLOSE], id="a border between the rows of a chip"),
        pytest.param([*HEAD, ROW1, "...", ROW2, CLOSE], id="an ellipsis between the rows of a chip"),
        pytest.param([*HEAD, ROW1, ROW2[:40], CLOSE], id="a cut row"),
        pytest.param([*HEAD, ROW1, ROW2, CLOSE, "| 5     910B"], id="a cut first row of the next chip"),
        pytest.param([*HEAD, ROW1, ROW2, CLOSE, "|"], id="one character of the next chip"),
        pytest.param([*CHIPS, "| 5     910B3               |"], id="cut at the first pipe of the next chip"),
        pytest.param([*HEAD, ROW1, ROW2, CLOSE[:29]], id="a border cut at a column's edge"),
        pytest.param([*HEAD, ROW1, ROW2, CLOSE[:45]], id="a border cut at the second column's edge"),
        pytest.param([*CHIPS, "+==="], id="half a second closing border"),
        pytest.param([*CHIPS, "...", "+"], id="half a border under an ellipsis"),
        pytest.param([HEAD1, HEAD2, ROW1, ROW2, CLOSE[:29]], id="a border cut at a column's edge, the only one"),
        pytest.param([*CHIPS, HEAD_RULE, "| 5     910B"], id="a cut row of a chip under a dash border"),
        pytest.param([*HEAD, ROW1, ROW2, CLOSE, "| 5     910B3               | OK            |"], id="cut at a pipe"),
        pytest.param([HEAD1, CLOSE, ROW1, ROW2, CLOSE], id="the second line of the header is missing"),
        pytest.param([HEAD2, CLOSE, ROW1, ROW2, CLOSE], id="the first line of the header is missing"),
        pytest.param([HEAD1, HEAD_RULE, HEAD2, CLOSE, ROW1, ROW2, CLOSE], id="the header's lines are apart"),
        pytest.param([ROW1, ROW2, CLOSE], id="no header"),
        pytest.param([ROW1, ROW2, *HEAD, ROW1, ROW2, CLOSE], id="rows above the header"),
        pytest.param([TOP, VERSION], id="the top alone"),
        pytest.param([TOP], id="the top border alone"),
        pytest.param([TOP, VERSION, HEAD_RULE, HEAD1], id="the header's first line alone"),
        pytest.param([TOP, VERSION, HEAD_RULE, HEAD1[:50]], id="half the header's first line"),
        pytest.param([PROC_HEAD, CLOSE, PROC, CLOSE], id="the process table alone"),
    ],
)
def test_truncated(lines: list[str]) -> None:
    with pytest.raises(NpuSmiError, match="truncated") as caught:
        parse(*lines)
    # the message quotes a line
    assert any(line.strip() and line.strip() in str(caught.value) for line in lines)


@pytest.mark.parametrize("lines", [HEAD, HEAD[:-1], [*HEAD, "..."], [*HEAD, HEAD_RULE, PROC_HEAD, CLOSE, IDLE, CLOSE]])
def test_header_without_chips(lines: list[str]) -> None:
    assert kind_of(*lines) == "no chips"


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(CHIPS[1:], id="no top border"),
        pytest.param([HEAD1, HEAD2, ROW1, ROW2, CLOSE], id="no border but the closing one"),
        pytest.param([HEAD1, HEAD2, CLOSE, ROW1, "", ROW2, CLOSE], id="a blank line between the rows"),
        pytest.param([*HEAD, ROW1, ROW2, HEAD_RULE, PROC_HEAD, CLOSE, PROC, CLOSE], id="closed by the process table"),
        pytest.param([*CHIPS, PROC_HEAD, CLOSE, PROC, CLOSE], id="no border above the process header"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, PROC, HEAD_RULE], id="process rows directly under their header"),
        pytest.param([*HEAD, ROW1, ROW2, "+=+"], id="a short border"),
        pytest.param([*HEAD, ROW1, ROW2, CLOSE.replace("+=", "|=", 2).replace("|", "+", 1)], id="pipes in the border"),
    ],
)
def test_closed(lines: list[str]) -> None:
    found = parse(*lines)
    assert [(d["npu_id"], d["hbm_used_mb"]) for d in found["devices"]] == [(4, 3402)]
    assert found["warnings"] == []


def test_dash_border_stands_between_the_chips_of_a_card() -> None:
    row1 = ROW1.replace("91.8", "-   ")
    row2 = ROW2.replace("| 0   ", "| 1   ")
    found = parse(*HEAD, ROW1, ROW2, TOP, row1, row2, CLOSE)
    assert [(d["npu_id"], d["chip_id"], d["power_watts"]) for d in found["devices"]] == [(4, 0, 91.8), (4, 1, None)]
    assert found["warnings"] == []


def test_card_that_stops_in_the_middle_is_told() -> None:
    found = parse(*HEAD, ROW1, ROW2, TOP, ROW1.replace("| 4", "| 5"), ROW2, CLOSE)
    assert len(found["warnings"]) == 1
    assert "NPU 4 stops in the middle" in found["warnings"][0]


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "field", "value", "warned"),
    [
        ("91.8", "NA  ", "power_watts", None, False),
        ("91.8", "-   ", "power_watts", None, False),
        ("91.8", "91,8", "power_watts", None, True),
        ("91.8", "nan ", "power_watts", None, True),
        ("91.8", "1e5 ", "power_watts", None, True),
        ("91.8", "92  ", "power_watts", 92.0, False),
        (" 36 ", " NA ", "temperature_celsius", None, False),
        (" 36 ", " -4 ", "temperature_celsius", -4, False),
        (" 36 ", " 3x ", "temperature_celsius", None, True),
        (" 36 ", " ３６ ", "temperature_celsius", None, True),
        ("0000:C1:00.0", "NA          ", "bus_id", None, False),
        ("0000:C1:00.0", "garbled     ", "bus_id", None, True),
        ("3402 /", "-    /", "hbm_used_mb", None, False),
        ("3402 /", "-12  /", "hbm_used_mb", None, True),
        ("3402 / 65536", "NA          ", "hbm_total_mb", None, False),
        ("3402 / 65536", "53402/ 65536", "hbm_used_mb", 53402, False),
        ("3402 / 65536", "153402/65536", "hbm_used_mb", 153402, False),
        ("3402 / 65536", "%s/ 1" % ("9" * 30), "hbm_used_mb", None, True),
        ("| 7   ", "| NA  ", "utilization_percent", None, False),
        ("| 7   ", "| 7%  ", "utilization_percent", None, True),
    ],
)
def test_one_value(old: str, new: str, field: str, value: Any, warned: bool) -> None:
    lines = [line.replace(old, new) for line in CHIPS]
    assert lines != CHIPS
    found = parse(*lines)
    wanted = dict(parse(*CHIPS)["devices"][0], **{field: value})
    if field == "hbm_total_mb":
        wanted["hbm_used_mb"] = None
    if "/ 1" in new:
        wanted["hbm_total_mb"] = 1
    if new == "153402/65536":
        wanted["hbm_total_mb"] = 65536
    assert found["devices"] == [wanted]
    assert len(found["warnings"]) == int(warned)
    if warned:
        assert any(line in found["warnings"][0] for line in lines if new in line)


@pytest.mark.parametrize(
    "values",
    [
        "            1    / 2          3402 / 65536",
        "7                / 2          3402 / 65536",
        "7           1    /            3402 / 65536",
        "7           1    / 2               / 65536",
        "7           1    / 2          3402 /      ",
        "7           1    / 2          3402   65536",
        "7           1    / 2                      ",
        "7           3402 / 65536                  ",
        "7    8      1    / 2          3402 / 65536",
        "7           1    / 2          3402 / 65536  9 / 9",
        "                                          ",
    ],
)
def test_values_that_cannot_be_told_apart_are_none(values: str) -> None:
    row2 = "| 0                         | 0000:C1:00.0  | %s |" % values
    found = parse(*HEAD, ROW1, row2, CLOSE)
    fields = ("utilization_percent", "memory_used_mb", "memory_total_mb", "hbm_used_mb", "hbm_total_mb")
    assert [found["devices"][0][field] for field in fields] == [None] * 5
    assert len(found["warnings"]) == 1
    assert row2 in found["warnings"][0]


@pytest.mark.parametrize("health", ["OK", "Warning", "Alarm", "Critical", "UNKNOWN"])
def test_known_health(health: str) -> None:
    found = parse(*[line.replace("| OK     ", "| %-7s" % health) for line in CHIPS])
    assert found["devices"][0]["health"] == health
    assert found["warnings"] == []


@pytest.mark.parametrize("health", ["ok", "Minor", "", "NA", "Not OK"])
def test_unknown_health_is_kept_with_one_warning_per_chip(health: str) -> None:
    row1 = ROW1.replace("| OK     ", "| %-7s" % health)
    found = parse(*HEAD, row1, ROW2, CLOSE, row1.replace("| 4", "| 5"), ROW2, CLOSE)
    assert [d["health"] for d in found["devices"]] == [health, health]
    assert len(found["warnings"]) == 2
    assert row1 in found["warnings"][0]


def test_npu_id_of_four_digits_and_gaps() -> None:
    found = parse(*HEAD, ROW1.replace("| 4   ", "| 2944"), ROW2, CLOSE, ROW1.replace("| 4", "| 1"), ROW2, CLOSE)
    assert [d["npu_id"] for d in found["devices"]] == [2944, 1]


def test_missing_ids_are_an_error() -> None:
    assert kind_of(*HEAD, ROW1.replace("| 4", "|  "), ROW2, CLOSE) == "truncated"
    assert kind_of(*HEAD, ROW1, ROW2.replace("| 0   ", "|     "), CLOSE) == "truncated"
    a3 = [HEAD2_A3 if line == HEAD2 else line for line in CHIPS]
    assert kind_of(*a3) == "truncated"  # a chip or a physical id: nobody can say which


@pytest.mark.parametrize(
    ("printed", "phy_id", "warned"), [("11", 11, 0), ("NA", None, 0), ("-", None, 0), ("x", None, 1)]
)
def test_phy_id(printed: str, phy_id: Any, warned: int) -> None:
    row2 = ROW2.replace("| 0          ", "| 1     %-5s" % printed)
    found = parse(*[HEAD2_A3 if line == HEAD2 else row2 if line == ROW2 else line for line in CHIPS])
    assert found["devices"][0]["chip_id"] == 1
    assert found["devices"][0]["phy_id"] == phy_id
    assert len(found["warnings"]) == warned


def test_chip_that_is_printed_twice_is_told() -> None:
    found = parse(*HEAD, ROW1, ROW2, CLOSE, ROW1, ROW2, CLOSE)
    assert len(found["devices"]) == 2
    assert "printed twice" in found["warnings"][0]


def test_columns_are_found_by_their_names() -> None:
    head2 = HEAD2.replace("Memory-Usage(MB)  HBM-Usage(MB)   ", "HBM-Usage(MB)  Memory-Usage(MB)   ")
    assert head2 != HEAD2
    device = parse(*[head2 if line == HEAD2 else line for line in CHIPS])["devices"][0]
    assert (device["hbm_used_mb"], device["memory_used_mb"], device["memory_total_mb"]) == (1, 3402, 65536)


def test_unknown_column_is_told_and_passed_over() -> None:
    head1 = HEAD1.replace("Temp(C)      ", "Temp(C) Fan% ")
    row1 = ROW1.replace("36   ", "36 50")
    found = parse(*[head1 if line == HEAD1 else row1 if line == ROW1 else line for line in CHIPS])
    assert found["devices"][0]["temperature_celsius"] == 36
    assert found["devices"][0]["hugepages_total"] == 0
    assert len(found["warnings"]) == 1
    assert "Fan%" in found["warnings"][0]


def test_separate_cells_and_changing_borders() -> None:
    lines = [
        "+--------+------------------+---------------+---------------------------------------------------+",
        "| npu-smi 25.6.rc1.b169              Version: 25.6.rc1.b169                                       |",
        "+--------+------------------+---------------+---------------------------------------------------+",
        "| NPU ID | Name             | Health        | Power(W)   Temp(C)        Hugepages-Usage(page)    |",
        "|        |                  | Bus-Id        | NPU Util(%) Memory-Usage(MB)  HBM-Usage(MB)        |",
        "+========+==================+===============+===================================================+",
        "| 3      | Ascend950DT      | OK            | 321.5      44              0     / 0               |",
        "|        |                  | NA            | 12         0     / 0       104765/ 131072          |",
        "+===========================+===============+===================================================+",
    ]
    found = parse(*lines)
    assert found["warnings"] == []
    assert (found["npu_smi_version"], found["driver_version"]) == ("25.6.rc1.b169", "25.6.rc1.b169")
    device = found["devices"][0]
    assert (device["npu_id"], device["chip_id"], device["name"], device["bus_id"]) == (3, 0, "Ascend950DT", None)
    assert (device["utilization_percent"], device["hbm_used_mb"], device["hbm_total_mb"]) == (12, 104765, 131072)


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "tool", "driver", "warned"),
    [
        ("| npu-smi 22.0.0   Version:22.0.2 |", "22.0.0", "22.0.2", 0),
        ("| npu-smi 24.1.RC2   Version: 24.1.RC2 |", "24.1.RC2", "24.1.RC2", 0),
        ("| npu-smi 25.6.rc1.b169   Version: 21.0.4.B030 |", "25.6.rc1.b169", "21.0.4.B030", 0),
        ("| npu-smi x.x.x   Version: xxx |", "x.x.x", "xxx", 0),
        ("| npu-smi 25.2.0 |", "25.2.0", None, 1),
        ("| npu-smi   Version: 25.2.0 |", None, "25.2.0", 1),
        ("| npu-smi 25.2.0   Version: 25.", None, None, 1),
        ("", None, None, 0),
    ],
)
def test_versions(line: str, tool: Any, driver: Any, warned: int) -> None:
    found = parse(TOP, line, *CHIPS[2:])
    assert (found["npu_smi_version"], found["driver_version"]) == (tool, driver)
    assert len(found["warnings"]) == warned


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "table", "count", "warned"),
    [
        pytest.param(CHIPS, False, 0, 0, id="no table"),
        pytest.param(WHOLE_TABLE, True, 1, 0, id="whole"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, IDLE, CLOSE], True, 0, 0, id="idle"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, PROC, HEAD_RULE], True, 1, 0, id="closed by dashes"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, PROC], True, 1, 1, id="not closed"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, PROC, CLOSE[:-1]], True, 1, 2, id="half a border"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE], True, 0, 1, id="nothing under its header"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD], True, 0, 1, id="nothing under its header, no border"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD[:30]], False, 0, 2, id="half a header"),
        pytest.param([*CHIPS, HEAD_RULE], False, 0, 1, id="a border alone"),
        pytest.param([*CHIPS, HEAD_RULE, CLOSE, PROC, CLOSE], True, 1, 1, id="no header"),
        pytest.param([*CHIPS, IDLE, CLOSE], True, 0, 1, id="no header, idle"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, PROC, "...", CLOSE], True, 1, 1, id="an ellipsis"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, PROC[:50]], True, 0, 2, id="a cut row"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, PROC[:45], PROC, CLOSE], True, 1, 1, id="cut at a pipe"),
        pytest.param([*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, ROW1, ROW2, PROC, CLOSE], True, 1, 2, id="chips among them"),
    ],
)
def test_process_table(lines: list[str], table: bool, count: int, warned: int) -> None:
    found = parse(*lines)
    assert len(found["devices"]) == 1
    assert found["process_table"] is table
    assert len(found["processes"]) == count
    assert all(process["pid"] == 1712733 and process["memory_mb"] == 48954 for process in found["processes"])
    assert len(found["warnings"]) == warned


@pytest.mark.parametrize(
    ("cells", "wanted", "warned"),
    [
        (("4       0", "17", "python", "2048"), ("python", 17, 2048), 0),
        (("4       0", "17", "", "72"), ("", 17, 72), 0),
        (("4       0", "17", "python", "NA"), ("python", 17, None), 0),
        (("4       0", "17", "python", "12x"), ("python", 17, None), 1),
        (("4       0", "NA", "python", "12"), None, 1),
        (("4", "17", "python", "12"), None, 1),
        (("4       x", "17", "python", "12"), None, 1),
        (("4       0", "17", "py|thon", "12"), None, 1),
        (("4       0", "17", "python"), None, 1),
    ],
)
def test_one_process(cells: tuple[str, ...], wanted: Any, warned: int) -> None:
    row = "| %s |" % " | ".join(cells)
    found = parse(*CHIPS, HEAD_RULE, PROC_HEAD, CLOSE, row, CLOSE)
    assert [(p["name"], p["pid"], p["memory_mb"]) for p in found["processes"]] == ([wanted] if wanted else [])
    assert len(found["warnings"]) == warned
    assert all(row in warning for warning in found["warnings"])


@pytest.mark.parametrize(("printed", "container_pid", "warned"), [("NA", None, 0), ("101", 101, 0), ("?", None, 1)])
def test_process_in_a_container(printed: str, container_pid: Any, warned: int) -> None:
    head = "| NPU     Chip  | Process id | Process name | Process memory(MB) |Process id in container|"
    row = "| 4       0     | 1712733    | python       | 48954              | %-22s|" % printed
    found = parse(*CHIPS, HEAD_RULE, head, CLOSE, row, CLOSE)
    assert found["processes"][0]["container_pid"] == container_pid
    assert found["processes"][0]["memory_mb"] == 48954
    assert len(found["warnings"]) == warned


def test_process_header_that_is_cut_at_a_pipe_reads_no_row() -> None:
    found = parse(*CHIPS, HEAD_RULE, "| NPU     Chip | Process id | Process name |", CLOSE, PROC, CLOSE)
    assert found["processes"] == []
    assert len(found["warnings"]) == 2


# --- text around the table --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)",
        "DrvMngGetConsoleLogLevel failed. (ret=4)",
        "root@node:~# npu-smi info",
        "...",
        "Sat Nov 21 10:00:00 2026",
        "| Welcome | to this | host |",
        "|",
    ],
)
def test_text_in_front_of_a_good_table_is_a_warning(line: str) -> None:
    found = parse(line, *WHOLE_TABLE)
    assert len(found["devices"]) == len(found["processes"]) == 1
    assert len(found["warnings"]) == 1
    assert line in found["warnings"][0]


def test_last_line_about_an_incomplete_driver_is_a_warning() -> None:
    line = (DATA / "errors" / "warning-driver-package-incomplete.txt").read_text(encoding="utf-8").strip()
    found = parse(*WHOLE_TABLE, line)
    assert len(found["devices"]) == 1
    assert found["warnings"] == ["reported by the tool: " + line]


def test_warnings_are_in_order() -> None:
    found = parse("first", *HEAD, "second", ROW1, ROW2, CLOSE, "third")
    assert [warning.rsplit(" ", 1)[1] for warning in found["warnings"]] == ["first", "second", "third"]


def test_two_tables_are_an_error() -> None:
    with pytest.raises(NpuSmiError, match="more than one table"):
        parse(*WHOLE_TABLE, *WHOLE_TABLE)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "meaning"),
    [
        ("dcmi-8005-no-prefix", -8005, "another container holds it"),
        ("dcmi-8005-ret4", -8005, "has not been rebooted"),
        ("dcmi-8020-device-is-used", -8020, "another container holds it"),
        ("board-type-9005", -9005, "only some of the cards"),
        ("command-not-found", None, "driver is not installed"),
        ("lib-libdrvdsmi_host", None, "does not find a library"),
        ("invalid-card-id", None, "no card of that number"),
        ("t-cpu-invalid", None, "does not know the question"),
        ("a5-spod-info-not-supported", None, "does not support"),
        ("a5-upgrade-b-vdm-not-supported", None, "does not support"),
        ("warning-driver-package-incomplete", None, "Driver_Install_Status"),
    ],
)
def test_text_without_a_table(name: str, code: Any, meaning: str) -> None:
    text = (DATA / "errors" / (name + ".txt")).read_text(encoding="utf-8")
    with pytest.raises(NpuSmiError) as caught:
        parse_info(text)
    error = caught.value
    assert error.kind == "tool"
    assert error.code == code
    assert meaning in (error.meaning or "")
    assert error.fix
    for line in text.splitlines():
        assert line.strip() in error.message
    assert error.message in str(error)
    assert str(error).endswith(error.fix)


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "code", "meaning"),
    [
        ("", "", 187, -8005, "another container"),
        ("", "", 172, -8020, "another container"),
        ("", "", 211, -9005, "board type"),
        ("DrvMngGetConsoleLogLevel failed. (ret=4)\n", "", 187, -8005, "another container"),
        ("DrvMngGetConsoleLogLevel failed. (ret=4)\n", "", 1, None, "log level"),
        ("Failed to execute npu-smi info. ret is -8255.", "", 193, -8255, "does not support the question"),
        ("npu get board type failed. ret is -9013", "", None, -9013, "inside a container"),
        ("", "npu-smi: error while loading shared libraries: libdcmi.so: cannot open", 127, None, "library"),
        ("", "bash: /usr/local/sbin/npu-smi: Is a directory", 126, None, "folder stands where"),
        ("", "npu-smi: Permission denied", 126, None, "sufficient rights"),
        ("", "/usr/local/sbin/npu-smi: Exec format error", 126, None, "another processor architecture"),
        ("", "bash: /usr/local/sbin/npu-smi: No such file or directory", 127, None, "is not there"),
        ("This command cannot be executed on a VM.", "", 2, None, "virtual machine"),
        ("There is no NPU card on this server.", "", 0, None, "not see a single card"),
        ("", "", None, None, "not captured"),
        ("", "", 137, None, "not captured"),
    ],
)
def test_explain_error(stdout: str, stderr: str, status: Any, code: Any, meaning: str) -> None:
    error = explain_error(stdout, stderr, status)
    assert error.code == code
    assert meaning in (error.meaning or "")
    assert error.fix
    for words in (stdout.strip(), stderr.strip()):
        assert words in error.message
    if status:
        assert "exit status %s" % status in error.message


def test_unknown_words_are_quoted_without_a_guess() -> None:
    error = explain_error("something new happened", "", 3)
    assert (error.code, error.meaning, error.fix) == (None, None, None)
    assert str(error) == "npu-smi said (exit status 3): something new happened"


def test_long_complaints_are_shortened() -> None:
    assert len(explain_error("\n".join("line %d" % n for n in range(1000))).message) < 200


def test_error_line_in_place_of_the_chips() -> None:
    with pytest.raises(NpuSmiError, match="device is used") as caught:
        parse(*HEAD, "dcmi model initialized failed, because the device is used. ret is -8020")
    assert caught.value.code == -8020
    assert caught.value.kind == "no chips"


@pytest.mark.parametrize("text", ["", "\n\n", "\x00", "+", "|", "||", "| |", "+-", "\ufeff", "+=+", "|+|", "\u2028"])
def test_next_to_nothing_is_an_error(text: str) -> None:
    with pytest.raises(NpuSmiError):
        parse_info(text)
