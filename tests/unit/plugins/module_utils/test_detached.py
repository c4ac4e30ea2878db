# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ended jobs have left is removed; what belongs to living ones, or to others, is not."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ansible_collections.ascend.fleet.plugins.module_utils._base.detached import remove_leftovers


def age(path: Path, seconds: float = 3600) -> Path:
    os.utime(path, (time.time() - seconds, time.time() - seconds))
    return path


def job(base: Path, name: str, word: str | None, old: bool = True) -> Path:
    folder = base / name
    folder.mkdir(parents=True)
    (folder / "progress").write_text("{}")
    if word:
        (folder / (word + ".77")).write_text('{"changed": true}')
    return age(folder) if old else folder


def process(proc: Path, pid: int, *argv: str) -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_bytes("\0".join(argv).encode() + b"\0")


def test_what_ended_jobs_have_left(tmp_path: Path) -> None:
    base, proc = tmp_path / "async", tmp_path / "proc"
    ended = job(base, "ascend-fleet-1", "j111")
    living = job(base, "ascend-fleet-2", "j222")
    young = job(base, "ascend-fleet-3", None, old=False)
    empty = job(base, "ascend-fleet-4", None)
    own = job(base, "ascend-fleet-5", "j555")
    former = base / "ascend-fleet-17.progress"
    former.write_text("{}")
    age(former)
    others = base / "j999.1"
    others.write_text("{}")
    age(others)
    process(proc, 10, "python3", "AnsiballZ_async_wrapper.py", "j222", "86400", "module.py")
    process(proc, 11, "sshd")
    (proc / "meminfo").write_text("")
    assert remove_leftovers(str(own / "progress"), str(proc)) == [str(ended), str(former), str(empty)]
    assert sorted(p.name for p in base.iterdir()) == [living.name, young.name, own.name, others.name]
    assert remove_leftovers(str(own / "progress"), str(proc)) == []


def test_where_processes_are_not_shown_nothing_is_removed(tmp_path: Path) -> None:
    ended = job(tmp_path / "async", "ascend-fleet-1", "j111")
    assert remove_leftovers(str(tmp_path / "async" / "ascend-fleet-9" / "progress"), str(tmp_path / "none")) == []
    assert ended.exists()


def test_where_no_job_ever_ran(tmp_path: Path) -> None:
    assert remove_leftovers(str(tmp_path / "async" / "ascend-fleet-9" / "progress")) == []
    assert remove_leftovers(None) == []
