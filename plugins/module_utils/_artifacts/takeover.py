# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""To which repository a folder belongs, and what becomes of folders that version 0.1 filled without saying it.

Version 0.1 identified a request by the last part of the repository's path alone, so that two repositories could share
a folder and what was remembered of it. A folder is taken over only when something proves its repository.
"""

from __future__ import annotations

import enum
import os
import re
from typing import Optional

from .errors import ArtifactError
from .names import repository_folder, repository_path
from .request import Request
from .state import State
from .work_tree import WorkTree


class Owner(enum.Enum):
    """To whom a folder belongs. UNPROVEN: version 0.1 filled it, and nothing in it says from which repository."""

    NONE = "none"
    OURS = "ours"
    OTHER = "other"
    UNPROVEN = "unproven"


def owner_of(tree: WorkTree, state: State, request: Request) -> Owner:
    """Say whether a folder belongs to the repository of a request, from its state and git's files in it."""
    if state.repository is not None:
        return Owner.OURS if state.repository == request.path else Owner.OTHER
    if not state.requests:
        return Owner.NONE
    if "/" in request.path and os.path.basename(tree.dest) == repository_folder(request.path, request.revision):
        return Owner.OURS  # a name that version 0.1 gave to no other repository
    url = origin_url(_read(os.path.join(tree.git_dir, "config")))
    if url is None:
        return Owner.UNPROVEN  # mirrors or a bundle gave everything
    try:
        path = repository_path(url)
    except ArtifactError:
        return Owner.UNPROVEN
    if path in (request.path, repository_path(request.repository)):
        # The URL is that of the last fetch: what is remembered has to be of it.
        fetched = _read(os.path.join(tree.git_dir, "shallow")) + _read(os.path.join(tree.git_dir, "FETCH_HEAD"))
        commit = remembered_commit(state, request)
        return Owner.OURS if commit is None or commit in fetched else Owner.UNPROVEN
    return Owner.UNPROVEN if path.split("/")[-2:] == request.path.split("/")[-2:] else Owner.OTHER


def describe_other(tree: WorkTree, state: State, request: Request) -> str:
    """Return the message for a folder that belongs to another repository."""
    found = state.repository or origin_url(_read(os.path.join(tree.git_dir, "config")))
    return (
        "found %s with files of the repository %s; needed a folder for %s alone. Fix: give it another dest, or remove "
        "that folder where nothing uses it" % (tree.dest, found, request.path)
    )


def remembered_commit(state: State, request: Request) -> Optional[str]:
    """Return the commit that the revision was: for this request, or else for another one of the folder."""
    for key in (request.key, request.former_key):
        if key in state.requests:
            return str(state.requests[key]["commit"])
    for other in state.requests.values():
        if other["revision"] == request.revision:
            return str(other["commit"])
    return None


def take_over(state: State, request: Request) -> bool:
    """Let a state that was proven to be of the request's repository say so; return whether that changed it."""
    if state.repository is not None:
        return False
    state.repository = request.path
    if request.key not in state.requests and request.former_key in state.requests:
        state.requests[request.key] = state.requests.pop(request.former_key)
    return True


def origin_url(configuration: str) -> Optional[str]:
    """Return the URL of the remote ``origin`` in the text of a repository's configuration, as our git writes it."""
    section = ""
    found = None
    for line in configuration.splitlines():
        header = re.match(r"\s*\[(.*)\]\s*$", line)
        value = re.match(r"\s*url\s*=\s*(.*?)\s*$", line)
        if header:
            section = header.group(1)
        elif value and section == 'remote "origin"':
            found = value.group(1).strip('"')
    return found


def _read(name: str) -> str:
    try:
        with open(name, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""
