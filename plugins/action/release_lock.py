# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read, complete, renew and write the locks of the releases in use, on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional

from ansible.plugins.action import ActionBase

from ..module_utils._base.native import to_native_types
from ..module_utils._release import lock as _lock
from ..module_utils._release.problems import ReleaseError
from ..plugin_utils import _locks, _releases

_ARGUMENTS: dict[str, Any] = {
    "renew": {"type": "bool", "default": False},
    "answers_of": {"type": "list", "elements": "str", "default": []},
    "bundle": {"type": "str", "default": ""},
    "write": {"type": "bool", "default": True},
    "images_of": {"type": "str"},
}
#: How many hosts are asked what a source has, so that one without a way out is no obstacle.
_MIRRORS_ASKED, _HOSTS_ASKED = 2, 3


class _Release:
    """One release in use: its file, its lock, and what has been learned."""

    def __init__(self, release: dict[str, Any], path: Path, hosts: dict[str, set[str]], renew: bool) -> None:
        self.name = str(release["release"])
        self.release = release
        self.path = path
        #: Those of the play, by generation; a generation of which none plays has none.
        self.hosts = hosts
        self.former = None if renew else _locks.load(path, self.name)
        self.answers: list[_lock.Answer] = []
        self.made: Optional[_lock.Lock] = self.former

    def open(self) -> list[str]:
        """The entries that are needed and not locked."""
        return _lock.open_entries(self.release, self.made, self.hosts)

    def commit_of(self, entry: str) -> Optional[str]:
        """The commit that another entry of the same repository and revision is held to."""
        part = _lock.entries(self.release)[entry]
        return _lock.commit_of(self.made, part["repository"], part["revision"])

    def complete(self) -> None:
        """Make the lock from what was learned."""
        held = _lock.locked_entries(self.former)
        agreed = _lock.agree([answer for answer in self.answers if answer.entry not in held])
        if agreed:
            self.made = _lock.extend(self.release, self.former, agreed)

    def leave_out(self, machines: Mapping[str, tuple[str, str]]) -> None:
        """Remember which images none of its hosts needs. ``machines``: generation and architecture by host."""
        about = {host: (generation, "") for generation, hosts in self.hosts.items() for host in hosts}
        about.update({host: machine for host, machine in machines.items() if host in about})
        self.made = _lock.leave_out(self.release, self.made, about)


