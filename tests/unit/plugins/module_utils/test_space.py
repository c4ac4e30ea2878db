# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host holds of the wanted revisions, and what it still has to download."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import space
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.presence import present_artifacts
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.state import Record, State, dump_state

GIB = 1024**3
IMAGES = "/r/repositories/images"
WEIGHTS = "/r/models/m"
WANTED: list[dict[str, Any]] = [
    {"folder": IMAGES, "revision": "main", "paths": ["i/a2.tar"]},
    {"folder": WEIGHTS, "revision": "main", "paths": ["*"]},
]


def request(size: int, *files: str, revision: str = "main", commit: str = "c" * 40) -> dict[str, Any]:
    return {"revision": revision, "commit": commit, "files": list(files), "bytes": size * GIB}


def folder(path: str, size: int, *requests: dict[str, Any]) -> dict[str, Any]:
    return {"folder": path, "bytes": size * GIB, "requests": list(requests)}


IMAGE = request(20, "i/a2.tar")
MODEL = request(54, "config.json")


@pytest.mark.parametrize(
    ("present", "sizes", "expected"),
    [
        pytest.param([], [], 80, id="nothing there, nothing known: what is configured"),
        pytest.param([folder(IMAGES, 20, IMAGE), folder(WEIGHTS, 54, MODEL)], [], 0, id="all complete"),
        pytest.param([folder(IMAGES, 20, IMAGE)], [], 60, id="the image complete"),
        pytest.param([folder(IMAGES, 21, request(21, "i/a3.tar"))], [], 80, id="the image of another generation"),
        pytest.param([folder(WEIGHTS, 54, request(54, "f", revision="v0"))], [], 80, id="an old revision there"),
        pytest.param([folder("/r/models/m@v0", 54, MODEL)], [], 80, id="an old revision in a folder of its own"),
        pytest.param([folder(WEIGHTS, 50)], [], 30, id="an interrupted download"),
        pytest.param([folder(WEIGHTS, 64, request(54, "f", revision="v0"))], [], 70, id="interrupted beside an old"),
        pytest.param([], [(0, 20), (1, 54)], 74, id="sizes known from another host"),
        pytest.param([folder(WEIGHTS, 50)], [(0, 20), (1, 54)], 24, id="sizes known, interrupted"),
        pytest.param([folder(IMAGES, 20, IMAGE)], [(1, 54)], 54, id="the size of what is missing known"),
        pytest.param([], [(1, 54)], 80, id="one size known is not enough"),
        pytest.param([folder(WEIGHTS, 90)], [], 0, id="more there than is configured"),
    ],
)
def test_what_is_still_to_come(present: list[dict[str, Any]], sizes: list[tuple[int, int]], expected: int) -> None:
    known: dict[Any, int] = {}
    for index, size in sizes:
        wanted = dict(WANTED[index], folder=WANTED[index]["folder"].replace("/r/", "/elsewhere/"))
        files = wanted["paths"] if index == 0 else ["config.json"]
        space.learn_sizes([wanted], [folder(wanted["folder"], size, request(size, *files))], known)
    assert space.bytes_to_download(WANTED, present, 80 * GIB, known) == expected * GIB


def test_a_revision_may_be_named_by_its_commit() -> None:
    commit = "c" * 40
    wanted = [dict(WANTED[0], revision=commit)]
    assert space.bytes_to_download(wanted, [folder(IMAGES, 20, IMAGE)], 80 * GIB, {}) == 0
    wanted = [dict(WANTED[0], revision="d" * 40)]
    assert space.bytes_to_download(wanted, [folder(IMAGES, 20, IMAGE)], 80 * GIB, {}) == 80 * GIB


def write_state(where: Path, names: dict[str, bytes], revision: str = "main") -> None:
    files = {}
    for name, content in names.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files[name] = Record("0" * 64, len(content), 0, 0, True)
    state = State(files)
    state.requests["k"] = {
        "revision": revision,
        "commit": "c" * 40,
        "files": dict.fromkeys(names, "0" * 64),
        "used_at": 0.0,
    }
    own = where / ".git" / "ascend-fleet"
    own.mkdir(parents=True)
    (own / "state.json").write_text(dump_state(state))


def test_the_records_of_a_host_are_read(tmp_path: Path) -> None:
    weights = tmp_path / "models" / "m"
    write_state(weights, {"a.bin": b"x" * 5000, "sub/b.bin": b"y" * 3000})
    os.link(weights / "a.bin", weights / ".git" / "object")
    (entry,) = present_artifacts(str(tmp_path))
    assert entry["folder"] == str(weights)
    assert entry["requests"] == [
        {"revision": "main", "commit": "c" * 40, "files": ["a.bin", "sub/b.bin"], "bytes": 8000}
    ]
    blocks = sum(p.lstat().st_blocks * 512 for p in weights.rglob("*") if p.is_file() and p.name != "object")
    assert entry["bytes"] == blocks, "a file with two links lies there once"


