# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old revisions go, what is in use and what is not ours stays."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import manifest, stores
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import prune as _prune
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import repository as _repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.manifest import Manifest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Request
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.tree import Wanted
from ansible_collections.ascend.fleet.plugins.module_utils._base import command, locks
from ansible_collections.ascend.fleet.plugins.module_utils._base import revisions as _revisions
from ansible_collections.ascend.fleet.plugins.module_utils._host import docker as _docker
from ansible_collections.ascend.fleet.plugins.module_utils._images import records
from ansible_collections.ascend.fleet.plugins.module_utils._images import usage as _usage
from ansible_collections.ascend.fleet.plugins.modules import artifact_prune

IDS = ["sha256:" + digit * 64 for digit in "1234"]


class Docker:
    """Two containers, one of them stopped, and four images."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.inspected = "[]"
        self.down = False
        self.absent = False

    def __call__(self, argv: list[str], **options: Any) -> command.Completed:
        text = ""
        if argv[1:3] == ["image", "ls"]:
            present = [image_id for image_id in IDS if image_id not in self.removed]
            text = "\n".join(json.dumps({"ID": i, "Repository": "<none>", "Tag": "<none>"}) for i in present)
        elif argv[1] == "ps":
            text = "\n".join("c%d" % n for n in range(len(json.loads(self.inspected))))
        elif argv[1:3] == ["container", "inspect"]:
            text = self.inspected
        elif argv[1:3] == ["image", "rm"]:
            self.removed.append(argv[-1])
        else:
            raise AssertionError(argv)
        if self.absent:
            return command.Completed(tuple(argv), 127, "", "docker: No such file or directory", False)
        return command.Completed(tuple(argv), 1 if self.down else 0, text, "cannot connect", False)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Docker:
    docker = Docker()
    (tmp_path / "units").mkdir()
    usage, client = _usage.Usage, _docker.Docker
    monkeypatch.setattr(artifact_prune, "Docker", lambda **options: client(run=docker, **options))
    monkeypatch.setattr(
        artifact_prune, "Usage", lambda docker, **options: usage(docker, str(tmp_path / "units"), **options)
    )
    return docker


def prune(tmp_path: Path, capfd: pytest.CaptureFixture[str], check: bool = False, **arguments: Any) -> dict[str, Any]:
    arguments = {"root": str(tmp_path), **arguments, "_ansible_check_mode": check}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        artifact_prune.main()
    result: dict[str, Any] = json.loads(capfd.readouterr().out)
    return result


def make(tmp_path: Path, *names: str) -> list[str]:
    for age, name in enumerate(names):
        state = tmp_path / name / ".git" / "ascend-fleet" / "state.json"
        state.parent.mkdir(parents=True)
        state.write_text("{}")
        (tmp_path / name / "weights").write_bytes(b"x" * 1000)
        os.utime(state, (1000 + age, 1000 + age))
    return [str(tmp_path / name) for name in names]


def test_folders(docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, two, three, four = make(tmp_path, "models/m@1", "models/m@2", "models/m@3", "models/m")
    make(tmp_path, "repositories/r@1", "models/other")
    (tmp_path / "models" / "m@mine").mkdir()
    docker.inspected = '[{"Mounts": [{"Source": "%s"}]}]' % one
    (tmp_path / "units" / "vllm-m@0.service").write_text("ExecStart=docker run -v %s:%s:ro" % (two, two))
    arguments: dict[str, Any] = {"what": "revisions", "keep": 1, "current": [four]}
    foreseen = prune(tmp_path, capfd, check=True, **arguments)
    assert (foreseen["changed"], foreseen["removed"], Path(three).exists()) == (True, [three], True)
    done = prune(tmp_path, capfd, **arguments)
    assert (done["removed"], done["freed_bytes"]) == ([three], 1002)
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["m", "m@1", "m@2", "m@mine", "other"]
    assert not prune(tmp_path, capfd, **arguments)["changed"]


def record(tmp_path: Path, image_id: str, used_at: float) -> None:
    records.write_record(str(tmp_path / "images"), image_id)
    records.set_used(str(tmp_path / "images"), image_id, used_at)


def serves(docker: Docker, image_id: str) -> None:
    docker.inspected = '[{"Image": "%s"}, {"Image": "other"}]' % image_id


def test_images(docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for age, image_id in enumerate(IDS[:3]):  # the fourth is somebody else's
        record(tmp_path, image_id, age)
    serves(docker, IDS[0])
    foreseen = prune(tmp_path, capfd, check=True, what="images", keep=2, current=[IDS[2]])
    assert docker.removed == []
    done = prune(tmp_path, capfd, what="images", keep=2, current=[IDS[2]])
    assert foreseen["removed"] == done["removed"] == docker.removed == [IDS[1]]
    assert not records.has_record(str(tmp_path / "images"), IDS[1])
    assert not prune(tmp_path, capfd, what="images", keep=2, current=[IDS[2]])["changed"]


def test_the_image_that_a_rollback_needs_is_kept(
    docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first image, the second, back to the first, then on to the third: the first is where a rollback leads."""
    first, second, third, _other = IDS
    for age, image_id in enumerate((first, second)):
        record(tmp_path, image_id, 1000 + age)
    serves(docker, second)
    assert not prune(tmp_path, capfd, what="images", keep=2, current=[first])["changed"]
    record(tmp_path, third, 2000)
    serves(docker, third)
    assert prune(tmp_path, capfd, what="images", keep=2, current=[third])["removed"] == [second]


