# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Driver, CANN and vllm-ascend: the table, and how it is read."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.module_utils._npu.version_files import parse_version_info
from ansible_collections.ascend.fleet.plugins.module_utils._release import compatibility

TABLE = yaml.safe_load((Path(__file__).resolve().parents[4] / "plugins/plugin_utils/compatibility.yml").read_text())


@pytest.mark.parametrize(
    ("cann", "driver", "level"),
    [
        ("8.5.0", "25.5.0", "paired"),
        ("8.5.0", "25.5.1", "compatible"),
        ("8.5.0", "25.3.rc1", "compatible"),
        ("8.5.0", "25.2.0", "compatible"),
        ("8.5.0", "25.2.0.B030", "compatible"),
        ("8.5.0", "25.0.rc1.1", "compatible"),
        ("8.5.0", "25.20.0", "unknown"),
        ("8.5.0", "26.0.rc1", "unknown"),
        ("8.5.0", "24.1.0", "incompatible"),
        ("8.5.0", "24.1.rc3.7", "incompatible"),
        ("8.5.0", "23.0.7", "incompatible"),
        ("8.2.RC1", "25.2.0", "paired"),
        ("8.3.rc1", "25.3.RC1", "paired"),
        ("8.5.2", "26.1.0.b061", "compatible"),
        ("9.0.0", "25.0.rc1", "compatible"),
        ("9.0.1", "24.1.0", "unknown"),
        ("9.1.0", "25.2.0", "compatible"),
        ("9.1.0", "25.0.1", "incompatible"),
        ("7.0.0", "25.2.0", "unknown"),
        ("8.5.0", "xxx", "unknown"),
        ("8.5.0", "", "unknown"),
    ],
)
def test_driver_level(cann: str, driver: str, level: str) -> None:
    assert compatibility.driver_level(TABLE, cann, driver) == level


@pytest.mark.parametrize(
    ("version", "cann"),
    [
        ("0.14.0rc2.dev119+g52aa9c006", "8.5.0"),
        ("v0.13.0", "8.5.0"),
        ("0.16.0rc1", "8.5.1"),
        ("0.19.1rc1", "8.5.1"),
        ("0.22.1rc1", "9.0.0"),
        ("0.23.0", "9.1.0"),
        ("v0.23.0", "9.1.0"),
        ("0.23.0rc1", "9.0.1"),
        ("0.23.0rc1.dev7+g0", "9.0.1"),
        ("0.24.0", None),
        ("0.9.1", None),
        ("main", None),
    ],
)
def test_cann_for(version: str, cann: str) -> None:
    assert compatibility.cann_for(TABLE, version) == cann


def test_drivers_in_words() -> None:
    assert compatibility.drivers_for(TABLE, "8.5.0") == ["25.5.0", "25.5.x", "25.3.x", "25.2.x", "25.0.x"]
    assert compatibility.drivers_for(TABLE, "9.1.0") == ["25.2.x to 26.x"]
    assert compatibility.drivers_for(TABLE, "1.0") == []


def test_no_driver_has_two_levels_by_mistake() -> None:
    for row in TABLE["cann_driver"]:
        for entry in row["incompatible"]:
            good = [*row["paired"], *row["compatible"]]
            assert not any(compatibility.in_entry(str(g.get("series") or g.get("from")), entry) for g in good)


def test_every_row_says_where_it_is_from_and_when_that_was_read() -> None:
    for row in [*TABLE["cann_driver"], *TABLE["vllm_ascend_cann"]]:
        assert len(row["source"]) > 10, row
        assert datetime.date.fromisoformat(row["date"]) >= datetime.date(2026, 1, 1)


# -- advice of the host's own files ---------------------------------------------------------------------------------

FILES = Path(__file__).resolve().parents[2] / "fixtures" / "npu_smi" / "files"


def info(name: str) -> dict[str, Any]:
    return parse_version_info((FILES / (name + ".txt")).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("driver", "firmware", "cann", "pairs"),
    [
        ("driver-version-info-23.0.7", "firmware-version-info-7.1.0.11.220", [], []),  # one package version
        ("driver-version-info-24.1.rc1", "firmware-version-info-7.1.0.11.220", [], ["firmware_driver"]),
        ("driver-version-info-25.3.rc1-two-fw-ranges", None, ["8.5.0-aarch64"], []),  # C25 lists C23
        ("driver-version-info-23.0.7", None, ["8.5.0-aarch64"], []),  # C25 lists C15
        ("driver-version-info-24.1.rc1", None, ["8.2.RC1"], []),
        (None, "firmware-version-info-7.1.0.11.220", ["8.5.0-aarch64"], []),
        (None, None, [], []),
    ],
)
def test_advice(driver: Any, firmware: Any, cann: list[str], pairs: list[str]) -> None:
    versions = {
        "driver": info(driver) if driver else None,
        "firmware": info(firmware) if firmware else None,
        "cann": [info("ascend-toolkit-install-info-" + c) for c in cann],
    }
    assert [a["pair"] for a in compatibility.advice(versions)] == pairs


def test_advice_names_both_and_what_is_listed() -> None:
    versions = {
        "driver": {"version": "21.0.2", "innerversion": "V100R001C09B100", "compatible_version": ["V100R001C08"]},
        "cann": [info("ascend-toolkit-install-info-8.5.0-aarch64")],
    }
    (found,) = compatibility.advice(versions)
    assert "V100R001C09" in found["found"]
    assert "CANN 8.5.0 (V100R001C25)" in found["found"]
    assert found["needed"] == "a driver of V100R001C15, V100R001C18, V100R001C19, V100R001C20, V100R001C21, V100R001C23"


@pytest.mark.parametrize(
    ("text", "series"),
    [("V100R001C15SPC012B220", "V100R001C15"), ("v100r001c15", "V100R001C15"), ("25.2.0", None), (None, None)],
)
def test_inner_series(text: Any, series: Any) -> None:
    assert compatibility.inner_series(text) == series
