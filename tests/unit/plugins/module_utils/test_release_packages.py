# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of driver and firmware in a release, and what mirrors hold of them."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import mirrors
from ansible_collections.ascend.fleet.plugins.module_utils._release import packages, schema
from ansible_collections.ascend.fleet.plugins.module_utils._release.problems import ReleaseError
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

SHIPPED = _releases.SHIPPED / "qwen3_5_27b_v0.yml"
PATH = "hdk/Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.run"


def raw():
    return json.loads(json.dumps(yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))))


def package(**more):
    return {"generation": "a2", "architecture": "aarch64", "path": PATH, "sha256": "a" * 64, **more}


def release(*found, kind="driver"):
    data = raw()
    data[kind]["packages"] = list(found)
    return data


def problems(data):
    with pytest.raises(ReleaseError) as caught:
        schema.validate(data, name="qwen3_5_27b_v0")
    return ["%s %s" % (p.path, p.needed) for p in caught.value.problems]


def test_a_release_without_packages_stays_as_it_was():
    # What it says is hashed: a new key would make another deployment of every release.
    assert schema.validate(raw())["driver"] == {"version": "25.2.0"}


def test_what_is_left_out_has_a_default():
    [found] = schema.validate(release(package()))["driver"]["packages"]
    assert found == {**package(), "repository": None, "revision": "main", "size_bytes": None}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"generation": "a9"}, "driver.packages[0].generation one of: a2, a3"),
        ({"architecture": "riscv"}, "driver.packages[0].architecture one of: any, aarch64, x86_64"),
        ({"sha256": None}, "driver.packages[0].sha256 64 hexadecimal digits: what is flashed is pinned"),
        ({"path": "../x.run"}, "driver.packages[0].path the path of a package"),
        ({"path": "x.tar"}, "driver.packages[0].path the path of a package"),
        ({"repository": "nowhere"}, "driver.packages[0].repository the URL of a git repository"),
        ({"version": "1"}, "driver.packages[0].version one of: architecture, generation"),
    ],
)
def test_mistakes(more, words):
    [found] = problems(release(package(**more)))
    assert found.startswith(words)


def test_two_for_one_host_are_one_too_many():
    [found] = problems(release(package(), package(path="other.run", architecture="any")))
    assert "one driver package per generation and architecture" in found
    schema.validate(release(package(), package(architecture="x86_64"), package(generation="a3")))


@pytest.mark.parametrize("value", [None, [], "x", {}])
def test_an_empty_list_is_a_mistake(value):
    data = raw()
    data["firmware"]["packages"] = value
    assert problems(data)


def test_the_one_of_the_hosts_architecture_comes_first():
    both = release(package(architecture="x86_64", path="x.run"), package())
    assert packages.select(both, "driver", "a2", "aarch64")["path"] == PATH
    assert packages.select(both, "driver", "a3", "aarch64") is None
    any_one = release(package(architecture="any"))
    assert packages.select(any_one, "driver", "a2", "x86_64")["architecture"] == "any"


def test_mirrors_hold_what_has_a_repository():
    url = "https://example.org/site/hdk.git"
    wanted = release(package(repository=url), package(architecture="x86_64", path="x.run", repository=url))
    wanted["firmware"]["packages"] = [package(path="f.run", architecture="any")]

    def names(*architectures):
        found = mirrors.requests([wanted], ["a2"], list(architectures), root="/m")
        return [r["name"] for r in found if r["name"].startswith("package ")]

    assert names() == ["package " + PATH.split("/")[1], "package x.run"]
    assert names("aarch64") == ["package " + PATH.split("/")[1]]
