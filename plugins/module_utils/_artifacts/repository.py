# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring named files of a git-lfs repository into a folder: from a mirror's store or by git-lfs, resumable, once."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from typing import Callable, Optional, Sequence

from .._base.files import remove
from .._base.progress import Progress
from . import names, place, stores
from .adopt import adopt
from .deadline import Deadline, Run
from .errors import ArtifactError
from .folder_lock import acquire_folder
from .git import Git, missing_programs
from .origin import Origin
from .publication import is_published, publish
from .request import (
    Outcome,
    Plan,
    Request,
    Source,
    Transferred,
    check_checksums,
    find_superseded,
    make_plan,
)
from .state import State
from .store_source import StoreSource
from .swarm import Swarm
from .takeover import Owner, describe_other, owner_of, remembered_commit, take_over
from .transfer import Transfer
from .tree import Wanted
from .work_tree import WorkTree

#: How often a store is asked again that does not answer. A mirror that is down must not hold up those who can go to
#: the origin. A dry run asks once: often the mirror is not there yet.
_ATTEMPTS, _DRY_ATTEMPTS = 3, 1


@dataclass(frozen=True)
class _Session:
    """One folder, as it is while a run works on it or plans to; the bare repository lies in ``git_dir``."""

    tree: WorkTree
    state: State
    transfer: Transfer
    git: Git
    attempts: int


