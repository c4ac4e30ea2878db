# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from a store: a mirror's, a bundle's or our own; where hosts share, from other hosts as well."""

from __future__ import annotations

import functools
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Mapping, Optional, Sequence, TypeVar

from .._base.files import remove
from . import stores, swarm, torrent
from .errors import ArtifactError
from .manifest import Manifest, parse_manifest
from .names import is_commit
from .request import Plan, Request, Resolved, Transferred, check_checksums, check_model
from .rescue import plan_rescue
from .state import State
from .transfer import Transfer
from .tree import Wanted
from .work_tree import hash_files, size_of

_T = TypeVar("_T")


class StoreSource:
    """One store, asked for a request. ``mirrors`` are all stores behind web servers, which can give to a swarm."""

    def __init__(
        self,
        store: stores.FolderStore | stores.HttpStore,
        mirrors: Sequence[stores.HttpStore],
        request: Request,
        transfer: Transfer,
        attempts: int,
    ) -> None:
        self.name = store.name
        self._store = store
        self._mirrors = mirrors
        self._request = request
        self._transfer = transfer
        self._attempts = min(attempts, request.retries)

    def manifest(self) -> Manifest:
        """Return what the store says of the request. StoreError when that is nothing."""
        found = parse_manifest(self._retry(lambda: self._store.manifest(self._request.key)))
        if found is None or not found.files:
            raise stores.StoreError("its manifest cannot be read")
        return found

    def resolve(self, remembered: Optional[str]) -> Resolved:
        """Learn commit and files from the manifest; small files come at once, as the origin's would."""
        manifest = self.manifest()
        if remembered is None and is_commit(self._request.revision):
            remembered = self._request.revision
        if self._request.commit not in (None, manifest.commit):
            raise stores.StoreError("it holds commit %s; needed %s" % (manifest.commit, self._request.commit))
        if remembered not in (None, manifest.commit):
            raise stores.StoreError(
                "it holds commit %s, this host is at %s (refresh follows it)" % (manifest.commit[:12], remembered)
            )
        shutil.rmtree(self._transfer.staging, ignore_errors=True)
        for w in manifest.files:
            if not w.lfs:
                name = self._transfer.staged(w.path)
                os.makedirs(os.path.dirname(name), exist_ok=True)
                self._bring_one(w, name)
        try:
            check_checksums(self._request, manifest.files)
            check_model(self._request, manifest.files, self._transfer.staging)
        except ArtifactError as exc:
            raise stores.StoreError(str(exc)) from exc
        return Resolved(manifest.commit, manifest.files)

    def bring(self, plan: Plan, state: State) -> Transferred:
        """Put the absent files in place: what is here already, what other hosts give, and the rest from the store."""
        small = self._transfer.place_small(plan.absent, state)
        needed = self._transfer.place_objects_here(plan.absent, state)
        if not needed:
            return Transferred(downloaded_bytes=small)
        sizes = {oid: w.size for oid, w in needed.items()}
        resumed = self._transfer.bytes_begun(sizes)
        wanted = list(needed.values())
        shared, came_shared, notes = self._bring_shared(wanted)
        self._fill_holes(wanted)
        self._transfer.recover(sizes)
        errors = self._bring_rest(wanted, sizes)
        arrived = self._transfer.arrived(sizes)
        self._transfer.place_arrived(arrived, [w for w in plan.absent if w.lfs], state)
        for error in errors:
            raise error
        if len(arrived) != len(sizes):
            raise stores.StoreError("%d of its objects have not come whole" % (len(sizes) - len(arrived)))
        self._transfer.recover({})
        return Transferred(
            downloaded_bytes=small + max(0, sum(sizes.values()) - resumed),
            resumed_bytes=resumed,
            shared=came_shared,
            notes=(*notes, *self._seed(shared)),
        )

    def _bring_rest(self, wanted: Sequence[Wanted], sizes: Mapping[str, int]) -> list[BaseException]:
        """Bring what is not there yet, a few at a time; return what went wrong."""
        tree = self._transfer.tree

        def bring(w: Wanted) -> None:
            # Under the name from which git-lfs would go on, should the origin have to bring the rest.
            if not tree.has_object(w):
                self._bring_one(w, tree.part(w.oid))
                tree.keep_object(tree.part(w.oid), w.oid)

        with (
            self._transfer.watching(sizes),
            ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool,
        ):
            waiting = [pool.submit(bring, w) for w in wanted]
            errors = [future.exception() for future in waiting]
        found = [error for error in errors if error is not None]
        # What the operator has to know comes before what another source can make good.
        return sorted(found, key=lambda error: isinstance(error, stores.StoreError))

    # --- sharing ------------------------------------------------------------------------------------------------------

    def _bring_shared(self, needed: Sequence[Wanted]) -> tuple[list[swarm.Shared], bool, list[str]]:
        """Let other hosts give what they can; the store gives the rest.

        Returns what is shared, whether something came so, and notes.
        """
        store = self._store
        if not self._request.swarm.trackers or not isinstance(store, stores.HttpStore):
            return [], False, []
        obstacle = self._transfer.swarm.obstacle()
        if obstacle:
            return [], False, ["nothing was shared with other hosts: %s" % obstacle]
        tree = self._transfer.tree
        sizes = {w.oid: w.size for w in needed}
        left = plan_rescue(tree.partials(), sizes)
        mirrors = [store, *(mirror for mirror in self._mirrors if mirror.name != store.name)]
        shared = []
        try:
            for w in needed:
                if w.oid in left.whole:
                    continue  # all of it is there: its hash decides
                pieces = self._retry(functools.partial(store.pieces, w.oid, w.size))
                if pieces is not None:
                    seeds = tuple(mirror.object_url(w.oid) for mirror in mirrors)
                    shared.append(swarm.Shared(w.oid, w.size, pieces, seeds))
        except stores.StoreUnreachable as exc:
            return [], False, ["nothing was shared with other hosts: %s" % exc]
        if not shared:
            return [], False, []
        deadline = self._transfer.run.deadline
        with self._transfer.watching(sizes):
            begun = {oid: partial.file for oid, partial in left.keep.items()}
            found, problem = self._transfer.swarm.bring(shared, begun, max(1.0, deadline.left()))
        for (oid, name), actual in zip(found.items(), hash_files(list(found.values()), self._transfer.run.progress)):
            if actual == oid:
                tree.keep_object(name, oid)
            else:
                remove(name)
                problem = "the mirror's hashes of the pieces of %s are wrong" % oid
        if problem:
            deadline.check("downloading from %s and other hosts (%s)" % (store.name, problem))
        return shared, bool(found), ["other hosts did not give everything: %s" % problem] if problem else []

    def _fill_holes(self, needed: Sequence[Wanted]) -> None:
        """Let a web server give what is missing of files that came in pieces from anywhere."""
        store = self._store
        if not isinstance(store, stores.HttpStore):
            return
        sizes = {w.oid: w.size for w in needed}
        for w in needed:
            found = self._transfer.swarm.unfinished(w.oid)
            if found is None or self._transfer.tree.has_object(w):
                continue
            name, pieces = found

            def fill(oid: str = w.oid, size: int = w.size, name: str = name, pieces: bytes = pieces) -> None:
                store.fill(oid, name, torrent.holes(name, pieces, size))

            with self._transfer.watching(sizes):
                self._retry(fill, functools.partial(self._transfer.swarm.received, w.oid))
            if hash_files([name], self._transfer.run.progress) == [w.oid]:
                self._transfer.tree.keep_object(name, w.oid)
            else:
                remove(name)

    def _seed(self, shared: Sequence[swarm.Shared]) -> list[str]:
        """Give to other hosts what came; return notes."""
        if not shared:
            return []
        tree = self._transfer.tree
        problem = self._transfer.swarm.seed(
            shared,
            tree.object_root,
            lambda oid: os.path.relpath(os.path.dirname(tree.object(oid)), tree.object_root),
        )
        return ["nothing is given to other hosts: %s" % problem] if problem else []

    # --- one object ---------------------------------------------------------------------------------------------------

    def _bring_one(self, w: Wanted, part: str) -> None:
        begun = bool(size_of(part))
        bring = functools.partial(self._store.bring, w.oid, w.size, part)
        try:
            self._retry(bring, lambda: size_of(part) or 0)
        except stores.StoreUnreachable:
            raise
        except stores.StoreError:
            if not begun or os.path.exists(part):
                raise
            # What was there before may have been wrong: once more, from nothing.
            self._retry(bring, lambda: size_of(part) or 0)

    def _retry(self, work: Callable[[], _T], measure: Callable[[], int] = lambda: 0) -> _T:
        """Do something with a store that may not answer; what does not get any further is given up.

        ArtifactError when the deadline of the request passes.
        """
        run = self._transfer.run
        attempt, most = 0, -1
        while True:
            try:
                return work()
            except stores.StoreUnreachable as exc:
                run.deadline.check("downloading from %s (%s)" % (self.name, exc))
                have = measure()
                attempt = 1 if have > most >= 0 else attempt + 1
                most = max(most, have)
                if attempt >= self._attempts:
                    raise
                run.sleep(min(10, 2**attempt))