class ActionModule(ActionBase):
    """The action ``ascend.fleet.release_lock``: no connection."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        arguments = to_native_types(arguments)
        try:
            variables = _locks.variables_of(task_vars, self._templar.template)
            if arguments["images_of"]:
                result.update(self._add_images(arguments["images_of"], variables, task_vars))
            else:
                result.update(self._resolve(arguments, variables, task_vars))
        except (_lock.LockError, ReleaseError) as exc:
            result.update(failed=True, msg=str(exc))
        return result

    # --- what releases leave open -----------------------------------------------------------------------------------

    def _resolve(
        self, arguments: Mapping[str, Any], variables: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        renew, write = arguments["renew"], arguments["write"]
        releases = self._releases_in_use(renew, variables, task_vars)
        obstacles, by_host, machines = self._read_answers(arguments["answers_of"], releases, task_vars)
        for found in releases:
            found.complete()
            if arguments["bundle"] and found.open():
                obstacles += _ask_bundle(arguments["bundle"], found)
                found.complete()
            found.leave_out(by_host)
        # Once hosts have said what they are, nobody is asked for what none of them can run.
        still_open = [
            {"release": r.name, "entry": entry, "commit": r.commit_of(entry)}
            for r in releases
            for entry in r.open()
            if not machines or _lock.is_needed(r.release, entry, machines)
        ]
        result: dict[str, Any] = {
            "changed": False,
            "open": still_open,
            "ask": _hosts_to_ask(task_vars),
            "locks": [{"release": r.name, "path": str(r.path)} for r in releases],
        }
        if not write:
            # Before anything is downloaded: what will have to be written can be.
            for found in releases:
                if found.open():
                    _locks.check_place(found.path, probe=not self._task.check_mode)
            return result
        missing = [(r, entry) for r in releases for entry in r.open() if _lock.is_needed(r.release, entry, machines)]
        if missing and not self._task.check_mode:
            raise _lock.LockError(
                "the release cannot be locked: found no mirror, bundle or host that could "
                "resolve %s. %s. Needed one that reaches a source. Fix: make one reach it "
                "(artifact_origin, proxies, model_artifacts_ca_path), or run from a bundle with -e fleet_bundle=PATH"
                % (
                    ", ".join("%s of %s" % (entry, r.name) for r, entry in missing),
                    "; ".join(obstacles) or "No host was asked",
                )
            )
        if missing:
            result["warnings"] = [
                "the lock of %s would be made in this run; what it would hold cannot be told yet: %s"
                % (", ".join(sorted({r.name for r, _entry in missing})), "; ".join(obstacles) or "no host was asked")
            ]
        result["diff"] = [self._finish(found, renew) for found in releases]
        result["changed"] = bool(missing) or any(d["before"] != d["after"] for d in result["diff"])
        return result

    def _releases_in_use(
        self, renew: bool, variables: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> list[_Release]:
        """The releases of the play's hosts; those of all NPU hosts where the play has none of them, or a mirror."""
        groups, hostvars = task_vars.get("groups", {}), task_vars.get("hostvars", {})
        every = list(groups.get("npu_hosts", []))
        playing = set(task_vars.get("ansible_play_hosts_all") or [])
        own = [host for host in every if host in playing]
        if not own or playing & set(groups.get("artifact_mirrors", [])):
            own = every
        about = {host: self._about(hostvars[host]) for host in every}
        found = []
        for name in dict.fromkeys(about[host][0] for host in own):
            mine = {host: generation for host, (release, generation) in about.items() if release == name}
            hosts: dict[str, set[str]] = {generation: set() for generation in mine.values()}
            for host in mine:
                if host in own:
                    hosts[mine[host]].add(host)
            release = _releases.by_name(name, variables)
            path = _locks.path_of(str(name), variables)
            entry = _Release(release, path, hosts, renew)
            if not renew and entry.former is not None:
                _locks.load_for(release, variables)  # says where the release has changed since
            found.append(entry)
        return found

    def _about(self, own: Mapping[str, Any]) -> tuple[Any, str]:
        return to_native_types(own.get("fleet_release")), str(to_native_types(own.get("npu_generation", "")))

    def _read_answers(
        self, names: list[str], releases: list[_Release], task_vars: Mapping[str, Any]
    ) -> tuple[list[str], dict[str, tuple[str, str]], list[tuple[str, str]]]:
        """Hand what hosts have registered to the releases.

        Return what stood in the way; generation and architecture of each NPU host; and those of all that were asked.
        """
        obstacles: list[str] = []
        by_host: dict[str, tuple[str, str]] = {}
        machines: list[tuple[str, str]] = []
        by_name = {found.name: found for found in releases}
        asked = _hosts_to_ask(task_vars)
        hosts = asked + [host for host in task_vars.get("ansible_play_hosts_all") or [] if host not in asked]
        for host in hosts:
            for name in names:
                said = to_native_types(task_vars["hostvars"][host].get(name)) or {}
                for answer in said.get("answers") or []:
                    found = by_name.get(answer["release"])
                    if found is None or (answer["asked"] and any(a.entry == answer["entry"] for a in found.answers)):
                        continue  # of those that were asked what a source has, the first one decides
                    files = {f["path"]: (f["sha256"], f["size_bytes"]) for f in answer["files"]}
                    found.answers.append(
                        _lock.Answer(answer["entry"], host, answer["commit"], files, answer["image_id"])
                    )
                obstacles += ["%s: %s" % (host, text) for text in said.get("obstacles") or []]
                found_here = [(str(g), str(said.get("architecture") or "")) for g in said.get("generations") or []]
                machines += found_here
                if len(found_here) == 1:
                    by_host[host] = found_here[0]
        return obstacles, by_host, machines

    def _finish(self, found: _Release, renew: bool) -> dict[str, str]:
        """Write the lock of a release where it has changed; return the difference."""
        before = _text_of(found.path)
        after = before
        if found.made is not None and found.made != found.former:
            made = found.made
            if renew and before:
                made = _lock.keep_image_ids(made, _former_lock(found))
            after = _locks.render(made)
            if after != before and not self._task.check_mode:
                _locks.write(found.path, made)
        return {"before_header": str(found.path), "after_header": str(found.path), "before": before, "after": after}

    # --- images that were loaded ------------------------------------------------------------------------------------

    def _add_images(self, variable: str, variables: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        loaded: dict[str, dict[str, dict[str, str]]] = {}
        for host in task_vars.get("ansible_play_hosts_all") or []:
            image = to_native_types(task_vars["hostvars"][host].get(variable)) or {}
            if image.get("release") and image.get("config_digest"):
                entry = _lock.image_entry(str(image["generation"]), str(image["architecture"]))
                loaded.setdefault(str(image["release"]), {}).setdefault(entry, {})[host] = str(image["config_digest"])
        diffs = []
        for name, images in sorted(loaded.items()):
            where = _locks.folder(variables)
            lock = _locks.load(_locks.path_of(name, variables), name) if where is not None else None
            if lock is None:
                continue  # a role on its own: nothing is held
            path = _locks.path_of(name, variables)
            made = _lock.add_image_ids(lock, images)
            before = _text_of(path)
            after = _locks.render(made) if made != lock else before
            if after != before and not self._task.check_mode:
                _locks.write(path, made)
            diffs.append({"before_header": str(path), "after_header": str(path), "before": before, "after": after})
        return {"changed": any(d["before"] != d["after"] for d in diffs), "diff": diffs}


def _ask_bundle(bundle: str, found: _Release) -> list[str]:
    """Take from a bundle's manifests what is still open; return what stood in the way."""
    answers, obstacles = _locks.read_bundle(bundle, found.release, found.open())
    found.answers += answers
    return obstacles


def _hosts_to_ask(task_vars: Mapping[str, Any]) -> list[str]:
    """The hosts that shall say what a source has: mirrors, where there are some, else NPU hosts."""
    groups, alive = task_vars.get("groups", {}), task_vars.get("ansible_play_hosts") or []
    mirrors = [host for host in groups.get("artifact_mirrors", []) if host in alive]
    hosts = [host for host in groups.get("npu_hosts", []) if host in alive]
    return list(mirrors[:_MIRRORS_ASKED] or hosts[:_HOSTS_ASKED] or alive[:1])


def _former_lock(found: _Release) -> Optional[_lock.Lock]:
    """The lock that is renewed; None where it is damaged, which renewing mends."""
    try:
        return _locks.load(found.path, found.name)
    except ReleaseError:
        return None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