def test_an_image_that_served_is_younger_than_one_that_was_only_recorded_later(
    docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, staged, third, _other = IDS
    record(tmp_path, first, 1000)
    record(tmp_path, staged, 1001)  # and never served
    serves(docker, first)
    prune(tmp_path, capfd, what="images", keep=3, current=[first])
    record(tmp_path, third, 2000)
    serves(docker, third)
    assert prune(tmp_path, capfd, what="images", keep=2, current=[third])["removed"] == [staged]


def test_nothing_is_removed_when_docker_does_not_answer(
    docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one, _two = make(tmp_path, "models/m@1", "models/m")
    docker.down = True
    result = prune(tmp_path, capfd, what="revisions", keep=1)
    assert "Nothing was removed" in result["msg"]
    assert Path(one).exists()
    assert not prune(tmp_path, capfd, what="revisions", keep=2)["changed"]


# --- several requests in one folder, and a mirror's store -------------------------------------------------------------

V0, V1, V2 = "image/v0.tar", "image/v1.tar", "image/v2.tar"
README = "README.md"
AGAIN = "image/v0-again.tar"
CONTENTS = {V0: b"0" * 3000, AGAIN: b"0" * 3000, V1: b"1" * 3000, V2: b"2" * 3000, README: b"# all of them\n"}
REPOSITORY = "https://origin.example/O/images.git"


def oid_of(path: str) -> str:
    return hashlib.sha256(CONTENTS[path]).hexdigest()


class Site:
    """A root that lfs_artifact fills from a source with archives of one repository."""

    def __init__(self, base: Path) -> None:
        self.source = base / "source"
        self.root = base / "root"
        self.store = self.root / "store"

    def bring(self, *paths: str, folder: str = "repositories/O--images", store: bool = True) -> str:
        """Have files in a folder; return the request's key."""
        request = Request(
            repository=REPOSITORY,
            revision=folder.partition("@")[2] or "main",
            dest=str(self.root / folder),
            paths=paths,
            sources=(str(self.source),),
            ask_origin=False,
            store=str(self.store) if store else None,
        )
        files = tuple(Wanted(p, "", oid_of(p), len(CONTENTS[p]), p != README) for p in paths)
        held = Manifest("images", request.revision, "c" * 40, files)
        for name, content in [(stores.object_path(oid_of(p)), CONTENTS[p]) for p in paths] + [
            (stores.manifest_path(request.key), manifest.dump_manifest(held).encode())
        ]:
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_bytes(content)
        _repository.Repository(request).ensure()
        shutil.rmtree(self.source)
        return request.key

    def is_settled(self, *paths: str) -> bool:
        dest = str(self.root / "repositories/O--images")
        request = Request(REPOSITORY, "main", dest, paths=paths, store=str(self.store))
        return _repository.Repository(request).is_settled().settled

    def prune(
        self, keep: int, *current: str, check: bool = False, needs: str = "", store: bool = True
    ) -> _prune.Pruned:
        return _prune.prune(
            str(self.root), keep, current, lambda: needs, check=check, store=str(self.store) if store else None
        )

    def names(self) -> list[str]:
        """Every archive, object and manifest that is there, in whatever folder."""
        found = []
        for path in self.root.rglob("*"):
            name = str(path.relative_to(self.root))
            if path.is_file() and re.search(r"image/|lfs/objects|store/|README", name):
                found.append(name)
        return sorted(found)

    def everything(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in [self.root, *self.root.rglob("*")]:
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_mtime_ns)
        return found

    def is_served_whole(self) -> bool:
        """Whether every object that a manifest of the store names is there."""
        return all(
            (self.store / stores.object_path(w.oid)).exists()
            for name in (self.store / "manifests").iterdir()
            for w in manifest.parse_manifest(name.read_text()).files  # type: ignore[union-attr]
        )


def test_a_folder_that_keeps_the_name_of_version_0_1_is_a_revision_of_its_repository(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.bring(V0, folder="repositories/Model")
    for revision in ("v1", "v2"):
        site.bring(V1, folder="repositories/O--images@" + revision)
    assert {folder.group for folder in _prune.folders(str(site.root))} == {"repositories/O--images"}
    assert [os.path.basename(name) for name in site.prune(2, store=False).removed] == ["Model"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def expected(*archives: str, keys: tuple[str, ...], more: tuple[str, ...] = ()) -> list[str]:
    """What Site.names() returns for archives in the one folder."""
    folder = "repositories/O--images"
    found = ["%s/%s" % (folder, name) for name in (*archives, *more)]
    for oid in (oid_of(name) for name in archives):
        found.append("%s/.git/lfs/objects/%s/%s/%s" % (folder, oid[:2], oid[2:4], oid))
    found += ["store/" + stores.object_path(oid_of(name)) for name in (*archives, *more)]
    return sorted(found + ["store/" + stores.manifest_path(key) for key in keys])


def test_of_several_archives_in_a_folder_the_oldest_goes(site: Site) -> None:
    k0, k1, k2 = (site.bring(path, README) for path in (V0, V1, V2))
    before = site.everything()
    foreseen = site.prune(2, k2, check=True)
    assert site.everything() == before
    done = site.prune(2, k2)
    assert (
        done.removed
        == foreseen.removed
        == [
            str(site.root / "repositories/O--images" / V0),
            str(site.store / stores.manifest_path(k0)),
            str(site.store / stores.object_path(oid_of(V0))),
        ]
    )
    assert done.freed == foreseen.freed >= 3000
    assert done.freed < 6000  # three names of the same bytes
    assert site.names() == expected(V1, V2, keys=(k1, k2), more=(README,))
    assert (site.is_settled(V1, README), site.is_settled(V2, README), site.is_settled(V0, README)) == (
        True,
        True,
        False,
    )
    assert site.prune(2, k2).removed == []
    assert site.bring(V0, README) == k0


def test_the_last_one_of_a_folder_leaves_no_empty_folders(site: Site) -> None:
    _k0, k1 = site.bring(V0), site.bring(README)
    site.prune(1, k1)
    assert sorted(p.name for p in (site.root / "repositories/O--images").iterdir()) == [".git", README]
    assert list((site.root / "repositories/O--images/.git/lfs/objects").iterdir()) == []


def test_an_object_with_another_name_stays(site: Site) -> None:
    k0, k1 = site.bring(V0), site.bring(AGAIN)
    done = site.prune(1, k1)
    assert [os.path.basename(name) for name in done.removed] == ["v0.tar", k0 + ".json"]
    assert site.names() == expected(AGAIN, keys=(k1,))
    assert site.is_settled(AGAIN)


def test_nobody_has_the_store_alone_while_it_is_filled(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = stores.publish
    seen = []

    def publish(store: str, *arguments: Any) -> None:
        with locks.exclusive_lock(store) as held:
            seen.append(held)
        real(store, *arguments)

    monkeypatch.setattr(stores, "publish", publish)
    site.bring(V0)
    assert seen == [False]
    with locks.exclusive_lock(str(site.store)) as held:
        assert held


def test_an_old_release_that_is_used_again_is_the_latest(site: Site) -> None:
    k0, k1 = site.bring(V0), site.bring(V1)
    assert site.prune(2, k1).removed == []
    assert site.prune(2, k0).removed == []
    k2 = site.bring(V2)
    site.prune(2, k2)
    assert site.names() == expected(V0, V2, keys=(k0, k2))


def test_nothing_is_written_as_long_as_the_same_is_asked_for(site: Site) -> None:
    k0, k1 = site.bring(V0), site.bring(V1)
    other = site.bring(V0, folder="models/m")
    site.prune(2, k0, k1, other)
    before = site.everything()
    assert site.prune(2, k0, k1, other).removed == []
    assert site.everything() == before


def test_archives_of_two_generations_are_one_revision(site: Site) -> None:
    first = (site.bring(V0), site.bring(V1))
    site.prune(1, *first)
    second = (site.bring(V2), site.bring(README))
    assert site.prune(2, *second).removed == []
    site.prune(1, *second)
    assert site.names() == expected(V2, keys=second, more=(README,))


def test_a_clock_that_goes_back_makes_nothing_old(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    k0 = site.bring(V0)
    monkeypatch.setattr(_revisions.time, "time", lambda: 1000.0)
    k1 = site.bring(V1)
    site.prune(2, k1)
    k2 = site.bring(V2)
    site.prune(2, k2)
    assert site.names() == expected(V1, V2, keys=(k1, k2))
    assert k0


def test_a_state_of_before_it_said_when_requests_were_used(site: Site) -> None:
    k0, k1 = site.bring(V0), site.bring(V1)
    state = site.root / "repositories/O--images/.git/ascend-fleet/state.json"
    data = json.loads(state.read_text())
    for request in data["requests"].values():
        del request["used_at"]
    state.write_text(json.dumps(data))
    os.utime(state, (1000, 1000))
    assert site.prune(1, k1).removed != []
    assert site.names() == expected(V1, keys=(k1,))
    assert k0


@pytest.mark.parametrize("how", ["mounted", "current"])
def test_a_folder_in_use_keeps_all_that_it_has(site: Site, how: str) -> None:
    keys = (site.bring(V0), site.bring(V1), site.bring(V2))
    folder = str(site.root / "repositories/O--images")
    done = site.prune(1, needs="-v %s:%s:ro" % (folder, folder)) if how == "mounted" else site.prune(1, folder)
    assert done.removed == []
    assert site.names() == expected(V0, V1, V2, keys=keys)


def test_folders_and_what_is_in_them_are_revisions_of_each_other(site: Site) -> None:
    old = site.bring(V0, folder="repositories/O--images@old")
    k1, k2 = site.bring(V1), site.bring(V2)
    done = site.prune(2, k2)
    assert str(site.root / "repositories/O--images@old") in done.removed
    assert site.names() == expected(V1, V2, keys=(k1, k2))
    assert old


@pytest.mark.parametrize("links", [True, False])
def test_a_store_follows_its_folders(site: Site, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:

        def link(source: str, target: str) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", link)
    k0, k1 = site.bring(V0, README), site.bring(V1, README)
    (site.store / "manifests" / ("f" * 32 + ".json.new")).write_text("{")
    leftover = site.store / stores.object_path(oid_of(V0))
    shutil.copyfile(leftover, str(leftover) + ".new")
    for name in (V0, V1):
        pieces = site.store / stores.pieces_path(oid_of(name))
        pieces.parent.mkdir(parents=True)
        pieces.write_bytes(b"")
    done = site.prune(1, k1)
    assert site.store.exists()
    assert sorted(p.name for p in site.store.rglob("*") if p.is_file()) == sorted(
        [k1 + ".json", oid_of(V1), oid_of(V1), oid_of(README)]
    )
    assert done.freed >= (3000 if links else 6000)
    assert site.is_served_whole()
    assert k0


def test_a_store_whose_folders_are_not_there_is_left_alone(site: Site) -> None:
    site.bring(V0)
    shutil.rmtree(site.root / "repositories")
    assert site.prune(1).removed == []
    assert (site.store / stores.object_path(oid_of(V0))).exists()


def test_no_object_goes_while_a_manifest_cannot_be_read(site: Site) -> None:
    k0, k1, k2 = site.bring(V0), site.bring(V1), site.bring(V2)
    (site.store / stores.manifest_path(k1)).write_text("{")
    done = site.prune(2, k2)
    assert "cannot be read" in done.notes[0]
    assert not (site.store / stores.manifest_path(k0)).exists()
    assert (site.store / stores.object_path(oid_of(V0))).exists()
    site.bring(V1)  # writes it anew
    site.prune(2, k1, k2)
    assert not (site.store / stores.object_path(oid_of(V0))).exists()


def test_where_another_run_works_nothing_is_removed(site: Site) -> None:
    k0, k1, k2 = site.bring(V0), site.bring(V1), site.bring(V2)
    own = site.root / "repositories/O--images/.git/ascend-fleet"
    (own / "lock").touch()
    before = site.names()
    with locks.exclusive_lock(str(own / "lock")) as held:
        assert held
        assert "another run works on" in site.prune(2, k2).notes[0]
    assert site.names() == before
    with locks.shared_lock(str(site.store)), locks.shared_lock(str(site.store)):
        assert "another run fills" in site.prune(2, k2).notes[0]
    assert set(before) - set(site.names()) == set(expected(V0, keys=())) - {"store/" + stores.object_path(oid_of(V0))}
    assert site.prune(2, k2).notes == []
    assert site.names() == expected(V1, V2, keys=(k1, k2))
    assert k0


def test_what_another_run_has_just_done_is_not_undone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    k0, k1 = site.bring(V0), site.bring(V1)
    site.prune(1, k0, k1)
    k2 = site.bring(V2)

    def needs() -> str:
        site.bring(V0, README)  # between the decision and the removal
        return ""

    done = _prune.prune(str(site.root), 1, (k2,), needs, store=str(site.store))
    assert "another run works on" in done.notes[0]
    assert done.removed == []
    assert site.is_served_whole()


def test_who_waited_for_a_folder_that_was_removed_begins_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.bring(V0)
    folder = site.root / "repositories/O--images"
    with contextlib.ExitStack() as holder:
        assert holder.enter_context(locks.exclusive_lock(str(folder / ".git/ascend-fleet/lock")))

        def sleep(seconds: float) -> None:
            _prune.remove_folder(str(folder))
            holder.close()

        real = _repository.Repository
        monkeypatch.setattr(_repository, "Repository", lambda request: real(request, sleep))
        site.bring(V1)
    monkeypatch.undo()
    assert site.is_settled(V1)
    assert (folder / ".git/ascend-fleet/lock").exists()
    assert not site.is_settled(V0)


class Killed(BaseException):
    pass


def test_a_kill_at_any_moment_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(1000):
        site = Site(tmp_path / str(step))
        site.bring(V0, folder="models/m@old")
        site.bring(V0, README)
        new = site.bring(V1, folder="models/m")
        k1 = site.bring(V1, README)
        left = [step]

        def kill_before(name: str, left: list[int]) -> Callable[..., Any]:
            real = getattr(os, name)

            def call(*arguments: Any, **options: Any) -> Any:
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return real(*arguments, **options)

            return call

        with monkeypatch.context() as patched, contextlib.suppress(Killed):
            for name in ("unlink", "rmdir", "rename", "replace"):
                patched.setattr(os, name, kill_before(name, left))
            site.prune(1, new, k1)
        assert site.is_served_whole()
        assert site.is_settled(V1, README)
        site.prune(1, new, k1)
        assert [name for name in site.names() if oid_of(V0) in name or "v0" in name] == []
        assert sorted(p.name for p in (site.root / "models").iterdir()) == ["m"]
        assert site.is_served_whole()
        assert site.is_settled(V1, README)
        if left[0] > 0:
            break
    assert step > 10


def test_a_mirror_needs_no_docker(docker: Docker, site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    k0, k1 = site.bring(V0), site.bring(V1)
    docker.absent = True
    arguments: dict[str, Any] = {"keep": 1, "current": [k1]}
    refused = prune(site.root, capfd, what="revisions", **arguments)
    assert "Nothing was removed" in refused["msg"]
    foreseen = prune(site.root, capfd, check=True, what="mirror", **arguments)
    done = prune(site.root, capfd, what="mirror", **arguments)
    assert done["removed"] == foreseen["removed"]
    assert done["changed"]
    assert site.names() == expected(V1, keys=(k1,))
    docker.absent, docker.down = False, True
    k2 = site.bring(V2)
    assert "Nothing was removed" in prune(site.root, capfd, what="mirror", keep=1, current=[k2])["msg"]
    assert k0
