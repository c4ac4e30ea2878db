# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version files of the driver, the firmware, CANN and nnal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu.version_files import (
    in_range,
    in_ranges,
    parse_pairs,
    parse_ranges,
    parse_version_info,
)

FILES = Path(__file__).resolve().parents[2] / "fixtures" / "npu_smi" / "files"


def text_of(name: str) -> str:
    return (FILES / (name + ".txt")).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "version", "package", "inner", "ranges"),
    [
        ("driver-version-info-23.0.7", "23.0.7", "23.0.7", "V100R001C15SPC012B220", [["7.0.0", "7.1.99"]]),
        ("driver-version-info-24.1.rc1", "24.1.rc1", None, "V100R001C15SPC006B220", [["7.0.0", "7.2.99"]]),
        ("driver-version-info-24.1.rc2.2", "24.1.rc2.2", "24.1.rc2.2", "V100R001C18SPC001B233", [["7.0.0", "7.2.99"]]),
        ("driver-version-info-24.1.rc3", "24.1.rc3", "24.1.rc3", "V100R001C19SPC001B124", [["7.0.0", "7.5.99"]]),
        ("driver-version-info-25.0.rc1.1", "25.0.rc1.1", "25.0.rc1.1", "V100R001C21SPC002B220", [["7.0.0", "7.7.99"]]),
        (
            "driver-version-info-25.3.rc1-two-fw-ranges",
            "25.3.rc1",
            None,  # the file was cut off behind the equals sign
            "V100R001C23SPC002B212",
            [["6.4.0", "6.4.99"], ["7.0.0", "8.9.9"]],
        ),
    ],
)
def test_driver(name: str, version: str, package: Any, inner: str, ranges: list[list[str]]) -> None:
    info = parse_version_info(text_of(name))
    assert info["version"] == version
    assert info["package_version"] == package
    assert info["innerversion"] == inner
    assert info["compatible_version_fw"] == ranges
    assert info["compatible_version_drv"] == []
    assert all(inner.startswith("V100R001C") for inner in info["compatible_version"])
    assert len(info["compatible_version"]) in (4, 5)
    assert info["ascendhal_version"].startswith("7.35.")


def test_firmware() -> None:
    info = parse_version_info(text_of("firmware-version-info-7.1.0.11.220"))
    assert info["version"] == "7.1.0.11.220"
    assert info["package_version"] == "23.0.7"
    assert info["compatible_version_drv"] == [["23.0.rc3", "23.0.rc3."], ["23.0.0", "23.0.0."]]
    assert info["compatible_version_fw"] == []


@pytest.mark.parametrize(
    ("name", "version", "arch", "path", "compatible"),
    [
        (
            "ascend-toolkit-install-info-7.0.T10-aarch64",
            "7.0.T10",
            "aarch64",
            "/usr/local/Ascend/ascend-toolkit/7.0.T10/aarch64-linux",
            5,
        ),
        (
            "ascend-toolkit-install-info-8.2.RC1",
            "8.2.RC1",
            "aarch64",
            "/usr/local/Ascend/ascend-toolkit/8.2.RC1/aarch64-linux",
            6,
        ),
        (
            "ascend-toolkit-install-info-8.5.0-aarch64",
            "8.5.0",
            "aarch64",
            "/usr/local/Ascend/cann-8.5.0/aarch64-linux",
            6,
        ),
        ("ascend-toolkit-install-info-8.5.0-issue6271", "8.5.0", "aarch64", "/usr/local/Ascend/cann-8.5.0", 6),
        ("ascend-toolkit-install-info-8.5.0-x86_64", "8.5.0", "x86_64", "/usr/local/Ascend/cann-8.5.0/x86_64-linux", 6),
        ("ascend-toolkit-install-info-9.1.0-x86_64", "9.1.0", "x86_64", "/usr/local/Ascend/cann-9.1.0", 0),
    ],
)
def test_cann(name: str, version: str, arch: str, path: str, compatible: int) -> None:
    info = parse_version_info(text_of(name))
    assert info["package_name"] == "Ascend-cann-toolkit"
    assert (info["version"], info["arch"], info["path"]) == (version, arch, path)
    assert info["innerversion"].startswith("V100R001C")
    assert len(info["compatible_version"]) == compatible
    assert info["package_version"] is None


