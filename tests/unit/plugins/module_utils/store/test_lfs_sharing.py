# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from a store that other hosts hold too: pieces, and the holes that a swarm leaves."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import stores, torrent
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import swarm as _swarm
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.errors import ArtifactError

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lfs_server import LARGE, SMALL, Server, ensure, oid_of, part_of


class Others:
    """Stands in the place of aria2: what other hosts give, by hash."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self.give: dict[str, bytes] = {}
        self.asked: list[list[str]] = []
        self.seeded: list[list[str]] = []
        self.problem = ""
        monkeypatch.setattr(_swarm.Swarm, "obstacle", lambda swarm: None)
        monkeypatch.setattr(_swarm.Swarm, "bring", self.bring)
        monkeypatch.setattr(
            _swarm.Swarm, "seed", lambda swarm, objects, *rest: self.seeded.append([o.oid for o in objects]) or ""
        )

    def bring(self, objects: list[_swarm.Shared], begun: dict[str, str], timeout: float) -> tuple[dict[str, str], str]:
        self.asked.append([shared.oid for shared in objects])
        found = {}
        for shared in objects:
            if shared.oid in self.give:
                name = self.folder / shared.oid
                name.write_bytes(self.give[shared.oid])
                found[shared.oid] = str(name)
        return found, self.problem


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Others:
    (tmp_path / "others").mkdir()
    return Others(monkeypatch, tmp_path / "others")


@pytest.fixture
def sharing(server: Server, tmp_path: Path) -> Iterator[Server]:
    """A mirror that shares, filled from another one as mirrors are."""
    store = tmp_path / "sharing"
    ensure(tmp_path / "mirror", server.url, store=str(store), share=True)
    found = Server(store)
    yield found
    found.close()


SWARM = _swarm.Settings(trackers=("http://127.0.0.1:9/announce",))


def test_a_store_that_shares_has_the_hashes_of_the_pieces_and_a_list_for_the_tracker(
    sharing: Server, server: Server, tmp_path: Path
) -> None:
    store = stores.HttpStore(sharing.url)
    pieces = store.pieces(oid_of(LARGE), len(LARGE))
    (tmp_path / "large").write_bytes(LARGE)
    assert pieces == torrent.hash_pieces(str(tmp_path / "large"))
    assert store.pieces(oid_of(SMALL["config.json"]), 2) is None
    listed = (sharing.folder / "shared").read_text().split()
    assert listed == [torrent.info_hash(oid_of(LARGE), len(LARGE), pieces)]
    assert stores.HttpStore(server.url).pieces(oid_of(LARGE), len(LARGE)) is None
    # A store that was filled before there was sharing gets what is missing, and the next run changes nothing.
    (sharing.folder / stores.pieces_path(oid_of(LARGE))).unlink()
    assert ensure(tmp_path / "mirror", server.url, store=str(sharing.folder), share=True).changed
    assert not ensure(tmp_path / "mirror", server.url, store=str(sharing.folder), share=True).changed


def test_what_others_give_does_not_come_from_the_mirror(sharing: Server, others: Others, tmp_path: Path) -> None:
    others.give = {oid_of(LARGE): LARGE}
    outcome = ensure(tmp_path / "dest", sharing.url, swarm=SWARM)
    assert (tmp_path / "dest" / "large.bin").read_bytes() == LARGE
    assert (outcome.shared, outcome.source, outcome.notes) == (True, sharing.url, [])
    assert others.asked == others.seeded == [[oid_of(LARGE)]]
    assert not any(stores.object_path(oid_of(LARGE)) in path for path, _o, _n in sharing.sent)
    ensure(tmp_path / "alone", sharing.url)
    assert len(others.asked) == 1, "without a tracker nothing is shared"


def test_what_is_there_as_a_whole_is_asked_of_nobody(sharing: Server, others: Others, tmp_path: Path) -> None:
    part_of(tmp_path / "dest", LARGE).write_bytes(LARGE)
    others.give = {oid_of(LARGE): LARGE}
    ensure(tmp_path / "dest", sharing.url, swarm=SWARM)
    assert (tmp_path / "dest" / "large.bin").read_bytes() == LARGE
    assert others.asked == []
    assert not any(stores.object_path(oid_of(LARGE)) in path for path, _o, _n in sharing.sent)


def test_what_others_give_wrong_or_not_at_all_comes_from_the_mirror(
    sharing: Server, others: Others, tmp_path: Path
) -> None:
    others.give = {oid_of(LARGE): LARGE[::-1]}
    outcome = ensure(tmp_path / "dest", sharing.url, swarm=SWARM)
    assert (tmp_path / "dest" / "large.bin").read_bytes() == LARGE
    assert "hashes of the pieces" in " ".join(outcome.notes)
    others.give, others.problem = {}, "aria2c ended with status 7"
    outcome = ensure(tmp_path / "other", sharing.url, swarm=SWARM)
    assert (tmp_path / "other" / "large.bin").read_bytes() == LARGE
    assert "other hosts did not give everything: aria2c ended with status 7" in outcome.notes
    assert not outcome.shared


def leave_pieces(dest: Path, sharing: Server) -> int:
    """What a swarm has left that got the first and the fourth piece of a large file; how many bytes those are."""
    work = dest / ".git" / "ascend-fleet" / "swarm" / "work"
    (work / "pieces").mkdir(parents=True)
    (work / "data").mkdir()
    pieces = (sharing.folder / stores.pieces_path(oid_of(LARGE))).read_bytes()
    (work / "pieces" / oid_of(LARGE)).write_bytes(pieces)
    step = 256 * 1024
    with (work / "data" / oid_of(LARGE)).open("wb") as handle:
        handle.write(LARGE[:step])
        handle.seek(3 * step)
        handle.write(LARGE[3 * step : 4 * step])
    return 2 * step


def test_a_mirror_fills_the_holes_that_a_swarm_has_left(
    sharing: Server, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fchown", lambda *args: None)  # tests may not be root
    have = leave_pieces(tmp_path / "dest", sharing)
    del server.sent[:]
    server.cut_after = 1_000_000
    outcome = ensure(tmp_path / "dest", server.url)
    assert (tmp_path / "dest" / "large.bin").read_bytes() == LARGE
    sent = [(offset, sent) for path, offset, sent in server.sent if stores.object_path(oid_of(LARGE)) in path]
    assert sum(length for _offset, length in sent) <= len(LARGE) - have + 2 * 256 * 1024, "a broken line costs a piece"
    assert sent[0] == (256 * 1024, 2 * 256 * 1024)
    assert outcome.resumed_bytes >= have
    assert not (tmp_path / "dest" / ".git" / "ascend-fleet" / "swarm" / "work").exists()


def test_a_mirror_that_dies_leaves_the_pieces_to_the_next(
    sharing: Server, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fchown", lambda *args: None)  # tests may not be root
    have = leave_pieces(tmp_path / "dest", sharing)
    server.cut_after = 0
    ensure(tmp_path / "dest", server.url, sharing.url)
    assert (tmp_path / "dest" / "large.bin").read_bytes() == LARGE
    sent = [sent for path, _offset, sent in sharing.sent if stores.object_path(oid_of(LARGE)) in path]
    assert sum(sent) == len(LARGE) - have


def test_who_cannot_fill_holes_goes_on_from_the_beginning(
    sharing: Server, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fchown", lambda *args: None)  # tests may not be root
    leave_pieces(tmp_path / "dest", sharing)
    ensure(tmp_path / "dest", str(server.folder))
    assert (tmp_path / "dest" / "large.bin").read_bytes() == LARGE
    leave_pieces(tmp_path / "other", sharing)
    server.ranges = False
    with pytest.raises(ArtifactError, match="does not answer range requests"):
        ensure(tmp_path / "other", server.url)


def test_a_mirror_that_hesitates_over_the_pieces_is_asked_again_and_else_gives_all(
    sharing: Server, others: Others, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = stores.HttpStore.pieces, []

    def pieces(store: stores.HttpStore, oid: str, size: int) -> Any:
        asked.append(oid)
        if len(asked) < failures:
            raise stores.StoreUnreachable("it answers 503")
        return real(store, oid, size)

    monkeypatch.setattr(stores.HttpStore, "pieces", pieces)
    others.give = {oid_of(LARGE): LARGE}
    for failures, shared in ((2, True), (99, False)):
        asked.clear()
        outcome = ensure(tmp_path / str(failures), sharing.url, swarm=SWARM)
        assert (tmp_path / str(failures) / "large.bin").read_bytes() == LARGE
        assert (outcome.shared, outcome.source) == (shared, sharing.url)
