# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lspci says of Huawei's functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu.lspci import parse_lspci

FILES = Path(__file__).resolve().parents[2] / "fixtures" / "npu_smi" / "files"


@pytest.mark.parametrize(
    ("name", "pci_id", "buses"),
    [
        ("lspci-d801-x8", "19e5:d801", ["3d", "3e", "60", "61", "b1", "b2", "da", "db"]),
        ("lspci-d801-x7-one-lost", "19e5:d801", ["3d", "3e", "60", "b1", "b2", "da", "db"]),
        ("lspci-d802-x4", "19e5:d802", ["01", "02", "81", "82"]),
        ("lspci-d802-x6of8", "19e5:d802", ["28", "29", "38", "39", "48"]),
    ],
)
def test_captured(name: str, pci_id: str, buses: list[str]) -> None:
    assert parse_lspci((FILES / (name + ".txt")).read_text(encoding="utf-8")) == [
        {"address": "0000:%s:00.0" % bus, "id": pci_id, "class_id": "1200", "revision": "20"} for bus in buses
    ]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("0000:c1:00.0 1200: 19e5:d802 (rev 20)", ("0000:c1:00.0", "19e5:d802", "1200", "20")),
        ("0000:C1:00.0 1200: 19E5:D803", ("0000:c1:00.0", "19e5:d803", "1200", None)),
        ("c1:00.0 1200: 19e5:d802 (rev 20)", ("0000:c1:00.0", "19e5:d802", "1200", "20")),
        ("c1:00.0 Class 1200: 19e5:d802", ("0000:c1:00.0", "19e5:d802", "1200", None)),
        ("10000:c1:00.0 1200: 19e5:d802", ("10000:c1:00.0", "19e5:d802", "1200", None)),
        ("07:00.0 0300: 19e5:1711 (rev 01)", ("0000:07:00.0", "19e5:1711", "0300", "01")),
        (
            "81:00.0 Processing accelerators [1200]: Huawei Technologies Co., Ltd. Device [19e5:d802] (rev 20)",
            ("0000:81:00.0", "19e5:d802", "1200", "20"),
        ),
        (
            "07:00.0 VGA compatible controller [0300]: Huawei Technologies Co., Ltd. Hi171x Series [iBMC] [19e5:1711]",
            ("0000:07:00.0", "19e5:1711", "0300", None),
        ),
        (
            "81:00.0 Processing accelerators: Huawei Technologies Co., Ltd. Device d803 (rev 20) (prog-if 00)",
            ("0000:81:00.0", "19e5:d803", "1200", "20"),
        ),
        (
            "07:00.0 VGA compatible controller: Huawei Technologies Co., Ltd. Hi171x Series [iBMC] (rev 01)",
            ("0000:07:00.0", None, None, "01"),
        ),
        ("00:00.0 Host bridge: Intel Corporation Device 09a2 (rev 04)", ("0000:00:00.0", None, None, "04")),
    ],
)
def test_forms(line: str, wanted: tuple[Any, ...]) -> None:
    (found,) = parse_lspci(line + "\n\tSubsystem: Huawei Technologies Co., Ltd. Device 3003\n")
    assert tuple(found[key] for key in ("address", "id", "class_id", "revision")) == wanted


@pytest.mark.parametrize("text", ["", "\n", "lspci: Cannot open /proc/bus/pci", "c1:00.0", "c1:00.0 1200"])
def test_nothing(text: str) -> None:
    assert parse_lspci(text) == []
