# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing old revisions of weights and image archives. What is in use stays, whatever its age."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Iterable, Iterator, Optional, Sequence

from .._base import locks
from .._base.files import remove, write_atomically
from .._base.revisions import Revision, later_uses, mentions, superfluous
from . import stores, swarm
from .manifest import parse_manifest
from .names import repository_folder
from .state import dump_state, load_state

#: The folders of a root that lfs_artifact fills, by what they hold.
KINDS = ("models", "repositories")
#: What a store keeps of an object, and where.
_OF_OBJECTS = {"pieces": stores.pieces_path, "objects": stores.object_path}
#: How the name of a folder ends whose removal has begun.
_REMOVED_SUFFIX = ".removed"


class Folder:
    """A folder that lfs_artifact has filled, with what its state says of its requests."""

    def __init__(self, path: str, group: str) -> None:
        self.path = path
        self.group = group
        self.text, changed_at = self._read()
        self.state = load_state(self.text, changed_at)
        self.requests: dict[str, dict[str, Any]] = self.state.requests
        self.changed_at = changed_at

    @property
    def own_dir(self) -> str:
        """Where state and lock are."""
        return os.path.join(self.path, ".git", "ascend-fleet")

    def _read(self) -> tuple[str, float]:
        with open(os.path.join(self.own_dir, "state.json"), encoding="utf-8", errors="replace") as handle:
            return handle.read(), os.fstat(handle.fileno()).st_mtime

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Keep others out while the body works; says whether it may: not when another run works or has worked here."""
        with ExitStack() as stack:
            try:
                held = stack.enter_context(locks.exclusive_lock(os.path.join(self.own_dir, "lock")))
                held = held and self._read()[0] == self.text
            except FileNotFoundError:
                held = False  # another run removed it
            yield held

    def save(self) -> None:
        """Write the state."""
        self.text = dump_state(self.state)
        write_atomically(os.path.join(self.own_dir, "state.json"), self.text)

    def revisions(self) -> list[Revision]:
        """Its requests, or where none was ever fulfilled the folder itself."""
        if not self.requests:
            return [Revision(self.path, self.group, self.changed_at, self.path)]
        return [
            Revision("%s#%s" % (self.path, key), self.group, request["used_at"], self.path, key)
            for key, request in self.requests.items()
        ]

    def only_of(self, keys: Collection[str]) -> tuple[list[str], list[str]]:
        """The files and the git-lfs objects that no other request of this folder names."""
        going = [request["files"] for key, request in self.requests.items() if key in keys]
        staying = [request["files"] for key, request in self.requests.items() if key not in keys]
        paths = {path for files in going for path in files} - {path for files in staying for path in files}
        oids = {o for files in going for o in files.values()} - {o for files in staying for o in files.values()}
        names = [os.path.join(self.path, *path.split("/")) for path in sorted(paths)]
        objects = os.path.join(self.path, ".git", "lfs", "objects")
        return names, [os.path.join(objects, oid[:2], oid[2:4], oid) for oid in sorted(oids)]

    def forget(self, keys: Collection[str]) -> None:
        """Let the state name these requests no more."""
        for key in keys:
            for path in self.requests.pop(key)["files"]:
                if not any(path in request["files"] for request in self.requests.values()):
                    self.state.files.pop(path, None)


def folders(root: str) -> list[Folder]:
    """Return the folders that lfs_artifact has filled below a root; others are not ours."""
    found = []
    for kind in KINDS:
        place = os.path.join(root, kind)
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue
        for name in names:
            path = os.path.join(place, name)
            if name.endswith(_REMOVED_SUFFIX):
                continue
            try:
                folder = Folder(path, "%s/%s" % (kind, name.partition("@")[0]))
            except OSError:
                continue
            if folder.state.repository is not None:
                # A folder that version 0.1 named after the model is a revision of the same repository.
                folder.group = "%s/%s" % (kind, repository_folder(folder.state.repository, "main"))
            if not os.path.islink(path):
                found.append(folder)
    return found


@dataclass
class Pruned:
    """What was removed, or would be."""

    removed: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)

    def take(self, names: Iterable[str]) -> None:
        """Count files: bytes with two names are freed once."""
        for name in names:
            try:
                status = os.lstat(name)
            except OSError:
                continue
            self.sizes[status.st_dev, status.st_ino] = status.st_size

    @property
    def freed(self) -> int:
        """How many bytes those were."""
        return sum(self.sizes.values())


def prune(
    root: str,
    keep: int,
    current: Collection[str],
    in_use: Callable[[], str],
    *,
    check: bool = False,
    store: Optional[str] = None,
) -> Pruned:
    """Remove what is superfluous below a root, and then from a store what no request there asks for.

    ``current`` are folders and requests that stay; ``in_use`` gives the text that names what else is in use. Every step
    can be repeated after a kill: the state and the manifests, which name what goes, are written last.
    """
    found = folders(root)
    pruned = Pruned(before=[folder.path for folder in found])
    if keep <= 0:
        return pruned
    for name in unfinished_removals(root):
        pruned.removed.append(name)
        pruned.take(_files_below(name))
        if not check:
            shutil.rmtree(name)
    _mark_used(found, current, check)
    chosen = _to_remove(found, keep, current, in_use)
    for folder in found:
        keys = {revision.request for revision in chosen if revision.folder == folder.path}
        if not keys:
            continue
        if check:
            _remove_revisions(folder, keys, pruned, check)
            continue
        with folder.locked() as held:
            if held:
                _remove_revisions(folder, keys, pruned, check)
            else:
                pruned.notes.append("another run works on %s: nothing was removed there" % folder.path)
    if store is not None and os.path.isdir(store):
        if check:
            _prune_store(store, found, pruned, check)
            return pruned
        with locks.exclusive_lock(store) as held:
            if held:
                _prune_store(store, folders(root), pruned, check)
            else:
                pruned.notes.append("another run fills %s: nothing was removed there" % store)
    return pruned


def unfinished_removals(root: str) -> list[str]:
    """Folders below a root whose removal a killed run has begun."""
    places = [os.path.join(root, kind) for kind in KINDS]
    names = [os.path.join(place, name) for place in places if os.path.isdir(place) for name in os.listdir(place)]
    return sorted(name for name in names if os.path.basename(name).startswith(".") and name.endswith(_REMOVED_SUFFIX))


def _mark_used(found: Sequence[Folder], current: Collection[str], check: bool) -> None:
    """Make the current requests the latest of their groups, together.

    Their state is written only where that is not so: as long as the same is asked for, nothing is written.
    """
    of_now = _current_of(found, current)
    for group in sorted({folder.group for folder in found}):
        requests = {
            "%s#%s" % (folder.path, key): (folder, key, request)
            for folder in found
            if folder.group == group
            for key, request in folder.requests.items()
        }
        used_at = {name: request["used_at"] for name, (_folder, _key, request) in requests.items()}
        chosen = [name for name in requests if name in of_now]
        changed = later_uses(used_at, chosen)
        for folder in found:
            mine = [name for name in changed if requests[name][0] is folder]
            if not mine:
                continue
            with nullcontext(False) if check else folder.locked() as held:
                for name in mine:
                    requests[name][2]["used_at"] = changed[name]
                if held:
                    folder.save()


def _current_of(found: Sequence[Folder], current: Collection[str]) -> set[str]:
    """The current requests as ``FOLDER#KEY``; one that two folders hold, for two commits, in the one that is named."""
    named = {key for folder in found if folder.path in current for key in folder.requests if key in current}
    return {
        "%s#%s" % (folder.path, key)
        for folder in found
        for key in folder.requests
        if key in current and (key not in named or folder.path in current)
    }


