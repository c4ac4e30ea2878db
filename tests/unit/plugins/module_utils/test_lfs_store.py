# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from a store over real HTTP: ranges, kills, damage, servers that misbehave."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import manifest, names, stores, torrent
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import repository as _repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import swarm as _swarm
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.errors import ArtifactError
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.manifest import Manifest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.repository import Repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Outcome, Request
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.result import message_of
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.tree import Wanted

TESTS = Path(__file__).resolve().parents[3]
# A checkout is made importable by conftest.py; where ansible-test runs, it lies below ansible_collections/.
PATHS = [str(path) for path in (TESTS, *list(TESTS.parents)[3:4])]
COMMIT = "c" * 40
REPOSITORY = "https://nowhere.invalid/A/b.git"
LARGE = random.Random(1).randbytes(3_000_000)
SMALL = {"config.json": b"{}", "sub/README.md": b"hello\n"}
PORTAL = b"<html>Log in to the network</html>"
KEY = names.request_key("A/b", "main", ["*"], [])


def oid_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_store(folder: Path, files: dict[str, bytes], commit: str = COMMIT, key: str = KEY) -> Path:
    wanted = []
    for path, content in files.items():
        oid = oid_of(content)
        target = folder / "objects" / oid[:2] / oid[2:4] / oid
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        wanted.append(Wanted(path, "", oid, len(content), path.endswith(".bin")))
    (folder / "manifests").mkdir(exist_ok=True)
    text = manifest.dump_manifest(Manifest("A/b", "main", commit, tuple(wanted)))
    (folder / "manifests" / (key + ".json")).write_text(text)
    return folder


class Server:
    """A web server with ranges that counts what it sends, and may be slow, old or broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent: list[tuple[str, int, int]] = []  # path, offset, bytes of the body
        self.pause = 0.0
        self.ranges = True
        self.cut_after: int | None = None
        self.status: int | None = None
        self.portal = self.silent = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *words: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *words: Any) -> None:
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if self.portal:
            self.sent.append((handler.path, 0, len(PORTAL)))
            handler.send_response(200)
            handler.send_header("Content-Type", "text/html; charset=utf-8")
            handler.end_headers()
            handler.wfile.write(PORTAL)
            return
        file = self.folder / handler.path.lstrip("/")
        if self.silent:
            handler.close_connection = True
            return
        if self.status or not file.is_file():
            handler.send_error(self.status or 404)
            return
        content = file.read_bytes()
        asked = re.match(r"bytes=(\d+)-(\d*)$", handler.headers.get("Range") or "")
        asked = asked if self.ranges else None
        offset = int(asked.group(1)) if asked else 0
        if asked and asked.group(2):
            content = content[: int(asked.group(2)) + 1]
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", "bytes %d-%d/%d" % (offset, len(content) - 1, file.stat().st_size))
        handler.send_header("Content-Length", str(len(content) - offset))
        handler.end_headers()
        sent, end = offset, len(content)
        if self.cut_after is not None and "/objects/" in handler.path:
            end = min(end, offset + self.cut_after)
        try:
            while sent < end:
                step = content[sent : min(end, sent + 16_384)]
                handler.wfile.write(step)
                sent += len(step)
                if self.pause:
                    time.sleep(self.pause)  # the line's own speed, not a wait for something
        except OSError:
            pass
        finally:
            self.sent.append((handler.path, offset, sent - offset))

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(make_store(tmp_path / "store", {**SMALL, "large.bin": LARGE}))
    yield server
    server.close()


def request(dest: Path, *sources: str, **more: Any) -> Request:
    arguments: dict[str, Any] = {"revision": "main", "sources": sources, "ask_origin": False, **more}
    return Request(repository=REPOSITORY, dest=str(dest), **arguments)


def ensure(dest: Path, *sources: str, **more: Any) -> Outcome:
    return Repository(request(dest, *sources, **more), sleep=lambda seconds: None).ensure()


def part_of(dest: Path, content: bytes) -> Path:
    folder = dest / ".git" / "lfs" / "incomplete"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / (oid_of(content) + ".part")


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
    """SIGKILL while the bytes flow, ten times; the server's count says how much was sent twice."""
    dest = tmp_path / "dest"
    seeded = random.Random(20260401)
    server.pause = 0.004
    part = part_of(dest, LARGE)
    program = (
        "import sys; sys.path[:0] = %r; import conftest\n"
        "from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.repository import Repository\n"
        "from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Request\n"
        "Repository(Request(repository=%r, revision='main', dest=%r, sources=(%r,), ask_origin=False)).ensure()\n"
        % (PATHS, REPOSITORY, str(dest), server.url)
    )
    for point in sorted(seeded.sample(range(100_000, len(LARGE) - 200_000), 10)):
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while not part.exists() or part.stat().st_size < point:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    server.pause = 0.0
    outcome = ensure(dest, server.url)
    assert (dest / "large.bin").read_bytes() == LARGE
    assert outcome.resumed_bytes > 2_000_000
    large = [entry for entry in server.sent if oid_of(LARGE) in entry[0]]
    assert len(large) == 11
    assert [offset for _path, offset, _bytes in large[1:]] == sorted(offset for _path, offset, _bytes in large[1:])
    # What the client has written is its next offset; a chunk that was on its way at the kill may come again.
    for (_path, offset, sent), (_next, resumed, _sent) in zip(large, large[1:]):
        assert resumed > offset
        assert offset + sent - resumed <= 1024 * 1024, "more than one chunk came twice"


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
    with pytest.raises(ArtifactError, match="did not end within its deadline of 1 s"):
        ensure(tmp_path / "dest", server.url, timeout=1)
    assert time.monotonic() - begin < 10
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


# --- sharing --------------------------------------------------------------------------------------------------------


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
