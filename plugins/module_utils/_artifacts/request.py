# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for, what a source says of it, and the plan of what to do about it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Collection, Mapping, Optional, Protocol, Sequence

from . import names
from . import swarm as _swarm
from .errors import ArtifactError
from .state import State
from .tree import Wanted
from .weights import INDEX_FILE, model_problems


@dataclass(frozen=True)
class Request:
    """What is asked for.

    ``commit`` is what ``revision`` is held to, which is then only a name: of folder and request.
    ``identity`` is the path of the repository at home (OWNER/NAME), where ``repository`` leads to a copy under another
    path. ``former_dest`` is a folder in which version 0.1 kept the same. ``adopt``: folders of the host in which files
    of the repository may lie, such as a clone made by hand.
    """

    repository: str
    revision: str
    dest: str
    paths: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)
    layout: str = "files"
    ca_path: Optional[str] = None
    sources_ca_path: Optional[str] = None
    token_file: Optional[str] = None
    token_user: str = "oauth2"  # noqa: S105 - a name
    commit: Optional[str] = None
    refresh: bool = False
    rehash: bool = False
    timeout: float = 86400.0
    lock_timeout: float = 600.0
    retries: int = 5
    progress: Optional[str] = None
    sources: tuple[str, ...] = ()
    ask_origin: bool = True
    store: Optional[str] = None
    share: bool = False
    swarm: _swarm.Settings = field(default_factory=_swarm.Settings)
    identity: Optional[str] = None
    former_dest: Optional[str] = None
    adopt: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path of the repository, the same on every host that has it."""
        return names.repository_path(self.identity or self.repository)

    @property
    def key(self) -> str:
        """What identifies the request on every host."""
        return names.request_key(self.path, self.revision, self.paths, self.exclude)

    @property
    def former_key(self) -> str:
        """What identified it in version 0.1."""
        return names.former_request_key(self.path, self.revision, self.paths, self.exclude)


@dataclass
class Outcome:
    """What was found and done. Of ``files``, those in ``missing`` were not in place; ``removed`` are paths."""

    changed: bool = False
    known: bool = True
    settled: bool = False
    dest: str = ""
    commit: Optional[str] = None
    moved_from: Optional[str] = None
    source: Optional[str] = None
    missing: list[Wanted] = field(default_factory=list)
    files: list[Wanted] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    missing_bytes: int = 0
    downloaded_bytes: int = 0
    resumed_bytes: int = 0
    shared: bool = False
    before: dict[str, tuple[str, int]] = field(default_factory=dict)
    after: dict[str, tuple[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Resolved:
    """What a source says that a request is: the commit and its files."""

    commit: str
    files: tuple[Wanted, ...]


@dataclass(frozen=True)
class Presence:
    """What of the files wanted is in place: ``absent`` are not, and of those ``damaged`` have another content."""

    absent: tuple[Wanted, ...]
    damaged: tuple[Wanted, ...] = ()


@dataclass(frozen=True)
class Adopted:
    """The files that lay elsewhere on the host and are used, and what is worth knowing of that."""

    files: tuple[Wanted, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a run does: bring ``absent``, remove ``removed`` (paths) and ``objects`` (of git-lfs, by hash).

    ``missing_bytes`` have to be downloaded. ``before`` and ``after`` are hash and size of the files by their paths.
    ``moved_from`` is the commit that the revision was before.
    """

    resolved: Resolved
    presence: Presence
    removed: tuple[str, ...]
    objects: tuple[str, ...]
    missing_bytes: int
    before: Mapping[str, tuple[str, int]]
    after: Mapping[str, tuple[str, int]]
    moved_from: Optional[str] = None
    adopted: Adopted = field(default_factory=Adopted)

    @property
    def changes(self) -> bool:
        """Whether anything in the folder differs afterwards."""
        return bool(self.absent or self.removed or self.adopted.files)

    @property
    def absent(self) -> tuple[Wanted, ...]:
        """The files to bring."""
        return self.presence.absent

    @property
    def notes(self) -> list[str]:
        """What is worth knowing of it."""
        words = "%s is damaged (its content has another hash) and is downloaded again"
        return [*self.adopted.notes, *(words % w.path for w in self.presence.damaged)]