def _to_remove(
    found: Sequence[Folder], keep: int, current: Collection[str], in_use: Callable[[], str]
) -> list[Revision]:
    revisions = [revision for folder in found for revision in folder.revisions()]
    known = {revision.folder for revision in revisions if revision.request in current}
    # A folder whose purpose is unknown is never removed.
    of_now = _current_of(found, current)
    staying = [r.name for r in revisions if r.name in of_now or (r.folder in current and r.folder not in known)]
    chosen = superfluous(revisions, keep, staying)
    if chosen:
        # Only now, and only if there is something to decide: asking costs docker commands.
        text = in_use()
        chosen = superfluous(revisions, keep, staying + [r.name for r in revisions if mentions(text, r.folder)])
    return chosen


def _remove_revisions(folder: Folder, keys: Collection[str], pruned: Pruned, check: bool) -> None:
    """Remove what only these requests name; the folder, when there are no others."""
    # The program that seeds it holds its files open, and their room with them.
    if not check and not swarm.Swarm(os.path.join(folder.own_dir, "swarm"), swarm.Settings()).end():
        pruned.notes.append("a transfer of %s does not end: nothing was removed there" % folder.path)
        return
    if not set(folder.requests) - set(keys):
        pruned.removed.append(folder.path)
        pruned.take(_files_below(folder.path))
        folder.requests.clear()
        if not check:
            remove_folder(folder.path)
        return
    names, objects = folder.only_of(keys)
    pruned.before += names
    pruned.removed += names
    pruned.take(names + objects)
    if not check:
        # The state last: as long as it names them, a next run ends what was begun.
        remove_files(names, folder.path)
        remove_files(objects, os.path.join(folder.path, ".git", "lfs", "objects"))
    folder.forget(keys)
    if not check:
        folder.save()


