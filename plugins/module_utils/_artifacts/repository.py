# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring named files of a git-lfs repository into a folder: from a mirror's store or by git-lfs, resumable, once."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import stat
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable, Iterable, Mapping, Optional, Sequence, TypeVar
from urllib.parse import urlsplit

from .._base import command
from .._base import progress as _progress
from .._base.disk import disk_problem
from .._base.files import NO_LINK, remove, write_atomically
from .._base.locks import shared_lock, try_lock
from . import lfs as _lfs
from . import stores, torrent
from . import swarm as _swarm
from .lfs import ArtifactError, Record, State, Wanted

_CHUNK = 8 * 1024 * 1024
#: What git needs itself: trees, small files, its temporary packs.
_GIT_ROOM = 64 * 1000 * 1000
_METADATA_SECONDS = 600.0
_T = TypeVar("_T")


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    repository: str
    revision: str
    dest: str
    paths: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)
    layout: str = "files"
    ca_path: Optional[str] = None
    sources_ca_path: Optional[str] = None
    token_file: Optional[str] = None
    token_user: str = "oauth2"  # noqa: S105 - a name
    commit: Optional[str] = None
    refresh: bool = False
    rehash: bool = False
    timeout: float = 86400.0
    lock_timeout: float = 600.0
    retries: int = 5
    progress: Optional[str] = None
    sources: tuple[str, ...] = ()
    ask_origin: bool = True
    store: Optional[str] = None
    share: bool = False
    swarm: _swarm.Settings = field(default_factory=_swarm.Settings)

    @property
    def key(self) -> str:
        """What identifies the request on every host."""
        key: str = _lfs.request_key(_lfs.repository_name(self.repository), self.revision, self.paths, self.exclude)
        return key


