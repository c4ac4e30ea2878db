# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store says of a request: its files with their hashes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Mapping, Optional

from .errors import ArtifactError
from .names import is_commit
from .tree import OID, Wanted, check_path


@dataclass(frozen=True)
class Manifest:
    """The files of one request at one commit."""

    repository: str
    revision: str
    commit: str
    files: tuple[Wanted, ...]


def dump_manifest(manifest: Manifest) -> str:
    """Write a manifest."""
    files = [{"path": w.path, "oid": w.oid, "size": w.size, "lfs": w.lfs} for w in manifest.files]
    about = {"repository": manifest.repository, "revision": manifest.revision, "commit": manifest.commit}
    return json.dumps({"version": 1, **about, "files": files}, indent=1) + "\n"


def parse_manifest(text: str) -> Optional[Manifest]:
    """Read a manifest; None when it is none. Every name and hash in it is checked: it came over the network."""
    try:
        data = json.loads(text)
        if data["version"] != 1 or not is_commit(data["commit"]):
            return None
        files = []
        for entry in data["files"]:
            path, oid, size = str(entry["path"]), str(entry["oid"]), entry["size"]
            if not OID.match(oid) or not isinstance(size, int) or size < 0 or "\0" in path:
                return None
            check_path(path)
            files.append(Wanted(path, "", oid, size, bool(entry["lfs"])))
        return Manifest(str(data["repository"]), str(data["revision"]), data["commit"], tuple(files))
    except (ValueError, KeyError, TypeError, AttributeError, ArtifactError):
        return None


def content_id(files: Mapping[str, str]) -> str:
    """Return what identifies files (path: oid) together: equal exactly when every name and every byte is."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode("utf-8")).hexdigest()


def listing(files: Mapping[str, tuple[str, int]]) -> str:
    """Return files (path: oid, size) as the text of a diff."""
    return "".join("%s %d %s\n" % (oid, size, path) for path, (oid, size) in sorted(files.items()))
