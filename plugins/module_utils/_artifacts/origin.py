# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from the origin, by git and git-lfs."""

from __future__ import annotations

import os
import shutil
from typing import Iterable, Mapping, Optional, Sequence

from .._base import command
from .._base.files import remove
from .._base.progress import human_bytes
from . import git_errors
from .errors import ArtifactError
from .git import Git
from .names import is_commit
from .request import Plan, Request, Resolved, Transferred, check_checksums, check_model
from .rescue import plan_rescue
from .state import State
from .transfer import Transfer
from .tree import POINTER_MAX_BYTES, TreeEntry, Wanted, check_path, near_names, parse_ls_tree, parse_pointer, select
from .work_tree import hash_file

_IDENTITY = {"GIT_%s_%s" % (who, what): "ascend-fleet" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_DATE = {"GIT_%s_DATE" % who: "2000-01-01T00:00:00+0000" for who in ("AUTHOR", "COMMITTER")}


class Origin:
    """The repository itself, asked with the git client of a run."""

    def __init__(self, git: Git, transfer: Transfer) -> None:
        self.name = git.request.repository
        self._git = git
        self._request = git.request
        self._transfer = transfer

    # --- what is asked for --------------------------------------------------------------------------------------------

    def resolve(self, remembered: Optional[str]) -> Resolved:
        """Learn the commit and, from its pointers, path, hash and size of every file asked for.

        ``remembered`` is the commit to hold to; None asks what the revision is now.
        """
        self._prepare()
        if remembered is None:
            commit = self._fetch_revision()
        else:
            commit = remembered
            self._fetch_remembered(commit)
        entries = parse_ls_tree(self._git(["ls-tree", "-r", "-z", "--full-tree", commit]).stdout)
        chosen, unmatched = select(entries, self._request.paths, self._request.exclude)
        if unmatched or not chosen:
            raise _no_such_paths(self._request, unmatched or list(self._request.paths), entries, commit)
        for entry in chosen:
            check_path(entry.path)
        files = self._read(chosen)
        check_checksums(self._request, files)
        check_model(self._request, files, self._transfer.staging)
        return Resolved(commit, tuple(files))

    def has_commit(self, commit: str) -> bool:
        """Whether the origin's repository has a commit. ArtifactError when it does not say."""
        self._prepare()
        done = self._fetch(commit)
        if not done.ok:
            self._check_lacks(commit, done)
        return done.ok

    def _check_lacks(self, commit: str, done: command.Completed) -> None:
        """Raise ArtifactError unless a fetch failed because the origin does not hand out the commit."""
        kind = git_errors.explain(done.stderr).kind
        if kind == "revision":
            self._list_revisions()
        if kind not in ("commit", "revision"):
            raise self._git.failure(done, "fetching commit %s" % commit)

    def _prepare(self) -> None:
        """Make the repository, as often as needed: every step can be repeated after a kill."""
        os.makedirs(self._git.own_dir, exist_ok=True)
        if not os.path.exists(os.path.join(self._git.git_dir, "HEAD")):
            self._git(["init", "--quiet", "--template="])
        for lock in ("index.lock", "config.lock", "shallow.lock", "HEAD.lock"):
            # We hold our own lock: these were left by a git that was killed.
            remove(os.path.join(self._git.git_dir, lock))
        self._git(["config", "remote.origin.url", self._request.repository])
        # Here, whatever the user's own configuration says.
        self._git(["config", "lfs.storage", os.path.join(self._git.git_dir, "lfs")])

    def _fetch_remembered(self, commit: str) -> None:
        if self._git(["cat-file", "-e", commit + "^{tree}"], check=False, env={"GIT_NO_LAZY_FETCH": "1"}).ok:
            return
        done = self._fetch(commit)
        if done.ok:
            return
        self._check_lacks(commit, done)
        if not (self._request.commit and self._fetch_all_and_find(commit)):
            raise ArtifactError(describe_lost(self._request, commit, self._transfer.tree.dest))

    def _fetch_revision(self) -> str:
        revision = self._request.revision
        done = self._fetch(revision)
        if not done.ok and is_commit(revision) and git_errors.explain(done.stderr).kind == "commit":
            if self._fetch_all_and_find(revision):
                return revision
            raise ArtifactError(
                "%s has no commit %s on any branch or tag. Correct the revision." % (self._request.repository, revision)
            )
        if not done.ok:
            if git_errors.explain(done.stderr).kind == "revision":
                raise self._no_such_revision()
            raise self._git.failure(done, "fetching revision %s" % revision)
        if is_commit(revision):
            return revision
        return self._git(["rev-parse", "--verify", "FETCH_HEAD^{commit}"]).stdout.strip()

    def _fetch_all_and_find(self, commit: str) -> bool:
        """Take all branches and tags, as an older server hands out their tips only; say whether it is among them."""
        argv = ["fetch", "--quiet", "--filter=blob:none", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"]
        done = self._git(argv, check=False)
        if not done.ok:
            raise self._git.failure(done, "looking for commit %s" % commit)
        return self._git(["cat-file", "-e", commit + "^{commit}"], check=False).ok

    def _list_revisions(self) -> command.Completed:
        """Ask for the names of branches and tags. ArtifactError when it is no git server that answers."""
        trace = {"GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"}
        done = self._git(["ls-remote", "--heads", "--tags", "origin"], env=trace)
        over_http = self._request.repository.startswith(("http://", "https://"))
        if over_http and not git_errors.is_git_server(done.stderr):
            raise ArtifactError("asking %s failed: %s" % (self._request.repository, git_errors.NOT_GIT))
        return done

    def _no_such_revision(self) -> ArtifactError:
        done = self._list_revisions()
        names = [
            line.split("\t")[-1].split("/", 2)[-1] for line in done.stdout.splitlines() if not line.endswith("^{}")
        ]
        near = near_names(self._request.revision, names) or names[:5]
        return ArtifactError(
            "%s has no branch or tag %r; it has %s. Correct the revision (a commit must be given with all its digits)."
            % (self._request.repository, self._request.revision, ", ".join(near) or "none at all")
        )

    def _fetch(self, what: str) -> command.Completed:
        argv = ["fetch", "--quiet", "--depth", "1", "--no-tags", "--filter=blob:none", "origin", what]
        done = self._git(argv, check=False)
        for pause in (1, 3):
            if done.ok or not git_errors.explain(done.stderr).again:
                break
            self._transfer.run.sleep(pause)
            done = self._git(argv, check=False)
        return done

    def _read(self, chosen: Sequence[TreeEntry]) -> list[Wanted]:
        """Let git write the chosen files, pointers as pointers, into the staging folder, and read them there.

        git asks the origin for the contents of exactly these files, in one request.
        """
        staging = self._transfer.staging
        shutil.rmtree(staging, ignore_errors=True)
        os.makedirs(staging)
        tree = self._tree_of(chosen)
        remove(self._index)
        done = self._git(
            ["read-tree", "-m", "-u", tree],
            check=False,
            env={"GIT_INDEX_FILE": self._index, "GIT_WORK_TREE": staging},
            cwd=staging,
        )
        if not done.ok:
            raise self._git.failure(done, "reading the pointers")
        wanted = []
        for entry in chosen:
            name = self._transfer.staged(entry.path)
            with open(name, "rb") as handle:
                pointer = parse_pointer(handle.read(POINTER_MAX_BYTES + 1))
            if pointer is None:
                wanted.append(Wanted(entry.path, entry.blob, hash_file(name), os.path.getsize(name), False))
            else:
                wanted.append(Wanted(entry.path, entry.blob, pointer.oid, pointer.size, True))
        return wanted

    @property
    def _index(self) -> str:
        return os.path.join(self._git.own_dir, "index")

    def _tree_of(self, entries: Iterable[TreeEntry]) -> str:
        """Return a tree that holds these entries and nothing else."""
        remove(self._index)
        remove(self._index + ".lock")
        lines = "".join("%s %s\t%s\0" % (e.mode, e.blob, e.path) for e in entries)
        env = {"GIT_INDEX_FILE": self._index}
        self._git(["update-index", "-z", "--index-info"], env=env, stdin=lines)
        return self._git(["write-tree", "--missing-ok"], env=env).stdout.strip()

    # --- downloading it -----------------------------------------------------------------------------------------------

    def bring(self, plan: Plan, state: State) -> Transferred:
        """Put the absent files in place: the small ones from the staging folder, the large ones by git-lfs."""
        small = self._transfer.place_small(plan.absent, state)
        needed = self._transfer.place_objects_here(plan.absent, state)
        if not needed:
            return Transferred(downloaded_bytes=small)
        sizes = {oid: w.size for oid, w in needed.items()}
        resumed = self._fetch_objects(self._commit_of(needed.values()), sizes, plan.absent, state)
        return Transferred(downloaded_bytes=small + sum(sizes.values()) - resumed, resumed_bytes=resumed)

    def _commit_of(self, needed: Iterable[Wanted]) -> str:
        """Return a commit that holds the wanted files only.

        git-lfs looks at every file of the commit it is given, which in a partial clone it cannot; and no pattern of
        include or exclude has to be written in its way.
        """
        tree = self._tree_of([TreeEntry(w.path, "100644", w.blob) for w in needed])
        return self._git(["commit-tree", tree], env={**_IDENTITY, **_DATE}, stdin="").stdout.strip()

    def _fetch_objects(self, commit: str, sizes: Mapping[str, int], absent: Sequence[Wanted], state: State) -> int:
        """Let git-lfs download until everything is there; return how many bytes an earlier run had left."""
        transfer, tree = self._transfer, self._transfer.tree
        attempt, most = 0, -1
        resumed: Optional[int] = None
        while True:
            begun = transfer.recover(sizes)
            resumed = begun if resumed is None else resumed
            with transfer.watching(sizes):
                done = self._git(["lfs", "fetch", "origin", commit], check=False, timeout=self._request.timeout)
            arrived = transfer.arrived(sizes)
            # git-lfs moves an object to its place only when its hash is right, which it computes as the bytes come.
            transfer.place_arrived(arrived, absent, state)
            if len(arrived) == len(sizes):
                break
            explanation = git_errors.explain(done.stderr + done.stdout)
            if explanation.kind == "corrupt":
                # What was resumed from may itself be wrong: begin again.
                for partial in tree.partials():
                    remove(partial.file)
            have = sum(sizes[oid] for oid in arrived) + plan_rescue(tree.partials(), sizes).bytes_kept
            attempt = 1 if have > most >= 0 else attempt + 1
            most = max(most, have)
            if done.ok:
                raise ArtifactError(
                    "git-lfs ended well, but %d of %d objects of %s are not there: %s"
                    % (
                        len(sizes) - len(arrived),
                        len(sizes),
                        self._request.repository,
                        git_errors.last_words(done.stderr) or "it said nothing",
                    )
                )
            if done.timed_out or attempt >= self._request.retries or not explanation.again:
                raise self._git.failure(
                    done,
                    "downloading %s of %d files (%s of it is here and kept)"
                    % (human_bytes(sum(sizes.values())), len(sizes), human_bytes(max(0, have))),
                )
            transfer.run.sleep(min(60, 2**attempt))
        transfer.recover({})
        return resumed


def _no_such_paths(
    request: Request, unmatched: Sequence[str], entries: Sequence[TreeEntry], commit: str
) -> ArtifactError:
    names = [entry.path for entry in entries]
    lines = []
    for pattern in unmatched:
        near = near_names(pattern, names)
        lines.append("%s (%s)" % (pattern, "near: " + ", ".join(near) if near else "nothing has a name like it"))
    return ArtifactError(
        "%s at %s (%s) holds %d files, but not: %s. Correct the path, or the revision."
        % (request.repository, request.revision, commit[:12], len(names), "; ".join(lines))
    )


def describe_lost(request: Request, commit: str, dest: str) -> str:
    """Return the message for a commit that the origin does not hand out any more."""
    if request.commit:
        return (
            "%s does not hand out commit %s, to which the lock of the release holds %s: the revision was rewritten, or "
            "the lock was edited. Fix: run with -e fleet_relock=true to take what it is now, or restore the commit at "
            "the origin" % (request.repository, commit, request.revision)
        )
    return (
        "%s no longer hands out commit %s, which %s was when this host began to download it: the revision was "
        "rewritten, or %s was filled from another repository. Set refresh to take what it is now, or pin a commit "
        "that the origin still has." % (request.repository, commit, request.revision, dest)
    )
