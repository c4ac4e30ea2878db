# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from a store over real HTTP: ranges, kills, damage, servers that misbehave."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import manifest, names, stores
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import repository as _repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.errors import ArtifactError
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.repository import Repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.result import message_of

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lfs_server import COMMIT, KEY, LARGE, REPOSITORY, SMALL, Server, ensure, make_store, oid_of, part_of, request

TESTS = Path(__file__).resolve().parents[4]
# A checkout is made importable by conftest.py; where ansible-test runs, it lies below ansible_collections/.
PATHS = [str(path) for path in (TESTS, *list(TESTS.parents)[3:4])]


def test_everything_comes_and_the_second_run_asks_nobody(server: Server, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    outcome = ensure(dest, server.url)
    assert (dest / "large.bin").read_bytes() == LARGE
    assert (dest / "sub" / "README.md").read_bytes() == b"hello\n"
    assert (outcome.changed, outcome.commit, outcome.source) == (True, COMMIT, server.url)
    assert outcome.downloaded_bytes == len(LARGE) + sum(map(len, SMALL.values()))
    assert (dest / "large.bin").stat().st_nlink == 2, "kept once, under two names"
    asked = len(server.sent)
    again = ensure(dest, server.url)
    assert (again.changed, again.settled, len(server.sent)) == (False, True, asked)


def test_a_dry_run_tells_what_is_missing_without_writing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    planned = Repository(request(tmp_path / "dest", server.url)).plan(str(tmp_path / "scratch"))
    assert [w.path for w in planned.missing] == ["config.json", "sub/README.md", "large.bin"]
    assert not (tmp_path / "dest").exists()


def test_killed_at_ten_points_it_brings_every_byte_once(server: Server, tmp_path: Path) -> None:
    """SIGKILL in the middle of a body, ten times; the server's count says what was sent twice: nothing."""
    dest = tmp_path / "dest"
    seeded = random.Random(20260401)
    points = [start + seeded.randrange(100_000) for start in range(200_000, 2_700_000, 250_000)]
    unwritten = 65_536  # more than the file's buffer: so much of the last bytes is lost at a kill
    part = part_of(dest, LARGE)
    program = (
        "import sys; sys.path[:0] = %r; import conftest\n"
        "from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.repository import Repository\n"
        "from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Request\n"
        "Repository(Request(repository=%r, revision='main', dest=%r, sources=(%r,), ask_origin=False)).ensure()\n"
        % (PATHS, REPOSITORY, str(dest), server.url)
    )
    for point in points:
        server.hold_at = point
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while not part.exists() or part.stat().st_size < point - unwritten:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    server.hold_at = None
    outcome = ensure(dest, server.url)
    assert (dest / "large.bin").read_bytes() == LARGE
    sent = [(offset, bytes_sent) for path, offset, bytes_sent in server.sent if oid_of(LARGE) in path]
    assert [offset + bytes_sent for offset, bytes_sent in sent] == [*points, len(LARGE)]
    for point, (offset, _sent) in zip([0, *points], sent):
        assert point - unwritten < offset <= point
    assert outcome.resumed_bytes == sent[-1][0]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    part_of(dest, LARGE).write_bytes(LARGE[:1_000_000])
    server.ranges = False
    ensure(dest, server.url)
    assert (dest / "large.bin").read_bytes() == LARGE


def test_a_wrong_beginning_is_thrown_away(server: Server, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    part_of(dest, LARGE).write_bytes(b"x" * 1_000_000)
    ensure(dest, server.url)
    assert (dest / "large.bin").read_bytes() == LARGE
    assert [o for p, o, _n in server.sent if oid_of(LARGE) in p] == [1_000_000, 0]


def test_a_flipped_bit_is_found_and_only_that_object_comes_again(server: Server, tmp_path: Path) -> None:
    make_store(server.folder, {"large.bin": LARGE, "other.bin": LARGE[:500_000]})
    dest = tmp_path / "dest"
    ensure(dest, server.url)
    with (dest / "other.bin").open("r+b") as handle:
        handle.seek(250_000)
        handle.write(bytes([LARGE[250_000] ^ 1]))
    del server.sent[:]
    outcome = ensure(dest, server.url)
    assert (dest / "other.bin").read_bytes() == LARGE[:500_000]
    assert outcome.downloaded_bytes == 500_000
    assert [p for p, _o, _n in server.sent if "/objects/" in p] == ["/" + stores.object_path(oid_of(LARGE[:500_000]))]


def test_a_connection_that_always_breaks_is_followed_as_long_as_it_brings_something(
    server: Server, tmp_path: Path
) -> None:
    server.cut_after = 400_000
    ensure(tmp_path / "dest", server.url)
    assert (tmp_path / "dest" / "large.bin").read_bytes() == LARGE
    assert len([p for p, _o, _n in server.sent if oid_of(LARGE) in p]) == 8


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda server: setattr(server, "status", 503), "it answers 503"),
        (lambda server: setattr(server, "status", 403), "it answers 403"),
        (lambda server: setattr(server, "status", 500), "a fault of its own"),
        (lambda server: setattr(server, "portal", True), "it answers with a web page instead of manifests/"),
        (lambda server: setattr(server, "silent", True), "takes the connection and gives no answer"),
        (lambda server: setattr(server, "cut_after", 0), "too early"),
        (lambda server: (server.folder / "manifests" / (KEY + ".json")).write_text("{}"), "cannot be read"),
        (lambda server: (server.folder / "manifests" / (KEY + ".json")).unlink(), "it answers 404 for manifests"),
        (
            lambda server: (server.folder / stores.object_path(oid_of(LARGE))).write_bytes(LARGE[::-1]),
            "another content",
        ),
        (lambda server: (server.folder / stores.object_path(oid_of(LARGE))).unlink(), "it answers 404 for objects"),
    ],
)
def test_the_next_source_goes_on_where_a_broken_one_stopped(
    server: Server, tmp_path: Path, break_it: Any, words: str
) -> None:
    good = make_store(tmp_path / "good", {**SMALL, "large.bin": LARGE})
    break_it(server)
    with pytest.raises(ArtifactError, match=words):
        ensure(tmp_path / "alone", server.url)
    outcome = ensure(tmp_path / "dest", server.url, str(good))
    assert (tmp_path / "dest" / "large.bin").read_bytes() == LARGE
    assert outcome.source == str(good)
    assert any(words in note and server.url in note for note in outcome.notes)


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not answer") as caught:
        ensure(tmp_path / "dest", "http://127.0.0.1:9")
    assert "origin is not to be asked" in str(caught.value)
    with pytest.raises(ArtifactError, match="needed is a URL"):
        ensure(tmp_path / "dest", "ftp://x")


