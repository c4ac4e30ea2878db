# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two repositories of one name share nothing, and what version 0.1 has left is taken over without a download."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import manifest, names, stores
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.errors import ArtifactError
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.manifest import Manifest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.repository import Repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Outcome, Request
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.takeover import origin_url
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.tree import Wanted
from ansible_collections.ascend.fleet.plugins.module_utils._base import command

OURS, OTHER = "https://nowhere.invalid/Qwen-AI/model.git", "https://nowhere.invalid/Eco-Tech/model.git"
COMMIT = "c" * 40
CONTENT = b"weights " * 10_000


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://modelers.cn/Qwen-AI/Qwen3.5-27B.git", "Qwen-AI/Qwen3.5-27B"),
        ("http://mirror:8080/Qwen-AI//Qwen3.5-27B/", "Qwen-AI/Qwen3.5-27B"),
        ("ssh://git@host:22/group/sub/name.git", "group/sub/name"),
        ("git@host:Qwen-AI/Qwen3.5-27B.git", "Qwen-AI/Qwen3.5-27B"),
        ("file:///srv/Qwen-AI/model.git", "srv/Qwen-AI/model"),
        ("/srv/Qwen-AI/model.git", "srv/Qwen-AI/model"),
        ("https://host/A/my%20model", "A/my model"),
        ("Qwen-AI/Qwen3.5-27B", "Qwen-AI/Qwen3.5-27B"),
    ],
)
def test_the_path_identifies_a_repository(url: str, expected: str) -> None:
    assert names.repository_path(url) == expected
    assert names.repository_path(expected) == expected


@pytest.mark.parametrize(
    "url", ["", "https://modelers.cn", "https://modelers.cn/", "https://h/.git", "https://h/a/../b"]
)
def test_what_names_no_repository_is_refused(url: str) -> None:
    with pytest.raises(ArtifactError, match="needed a URL with the path of one"):
        names.repository_path(url)


def test_repositories_of_one_name_have_keys_and_folders_of_their_own() -> None:
    paths = ("Qwen-AI/model", "Eco-Tech/model", "a--b/c", "a/b--c", "a/b c", "a/b-c", "model")
    assert len({names.request_key(path, "main", ["*"], []) for path in paths}) == len(paths)
    assert len({names.repository_folder("https://h/" + path, "main") for path in paths}) == len(paths)
    one, two = (names.former_request_key(path, "main", ["*"], []) for path in paths[:2])
    assert one == two == names.request_key("model", "main", ["*"], [])


