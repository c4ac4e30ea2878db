# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The origin of a simulated fleet: what it serves, and the archives of the engine."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import sys
import tarfile
from pathlib import Path

import pytest

SIM = Path(__file__).resolve().parents[2] / "sim"
sys.path.insert(0, str(SIM))

from fleetsim import images, origin
from fleetsim.shell import FleetError, run


def test_a_pointer_is_one_by_the_specification() -> None:
    assert origin.pointer("ab" * 32, 12) == (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 12\n"
    )


def test_shards_are_true_safetensors_and_the_index_points_into_them() -> None:
    files, index_text = origin.model_shards(count=3, rows=4, columns=8)
    index = json.loads(index_text)
    assert sorted(files) == ["model-0000%d-of-00003.safetensors" % number for number in (1, 2, 3)]
    assert set(index["weight_map"].values()) == set(files)
    total = 0
    for tensor, name in index["weight_map"].items():
        data = files[name]
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        start, end = header[tensor]["data_offsets"]
        assert header[tensor]["dtype"] == "BF16"
        assert end - start == 4 * 8 * 2
        assert 8 + length + end <= len(data)
        total += end - start
    assert total == index["metadata"]["total_size"]
    assert origin.model_shards(count=3, rows=4, columns=8)[0] == files  # the same every time


def test_the_weights_nobody_may_fetch_are_hundreds_of_gigabytes() -> None:
    absent = origin.absent_weights()
    assert len(absent) == 93
    assert sum(size for _oid, size in absent.values()) > 300e9
    assert all(re.fullmatch("[0-9a-f]{64}", oid) for oid, _size in absent.values())


def test_a_repository_of_the_origin_is_a_real_one(tmp_path: Path) -> None:
    store = origin.Store(tmp_path / "origin")
    source = tmp_path / "thing.tar"
    source.write_bytes(b"x" * 5000)
    first = store.add("Some-Org/thing", "folder/ein Bild.tar", source)
    assert first["oid"] == hashlib.sha256(b"x" * 5000).hexdigest()
    assert (tmp_path / "origin/lfs/Some-Org/thing" / str(first["oid"])).read_bytes() == source.read_bytes()
    plain = tmp_path / "notes.txt"
    plain.write_text("notes\n")
    second = store.add("/Some-Org/thing.git", "notes.txt", plain, plain=True)
    third = store.add("Some-Org/thing", "weights.pt", source)
    assert len({first["commit"], second["commit"], third["commit"]}) == 3
    assert store.show("Some-Org/thing", "folder/ein Bild.tar") == origin.pointer(str(first["oid"]), 5000)
    assert store.show("Some-Org/thing", "notes.txt") == b"notes\n"
    lines = store.show("Some-Org/thing", ".gitattributes").decode().splitlines()
    assert lines.count("weights.pt filter=lfs diff=lfs merge=lfs -text") == 1
    checkout = tmp_path / "clone"
    environment = {"GIT_LFS_SKIP_SMUDGE": "1"}
    run(["git", "clone", "-q", store.bare("Some-Org/thing"), checkout], env=environment)
    attribute = run(["git", "-C", checkout, "check-attr", "filter", "weights.pt", "folder/ein Bild.tar", "notes.txt"])
    assert attribute.stdout.decode().splitlines() == [
        "weights.pt: filter: lfs", "folder/ein Bild.tar: filter: lfs", "notes.txt: filter: unspecified",
    ]  # fmt: skip


@pytest.mark.parametrize("repository", ["thing", "../x/y z", "a//b", ""])
def test_only_owner_and_name_make_a_repository(tmp_path: Path, repository: str) -> None:
    source = tmp_path / "file"
    source.write_text("x")
    with pytest.raises(FleetError, match="is no OWNER/REPOSITORY"):
        origin.Store(tmp_path / "origin").add(repository, "file", source)


def test_the_guides_repositories_hold_what_the_guide_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "DUMMY_WEIGHT_BYTES", 4096)
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"archive")
    oid = hashlib.sha256(b"archive").hexdigest()
    store = origin.Store(tmp_path / "origin")
    dummy = origin.dummy_weight(tmp_path / "dummy.safetensors")
    for _round in range(2):  # made again, it is the same
        origin.fill(store, {origin.image_path("a2"): (archive, oid)}, dummy, images.FILES / "model")
        heads = {name: store.head(name) for name in (origin.IMAGE_REPOSITORY, origin.MODEL_REPOSITORY)}
    origin.fill(store, {origin.image_path("a2"): (archive, oid)}, dummy, images.FILES / "model")
    assert heads == {name: store.head(name) for name in heads}
    path = "vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar"
    assert store.show("Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp", path) == origin.pointer(oid, 7)
    assert json.loads(store.show("Qwen-AI/Qwen3.5-27B", "config.json"))["model_type"] == "qwen3_5"
    assert store.show("Qwen-AI/Qwen3.5-27B", "model-00004-of-00004.safetensors").startswith(b"version https://git-lfs")


def test_an_archive_of_another_architecture_is_one_docker_can_load(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hostname").write_text("engine\n")
    target = tmp_path / "image.tar"
    config = {"Entrypoint": ["/entrypoint.sh"], "WorkingDir": "/vllm-workspace"}
    images.write_archive(tree, "vllm-ascend:test", config, "aarch64", target, tmp_path / "log")
    run(["tar", "-xf", target, "-C", tmp_path])
    with tarfile.open(target) as archive:
        read = {name: (tmp_path / name).read_bytes() for name in archive.getnames()}
    manifest = json.loads(read["manifest.json"])[0]
    assert manifest["RepoTags"] == ["vllm-ascend:test"]
    document = json.loads(read[manifest["Config"]])
    assert document["architecture"] == "arm64"
    assert document["config"]["WorkingDir"] == "/vllm-workspace"
    layer = read[manifest["Layers"][0]]
    assert document["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    assert images.image_id(target) == "sha256:" + manifest["Config"].removesuffix(".json")
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        assert "./etc/hostname" in inner.getnames()


def test_an_image_configuration_as_changes_of_docker_import() -> None:
    config = {
        "Env": ["PATH=/usr/bin:/bin", "NAME=a value"], "WorkingDir": "/vllm-workspace",
        "Entrypoint": ["/e.sh"], "Cmd": ["bash", "-l"], "Labels": {"k": "v"},
    }  # fmt: skip
    assert images.docker_changes(config) == [
        'ENV PATH="/usr/bin:/bin"', 'ENV NAME="a value"', 'LABEL "k"="v"', "WORKDIR /vllm-workspace",
        'ENTRYPOINT ["/e.sh"]', 'CMD ["bash", "-l"]',
    ]  # fmt: skip