@dataclass(frozen=True)
class Transferred:
    """What bringing files cost, and what is worth knowing of it."""

    downloaded_bytes: int = 0
    resumed_bytes: int = 0
    shared: bool = False
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """Who can say what a request is, and give its files."""

    name: str

    def resolve(self, remembered: Optional[str]) -> Resolved:
        """Learn the commit and the files; the small ones come into the staging folder at once.

        ``remembered`` is the commit to hold to; None takes what the source has.
        """

    def bring(self, plan: Plan, state: State) -> Transferred:
        """Put the absent files in place, verified, and record them."""


def find_superseded(state: State, key: str, files: Sequence[Wanted]) -> tuple[list[str], list[str]]:
    """Return the paths and objects that a request named before its revision moved, and that no request names now."""
    former: Mapping[str, str] = state.requests.get(key, {}).get("files", {})
    named: list[Mapping[str, str]] = [{w.path: w.oid for w in files}]
    named += [request["files"] for other, request in state.requests.items() if other != key]
    paths = [path for path in former if not any(path in chosen for chosen in named)]
    return paths, [oid for oid in former.values() if not any(oid in chosen.values() for chosen in named)]


def make_plan(
    resolved: Resolved,
    presence: Presence,
    state: State,
    request: Request,
    *,
    known: Optional[str],
    existing: Collection[str],
    bytes_here: int,
    adopted: Adopted,
) -> Plan:
    """Return what has to be done so that a folder holds what was resolved.

    ``known`` is the commit that the revision was here before. ``existing`` are the paths that there are in the folder,
    ``bytes_here`` what of the absent git-lfs files is there already, as objects or unfinished.
    """
    absent = presence.absent
    removed, objects = find_superseded(state, request.key, resolved.files)
    before = {w.path: (w.oid, w.size) for w in resolved.files if w not in absent and w not in adopted.files}
    for path in [*(w.path for w in absent), *removed]:
        record = state.files.get(path)
        if record is not None and path in existing:
            before[path] = (record.oid, record.size)
    large = {w.oid: w.size for w in absent if w.lfs}
    small = sum(w.size for w in absent if not w.lfs)
    return Plan(
        resolved=resolved,
        presence=presence,
        removed=tuple(path for path in removed if path in existing),
        objects=tuple(objects),
        missing_bytes=max(0, sum(large.values()) - bytes_here) + small,
        before=before,
        after={w.path: (w.oid, w.size) for w in resolved.files},
        moved_from=known if known not in (None, resolved.commit) else None,
        adopted=adopted,
    )


def check_checksums(request: Request, files: Sequence[Wanted]) -> None:
    """Refuse files that are not the pinned ones."""
    by_path = {w.path: w for w in files}
    for path, sha256 in request.checksums.items():
        expected = sha256.lower().replace("sha256:", "", 1)
        if path in by_path and by_path[path].oid != expected:
            raise ArtifactError(
                "%s in %s at %s is not the pinned file: found sha256 %s, needed %s. The revision has moved or "
                "the pin is wrong; pin a commit as the revision, or correct the pin."
                % (path, request.repository, request.revision, by_path[path].oid, expected)
            )


def check_model(request: Request, files: Sequence[Wanted], staging: str) -> None:
    """Refuse files that are no complete model, where one is asked for. ``staging`` has the small files."""
    if request.layout != "model":
        return
    index: Optional[str] = None
    if any(w.path == INDEX_FILE and not w.lfs for w in files):
        with open(os.path.join(staging, INDEX_FILE), encoding="utf-8", errors="replace") as handle:
            index = handle.read()
    problems = model_problems({w.path: w.size for w in files}, index)
    if problems:
        raise ArtifactError(
            "%s at %s does not give a complete model: %s. Correct the files asked for "
            "(include %s, exclude %s), or the origin."
            % (
                request.repository,
                request.revision,
                "; ".join(problems),
                list(request.paths),
                list(request.exclude),
            )
        )
