# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a release: what is open, what a file may hold, what hosts must agree on."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._release import lock as _lock
from ansible_collections.ascend.fleet.plugins.module_utils._release.lock import Answer, LockError
from ansible_collections.ascend.fleet.plugins.module_utils._release.problems import ReleaseError
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

ONE, TWO = "1" * 40, "2" * 40
SHA, OTHER = "a" * 64, "b" * 64
ID = "sha256:" + "c" * 64
NAME = "qwen3_5_27b_v0"
A2, A3 = "image a2/any", "image a3/any"


@pytest.fixture
def release() -> dict[str, Any]:
    return _releases.load(_releases.SHIPPED / (NAME + ".yml"))


def archive(release: dict[str, Any], generation: str) -> str:
    return next(str(i["path"]) for i in release["images"] if i["generation"] == generation)


def answers(release: dict[str, Any]) -> dict[str, Answer]:
    return {
        A2: Answer(A2, "h1", ONE, {archive(release, "a2"): (SHA, 20)}),
        _lock.MODEL: Answer(_lock.MODEL, "h1", TWO, {"config.json": (SHA, 2), "w.safetensors": (OTHER, 30)}),
    }


@pytest.fixture
def lock(release: dict[str, Any]) -> dict[str, Any]:
    return _lock.extend(release, None, answers(release))


def test_the_shipped_release_leaves_images_and_model_open(release: dict[str, Any]) -> None:
    assert _lock.open_entries(release, None, {"a2": []}) == [A2, _lock.MODEL]
    assert _lock.open_entries(release, None, {"a2": [], "a3": []}) == [A2, A3, _lock.MODEL]


def test_what_is_pinned_is_not_open(release: dict[str, Any]) -> None:
    release["model"]["revision"] = ONE
    release["images"][0].update(revision=ONE, sha256=SHA, image_id=ID)
    assert _lock.open_entries(release, None, {"a2": [], "a3": []}) == [A3]
    release["images"][0]["image_id"] = None
    assert _lock.open_entries(release, None, {"a2": [], "a3": []}) == [A2, A3]


def test_a_lock_closes_what_it_holds_and_only_that(release: dict[str, Any], lock: dict[str, Any]) -> None:
    assert _lock.open_entries(release, lock, {"a2": []}) == []
    assert _lock.open_entries(release, lock, {"a2": [], "a3": []}) == [A3]


def test_a_locked_release_keeps_its_revision_and_gets_commit_and_hashes(
    release: dict[str, Any], lock: dict[str, Any]
) -> None:
    before = copy.deepcopy(release)
    merged = _lock.apply(release, lock)
    assert release == before
    a2, a3 = merged["images"]
    assert (a2["revision"], a2["commit"], a2["sha256"], a2["size_bytes"], a2["image_id"]) == (
        "main",
        ONE,
        SHA,
        20,
        None,
    )
    assert (a3["commit"], a3["sha256"]) == (None, None)
    assert (merged["model"]["revision"], merged["model"]["commit"]) == ("main", TWO)
    assert merged["model"]["files"]["w.safetensors"] == {"sha256": OTHER, "size_bytes": 30}
    alone = _lock.apply(release, None)
    assert (alone["model"]["commit"], alone["model"]["files"]) == (None, {})


def test_a_written_lock_is_read_as_it_was(lock: dict[str, Any]) -> None:
    assert _lock.validate(lock, name=NAME, where="x") == lock


def test_every_mistake_of_a_lock_is_listed(lock: dict[str, Any]) -> None:
    lock.update(version=2, release="other", surprise=1)
    lock["images"].append(dict(lock["images"][0]))
    lock["images"][0].update(commit="main", sha256="xyz", size_bytes=-1, image_id="latest")
    lock["model"].update(commit=7, files={"../up": {"sha256": SHA, "size_bytes": 1}, "a": {"sha256": 1}})
    with pytest.raises(ReleaseError) as caught:
        _lock.validate(lock, name=NAME, where="lock file x")
    wanted = {
        "version", "release", "surprise", "images[1].generation", "images[0].commit", "images[0].sha256",
        "images[0].size_bytes", "images[0].image_id", "model.commit", "model.files.../up", "model.files.a.sha256",
        "model.files.a.size_bytes",
    }  # fmt: skip
    assert {p.path for p in caught.value.problems} == wanted
    assert str(caught.value).startswith("lock file x: 12 mistakes")


