# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a commit: git-lfs pointers, git's listing, and what patterns choose of it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Iterable, Optional, Sequence

from .errors import ArtifactError

POINTER_MAX_BYTES = 1024
_POINTER_VERSION = re.compile(r"^version https://(?:git-lfs\.github\.com/spec/v1|hawser\.github\.com/spec/v1)$")
OID = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Pointer:
    """What a git-lfs pointer file says: the SHA-256 and the size of the content it stands for."""

    oid: str
    size: int


def parse_pointer(content: bytes) -> Optional[Pointer]:
    """Return the pointer that ``content`` is, or None when it is an ordinary file."""
    if len(content) > POINTER_MAX_BYTES or not content.startswith(b"version "):
        return None
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return None
    if not lines or not _POINTER_VERSION.match(lines[0]):
        return None
    fields = dict(line.split(" ", 1) for line in lines[1:] if " " in line)
    method, _colon, oid = fields.get("oid", "").partition(":")
    size = fields.get("size", "")
    if method != "sha256" or not OID.match(oid) or not re.match(r"^\d+$", size):
        return None
    return Pointer(oid, int(size))


@dataclass(frozen=True)
class TreeEntry:
    """One file of a commit."""

    path: str
    mode: str
    blob: str


def parse_ls_tree(text: str) -> list[TreeEntry]:
    """Read ``git ls-tree -r -z``: the regular files of a commit; links and submodules are left out."""
    entries = []
    for record in text.split("\0"):
        head, tab, path = record.partition("\t")
        words = head.split()
        if not tab or len(words) < 3:
            continue
        if words[1] == "blob" and words[0] in ("100644", "100755"):
            entries.append(TreeEntry(path, words[0], words[2]))
    return entries


def check_path(path: str) -> None:
    """Refuse a path that would leave the folder it is meant for, or touch git's own."""
    parts = path.split("/")
    if "\ufffd" in path or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        raise ArtifactError("the repository holds a file named %r, which cannot be written safely" % path)


def _expression(pattern: str) -> str:
    out = []
    position = 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            out.append("(?:.*/)?")
            position += 3
            continue
        if pattern.startswith("**", position):
            out.append(".*")
            position += 2
            continue
        character = pattern[position]
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        else:
            out.append(re.escape(character))
        position += 1
    return "".join(out)


def matches(path: str, pattern: str) -> bool:
    """Whether ``pattern`` names ``path``.

    A pattern without a slash is a file name in any folder; with a slash it is the whole path. ``*`` and ``?`` stay
    within one folder, ``**`` crosses folders, and a pattern that names a folder takes everything under it.
    """
    wanted = pattern.strip("/")
    if path == wanted:
        return True
    expression = _expression(wanted)
    if "/" not in pattern.rstrip("/"):
        expression = "(?:.*/)?" + expression
    return re.fullmatch("%s(?:/.*)?" % expression, path, re.DOTALL) is not None


def select(
    entries: Sequence[TreeEntry], include: Sequence[str], exclude: Sequence[str] = ()
) -> tuple[list[TreeEntry], list[str]]:
    """Return the entries that ``include`` names and ``exclude`` does not, and the patterns that named nothing."""
    chosen = [
        entry
        for entry in entries
        if any(matches(entry.path, p) for p in include) and not any(matches(entry.path, p) for p in exclude)
    ]
    unmatched = [p for p in include if not any(matches(entry.path, p) for entry in entries)]
    return chosen, unmatched


def near_names(wanted: str, names: Iterable[str], count: int = 5) -> list[str]:
    """Return the names most like ``wanted``: by the whole path, or by the file name alone."""
    every = list(names)
    close = difflib.get_close_matches(wanted, every, n=count, cutoff=0.5)
    base = wanted.rsplit("/", 1)[-1]
    by_base = {name.rsplit("/", 1)[-1]: name for name in every}
    for name in difflib.get_close_matches(base, list(by_base), n=count, cutoff=0.6):
        if by_base[name] not in close:
            close.append(by_base[name])
    return close[:count]


@dataclass(frozen=True)
class Wanted:
    """A file that must be present: ``blob`` is git's object, ``oid`` and ``size`` those of the content."""

    path: str
    blob: str
    oid: str
    size: int
    lfs: bool
