# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""image_load against a docker that is a dictionary: what it is asked, and what comes out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._base import command
from ansible_collections.ascend.fleet.plugins.module_utils._base.progress import PREPARE, parse
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import Docker
from ansible_collections.ascend.fleet.plugins.module_utils._images import records
from ansible_collections.ascend.fleet.plugins.module_utils._images import store as _image_store
from ansible_collections.ascend.fleet.plugins.modules import image_load

TAG = "vllm-ascend:qwen3_5-v0-a2"
LAYER = b"layer" * 1000


def config(architecture: str = "arm64") -> bytes:
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2026-02-11T08:30:00Z",
            "rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(LAYER).hexdigest()]},
        }
    ).encode()


def image_id(architecture: str = "arm64") -> str:
    return "sha256:" + hashlib.sha256(config(architecture)).hexdigest()


def archive(path: Path, architecture: str = "arm64", tags: tuple[str, ...] = (TAG,)) -> Path:
    entry = {"Config": image_id(architecture)[7:] + ".json", "RepoTags": list(tags), "Layers": ["l/layer.tar"]}
    with tarfile.open(path, "w") as tar:
        for name, content in (
            ("l/layer.tar", LAYER),
            (entry["Config"], config(architecture)),
            ("manifest.json", json.dumps([entry]).encode()),
        ):
            info = tarfile.TarInfo(str(name))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


