# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing on what a folder holds: the request's files and manifest in a store of this host."""

from __future__ import annotations

from typing import Sequence

from .._base.locks import shared_lock
from .._base.progress import Progress
from . import stores
from .manifest import Manifest, dump_manifest
from .request import Request
from .tree import Wanted
from .work_tree import WorkTree


def is_published(request: Request, commit: str, files: Sequence[Wanted]) -> bool:
    """Whether the request's store has these files, or the request names none."""
    if request.store is None:
        return True
    objects = [(w.oid, w.size) for w in files]
    return stores.is_published(request.store, request.key, _manifest(request, commit, files), objects, request.share)


def publish(request: Request, tree: WorkTree, commit: str, files: Sequence[Wanted], progress: Progress) -> bool:
    """Put the files of a folder into the request's store; say whether they were not there."""
    store, share = request.store, request.share
    if store is None:
        return False
    objects = [(w.oid, w.size, tree.file(w.path)) for w in files]
    hashed: list[int] = []
    unshared = [size for oid, size, _name in objects if share and not stores.is_shared(store, oid, size)]
    # The state already names the request, so a prune running at the same time keeps its objects.
    with shared_lock(store), progress.watching("pieces", lambda: sum(hashed), sum(unshared)):
        if is_published(request, commit, files):
            return False
        stores.publish(store, request.key, _manifest(request, commit, files), objects, share, hashed.append)
    return True


def _manifest(request: Request, commit: str, files: Sequence[Wanted]) -> str:
    return dump_manifest(Manifest(request.path, request.revision, commit, tuple(sorted(files, key=lambda w: w.path))))
