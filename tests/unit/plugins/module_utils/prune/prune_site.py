# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A root that downloads fill, with archives of one repository, for the tests of what is removed from it."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import manifest, stores
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import prune as _prune
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import repository as _repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.manifest import Manifest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Request
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.tree import Wanted

V0, V1, V2 = "image/v0.tar", "image/v1.tar", "image/v2.tar"

README = "README.md"
AGAIN = "image/v0-again.tar"
CONTENTS = {V0: b"0" * 3000, AGAIN: b"0" * 3000, V1: b"1" * 3000, V2: b"2" * 3000, README: b"# all of them\n"}
REPOSITORY = "https://origin.example/O/images.git"


def oid_of(path: str) -> str:
    return hashlib.sha256(CONTENTS[path]).hexdigest()


class Site:
    """A root that lfs_artifact fills from a source with archives of one repository."""

    def __init__(self, base: Path) -> None:
        self.source = base / "source"
        self.root = base / "root"
        self.store = self.root / "store"

    def bring(self, *paths: str, folder: str = "repositories/O--images", store: bool = True) -> str:
        """Have files in a folder; return the request's key."""
        request = Request(
            repository=REPOSITORY,
            revision=folder.partition("@")[2] or "main",
            dest=str(self.root / folder),
            paths=paths,
            sources=(str(self.source),),
            ask_origin=False,
            store=str(self.store) if store else None,
        )
        files = tuple(Wanted(p, "", oid_of(p), len(CONTENTS[p]), p != README) for p in paths)
        held = Manifest("images", request.revision, "c" * 40, files)
        for name, content in [(stores.object_path(oid_of(p)), CONTENTS[p]) for p in paths] + [
            (stores.manifest_path(request.key), manifest.dump_manifest(held).encode())
        ]:
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_bytes(content)
        _repository.Repository(request).ensure()
        shutil.rmtree(self.source)
        return request.key

    def is_settled(self, *paths: str) -> bool:
        dest = str(self.root / "repositories/O--images")
        request = Request(REPOSITORY, "main", dest, paths=paths, store=str(self.store))
        return _repository.Repository(request).is_settled().settled

    def prune(
        self, keep: int, *current: str, check: bool = False, needs: str = "", store: bool = True
    ) -> _prune.Pruned:
        return _prune.prune(
            str(self.root), keep, current, lambda: needs, check=check, store=str(self.store) if store else None
        )

    def names(self) -> list[str]:
        """Every archive, object and manifest that is there, in whatever folder."""
        found = []
        for path in self.root.rglob("*"):
            name = str(path.relative_to(self.root))
            if path.is_file() and re.search(r"image/|lfs/objects|store/|README", name):
                found.append(name)
        return sorted(found)

    def everything(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in [self.root, *self.root.rglob("*")]:
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_mtime_ns)
        return found

    def is_served_whole(self) -> bool:
        """Whether every object that a manifest of the store names is there."""
        return all(
            (self.store / stores.object_path(w.oid)).exists()
            for name in (self.store / "manifests").iterdir()
            for w in manifest.parse_manifest(name.read_text()).files  # type: ignore[union-attr]
        )


def expected(*archives: str, keys: tuple[str, ...], more: tuple[str, ...] = ()) -> list[str]:
    """What Site.names() returns for archives in the one folder."""
    folder = "repositories/O--images"
    found = ["%s/%s" % (folder, name) for name in (*archives, *more)]
    for oid in (oid_of(name) for name in archives):
        found.append("%s/.git/lfs/objects/%s/%s/%s" % (folder, oid[:2], oid[2:4], oid))
    found += ["store/" + stores.object_path(oid_of(name)) for name in (*archives, *more)]
    return sorted(found + ["store/" + stores.manifest_path(key) for key in keys])