@pytest.mark.parametrize("damage", ["gone", "shorter"])
def test_a_request_whose_files_are_not_all_there_is_not_complete(tmp_path: Path, damage: str) -> None:
    weights = tmp_path / "models" / "m"
    write_state(weights, {"a.bin": b"x" * 5000})
    (weights / "a.bin").unlink() if damage == "gone" else (weights / "a.bin").write_bytes(b"x")
    assert present_artifacts(str(tmp_path))[0]["requests"] == []


def test_folders_that_are_not_ours_and_a_root_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "models" / "someones").mkdir(parents=True)
    (tmp_path / "models" / "file").write_text("")
    assert present_artifacts(str(tmp_path)) == []
    assert present_artifacts(str(tmp_path / "none")) == []


def test_what_is_wanted_follows_from_the_plan_of_the_download() -> None:
    plan = {
        "image": {"revision": "main", "path": "i/a2.tar"},
        "image_folder": IMAGES,
        "model": {"revision": "main", "include": ["*"], "identity": "A/m", "commit": "c" * 40},
        "weights": WEIGHTS,
        "former_weights": "/r/models/Model",
        "commit_weights": "/r/models/m@c",
        "left_out": [],
    }
    places = {"former_folder": "/r/models/Model", "commit_folder": "/r/models/m@c"}
    weights = dict(WANTED[1], **places, repository="A/m", commit="c" * 40)
    assert space.wanted_requests(plan) == [WANTED[0], weights]
    loaded = dict(plan, left_out=["key"], image=dict(plan["image"], size_bytes=20))
    assert space.wanted_requests(loaded) == [dict(WANTED[0], left_out=True, bytes=20), weights]


@pytest.mark.parametrize(
    ("size", "present", "sizes", "expected"),
    [
        pytest.param(20, [], [], 60, id="its size comes from the lock"),
        pytest.param(0, [], [], 80, id="its size is not known"),
        pytest.param(0, [], [0], 60, id="its size is known from another host"),
        pytest.param(20, [folder(IMAGES, 20, IMAGE)], [], 60, id="it is there nevertheless: counted once"),
        pytest.param(20, [], [1], 54, id="the size of the weights is known"),
        pytest.param(20, [folder(WEIGHTS, 54, MODEL)], [], 0, id="the weights complete"),
    ],
)
def test_an_archive_that_is_left_out_needs_no_room(
    size: int, present: list[dict[str, Any]], sizes: list[int], expected: int
) -> None:
    wanted = [dict(WANTED[0], left_out=True, bytes=size * GIB), WANTED[1]]
    known: dict[Any, int] = {}
    there = [folder(IMAGES, 20, IMAGE), folder(WEIGHTS, 54, MODEL)]
    space.learn_sizes([WANTED[i] for i in sizes], there, known)
    assert space.bytes_to_download(wanted, present, 80 * GIB, known) == expected * GIB


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        pytest.param([folder(WEIGHTS, 54, MODEL)], 80, id="another commit of the branch"),
        pytest.param([folder(WEIGHTS, 54, MODEL), folder("/r/models/m@d", 54, request(54, "f", commit="d" * 40))], 26,
                     id="beside another commit"),
        pytest.param([folder(WEIGHTS, 54, request(54, "f", commit="d" * 40))], 26, id="in the folder of the branch"),
    ],
)  # fmt: skip
def test_weights_of_another_commit_are_not_those_of_the_lock(present: list[dict[str, Any]], expected: int) -> None:
    wanted = [WANTED[0], dict(WANTED[1], commit="d" * 40, commit_folder="/r/models/m@d")]
    assert space.bytes_to_download(wanted, present, 80 * GIB, {}) == expected * GIB


@pytest.mark.parametrize(("repository", "expected"), [("A/m", 0), (None, 0), ("B/m", 80)])
def test_the_folder_of_version_0_1_counts_unless_it_is_another_repository_s(
    repository: str | None, expected: int
) -> None:
    wanted = [dict(WANTED[1], former_folder="/r/models/Model", repository="A/m")]
    former = dict(folder("/r/models/Model", 80, request(80, "config.json")), repository=repository)
    assert space.bytes_to_download(wanted, [former], 80 * GIB, {}) == expected * GIB
    assert space.bytes_to_download(wanted, [former, folder(WEIGHTS, 10)], 80 * GIB, {}) == 70 * GIB
