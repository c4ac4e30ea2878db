# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that lie elsewhere on the host are used by their hashes, and stay where they are."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import adopt as _adopt
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Presence
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.state import State
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.tree import Wanted
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.work_tree import WorkTree
from ansible_collections.ascend.fleet.plugins.module_utils._base.progress import Progress

CONTENT = {"config.json": b"{}", "deep/model-1.safetensors": b"1" * 5000, "model-2.safetensors": b"2" * 7000}


def wanted(name: str, content: bytes) -> Wanted:
    return Wanted(name, "blob", hashlib.sha256(content).hexdigest(), len(content), name.endswith(".safetensors"))


ALL = tuple(wanted(name, content) for name, content in CONTENT.items())


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What somebody has downloaded by hand."""
    folder = tmp_path / "data" / "Qwen3.5-27B"
    for name, content in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def call(dest: Path, *folders: Path, state: Any = None, dry: bool = False, absent: Any = ALL) -> Any:
    tree = WorkTree(str(dest))
    return _adopt.adopt(
        tree, state or State(), Presence(tuple(absent)), [str(f) for f in folders], Progress(None), dry=dry
    )


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_mode)
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_files_with_the_right_hash_get_a_second_name_and_stay(clone: Path, tmp_path: Path) -> None:
    dest, state, before = tmp_path / "dest", State(), snapshot(clone)
    left, adopted = call(dest, clone, state=state)
    assert left == Presence(())
    assert {w.path for w in adopted.files} == set(CONTENT)
    for name in CONTENT:
        assert (dest / name).stat().st_ino == (clone / name).stat().st_ino
    assert snapshot(clone) == before
    assert WorkTree(str(dest)).find_absent(state, ALL, False, Progress(None)) == Presence(())
    assert adopted.notes == ("3 files (11.7 KiB) of %s are used instead of a download" % clone,)


def test_another_content_is_named_and_comes_by_download(clone: Path, tmp_path: Path) -> None:
    (clone / "model-2.safetensors").write_bytes(b"X" * 7000)
    left, adopted = call(tmp_path / "dest", clone)
    assert [w.path for w in left.absent] == ["model-2.safetensors"]
    assert "model-2.safetensors is not used: its content has another hash" in adopted.notes[0]
    assert not (tmp_path / "dest" / "model-2.safetensors").exists()


@pytest.mark.parametrize("content", [b"version https://git-lfs", None])
def test_pointers_and_missing_files_are_not_even_read(clone: Path, tmp_path: Path, content: Any) -> None:
    (clone / "model-2.safetensors").unlink()
    if content:
        (clone / "model-2.safetensors").write_bytes(content)
    left, _adopted = call(tmp_path / "dest", clone)
    assert [w.path for w in left.absent] == ["model-2.safetensors"]


def test_a_dry_run_says_what_it_would_use_and_writes_nothing(clone: Path, tmp_path: Path) -> None:
    state = State()
    left, adopted = call(tmp_path / "dest", clone, state=state, dry=True)
    assert (left, len(adopted.files), state.files) == (Presence(()), 3, {})
    assert not (tmp_path / "dest").exists()
    assert "would be used" in adopted.notes[0]


def test_another_file_system_gets_a_copy(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: Any, **options: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    dest = tmp_path / "dest"
    left, adopted = call(dest, clone)
    assert left == Presence(())
    assert {p: (dest / p).read_bytes() for p in CONTENT} == CONTENT
    assert (dest / "config.json").stat().st_ino != (clone / "config.json").stat().st_ino
    assert "were copied, as it is another file system," in adopted.notes[0]


def test_a_cache_of_links_gives_what_they_lead_to(clone: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "config.json").symlink_to(clone / "config.json")
    dest = tmp_path / "dest"
    call(dest, cache, absent=ALL[:1])
    assert not (dest / "config.json").is_symlink()
    assert (dest / "config.json").read_bytes() == b"{}"


def test_a_file_that_is_written_while_it_is_hashed_is_not_linked(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _adopt.hash_files

    def written_meanwhile(names: Any, progress: Any) -> Any:
        found = real(names, progress)
        (clone / "config.json").write_bytes(b"[]")
        return found

    monkeypatch.setattr(_adopt, "hash_files", written_meanwhile)
    dest = tmp_path / "dest"
    left, _adopted = call(dest, clone, absent=ALL[:1])
    assert [w.path for w in left.absent] == ["config.json"]
    assert not (dest / "config.json").exists()


def test_a_folder_is_no_source_of_itself(clone: Path) -> None:
    left, adopted = call(clone, clone)
    assert (left.absent, adopted.files) == (ALL, ())
