# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of repositories: what identifies one on whatever host, its folder, and the key of a request."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Optional, Sequence
from urllib.parse import unquote, urlsplit, urlunsplit

from .errors import ArtifactError

_COMMIT = re.compile(r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$")


def is_commit(revision: str) -> bool:
    """Whether ``revision`` is a full commit hash rather than the name of a branch or tag."""
    return bool(_COMMIT.match(revision))


def check_repository(url: str) -> None:
    """Refuse a URL that carries a secret: it would show in process lists and in the clone's configuration."""
    parts = urlsplit(url)
    if parts.password is not None or (parts.username is not None and parts.scheme in ("http", "https")):
        raise ArtifactError(
            "the repository URL for %s carries a user name or password. Write it without, "
            "put the token into a file with mode 0600 on the host and name that file in token_file."
            % (parts.hostname or "the origin")
        )


def check_revision(revision: str) -> None:
    """Refuse what git would not take for the name of one branch, tag or commit."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*", revision) or ".." in revision:
        raise ArtifactError("the revision is %r; needed is a branch, a tag or a full commit hash" % revision)


def check_commit(commit: Optional[str]) -> None:
    """Refuse what is no full commit hash."""
    if commit is not None and not is_commit(commit):
        raise ArtifactError("found the commit %r; needed a full commit hash of 40 or 64 hexadecimal digits" % commit)


def rewrite_origin(url: str, origin: str) -> str:
    """Return ``url`` with its scheme and host replaced by those of ``origin``; a path of ``origin`` comes first.

    >>> rewrite_origin("https://modelers.cn/Qwen-AI/Qwen3.5-27B.git", "http://mirror:8080/lfs/")
    'http://mirror:8080/lfs/Qwen-AI/Qwen3.5-27B.git'
    """
    if not origin:
        return url
    base, parts = urlsplit(origin), urlsplit(url)
    if not base.scheme:
        raise ArtifactError(
            "artifact_origin is %r: needed is a base URL with its scheme, like http://mirror.example:8080" % origin
        )
    return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + "/" + parts.path.lstrip("/"), "", ""))


def repository_path(url: str) -> str:
    """Return what identifies a repository on whatever host: every part of its path, without ``.git``.

    ``url`` may be any that git takes, or such a path itself. ArtifactError when it names no repository.

    >>> repository_path("https://modelers.cn/Qwen-AI/Qwen3.5-27B.git")
    'Qwen-AI/Qwen3.5-27B'
    """
    parts = urlsplit(url)
    path = parts.path
    if not parts.scheme and re.match(r"^[^/:]+:", url):
        path = url.partition(":")[2]  # USER@HOST:PATH, as ssh has it
    names = [name for name in unquote(path).split("/") if name not in ("", ".")]
    if names and names[-1].endswith(".git"):
        names[-1] = names[-1][: -len(".git")]
    if not names or ".." in names or "" in names:
        raise ArtifactError(
            "found the repository %r; needed a URL with the path of one. Fix: write it like "
            "https://modelers.cn/Qwen-AI/Qwen3.5-27B.git" % url
        )
    return "/".join(names)


def repository_folder(url: str, revision: str) -> str:
    """Return a folder name for the repository at ``revision``, which no other repository has.

    Two revisions never share a folder: the files of one may be in use while the other is staged. The host is no part
    of it: the same repository on a mirror is the same repository.
    """
    path = repository_path(url)
    name = safe_name(path.replace("/", "--"))
    if name.split("--") != path.split("/"):
        # Another repository would get the same name: A--B/C and A/B--C, for example.
        name += "-" + hashlib.sha256(path.encode("utf-8")).hexdigest()[:8]
    return name + revision_suffix(revision)


def folder_of_commit(folder: str, commit: str) -> str:
    """Return the folder beside ``folder`` for a commit of its revision, where ``folder`` holds another commit.

    >>> folder_of_commit("/models/Qwen-AI--Qwen3.5-27B", "aa61a9222a793b9dd48897cacabf3222a13fe50d")
    '/models/Qwen-AI--Qwen3.5-27B@aa61a9222a79'
    """
    return "%s@%s" % (folder, commit[:12])


def former_weights_folder(model_name: str, revision: str) -> str:
    """Return the folder name that version 0.1 gave weights: that of the release's model, whatever its repository."""
    return safe_name(model_name) + revision_suffix(revision)


def revision_suffix(revision: str) -> str:
    """Return what a revision adds to a folder's name: nothing for the default branches."""
    return "" if revision in ("main", "master") else "@" + safe_name(revision[:12] if is_commit(revision) else revision)


def safe_name(text: str) -> str:
    """Return ``text`` as one folder name."""
    name = re.sub(r"[^A-Za-z0-9._+-]", "-", text)
    return name if name.strip(".") else "_" + name


def request_key(repository: str, revision: str, include: Sequence[str], exclude: Sequence[str]) -> str:
    """Return the key of a request: under it a host remembers it, and a store has its manifest.

    ``repository`` is what :func:`repository_path` returns.
    """
    text = json.dumps([repository, revision, sorted(include), sorted(exclude)])
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def former_request_key(repository: str, revision: str, include: Sequence[str], exclude: Sequence[str]) -> str:
    """Return the key that version 0.1 gave the request: without the owner, so that repositories share it."""
    return request_key(repository.rpartition("/")[2], revision, include, exclude)