def make_store(folder: Path, url: str, content: bytes, commit: str = COMMIT) -> str:
    oid = hashlib.sha256(content).hexdigest()
    for name, data in (
        (stores.object_path(oid), content),
        (
            stores.manifest_path(names.request_key(names.repository_path(url), "main", ["*"], [])),
            manifest.dump_manifest(
                Manifest("model", "main", commit, (Wanted("w.bin", "", oid, len(content), True),))
            ).encode(),
        ),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


def ask(url: str, dest: Path, *sources: str, **more: Any) -> Outcome:
    arguments: dict[str, Any] = {"sources": sources, "ask_origin": False, **more}
    return Repository(Request(url, "main", str(dest), **arguments), sleep=lambda seconds: None).ensure()


def test_the_second_repository_gets_its_own_bytes(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", OURS, CONTENT)
    make_store(tmp_path / "store", OTHER, CONTENT[::-1])
    ask(OURS, tmp_path / "ours", store)
    ask(OTHER, tmp_path / "other", store)
    assert (tmp_path / "ours/w.bin").read_bytes() == CONTENT
    assert (tmp_path / "other/w.bin").read_bytes() == CONTENT[::-1]


def test_a_folder_of_another_repository_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", OURS, CONTENT)
    make_store(tmp_path / "store", OTHER, CONTENT[::-1])
    ask(OURS, tmp_path / "dest", store)
    for work in (lambda: ask(OTHER, tmp_path / "dest", store), lambda: plan(OTHER, tmp_path / "dest", store)):
        with pytest.raises(
            ArtifactError, match="files of the repository Qwen-AI/model; needed a folder for Eco-Tech/mo"
        ):
            work()
    assert not Repository(Request(OTHER, "main", str(tmp_path / "dest"))).is_settled().settled
    assert (tmp_path / "dest/w.bin").read_bytes() == CONTENT


def test_a_copy_under_another_path_is_the_same_repository(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", OURS, CONTENT)
    copy = "http://mirror.invalid/lfs/Qwen-AI/model.git"
    assert ask(copy, tmp_path / "dest", store, identity="Qwen-AI/model").changed
    assert ask(OURS, tmp_path / "dest").settled
    with pytest.raises(ArtifactError, match="Fix: write 'Qwen-AI/model'"):
        ask(copy, tmp_path / "dest", identity="/Qwen-AI/model.git")


def plan(url: str, dest: Path, *sources: str, **more: Any) -> Outcome:
    arguments: dict[str, Any] = {"sources": sources, "ask_origin": False, **more}
    scratch = dest.parent / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return Repository(Request(url, "main", str(dest), **arguments)).plan(str(scratch))


# --- what version 0.1 has left ----------------------------------------------------------------------------------------


def make_former(folder: Path, url: str, commit: str = COMMIT, origin: str | None = None) -> Path:
    """Make of a folder what version 0.1 would have left: no repository in the state, the key of the last name alone."""
    state_file = folder / ".git/ascend-fleet/state.json"
    state = json.loads(state_file.read_text())
    del state["repository"]
    (request,) = state["requests"].values()
    state["requests"] = {names.former_request_key(names.repository_path(url), "main", ["*"], []): request}
    state_file.write_text(json.dumps(state))
    if origin is not None:
        (folder / ".git/config").write_text('[core]\n\tbare = false\n[remote "origin"]\n\turl = %s\n' % origin)
        (folder / ".git/shallow").write_text(commit + "\n")
    return folder


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """What version 0.1 has brought of OURS from a mirror into a folder that has the model's name."""
    store = make_store(tmp_path / "first", OURS, CONTENT)
    ask(OURS, tmp_path / "models/Model", store)
    return make_former(tmp_path / "models/Model", OURS)


def inode(folder: Path) -> int:
    return (folder / "w.bin").stat().st_ino


def test_a_former_folder_that_git_proves_is_used_on_without_a_network(
    former: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_former_again = json.loads((former / ".git/ascend-fleet/state.json").read_text())
    assert "repository" not in make_former_again
    (former / ".git/config").write_text('[remote "origin"]\n\turl = http://elsewhere:8080/Qwen-AI/model.git\n')
    (former / ".git/shallow").write_text(COMMIT + "\n")
    monkeypatch.setattr(command, "run", lambda *argv, **options: pytest.fail("a command was run"))
    before, dest = inode(former), tmp_path / "models/Qwen-AI--model"
    assert not Repository(Request(OURS, "main", str(dest), former_dest=str(former))).is_settled().settled
    planned = plan(OURS, dest, former_dest=str(former))
    assert (planned.changed, planned.dest) == (False, str(former))
    outcome = ask(OURS, dest, former_dest=str(former))
    assert (outcome.changed, outcome.dest, outcome.commit) == (False, str(former), COMMIT)
    assert Repository(Request(OURS, "main", str(dest), former_dest=str(former))).is_settled().settled
    assert inode(former) == before
    assert not dest.exists()


def test_a_former_folder_that_a_mirror_has_filled_is_proven_by_its_commit(former: Path, tmp_path: Path) -> None:
    before, dest = inode(former), tmp_path / "models/Qwen-AI--model"
    store = Path(make_store(tmp_path / "mirror", OURS, CONTENT))
    (store / stores.object_path(hashlib.sha256(CONTENT).hexdigest())).unlink()  # nothing can be downloaded
    assert plan(OURS, dest, str(store), former_dest=str(former)).dest == str(former)
    outcome = ask(OURS, dest, str(store), former_dest=str(former))
    assert (outcome.changed, outcome.dest, inode(former)) == (False, str(former), before)
    assert ask(OURS, dest, former_dest=str(former)).settled


def test_a_former_folder_of_another_repository_is_left_alone(former: Path, tmp_path: Path) -> None:
    """The defect: the second repository was told that the first one's bytes are verified."""
    dest = tmp_path / "models/Eco-Tech--model"
    store = make_store(tmp_path / "mirror", OTHER, CONTENT[::-1], commit="d" * 40)
    outcome = ask(OTHER, dest, store, former_dest=str(former))
    assert (outcome.changed, outcome.dest) == (True, str(dest))
    assert (dest / "w.bin").read_bytes() == CONTENT[::-1]
    assert (former / "w.bin").read_bytes() == CONTENT
    assert "repository" not in json.loads((former / ".git/ascend-fleet/state.json").read_text())


def test_git_s_files_that_name_another_repository_or_commit_prove_nothing(former: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path / "mirror", OURS, CONTENT, commit="d" * 40)
    for number, (origin, commit) in enumerate(
        [("https://modelers.cn/Eco-Tech/model", COMMIT), ("https://modelers.cn/Qwen-AI/model.git", "e" * 40)]
    ):
        make = former / ".git"
        (make / "config").write_text('[remote "origin"]\n\turl = %s\n' % origin)
        (make / "shallow").write_text(commit + "\n")
        dest = tmp_path / ("dest%d" % number)
        assert ask(OURS, dest, store, former_dest=str(former)).dest == str(dest)


def test_without_a_former_folder_the_commit_decides_as_well(former: Path, tmp_path: Path) -> None:
    """The folder is the caller's own choice: it is used on, or refused, and never given to another repository."""
    store = make_store(tmp_path / "mirror", OTHER, CONTENT[::-1], commit="d" * 40)
    with pytest.raises(ArtifactError, match="it holds commit dddddddddddd, this host is at " + COMMIT):
        ask(OTHER, former, store)
    with pytest.raises(ArtifactError, match="it holds commit dddddddddddd"):
        ask(OTHER, former, store, former_dest=str(former))
    assert (former / "w.bin").read_bytes() == CONTENT
    assert not ask(OURS, former, make_store(tmp_path / "mirror", OURS, CONTENT)).changed
    assert ask(OURS, former).settled


def test_a_folder_named_after_the_repository_needs_no_other_proof(former: Path, tmp_path: Path) -> None:
    dest = tmp_path / "repositories/Qwen-AI--model"
    dest.parent.mkdir()
    former.rename(dest)
    outcome = ask(OURS, dest)
    assert (outcome.changed, outcome.settled) == (False, True)
    assert json.loads((dest / ".git/ascend-fleet/state.json").read_text())["repository"] == "Qwen-AI/model"


def test_a_store_gets_the_entry_of_the_new_key_without_a_download(former: Path, tmp_path: Path) -> None:
    dest, store = tmp_path / "repositories/Qwen-AI--model", tmp_path / "store"
    dest.parent.mkdir()
    former.rename(dest)
    assert ask(OURS, dest, store=str(store)).changed
    assert (store / stores.manifest_path(Request(OURS, "main", "/").key)).exists()
    assert ask(OURS, tmp_path / "host", str(store)).source == str(store)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is needed")
def test_the_origin_proves_a_commit(former: Path, tmp_path: Path) -> None:
    """A mirror filled the folder and none is left: the origin has the commit, or it has not."""
    bare = tmp_path / "origins/Qwen-AI/model.git"
    subprocess.run(["git", "init", "-q", "--bare", str(bare)], check=True)
    subprocess.run(["git", "-C", str(bare), "config", "uploadpack.allowAnySHA1InWant", "true"], check=True)
    env = {"GIT_%s_%s" % (who, what): "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    tree = subprocess.check_output(["git", "-C", str(bare), "mktree"], input=b"")
    commit = subprocess.check_output(
        ["git", "-C", str(bare), "commit-tree", tree.decode().strip(), "-m", "one"],
        env={**os.environ, **env},
        text=True,
    ).strip()
    subprocess.run(["git", "-C", str(bare), "update-ref", "refs/heads/main", commit], check=True)
    url = "file://%s" % bare
    identity = {"identity": "Qwen-AI/model", "former_dest": str(former), "ask_origin": True}
    state_file = former / ".git/ascend-fleet/state.json"
    unproven = state_file.read_text()
    with pytest.raises(ArtifactError, match="but not"):  # that origin has no files: the new folder was chosen
        ask(url, tmp_path / "dest", **identity)
    state_file.write_text(unproven.replace(COMMIT, commit))
    assert ask(url, tmp_path / "another", **identity).dest == str(former)


def test_origin_url() -> None:
    text = '[core]\n\turl = no\n[remote "origin"]\n\tfetch = x\n\turl = https://h/A/b.git\n[remote "x"]\n\turl = https://x/y\n'
    assert origin_url(text) == "https://h/A/b.git"
    assert origin_url("[core]\n") is None
