# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What transfers from all sources have in common: resume unfinished bytes, verify, put in place."""

from __future__ import annotations

import os
from typing import Callable, ContextManager, Mapping, Sequence

from .._base.files import remove
from .deadline import Run
from .rescue import plan_rescue
from .state import State
from .swarm import Swarm
from .tree import Wanted
from .work_tree import WorkTree, hash_file, hash_files, size_of


class Transfer:
    """The way of files into one folder. ``staging`` has the small files, where a source has put them."""

    def __init__(self, tree: WorkTree, staging: str, swarm: Swarm, run: Run) -> None:
        self.tree = tree
        self.staging = staging
        self.swarm = swarm
        self.run = run

    def staged(self, path: str) -> str:
        """The name of a small file in the staging folder."""
        return os.path.join(self.staging, *path.split("/"))

    def place_small(self, absent: Sequence[Wanted], state: State) -> int:
        """Put the small files in place; return their bytes."""
        small = [w for w in absent if not w.lfs]
        for w in small:
            state.files[w.path] = self.tree.place(self.staged(w.path), w)
        if small:
            self.tree.save_state(state)
        return sum(w.size for w in small)

    def place_objects_here(self, absent: Sequence[Wanted], state: State) -> dict[str, Wanted]:
        """Put in place what git-lfs' own folder has already; return what has to come, by hash."""
        needed: dict[str, Wanted] = {}
        here = [w for w in absent if w.lfs and self.tree.has_object(w)]
        hashes = hash_files([self.tree.object(w.oid) for w in here], self.run.progress)
        right = {w.oid for w, oid in zip(here, hashes) if w.oid == oid}
        for w in absent:
            if not w.lfs:
                continue
            if w.oid in right:
                state.files[w.path] = self.tree.place(self.tree.object(w.oid), w)
            else:
                # Also when a damaged file of the folder shares its bytes with the object: both names have to go.
                remove(self.tree.object(w.oid))
                needed[w.oid] = w
        if right:
            self.tree.save_state(state)
        return needed

    def place_arrived(self, arrived: Sequence[str], absent: Sequence[Wanted], state: State) -> None:
        """Put objects that were verified in place, where they are not yet."""
        for w in absent:
            record = state.files.get(w.path)
            known = record is not None and record.oid == w.oid and self.tree.is_untouched(w.path, record)
            if w.oid in arrived and not known:
                state.files[w.path] = self.tree.place(self.tree.object(w.oid), w)
        if arrived:
            self.tree.save_state(state)

    def recover(self, sizes: Mapping[str, int]) -> int:
        """Put unfinished bytes of these objects where git-lfs goes on from them, remove others; return how many."""
        os.makedirs(os.path.dirname(self.tree.part("")), exist_ok=True)
        for oid, size in sizes.items():
            self.swarm.salvage(oid, size, self.tree.part(oid))
        rescue = plan_rescue(self.tree.partials(), sizes)
        for name in rescue.delete:
            remove(name)
        for oid, partial in rescue.keep.items():
            os.replace(partial.file, self.tree.part(oid))
        kept = sum(partial.size for partial in rescue.keep.values())
        for oid, partial in rescue.whole.items():
            if hash_file(partial.file) == oid:
                self.tree.keep_object(partial.file, oid)
                kept += partial.size
            else:
                remove(partial.file)
        return kept

    def bytes_begun(self, sizes: Mapping[str, int]) -> int:
        """How many bytes of these objects an earlier run has left unfinished."""
        return self.tree.bytes_begun(sizes, self.swarm.received)

    def arrived(self, sizes: Mapping[str, int]) -> list[str]:
        """Those of these objects that are whole: an object gets its name only when its hash is right."""
        return [oid for oid, size in sizes.items() if size_of(self.tree.object(oid)) == size]

    def watching(self, sizes: Mapping[str, int]) -> ContextManager[None]:
        """While the body works, how many bytes of these objects are here is the progress of the run."""
        received: Callable[[str], int] = self.swarm.received
        return self.run.progress.watching(
            "download", lambda: self.tree.bytes_arrived(sizes, received), sum(sizes.values())
        )