@dataclass
class Outcome:
    """What was found and done."""

    changed: bool = False
    known: bool = True
    settled: bool = False
    commit: Optional[str] = None
    moved_from: Optional[str] = None
    source: Optional[str] = None
    missing: list[Wanted] = field(default_factory=list)
    files: list[Wanted] = field(default_factory=list)
    missing_bytes: int = 0
    downloaded_bytes: int = 0
    resumed_bytes: int = 0
    shared: bool = False
    before: dict[str, tuple[str, int]] = field(default_factory=dict)
    after: dict[str, tuple[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Repository:
    """One folder (``dest``) with files of one git-lfs repository."""

    def __init__(self, request: Request, sleep: Callable[[float], None] = time.sleep) -> None:
        _lfs.check_repository(request.repository)
        _lfs.check_revision(request.revision)
        if request.commit and not _lfs.is_commit(request.commit):
            raise ArtifactError(
                "found commit %r; needed a full commit hash of 40 or 64 hexadecimal digits" % request.commit
            )
        self.request = request
        self.dest = request.dest
        self.git_dir = os.path.join(request.dest, ".git")
        self.own_dir = os.path.join(self.git_dir, "ascend-fleet")
        self.outcome = Outcome()
        self._sleep = sleep
        self._deadline = time.monotonic() + request.timeout
        self._lock_fd: Optional[int] = None
        self._secrets: Optional[str] = None
        self._damaged: set[str] = set()
        self._progress = _progress.Progress(request.progress)
        self._hashed = 0
        self._patience = 3
        self._swarm = _swarm.Swarm(os.path.join(self.own_dir, "swarm"), request.swarm)

    # --- the two ways to run ----------------------------------------------------------------------------------------

    def ensure(self) -> Outcome:
        """Make everything asked for present, complete and verified."""
        self._lock()
        try:
            return self._ensure()
        finally:
            self._progress.close()
            self._drop_secrets()
            if self._lock_fd is not None:
                os.close(self._lock_fd)

    def peek(self) -> Outcome:
        """Say only whether everything is in place and remembered: a few reads of the file system."""
        if not self.request.rehash:
            self._all_recorded(self._load_state())
            self.outcome.settled = self.outcome.settled and self._is_published()
        return self.outcome

    def foresee(self, scratch: str) -> Outcome:
        """Say what ``ensure`` would do, writing to ``scratch`` only."""
        self._patience = 1  # of no consequence here, and often the mirror is not there yet
        state = self._load_state()
        if self._all_recorded(state):
            self.outcome.changed = not self._is_published()
            return self.outcome
        real, self.git_dir = self.git_dir, os.path.join(scratch, "repository")
        self.own_dir = os.path.join(self.git_dir, "ascend-fleet")
        os.makedirs(self.own_dir, exist_ok=True)
        try:
            for store in self._stores():
                try:
                    wanted = self._resolve_from(store, state)
                    break
                except stores.StoreError as exc:
                    self._note(store, exc)
            else:
                if not self.request.ask_origin:
                    raise self._no_source()
                if _which("git") is None:
                    self.outcome.changed, self.outcome.known = True, False
                    self.outcome.notes.append("git is not installed yet, so what would be downloaded cannot be told")
                    return self.outcome
                wanted = self._resolve(state)
        finally:
            self._drop_secrets()
            self.git_dir = real
        absent = self._absent(state, wanted)
        self._measure(state, wanted, absent)
        # Here too: a disk that is too small is better known before than after.
        self._check_disk(absent)
        return self.outcome

    def _ensure(self) -> Outcome:
        state = self._load_state()
        if not self.request.rehash and self._all_recorded(state):
            self.outcome.changed = self._publish()
            return self.outcome
        for store in self._stores():
            try:
                wanted = self._resolve_from(store, state)
                absent = self._foretell(state, wanted)
                self._bring_from(store, absent, state)
                self.outcome.source = store.name
                return self._conclude(state, wanted, absent)
            except stores.StoreError as exc:
                self._note(store, exc)
        if not self.request.ask_origin:
            raise self._no_source()
        if _which("git") is None or _which("git-lfs") is None:
            raise ArtifactError(
                "found no %s on this host; needed are git and git-lfs. Install the packages git and git-lfs.%s"
                % (
                    " and no ".join(name for name in ("git", "git-lfs") if _which(name) is None),
                    "".join(" " + note for note in self.outcome.notes),
                )
            )
        wanted = self._resolve(state)
        absent = self._foretell(state, wanted)
        self._bring_plain([w for w in absent if not w.lfs], state)
        self._bring_objects([w for w in absent if w.lfs], state)
        self.outcome.source = self.request.repository
        return self._conclude(state, wanted, absent)

    def _foretell(self, state: State, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Say what has to come, and refuse when it does not fit."""
        absent = self._absent(state, wanted)
        self._measure(state, wanted, absent)
        self._check_disk(absent)
        return absent

    def _conclude(self, state: State, wanted: Sequence[Wanted], absent: Sequence[Wanted]) -> Outcome:
        """Everything is in place: remember it, and hand it on."""
        paths, objects = self._unnamed(state, wanted)
        for key, other in list(state.requests.items()):
            moved = other["revision"] == self.request.revision and other["commit"] != self.outcome.commit
            if moved and not self.request.commit:  # each request may be held to a commit of its own
                del state.requests[key]  # of before the revision moved
        state.requests[self._key] = {
            "revision": self.request.revision,
            "commit": str(self.outcome.commit),
            "files": {w.path: w.oid for w in wanted},
            "used_at": time.time(),
        }
        for path in paths:
            state.files.pop(path, None)
        self._save_state(state)
        for name in [self._file(path) for path in paths] + [self._object(oid) for oid in objects]:
            remove(name)
        shutil.rmtree(os.path.join(self.own_dir, "staging"), ignore_errors=True)
        self._swarm.clean()
        published = self._publish()
        self.outcome.changed = bool(absent) or published
        return self.outcome

    def _unnamed(self, state: State, wanted: Sequence[Wanted]) -> tuple[list[str], list[str]]:
        """Paths and objects that this request named before its revision moved, and that none names now."""
        former: dict[str, str] = state.requests.get(self._key, {}).get("files", {})
        named = [{w.path: w.oid for w in wanted}]
        named += [request["files"] for key, request in state.requests.items() if key != self._key]
        paths = [path for path in former if not any(path in files for files in named)]
        return paths, [oid for oid in former.values() if not any(oid in files.values() for files in named)]

    # --- stores: a mirror's, a bundle's, our own --------------------------------------------------------------------

    def _stores(self) -> list[stores.FolderStore | stores.HttpStore]:
        return [stores.open_store(source, self.request.sources_ca_path) for source in self.request.sources]

    def _note(self, store: stores.FolderStore | stores.HttpStore, exc: Exception) -> None:
        self.outcome.notes.append("%s was passed over: %s" % (store.name, exc))

    def _no_source(self) -> ArtifactError:
        said = "; ".join(note for note in self.outcome.notes if " was passed over: " in note)
        return ArtifactError(
            "no source gives %s at %s, and its origin is not to be asked. %s. Make the bundle or the mirror anew for "
            "this release." % (self.request.repository, self.request.revision, said or "No source is named")
        )

    def _resolve_from(self, store: stores.FolderStore | stores.HttpStore, state: State) -> list[Wanted]:
        """Learn commit and files from a store's manifest; small files come at once, as the origin's would."""
        text = self._again(lambda: store.manifest(self._key))
        manifest = _lfs.parse_manifest(text)
        if manifest is None or not manifest.files:
            raise stores.StoreError("its manifest cannot be read")
        remembered = _lfs.remembered_commit(state, self._key, self.request.revision)
        if self.request.commit:
            remembered = self._held_commit(remembered)
        elif remembered is None and _lfs.is_commit(self.request.revision):
            remembered = self.request.revision
        elif self.request.refresh and not _lfs.is_commit(self.request.revision):
            self.outcome.moved_from = remembered if remembered != manifest.commit else None
            remembered = None
        if remembered not in (None, manifest.commit):
            if self.request.commit:
                raise stores.StoreError("it holds commit %s; needed %s" % (manifest.commit, remembered))
            raise stores.StoreError(
                "it holds commit %s, this host is at %s (refresh follows it)" % (manifest.commit[:12], remembered)
            )
        self.outcome.commit = manifest.commit
        wanted = list(manifest.files)
        shutil.rmtree(self._staging, ignore_errors=True)
        for w in wanted:
            if not w.lfs:
                name = os.path.join(self._staging, *w.path.split("/"))
                os.makedirs(os.path.dirname(name), exist_ok=True)
                self._bring_one(store, w, name)
        try:
            self._check_checksums(wanted)
            if self.request.layout == "model":
                self._check_model(wanted)
        except ArtifactError as exc:
            raise stores.StoreError(str(exc)) from exc
        self.outcome.files = wanted
        return wanted

    def _bring_from(
        self,
        store: stores.FolderStore | stores.HttpStore,
        absent: Sequence[Wanted],
        state: State,
    ) -> None:
        self._bring_plain([w for w in absent if not w.lfs], state)
        large = [w for w in absent if w.lfs]
        needed = self._take_stored(large, state)
        if not needed:
            return
        sizes = {oid: w.size for oid, w in needed.items()}
        kept = self._begun(sizes)
        self.outcome.resumed_bytes = kept
        shared = self._bring_shared(store, list(needed.values()))
        self._fill_holes(store, list(needed.values()))
        self._rescue(sizes)

        def bring(w: Wanted) -> None:
            # Under the name from which git-lfs would go on, should the origin have to bring the rest.
            part = self._part(w.oid)
            if _size(self._object(w.oid)) != w.size:
                self._bring_one(store, w, part)
                self._keep_object(part, w.oid)

        with (
            self._progress.watching("download", lambda: self._arrived(sizes), sum(sizes.values())),
            ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool,
        ):
            waiting = [pool.submit(bring, w) for w in needed.values()]
            errors = [future.exception() for future in waiting]
        arrived = [oid for oid, size in sizes.items() if _size(self._object(oid)) == size]
        self._place_arrived(arrived, large, state)
        self.outcome.downloaded_bytes += max(0, sum(sizes[oid] for oid in arrived) - kept)
        for error in errors:
            if error is not None:
                raise error
        if len(arrived) != len(sizes):
            raise stores.StoreError("%d of its objects have not come whole" % (len(sizes) - len(arrived)))
        self._rescue({})
        if shared:
            problem = self._swarm.seed(
                shared,
                self._object_root,
                lambda oid: os.path.relpath(os.path.dirname(self._object(oid)), self._object_root),
            )
            if problem:
                self.outcome.notes.append("nothing is given to other hosts: %s" % problem)

    def _bring_shared(
        self, store: stores.FolderStore | stores.HttpStore, needed: Sequence[Wanted]
    ) -> list[_swarm.Shared]:
        """Let other hosts give what they can; return what is shared. The store gives the rest."""
        if not self.request.swarm.trackers or not isinstance(store, stores.HttpStore):
            return []
        obstacle = self._swarm.obstacle()
        if obstacle:
            self.outcome.notes.append("nothing was shared with other hosts: %s" % obstacle)
            return []
        sizes = {w.oid: w.size for w in needed}
        left = _lfs.plan_rescue(self._partials(), sizes)
        mirrors = [store, *(s for s in self._stores() if isinstance(s, stores.HttpStore) and s.name != store.name)]
        shared = []
        try:
            for w in needed:
                if w.oid in left.whole:
                    continue  # all of it is there: its hash decides
                pieces = self._again(functools.partial(store.pieces, w.oid, w.size))
                if pieces is not None:
                    seeds = tuple(mirror.object_url(w.oid) for mirror in mirrors)
                    shared.append(_swarm.Shared(w.oid, w.size, pieces, seeds))
        except stores.StoreUnreachable as exc:
            self.outcome.notes.append("nothing was shared with other hosts: %s" % exc)
            return []
        if not shared:
            return []
        with self._progress.watching("download", lambda: self._arrived(sizes), sum(sizes.values())):
            found, problem = self._swarm.bring(
                shared,
                {oid: begun.file for oid, begun in left.keep.items()},
                max(1.0, self._deadline - time.monotonic()),
            )
        for (oid, name), actual in zip(found.items(), self._hashes(list(found.values()))):
            if actual == oid:
                self._keep_object(name, oid)
            else:
                remove(name)
                problem = "the mirror's hashes of the pieces of %s are wrong" % oid
        self.outcome.shared = self.outcome.shared or bool(found)
        if problem and time.monotonic() > self._deadline:
            raise ArtifactError(
                "fetching from %s and other hosts did not end within its deadline. What arrived is kept; run again to "
                "go on from there, or raise timeout. Last words: %s" % (store.name, problem)
            )
        if problem:
            self.outcome.notes.append("other hosts did not give everything: %s" % problem)
        return shared

    def _fill_holes(self, store: stores.FolderStore | stores.HttpStore, needed: Sequence[Wanted]) -> None:
        """Let a web server give what is missing of files that came in pieces from anywhere."""
        if not isinstance(store, stores.HttpStore):
            return
        sizes = {w.oid: w.size for w in needed}
        for w in needed:
            found = self._swarm.unfinished(w.oid)
            if found is None or _size(self._object(w.oid)) == w.size:
                continue
            name, pieces = found

            def fill(oid: str = w.oid, size: int = w.size, name: str = name, pieces: bytes = pieces) -> None:
                store.fill(oid, name, torrent.holes(name, pieces, size))

            with self._progress.watching("download", lambda: self._arrived(sizes), sum(sizes.values())):
                self._again(fill, functools.partial(self._swarm.received, w.oid))
            if self._hashes([name]) == [w.oid]:
                self._keep_object(name, w.oid)
            else:
                remove(name)

    def _keep_object(self, name: str, oid: str) -> None:
        """A file that was verified gets its place among git-lfs' objects."""
        os.makedirs(os.path.dirname(self._object(oid)), exist_ok=True)
        os.replace(name, self._object(oid))
        remove(self._part(oid))

    def _part(self, oid: str) -> str:
        return os.path.join(self.dest, ".git", "lfs", "incomplete", oid + ".part")

    def _begun(self, sizes: Mapping[str, int]) -> int:
        """How many bytes of these objects an earlier run has left."""
        rescue = _lfs.plan_rescue(self._partials(), sizes)
        pieces = {oid: partial.size for oid, partial in (*rescue.keep.items(), *rescue.whole.items())}
        return sum(max(pieces.get(oid, 0), self._swarm.received(oid)) for oid in sizes)

    def _bring_one(self, store: stores.FolderStore | stores.HttpStore, w: Wanted, part: str) -> None:
        begun = bool(_size(part))
        try:
            self._again(lambda: store.bring(w.oid, w.size, part), lambda: _size(part) or 0)
        except stores.StoreUnreachable:
            raise
        except stores.StoreError:
            if not begun or os.path.exists(part):
                raise
            # What was there before may have been wrong: once more, from nothing.
            self._again(lambda: store.bring(w.oid, w.size, part), lambda: _size(part) or 0)

    def _again(self, work: Callable[[], _T], measure: Callable[[], int] = lambda: 0) -> _T:
        """Do something with a store that may not answer; what does not get any further is given up."""
        attempt, most = 0, -1
        while True:
            try:
                return work()
            except stores.StoreUnreachable:
                have = measure()
                attempt = 1 if have > most >= 0 else attempt + 1
                most = max(most, have)
                # A mirror that is down must not hold up those who can go to the origin: fewer tries than there.
                if attempt >= min(self._patience, self.request.retries) or time.monotonic() > self._deadline:
                    raise
                self._sleep(min(10, 2**attempt))

    def _manifest(self) -> str:
        text: str = _lfs.dump_manifest(
            _lfs.Manifest(
                _lfs.repository_name(self.request.repository),
                self.request.revision,
                str(self.outcome.commit),
                tuple(sorted(self.outcome.files, key=lambda w: w.path)),
            )
        )
        return text

    def _is_published(self) -> bool:
        if self.request.store is None:
            return True
        objects = [(w.oid, w.size) for w in self.outcome.files]
        return stores.is_published(self.request.store, self._key, self._manifest(), objects, self.request.share)

    def _publish(self) -> bool:
        """Put what is here into the store; say whether it was not there."""
        if self.request.store is None:
            return False
        objects = [(w.oid, w.size, self._file(w.path)) for w in self.outcome.files]
        hashed: list[int] = []
        store, share = self.request.store, self.request.share
        unshared = [size for oid, size, _name in objects if share and not stores.is_shared(store, oid, size)]
        # The state names the request already: whoever prunes the store either sees that, or has ended before we look.
        with shared_lock(store), self._progress.watching("pieces", lambda: sum(hashed), sum(unshared)):
            if self._is_published():
                return False
            stores.publish(store, self._key, self._manifest(), objects, share, hashed.append)
        return True

    # --- what is remembered -----------------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        return self.request.key

    @property
    def _state_file(self) -> str:
        return os.path.join(self.dest, ".git", "ascend-fleet", "state.json")

    def _load_state(self) -> State:
        try:
            with open(self._state_file, encoding="utf-8") as handle:
                return _lfs.load_state(handle.read(), os.fstat(handle.fileno()).st_mtime)
        except OSError:
            return State()

    def _save_state(self, state: State) -> None:
        write_atomically(self._state_file, _lfs.dump_state(state))

    def _all_recorded(self, state: State) -> bool:
        """Whether an earlier run verified all of it and nothing was touched since: no network, no hashing."""
        remembered = state.requests.get(self._key)
        if remembered is None or (self.request.refresh and not self.request.commit):
            return False
        if self.request.commit not in (None, remembered["commit"]):
            return False
        files: dict[str, str] = remembered["files"]
        for path, oid in files.items():
            record = state.files.get(path)
            if record is None or record.oid != oid or not self._untouched(path, record):
                return False
        wanted = [Wanted(p, "", state.files[p].oid, state.files[p].size, state.files[p].lfs) for p in sorted(files)]
        self._check_checksums(wanted)
        self.outcome.commit = remembered["commit"]
        self.outcome.files = wanted
        self.outcome.settled = True
        return True

    def _untouched(self, path: str, record: Record) -> bool:
        try:
            status = os.lstat(self._file(path))
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns, status.st_ino) == (
            record.size,
            record.mtime_ns,
            record.inode,
        )

    def _file(self, path: str) -> str:
        return os.path.join(self.dest, *path.split("/"))

    @property
    def _object_root(self) -> str:
        return os.path.join(self.dest, ".git", "lfs", "objects")

    def _object(self, oid: str) -> str:
        return os.path.join(self._object_root, oid[:2], oid[2:4], oid)

    # --- what is asked for ------------------------------------------------------------------------------------------

    def _resolve(self, state: State) -> list[Wanted]:
        """Learn the commit and, from its pointers, path, hash and size of every file asked for."""
        self._prepare()
        remembered = _lfs.remembered_commit(state, self._key, self.request.revision)
        if self.request.commit:
            commit = self._held_commit(remembered)
            self._fetch_commit(commit)
        elif remembered is not None and not self.request.refresh:
            commit = remembered
            self._fetch_remembered(commit)
        else:
            commit = self._fetch_revision()
            if remembered not in (None, commit):
                self.outcome.moved_from = remembered
        self.outcome.commit = commit
        done = self._git(["ls-tree", "-r", "-z", "--full-tree", commit])
        entries = _lfs.parse_ls_tree(done.stdout)
        chosen, unmatched = _lfs.select(entries, self.request.paths, self.request.exclude)
        if unmatched or not chosen:
            self._no_such_paths(unmatched or list(self.request.paths), entries)
        for entry in chosen:
            _lfs.check_path(entry.path)
        wanted = self._read(chosen)
        self._check_checksums(wanted)
        if self.request.layout == "model":
            self._check_model(wanted)
        self.outcome.files = wanted
        return wanted

    def _held_commit(self, remembered: Optional[str]) -> str:
        """The commit that the revision is held to; one that the host had before is noted."""
        commit = str(self.request.commit)
        self.outcome.moved_from = remembered if remembered not in (None, commit) else None
        return commit

    def _no_such_paths(self, unmatched: Sequence[str], entries: Sequence[_lfs.TreeEntry]) -> None:
        names = [entry.path for entry in entries]
        lines = []
        for pattern in unmatched:
            near = _lfs.near_names(pattern, names)
            lines.append("%s (%s)" % (pattern, "near: " + ", ".join(near) if near else "nothing has a name like it"))
        raise ArtifactError(
            "%s at %s (%s) holds %d files, but not: %s. Correct the path, or the revision."
            % (
                self.request.repository,
                self.request.revision,
                str(self.outcome.commit)[:12],
                len(names),
                "; ".join(lines),
            )
        )

    def _check_checksums(self, wanted: Sequence[Wanted]) -> None:
        by_path = {w.path: w for w in wanted}
        for path, sha256 in self.request.checksums.items():
            expected = sha256.lower().replace("sha256:", "", 1)
            if path in by_path and by_path[path].oid != expected:
                raise ArtifactError(
                    "%s in %s at %s is not the pinned file: found sha256 %s, needed %s. The revision has moved or "
                    "the pin is wrong; pin a commit as the revision, or correct the pin."
                    % (path, self.request.repository, self.request.revision, by_path[path].oid, expected)
                )

    def _check_model(self, wanted: Sequence[Wanted]) -> None:
        index: Optional[str] = None
        for w in wanted:
            if w.path == _lfs.INDEX_FILE and not w.lfs:
                with open(os.path.join(self._staging, w.path), encoding="utf-8", errors="replace") as handle:
                    index = handle.read()
        problems = _lfs.model_problems({w.path: w.size for w in wanted}, index)
        if problems:
            raise ArtifactError(
                "%s at %s does not give a complete model: %s. Correct the files asked for "
                "(include %s, exclude %s), or the origin."
                % (
                    self.request.repository,
                    self.request.revision,
                    "; ".join(problems),
                    list(self.request.paths),
                    list(self.request.exclude),
                )
            )

    # --- git --------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make the repository, as often as needed: every step can be repeated after a kill."""
        os.makedirs(self.own_dir, exist_ok=True)
        if not os.path.exists(os.path.join(self.git_dir, "HEAD")):
            self._git(["init", "--quiet", "--template="])
        for lock in ("index.lock", "config.lock", "shallow.lock", "HEAD.lock"):
            # We hold our own lock: these were left by a git that was killed.
            remove(os.path.join(self.git_dir, lock))
        self._git(["config", "remote.origin.url", self.request.repository])
        # Here, whatever the user's own configuration says.
        self._git(["config", "lfs.storage", os.path.join(self.git_dir, "lfs")])

    def _has_commit(self, commit: str) -> bool:
        return self._git(["cat-file", "-e", commit + "^{tree}"], check=False, env={"GIT_NO_LAZY_FETCH": "1"}).ok

    def _fetch_commit(self, commit: str) -> None:
        if self._has_commit(commit):
            return
        done = self._fetch(commit)
        if not done.ok and _lfs.explain(done.stderr).kind == "commit":
            self._fetch_all()
            if self._has_commit(commit):
                return
            raise ArtifactError(
                "%s does not hand out commit %s, which %s is held to by the lock of the release: the revision was "
                "rewritten, or the lock was edited. Run with -e fleet_relock=true to take what it is now, or restore "
                "the commit at the origin." % (self.request.repository, commit, self.request.revision)
            )
        if not done.ok:
            raise self._failure(done, "fetching commit %s" % commit)

    def _fetch_all(self) -> command.Completed:
        """Take every branch and tag: an older server hands out their tips only."""
        return self._git(
            ["fetch", "--quiet", "--filter=blob:none", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"],
            check=False,
        )

    def _fetch_remembered(self, commit: str) -> None:
        if self._has_commit(commit):
            return
        done = self._fetch(commit)
        if done.ok:
            return
        if _lfs.explain(done.stderr).kind != "commit":
            raise self._failure(done, "fetching commit %s" % commit)
        raise ArtifactError(
            "%s no longer hands out commit %s, which %s was when this host began to download it: the revision was "
            "rewritten. Set refresh to take what it is now, or pin a commit that the origin still has."
            % (self.request.repository, commit, self.request.revision)
        )

    def _fetch_revision(self) -> str:
        revision = self.request.revision
        done = self._fetch(revision)
        if not done.ok and _lfs.is_commit(revision) and _lfs.explain(done.stderr).kind == "commit":
            done = self._fetch_all()
            if done.ok and not self._git(["cat-file", "-e", revision + "^{commit}"], check=False).ok:
                raise ArtifactError(
                    "%s has no commit %s on any branch or tag. Correct the revision."
                    % (self.request.repository, revision)
                )
        if not done.ok:
            if _lfs.explain(done.stderr).kind == "revision":
                self._no_such_revision()
            raise self._failure(done, "fetching revision %s" % revision)
        if _lfs.is_commit(revision):
            return revision
        commit: str = self._git(["rev-parse", "--verify", "FETCH_HEAD^{commit}"]).stdout.strip()
        return commit

    def _no_such_revision(self) -> None:
        done = self._git(["ls-remote", "--heads", "--tags", "origin"], check=False)
        names = [
            line.split("\t")[-1].split("/", 2)[-1] for line in done.stdout.splitlines() if not line.endswith("^{}")
        ]
        near = _lfs.near_names(self.request.revision, names) or names[:5]
        raise ArtifactError(
            "%s has no branch or tag %r; it has %s. Correct the revision (a commit must be given with all its digits)."
            % (self.request.repository, self.request.revision, ", ".join(near) or "none at all")
        )

    def _fetch(self, what: str) -> command.Completed:
        argv = ["fetch", "--quiet", "--depth", "1", "--no-tags", "--filter=blob:none", "origin", what]
        done = self._git(argv, check=False)
        for pause in (1, 3):
            if done.ok or not _lfs.explain(done.stderr).again:
                break
            self._sleep(pause)
            done = self._git(argv, check=False)
        return done

    @property
    def _staging(self) -> str:
        return os.path.join(self.own_dir, "staging")

    def _read(self, chosen: Sequence[_lfs.TreeEntry]) -> list[Wanted]:
        """Let git write the chosen files, pointers as pointers, into a folder of ours, and read them there.

        git asks the origin for the contents of exactly these files, in one request.
        """
        shutil.rmtree(self._staging, ignore_errors=True)
        os.makedirs(self._staging)
        tree = self._tree_of(chosen)
        index = os.path.join(self.own_dir, "index")
        remove(index)
        done = self._git(
            ["read-tree", "-m", "-u", tree],
            check=False,
            env={"GIT_INDEX_FILE": index, "GIT_WORK_TREE": self._staging},
            cwd=self._staging,
        )
        if not done.ok:
            raise self._failure(done, "reading the pointers")
        wanted = []
        for entry in chosen:
            name = os.path.join(self._staging, *entry.path.split("/"))
            with open(name, "rb") as handle:
                pointer = _lfs.parse_pointer(handle.read(_lfs.POINTER_MAX_BYTES + 1))
            if pointer is None:
                wanted.append(Wanted(entry.path, entry.blob, _sha256(name), os.path.getsize(name), False))
            else:
                wanted.append(Wanted(entry.path, entry.blob, pointer.oid, pointer.size, True))
        return wanted

    def _tree_of(self, entries: Iterable[_lfs.TreeEntry]) -> str:
        """Return a tree that holds these entries and nothing else."""
        index = os.path.join(self.own_dir, "index")
        remove(index)
        remove(index + ".lock")
        lines = "".join("%s %s\t%s\0" % (e.mode, e.blob, e.path) for e in entries)
        env = {"GIT_INDEX_FILE": index}
        self._git(["update-index", "-z", "--index-info"], env=env, stdin=lines)
        tree: str = self._git(["write-tree", "--missing-ok"], env=env).stdout.strip()
        return tree

    def _git(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[str] = None,
        cwd: Optional[str] = None,
        timeout: float = _METADATA_SECONDS,
    ) -> command.Completed:
        options = [
            "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.hooksPath=/dev/null",
            "-c", "core.autocrlf=false", "-c", "advice.detachedHead=false",
            "-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false",
            "-c", "lfs.activitytimeout=60",
        ]  # fmt: skip
        environment = {
            "GIT_DIR": self.git_dir,
            "GIT_WORK_TREE": self.dest if os.path.isdir(self.dest) else self.own_dir,
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "GIT_HTTP_LOW_SPEED_LIMIT": "1",
            "GIT_HTTP_LOW_SPEED_TIME": "120",
        }
        if self.request.ca_path:
            name = "GIT_SSL_CAPATH" if os.path.isdir(self.request.ca_path) else "GIT_SSL_CAINFO"
            environment[name] = self.request.ca_path
        options += self._credential_options()
        environment.update(env or {})
        if argv[0] == "lfs" and urlsplit(self.request.repository).scheme in ("", "file"):
            # git-lfs hands its environment on to the git that reads the origin's folder: it must not name ours.
            del environment["GIT_DIR"], environment["GIT_WORK_TREE"]
            cwd = self.dest
        left = self._deadline - time.monotonic()
        done = command.run(
            ["git", *options, *argv],
            timeout=max(1.0, min(timeout, left)),
            env=environment,
            cwd=cwd or self.own_dir,
            stdin=stdin,
            pass_fds=() if self._lock_fd is None else (self._lock_fd,),
        )
        if check and not done.ok:
            raise self._failure(done, "git %s" % argv[0])
        return done

    def _credential_options(self) -> list[str]:
        """Let git and git-lfs ask a helper of ours for the token, for this origin only; nothing secret in argv."""
        if not self.request.token_file:
            return []
        parts = urlsplit(self.request.repository)
        if parts.scheme not in ("http", "https"):
            return []
        if self._secrets is None:
            _check_secret_file(self.request.token_file)
            self._secrets = tempfile.mkdtemp(prefix="ascend-fleet-")
            helper = os.path.join(self._secrets, "credential")
            with open(helper, "w", encoding="utf-8") as handle:
                handle.write(
                    "#!/bin/sh\n[ \"$1\" = get ] || exit 0\nprintf 'username=%%s\\n' %s\n"
                    "printf 'password=%%s\\n' \"$(head -n 1 %s)\"\n"
                    % (_quote(self.request.token_user), _quote(self.request.token_file))
                )
            os.chmod(helper, 0o700)
        helper = os.path.join(self._secrets, "credential")
        scope = "credential.%s://%s.helper=" % (parts.scheme, parts.netloc)
        return [
            "-c", "credential.helper=", "-c", scope, "-c", scope + helper,
        ]  # fmt: skip

    def _drop_secrets(self) -> None:
        if self._secrets is not None:
            shutil.rmtree(self._secrets, ignore_errors=True)
            self._secrets = None

    def _failure(self, done: command.Completed, doing: str) -> ArtifactError:
        output = done.stderr + "\n" + done.stdout
        explanation = _lfs.explain(output)
        said = _lfs.last_words(output)
        if done.timed_out:
            return ArtifactError(
                "%s from %s did not end within its deadline. What arrived is kept; run again to go on from there, "
                "or raise timeout. Last words: %s" % (doing, self.request.repository, said or "none")
            )
        return ArtifactError(
            "%s from %s failed: %s. git said: %s"
            % (doing, self.request.repository, explanation.message, said or "nothing (status %s)" % done.exit_status)
        )

    # --- what is there and what is not ------------------------------------------------------------------------------

    def _absent(self, state: State, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Return what is not in place; whatever is there unrecorded is hashed and, when right, recorded."""
        absent: list[Wanted] = []
        unsure: list[Wanted] = []
        for w in wanted:
            record = state.files.get(w.path)
            if record is not None and self._untouched(w.path, record):
                if record.oid != w.oid:
                    absent.append(w)  # another version of the file: no need to read it
                    continue
                if not self.request.rehash:
                    continue
            name = self._file(w.path)
            if os.path.isfile(name) and not os.path.islink(name) and os.path.getsize(name) == w.size:
                unsure.append(w)
            else:
                absent.append(w)
        for w, oid in zip(unsure, self._hashes([self._file(w.path) for w in unsure])):
            if oid == w.oid:
                state.files[w.path] = _record(self._file(w.path), w)
            else:
                absent.append(w)
                state.files.pop(w.path, None)
                self._damaged.add(w.oid)
                self.outcome.notes.append("%s is damaged (its content has another hash) and comes anew" % w.path)
        order = {w.path: n for n, w in enumerate(wanted)}
        return sorted(absent, key=lambda w: order[w.path])

    def _measure(self, state: State, wanted: Sequence[Wanted], absent: Sequence[Wanted]) -> None:
        self.outcome.changed = bool(absent)
        self.outcome.missing = list(absent)
        self.outcome.after = {w.path: (w.oid, w.size) for w in wanted}
        self.outcome.before = {w.path: (w.oid, w.size) for w in wanted if w not in absent}
        for w in absent:
            record = state.files.get(w.path)
            if record is not None and os.path.exists(self._file(w.path)):
                self.outcome.before[w.path] = (record.oid, record.size)
        sizes = {w.oid: w.size for w in absent if w.lfs}
        kept = self._begun(sizes)
        # The object of a damaged file is the same bytes, hence damaged too.
        stored = sum(
            size for oid, size in sizes.items() if oid not in self._damaged and _size(self._object(oid)) == size
        )
        self.outcome.missing_bytes = max(0, sum(sizes.values()) - stored - kept) + sum(
            w.size for w in absent if not w.lfs
        )

    def _check_disk(self, absent: Sequence[Wanted]) -> None:
        if not absent:
            return
        place = self.dest
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        status = os.statvfs(place)
        problem = disk_problem(
            needed=self.outcome.missing_bytes + _GIT_ROOM,
            free=status.f_bavail * status.f_frsize,
            place=self.dest,
            mount=_mount_of(place),
            what="%d files of %s" % (len(absent), self.request.repository),
        )
        if problem:
            raise ArtifactError(problem)

    # --- bringing it ------------------------------------------------------------------------------------------------

    def _bring_plain(self, absent: Sequence[Wanted], state: State) -> None:
        for w in absent:
            self._place(os.path.join(self._staging, *w.path.split("/")), w, state)
            self.outcome.downloaded_bytes += w.size
        if absent:
            self._save_state(state)

    def _bring_objects(self, absent: Sequence[Wanted], state: State) -> None:
        needed = self._take_stored(absent, state)
        if not needed:
            return
        entries = [_lfs.TreeEntry(w.path, "100644", w.blob) for w in needed.values()]
        self._fetch_objects(entries, needed, absent, state)

    def _take_stored(self, absent: Sequence[Wanted], state: State) -> dict[str, Wanted]:
        """Put in place what git-lfs' own folder has already; return what has to come, by hash."""
        needed: dict[str, Wanted] = {}
        stored = [w for w in absent if _size(self._object(w.oid)) == w.size]
        good = dict(zip([w.oid for w in stored], self._hashes([self._object(w.oid) for w in stored])))
        for w in absent:
            if good.get(w.oid) == w.oid:
                self._place(self._object(w.oid), w, state)
            else:
                # Also when a damaged work tree file shares its bytes with the object: both names have to go.
                remove(self._object(w.oid))
                needed[w.oid] = w
        if good:
            self._save_state(state)
        return needed

    def _fetch_objects(
        self,
        entries: Sequence[_lfs.TreeEntry],
        needed: Mapping[str, Wanted],
        absent: Sequence[Wanted],
        state: State,
    ) -> None:
        identity = {
            "GIT_%s_%s" % (who, what): "ascend-fleet" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        # git-lfs looks at every file of the commit it is given, which in a partial clone it cannot: give it one
        # that holds the wanted files only. No pattern of include or exclude has to be written either.
        commit = self._git(
            ["commit-tree", self._tree_of(entries)],
            env=dict(
                identity, GIT_AUTHOR_DATE="2000-01-01T00:00:00+0000", GIT_COMMITTER_DATE="2000-01-01T00:00:00+0000"
            ),
            stdin="",
        ).stdout.strip()
        sizes = {oid: w.size for oid, w in needed.items()}
        attempt, most = 0, -1
        first_kept: Optional[int] = None
        while True:
            kept = self._rescue(sizes)
            if first_kept is None:
                first_kept = kept
                self.outcome.resumed_bytes = kept
            with self._progress.watching("download", lambda: self._arrived(sizes), sum(sizes.values())):
                done = self._git(["lfs", "fetch", "origin", commit], check=False, timeout=self.request.timeout)
            arrived = [oid for oid, size in sizes.items() if _size(self._object(oid)) == size]
            # git-lfs moves an object to its place only when its hash is right, which it computes as the bytes come.
            self._place_arrived(arrived, absent, state)
            if len(arrived) == len(sizes):
                break
            explanation = _lfs.explain(done.stderr + done.stdout)
            if explanation.kind == "corrupt":
                # What was resumed from may itself be wrong: begin again.
                for partial in self._partials():
                    remove(partial.file)
            have = sum(sizes[oid] for oid in arrived) + _lfs.plan_rescue(self._partials(), sizes).bytes_kept
            attempt = 1 if have > most >= 0 else attempt + 1
            most = max(most, have)
            if done.ok:
                raise ArtifactError(
                    "git-lfs ended well, but %d of %d objects of %s are not there: %s"
                    % (
                        len(sizes) - len(arrived),
                        len(sizes),
                        self.request.repository,
                        _lfs.last_words(done.stderr) or "it said nothing",
                    )
                )
            if done.timed_out or attempt >= self.request.retries or not explanation.again:
                raise self._failure(
                    done,
                    "downloading %s of %d files (%s of it is here and kept)"
                    % (_progress.human_bytes(sum(sizes.values())), len(sizes), _progress.human_bytes(max(0, have))),
                )
            self._sleep(min(60, 2**attempt))
        self.outcome.downloaded_bytes += sum(sizes.values()) - (first_kept or 0)
        self._rescue({})

    def _arrived(self, sizes: Mapping[str, int]) -> int:
        pieces: dict[str, int] = {}
        for partial in self._partials():
            oid = os.path.basename(partial.file)[:64]
            pieces[oid] = max(pieces.get(oid, 0), partial.size)
        return sum(_size(self._object(oid)) or max(pieces.get(oid, 0), self._swarm.received(oid)) for oid in sizes)

    def _hashes(self, names: Sequence[str]) -> list[str]:
        """Hash several files, a few at a time: hashlib lets other threads run."""
        if not names:
            return []
        self._hashed = 0

        def count(length: int) -> None:
            self._hashed += length

        total = sum(_size(name) or 0 for name in names)
        with (
            self._progress.watching("verify", lambda: self._hashed, total),
            ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool,
        ):
            return list(pool.map(lambda name: _sha256(name, count), names))

    def _partials(self) -> list[_lfs.Partial]:
        found = []
        for folder in ("incomplete", "tmp"):
            place = os.path.join(self.dest, ".git", "lfs", folder)
            try:
                names = sorted(os.listdir(place))
            except OSError:
                continue
            for name in names:
                full = os.path.join(place, name)
                if os.path.isfile(full):
                    found.append(_lfs.Partial(full, os.path.getsize(full)))
        return found

    def _rescue(self, sizes: Mapping[str, int]) -> int:
        """Put unfinished bytes where git-lfs goes on from them; return how many that are."""
        os.makedirs(os.path.dirname(self._part("")), exist_ok=True)
        for oid, size in sizes.items():
            self._swarm.salvage(oid, size, self._part(oid))
        rescue = _lfs.plan_rescue(self._partials(), sizes)
        for name in rescue.delete:
            remove(name)
        for oid, partial in rescue.keep.items():
            os.replace(partial.file, self._part(oid))
        kept: int = sum(partial.size for partial in rescue.keep.values())
        for oid, partial in rescue.whole.items():
            if _sha256(partial.file) == oid:
                os.makedirs(os.path.dirname(self._object(oid)), exist_ok=True)
                os.replace(partial.file, self._object(oid))
                kept += partial.size
            else:
                remove(partial.file)
        return kept

    def _place_arrived(self, arrived: Sequence[str], absent: Sequence[Wanted], state: State) -> None:
        """Put objects that were verified in place, where they are not yet."""
        for w in absent:
            record = state.files.get(w.path)
            known = record is not None and record.oid == w.oid and self._untouched(w.path, record)
            if w.oid in arrived and not known:
                self._place(self._object(w.oid), w, state)
        if arrived:
            self._save_state(state)

    def _place(self, source: str, w: Wanted, state: State) -> None:
        """Give ``source`` the name it has in the folder: the same bytes under a second name, never a copy."""
        name = self._file(w.path)
        self._make_room_for(name)
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
        state.files[w.path] = _record(name, w)

    def _make_room_for(self, name: str) -> None:
        """Make the folders above ``name``; a link among them would lead out of the folder, so it is refused."""
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

    # --- one at a time ----------------------------------------------------------------------------------------------

    def _lock(self) -> None:
        name = os.path.join(self.own_dir, "lock")
        while True:
            os.makedirs(self.own_dir, exist_ok=True)
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not try_lock(fd):
                with self._progress.watching("waiting for another run", self._partial_bytes, None):
                    self._wait_for_lock(fd)
            if _is_file(fd, name):
                break
            os.close(fd)  # the folder was pruned while we waited
        os.ftruncate(fd, 0)
        os.pwrite(fd, ("%d\n" % os.getpid()).encode(), 0)
        self._lock_fd = fd

    def _wait_for_lock(self, fd: int) -> None:
        deadline = time.monotonic() + self.request.lock_timeout
        seen = -1
        while not try_lock(fd):
            arrived = self._partial_bytes()
            if arrived != seen:
                # The other one gets further: what it brings is what we would download.
                seen = arrived
                deadline = time.monotonic() + self.request.lock_timeout
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 100, 0).decode("utf-8", "replace").strip()
                os.close(fd)
                raise ArtifactError(
                    "another run (process %s, or a git-lfs it started) holds %s and has brought nothing for "
                    "%d seconds. Wait for it to end, end it, or raise lock_timeout."
                    % (holder or "unknown", self.dest, self.request.lock_timeout)
                )
            self._sleep(0.5)

    def _partial_bytes(self) -> int:
        return sum(partial.size for partial in self._partials()) + self._swarm.received_together()


def _is_file(fd: int, name: str) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name))
    except FileNotFoundError:
        return False


def _record(name: str, w: Wanted) -> Record:
    status = os.lstat(name)
    return Record(oid=w.oid, size=w.size, mtime_ns=status.st_mtime_ns, inode=status.st_ino, lfs=w.lfs)


def _sha256(name: str, count: Callable[[int], None] = lambda length: None) -> str:
    digest = hashlib.sha256()
    with open(name, "rb") as handle:
        while True:
            chunk = handle.read(_CHUNK)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)
            count(len(chunk))


def _sync(name: str) -> None:
    fd = os.open(name, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _size(name: str) -> Optional[int]:
    try:
        return os.path.getsize(name)
    except OSError:
        return None


def _which(name: str) -> Optional[str]:
    return shutil.which(name)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _check_secret_file(name: str) -> None:
    try:
        mode = os.stat(name).st_mode
    except OSError as exc:
        raise ArtifactError("the token file %s cannot be read: %s" % (name, exc.strerror)) from exc
    if mode & 0o077:
        raise ArtifactError(
            "the token file %s has mode %04o, so others can read it: needed is 0600. Run: chmod 600 %s"
            % (name, stat.S_IMODE(mode), name)
        )


def _mount_of(place: str) -> str:
    place = os.path.realpath(place)
    while not os.path.ismount(place):
        place = os.path.dirname(place)
    return place
