# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Version numbers: their order, and the patterns that stand for several."""

from __future__ import annotations

import itertools
import random

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.versions import Version, compare, matches

ASCENDING = [
    "V100R001C25SPC001B212",
    "V100R001C25SPC001B232",
    "V100R001C25SPC002B110",
    "V100R003C10",
    "6.4.99",
    "7.0.T10",
    "7.0.0",
    "7.1.0.7.220",
    "7.1.0.11.220",
    "7.1.99",
    "8.0.RC3.alpha003",
    "8.0.RC3",
    "8.0.0",
    "8.5.0.alpha001",
    "8.5.0.beta1",
    "8.5.0.RC1",
    "8.5.0",
    "8.5.1",
    "20.2.0",
    "21.0.4",
    "21.0.4.B030",
    "21.0.4.1",
    "23.0.rc2",
    "23.0.rc2.3",
    "23.0.rc3",
    "23.0.rc10",
    "23.0.0",
    "24.1.rc1",
    "24.1.rc1.b030",
    "24.1.rc1.1",
    "24.1.RC2",
    "24.1.rc3.7",
    "24.1.0",
    "24.1.0.1",
    "24.1.0.3",
    "25.0.rc1.1",
    "25.2.0",
    "25.2.3",
    "25.2.10",
    "25.6.rc1.b169",
    "25.6.rc1.b218",
    "25.7.rc1.6",
    "26.0.rc1",
    "26.1.0.b061",
]


def test_order() -> None:
    shuffled = ASCENDING[:]
    random.Random(7).shuffle(shuffled)
    assert [str(version) for version in sorted(map(Version, shuffled))] == ASCENDING
    for (i, left), (j, right) in itertools.product(enumerate(ASCENDING), repeat=2):
        assert compare(left, right) == (i > j) - (i < j)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("24.1.RC2", "24.1.rc2"),
        ("24.1", "24.1.0"),
        ("24.1", "24.1.0.0"),
        ("25.2.0", "v25.2.0"),
        (" 25.2.0\n", "25.2.0"),
        ("25.6.rc1.B169", "25.6.rc1.b169"),
        ("0.14.0rc2.dev119+g52aa9c006", "0.14.0rc2.dev119"),
        ("8.5.0.rc1", "8.5.0rc1"),
    ],
)
def test_spellings_of_one_version(left: str, right: str) -> None:
    assert Version(left) == Version(right)
    assert hash(Version(left)) == hash(Version(right))
    assert compare(left, right) == 0
    assert Version(left) >= Version(right)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("0.14.0rc2.dev119+g52aa9c006", "0.14.0rc2"),
        ("0.14.0rc1", "0.14.0rc2.dev1"),
        ("0.16.0rc2", "0.16.0"),
        ("2.9.0", "2.9.0.post1"),
        ("3.9.2", "3.11.1"),
        ("20.10.24+dfsg1", "26.1.3-ce"),
        ("24.1.9", "24.1.10"),
    ],
)
def test_versions_of_other_software(older: str, newer: str) -> None:
    assert compare(older, newer) == -1
    assert compare(newer, older) == 1


@pytest.mark.parametrize("text", ["xxx", "x.x.x", "", " ", "rc1", "25.2.x", "25.2.0 beta", "-1", "25..2", "None"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="not a version number"):
        Version(text)
    assert Version.parse(text) is None
    assert compare(text, "0.1") == -1
    assert compare("0.1", text) == 1
    assert compare(text, text.upper()) == 0
    assert not matches(text, "25.X")


def test_parse_takes_anything() -> None:
    assert Version.parse(None) is None
    assert Version.parse(25.2) is None
    assert Version.parse("25.2") == Version("25.2.0")


@pytest.mark.parametrize(
    ("version", "pattern", "wanted"),
    [
        ("25.2.0", "25.2.X", True),
        ("25.2.3", "25.2.x", True),
        ("25.2.10.1", "25.2.*", True),
        ("25.3.RC1", "25.3.X", True),
        ("25.3.0.2", "25.3.X", True),
        ("25.0.rc1.1", "25.0.X", True),
        ("25.2.0.b030", "25.2.X", True),
        ("25.20.0", "25.2.X", False),
        ("25.3.0", "25.2.X", False),
        ("24.1.0", "25.2.X", False),
        ("26.0.rc1", "26.x", True),
        ("26.1.0", "26.x", True),
        ("25.9.9", "26.x", False),
        ("25", "25.0.X", True),
        ("1.2.3", "X", True),
        ("25.2.0", "25.2.0", True),
        ("25.2", "25.2.0", True),
        ("25.2.1", "25.2.0", False),
        ("21.0.4.B030", "21.0.4", True),
        ("21.0.4.1", "21.0.4", False),
        ("24.1.rc3.7", "24.1.rc3.X", True),
        ("24.1.rc3", "24.1.RC3.X", True),
        ("24.1.0", "24.1.rc3.X", False),
        ("V100R001C25SPC001B212", "100.X", False),
    ],
)
def test_matches(version: str, pattern: str, wanted: bool) -> None:
    assert Version(version).matches(pattern) is wanted
    assert matches(version, pattern) is wanted


@pytest.mark.parametrize("pattern", ["25.X.0", "X.2.X", "abc"])
def test_bad_pattern(pattern: str) -> None:
    with pytest.raises(ValueError):
        Version("25.2.0").matches(pattern)


def test_parts_of_a_version() -> None:
    assert Version("25.6.rc1.b169").build == 169
    assert Version("25.6.rc1").build is None
    assert Version("21.0.4").same_release(Version("21.0.4.B030"))
    assert not Version("21.0.4").same_release(Version("21.0.4.1"))
    assert str(Version("24.1.RC2")) == "24.1.RC2"
    assert repr(Version("24.1.RC2")) == "Version('24.1.RC2')"
    assert Version("1.0") != "1.0"
    with pytest.raises(TypeError):
        assert Version("1.0") < "1.0"  # type: ignore[operator]