@pytest.mark.parametrize("data", [None, [], "text", {}, {"version": 1, "release": NAME, "model": []}])
def test_what_is_no_lock_is_refused(data: Any) -> None:
    with pytest.raises(ReleaseError):
        _lock.validate(data, name=NAME, where="x")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("images", "repository", "https://elsewhere.example/a/b.git"),
        ("images", "revision", "v2"),
        ("images", "path", "other.tar"),
        ("images", "sha256", OTHER),
        ("model", "repository", "https://elsewhere.example/a/b.git"),
        ("model", "revision", "v2"),
        ("model", "include", ["*.json"]),
    ],
)
def test_a_release_that_changed_since_is_named(
    release: dict[str, Any], lock: dict[str, Any], part: str, key: str, value: Any
) -> None:
    assert _lock.mismatches(release, lock) == []
    (release["images"][0] if part == "images" else release["model"])[key] = value
    (problem,) = _lock.mismatches(release, lock)
    assert problem.path.endswith(": " + key)
    assert "as in the release" in problem.needed


def test_hosts_that_agree_give_one_answer(release: dict[str, Any]) -> None:
    one = answers(release)[A2]
    two = Answer(A2, "h2", one.commit, one.files, ID)
    found = _lock.agree([one, two])[A2]
    assert (found.commit, found.files, found.image_id) == (one.commit, one.files, ID)


def test_hosts_that_differ_are_named_with_what_they_hold(release: dict[str, Any]) -> None:
    one = answers(release)[A2]
    others = [Answer(A2, host, TWO, {archive(release, "a2"): (OTHER, 20)}) for host in ("h2", "h3")]
    with pytest.raises(LockError) as caught:
        _lock.agree([one, *others])
    for words in (A2, "commit %s with sha256 %s on h1" % (ONE, SHA), "on h2, h3", "Fix: "):
        assert words in str(caught.value)


def test_hosts_that_serve_different_images_of_one_archive_are_named(release: dict[str, Any]) -> None:
    one = answers(release)[A2]
    mixed = [Answer(A2, "h%d" % n, one.commit, one.files, "sha256:%064d" % n) for n in (1, 2)]
    with pytest.raises(LockError, match=r"image ID.*on h1; sha256:.*on h2"):
        _lock.agree(mixed)


def test_what_is_locked_stays_when_something_is_added(release: dict[str, Any], lock: dict[str, Any]) -> None:
    later = {
        A2: Answer(A2, "h9", TWO, {archive(release, "a2"): (OTHER, 1)}),
        A3: Answer(A3, "h9", ONE, {archive(release, "a3"): (OTHER, 1)}),
    }
    made = _lock.extend(release, lock, later)
    assert [i["generation"] for i in made["images"]] == ["a2", "a3"]
    assert made["images"][0] == lock["images"][0]
    assert made["model"] == lock["model"]


def test_a_source_without_the_archive_makes_no_lock(release: dict[str, Any]) -> None:
    with pytest.raises(LockError, match="correct the path"):
        _lock.extend(release, None, {A2: Answer(A2, "h1", ONE, {"other.tar": (SHA, 1)})})


def test_one_branch_has_one_commit(release: dict[str, Any], lock: dict[str, Any]) -> None:
    image = release["images"][1]
    assert _lock.commit_of(lock, image["repository"], image["revision"]) == ONE
    assert _lock.commit_of(lock, image["repository"], "v2") is None
    assert _lock.commit_of(None, image["repository"], image["revision"]) is None


def test_the_first_loaded_image_is_what_all_are_held_to(lock: dict[str, Any]) -> None:
    made = _lock.add_image_ids(lock, {A2: {"h1": ID, "h2": ID}, A3: {"h3": ID}})
    assert made["images"][0]["image_id"] == ID
    assert lock["images"][0]["image_id"] is None
    assert _lock.add_image_ids(made, {A2: {"h3": ID}}) == made
    other = "sha256:" + "d" * 64
    with pytest.raises(LockError, match=r"h3.*needed %s, as the lock" % ID):
        _lock.add_image_ids(made, {A2: {"h3": other}})
    with pytest.raises(LockError, match=r"on h2.*as host h1"):
        _lock.add_image_ids(lock, {A2: {"h1": ID, "h2": other}})


def test_renewing_keeps_the_id_of_the_same_archive_only(release: dict[str, Any], lock: dict[str, Any]) -> None:
    former = _lock.add_image_ids(lock, {A2: {"h1": ID}})
    assert _lock.keep_image_ids(lock, former)["images"][0]["image_id"] == ID
    new = _lock.extend(release, None, {A2: Answer(A2, "h1", TWO, {archive(release, "a2"): (OTHER, 2)})})
    assert _lock.keep_image_ids(new, former)["images"][0]["image_id"] is None
    assert _lock.keep_image_ids(new, None) == new
