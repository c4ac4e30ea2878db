# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which folder the files of a request are, by what is written there."""

from __future__ import annotations

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
    if request.layout != "model" or not request.commit or request.store:
        return tree  # from what fills a store, no engine reads
    known = tree.load_state().requests
    own = known.get(request.key) or known.get(request.former_key)
    if own is not None and own["commit"] == request.commit:
        return tree
    if any(other["commit"] != request.commit for other in known.values()):
        return WorkTree(names.folder_of_commit(request.dest, request.commit))
    return tree


def others(request: Request, tree: WorkTree) -> list[str]:
    """The folders with other commits, where ``tree`` is a commit's own: what is the same there needs no download."""
    if not request.commit or tree.dest != names.folder_of_commit(request.dest, request.commit):
        return []
    return [folder for folder in (request.dest, request.former_dest) if folder]
