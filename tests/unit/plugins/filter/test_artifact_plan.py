# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a release concerns one host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.ascend.fleet.plugins.filter.artifact_plan import FilterModule
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import mirrors, names
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import plan as _release_select

REPOSITORY = "https://modelers.cn/Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp.git"


def image(generation: str, architecture: str, **more: Any) -> dict[str, Any]:
    return {
        "generation": generation,
        "architecture": architecture,
        "repository": REPOSITORY,
        "path": "vllm-image/%s.tar" % generation,
        "tag": "%s-%s" % (generation, architecture),
        **more,
    }


RELEASE: dict[str, Any] = {
    "release": "r",
    "images": [image("a2", "any"), image("a2", "x86_64", sha256="ab"), image("a3", "aarch64")],
    "model": {"name": "Qwen3.5-27B", "repository": "https://modelers.cn/Qwen-AI/Qwen3.5-27B.git", "revision": "main"},
}
plan = FilterModule().filters()["artifact_plan"]


@pytest.mark.parametrize(
    ("generation", "architecture", "tag"),
    [
        ("a2", "x86_64", "a2-x86_64"),
        ("a2", "aarch64", "a2-any"),
        ("a2", None, "a2-any"),
        ("a3", "aarch64", "a3-aarch64"),
    ],
)
def test_select_image(generation: str, architecture: str | None, tag: str) -> None:
    assert _release_select.select_image(RELEASE, generation, architecture)["tag"] == tag


@pytest.mark.parametrize(
    ("generation", "architecture", "words"),
    [
        ("a3", "x86_64", "no image for generation a3 on x86_64; it has a2/any, a2/x86_64, a3/aarch64"),
        ("a3", "", "an architecture that is not known yet"),
        ("a5", "aarch64", "generation a5"),
    ],
)
def test_no_image_says_which_there_are(generation: str, architecture: str, words: str) -> None:
    with pytest.raises(AnsibleFilterError, match="release r has no image") as caught:
        plan(RELEASE, generation=generation, architecture=architecture)
    assert words in str(caught.value)


def test_plan() -> None:
    found = plan(RELEASE, generation="a2", architecture="x86_64", root="/data", origin="http://mirror:8080")
    assert found["image"]["repository"] == "http://mirror:8080/Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp.git"
    assert found["image_archive"] == ("/data/repositories/Eco-Tech--Qwen3.5-397B-A17B-w8a8-mtp/vllm-image/a2.tar")
    assert found["image_checksums"] == {"vllm-image/a2.tar": "ab"}
    assert found["weights"] == "/data/models/Qwen-AI--Qwen3.5-27B"
    assert found["former_weights"] == "/data/models/Qwen3.5-27B"
    assert found["commit_weights"] == ""
    locked = plan(
        {**RELEASE, "model": {**RELEASE["model"], "commit": "c" * 40}}, generation="a2", architecture="x86_64"
    )
    assert locked["commit_weights"] == locked["weights"] + "@cccccccccccc"
    assert locked["model"]["commit"] == "c" * 40
    assert found["model"] == {
        "name": "Qwen3.5-27B",
        "repository": "http://mirror:8080/Qwen-AI/Qwen3.5-27B.git",
        "identity": "Qwen-AI/Qwen3.5-27B",
        "revision": "main",
        "commit": "",
        "include": ["*"],
        "exclude": [],
    }


PINNED = dict(RELEASE, images=[image("a2", "any", image_id="sha256:pinned")])


@pytest.mark.parametrize(
    ("release", "store", "images", "needed"),
    [
        pytest.param(PINNED, "docker", {"sha256:pinned": ["a2-any"]}, False, id="its tag"),
        pytest.param(PINNED, "docker", {"sha256:pinned": ["mine:1"]}, False, id="another tag"),
        pytest.param(PINNED, "docker", {"sha256:pinned": []}, False, id="no tag"),
        pytest.param(PINNED, "docker", {"sha256:other": ["a2-any"]}, True, id="its tag, another ID"),
        pytest.param(PINNED, "docker", {}, True, id="nothing loaded"),
        pytest.param(PINNED, "containerd", {"sha256:pinned": ["a2-any"]}, True, id="a store with IDs of its own"),
        pytest.param(RELEASE, "docker", {"sha256:pinned": ["a2-any"]}, True, id="no ID pinned"),
    ],
)
def test_the_archive_of_an_image_that_docker_has_by_its_pinned_id_is_left_out(
    release: dict[str, Any], store: str, images: dict[str, list[str]], needed: bool
) -> None:
    docker = {"image_store": store, "images": [{"id": i, "tags": tags} for i, tags in images.items()]}
    without, found = (plan(release, generation="a2", architecture="aarch64", docker=d) for d in (None, docker))
    archive, weights = without["requests"]
    assert found["requests"] == ([archive, weights] if needed else [weights])
    key = names.request_key(archive["identity"], archive["revision"], archive["paths"], archive["exclude"])
    assert found["left_out"] == ([] if needed else [key])
    rest = {name: value for name, value in found.items() if name not in ("requests", "left_out")}
    assert rest == {name: without[name] for name in rest}


def test_what_the_lock_holds_goes_with_the_requests() -> None:
    files = {"config.json": {"sha256": "cd", "size_bytes": 2}}
    image = dict(RELEASE["images"][0], commit="1" * 40)
    locked = dict(RELEASE, images=[image], model=dict(RELEASE["model"], commit="2" * 40, files=files))
    archive, weights = plan(locked, generation=image["generation"], architecture=image["architecture"])["requests"]
    assert (archive["commit"], weights["commit"], weights["checksums"]) == ("1" * 40, "2" * 40, {"config.json": "cd"})
    assert (archive["revision"], weights["revision"]) == ("main", "main")  # the names of folders and requests stay
    assert not [r for r in plan(RELEASE, generation="a2", architecture="x86_64")["requests"] if "commit" in r]


def test_two_revisions_never_share_a_folder() -> None:
    other = dict(RELEASE, model=dict(RELEASE["model"], revision="v2"))
    assert plan(other, generation="a2")["weights"] == "/var/lib/ascend-fleet/models/Qwen-AI--Qwen3.5-27B@v2"
    assert plan(RELEASE, generation="a2")["weights"] == "/var/lib/ascend-fleet/models/Qwen-AI--Qwen3.5-27B"


def test_an_origin_without_a_scheme_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="artifact_origin"):
        plan(RELEASE, generation="a2", origin="mirror.example")


def test_the_requests_of_a_host_carry_its_options_and_leave_out_empty_ones() -> None:
    options = {"sources": ["http://m:8008"], "ca_path": "", "trackers": [], "refresh": False, "timeout": 60}
    found = plan(RELEASE, generation="a2", architecture="x86_64", root="/data", options=options)
    archive, weights = found["requests"]
    assert (archive["dest"], weights["dest"]) == (found["image_folder"], found["weights"])
    assert archive["checksums"] == {"vllm-image/a2.tar": "ab"}
    assert (archive["layout"], weights["layout"]) == ("files", "model")
    for request in (archive, weights):
        assert (request["sources"], request["refresh"], request["timeout"]) == (["http://m:8008"], False, 60)
        assert not {"ca_path", "trackers"} & set(request)


def test_a_mirror_is_filled_with_the_very_requests_of_its_hosts() -> None:
    """One plan: where both have the same root, not even a folder differs."""
    of_host = plan(RELEASE, generation="a3", architecture="aarch64", root="/data")["requests"]
    of_mirror = mirrors.requests([RELEASE], ["a3"], ["aarch64"], root="/data")
    assert all(request in of_mirror for request in of_host)