def test_comma_within_brackets() -> None:
    info = parse_version_info(text_of("ascend-nnae-install-info-8.0.RC3"))
    assert info["package_name"] == "Ascend-cann-nnae"
    assert info["compatible_version"] == ["V100R001C13", "V100R001C19", "V100R001C30"]


def test_nnal() -> None:
    info = parse_version_info(
        "    Ascend-cann-atb : 8.5.0\n"
        "    Ascend-cann-atb Version : 8.5.0.B080\n"
        "    Platform : aarch64\n"
        "    branch : br_release_cann_8.5.0\n"
        "    commit id : 0123abcd\n"
    )
    assert (info["version"], info["build_version"], info["arch"]) == ("8.5.0", "8.5.0.B080", "aarch64")
    assert info["package_name"] == "ascend-cann-atb"
    assert info["commit id"] == "0123abcd"


def test_pairs() -> None:
    assert parse_pairs('\ufeff# note\nVersion=1\r\nURL=http://x:1/?a=b\nno pair\n=x\nname : "y"\nversion=2\n') == {
        "version": "2",
        "url": "http://x:1/?a=b",
        "name": "y",
    }


def test_install_info_of_the_driver() -> None:
    text = "UserName=HwHiAiUser\nUserGroup=HwHiAiUser\nDriver_Install_Type=full\nDriver_Install_Status=complete\n"
    assert parse_pairs(text)["driver_install_status"] == "complete"


@pytest.mark.parametrize("text", ["", "\n", "garbage", "\x00", "version="])
def test_nothing_is_none(text: str) -> None:
    info = parse_version_info(text)
    assert [info[key] for key in ("version", "package_version", "innerversion", "package_name", "arch", "path")] == [
        None
    ] * 6
    assert info["compatible_version"] == info["compatible_version_fw"] == info["compatible_version_drv"] == []


def test_ranges() -> None:
    assert parse_ranges("[6.4.0,6.4.99],[7.0.0, 8.9.9]") == [["6.4.0", "6.4.99"], ["7.0.0", "8.9.9"]]
    assert parse_ranges("") == parse_ranges("[6.4.0,6.4") == []
    # a group of another size is no range
    assert parse_version_info("compatible_version_fw=[7.0.0],[7.1.0,7.2.0,7.3.0]")["compatible_version_fw"] == []


@pytest.mark.parametrize(
    ("version", "bounds", "wanted"),
    [
        ("7.0.0", ["7.0.0", "7.1.99"], True),
        ("7.1.0.11.220", ["7.0.0", "7.1.99"], True),
        ("7.1.99", ["7.0.0", "7.1.99"], True),
        ("7.2.0", ["7.0.0", "7.1.99"], False),
        ("6.4.12", ["7.0.0", "7.1.99"], False),
        ("7.8.0.7.220", ["7.0.0", "8.9.9"], True),
        ("23.0.rc3", ["23.0.rc3", "23.0.rc3."], True),
        ("23.0.rc3.2", ["23.0.rc3", "23.0.rc3."], True),
        ("23.0.0", ["23.0.rc3", "23.0.rc3."], False),
        ("23.0.0.1", ["23.0.0", "23.0.0."], True),
        ("23.0.1", ["23.0.0", "23.0.0."], False),
        ("24.1.rc3", ["24.1", "24.1."], True),
        ("24.1.0.3", ["24.1", "24.1."], True),
        ("24.10.0", ["24.1", "24.1."], False),
        ("25.0.rc1.1", ["24.1", "24.1."], False),
        ("xxx", ["7.0.0", "7.1.99"], False),
        ("7.0.0", ["xxx", "7.1.99"], False),
    ],
)
def test_in_range(version: str, bounds: list[str], wanted: bool) -> None:
    assert in_range(version, bounds) is wanted


def test_in_ranges() -> None:
    ranges = parse_version_info(text_of("driver-version-info-25.3.rc1-two-fw-ranges"))["compatible_version_fw"]
    assert in_ranges("6.4.12.1.241", ranges)
    assert in_ranges("7.8.0.7.220", ranges)
    assert not in_ranges("6.5.0", ranges)
    assert not in_ranges("9.0.0.105.229", ranges)
    assert not in_ranges("7.0.0", [])
