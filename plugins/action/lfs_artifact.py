# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show how far the module is, which goes on when the controller goes away; copy from a bundle what the host lacks."""

from __future__ import annotations

import os
import shlex
import time
from typing import Any, Mapping, Optional

from ansible.errors import AnsibleActionFail

from ..module_utils._artifacts import names, stores
from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._artifacts.manifest import Manifest, parse_manifest
from ..module_utils._base import progress
from ..plugin_utils._detached import TransferAction

# What is sent with one command: so much that the command costs little, so little that it can be held in memory.
CHUNK = 32 * 1024 * 1024


class ActionModule(TransferAction):
    """The action of ``ascend.fleet.lfs_artifact``."""

    MODULE = "ascend.fleet.lfs_artifact"

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Run the module; with a bundle, after the host was given what it lacks."""
        bundle = self._task.args.get("bundle")
        if not bundle:
            return super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = {k: v for k, v in self._task.args.items() if k not in ("bundle", "progress", "sources")}
        arguments["origin_fallback"] = False
        seen = self._check_settled(arguments, task_vars)
        if seen.get("failed") or seen.get("unreachable") or seen.get("settled"):
            return seen
        store = self._command("mktemp -d /var/tmp/ascend-fleet-XXXXXXXX").strip()
        before = self._task.args
        try:
            key, manifest = self._manifest(str(bundle), arguments)
            self._send_small(str(bundle), store, key, manifest)
            arguments["sources"] = [store]
            planned = self._plan(arguments, task_vars)
            if self._task.check_mode or planned.get("failed") or planned.get("unreachable"):
                return planned
            self._send_objects(str(bundle), arguments, planned, task_vars)
            self._task.args = arguments
            return super().run(tmp, task_vars)
        finally:
            self._task.args = before
            self._low_level_execute_command("rm -rf %s" % shlex.quote(store))

    def _title(self, arguments: Mapping[str, Any]) -> str:
        return str(arguments.get("title") or _path(arguments).rpartition("/")[2])

    def _manifest(self, bundle: str, arguments: Mapping[str, Any]) -> tuple[str, Manifest]:
        """Find what the bundle has for this request."""
        paths = [str(path) for path in arguments.get("paths") or ["*"]]
        revision = str(arguments.get("revision") or "main")
        exclude = [str(path) for path in arguments.get("exclude") or []]
        key = names.request_key(_path(arguments), revision, paths, exclude)
        words = "its manifest cannot be read"
        manifest = None
        try:
            manifest = parse_manifest(stores.FolderStore(bundle).manifest(key))
        except stores.StoreError as exc:
            words = str(exc)
        if manifest is None:
            raise AnsibleActionFail(
                "the bundle in %s does not give %s of %s at %s: %s. Make the bundle anew for this release, with this "
                "version of the collection: ansible-playbook playbooks/bundle.yml"
                % (bundle, ", ".join(paths), arguments["repository"], revision, words)
            )
        return key, manifest

    def _send_small(self, bundle: str, store: str, key: str, manifest: Manifest) -> None:
        files = [stores.manifest_path(key)]
        files += sorted({stores.object_path(w.oid) for w in manifest.files if not w.lfs})
        folders = " ".join(sorted({shlex.quote("%s/%s" % (store, os.path.dirname(name))) for name in files}))
        self._command("mkdir -p %s" % folders)
        for name in files:
            try:
                with open(os.path.join(bundle, name), "rb") as handle:
                    content = handle.read()
            except OSError as exc:
                raise _unreadable(exc) from exc
            self._command("cat > %s" % shlex.quote("%s/%s" % (store, name)), content)

    def _plan(self, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        before = self._task.check_mode
        self._task.check_mode = True
        try:
            result = self._module(arguments, task_vars)
        finally:
            self._task.check_mode = before
        result.pop("invocation", None)
        return result

    def _send_objects(
        self, bundle: str, arguments: Mapping[str, Any], planned: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> None:
        """Send objects to where unfinished downloads lie, from the bytes that are there; the module verifies them."""
        sizes = {str(w["oid"]): int(w["size"]) for w in planned["missing"] if w["lfs"]}
        if not sizes:
            return
        dest = str(planned["dest"])
        folder = "%s/.git/lfs/incomplete" % dest
        have = self._lengths(folder, dest, sizes)
        total, done = sum(sizes.values()), sum(have.values())
        teller = self._teller(arguments, task_vars)
        for oid, size in sizes.items():
            offset = have[oid]
            if offset == size:
                continue
            part = shlex.quote("%s/%s.part" % (folder, oid))
            source = os.path.join(bundle, stores.object_path(oid))
            try:
                with open(source, "rb") as handle:
                    handle.seek(offset)
                    while offset < size:
                        chunk = handle.read(min(CHUNK, size - offset))
                        if not chunk:
                            raise AnsibleActionFail(
                                "%s has %d bytes, needed %d. The bundle is not complete: copy it or make it anew."
                                % (source, offset, size)
                            )
                        # At its place, not at the end: what is sent twice is still right.
                        self._command(
                            "dd of=%s bs=1M seek=%d oflag=seek_bytes conv=notrunc iflag=fullblock status=none"
                            % (part, offset),
                            chunk,
                        )
                        offset += len(chunk)
                        done += len(chunk)
                        teller.tell(progress.Snapshot("copy from the bundle", done, total, time.time()))
            except OSError as exc:
                raise _unreadable(exc) from exc

    def _lengths(self, folder: str, dest: str, sizes: Mapping[str, int]) -> dict[str, int]:
        """How much of each object the host has: all of it, or a beginning."""
        words = ["mkdir -p %s" % shlex.quote(folder)]
        for oid in sizes:
            whole = "%s/.git/lfs/objects/%s/%s/%s" % (dest, oid[:2], oid[2:4], oid)
            candidates = " ".join(shlex.quote(name) for name in (whole, "%s/%s.part" % (folder, oid)))
            words.append("echo %s $(stat -c %%s %s 2>/dev/null)" % (oid, candidates))
        found = {}
        for line in self._command("; ".join(words)).splitlines():
            oid, *numbers = line.split() or [""]
            if oid in sizes:
                found[oid] = max([int(n) for n in numbers if n.isdigit() and int(n) <= sizes[oid]], default=0)
        return {oid: found.get(oid, 0) for oid in sizes}

    def _command(self, command: str, data: Optional[bytes] = None) -> str:
        done = self._low_level_execute_command(command, in_data=data)
        if done.get("rc") != 0:
            raise AnsibleActionFail(
                "copying from the bundle failed: %s. Run again: what is there is kept."
                % (str(done.get("stderr") or done.get("stdout") or "").strip() or "no reason was given")
            )
        return str(done.get("stdout") or "")


def _path(arguments: Mapping[str, Any]) -> str:
    """The path that identifies the repository of a task's arguments."""
    try:
        return names.repository_path(str(arguments.get("identity") or arguments.get("repository")))
    except ArtifactError as exc:
        raise AnsibleActionFail(str(exc)) from exc


def _unreadable(exc: OSError) -> AnsibleActionFail:
    return AnsibleActionFail("%s cannot be read: %s. Copy the bundle anew." % (exc.filename, exc.strerror))
