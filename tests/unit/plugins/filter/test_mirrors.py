# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks which mirror, and what a mirror holds: exactly what hosts ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.filter.artifact_requests import artifact_requests
from ansible_collections.ascend.fleet.plugins.filter.artifact_sources import artifact_sources
from ansible_collections.ascend.fleet.plugins.filter.artifact_trackers import artifact_trackers
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import mirrors, names
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import plan as _release_select

ROOT = Path(__file__).resolve().parents[4]
HOSTVARS = {
    "m1": {"ansible_host": "192.0.2.5", "artifact_mirror_port": 9000},
    "m2": {"ansible_host": "2001:db8::5", "artifact_mirror_tracker_port": 7000},
    "m3": {"artifact_mirror_url": "https://mirror.example/fleet/", "artifact_mirror_root": "/srv/m/"},
}
URLS = ["http://192.0.2.5:9000", "http://[2001:db8::5]:8008", "https://mirror.example/fleet"]
RELEASE: dict[str, Any] = {
    "release": "r",
    "images": [
        {"generation": "a2", "architecture": "aarch64", "repository": "https://h/A/i.git", "path": "x/a2.tar"},
        {"generation": "a2", "architecture": "x86_64", "repository": "https://h/A/i.git", "path": "x/a2-x86.tar"},
        {"generation": "a3", "repository": "https://h/A/i.git", "path": "x/a3.tar", "sha256": "ab", "revision": "v1"},
    ],
    "model": {"name": "M", "repository": "https://h/A/m.git", "include": ["*"], "exclude": ["*.png"]},
}


@pytest.mark.parametrize(
    ("host", "hosts", "expected"),
    [
        ("a", ["a", "b", "c", "d"], URLS),
        ("b", ["a", "b", "c", "d"], URLS[1:] + URLS[:1]),
        ("d", ["a", "b", "c", "d"], URLS),
        ("stranger", [], URLS),
        ("m3", ["m3"], ["/srv/m/store", *URLS[:2]]),
    ],
)
def test_hosts_are_spread_over_the_mirrors(host: str, hosts: list[str], expected: list[str]) -> None:
    assert artifact_sources(["m1", "m2", "m3"], HOSTVARS, host, hosts) == expected


@pytest.mark.parametrize(("hosts", "least", "share"), [(5, 5, True), (4, 5, False), (50, 0, False), (1, 1, True)])
def test_hosts_share_from_a_number_on_and_all_ask_the_same_trackers(hosts: int, least: int, share: bool) -> None:
    variables = {**HOSTVARS, "m4": {"artifact_mirror_tracker_url": "https://t.example/announce"}}
    names = ["host-%d" % n for n in range(hosts)]
    expected = [
        "http://192.0.2.5:6969/announce",
        "http://[2001:db8::5]:7000/announce",
        "http://m3:6969/announce",
        "https://t.example/announce",
    ]
    assert artifact_trackers(["m1", "m2", "m3", "m4"], variables, names, least) == (expected if share else [])
    assert artifact_trackers([], {}, names, least) == []


def test_a_mirror_with_a_certificate_is_asked_over_tls() -> None:
    variables = {"m": {"ansible_host": "192.0.2.5", "artifact_mirror_certificate": "/etc/mirror.pem"}}
    assert artifact_sources(["m"], variables, "a") == ["https://192.0.2.5:8008"]


def test_a_mirror_asks_those_before_it() -> None:
    assert artifact_sources(["m1", "m2"], HOSTVARS, "m1", earlier=True) == []
    assert artifact_sources(["m1", "m2"], HOSTVARS, "m2", earlier=True) == URLS[:1]
    assert artifact_sources([], {}, "a") == []


@pytest.mark.parametrize(
    ("generations", "architectures", "paths"),
    [
        (["a2", "a3"], [], ["x/a2.tar", "x/a2-x86.tar", "x/a3.tar", "*"]),
        (["a2"], ["x86_64"], ["x/a2-x86.tar", "*"]),
        (["a3"], ["aarch64"], ["x/a3.tar", "*"]),
    ],
)
def test_a_mirror_holds_each_thing_once(generations: list[str], architectures: list[str], paths: list[str]) -> None:
    found = artifact_requests([RELEASE, RELEASE], generations, architectures, root="/r")
    assert [path for request in found for path in request["paths"]] == paths


def test_a_mirror_holds_what_hosts_ask_for() -> None:
    """The manifest's key is made of the request: a mirror must ask for the very same as a host."""

    def key(identity: str, revision: str, paths: list[str], exclude: list[str]) -> str:
        found: str = names.request_key(identity, revision, paths, exclude)
        return found

    held = {
        key(r["identity"], r["revision"], r["paths"], r["exclude"])
        for r in artifact_requests([RELEASE], ["a2", "a3"], root="/r", origin="http://origin:8080/prefix")
    }
    for generation, architecture in (("a2", "aarch64"), ("a2", "x86_64"), ("a3", "aarch64")):
        plan = _release_select.artifact_plan(RELEASE, generation=generation, architecture=architecture, root="/h")
        assert key(plan["image"]["identity"], plan["image"]["revision"], [plan["image"]["path"]], []) in held
        model = plan["model"]
        assert key(model["identity"], model["revision"], model["include"], model["exclude"]) in held


def test_the_role_s_defaults_are_those_that_hosts_assume() -> None:
    file = ROOT / "roles" / "artifact_mirror" / "defaults" / "main.yml"
    defaults = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert defaults["artifact_mirror_port"] == mirrors.DEFAULT_PORT
    assert defaults["artifact_mirror_root"] == mirrors.DEFAULT_ROOT


def test_an_archive_that_the_lock_leaves_out_is_fetched_only_where_its_architecture_is_named() -> None:
    image = dict(RELEASE["images"][0], architecture="x86_64", path="x86.tar")
    release = dict(RELEASE, images=[dict(image, architecture="aarch64", path="arm.tar"), dict(image, unused=True)])

    def archives(architectures: list[str]) -> list[str]:
        found = artifact_requests([release], [image["generation"]], architectures, root="/r")
        return [path for request in found for path in request["paths"] if path.endswith(".tar")]

    assert archives([]) == ["arm.tar"]
    assert archives(["x86_64"]) == ["x86.tar"]