class FakeDocker:
    """Answers the few commands that are used; ``images`` is tags by ID."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images: dict[str, list[str]] = {}
        self.brings: str | None = image_id()
        self.load_status = 0
        self.load_error = "Error processing tar file: unexpected EOF"
        self.load_hangs = False
        self.running = True
        self.architecture = "arm64"
        self.driver_status: list[list[str]] = []
        self.asked: list[str] = []

    def __call__(self, argv: list[str], *, timeout: float, **options: Any) -> command.Completed:
        words = " ".join(argv)
        self.asked.append(words.partition(" sha256:")[0])
        if not self.running:
            return self.done(argv, 1, err="Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
        if words.startswith("docker info"):
            about = {"ServerVersion": "28.2.2", "DockerRootDir": str(self.root), "DriverStatus": self.driver_status}
            return self.done(argv, 0, json.dumps(about))
        if words.startswith("docker image ls"):
            return self.done(argv, 0, "\n".join(self.images))
        if words.startswith("docker image inspect"):
            found = [
                {"Id": i, "RepoTags": tags, "RootFS": {"Layers": []}, "Architecture": self.architecture}
                for i, tags in self.images.items()
                if any(reference == i or reference in tags for reference in argv[3:])
            ]
            missing = len(found) < len(argv[3:])
            return self.done(argv, int(missing), json.dumps(found), "Error: No such image: x" if missing else "")
        if words.startswith("docker load"):
            if self.load_hangs:
                return command.Completed(tuple(argv), None, "", "", True)
            if self.load_status:
                return self.done(argv, self.load_status, err=self.load_error)
            if self.brings:
                self.set_tag(self.brings, TAG)
            return self.done(argv, 0, "Loaded image: " + TAG)
        if words.startswith("docker image tag"):
            self.set_tag(argv[3], argv[4])
            return self.done(argv, 0)
        raise AssertionError(words)

    def set_tag(self, identity: str, tag: str) -> None:
        for tags in self.images.values():
            if tag in tags:
                tags.remove(tag)
        self.images.setdefault(identity, []).append(tag)

    @staticmethod
    def done(argv: list[str], status: int, out: str = "", err: str = "") -> command.Completed:
        return command.Completed(tuple(argv), status, out, err, False)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    fake = FakeDocker(tmp_path)
    monkeypatch.setattr(image_load, "Docker", lambda **options: Docker(run=fake, **options))
    return fake


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(check: bool = False, **arguments: Any) -> dict[str, Any]:
        arguments = {"tag": TAG, "architecture": "aarch64", **arguments, "_ansible_check_mode": check}
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()}
        with patch_module_args(plain), pytest.raises(SystemExit):
            image_load.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return run


def test_check_then_load_then_nothing(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    path = archive(tmp_path / "a.tar")
    foreseen = run(check=True, path=path)
    assert (foreseen["changed"], foreseen["loaded"], docker.images) == (True, True, {})
    first = run(path=path)
    assert (first["changed"], first["loaded"], first["image_id"]) == (True, True, image_id())
    assert (first["architecture"], first["tags"]) == ("aarch64", [TAG])
    assert first["diff"]["after"] == "%s %s\n" % (TAG, image_id())
    assert foreseen["diff"] == first["diff"]
    second = run(path=path)
    assert (second["changed"], second["loaded"], second["image_id"]) == (False, False, image_id())
    assert second["diff"]["before"] == second["diff"]["after"]
    assert docker.asked.count("docker load --quiet --input %s" % path) == 1
    assert not run(check=True, path=path)["changed"]


def test_a_loaded_image_is_recorded_as_one_of_the_collection(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    path, folder = archive(tmp_path / "a.tar"), tmp_path / "images"
    run(check=True, path=path, record=folder)
    assert records.recorded(str(folder)) == []
    assert not run(path=path, record=folder)["settled"]
    assert [record.image_id for record in records.recorded(str(folder))] == [image_id()]
    assert run(path=path, record=folder)["settled"]
    records.remove_records(str(folder), [image_id()])
    assert not run(check=True, path=path, record=folder)["settled"]


def test_a_missing_tag_is_set_without_loading(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    docker.images[image_id()] = []
    path = archive(tmp_path / "a.tar", tags=())
    assert run(check=True, path=path)["changed"]
    assert docker.images == {image_id(): []}
    result = run(path=path)
    assert (result["changed"], result["loaded"], result["tagged"]) == (True, False, True)
    assert docker.images == {image_id(): [TAG]}


def test_a_tag_of_another_image_is_moved(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    docker.images = {"sha256:old": [TAG], image_id(): ["other:tag"]}
    result = run(path=archive(tmp_path / "a.tar"))
    assert docker.images == {"sha256:old": [], image_id(): ["other:tag", TAG]}
    assert result["diff"]["before"] == TAG + " sha256:old\n"
    assert result["tags"] == ["other:tag", TAG]


@pytest.mark.parametrize(
    ("architecture", "machine"),
    [("arm64", "x86_64"), ("amd64", "aarch64")],
    ids=["arm64 on x86_64", "amd64 on aarch64"],
)
def test_another_architecture_is_refused_before_loading(
    tmp_path: Path, docker: FakeDocker, run: Run, architecture: str, machine: str
) -> None:
    result = run(path=archive(tmp_path / "a.tar", architecture), architecture=machine)
    assert result["failed"]
    assert architecture in result["msg"]
    assert "this host is " + machine in result["msg"]
    assert docker.asked == []


def test_another_image_than_pinned_is_refused_before_loading(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    result = run(path=archive(tmp_path / "a.tar"), image_id="sha256:pinned")
    assert result["failed"]
    assert "found %s, needed sha256:pinned" % image_id() in result["msg"]
    assert not [words for words in docker.asked if words.startswith("docker load")]
    assert docker.images == {}


@pytest.mark.parametrize("tags", [[TAG], ["mine:1"], []], ids=["the wanted tag", "another tag", "no tag"])
def test_an_image_that_docker_has_by_its_pinned_id_needs_no_archive(
    tmp_path: Path, docker: FakeDocker, run: Run, tags: list[str]
) -> None:
    docker.images = {image_id(): list(tags)}
    given = {"path": tmp_path / "none.tar", "image_id": image_id(), "record": tmp_path / "images"}
    foreseen = run(check=True, **given)
    assert (foreseen["changed"], foreseen["loaded"], foreseen["settled"]) == (TAG not in tags, False, False)
    assert docker.images == {image_id(): tags}
    first = run(**given)
    assert (first["changed"], first["tagged"]) == (foreseen["changed"], foreseen["tagged"])
    assert (first["image_id"], first["config_digest"]) == (image_id(), image_id())
    assert (first["architecture"], first["tag"]) == ("aarch64", TAG)
    assert docker.images == {image_id(): sorted({*tags, TAG}, key=[*tags, TAG].index)}
    assert [record.image_id for record in records.recorded(str(tmp_path / "images"))] == [image_id()]
    assert run(check_settled=True, **given)["settled"]
    assert not [words for words in docker.asked if words.startswith("docker load")]


def test_a_pinned_image_takes_its_tag_from_another_one(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    docker.images = {"sha256:old": [TAG], image_id(): []}
    result = run(path=tmp_path / "none.tar", image_id=image_id())
    assert docker.images == {"sha256:old": [], image_id(): [TAG]}
    assert result["diff"]["before"] == TAG + " sha256:old\n"


def test_a_pinned_image_of_another_architecture_is_refused(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    docker.images, docker.architecture = {image_id(): []}, "amd64"
    result = run(path=tmp_path / "none.tar", image_id=image_id())
    assert "image %s, which docker has, is for x86_64" % image_id() in result["msg"]
    assert docker.images == {image_id(): []}


def test_an_archive_is_not_read_where_docker_has_the_image(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"\x1f\x8b cut short")
    docker.images = {image_id(): [TAG]}
    assert run(path=path, image_id=image_id(), check_settled=True)["settled"]
    assert not run(path=path, image_id=None, check_settled=True)["settled"]


@pytest.mark.parametrize(
    ("status", "pin", "tag"),
    [
        ([["driver-type", "io.containerd.snapshotter.v1"]], image_id(), TAG),
        ([], "sha256:other", TAG),
        ([], image_id(), None),
    ],
    ids=["containerd's store", "another ID", "no tag asked for"],
)
def test_otherwise_the_archive_is_needed(
    tmp_path: Path, docker: FakeDocker, run: Run, status: list[list[str]], pin: str, tag: str | None
) -> None:
    docker.images, docker.driver_status = {image_id(): [TAG]}, status
    given = {"path": tmp_path / "none.tar", "image_id": pin, "tag": tag}
    assert not run(check=True, **given)["known"]
    result = run(**given)
    assert "none.tar cannot be read: No such file or directory" in result["msg"]
    assert "docker does not have the image %s" % pin in result["msg"]


def test_a_docker_that_does_not_answer_is_not_one_without_the_image(
    tmp_path: Path, docker: FakeDocker, run: Run
) -> None:
    docker.running = False
    result = run(check=True, path=tmp_path / "none.tar", image_id=image_id())
    assert "docker does not answer" in result["msg"]


def test_without_a_tag_the_archives_own_is_taken(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    assert run(path=archive(tmp_path / "a.tar"), tag=None)["tag"] == TAG
    assert "Set tag" in run(path=archive(tmp_path / "b.tar", tags=()), tag=None)["msg"]


def test_an_archive_that_is_not_there(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    foreseen = run(check=True, path=tmp_path / "none.tar")
    assert (foreseen["changed"], foreseen["known"]) == (True, False)
    result = run(path=tmp_path / "none.tar")
    assert result["failed"]
    assert "none.tar" in result["msg"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"load_status": 1}, "unexpected EOF"),
        ({"load_hangs": True}, "within 3600 seconds"),
        ({"brings": "sha256:something-else"}, "does not have the image"),
        ({"running": False}, "docker does not answer"),
    ],
)
def test_docker_that_does_not_do_it(
    tmp_path: Path, docker: FakeDocker, run: Run, change: dict[str, Any], words: str
) -> None:
    for name, value in change.items():
        setattr(docker, name, value)
    result = run(path=archive(tmp_path / "a.tar"))
    assert result["failed"]
    assert words in result["msg"]


def test_a_docker_that_cannot_unpack_a_sound_archive(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    docker.load_status, docker.load_error = 1, "archive/tar: invalid tar header"
    result = run(path=str(archive(tmp_path / "image.tar")), image_id=image_id(), tag=TAG)
    assert result["failed"]
    assert "invalid tar header" in result["msg"]
    assert "which Kylin's docker is known for. Fix: upgrade docker, or load the archive on a host of" in result["msg"]


def test_a_cut_archive_never_reaches_docker(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    path = archive(tmp_path / "a.tar")
    os.truncate(path, 3000)
    result = run(path=path)
    assert result["failed"]
    assert "Download it again" in result["msg"]
    assert docker.asked == []


def test_a_disk_that_is_too_small(
    tmp_path: Path, docker: FakeDocker, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small:
        f_bavail, f_frsize = 1, 4096

    monkeypatch.setattr(os, "statvfs", lambda path: Small)
    result = run(path=archive(tmp_path / "a.tar"))
    assert result["failed"]
    assert "not enough room at %s" % tmp_path in result["msg"]
    assert not any(words.startswith("docker load") for words in docker.asked)


def test_the_cache_spares_reading_the_archive_and_notices_another(
    tmp_path: Path, docker: FakeDocker, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "a.tar")
    cache = tmp_path / "images" / "a.json"
    run(path=path, cache=cache)
    read = _image_store.archive.read_archive
    monkeypatch.setattr(_image_store.archive, "read_archive", lambda name: pytest.fail("it was read again"))
    assert not run(path=path, cache=cache)["changed"]
    monkeypatch.setattr(_image_store.archive, "read_archive", read)
    archive(path, "amd64")
    assert "is for x86_64" in run(path=path, cache=cache)["msg"]
    cache.write_text("{ damaged")
    archive(path)
    assert not run(path=path, cache=cache)["changed"]


def test_progress_is_written_while_the_archive_is_read(
    tmp_path: Path, docker: FakeDocker, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, seen = tmp_path / "progress", []
    read = _image_store.archive.read_archive

    def slow(path: str) -> Any:
        deadline = time.monotonic() + 10
        while not seen and time.monotonic() < deadline:
            found = parse(progress.read_text()) if progress.exists() else None
            if found is not None:
                seen.append(found)
            time.sleep(0.01)
        return read(path)

    monkeypatch.setattr(_image_store.archive, "read_archive", slow)
    assert run(path=archive(tmp_path / "a.tar"), progress=progress)["loaded"]
    assert seen[0].stage in (PREPARE, "read")


def test_check_settled_removes_what_ended_jobs_have_left(tmp_path: Path, docker: FakeDocker, run: Run) -> None:
    left = tmp_path / "ascend-fleet-1"
    left.mkdir()
    os.utime(left, (0, 0))
    path = archive(tmp_path / "a.tar")
    seen = run(path=path, check_settled=True, progress=tmp_path / "ascend-fleet-2" / "progress")
    assert not seen["settled"]
    assert not docker.images
    assert not left.exists()
