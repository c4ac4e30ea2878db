# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old revisions of weights, archives and images: which are superfluous, and which are in use and stay whatever else."""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Iterable, Iterator, Mapping, Optional, Sequence

from .._base import command, locks
from .._base.files import remove, write_atomically
from . import stores, swarm
from .manifest import parse_manifest
from .state import dump_state, load_state


@dataclass(frozen=True)
class Revision:
    """Something that there is in several revisions; those of one ``group`` replace each other.

    Those that were used at the same time were asked for together, as the archives for two generations are: they count
    as one revision.
    """

    name: str
    group: str
    used_at: float
    folder: str = ""
    request: str = ""


def superfluous(revisions: Sequence[Revision], keep: int, in_use: Iterable[str]) -> list[Revision]:
    """Return what may go: of each group all but the ``keep`` latest, and never what is in use.

    Those in use count among the kept ones. Nothing is superfluous when ``keep`` is 0.
    """
    used = set(in_use)
    groups: dict[str, dict[float, list[Revision]]] = {}
    for revision in revisions:
        groups.setdefault(revision.group, {}).setdefault(revision.used_at, []).append(revision)
    gone = []
    for times in groups.values() if keep > 0 else ():
        together = sorted(times.items(), key=lambda t: (any(r.name in used for r in t[1]), t[0]), reverse=True)
        gone += [revision for _time, members in together[keep:] for revision in members if revision.name not in used]
    return sorted(gone, key=lambda r: r.name)


def mentions(text: str, path: str) -> bool:
    """Whether a text names a folder or something in it, and not only another one that begins like it."""
    return re.search(re.escape(path.rstrip("/")) + r"(?![A-Za-z0-9._@+-])", text) is not None


_KINDS = ("models", "repositories")
#: What a store keeps of an object, and where.
_OF_OBJECTS = {"pieces": stores.pieces_path, "objects": stores.object_path}
#: How the name of a folder ends whose removal has begun.
_DOOMED = ".removed"


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
    for kind in _KINDS:
        place = os.path.join(root, kind)
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue
        for name in names:
            path = os.path.join(place, name)
            if name.endswith(_DOOMED):
                continue
            try:
                folder = Folder(path, "%s/%s" % (kind, name.partition("@")[0]))
            except OSError:
                continue
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
    needs: Callable[[], str],
    *,
    check: bool = False,
    store: Optional[str] = None,
) -> Pruned:
    """Remove what is superfluous below a root, and then from a store what no request there asks for.

    ``current`` are folders and requests that stay. Every step can be repeated after a kill, and what a killed run has
    begun the next one ends: names of what goes are given up last.
    """
    found = folders(root)
    pruned = Pruned(before=[folder.path for folder in found])
    if keep <= 0:
        return pruned
    for name in _doomed(root):
        pruned.removed.append(name)
        pruned.take(_files_below(name))
        if not check:
            shutil.rmtree(name)
    _mark_used(found, current, check)
    gone = _gone(found, keep, current, needs)
    for folder in found:
        keys = {revision.request for revision in gone if revision.folder == folder.path}
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
            _sweep(store, found, pruned, check)
            return pruned
        with locks.exclusive_lock(store) as held:
            if held:
                _sweep(store, folders(root), pruned, check)
            else:
                pruned.notes.append("another run fills %s: nothing was removed there" % store)
    return pruned


def _doomed(root: str) -> list[str]:
    """What killed runs have begun to remove."""
    places = [os.path.join(root, kind) for kind in _KINDS]
    names = [os.path.join(place, name) for place in places if os.path.isdir(place) for name in os.listdir(place)]
    return sorted(name for name in names if os.path.basename(name).startswith(".") and name.endswith(_DOOMED))


def _mark_used(found: Sequence[Folder], current: Collection[str], check: bool) -> None:
    """Make the current requests the latest of their groups, together.

    Their state is written only where that is not so: as long as the same is asked for, nothing is written.
    """
    for group in sorted({folder.group for folder in found}):
        members = [folder for folder in found if folder.group == group]
        requests = [(key, request) for folder in members for key, request in folder.requests.items()]
        times = {request["used_at"] for key, request in requests if key in current}
        others = [request["used_at"] for key, request in requests if key not in current]
        if not times or (len(times) == 1 and min(times) > max(others, default=0.0)):
            continue
        # Whatever the clock says, nothing was used later.
        now = max([time.time(), *times, *(used_at + 1 for used_at in others)])
        for folder in members:
            mine = [request for key, request in folder.requests.items() if key in current]
            with nullcontext(False) if check else folder.locked() as held:
                for request in mine:
                    request["used_at"] = now
                if mine and held:
                    folder.save()


