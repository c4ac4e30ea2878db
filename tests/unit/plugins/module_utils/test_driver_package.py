# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages as the simulator builds them, read without running them."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._driver import package

ROOT = Path(__file__).resolve().parents[4]
if not (ROOT / "tests" / "sim" / "silicon").is_dir():
    pytest.skip("the simulator is not here", allow_module_level=True)
sys.path.insert(0, str(ROOT / "tests" / "sim" / "silicon"))

import build_package


def built(folder, *args, name=None, **more):
    wanted = build_package.Wanted(*args, **more)
    path = folder / (name or build_package.file_name(wanted))
    path.write_bytes(build_package.package(wanted))
    return path


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("driver", "25.5.0"), ("driver", "a2", "aarch64", "25.5.0", "25.5.0", "25.5.0")),
        (("driver", "25.5.0", "a3", "aarch64"), ("driver", "a3", "aarch64", "25.5.0", "25.5.0", "25.5.0")),
        (
            ("driver", "25.0.rc1.1", "a2", "x86_64"),
            ("driver", "a2", "x86_64", "25.0.rc1.1", "25.0.rc1.1", "25.0.rc1.1"),
        ),
        (("firmware", "25.5.0"), ("firmware", "a2", None, "7.8.0.5.201", "25.5.0", "25.5.0")),
        (("driver", "25.5.0", "a9"), ("driver", "other", "aarch64", "25.5.0", "25.5.0", "25.5.0")),
    ],
)
def test_a_package_is_read(tmp_path, args, expected):
    path = built(tmp_path, *args)
    found = package.read(str(path))
    keys = ("kind", "generation", "architecture", "version", "package_version", "release_version")
    assert tuple(found.described()[key] for key in keys) == expected
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.size_bytes == path.stat().st_size


def test_the_name_of_the_file_need_not_say_anything(tmp_path):
    found = package.read(str(built(tmp_path, "driver", "25.5.0", name="driver.run")))
    assert (found.kind, found.generation, found.architecture, found.version) == ("driver", "a2", "aarch64", "25.5.0")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-20], "an archive of"),
        (lambda data: data + b"x", "an archive of"),
        (lambda data: data[:200], "no header of Makeself"),
        (lambda data: b"PK" + data, "no header of Makeself"),
        (lambda data: data.replace(b'skip="', b'skip="9'), "ends before its line"),
        (lambda data: data.replace(b'filesizes="', b'filesizes="x'), "filesizes="),
        (lambda data: b"", "no header of Makeself"),
    ],
)
def test_a_damaged_package_is_named(tmp_path, damage, words):
    path = built(tmp_path, "driver", "25.5.0")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(package.PackageError, match=words) as told:
        package.read(str(path))
    assert str(path) in str(told.value)
    assert "Fix: fetch it again" in str(told.value)


def test_one_other_byte_is_found_by_the_sum_in_the_header(tmp_path):
    with pytest.raises(package.PackageError, match="an archive of sha256"):
        package.read(str(built(tmp_path, "driver", "25.5.0", fault="corrupt")))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "Ascend-hdk-910b-npu-driver_25.2.0_linux-aarch64.run",
            "the version 25.2.0 in its name and the version 25.5.0",
        ),
        ("Ascend-hdk-910b-npu-driver_25.5.0_linux-x86-64.run", "the architecture x86_64 in its name"),
        ("Atlas-A3-hdk-npu-driver_25.5.0_linux-aarch64.run", "the product Atlas-A3-hdk in its name"),
        ("Ascend-hdk-910b-npu-firmware_25.5.0.run", "the kind firmware in its name"),
    ],
)
def test_a_package_under_anothers_name_is_refused(tmp_path, name, words):
    with pytest.raises(package.PackageError, match=words):
        package.read(str(built(tmp_path, "driver", "25.5.0", name=name)))


@pytest.mark.parametrize(
    ("product", "generation"),
    [
        ("Ascend-hdk-910b", "a2"),
        ("Atlas-A2-hdk", "a2"),
        ("Atlas-A3-hdk", "a3"),
        ("Ascend-hdk-910_93", "a3"),
        ("Ascend-hdk-310p", "other"),
        ("A800-9010", "other"),
        ("Ascend-hdk-910", "other"),
    ],
)
def test_products(product, generation):
    assert package.generation_of(product) == generation


def test_a_package_that_does_not_say_what_it_is(tmp_path):
    path = built(tmp_path, "driver", "25.5.0", name="x.run")
    data = path.read_bytes()
    line = next(line for line in data.splitlines() if line.startswith(b"label="))
    path.write_bytes(data.replace(line, b'label="ASCEND RUN PACKAGE"'))
    found = package.read(str(path))
    # Its archive does, but not for which cards.
    assert (found.kind, found.version, found.architecture, found.generation) == ("driver", "25.5.0", "aarch64", None)
