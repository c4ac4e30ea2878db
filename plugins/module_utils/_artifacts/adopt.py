# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Use files that lie elsewhere on the host: a clone or a download that somebody has made by hand.

A file is proven by its SHA-256 where it lies, and only then gets a second name in the folder (a hard link): nothing is
copied, nothing is moved, and who uses it there is not disturbed. On another file system it is copied.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from typing import Optional, Sequence

from .._base.files import NO_LINK, remove
from .._base.progress import Progress, human_bytes
from .request import Adopted, Presence
from .state import State
from .tree import Wanted
from .work_tree import WorkTree, hash_file, hash_files, record_of


@dataclass(frozen=True)
class _Candidate:
    """A file that may be the one wanted: its size is right."""

    wanted: Wanted
    folder: str
    name: str
    #: Size, time and inode, as they were before it was hashed.
    identity: tuple[int, int, int]


def adopt(
    tree: WorkTree, state: State, presence: Presence, folders: Sequence[str], progress: Progress, *, dry: bool
) -> tuple[Presence, Adopted]:
    """Give the folder what ``folders`` hold of its absent files; with ``dry`` only say what it would get.

    Returns what is absent still, and what was adopted.
    """
    candidates = [c for c in (_candidate(w, tree, folders) for w in presence.absent) if c is not None]
    if not candidates:
        return presence, Adopted()
    notes: list[str] = []
    linked: list[_Candidate] = []
    elsewhere: list[_Candidate] = []
    for candidate, oid in zip(candidates, hash_files([c.name for c in candidates], progress)):
        if oid != candidate.wanted.oid:
            notes.append("%s is not used: its content has another hash" % candidate.name)
        elif dry or _link(tree, candidate):
            linked.append(candidate)
        else:
            elsewhere.append(candidate)
    copied = _copy_all(tree, elsewhere, progress)
    found = [*linked, *copied]
    for candidate in () if dry else found:
        state.files[candidate.wanted.path] = record_of(tree.file(candidate.wanted.path), candidate.wanted)
    notes += _notes(linked, "would be used" if dry else "are used")
    notes += _notes(copied, "were copied, as it is another file system,")
    paths = {c.wanted.path for c in found}
    left = Presence(
        tuple(w for w in presence.absent if w.path not in paths),
        tuple(w for w in presence.damaged if w.path not in paths),
    )
    return left, Adopted(tuple(c.wanted for c in found), tuple(notes))


def _notes(found: Sequence[_Candidate], what: str) -> list[str]:
    """What was made of the files of each folder."""
    notes = []
    for folder in dict.fromkeys(c.folder for c in found):
        sizes = [c.wanted.size for c in found if c.folder == folder]
        size = human_bytes(sum(sizes))
        notes.append("%d files (%s) of %s %s instead of a download" % (len(sizes), size, folder, what))
    return notes


def _copy_all(tree: WorkTree, candidates: Sequence[_Candidate], progress: Progress) -> list[_Candidate]:
    if not candidates:
        return []
    needed = sum(c.wanted.size for c in candidates)
    tree.check_disk(needed, "copies of %d files of %s" % (len(candidates), candidates[0].folder))
    done: list[int] = []
    with progress.watching("copy", lambda: sum(done), needed):
        return [c for c in candidates if _copy(tree, c, done)]


def _candidate(wanted: Wanted, tree: WorkTree, folders: Sequence[str]) -> Optional[_Candidate]:
    for folder in folders:
        # A cache holds links to what it has.
        name = os.path.realpath(os.path.join(folder, *wanted.path.split("/")))
        if os.path.realpath(tree.file(wanted.path)) == name:
            continue
        identity = _identity(name)
        if identity is not None and identity[0] == wanted.size:
            return _Candidate(wanted, folder, name, identity)
    return None


def _identity(name: str) -> Optional[tuple[int, int, int]]:
    try:
        status = os.lstat(name)
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _fresh(tree: WorkTree, candidate: _Candidate) -> str:
    name = tree.room_for(candidate.wanted.path)
    fresh = os.path.join(os.path.dirname(name), ".%s.ascend-fleet" % os.path.basename(name)[:200])
    remove(fresh)
    return fresh


def _link(tree: WorkTree, candidate: _Candidate) -> bool:
    """Give the file a second name in the folder; False where the file system does not allow it."""
    fresh = _fresh(tree, candidate)
    try:
        os.link(candidate.name, fresh)
    except OSError as exc:
        if exc.errno not in NO_LINK:
            raise
        return False
    if _identity(fresh) != candidate.identity:
        remove(fresh)  # it was written to while it was hashed
        return False
    os.replace(fresh, tree.file(candidate.wanted.path))
    return True


def _copy(tree: WorkTree, candidate: _Candidate, done: list[int]) -> bool:
    """Copy the file, and be sure that the copy is right; False where it is not."""
    fresh = _fresh(tree, candidate)
    shutil.copyfile(candidate.name, fresh)
    done.append(candidate.wanted.size)
    if hash_file(fresh) != candidate.wanted.oid:
        remove(fresh)
        return False
    os.chmod(fresh, 0o644)
    os.replace(fresh, tree.file(candidate.wanted.path))
    return True
