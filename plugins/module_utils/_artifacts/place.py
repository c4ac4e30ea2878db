# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which folder the files of a request are, by what is written there."""

from __future__ import annotations

import glob
import os

from . import names
from .request import Request
from .work_tree import WorkTree


def named(request: Request) -> WorkTree:
    """``dest``, or the folder of version 0.1 that was taken over."""
    tree = WorkTree(request.dest)
    if request.former_dest and not os.path.exists(tree.state_file):
        former = WorkTree(request.former_dest)
        if former.load_state().repository == request.path:
            return former
    return tree


def beside(request: Request, tree: WorkTree) -> WorkTree:
    """The same, or the commit's own folder: weights of another commit stay, as engines and a rollback read them."""
    if request.layout != "model" or request.store:
        return tree  # from what fills a store, no engine reads
    if not request.commit:
        return _latest(request, tree)
    known = tree.load_state().requests
    own = known.get(request.key) or known.get(request.former_key)
    if own is not None and own["commit"] == request.commit:
        return tree
    if any(other["commit"] != request.commit for other in known.values()):
        return WorkTree(names.folder_of_commit(request.dest, request.commit))
    return tree


def _latest(request: Request, tree: WorkTree) -> WorkTree:
    """Of the folders that hold a request for one commit each, the one that was used last: no lock says which."""

    def used_at(one: WorkTree) -> float:
        return float(one.load_state().requests.get(request.key, {}).get("used_at", 0.0))

    own = [WorkTree(folder) for folder in sorted(glob.glob(glob.escape(request.dest) + "@" + "[0-9a-f]" * 12))]
    return max([tree, *own], key=used_at)


def others(request: Request, tree: WorkTree) -> list[str]:
    """The folders with other commits, where ``tree`` is a commit's own: what is the same there needs no download."""
    if not request.commit or tree.dest != names.folder_of_commit(request.dest, request.commit):
        return []
    return [folder for folder in (request.dest, request.former_dest) if folder]
