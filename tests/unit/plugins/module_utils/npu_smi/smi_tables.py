# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The captured tables of npu-smi, and what may be read of a damaged one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[3] / "fixtures" / "npu_smi"
NAMES = sorted(path.stem for path in (DATA / "info").glob("*.txt"))


def text_of(name: str) -> str:
    return (DATA / "info" / (name + ".txt")).read_text(encoding="utf-8")


def expected_of(name: str) -> dict[str, Any]:
    return json.loads((DATA / "expected" / (name + ".json")).read_text(encoding="utf-8"))


WHOLE = [name for name in NAMES if "result" in expected_of(name)]


def assert_values_are_true(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Every value that was read is the true one, or is none and there is a warning."""
    warned = bool(found["warnings"])
    known = {(d["npu_id"], d["chip_id"]): d for d in wanted["devices"]}
    for device in found["devices"]:
        truth = known[(device["npu_id"], device["chip_id"])]
        for field, value in device.items():
            assert value == truth[field] or (value is None and warned), (field, value)
    for process in found["processes"]:
        assert any(
            all(value == truth[field] or (value is None and warned) for field, value in process.items())
            for truth in wanted["processes"]
        ), process
