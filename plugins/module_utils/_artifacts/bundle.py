# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder with everything for a deployment without a network, beside the artifacts that are in it already."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from typing import Callable, Optional

from .._base import command
from .._base.files import read_text, write_atomically

#: Folders of a checkout that belong to an installed collection; the others are for developers.
_PARTS = ("changelogs", "meta", "playbooks", "plugins", "roles")
_WORK = ".work"  # what is needed to make the bundle again, not to use it
_OWN = ("SHA256SUMS", "bundle.json")
_CHUNK = 8 * 1024 * 1024


class BundleError(Exception):
    """The bundle cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class Request:
    """What is asked for. ``requirement`` is None when no Python package is wanted."""

    path: str
    collection: str
    releases: tuple[str, ...]
    requirement: Optional[str]
    python: str
    python_version: str
    machine: str
    timeout: float = 1800.0


@dataclass(frozen=True)
class Outcome:
    """What the bundle holds, and whether that was so before."""

    changed: bool
    files: int
    size: int


def ensure(request: Request, *, check: bool, run: Callable[..., command.Completed] = command.run) -> Outcome:
    """Complete the bundle; with ``check`` only say whether it is, and write nothing into it."""
    if check:
        listed = _files(request.path) if os.path.isdir(request.path) else {}
        changed = read_text(os.path.join(request.path, "bundle.json")) != _about(request, listed)
        return Outcome(changed or not _has_collection(request, run), len(listed), sum(listed.values()))
    os.makedirs(os.path.join(request.path, "collections"), mode=0o755, exist_ok=True)
    _add_collection(request, run)
    if request.requirement:
        _add_python(request, request.requirement, run)
    listed = _files(request.path)
    about = _about(request, listed)
    sums = os.path.join(request.path, "SHA256SUMS")
    before = read_text(os.path.join(request.path, "bundle.json"))
    if before == about and os.path.exists(sums):
        return Outcome(False, len(listed), sum(listed.values()))
    write_atomically(sums, "".join("%s  %s\n" % (_hash_of(request.path, name), name) for name in sorted(listed)))
    write_atomically(os.path.join(request.path, "bundle.json"), about)
    return Outcome(True, len(listed), sum(listed.values()))


def _about(request: Request, listed: dict[str, int]) -> str:
    return (
        json.dumps(
            {
                "version": 1,
                "releases": list(request.releases),
                "python": {
                    "requirement": request.requirement,
                    "version": request.python_version.rsplit(".", 1)[0],
                    "machine": request.machine,
                }
                if request.requirement
                else None,
                "files": listed,
            },
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )


def _add_collection(request: Request, run: Callable[..., command.Completed]) -> None:
    """Put the collection into the bundle as `ansible-galaxy collection install` takes it."""
    scratch = os.path.join(request.path, _WORK, "collection")
    shutil.rmtree(scratch, ignore_errors=True)
    built = _build_collection(request, scratch, run)
    target = os.path.join(request.path, "collections", os.path.basename(built))
    if not _same_members(target, built):
        os.replace(built, target)
    shutil.rmtree(scratch, ignore_errors=True)


def _has_collection(request: Request, run: Callable[..., command.Completed]) -> bool:
    """Whether the bundle has the collection as it is now. It is built elsewhere to be compared."""
    with tempfile.TemporaryDirectory(prefix="ascend-fleet-") as scratch:
        built = _build_collection(request, os.path.join(scratch, "collection"), run)
        return _same_members(os.path.join(request.path, "collections", os.path.basename(built)), built)


def _build_collection(request: Request, scratch: str, run: Callable[..., command.Completed]) -> str:
    """Build the tarball of the collection in an empty folder that is made for it, and return its path."""
    if os.path.exists(os.path.join(request.collection, "MANIFEST.json")):
        # Installed: its manifest with the hashes is there, so the folder is a tarball's content already.
        with open(os.path.join(request.collection, "MANIFEST.json"), encoding="utf-8") as handle:
            info = json.load(handle)["collection_info"]
        os.makedirs(scratch)
        path = os.path.join(scratch, "%s-%s-%s.tar.gz" % (info["namespace"], info["name"], info["version"]))
        with tarfile.open(path, "w:gz") as archive:
            for entry in sorted(os.listdir(request.collection)):
                archive.add(os.path.join(request.collection, entry), arcname=entry, filter=_no_bytecode)
        return path
    source = os.path.join(scratch, "source")
    os.makedirs(source)
    for entry in sorted(os.listdir(request.collection)):
        full = os.path.join(request.collection, entry)
        if entry in _PARTS:
            shutil.copytree(full, os.path.join(source, entry), ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif os.path.isfile(full) and entry in ("galaxy.yml", "README.md", "README.zh-CN.md", "LICENSE"):
            shutil.copyfile(full, os.path.join(source, entry))
    # Beside the Python that runs, as nothing says that it is on PATH.
    program = os.path.join(os.path.dirname(request.python), "ansible-galaxy")
    done = run(
        [
            "env", "LC_ALL=C.UTF-8",  # Ansible runs in no other locale
            program if os.path.exists(program) else "ansible-galaxy",
            "collection", "build", source, "--output-path", scratch, "--force",
        ],
        timeout=request.timeout,
    )  # fmt: skip
    shutil.rmtree(source, ignore_errors=True)
    built = [name for name in os.listdir(scratch) if name.endswith(".tar.gz")]
    if not done.ok or len(built) != 1:
        raise BundleError("the collection in %s cannot be built: %s" % (request.collection, done.describe()))
    return os.path.join(scratch, built[0])


def _no_bytecode(member: tarfile.TarInfo) -> Optional[tarfile.TarInfo]:
    return None if "__pycache__" in member.name else member


def _same_members(one: str, other: str) -> bool:
    """Whether two tarballs hold the same files; their bytes differ by the time they were made."""
    members = _members(one)
    return members is not None and members == _members(other)


def _members(name: str) -> Optional[dict[str, str]]:
    found = {}
    try:
        with tarfile.open(name) as archive:
            for member in archive:
                handle = archive.extractfile(member) if member.isfile() else None
                if handle is not None:
                    found[member.name] = hashlib.sha256(handle.read()).hexdigest()
    except (OSError, tarfile.TarError, EOFError):
        return None
    return found


def _add_python(request: Request, requirement: str, run: Callable[..., command.Completed]) -> None:
    """Wheels of ansible-core and of what it needs, once for each version."""
    folder = os.path.join(request.path, "python")
    listing = os.path.join(folder, "requirements.txt")
    if read_text(listing) == requirement + "\n":
        return  # written last: the wheels are there
    os.makedirs(folder, exist_ok=True)
    done = run(
        [
            request.python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
            "--only-binary", ":all:", "--dest", folder, requirement,
        ],
        timeout=request.timeout,
    )  # fmt: skip
    if not done.ok:
        raise BundleError(
            "%s and what it needs cannot be downloaded: %s. Make pip of %s work (an index that it reaches), or leave "
            "the Python packages out: -e bundle_python=false" % (requirement, done.describe(), request.python)
        )
    write_atomically(listing, requirement + "\n")


def _files(root: str) -> dict[str, int]:
    """Every file of the bundle with its size, by its path in it."""
    found = {}
    for folder, names, files in os.walk(root):
        if folder == root and _WORK in names:
            names.remove(_WORK)
        for file in files:
            full = os.path.join(folder, file)
            name = os.path.relpath(full, root)
            if name not in _OWN and not name.endswith(".new"):
                found[name] = os.path.getsize(full)
    return found


def _hash_of(root: str, name: str) -> str:
    parts = name.split("/")
    if parts[:2] == ["artifacts", "objects"]:
        return parts[-1]  # verified when it came; its name says it
    digest = hashlib.sha256()
    with open(os.path.join(root, name), "rb") as handle:
        for chunk in iter(lambda: handle.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()