def _gone(found: Sequence[Folder], keep: int, current: Collection[str], needs: Callable[[], str]) -> list[Revision]:
    revisions = [revision for folder in found for revision in folder.revisions()]
    known = {revision.folder for revision in revisions if revision.request in current}
    # A folder of which it is not known what for it stays is left alone.
    used = [r.name for r in revisions if r.request in current or (r.folder in current and r.folder not in known)]
    gone = superfluous(revisions, keep, used)
    if gone:
        # Only now, and only if there is something to decide: asking costs docker commands.
        text = needs()
        gone = superfluous(revisions, keep, used + [r.name for r in revisions if mentions(text, r.folder)])
    return gone


def _remove_revisions(folder: Folder, keys: Collection[str], pruned: Pruned, check: bool) -> None:
    """Remove what only these requests name; the folder, when there are no others."""
    if not check:
        # Whoever is given it holds it open, and its room with it.
        swarm.Swarm(os.path.join(folder.own_dir, "swarm"), swarm.Settings()).end()
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


def _sweep(store: str, found: Sequence[Folder], pruned: Pruned, check: bool) -> None:
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


def images(records: str, present: Iterable[Mapping[str, Any]]) -> list[Revision]:
    """Return docker's images that were verified here, by the records of that; others are not ours."""
    found = []
    for image in present:
        image_id = str(image.get("id") or "")
        try:
            used_at = os.stat(os.path.join(records, image_id.rpartition(":")[2] + ".json")).st_mtime
        except OSError:
            continue
        found.append(Revision(image_id, "images", used_at))
    return found


#: How a command ends that is not there.
_NOT_FOUND = 127


class PruneError(Exception):
    """It cannot be told what is in use, so nothing is removed."""


class Host:
    """What on this host may need a revision: containers in any state, and our units, running or not."""

    def __init__(
        self,
        units: str = "/etc/systemd/system",
        run: Callable[..., command.Completed] = command.run,
        without_docker: bool = False,
    ) -> None:
        self._units = units
        self._run = run
        self._without_docker = without_docker

    def docker(self, *words: str) -> str:
        """What a docker command printed; nothing where there need not be a docker and is none."""
        done = self._run(["docker", *words], timeout=120)
        if self._without_docker and done.exit_status == _NOT_FOUND:
            return ""
        if not done.ok:
            raise PruneError("docker does not say what is in use: %s. Nothing was removed." % done.describe())
        printed: str = done.stdout
        return printed

    def needs(self) -> str:
        """Every text that names what is in use."""
        texts = []
        ids = self.docker("ps", "--all", "--quiet", "--no-trunc").split()
        if ids:
            texts.append(self.docker("container", "inspect", *ids))
        try:
            names = sorted(os.listdir(self._units))
        except OSError:
            names = []
        for name in names:
            if name.startswith("vllm-") and name.endswith(".service"):
                with open(os.path.join(self._units, name), encoding="utf-8", errors="replace") as handle:
                    texts.append(handle.read())
        return "\n".join(texts)

    def images(self) -> list[dict[str, Any]]:
        """Docker's images by their IDs."""
        ids = set(self.docker("image", "ls", "--quiet", "--no-trunc").split())
        return [{"id": image_id} for image_id in sorted(ids)]

    def remove_image(self, image_id: str) -> None:
        """Remove an image with all its tags; docker itself refuses one that a running container uses."""
        self.docker("image", "rm", "--force", image_id)


def remove_folder(folder: str) -> None:
    """Remove a folder; begun once, it is not taken for a whole one again, and the next run ends it."""
    place, name = os.path.split(folder)
    doomed = os.path.join(place, ".%s%s" % (name, _DOOMED))
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(folder, doomed)
    shutil.rmtree(doomed)


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
