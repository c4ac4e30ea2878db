# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Driver, CANN and vllm-ascend: the table, and how it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.module_utils import _compatibility

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
    assert _compatibility.driver_level(TABLE, cann, driver) == level


@pytest.mark.parametrize(
    ("version", "cann"),
    [
        ("0.14.0rc2.dev119+g52aa9c006", "8.5.0"),
        ("v0.13.0", "8.5.0"),
        ("0.16.0rc1", "8.5.1"),
        ("0.19.1rc1", "8.5.1"),
        ("0.22.1rc1", "9.0.0"),
        ("0.23.0", "9.1.0"),
        ("0.24.0", None),
        ("0.9.1", None),
        ("main", None),
    ],
)
def test_cann_for(version: str, cann: str) -> None:
    assert _compatibility.cann_for(TABLE, version) == cann


def test_drivers_in_words() -> None:
    assert _compatibility.drivers_for(TABLE, "8.5.0") == ["25.5.0", "25.5.x", "25.3.x", "25.2.x", "25.0.x"]
    assert _compatibility.drivers_for(TABLE, "9.1.0") == ["25.2.x to 26.x"]
    assert _compatibility.drivers_for(TABLE, "1.0") == []


def test_no_driver_has_two_levels_by_mistake() -> None:
    for row in TABLE["cann_driver"]:
        for entry in row["incompatible"]:
            good = [*row["paired"], *row["compatible"]]
            assert not any(_compatibility.in_entry(str(g.get("series") or g.get("from")), entry) for g in good)
