# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives as docker 20.10, docker 25 and OCI tools write them; whole, cut, damaged and of something else."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Sequence

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._images import archive as _image_archive
from ansible_collections.ascend.fleet.plugins.module_utils._images.archive import ArchivedImage, ArchiveError

TAG = "vllm-ascend:qwen3_5-v0-a2"


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


LAYERS = (b"layer one" * 3000, b"layer two" * 9000)


def config_of(architecture: str = "arm64", layers: Sequence[bytes] = LAYERS) -> bytes:
    return dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2026-02-11T08:30:00.123456789Z",
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(layer) for layer in layers]},
        }
    )


def write_tar(path: Path, members: list[tuple[str, bytes]], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.SYMTYPE
            info.linkname = target
            archive.addfile(info)
    return path


def docker_20(path: Path, architecture: str = "arm64", tags: list[str] | None = None) -> Path:
    """What docker 20.10 saves: a folder for each layer, the configuration under its hash, manifest.json at the end."""
    config = config_of(architecture)
    members = [("%064d/layer.tar" % n, layer) for n, layer in enumerate(LAYERS)]
    members += [("%064d/VERSION" % n, b"1.0") for n in range(2)]
    entry = {
        "Config": digest(config) + ".json",
        "RepoTags": [TAG] if tags is None else tags,
        "Layers": [name for name, _content in members[:2]],
    }
    members += [(digest(config) + ".json", config), ("manifest.json", dumps([entry])), ("repositories", b"{}")]
    return write_tar(path, members)


def oci_members(architecture: str = "arm64", tag: str = "docker.io/library/" + TAG) -> list[tuple[str, bytes]]:
    config = config_of(architecture)
    manifest = dumps(
        {
            "schemaVersion": 2,
            "config": {"digest": "sha256:" + digest(config), "size": len(config)},
            "layers": [{"digest": "sha256:" + digest(layer), "size": len(layer)} for layer in LAYERS],
        }
    )
    index = dumps(
        {
            "schemaVersion": 2,
            "manifests": [{"digest": "sha256:" + digest(manifest), "annotations": {"io.containerd.image.name": tag}}],
        }
    )
    blobs = [("blobs/sha256/" + digest(content), content) for content in (*LAYERS, config, manifest)]
    return [*blobs, ("index.json", index), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]


def docker_25(path: Path, architecture: str = "arm64") -> Path:
    """What docker 25 and later save: an OCI layout with manifest.json beside it."""
    members = oci_members(architecture)
    config = config_of(architecture)
    entry = {
        "Config": "blobs/sha256/" + digest(config),
        "RepoTags": [TAG],
        "Layers": ["blobs/sha256/" + digest(layer) for layer in LAYERS],
    }
    return write_tar(path, [*members, ("manifest.json", dumps([entry]))])


def oci(path: Path, architecture: str = "arm64") -> Path:
    return write_tar(path, oci_members(architecture))


@pytest.mark.parametrize("write", [docker_20, docker_25, oci])
@pytest.mark.parametrize(("architecture", "machine"), [("arm64", "aarch64"), ("amd64", "x86_64")])
def test_reads_what_docker_and_oci_tools_write(tmp_path: Path, write: Any, architecture: str, machine: str) -> None:
    (image,) = _image_archive.read_archive(str(write(tmp_path / "a.tar", architecture)))
    assert image.config_digest == "sha256:" + digest(config_of(architecture))
    assert (image.architecture, image.machine, image.os) == (architecture, machine, "linux")
    assert image.tags == (TAG,)
    assert image.diff_ids == tuple("sha256:" + digest(layer) for layer in LAYERS)
    assert image.layer_bytes == sum(len(layer) for layer in LAYERS)
    assert bool(image.manifest_digests) == (write is not docker_20)


@pytest.mark.parametrize("compression", ["gzip", "xz", "bzip2", "zstd"])
def test_reads_compressed_archives(tmp_path: Path, compression: str) -> None:
    plain = docker_20(tmp_path / "a.tar").read_bytes()
    path = tmp_path / "a.tar.z"
    if compression == "zstd":
        if shutil.which("zstd") is None:
            pytest.skip("zstd is not installed")
        path.write_bytes(subprocess.run(["zstd", "-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout)
    else:
        path.write_bytes({"gzip": gzip, "xz": lzma, "bzip2": bz2}[compression].compress(plain))
    (image,) = _image_archive.read_archive(str(path))
    assert image.tags == (TAG,)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ArchiveError, match="not a whole tar archive"):
        _image_archive.read_archive(str(path))


def test_zstd_without_the_program_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"\x28\xb5\x2f\xfd....")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ArchiveError, match="Install the package zstd"):
        _image_archive.read_archive(str(tmp_path / "a"))


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.9, 0.97, 0.999])
def test_a_cut_archive_is_refused(tmp_path: Path, part: float) -> None:
    path = docker_20(tmp_path / "a.tar")
    with tarfile.open(path) as archive:
        end = archive.getmembers()[-1].offset_data + 512
    with path.open("r+b") as handle:
        handle.truncate(int(end * part))
    with pytest.raises(ArchiveError, match="Download it again"):
        _image_archive.read_archive(str(path))


def test_an_archive_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    path = docker_20(tmp_path / "a.tar")
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
    with path.open("r+b") as handle:
        handle.truncate(last.offset)
    with pytest.raises(ArchiveError, match="it was cut"):
        _image_archive.read_archive(str(path))


