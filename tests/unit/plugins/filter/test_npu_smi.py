# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ascend.fleet.npu_smi."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError, AnsibleTypeError
from ansible_collections.ascend.fleet.plugins.filter.npu_smi import FilterModule

DATA = Path(__file__).resolve().parents[2] / "fixtures" / "npu_smi"
npu_smi = FilterModule().filters()["npu_smi"]


def text_of(path: str) -> str:
    return (DATA / path).read_text(encoding="utf-8")


class TaggedText(str):
    """As ansible-core hands text over: a subclass of str."""


def test_table() -> None:
    found = npu_smi(text_of("info/910b3-x8-25.2.0-1proc.txt"))
    wanted = json.loads(text_of("expected/910b3-x8-25.2.0-1proc.json"))["result"]
    assert found["devices"] == wanted["devices"]
    assert found["processes"] == wanted["processes"]
    assert found["warnings"] == []


@pytest.mark.parametrize(
    ("command", "path", "key", "count"),
    [
        ("info", "info/a3-ascend910-x4-25.2.0-1proc.txt", "devices", 4),
        ("info -m", "sub/info-m-910b4-x8-mcu.txt", "chips", 16),
        ("info -l", "sub/info-l-950pr-x2.txt", "blocks", 3),
        ("info -t topo", "sub/topo-910b1-x8-hccs.txt", "devices", 8),
        ("info -t board", "sub/board-i0-910b-25.5.1.txt", "blocks", 1),
        ("npu-smi info -t usages -i 1", "sub/usages-i1-310pduo-2chips.txt", "blocks", 3),
        ("info -t health", "sub/health-2944-310pduo-mcu.txt", "blocks", 4),
    ],
)
def test_commands(command: str, path: str, key: str, count: int) -> None:
    found = npu_smi(text_of(path), command=command)
    assert len(found[key]) == count
    assert found["warnings"] == []


def _types(value: Any) -> set[type]:
    if isinstance(value, dict):
        return {type(value)}.union(*(_types(k) | _types(v) for k, v in value.items()))
    if isinstance(value, list):
        return {type(value)}.union(*map(_types, value))
    return {type(value)}


@pytest.mark.parametrize("path", ["info/910b3-x8-25.2.0-1proc.txt"])
def test_result_is_plain_data(path: str) -> None:
    found = npu_smi(TaggedText(text_of(path)), TaggedText("info"))
    assert _types(found) <= {dict, list, str, int, float, bool, type(None)}
    assert npu_smi(text_of(path).encode()) == found


@pytest.mark.parametrize(
    ("text", "command", "words"),
    [
        (
            "dcmi module initialize failed. ret is -8005",
            "info",
            ["-8005", "another container holds it", "reboot"],
        ),
        ("npu-smi: command not found", "info", ["command not found", "driver is not installed"]),
        ("Invalid card id.", "info -t board", ["Invalid card id.", "no card of that number"]),
        (text_of("info/910b2-24.1.0-cut-midrow.txt"), "info", ["truncated", "0000:01:00.0"]),
        ("", "info", ["printed nothing"]),
        ("x", "info watch", ["info watch"]),
        ("x", "frobnicate", ["frobnicate", "info -t board"]),
    ],
)
def test_errors_carry_the_tools_words(text: str, command: str, words: list[str]) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        npu_smi(text, command)
    for word in ["ascend.fleet.npu_smi", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, [], {"stdout": "x"}, True])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(AnsibleTypeError, match="stdout"):
        npu_smi(value)
    with pytest.raises(AnsibleTypeError, match="info -m"):
        npu_smi("text", value)
