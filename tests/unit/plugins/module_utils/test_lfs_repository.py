# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real git and git-lfs against a repository in a folder: what ends up on the disk, what a second run does."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import names, work_tree
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import repository as _repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.deadline import Deadline, Run
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.errors import ArtifactError
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.repository import Repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Outcome, Request
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.swarm import Settings, Swarm
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.transfer import Transfer
from ansible_collections.ascend.fleet.plugins.module_utils._base import command

pytestmark = pytest.mark.skipif(
    shutil.which("git-lfs") is None or shutil.which("git") is None, reason="git and git-lfs are needed"
)

SHARDS = {"model-0000%d-of-00002.safetensors" % n: bytes([n]) * (200_000 * n) for n in (1, 2)}
PLAIN = {
    "config.json": b"{}",
    "tokenizer.json": b'{"a": 1}',
    "tokenizer_config.json": b"{}",
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"w%d" % n: name for n, name in enumerate(SHARDS)}}
    ).encode(),
    "odd, [name] *.txt": b"\r\nbytes stay as they are\r\n",
}


def git(folder: Path, *argv: str) -> str:
    env = dict(
        os.environ,
        HOME=str(folder.parent),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_LFS_SKIP_SMUDGE="1",
        GIT_AUTHOR_NAME="t",
        GIT_AUTHOR_EMAIL="t@t",
        GIT_COMMITTER_NAME="t",
        GIT_COMMITTER_EMAIL="t@t",
    )
    return subprocess.run(
        ["git", *argv], cwd=folder, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout


@pytest.fixture(scope="module")
def origin_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("origin")
    work = base / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main", ".")
    git(work, "lfs", "install", "--local")
    (work / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.txt text eol=lf\n")
    for name, content in {**SHARDS, **PLAIN}.items():
        (work / name).write_bytes(content)
    (work / "link").symlink_to("/etc/passwd")
    git(work, "add", "-A")
    # Stored as it is, whatever the attributes say of line ends.
    git(work, "commit", "-q", "-m", "one")
    git(base, "clone", "-q", "--bare", "work", "model.git")
    shutil.copytree(work / ".git" / "lfs" / "objects", base / "model.git" / "lfs" / "objects")
    git(base / "model.git", "config", "uploadpack.allowFilter", "true")
    git(base / "model.git", "config", "uploadpack.allowAnySHA1InWant", "true")
    return base


@pytest.fixture
def origin(origin_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(origin_template, tmp_path / "origin", symlinks=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return tmp_path / "origin"


def request(origin: Path, dest: Path, **changes: Any) -> Request:
    arguments: dict[str, Any] = {
        "repository": "file://%s/model.git" % origin,
        "revision": "main",
        "dest": str(dest),
        "exclude": ("*.txt",),
    }
    return Request(**dict(arguments, **changes))


def ensure(origin: Path, dest: Path, **changes: Any) -> Outcome:
    return Repository(request(origin, dest, **changes), sleep=lambda seconds: None).ensure()


def damage(origin: Path, name: Path) -> None:
    """Overwrite a byte. git-lfs links what it takes from a folder, so the origin gets a copy of its own first."""
    objects = origin / "model.git" / "lfs" / "objects"
    shutil.copytree(objects, origin / "copies")
    shutil.rmtree(objects)
    (origin / "copies").rename(objects)
    with name.open("r+b") as handle:
        handle.write(b"X")


def no_commands(*argv: Any, **options: Any) -> None:
    raise AssertionError("a command was run: %r" % (argv,))


def test_brings_what_is_asked_for_and_nothing_else(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    outcome = ensure(origin, dest, paths=("model-00001-of-00002.safetensors", "config.json"))
    shard = SHARDS["model-00001-of-00002.safetensors"]
    assert sorted(p.name for p in dest.iterdir()) == [".git", "config.json", "model-00001-of-00002.safetensors"]
    assert (dest / "model-00001-of-00002.safetensors").read_bytes() == shard
    assert (outcome.changed, outcome.downloaded_bytes, outcome.missing_bytes) == (True, len(shard) + 2, len(shard) + 2)
    assert {w.path: (w.oid, w.size, w.lfs) for w in outcome.files} == {
        "config.json": (hashlib.sha256(b"{}").hexdigest(), 2, False),
        "model-00001-of-00002.safetensors": (hashlib.sha256(shard).hexdigest(), len(shard), True),
    }
    objects = [p for p in (dest / ".git" / "lfs" / "objects").rglob("*") if p.is_file()]
    assert [p.stat().st_ino for p in objects] == [(dest / "model-00001-of-00002.safetensors").stat().st_ino]


def test_second_run_runs_no_command_and_reads_no_file(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "dest"
    first = ensure(origin, dest, layout="model")
    shutil.rmtree(origin)
    monkeypatch.setattr(command, "run", no_commands)
    monkeypatch.setattr(work_tree, "hash_file", no_commands)
    second = ensure(origin, dest, layout="model")
    assert not second.changed
    assert second.commit == first.commit
    assert [w.path for w in second.files] == [w.path for w in first.files]
    planned = Repository(request(origin, dest, layout="model")).plan(str(tmp_path / "scratch"))
    assert not planned.changed


def test_a_dry_run_is_exact_and_writes_nothing(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    outcome = Repository(request(origin, dest)).plan(str(tmp_path / "scratch"))
    assert outcome.changed
    assert outcome.known
    assert not dest.exists()
    real = ensure(origin, dest)
    assert (outcome.missing_bytes, outcome.after, outcome.before) == (real.downloaded_bytes, real.after, {})
    assert [w.path for w in outcome.files] == [w.path for w in real.files]


def test_a_dry_run_without_git_says_so(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_repository, "missing_programs", lambda: ["git", "git-lfs"])
    outcome = Repository(request(origin, tmp_path / "dest")).plan(str(tmp_path))
    assert (outcome.changed, outcome.known) == (True, False)
    with pytest.raises(ArtifactError, match="git-lfs"):
        ensure(origin, tmp_path / "dest")


def test_a_damaged_file_comes_anew_and_a_touched_one_does_not(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    ensure(origin, dest)
    shard = dest / "model-00002-of-00002.safetensors"
    damage(origin, shard)
    outcome = ensure(origin, dest)
    assert outcome.changed
    assert outcome.downloaded_bytes == len(SHARDS[shard.name])
    assert shard.read_bytes() == SHARDS[shard.name]
    assert any("damaged" in note for note in outcome.notes)
    os.utime(shard)
    assert not ensure(origin, dest).changed


def test_rehash_finds_what_time_and_size_hide(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    ensure(origin, dest)
    shard = dest / "model-00002-of-00002.safetensors"
    before = shard.stat()
    damage(origin, shard)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not ensure(origin, dest).changed
    assert ensure(origin, dest, rehash=True).changed
    assert shard.read_bytes() == SHARDS[shard.name]


def test_a_deleted_file_comes_from_its_object(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    ensure(origin, dest)
    (dest / "model-00001-of-00002.safetensors").unlink()
    outcome = ensure(origin, dest)
    assert (outcome.changed, outcome.downloaded_bytes, outcome.missing_bytes) == (True, 0, 0)


def test_files_copied_by_hand_are_adopted(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    for name, content in SHARDS.items():
        (dest / name).write_bytes(content)
    outcome = ensure(origin, dest, paths=("*.safetensors",))
    assert (outcome.changed, outcome.downloaded_bytes) == (False, 0)


def test_a_lost_state_costs_hashing_and_no_download(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    ensure(origin, dest)
    (dest / ".git" / "ascend-fleet" / "state.json").write_text("{ damaged")
    outcome = ensure(origin, dest)
    assert (outcome.changed, outcome.downloaded_bytes) == (False, 0)


def test_what_a_killed_git_left_behind_does_not_stop_the_next(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    ensure(origin, dest, paths=("config.json",))
    for name in ("config.lock", "index.lock", "shallow.lock", "ascend-fleet/index.lock"):
        (dest / ".git" / name).write_text("")
    (dest / ".git" / "ascend-fleet" / "staging" / "x").mkdir(parents=True)
    (dest / ".git" / "ascend-fleet" / "state.json.new").write_text("{")
    assert ensure(origin, dest).changed
    assert not ensure(origin, dest).changed


def test_a_whole_orphan_becomes_the_object(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    content = SHARDS["model-00002-of-00002.safetensors"]
    oid = hashlib.sha256(content).hexdigest()
    incomplete = dest / ".git" / "lfs" / "incomplete"
    incomplete.mkdir(parents=True)
    (incomplete / (oid + "123456")).write_bytes(content)
    (incomplete / (oid + "999")).write_bytes(content[:100])
    outcome = ensure(origin, dest, paths=("model-00002-of-00002.safetensors",))
    assert outcome.resumed_bytes == len(content)
    assert outcome.downloaded_bytes == 0
    assert list(incomplete.iterdir()) == []


def test_the_largest_orphan_is_given_the_name_git_lfs_looks_for(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    incomplete = dest / ".git" / "lfs" / "incomplete"
    incomplete.mkdir(parents=True)
    oid = "ab" * 32
    (incomplete / (oid + "1")).write_bytes(b"12")
    (incomplete / (oid + "2")).write_bytes(b"1234")
    tree = work_tree.WorkTree(str(dest))
    transfer = Transfer(tree, str(tmp_path / "staging"), Swarm(str(tmp_path / "swarm"), Settings()), Run(Deadline(60)))
    assert transfer.recover({oid: 10}) == 4
    assert [(p.name, p.read_bytes()) for p in incomplete.iterdir()] == [(oid + ".part", b"1234")]


def commit_to_origin(origin: Path, name: str, content: bytes) -> None:
    work = origin / "work"
    (work / name).write_bytes(content)
    git(work, "add", name)
    git(work, "commit", "-q", "-m", "more")
    git(work, "push", "-q", "--no-verify", str(origin / "model.git"), "HEAD:main")


def test_a_revision_that_moved_is_followed_only_when_asked(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    first = ensure(origin, dest, paths=("config.json",))
    commit_to_origin(origin, "config.json", b'{"new": true}')
    assert ensure(origin, dest, paths=("config.json",)).commit == first.commit
    # Another request for the same revision is of the same commit too.
    assert ensure(origin, dest, paths=("config.json", "tokenizer.json")).commit == first.commit
    moved = ensure(origin, dest, paths=("config.json",), refresh=True)
    assert moved.moved_from == first.commit
    assert moved.changed
    assert (dest / "config.json").read_bytes() == b'{"new": true}'
    assert not ensure(origin, dest, paths=("config.json", "tokenizer.json")).changed


def test_a_revision_is_held_to_a_commit_whatever_the_branch_is_now(origin: Path, tmp_path: Path) -> None:
    first = git(origin / "model.git", "rev-parse", "main").strip()
    old = (origin / "work" / "config.json").read_bytes()
    commit_to_origin(origin, "config.json", b'{"new": true}')
    second = git(origin / "model.git", "rev-parse", "main").strip()
    dest = tmp_path / "dest"
    held = ensure(origin, dest, paths=("config.json",), commit=first)
    assert (held.commit, (dest / "config.json").read_bytes()) == (first, old)
    # The same request: with the branch alone, or told to follow it, there is nothing to do.
    assert not ensure(origin, dest, paths=("config.json",)).changed
    again = ensure(origin, dest, paths=("config.json",), commit=first, refresh=True)
    assert (again.changed, again.settled, again.commit) == (False, True, first)
    moved = ensure(origin, dest, paths=("config.json",), commit=second)
    assert (moved.changed, moved.moved_from, moved.commit) == (True, first, second)
    assert (dest / "config.json").read_bytes() == b'{"new": true}'


def test_a_host_that_has_a_commit_by_its_branch_needs_nothing_when_it_is_held_to_it(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "dest"
    first = ensure(origin, dest)
    monkeypatch.setattr(command, "run", no_commands)
    held = ensure(origin, dest, commit=first.commit)
    assert (held.changed, held.settled, held.commit) == (False, True, first.commit)


def test_requests_of_one_branch_may_be_held_to_different_commits(origin: Path, tmp_path: Path) -> None:
    first = git(origin / "model.git", "rev-parse", "main").strip()
    commit_to_origin(origin, "new.json", b"{}")
    second = git(origin / "model.git", "rev-parse", "main").strip()
    dest = tmp_path / "dest"
    for _round in range(2):
        ensure(origin, dest, paths=("config.json",), commit=first)
        found = ensure(origin, dest, paths=("new.json",), commit=second)
    assert found.settled
    assert ensure(origin, dest, paths=("config.json",), commit=first).settled


def test_weights_of_another_commit_have_a_folder_of_their_own(origin: Path, tmp_path: Path) -> None:
    """Engines read those that are there, and a rollback needs them. What is the same is not downloaded again."""
    dest = tmp_path / "models" / "dest"
    first = ensure(origin, dest, layout="model").commit
    before = {p.name: p.stat() for p in dest.iterdir() if p.is_file()}
    commit_to_origin(origin, "config.json", b'{"new": true}')
    second = git(origin / "model.git", "rev-parse", "main").strip()
    beside = Path("%s@%s" % (dest, second[:12]))
    planned = Repository(request(origin, dest, layout="model", commit=second)).plan(str(tmp_path / "scratch"))
    assert (planned.dest, planned.changed, beside.exists()) == (str(beside), True, False)
    found = ensure(origin, dest, layout="model", commit=second)
    assert (found.dest, found.commit, found.downloaded_bytes) == (str(beside), second, len(b'{"new": true}'))
    assert (beside / "config.json").read_bytes() == b'{"new": true}'
    assert {p.name: p.read_bytes() for p in beside.glob("*.safetensors")} == SHARDS
    for name, status in before.items():
        now = (dest / name).stat()
        assert (now.st_ino, now.st_size, now.st_mtime_ns) == (status.st_ino, status.st_size, status.st_mtime_ns), name
    # Each is there for whoever asks for it; without a commit that is the one that was used last.
    for commit, where in ((first, dest), (second, beside), (None, beside)):
        settled = Repository(request(origin, dest, layout="model", commit=commit)).is_settled()
        assert (settled.settled, settled.dest) == (True, str(where)), commit
    assert not ensure(origin, dest, layout="model", commit=second).changed
    # A mirror's folder is nobody's to read from, and its store has one of the two.
    assert ensure(origin, dest, layout="model", commit=second, store=str(tmp_path / "store")).dest == str(dest)


def test_a_commit_that_the_origin_has_lost_names_the_lock(origin: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"%s.*fleet_relock=true" % ("1" * 40)):
        ensure(origin, tmp_path / "dest", paths=("config.json",), commit="1" * 40)
    with pytest.raises(ArtifactError, match="full commit hash"):
        ensure(origin, tmp_path / "dest", paths=("config.json",), commit="main")


def test_a_full_commit_is_a_revision(origin: Path, tmp_path: Path) -> None:
    commit = git(origin / "model.git", "rev-parse", "main").strip()
    assert ensure(origin, tmp_path / "dest", paths=("config.json",), revision=commit).commit == commit


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"paths": ("tokeniser.json",)}, ["tokeniser.json", "near: tokenizer.json", "files"]),
        ({"paths": ("*.gguf",)}, ["*.gguf"]),
        ({"revision": "mian"}, ["mian", "main"]),
        ({"revision": "1" * 40}, ["1" * 40]),
        ({"repository": "file:///nonexistent/x.git"}, ["/nonexistent/x.git", "no repository"]),
        ({"checksums": {"config.json": "00" * 32}}, ["config.json", "00" * 32, "found sha256"]),
        ({"layout": "model", "exclude": ("tokenizer*",)}, ["no tokenizer", "tokenizer_config.json is missing"]),
        ({"layout": "model", "exclude": ("*.safetensors",)}, ["2 of the 2 shards", "model-00001-of-00002.safetensors"]),
        ({"token_file": "/nonexistent/token", "repository": "http://127.0.0.1:9/x.git"}, ["/nonexistent/token"]),
    ],
)
def test_errors_say_what_was_found_and_needed(
    origin: Path, tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ArtifactError) as caught:
        ensure(origin, tmp_path / "dest", **changes)
    for word in words:
        assert word in str(caught.value)
    assert not list((tmp_path / "dest").glob("*.safetensors"))


def test_a_token_that_others_can_read_is_refused(origin: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")
    token.chmod(0o644)
    with pytest.raises(ArtifactError, match="0644") as caught:
        ensure(origin, tmp_path / "dest", repository="http://127.0.0.1:9/x.git", token_file=str(token))
    assert "s3cret" not in str(caught.value)


def test_the_token_is_in_no_argument_and_in_no_environment(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret'\n")
    token.chmod(0o600)
    seen: list[str] = []
    helpers: list[str] = []

    def run(argv: list[str], **options: Any) -> command.Completed:
        seen.append(" ".join(argv) + repr(options.get("env")))
        for argument in argv:
            if argument.startswith("credential.https://host.example.helper=!"):
                helper = argument.partition("=!")[2]  # a shell runs it, as git does
                helpers.append(subprocess.check_output(["sh", "-c", helper + " get"], text=True))
        return command.Completed(tuple(argv), 128, "", "fatal: couldn't find remote ref x", False)

    monkeypatch.setattr(command, "run", run)
    with pytest.raises(ArtifactError):
        ensure(origin, tmp_path / "dest", repository="https://host.example/x.git", token_file=str(token))
    assert helpers[0] == "username=oauth2\npassword=s3cret'\n"
    assert not any("s3cret" in text for text in seen)


def test_a_disk_that_is_too_small_is_known_before_the_download(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr(os, "statvfs", lambda path: Small)
    dest = tmp_path / "dest"
    with pytest.raises(ArtifactError, match=r"found 40\.0 KiB free, needed 61\.6 MiB for 7 files"):
        ensure(origin, dest)
    assert not (dest / ".git" / "lfs" / "objects").exists()


def test_an_object_that_the_origin_lacks(origin: Path, tmp_path: Path) -> None:
    for path in (origin / "model.git" / "lfs" / "objects").rglob("*"):
        if path.is_file() and path.stat().st_size == 200_000:
            path.unlink()
    with pytest.raises(ArtifactError, match="downloading"):
        ensure(origin, tmp_path / "dest", retries=1)
    # The rest is in place and is not downloaded again.
    assert (tmp_path / "dest" / "model-00002-of-00002.safetensors").exists()


def test_links_in_the_folder_are_not_followed(origin: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    work = origin / "work"
    (work / "sub").mkdir()
    commit_to_origin(origin, "sub/x.json", b"{}")
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "sub").symlink_to(outside)
    with pytest.raises(ArtifactError, match="symbolic link"):
        ensure(origin, dest, paths=("sub",))
    assert list(outside.iterdir()) == []


def test_two_runs_do_not_work_on_one_folder(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    own = dest / ".git" / "ascend-fleet"
    own.mkdir(parents=True)
    with (own / "lock").open("w") as handle:
        handle.write("4711\n")
        handle.flush()
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ArtifactError, match="process 4711"):
            ensure(origin, dest, lock_timeout=0)
    assert ensure(origin, dest, lock_timeout=0).changed


def test_a_file_system_without_hard_links_keeps_one_copy(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*names: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    dest = tmp_path / "dest"
    assert ensure(origin, dest).changed
    assert not [p for p in (dest / ".git" / "lfs" / "objects").rglob("*") if p.is_file()]
    assert not ensure(origin, dest).changed


def test_bytes_of_ordinary_files_stay_as_the_repository_has_them(origin: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    ensure(origin, dest, paths=("odd, [name] *.txt",), exclude=())
    stored = subprocess.run(
        ["git", "cat-file", "blob", "main:odd, [name] *.txt"],
        cwd=origin / "model.git",
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    assert (dest / "odd, [name] *.txt").read_bytes() == stored


def test_request_key_ignores_the_order_of_names_and_the_host() -> None:
    assert names.request_key("m", "main", ["a", "b"], []) == names.request_key("m", "main", ["b", "a"], [])
    assert names.request_key("m", "main", ["a"], []) != names.request_key("m", "main", [], ["a"])


def test_a_mirror_s_store_gives_the_same_and_the_origin_the_rest(origin: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = ensure(origin, tmp_path / "mirror", layout="model", store=str(store))
    host = ensure(origin, tmp_path / "host", layout="model", sources=(str(store),), ask_origin=False)
    assert (host.commit, host.files and [w.path for w in host.files]) == (
        first.commit,
        sorted(w.path for w in first.files),
    )
    # One object is lost there: what the mirror has comes from it, the lost one from the origin.
    lost = hashlib.sha256(SHARDS["model-00002-of-00002.safetensors"]).hexdigest()
    (store / "objects" / lost[:2] / lost[2:4] / lost).unlink()
    other = ensure(origin, tmp_path / "other", layout="model", sources=(str(store),))
    assert (tmp_path / "other" / "model-00002-of-00002.safetensors").read_bytes() == SHARDS[
        "model-00002-of-00002.safetensors"
    ]
    assert other.source == request(origin, tmp_path).repository
    assert [note for note in other.notes if "passed over" in note]
    kept = hashlib.sha256(SHARDS["model-00001-of-00002.safetensors"]).hexdigest()
    assert (tmp_path / "other" / "model-00001-of-00002.safetensors").samefile(
        store / "objects" / kept[:2] / kept[2:4] / kept
    )


def test_a_clone_made_by_hand_is_adopted_and_nothing_is_downloaded(origin: Path, tmp_path: Path) -> None:
    by_hand, dest = tmp_path / "data" / "model", tmp_path / "dest"
    git(origin, "clone", "-q", "model.git", str(by_hand))
    for name, content in SHARDS.items():
        (by_hand / name).write_bytes(content)
    planned = Repository(request(origin, dest, adopt=(str(by_hand),))).plan(str(tmp_path / "scratch"))
    assert (planned.changed, planned.missing_bytes, dest.exists()) == (True, 0, False)
    outcome = ensure(origin, dest, layout="model", adopt=(str(by_hand),))
    assert (outcome.changed, outcome.downloaded_bytes, outcome.missing_bytes) == (True, 0, 0)
    assert "instead of a download" in outcome.notes[0]
    for name in SHARDS:
        assert (dest / name).stat().st_ino == (by_hand / name).stat().st_ino
    assert not ensure(origin, dest, layout="model", adopt=(str(by_hand),)).changed
    # Who serves from it by hand may remove it afterwards.
    shutil.rmtree(by_hand)
    assert not ensure(origin, dest, layout="model", adopt=(str(by_hand),)).changed