def test_reading_a_plain_archive_does_not_read_its_layers(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    size = 3 * 1024**3
    config = config_of()
    entry = {"Config": digest(config) + ".json", "RepoTags": [TAG], "Layers": ["l/layer.tar"]}
    tail = io.BytesIO()
    with tarfile.open(fileobj=tail, mode="w") as archive:
        for name, content in ((digest(config) + ".json", config), ("manifest.json", dumps([entry]))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    layer = tarfile.TarInfo("l/layer.tar")
    layer.size = size
    with path.open("wb") as handle:  # a hole of 3 GiB
        handle.write(layer.tobuf())
        handle.seek(512 + size)
        handle.write(tail.getvalue())
    (image,) = _image_archive.read_archive(str(path))
    assert image.layer_bytes == size


def test_a_layer_that_occurs_twice_is_a_link(tmp_path: Path) -> None:
    config = config_of(layers=[LAYERS[0], LAYERS[0]])
    entry = {"Config": "c.json", "RepoTags": [], "Layers": ["a/layer.tar", "b/layer.tar"]}
    path = write_tar(
        tmp_path / "a.tar",
        [("a/layer.tar", LAYERS[0]), ("c.json", config), ("manifest.json", dumps([entry]))],
        {"b/layer.tar": "../a/layer.tar"},
    )
    (image,) = _image_archive.read_archive(str(path))
    assert image.layer_bytes == 2 * len(LAYERS[0])


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("README", b"hello")], ["neither manifest.json nor index.json", "README"]),
        ([("manifest.json", b"[]")], ["holds no image"]),
        ([("manifest.json", b"{}")], ["not a list"]),
        ([("manifest.json", b"[{]")], ["not JSON"]),
        ([("manifest.json", dumps([{"Config": "x.json", "Layers": []}]))], ["x.json is missing"]),
        (
            [("c.json", config_of()), ("manifest.json", dumps([{"Config": "c.json", "Layers": ["a/layer.tar"]}]))],
            ["1 of 1 layers are missing", "a/layer.tar"],
        ),
        (
            [("0" * 64 + ".json", config_of()), ("manifest.json", dumps([{"Config": "0" * 64 + ".json"}]))],
            ["is damaged"],
        ),
        ([("c.json", b"{}"), ("manifest.json", dumps([{"Config": "c.json"}]))], ["says no architecture"]),
    ],
)
def test_something_else_is_refused(tmp_path: Path, members: list[tuple[str, bytes]], words: list[str]) -> None:
    with pytest.raises(ArchiveError) as caught:
        _image_archive.read_archive(str(write_tar(tmp_path / "a.tar", members)))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 20483297280\n" % (b"a" * 64),
        b"\x1f\x8bnot gzip at all",
        b"\0" * 10240,
    ],
    ids=["empty", "pointer", "gzip", "zeros"],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ArchiveError, match="Download it again"):
        _image_archive.read_archive(str(tmp_path / "a"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="there is no file"):
        _image_archive.read_archive(str(tmp_path / "none"))


def image(**changes: Any) -> ArchivedImage:
    values: dict[str, Any] = {
        "config_digest": "sha256:c",
        "manifest_digests": ("sha256:m",),
        "architecture": "arm64",
        "os": "linux",
        "created": "2026-02-11T08:30:00.1200Z",
        "tags": (TAG,),
        "diff_ids": ("sha256:l",),
        "layer_bytes": 1,
        "settings": '{"Env": ["A=1"]}',
    }
    return ArchivedImage(**dict(values, **changes))


@pytest.mark.parametrize(
    ("inspected", "expected"),
    [
        ({"Id": "sha256:c"}, True),
        ({"Id": "sha256:m"}, True),
        (
            {
                "Id": "sha256:other",
                "RootFS": {"Layers": ["sha256:l"]},
                "Architecture": "arm64",
                "Created": "2026-02-11T08:30:00.12Z",
                "Config": {"Env": ["A=1"], "Cmd": None, "User": ""},
            },
            True,
        ),
        (
            {
                "Id": "sha256:other",
                "RootFS": {"Layers": ["sha256:l"]},
                "Architecture": "arm64",
                "Created": "2026-02-11T08:30:00.12Z",
                "Config": {"Env": ["A=2"], "Cmd": None, "User": ""},
            },
            False,
        ),
        (
            {
                "Id": "sha256:other",
                "RootFS": {"Layers": ["sha256:l"]},
                "Architecture": "amd64",
                "Created": "2026-02-11T08:30:00.12Z",
                "Config": {"Env": ["A=1"]},
            },
            False,
        ),
        (
            {
                "Id": "sha256:other",
                "RootFS": {"Layers": ["sha256:l"]},
                "Architecture": "arm64",
                "Created": "2026-02-11T08:30:01Z",
                "Config": {"Env": ["A=1"]},
            },
            False,
        ),
        ({"Id": "sha256:other", "RootFS": {"Layers": []}}, False),
        ({}, False),
    ],
)
def test_is_image_in_either_store(inspected: dict[str, Any], expected: bool) -> None:
    assert image().is_image(inspected) is expected


def test_choose() -> None:
    arm, amd = image(), image(config_digest="sha256:d", architecture="amd64")
    other = image(config_digest="sha256:e", tags=("x:y",))
    assert _image_archive.choose([other], TAG, "a.tar") is other
    assert _image_archive.choose([other, arm], TAG, "a.tar") is arm
    assert _image_archive.choose([arm, amd], TAG, "a.tar", "x86_64") is amd
    with pytest.raises(ArchiveError, match="holds 2 images"):
        _image_archive.choose([arm, amd], TAG, "a.tar")


@pytest.mark.parametrize(
    ("name", "machine"),
    [("arm64", "aarch64"), ("amd64", "x86_64"), ("AMD64", "x86_64"), ("aarch64", "aarch64"), ("riscv64", "riscv64")],
)
def test_machine_of(name: str, machine: str) -> None:
    assert _image_archive.machine_of(name) == machine
