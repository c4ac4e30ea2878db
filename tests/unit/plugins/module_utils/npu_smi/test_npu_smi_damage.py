# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main table of npu-smi, damaged in every place: nothing wrong is read from it without a word."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu.errors import NpuSmiError
from ansible_collections.ascend.fleet.plugins.module_utils._npu.smi import parse_info

sys.path.insert(0, str(Path(__file__).resolve().parent))

from smi_tables import NAMES, WHOLE, assert_values_are_true, expected_of, text_of

DAMAGED = [
    "310p3duo-x4-24.1.0.1-procs",
    "910b2c-x2-23.0.2.1-trailing-space",
    "950pr-x3-25.7.rc1-alarm-procs",
    "a3-ascend910-x4-26.0.rc1-procs",
    "310-x4-20.2.0-npuid215",
]


def assert_never_wrong(text: str, wanted: dict[str, Any], all_devices: bool) -> None:
    """What is read of a damaged text is right, or there is a warning or an error."""
    try:
        found = parse_info(text)
    except NpuSmiError:
        return
    assert_values_are_true(found, wanted)
    if all_devices and not found["warnings"]:
        assert len(found["devices"]) == len(wanted["devices"]), text
    # a table that ends early may end at a chip, never in it
    assert [d["bus_id"] for d in found["devices"]] == [d["bus_id"] for d in wanted["devices"]][: len(found["devices"])]
    for field in ("npu_smi_version", "driver_version"):
        assert found[field] in (wanted[field], None)


@pytest.mark.parametrize("name", WHOLE)
def test_any_line_deleted(name: str) -> None:
    lines = text_of(name).splitlines()
    wanted = parse_info(text_of(name))
    for at in range(len(lines)):
        assert_never_wrong("\n".join(lines[:at] + lines[at + 1 :]), wanted, True)


@pytest.mark.parametrize("name", DAMAGED)
def test_any_line_twice_or_swapped(name: str) -> None:
    lines = text_of(name).splitlines()
    wanted = parse_info(text_of(name))
    for at in range(len(lines)):
        assert_never_wrong("\n".join([*lines[:at], lines[at], *lines[at:]]), wanted, True)
        swapped = [*lines[:at], *reversed(lines[at : at + 2]), *lines[at + 2 :]]
        assert_never_wrong("\n".join(swapped), wanted, True)


@pytest.mark.parametrize("name", NAMES)
def test_every_prefix_is_refused_or_has_all_chips(name: str) -> None:
    """A table that is cut anywhere is refused, or its chips are exactly those of the whole text.

    Where the cut is the end of a `=` border between two NPUs, the rest is, letter by letter, the table of a host with
    fewer NPUs: its chips are then exactly the first ones, and it has no process table, by which _node refuses it where
    no other source has as many chips. A process table without all processes has a warning. An ellipsis that stands in
    the capture itself is a warning too.
    """
    text = text_of(name)
    wanted = expected_of(name).get("result")
    chips = wanted["devices"] if wanted else None
    for at in range(len(text)):
        try:
            found = parse_info(text[:at])
        except NpuSmiError:
            continue
        count = len(found["devices"])
        if found["devices"] != chips:
            assert chips is None or (count < len(chips) and found["devices"] == chips[:count]), text[:at]
            assert not found["process_table"]
            lines = [line.strip() for line in text[:at].splitlines() if line.strip()]
            rest = [line.strip() for line in text.splitlines() if line.strip()][len(lines) - 1 :]
            at_a_border = lines[-1] == rest[0] and set(lines[-1]) == set("+=")
            assert at_a_border or (any(line[0] == "." for line in lines) and found["warnings"]), text[:at]
        elif found["process_table"]:
            assert wanted is not None
            assert wanted["process_table"]
            assert found["processes"] == wanted["processes"] or found["warnings"], text[:at]


@pytest.mark.parametrize("name", DAMAGED)
def test_any_start(name: str) -> None:
    text = text_of(name)
    wanted = parse_info(text)
    for at in range(0, len(text), 7):
        assert_never_wrong(text[at:], wanted, True)


@pytest.mark.parametrize("name", DAMAGED)
def test_any_line_cut_short(name: str) -> None:
    lines = text_of(name).splitlines()
    wanted = parse_info(text_of(name))
    for at, line in enumerate(lines):
        for length in range(1, len(line.rstrip()), 3):
            assert_never_wrong("\n".join([*lines[:at], line[:length], *lines[at + 1 :]]), wanted, True)


@pytest.mark.parametrize("name", DAMAGED)
def test_any_foreign_line_inserted(name: str) -> None:
    lines = text_of(name).splitlines()
    wanted = parse_info(text_of(name))
    for foreign in ("...", "kernel: something happened", "| odd |", "+-----+", ""):
        for at in range(len(lines) + 1):
            assert_never_wrong("\n".join([*lines[:at], foreign, *lines[at:]]), wanted, True)


def test_sixteen_chips_take_no_time() -> None:
    text = text_of("a3-ascend910-x4-26.0.rc1-procs")
    lines = text.splitlines()
    card = lines[6:12]
    cards = [
        line.replace("| 0     Ascend", "| %-5d Ascend" % n).replace("| 1     1 ", "| 1     9 ")
        for n in range(8)
        for line in card
    ]
    table = "\n".join([*lines[:6], *cards, *lines[18:]])
    assert len(parse_info(table)["devices"]) == 16
    best = min(_timed(table) for _attempt in range(30))
    assert best < 0.005  # well below a millisecond on a quiet machine


def _timed(text: str) -> float:
    start = time.perf_counter()
    parse_info(text)
    return time.perf_counter() - start
