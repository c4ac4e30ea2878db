# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find, read and write the locks of releases on the controller, and say what to ask hosts and bundles for them."""

from __future__ import annotations

import copy
import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

import yaml

from ..module_utils._artifacts import manifest, plan, stores
from ..module_utils._base.files import write_atomically
from ..module_utils._base.native import to_native_types
from ..module_utils._release import lock as _lock
from ..module_utils._release.problems import Problem, ReleaseError
from . import _releases

SUFFIX = ".lock.yml"
#: The variables that say where releases and locks lie.
VARIABLES = ("inventory_dir", "ansible_inventory_sources", "playbook_dir", "fleet_lock_path")
_HEADER = """\
# The lock of the release %s: what the release leaves open, as it was resolved once. Written by
# ascend.fleet; every host is held to it. To take what the sources have now, run with -e fleet_relock=true.
"""


def variables_of(task_vars: Mapping[str, Any], template: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the variables that say where releases and locks lie; ``fleet_lock_path`` may be a template."""
    found = {key: to_native_types(task_vars[key]) for key in VARIABLES if task_vars.get(key) is not None}
    if found.get("fleet_lock_path"):
        found["fleet_lock_path"] = to_native_types(template(task_vars["fleet_lock_path"]))
    return found


def folder(variables: Mapping[str, Any]) -> Optional[Path]:
    """Return the folder of new locks: ``fleet_lock_path``, or ``releases/`` beside the first inventory that is a file.

    None where there is no inventory file; LockError where ``fleet_lock_path`` is no absolute path.
    """
    where = folders(variables)
    return where[0] if where else None


def folders(variables: Mapping[str, Any]) -> list[Path]:
    """Return the folders in which a lock may lie, one for each source of the inventory, in their order."""
    wanted = variables.get("fleet_lock_path")
    if wanted:
        path = Path(str(wanted)).expanduser()
        if not isinstance(wanted, str) or not path.is_absolute():
            raise _lock.LockError(
                "found fleet_lock_path %r; needed an absolute path of a folder on the controller. "
                "Fix: write it like /srv/fleet/locks, or with {{ inventory_dir }}" % (wanted,)
            )
        return [path]
    sources = [Path(str(source)) for source in variables.get("ansible_inventory_sources") or ()]
    # A source may also be a list of hosts ("a,b").
    beside = [os.path.abspath(path if path.is_dir() else path.parent) for path in sources if path.exists()]
    if not beside and variables.get("inventory_dir"):
        beside = [str(variables["inventory_dir"])]
    return [Path(place) / "releases" for place in dict.fromkeys(beside)]


def path_of(name: str, variables: Mapping[str, Any]) -> Path:
    """Return the file of a release's lock: the one that is there, beside whichever source, or the one to be made.

    LockError where there is no place for locks, and where there are two that differ.
    """
    where = folder(variables)
    if where is None:
        raise _lock.LockError(
            "found no inventory file beside which the lock of the release %s can lie; needed a folder for it. "
            "Fix: -e fleet_lock_path=/srv/fleet/locks" % name
        )
    there = {os.path.realpath(path): path for path in _files(name, variables) if path.exists()}
    if len(there) > 1 and len({_content(path) for path in there.values()}) > 1:
        raise _lock.LockError(
            "found %d locks of the release %s that differ, beside several sources of the inventory: %s; needed one, "
            "which all hosts are held to. Fix: keep the one that is right, and remove the others"
            % (len(there), name, ", ".join(str(path) for path in there.values()))
        )
    return next(iter(there.values()), where / (name + SUFFIX))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise _lock.LockError(
            "found the lock %s unreadable: %s; needed to compare it with another one. Fix: make it readable"
            % (path, exc.strerror)
        ) from exc


def _files(name: str, variables: Mapping[str, Any]) -> list[Path]:
    return [where / (name + SUFFIX) for where in folders(variables)]


def check_place(path: Path, *, probe: bool) -> None:
    """LockError unless the lock can be written; with ``probe`` its folder is made and a file is tried."""
    where, problem = path.parent, ""
    try:
        if probe:
            where.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=where):
                pass
        else:
            while not where.exists():
                where = where.parent
            if not where.is_dir():
                problem = "%s is no folder" % where
            elif not os.access(where, os.W_OK | os.X_OK):
                problem = "%s is not writable" % where
    except OSError as exc:
        problem = "%s: %s" % (exc.filename or where, exc.strerror or exc)
    if problem:
        raise _lock.LockError(
            "the lock of the release cannot be written to %s: found that %s; needed a folder that this user may write. "
            "Fix: make it writable, or name another with -e fleet_lock_path=/srv/fleet/locks" % (path, problem)
        )


_read: dict[Path, tuple[tuple[int, int], _lock.Lock]] = {}


def load(path: Path, name: str) -> Optional[_lock.Lock]:
    """Read and validate a lock; None where there is none. ReleaseError lists everything that is wrong with it.

    A file is read once per process, and again when it has another size or modification time.
    """
    where = "lock file %s" % path
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise ReleaseError(where, [Problem("(whole file)", str(exc), "a readable file")]) from exc
    signature = (about.st_mtime_ns, about.st_size)
    known = _read.get(path)
    if known is None or known[0] != signature:
        _read[path] = known = (signature, _lock.validate(_releases.read_yaml(path, where), name=name, where=where))
    return copy.deepcopy(known[1])


def load_for(release: Mapping[str, Any], variables: Mapping[str, Any]) -> Optional[_lock.Lock]:
    """Read the lock of a release, None where there is none; LockError where it was made for another state of it."""
    if folder(variables) is None:
        return None
    path = path_of(str(release["release"]), variables)
    lock = load(path, str(release["release"]))
    problems = _lock.mismatches(release, lock) if lock is not None else []
    if problems:
        raise _lock.LockError(
            "%s was made for another state of the release: %s. Fix: run with -e fleet_relock=true to lock the release "
            "as it is now, or undo the change of the release" % (path, "; ".join(p.text() for p in problems))
        )
    return lock


def check(releases: Iterable[Mapping[str, Any]], variables: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with the locks of releases, by the releases' names."""
    errors = {}
    for release in releases:
        try:
            load_for(release, variables)
        except (_lock.LockError, ReleaseError) as exc:
            errors[str(release["release"])] = str(exc)
    return errors


def locked_by_name(name: Any, variables: Mapping[str, Any], extra: Iterable[str] = ()) -> dict[str, Any]:
    """Return the validated release of that name with what its lock holds; without a place for locks, as it stands."""
    release = _releases.by_name(name, variables, extra)
    return _lock.apply(release, load_for(release, variables))


def render(lock: _lock.Lock) -> str:
    """Return the text of a lock file."""
    told = {key: value for key, value in lock.items() if key != "unused" or value}
    body = yaml.safe_dump(told, sort_keys=True, allow_unicode=True, width=4096)
    return str(_HEADER % lock["release"]) + body


def write(path: Path, lock: _lock.Lock) -> None:
    """Write a lock file whole; LockError where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(str(path), render(lock), 0o644)
    except OSError as exc:
        raise _lock.LockError(
            "the lock of the release cannot be written to %s: %s. Fix: make room or make the folder writable, and run "
            "again" % (path, exc.strerror or exc)
        ) from exc


def request_of(release: Mapping[str, Any], entry: str, *, root: str, origin: str) -> dict[str, Any]:
    """Return the request of an entry of the lock, as arguments of the module lfs_artifact, without a commit."""
    part = _lock.entries(release)[entry]
    make = plan.weights_request if entry == _lock.MODEL else plan.image_request
    return make(part, root=root, origin=origin)


def read_bundle(
    bundle: str, release: Mapping[str, Any], entries: Sequence[str]
) -> tuple[list[_lock.Answer], list[str]]:
    """Return what a bundle's manifests say of these entries, and what stood in the way."""
    answers, obstacles = [], []
    store = stores.FolderStore(os.path.join(bundle, "artifacts"))
    for entry in entries:
        wanted = request_of(release, entry, root=bundle, origin="")
        key = plan.request_key(wanted)
        try:
            found = manifest.parse_manifest(store.manifest(key))
        except stores.StoreError as exc:
            obstacles.append("the bundle in %s: %s" % (bundle, exc))
            continue
        if found is None:
            obstacles.append("the bundle in %s: its manifest of %s cannot be read" % (bundle, wanted["name"]))
            continue
        files = {w.path: (w.oid, w.size) for w in found.files}
        answers.append(_lock.Answer(entry, "bundle", found.commit, files))
    return answers, obstacles
