# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old revisions go where several requests share one folder, and from a mirror's store."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import prune as _prune
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import repository as _repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import stores
from ansible_collections.ascend.fleet.plugins.module_utils._base import locks
from ansible_collections.ascend.fleet.plugins.module_utils._base import revisions as _revisions

sys.path.insert(0, str(Path(__file__).resolve().parent))

from prune_site import AGAIN, README, V0, V1, V2, Site, expected, oid_of


def test_a_folder_that_keeps_the_name_of_version_0_1_is_a_revision_of_its_repository(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.bring(V0, folder="repositories/Model")
    for revision in ("v1", "v2"):
        site.bring(V1, folder="repositories/O--images@" + revision)
    assert {folder.group for folder in _prune.folders(str(site.root))} == {"repositories/O--images"}
    assert [os.path.basename(name) for name in site.prune(2, store=False).removed] == ["Model"]


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


def test_of_one_request_in_two_folders_the_one_that_is_named_is_current(site: Site) -> None:
    """Weights of two commits of one branch."""
    key = site.bring(V0)
    former, folder = (site.root / "repositories" / name for name in ("O--images", "O--images@c0ffee"))
    shutil.copytree(former, folder)
    assert site.prune(1, key, check=True).removed == []  # both may be
    assert str(former) in site.prune(1, key, str(folder), check=True).removed
    assert site.prune(1, key, str(folder), needs=str(former), check=True).removed == []
    assert str(folder) in site.prune(1, key, str(former)).removed
    assert (former.exists(), folder.exists()) == (True, False)


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


def test_where_a_transfer_does_not_end_nothing_is_removed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.bring(V0)
    k1 = site.bring(V1)
    monkeypatch.setattr(_prune.swarm.Swarm, "end", lambda self: False)
    done = _prune.prune(str(site.root), 1, (k1,), str)
    assert done.notes == ["a transfer of %s does not end: nothing was removed there" % done.before[0]]
    assert done.removed == []
    assert site.is_served_whole()


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