def test_a_host_stays_at_its_commit_until_it_is_told_to_follow(server: Server, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    ensure(dest, server.url)
    make_store(server.folder, {**SMALL, "config.json": b'{"new": 1}', "large.bin": LARGE}, commit="d" * 40)
    (dest / "config.json").unlink()
    with pytest.raises(ArtifactError, match="it holds commit dddddddddddd, this host is at " + COMMIT):
        ensure(dest, server.url)
    followed = ensure(dest, server.url, refresh=True)
    assert (followed.commit, followed.moved_from) == ("d" * 40, COMMIT)
    assert (dest / "config.json").read_bytes() == b'{"new": 1}'


def test_following_tells_what_it_removes_and_a_dry_run_tells_the_same(server: Server, tmp_path: Path) -> None:
    """Only a removal, no download: it is a change, with a diff, in a dry run too."""
    dest, gone = tmp_path / "dest", b"gone" * 1000
    make_store(server.folder, {**SMALL, "large.bin": LARGE, "gone.bin": gone})
    ensure(dest, server.url)
    make_store(server.folder, {**SMALL, "large.bin": LARGE}, commit="d" * 40)
    (tmp_path / "scratch").mkdir()
    planned = Repository(request(dest, server.url, refresh=True)).plan(str(tmp_path / "scratch"))
    assert (dest / "gone.bin").exists()
    outcome = ensure(dest, server.url, refresh=True)
    assert not (dest / "gone.bin").exists()
    for found in (planned, outcome):
        assert (found.changed, found.removed, found.missing) == (True, ["gone.bin"], [])
        assert set(found.before) - set(found.after) == {"gone.bin"}
        assert found.before["gone.bin"] == (oid_of(gone), len(gone))
        assert (found.moved_from, found.commit) == (COMMIT, "d" * 40)
    assert "1 files of the commit before are removed" in message_of(request(dest), outcome)
    again = ensure(dest, server.url, refresh=True)
    assert (again.changed, again.removed, again.moved_from) == (False, [], None)


def test_a_mirror_that_dribbles_is_ended_by_the_deadline_and_not_passed_over(server: Server, tmp_path: Path) -> None:
    server.pause = 0.1
    begin = time.monotonic()
    with pytest.raises(ArtifactError, match="did not end within its deadline of 3 s"):
        ensure(tmp_path / "dest", server.url, timeout=3)
    assert time.monotonic() - begin < 15
    server.pause = 0.0
    outcome = ensure(tmp_path / "dest", server.url)
    assert outcome.resumed_bytes > 0
    assert (tmp_path / "dest" / "large.bin").read_bytes() == LARGE


def test_a_mirror_that_always_breaks_is_ended_by_the_deadline(server: Server, tmp_path: Path) -> None:
    server.cut_after = 16_384
    server.pause = 0.05
    with pytest.raises(ArtifactError, match="did not end within its deadline"):
        ensure(tmp_path / "dest", server.url, timeout=1)


def no_second_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*names: Any, **options: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)


