# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listings of device nodes and of firmware, as people send them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu.listings import (
    parse_device_listing,
    parse_upgrade_tool,
)

FILES = Path(__file__).resolve().parents[2] / "fixtures" / "npu_smi" / "files"


def text(name: str) -> str:
    return (FILES / (name + ".txt")).read_text(encoding="utf-8")


def test_a_short_listing() -> None:
    found = parse_device_listing(text("ls-dev-davinci-x8"))
    assert found["warnings"] == []
    assert [n["index"] for n in found["nodes"]] == [*range(8), None]
    assert found["nodes"][8]["path"] == "/dev/davinci_manager"
    assert found["nodes"][0]["mode"] is None


def test_a_long_listing_that_starts_at_one() -> None:
    found = parse_device_listing(text("ls-l-dev-davinci-310p-start1"))
    assert found["warnings"] == []
    assert [(n["index"], n["major"], n["minor"], n["mode"]) for n in found["nodes"]] == [
        (1, 510, 1, "0660"),
        (2, 510, 2, "0660"),
        (3, 510, 3, "0660"),
        (4, 510, 4, "0660"),
        (None, 511, 0, "0600"),
    ]
    assert {(n["owner"], n["group"], n["is_char"]) for n in found["nodes"]} == {("root", "root", True)}


def test_the_managers() -> None:
    nodes = parse_device_listing(text("ls-l-dev-hdc-svm"))["nodes"]
    assert [(n["name"], n["owner"], n["major"]) for n in nodes] == [
        ("hisi_hdc", "HwHiAiUser", 237),
        ("devmm_svm", "HwHiAiUser", 238),
    ]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("crw-rw---- 1 HwHiAiUser HwHiAiUser 236, 0 Jul  2 10:11 /dev/davinci0", (0, True, 236, "0660")),
        ("crw-rw-rw-+ 1 a b 236, 12 Jul  2  2025 davinci12", (12, True, 236, "0666")),
        ("drwxr-xr-x 2 root root 4096 Jul  2 10:11 /dev/davinci3", (3, False, None, "0755")),
        ("-rw-r--r-- 1 root root 0 Jul  2 10:11 /dev/davinci3", (3, False, None, "0644")),
        ("crwsr-x--T 1 a b 236, 1 /dev/davinci1", (1, True, 236, "5750")),
        ("/dev/davinci5", (5, None, None, None)),
        ("davinci5", (5, None, None, None)),
    ],
)
def test_lines(line: str, wanted: tuple[Any, ...]) -> None:
    (node,) = parse_device_listing(line)["nodes"]
    assert (node["index"], node["is_char"], node["major"], node["mode"]) == wanted
    assert node["path"] == "/dev/davinci%d" % node["index"]


@pytest.mark.parametrize(
    "line",
    [
        "ls: cannot access '/dev/davinci*': No such file or directory",
        "crw-rw---- 1 root root 236, 0 /dev/nvidia0",
        "crw-rw---- 1 root root 236, /dev/davinci0",
        "davinci",
    ],
)
def test_what_is_no_node_is_a_warning(line: str) -> None:
    found = parse_device_listing(line)
    assert found["nodes"] == []
    assert len(found["warnings"]) == 1
    assert line in found["warnings"][0]


def test_upgrade_tool() -> None:
    found = parse_upgrade_tool(text("upgrade-tool-version-x8-elided"))
    version = "7.1.0.7.220"
    assert found["devices"] == {n: dict.fromkeys(("nve", "uefi", "imu", "imp"), version) for n in (0, 7)}
    assert found["warnings"] == ["cannot read: ..."]


def test_any_line_of_the_upgrade_tool_lost_gives_no_wrong_version() -> None:
    lines = text("upgrade-tool-version-x8-elided").splitlines()
    for lost in range(len(lines)):
        found = parse_upgrade_tool("\n".join(lines[:lost] + lines[lost + 1 :]))
        for number, components in found["devices"].items():
            assert number in (0, 7)
            assert set(components.values()) == {"7.1.0.7.220"}


@pytest.mark.parametrize(
    ("lines", "devices", "warned"),
    [
        (['{"device_id":0, "component":nve, "version":7.1}'], {0: {"nve": "7.1"}}, 0),
        (['{"device_id":0, "component":"nve", "version":"7.1"}'], {0: {"nve": "7.1"}}, 0),
        (
            [
                "Get component version(7.1) succeed for deviceId(1), componentType(0).",
                '{"device_id":0, "component":nve, "version":7.1}',
            ],
            {},
            1,
        ),
        (
            ['{"device_id":0, "component":nve, "version":7.1}', '{"device_id":0, "component":nve, "version":7.2}'],
            {0: {}},
            1,
        ),
        (["Get component version failed"], {}, 1),
        ([], {}, 0),
    ],
)
def test_records(lines: list[str], devices: Any, warned: int) -> None:
    found = parse_upgrade_tool("\n".join(lines))
    assert (found["devices"], len(found["warnings"])) == (devices, warned)
