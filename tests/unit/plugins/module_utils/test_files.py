# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one writer of whole files, and the reader of those that may not be there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base import files


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    target = tmp_path / "vllm-a@0.service"
    gone, living = tmp_path / ".vllm-a@0.service.999999999.tmp", tmp_path / ".vllm-a@0.service.1.tmp"
    other = tmp_path / ".vllm-a@1.service.999999999.tmp"
    for path in (gone, living, other):
        path.write_text("half")
    files.write_atomically(str(target), "whole\n", 0o600)
    assert sorted(tmp_path.iterdir()) == sorted([living, other, target])
    assert target.read_text() == "whole\n"
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "vllm-a@0.service"
    target.write_text("old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(str(target), "new", 0o644)
    assert [p.name for p in tmp_path.iterdir()] == [target.name]
    assert target.read_text() == "old"


def test_a_secret_has_its_mode_before_it_has_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    before = os.fchmod

    def fchmod(fd: int, mode: int) -> None:
        seen.append((os.fstat(fd).st_size, os.fstat(fd).st_mode & 0o777))
        before(fd, mode)

    monkeypatch.setattr(files.os, "fchmod", fchmod)
    files.write_atomically(str(tmp_path / "key"), "secret", 0o640)
    assert seen == [(0, 0o600)]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o640


def test_without_a_mode_the_umask_decides(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_atomically(str(tmp_path / "report"), "text")
    finally:
        os.umask(before)
    assert (tmp_path / "report").stat().st_mode & 0o777 == 0o640


def test_bytes_that_are_no_text_are_written_as_they_were_read(tmp_path: Path) -> None:
    text = b"Description=\xff\n".decode("utf-8", "surrogateescape")
    files.write_atomically(str(tmp_path / "unit"), text)
    assert (tmp_path / "unit").read_bytes() == b"Description=\xff\n"


def test_a_folder_is_made_where_it_is_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file"
    with pytest.raises(FileNotFoundError):
        files.write_atomically(str(target), "text")
    files.write_atomically(str(target), "text", folder_mode=0o700)
    assert target.read_text() == "text"
    assert target.parent.stat().st_mode & 0o777 == 0o700
    files.write_atomically(str(target), "more", folder_mode=0o755)
    assert target.parent.stat().st_mode & 0o777 == 0o700, "a folder that is there stays as it is"


def test_a_file_that_may_not_be_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\xff\n")
    assert files.read_text(str(tmp_path / "file")) == "a\ufffd\n"
    assert files.read_text(str(tmp_path / "file"), "surrogateescape") == "a\udcff\n"
    assert files.read_text(str(tmp_path / "missing")) is None
    with pytest.raises(IsADirectoryError):
        files.read_text(str(tmp_path))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic"):
        files.read_text(str(tmp_path / "loop"))