class Reads:
    """Counts the bytes that are read of a store's objects."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        real, outer = stores._chunks, self

        def chunks(reader: Any) -> Iterator[bytes]:
            for chunk in real(reader):
                outer.bytes += len(chunk)
                yield chunk

        monkeypatch.setattr(stores, "_chunks", chunks)


def test_a_copy_from_a_folder_is_hashed_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, dest = make_store(tmp_path / "store", {"large.bin": LARGE}), tmp_path / "dest"
    no_second_names(monkeypatch)
    reads = Reads(monkeypatch)
    part_of(dest, LARGE).write_bytes(LARGE[:1_000_000])
    outcome = ensure(dest, str(store))
    assert (dest / "large.bin").read_bytes() == LARGE
    assert outcome.resumed_bytes == 1_000_000
    assert reads.bytes == len(LARGE) - 1_000_000, "what was there is not read again, and nothing is read twice"
    (store / stores.object_path(oid_of(LARGE))).write_bytes(LARGE[::-1])
    with pytest.raises(ArtifactError, match="is damaged"):
        ensure(tmp_path / "other", str(store))
    assert not (tmp_path / "other" / "large.bin").exists()


def test_a_second_name_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "store", {"large.bin": LARGE})
    reads = Reads(monkeypatch)
    ensure(tmp_path / "dest", str(store))
    assert (tmp_path / "dest" / "large.bin").samefile(store / stores.object_path(oid_of(LARGE)))
    assert reads.bytes == len(LARGE)


def test_a_published_copy_is_verified_before_it_gets_its_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(tmp_path / "dest", server.url)
    no_second_names(monkeypatch)
    real = stores._chunks
    monkeypatch.setattr(stores, "_chunks", lambda reader: (chunk[::-1] for chunk in real(reader)))
    target = tmp_path / "mine" / stores.object_path(oid_of(LARGE))
    with pytest.raises(ArtifactError, match="in the store has another content: found sha256"):
        ensure(tmp_path / "dest", server.url, store=str(tmp_path / "mine"))
    assert not target.exists()
    assert not list((tmp_path / "mine").rglob("manifests/*"))
    monkeypatch.setattr(stores, "_chunks", real)
    assert ensure(tmp_path / "dest", server.url, store=str(tmp_path / "mine")).changed
    assert target.read_bytes() == LARGE


def test_a_disk_that_fills_up_is_no_fault_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "store", {"large.bin": LARGE})
    no_second_names(monkeypatch)

    def fsync(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        ensure(tmp_path / "dest", str(store))


def test_pins_hold_for_mirrors_too(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not the pinned file"):
        ensure(tmp_path / "dest", server.url, checksums={"large.bin": "0" * 64})
    with pytest.raises(ArtifactError, match="does not give a complete model"):
        ensure(tmp_path / "dest", server.url, layout="model")


def test_a_disk_that_is_too_small_is_known_before_any_large_byte(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr(os, "statvfs", lambda path: Small)
    with pytest.raises(ArtifactError, match="not enough room"):
        ensure(tmp_path / "dest", server.url)
    assert not any(oid_of(LARGE) in path for path, _o, _n in server.sent)


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../x"},
        {"path": "/etc/passwd"},
        {"path": ".git/config"},
        {"path": "a\0b"},
        {"oid": "../../x"},
        {"oid": "g" * 64},
        {"size": -1},
        {"size": "1"},
    ],
)
def test_a_manifest_that_would_lead_astray_is_none(change: dict[str, Any]) -> None:
    entry = {"path": "a", "oid": "0" * 64, "size": 1, "lfs": True, **change}
    text = json.dumps({"version": 1, "repository": "b", "revision": "main", "commit": COMMIT, "files": [entry]})
    assert manifest.parse_manifest(text) is None


def test_a_revision_that_moved_leaves_nothing_of_the_former(server: Server, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    kept, gone = b"kept" * 1000, b"gone" * 1000
    make_store(server.folder, {**SMALL, "large.bin": LARGE, "kept.bin": kept, "gone.bin": gone})
    make_store(server.folder, {"kept.bin": kept}, key=names.request_key("A/b", "main", ["kept.bin"], []))
    ensure(dest, server.url)
    ensure(dest, server.url, paths=("kept.bin",))
    make_store(server.folder, {**SMALL, "large.bin": LARGE[::-1]}, commit="d" * 40)
    ensure(dest, server.url, refresh=True)
    assert sorted(p.name for p in dest.iterdir()) == [".git", "config.json", "kept.bin", "large.bin", "sub"]
    objects = [p.name for p in (dest / ".git/lfs/objects").rglob("*") if p.is_file()]
    assert sorted(objects) == sorted([oid_of(LARGE[::-1]), oid_of(kept)])
    assert ensure(dest).settled


def test_what_a_store_holds_is_published_readable_and_once(server: Server, tmp_path: Path) -> None:
    store = tmp_path / "mine" / "store"
    before = os.umask(0o077)
    try:
        outcome = ensure(tmp_path / "dest", server.url, store=str(store))
    finally:
        os.umask(before)
    assert outcome.changed
    target = store / stores.object_path(oid_of(LARGE))
    assert target.samefile(tmp_path / "dest" / "large.bin")
    for path in [store, *store.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o005 == (0o005 if path.is_dir() else 0o004), path
    assert not ensure(tmp_path / "dest", store=str(store)).changed
    target.unlink()
    assert not Repository(request(tmp_path / "dest", store=str(store))).is_settled().settled
    assert ensure(tmp_path / "dest", store=str(store)).changed
    assert target.exists()
    # And it is a store: another host takes all of it.
    ensure(tmp_path / "third", str(store))
    assert (tmp_path / "third" / "large.bin").read_bytes() == LARGE


def test_a_damaged_folder_is_passed_over(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"large.bin": LARGE})
    (store / stores.object_path(oid_of(LARGE))).write_bytes(LARGE[::-1])
    with pytest.raises(ArtifactError, match="is damaged"):
        ensure(tmp_path / "dest", str(store))
    assert not (tmp_path / "dest" / "large.bin").exists()


def test_proxies_of_the_environment_are_not_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ensure(tmp_path / "dest", server.url).changed


def test_the_module_needs_no_git_for_a_mirror(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_repository, "missing_programs", lambda: ["git", "git-lfs"])
    assert ensure(tmp_path / "dest", server.url).changed
    with pytest.raises(ArtifactError, match="needed are git and git-lfs") as caught:
        ensure(tmp_path / "other", "http://127.0.0.1:9", ask_origin=True)
    assert "http://127.0.0.1:9 was passed over" in str(caught.value)
