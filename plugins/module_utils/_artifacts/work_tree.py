# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One folder with files of one repository: where everything lies in it, what of it is in place, and its state."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterable, Mapping, Optional, Sequence

from .._base.disk import disk_problem
from .._base.files import NO_LINK, remove, write_atomically
from .._base.progress import Progress
from .errors import ArtifactError
from .request import Presence
from .rescue import Partial, plan_rescue
from .state import Record, State, dump_state, load_state
from .tree import Wanted

_CHUNK = 8 * 1024 * 1024
#: What git needs itself: trees, small files, its temporary packs.
_GIT_ROOM = 64 * 1000 * 1000


class WorkTree:
    """A folder (``dest``) of files, with git's folder and ours in it."""

    def __init__(self, dest: str) -> None:
        self.dest = dest
        self.git_dir = os.path.join(dest, ".git")
        self.own_dir = os.path.join(self.git_dir, "ascend-fleet")
        self.object_root = os.path.join(self.git_dir, "lfs", "objects")

    # --- where things are ---------------------------------------------------------------------------------------------

    def file(self, path: str) -> str:
        """The name of a file of the repository."""
        return os.path.join(self.dest, *path.split("/"))

    def object(self, oid: str) -> str:
        """The name of a git-lfs object."""
        return os.path.join(self.object_root, oid[:2], oid[2:4], oid)

    def part(self, oid: str) -> str:
        """The name of an unfinished object: the one from which git-lfs goes on."""
        return os.path.join(self.git_dir, "lfs", "incomplete", oid + ".part")

    def has_object(self, w: Wanted) -> bool:
        """Whether an object is there, by its size."""
        return size_of(self.object(w.oid)) == w.size

    def partials(self) -> list[Partial]:
        """The unfinished files of earlier downloads."""
        found = []
        for folder in ("incomplete", "tmp"):
            place = os.path.join(self.git_dir, "lfs", folder)
            for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
                full = os.path.join(place, name)
                size = size_of(full)
                if size is not None and os.path.isfile(full):
                    found.append(Partial(full, size))
        return found

    # --- what is remembered -------------------------------------------------------------------------------------------

    @property
    def state_file(self) -> str:
        """Where the state is."""
        return os.path.join(self.own_dir, "state.json")

    def load_state(self) -> State:
        """Read what earlier runs have verified; nothing where none has run."""
        try:
            with open(self.state_file, encoding="utf-8", errors="replace") as handle:
                return load_state(handle.read(), os.fstat(handle.fileno()).st_mtime)
        except FileNotFoundError:
            return State()

    def save_state(self, state: State) -> None:
        """Remember."""
        os.makedirs(self.own_dir, exist_ok=True)
        write_atomically(self.state_file, dump_state(state))

    def is_untouched(self, path: str, record: Record) -> bool:
        """Whether a file is as it was when it was verified."""
        try:
            status = os.lstat(self.file(path))
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns, status.st_ino) == (
            record.size,
            record.mtime_ns,
            record.inode,
        )

    def recorded_files(self, state: State, key: str) -> Optional[list[Wanted]]:
        """Return the files of a request, when an earlier run verified all and nothing was touched since; else None."""
        if key not in state.requests:
            return None
        files: Mapping[str, str] = state.requests[key]["files"]
        found = []
        for path, oid in sorted(files.items()):
            record = state.files.get(path)
            if record is None or record.oid != oid or not self.is_untouched(path, record):
                return None
            found.append(Wanted(path, "", record.oid, record.size, record.lfs))
        return found

    # --- what is there and what is not --------------------------------------------------------------------------------

    def find_absent(self, state: State, wanted: Sequence[Wanted], rehash: bool, progress: Progress) -> Presence:
        """Return what is not in place; whatever is there unrecorded is hashed and, when right, recorded."""
        absent: set[str] = set()
        unsure: list[Wanted] = []
        for w in wanted:
            record = state.files.get(w.path)
            if record is not None and self.is_untouched(w.path, record):
                if record.oid != w.oid:
                    absent.add(w.path)  # another version of the file: no need to read it
                    continue
                if not rehash:
                    continue
            name = self.file(w.path)
            if os.path.isfile(name) and not os.path.islink(name) and os.path.getsize(name) == w.size:
                unsure.append(w)
            else:
                absent.add(w.path)
        damaged = []
        for w, oid in zip(unsure, hash_files([self.file(w.path) for w in unsure], progress)):
            if oid == w.oid:
                state.files[w.path] = record_of(self.file(w.path), w)
            else:
                state.files.pop(w.path, None)
                damaged.append(w)
        absent |= {w.path for w in damaged}
        return Presence(tuple(w for w in wanted if w.path in absent), tuple(damaged))

    def bytes_here(self, presence: Presence, received: Callable[[str], int]) -> int:
        """How many bytes of the absent git-lfs files are here already: as objects, or unfinished.

        ``received`` says what of an object other hosts have given.
        """
        damaged = {w.oid for w in presence.damaged}
        sizes = {w.oid: w.size for w in presence.absent if w.lfs}
        # The object of a damaged file is the same bytes, hence damaged too.
        stored = {oid for oid, size in sizes.items() if oid not in damaged and size_of(self.object(oid)) == size}
        return sum(sizes[oid] for oid in stored) + self.bytes_begun(sizes, received)

    def bytes_begun(self, sizes: Mapping[str, int], received: Callable[[str], int]) -> int:
        """How many bytes of these objects an earlier run has left unfinished."""
        rescue = plan_rescue(self.partials(), sizes)
        pieces = {oid: partial.size for oid, partial in (*rescue.keep.items(), *rescue.whole.items())}
        return sum(max(pieces.get(oid, 0), received(oid)) for oid in sizes)

    def bytes_arrived(self, sizes: Mapping[str, int], received: Callable[[str], int]) -> int:
        """How many bytes of these objects are here, finished or not, while they come."""
        pieces: dict[str, int] = {}
        for partial in self.partials():
            oid = os.path.basename(partial.file)[:64]
            pieces[oid] = max(pieces.get(oid, 0), partial.size)
        return sum(size_of(self.object(oid)) or max(pieces.get(oid, 0), received(oid)) for oid in sizes)

    def existing(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that are there."""
        return {path for path in paths if os.path.lexists(self.file(path))}

    def check_disk(self, needed: int, what: str) -> None:
        """Refuse what does not fit: ``needed`` bytes beside what git needs itself."""
        place = self.dest
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        status = os.statvfs(place)
        problem = disk_problem(
            needed=needed + _GIT_ROOM,
            free=status.f_bavail * status.f_frsize,
            place=self.dest,
            mount=_mount_of(place),
            what=what,
        )
        if problem:
            raise ArtifactError(problem)

    # --- putting in place ---------------------------------------------------------------------------------------------

    def keep_object(self, name: str, oid: str) -> None:
        """Give a file that was verified its place among git-lfs' objects."""
        os.makedirs(os.path.dirname(self.object(oid)), exist_ok=True)
        os.replace(name, self.object(oid))
        remove(self.part(oid))

    def place(self, source: str, w: Wanted) -> Record:
        """Give ``source`` the name it has in the folder: the same bytes under a second name, never a copy."""
        name = self.room_for(w.path)
        fresh = os.path.join(os.path.dirname(name), ".%s.ascend-fleet" % os.path.basename(name)[:200])
        remove(fresh)
        os.chmod(source, 0o644)
        _sync(source)
        if w.lfs:
            try:
                os.link(source, fresh)
            except OSError as exc:
                if exc.errno not in NO_LINK:
                    raise
                # A file system without hard links: the folder keeps the only copy.
                shutil.move(source, fresh)
        else:
            shutil.copyfile(source, fresh)
        os.replace(fresh, name)
        return record_of(name, w)

    def room_for(self, path: str) -> str:
        """The name of a file, with the folders above it; a link among them would lead out, so it is refused."""
        name = self.file(path)
        folder = self.dest
        os.makedirs(folder, mode=0o755, exist_ok=True)
        for part in os.path.relpath(os.path.dirname(name), self.dest).split(os.sep):
            if part == ".":
                continue
            folder = os.path.join(folder, part)
            if os.path.islink(folder):
                raise ArtifactError("%s is a symbolic link; needed is a folder there. Remove the link." % folder)
            os.makedirs(folder, mode=0o755, exist_ok=True)
        if os.path.isdir(name) and not os.path.islink(name):
            raise ArtifactError("%s is a folder; needed is a file there. Remove the folder." % name)
        return name


def record_of(name: str, w: Wanted) -> Record:
    """Return what is remembered of a file that was verified."""
    status = os.lstat(name)
    return Record(oid=w.oid, size=w.size, mtime_ns=status.st_mtime_ns, inode=status.st_ino, lfs=w.lfs)


def hash_file(name: str, count: Callable[[int], None] = lambda length: None) -> str:
    """Return the SHA-256 of a file; ``count`` is called with the bytes read. OSError as open() raises it."""
    digest = hashlib.sha256()
    with open(name, "rb") as handle:
        for chunk in iter(lambda: handle.read(_CHUNK), b""):
            digest.update(chunk)
            count(len(chunk))
    return digest.hexdigest()


def hash_files(names: Sequence[str], progress: Progress) -> list[str]:
    """Hash several files, a few at a time: hashlib lets other threads run."""
    if not names:
        return []
    hashed: list[int] = []
    total = sum(size_of(name) or 0 for name in names)
    with (
        progress.watching("verify", lambda: sum(hashed), total),
        ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool,
    ):
        return list(pool.map(lambda name: hash_file(name, hashed.append), names))


def size_of(name: str) -> Optional[int]:
    """The bytes of a file, or None where there is none."""
    try:
        return os.path.getsize(name)
    except OSError:
        return None


def _sync(name: str) -> None:
    fd = os.open(name, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _mount_of(place: str) -> str:
    place = os.path.realpath(place)
    while not os.path.ismount(place):
        place = os.path.dirname(place)
    return place