def _prune_store(store: str, found: Sequence[Folder], pruned: Pruned, check: bool) -> None:
    """Remove manifests of requests that no folder knows, and then objects that no manifest names.

    In this order: a manifest never names what is not there.
    """
    if not found:
        return  # nothing tells what the store is for
    wanted = {os.path.join(store, stores.manifest_path(key)) for folder in found for key in folder.requests}
    manifests = _files_below(os.path.join(store, "manifests"))
    going = [name for name in manifests if name not in wanted]
    oids: set[str] = set()
    unread = []
    for name in sorted(wanted & set(manifests)):
        with open(name, encoding="utf-8", errors="replace") as handle:
            manifest = parse_manifest(handle.read())
        if manifest is None:
            unread.append(name)
        else:
            oids |= {w.oid for w in manifest.files}
    objects: list[str] = []
    if unread:
        pruned.notes.append("%s cannot be read: no object was removed" % ", ".join(unread))
    else:
        staying = {os.path.join(store, path(oid)) for path in _OF_OBJECTS.values() for oid in oids}
        objects = [
            name for kind in _OF_OBJECTS for name in _files_below(os.path.join(store, kind)) if name not in staying
        ]
    pruned.before += manifests
    pruned.removed += going + objects
    pruned.take(going + objects)
    if not check:
        remove_files(going, os.path.join(store, "manifests"))
        for kind in _OF_OBJECTS:
            above = os.path.join(store, kind)
            remove_files([name for name in objects if name.startswith(above + os.sep)], above)


def _files_below(folder: str) -> list[str]:
    return sorted(os.path.join(place, file) for place, _names, files in os.walk(folder) for file in files)


def remove_folder(folder: str) -> None:
    """Remove a folder. It is renamed first, so that the rest of a removal that was killed is no folder of ours."""
    place, name = os.path.split(folder)
    renamed = os.path.join(place, ".%s%s" % (name, _REMOVED_SUFFIX))
    shutil.rmtree(renamed, ignore_errors=True)
    os.rename(folder, renamed)
    shutil.rmtree(renamed)


def remove_files(names: Iterable[str], above: str) -> None:
    """Remove files, and folders that are empty then, up to the one above them all."""
    for name in names:
        remove(name)
        place = os.path.dirname(name)
        while place != above and place.startswith(above + os.sep):
            try:
                os.rmdir(place)
            except FileNotFoundError:
                pass
            except OSError:
                break
            place = os.path.dirname(place)
