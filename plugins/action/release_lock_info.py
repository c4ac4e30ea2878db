# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask one host what it holds of a release's open entries, or what its sources say of them."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional

from ansible.plugins.action import ActionBase

from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._base.native import to_native_types
from ..module_utils._release import lock as _lock
from ..module_utils._release.problems import ReleaseError
from ..plugin_utils import _locks, _releases

#: Options that go to lfs_artifact as they stand.
_SOURCES = ("sources", "origin_fallback", "ca_path", "sources_ca_path", "token_file", "token_user")
_ARGUMENTS: dict[str, Any] = {
    "open": {"type": "list", "elements": "dict", "required": True},
    "ask": {"type": "list", "elements": "dict", "default": []},
    "renew": {"type": "bool", "default": False},
    "generations": {"type": "list", "elements": "str", "default": []},
    "root": {"type": "str", "required": True},
    "origin": {"type": "str", "default": ""},
    "image_records": {"type": "str", "default": "/var/lib/ascend-fleet/images"},
    "sources": {"type": "list", "elements": "str", "default": []},
    "origin_fallback": {"type": "bool", "default": True},
    "ca_path": {"type": "str"},
    "sources_ca_path": {"type": "str"},
    "token_file": {"type": "str", "no_log": False},
    "token_user": {"type": "str", "default": "oauth2", "no_log": False},
}


class ActionModule(ActionBase):
    """The action ``ascend.fleet.release_lock_info``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, found = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        arguments = to_native_types(found)
        variables = _locks.variables_of(task_vars, self._templar.template)
        result.update(changed=False, answers=[], obstacles=[], generations=arguments["generations"])
        asked = {(entry["release"], entry["entry"]): entry.get("commit") for entry in arguments["ask"]}
        commits: dict[tuple[str, str], str] = {}
        try:
            for entry in arguments["open"]:
                about = {"release": entry["release"], "entry": entry["entry"]}
                release = _releases.by_name(about["release"], variables)
                part = _lock.entries(release)[about["entry"]]
                request = _locks.request_of(release, about["entry"], root=arguments["root"], origin=arguments["origin"])
                answer = None
                if not arguments["renew"] and part.get("generation") in (None, *arguments["generations"]):
                    answer = self._held(request, part, arguments["image_records"], task_vars)
                if answer is None and (about["release"], about["entry"]) in asked:
                    # One branch is resolved once, whatever it moves to between two files of it.
                    source = (str(part["repository"]), str(part["revision"]))
                    commit = commits.get(source) or asked[about["release"], about["entry"]]
                    answer = self._asked(dict(request, commit=commit), arguments, task_vars, result["obstacles"])
                    if answer is not None:
                        commits[source] = answer["commit"]
                if answer is not None:
                    result["answers"].append({**about, **answer})
        except (_lock.LockError, ReleaseError, ArtifactError) as exc:
            result.update(failed=True, msg=str(exc))
            return result
        result["architecture"] = str(self._low_level_execute_command("uname -m").get("stdout") or "").strip()
        return result

    def _held(
        self, request: Mapping[str, Any], part: Mapping[str, Any], records: str, task_vars: dict[str, Any]
    ) -> Optional[dict[str, Any]]:
        """What the host has in place and verified; an unfinished download makes no lock, it is held to it."""
        # Without a source only what is remembered counts; unlike check_settled, also what version 0.1 remembered.
        alone = {**_arguments(request), "sources": [], "origin_fallback": False}
        said = self._ask("ascend.fleet.lfs_artifact", alone, task_vars)
        if not said.get("settled"):
            return None
        image_id = None if "tag" not in part else self._image_id(str(said["dest"]), part, records, task_vars)
        return {"asked": False, **_content(said), "image_id": image_id}

    def _asked(
        self,
        request: Mapping[str, Any],
        arguments: Mapping[str, Any],
        task_vars: dict[str, Any],
        obstacles: list[str],
    ) -> Optional[dict[str, Any]]:
        """What the host's sources say of a request; None, with an obstacle more, where they say nothing."""
        wanted = {**_arguments(request), "refresh": arguments["renew"]}
        wanted.update({key: arguments[key] for key in _SOURCES if arguments[key] is not None})
        said: dict[str, Any] = {}
        if arguments["renew"] and arguments["origin_fallback"] and arguments["sources"]:
            # A mirror has what it was filled with: for what is new, the origin comes first.
            said = self._ask("ascend.fleet.lfs_artifact", dict(wanted, sources=[]), task_vars)
        if not said.get("commit"):
            said = self._ask("ascend.fleet.lfs_artifact", wanted, task_vars)
        if said.get("commit"):
            return {"asked": True, **_content(said), "image_id": None}
        words = str(said.get("msg") or "; ".join(said.get("notes") or []) or "no answer")
        obstacles.append("%s: %s" % (request["name"], words))
        return None

    def _image_id(self, dest: str, part: Mapping[str, Any], records: str, task_vars: dict[str, Any]) -> Optional[str]:
        """The ID of the image that was loaded from the archive; None where it was not, or where telling takes long."""
        path = os.path.join(dest, str(part["path"]))
        said = self._ask(
            "ascend.fleet.image_load",
            {
                "path": path,
                "tag": part["tag"],
                "cache": os.path.join(records, os.path.basename(path) + ".json"),
                "check_settled": True,
            },
            task_vars,
        )
        if said.get("failed") or said.get("loaded") or not said.get("config_digest"):
            return None
        return str(said["config_digest"])

    def _ask(self, module: str, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run a module that only looks: in check mode."""
        before = self._task.check_mode
        self._task.check_mode = True
        try:
            said: dict[str, Any] = self._execute_module(
                module_name=module, module_args=dict(arguments), task_vars=task_vars
            )
        finally:
            self._task.check_mode = before
        return said


def _arguments(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request as arguments of lfs_artifact."""
    return {key: value for key, value in request.items() if key != "name"}


def _content(said: Mapping[str, Any]) -> dict[str, Any]:
    """The commit and the files of a result of lfs_artifact."""
    files = [{"path": f["path"], "sha256": f["oid"], "size_bytes": f["size"]} for f in said["files"]]
    return {"commit": said["commit"], "files": files}