class Repository:
    """A request, and the three things to do with it: look, plan, bring."""

    def __init__(self, request: Request, sleep: Callable[[float], None] = time.sleep) -> None:
        names.check_repository(request.repository)
        names.check_revision(request.revision)
        names.check_commit(request.commit)
        if request.identity is not None and names.repository_path(request.identity) != request.identity:
            raise ArtifactError(
                "found the identity %r; needed the repository's path without host and .git. Fix: write %r"
                % (request.identity, names.repository_path(request.identity))
            )
        self.request = request
        self._run = Run(Deadline(request.timeout), Progress(request.progress), sleep)

    def is_settled(self) -> Outcome:
        """Say only whether everything is in place and remembered: a few reads of the file system."""
        tree = self._current_tree()
        state = tree.load_state()
        settled = None if self.request.rehash or state.repository is None else self._settled(tree, state)
        if settled is None or not self._is_published(settled):
            return Outcome(dest=tree.dest)
        return settled

    def plan(self, scratch: str) -> Outcome:
        """Return what :meth:`ensure` would do: the same plan, made in ``scratch``, not carried out."""
        tree = self._choose_tree()
        git_dir = os.path.join(scratch, "repository")
        own_dir = os.path.join(git_dir, "ascend-fleet")
        os.makedirs(own_dir, exist_ok=True)
        session = self._open(tree, self._run, git_dir, own_dir, _DRY_ATTEMPTS)
        settled = None if self.request.rehash else self._settled(tree, session.state)
        if settled is not None:
            return replace(settled, changed=not self._is_published(settled))

        def work(source: Source) -> Outcome:
            plan = self._plan_from(source, session, dry=True)
            return _outcome(plan, tree, changed=plan.changes)

        def without_git(notes: Sequence[str]) -> Outcome:
            said = "git is not installed yet, so what would be downloaded cannot be told"
            return Outcome(changed=True, known=False, dest=tree.dest, notes=[*notes, said])

        return self._ask(session, work, without_git)

    def ensure(self) -> Outcome:
        """Make everything asked for present, complete and verified."""
        try:
            tree = self._choose_tree()
            swarm = self._swarm(tree)
            lock = acquire_folder(
                tree, self.request.lock_timeout, swarm.received_together, self._run.progress, self._run.sleep
            )
            try:
                return self._ensure(tree, replace(self._run, lock_fds=(lock,)))
            finally:
                os.close(lock)
        finally:
            self._run.progress.close()

    def _ensure(self, tree: WorkTree, run: Run) -> Outcome:
        session = self._open(tree, run, tree.git_dir, tree.own_dir, _ATTEMPTS)
        settled = None if self.request.rehash else self._settled(tree, session.state)
        if settled is not None:
            if tree.load_state().repository is None:
                tree.save_state(session.state)  # taken over from version 0.1
            return replace(settled, changed=self._publish(tree, settled))

        def work(source: Source) -> Outcome:
            plan = self._plan_from(source, session, dry=False)
            return self._finish(source, plan, source.bring(plan, session.state), session)

        return self._ask(session, work, None)

    # --- the folder ---------------------------------------------------------------------------------------------------

    def _current_tree(self) -> WorkTree:
        """The folder that a request has, by what is written there."""
        return place.beside(self.request, place.named(self.request))

    def _choose_tree(self) -> WorkTree:
        """The folder to work in. None is ever moved: a container may have it mounted."""
        return place.beside(self.request, self._proven_tree())

    def _proven_tree(self) -> WorkTree:
        """The former folder where it is proven to hold this repository, and else ``dest``."""
        tree = place.named(self.request)
        if self.request.former_dest in (None, tree.dest) or os.path.exists(tree.state_file):
            return tree
        former = WorkTree(str(self.request.former_dest))
        state = former.load_state()
        owner = owner_of(former, state, self.request)
        if owner is Owner.OURS or (owner is Owner.UNPROVEN and self._is_confirmed(state)):
            return former
        return tree

    def _is_confirmed(self, state: State) -> bool:
        """Whether a source has the commit that version 0.1 remembered: a commit belongs to one repository alone."""
        commit = remembered_commit(state, self.request)
        if commit is None:
            return False
        with tempfile.TemporaryDirectory(prefix="ascend-fleet-") as scratch:
            session = self._open(WorkTree(os.path.join(scratch, "none")), self._run, scratch, scratch, _DRY_ATTEMPTS)
            for source in self._stores(session):
                try:
                    if source.manifest().commit == commit:
                        return True
                except stores.StoreError:
                    continue  # it is asked again for the files, and said then
            if not self.request.ask_origin or "git" in missing_programs():
                return False
            return Origin(session.git, session.transfer).has_commit(commit)

    def _open(self, tree: WorkTree, run: Run, git_dir: str, own_dir: str, attempts: int) -> _Session:
        """Read the state of a folder. ArtifactError when the folder belongs to another repository."""
        state = tree.load_state()
        owner = owner_of(tree, state, self.request)
        if owner is Owner.OTHER:
            raise ArtifactError(describe_other(tree, state, self.request))
        if owner is Owner.OURS or (owner is Owner.UNPROVEN and tree.dest != self.request.dest):
            take_over(state, self.request)  # the former folder was confirmed when it was chosen
        transfer = Transfer(tree, os.path.join(own_dir, "staging"), self._swarm(tree), run)
        return _Session(tree, state, transfer, Git(self.request, run, git_dir, own_dir, tree.dest), attempts)

    def _swarm(self, tree: WorkTree) -> Swarm:
        return Swarm(os.path.join(tree.own_dir, "swarm"), self.request.swarm)

    def _settled(self, tree: WorkTree, state: State) -> Optional[Outcome]:
        """What an earlier run verified and remembered, if that is all: no network, no hashing."""
        if (self.request.refresh and not self.request.commit) or state.repository is None:
            return None
        files = tree.recorded_files(state, self.request.key)
        if files is None:
            return None
        commit = str(state.requests[self.request.key]["commit"])
        if self.request.commit not in (None, commit):
            return None
        check_checksums(self.request, files)
        return Outcome(settled=True, dest=tree.dest, commit=commit, files=files)

    # --- sources ------------------------------------------------------------------------------------------------------

    def _stores(self, session: _Session) -> list[StoreSource]:
        ca_path, deadline = self.request.sources_ca_path, self._run.deadline
        found = [stores.open_store(source, ca_path, deadline) for source in self.request.sources]
        mirrors = [store for store in found if isinstance(store, stores.HttpStore)]
        return [StoreSource(store, mirrors, self.request, session.transfer, session.attempts) for store in found]

    def _ask(
        self,
        session: _Session,
        work: Callable[[Source], Outcome],
        without_git: Optional[Callable[[Sequence[str]], Outcome]],
    ) -> Outcome:
        """Do the work with the first source that can: the stores in their order, then the origin.

        ``without_git`` says what a dry run makes of a host without git.
        """
        notes: list[str] = []
        for source in self._stores(session):
            try:
                done = work(source)
                return replace(done, notes=[*notes, *done.notes])
            except stores.StoreError as exc:
                notes.append("%s was passed over: %s" % (source.name, exc))
        if not self.request.ask_origin:
            raise _no_source(self.request, notes)
        missing = missing_programs()
        if without_git is not None and "git" in missing:
            return without_git(notes)
        try:
            if without_git is None and missing:
                raise ArtifactError(
                    "found no %s on this host; needed are git and git-lfs. Install the packages git and git-lfs."
                    % " and no ".join(missing)
                )
            done = work(Origin(session.git, session.transfer))
        except ArtifactError as exc:
            raise ArtifactError(" ".join([str(exc), *notes])) from exc
        return replace(done, notes=[*notes, *done.notes])

    # --- plan and end -------------------------------------------------------------------------------------------------

    def _plan_from(self, source: Source, session: _Session, *, dry: bool) -> Plan:
        """Adopt, and return what is left to do when a source gives it. ArtifactError where it does not fit."""
        tree, state, request = session.tree, session.state, self.request
        known = remembered_commit(state, request)
        resolved = source.resolve(request.commit or (None if request.refresh else known))
        presence = tree.find_absent(state, resolved.files, request.rehash, self._run.progress)
        folders = [*request.adopt, *place.others(request, tree)]
        presence, adopted = adopt(tree, state, presence, folders, self._run.progress, dry=dry)
        superseded, _objects = find_superseded(state, request.key, resolved.files)
        plan = make_plan(
            resolved,
            presence,
            state,
            request,
            known=known,
            existing=tree.existing([*superseded, *(w.path for w in presence.absent)]),
            bytes_here=tree.bytes_here(presence, session.transfer.swarm.received),
            adopted=adopted,
        )
        if plan.absent:
            tree.check_disk(plan.missing_bytes, "%d files of %s" % (len(plan.absent), request.repository))
        return plan

    def _finish(self, source: Source, plan: Plan, done: Transferred, session: _Session) -> Outcome:
        """Everything is in place: remember it, remove what a former commit had, and publish it."""
        tree, state, request, resolved = session.tree, session.state, self.request, plan.resolved
        superseded, _objects = find_superseded(state, request.key, resolved.files)
        for key, other in list(state.requests.items()):
            moved = other["revision"] == request.revision and other["commit"] != resolved.commit
            if moved and not request.commit:  # each request may be held to a commit of its own
                del state.requests[key]  # of before the revision moved
        take_over(state, request)
        state.requests[request.key] = {
            "revision": request.revision,
            "commit": resolved.commit,
            "files": {w.path: w.oid for w in resolved.files},
            "used_at": time.time(),
        }
        for path in superseded:
            state.files.pop(path, None)
        tree.save_state(state)
        for name in [tree.file(path) for path in plan.removed] + [tree.object(oid) for oid in plan.objects]:
            remove(name)
        shutil.rmtree(session.transfer.staging, ignore_errors=True)
        session.transfer.swarm.clean()
        outcome = _outcome(plan, tree, changed=plan.changes)
        published = self._publish(tree, outcome)
        return replace(
            outcome,
            changed=outcome.changed or published,
            source=source.name,
            downloaded_bytes=done.downloaded_bytes,
            resumed_bytes=done.resumed_bytes,
            shared=done.shared,
            notes=[*outcome.notes, *done.notes],
        )

    def _is_published(self, outcome: Outcome) -> bool:
        return is_published(self.request, str(outcome.commit), outcome.files)

    def _publish(self, tree: WorkTree, outcome: Outcome) -> bool:
        return publish(self.request, tree, str(outcome.commit), outcome.files, self._run.progress)


def _outcome(plan: Plan, tree: WorkTree, changed: bool) -> Outcome:
    """What a plan says, as the beginning of a result."""
    files: list[Wanted] = list(plan.resolved.files)
    return Outcome(
        changed=changed,
        dest=tree.dest,
        commit=plan.resolved.commit,
        moved_from=plan.moved_from,
        missing=list(plan.absent),
        files=files,
        removed=list(plan.removed),
        missing_bytes=plan.missing_bytes,
        before=dict(plan.before),
        after=dict(plan.after),
        notes=plan.notes,
    )


def _no_source(request: Request, notes: Sequence[str]) -> ArtifactError:
    return ArtifactError(
        "no source gives %s at %s, and its origin is not to be asked. %s. Make the bundle or the mirror anew "
        "for this release." % (request.repository, request.revision, "; ".join(notes) or "No source is named")
    )
