# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together what is known of all hosts, compare it with the last report, and write both forms on the controller."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Mapping, Optional, Sequence

from ..module_utils._base.files import write_atomically
from ..module_utils._base.native import to_native_types
from ..module_utils._drift.findings import PREFIX
from ..module_utils._upgrade.state import timestamp
from ..plugin_utils import _drift_report, _locks, _queries, _report_changes, _report_document, _report_page, _tables
from ..plugin_utils._host_releases import Releases, reader
from ..plugin_utils._play_variables import HostVariables, PlayVariables
from ..plugin_utils._registered import MOST, AllHostsAction, PlayHosts, failure
from ..plugin_utils._replicas import gather

VARIABLE = "fleet_reports"
#: The files of a report, in the order in which they are written: the next run compares with the last one's JSON.
HTML, JSON = "report.html", "report.json"
_ROLES = ("vllm_gateway",)
#: Names of hosts' containers and of people stand in it.
_FILE_MODE, _FOLDER_MODE = 0o640, 0o750


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.fleet_report``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "about_variable": {"type": "str", "required": True},
                "preflight_variable": {"type": "str", "required": True},
                "state_variable": {"type": "str", "required": True},
                "node_variable": {"type": "str", "required": True},
                "shared_variable": {"type": "str", "required": True},
                "own_variable": {"type": "str", "required": True},
                "folder": {"type": "str", "default": ""},
                "title": {"type": "str", "default": ""},
                "query": {"type": "str", "default": ""},
            }
        )
        options, known = to_native_types(options), task_vars or {}
        play = Remembered(PlayVariables(known, self._task, self._loader, _ROLES))
        releases = Releases(reader(self._loader, self._templar))
        where = folder(options["folder"], known)
        result.update(changed=False, files=[])
        try:
            if options["query"]:
                _queries.checked(options["query"], "fleet_query")
            drift = _drift_report.gather(known, self._task, self._loader, self._templar, options["about_variable"])[0]
            document = build(known, play, releases, options, timestamp(time.time()), drift["findings"])
            document["since"] = since(document, where)
            result["report"] = document
            if where and not self._task.check_mode:
                result.update(save(document, where))
            if options["query"]:
                result["selected"] = _queries.show(document, options["query"])
            else:
                _tables.show(lines(document, result["files"]))
        except _queries.QueryError as exc:
            result.update(failed=True, msg=str(exc))
        return result


class Remembered:
    """The variables of each host, worked out once."""

    def __init__(self, play: PlayVariables) -> None:
        self._play = play
        self._known: dict[str, HostVariables] = {}

    def of(self, host: str) -> HostVariables:
        if host not in self._known:
            self._known[host] = self._play.of(host)
        return self._known[host]


def build(
    task_vars: Mapping[str, Any],
    play: Any,
    releases: Releases,
    options: Mapping[str, Any],
    made: str,
    drift: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The document, without what has changed since the last one.

    play: finds the variables of a host. drift: what differs from the releases and the fleet.
    """
    in_play = PlayHosts(task_vars)
    others = [str(h) for h in (task_vars.get("groups") or {}).get("npu_hosts") or [] if str(h) not in in_play.everyone]
    first = _registered(play, in_play.everyone, options["preflight_variable"])
    checked: Mapping[str, Any] = first.get("report") or {}
    about = {
        host: _about(host, play, releases, options, checked.get("hosts") or {}, in_play) for host in in_play.everyone
    }
    for host in others:
        about[host] = _report_document.About(asked=False, reason="it was left out by --limit")
    told = gather(task_vars, play, options)
    names = sorted({str(one.release["release"]) for one in about.values() if one.release})
    title = options["title"] or ", ".join(names)
    # The site's own checks are part of both.
    findings = [*(checked.get("findings") or ()), *(f for f in drift if str(f["id"]).startswith(PREFIX))]
    return _report_document.build(made, about, told, findings, title)


def _registered(play: Any, hosts: list[str], name: str) -> Mapping[str, Any]:
    """What a task that ran once has registered, by the first host whose variables can be used."""
    for host in hosts:
        try:
            found = play.of(host).registered(name)
        except Exception:  # noqa: S112 - whatever a template of the user's raises; the next host has the same result
            continue
        if isinstance(found, Mapping):
            return found
    return {}


def _result(registered: Any) -> Mapping[str, Any]:
    return registered if isinstance(registered, Mapping) else {"msg": "it was not asked"}


def _about(
    host: str,
    play: Any,
    releases: Releases,
    options: Mapping[str, Any],
    checked: Mapping[str, Any],
    in_play: PlayHosts,
) -> _report_document.About:
    """What is known of one host."""
    absent = in_play.absence(host, "")
    if absent.get(host):
        # What former tasks have left in its variables says nothing about now.
        return _report_document.About(reason=absent[host])
    try:
        variables = play.of(host)
        node, state = (_result(variables.registered(options[v])) for v in ("about_variable", "state_variable"))
        release, problem = releases.of(variables)
        generation = str(variables["npu_generation"]) if variables.get("npu_generation") else ""
    except Exception as exc:  # one host's broken variables must not hide another's report
        return _report_document.About(reason="its variables cannot be used: %s" % " ".join(str(exc).split()))
    read = isinstance(node.get("node"), Mapping)
    problems = [problem] if release is None else []
    problems += (
        ["%s: %s" % (p.get("subject"), p.get("message")) for p in node["node"].get("problems") or []] if read else []
    )
    problems += list(state.get("problems") or [])
    if read and not isinstance(state.get("state"), Mapping):
        problems.append("its state: %s" % failure(state, most=MOST))
    return _report_document.About(
        node=node["node"] if read else None,
        reason="" if read else failure(node, most=MOST),
        generation=generation,
        state=state.get("state"),
        benchmarks=state.get("benchmarks"),
        release=release,
        checked=checked.get(host),
        problems=problems,
    )


def folder(wanted: str, task_vars: Mapping[str, Any]) -> str:
    """Where the report lies on the controller; empty where there is no place for it."""
    if wanted:
        return os.path.join(os.path.expanduser(wanted), "fleet")
    beside = _locks.folder({k: to_native_types(task_vars[k]) for k in _locks.VARIABLES[:2] if task_vars.get(k)})
    return "" if beside is None else os.path.join(str(beside.parent), "reports", "fleet")


def since(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What has changed since the report that lies there."""
    path = os.path.join(where, JSON)
    try:
        with open(path, encoding="utf-8") as handle:
            text = handle.read()
    except FileNotFoundError:
        return _report_changes.unknown("there is no earlier report")
    except (OSError, ValueError) as exc:
        return _report_changes.unknown("found %s unreadable (%s); needed the report of the last run" % (path, exc))
    try:
        return _report_changes.since(_report_changes.parse(text, path), document, path)
    except _report_changes.EarlierError as exc:
        return _report_changes.unknown(str(exc))


def save(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Write both files; returns where they lie, or what a task's result needs where that fails."""
    texts = {
        HTML: _report_page.page(document),
        JSON: json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n",
    }
    files: list[str] = []
    for name, text in texts.items():
        path = os.path.join(where, name)
        try:
            os.makedirs(where, mode=_FOLDER_MODE, exist_ok=True)
            write_atomically(path, text, _FILE_MODE)
        except OSError as exc:
            found = "found %s: %s; needed to write the report there" % (path, exc.strerror)
            return {"failed": True, "msg": "%s. Fix: another folder in %s" % (found, VARIABLE), "files": files}
        files.append(path)
    return {"files": files}


def lines(document: Mapping[str, Any], files: list[str]) -> list[tuple[str, Optional[str]]]:
    """The few lines that say how the fleet is, and where the rest stands."""
    counts = document["summary"]
    states = counts["states"]
    good = not counts["errors"] and states["ok"] + states["warning"] == counts["hosts"]
    said = (
        "REPORT %s: %d hosts, %d unreachable, %d of %d replicas serving, %d of %d chips well, %d errors, %d warnings"
        % (
            document["title"],
            counts["hosts"],
            states["unreachable"],
            counts["replicas_serving"],
            counts["replicas"],
            counts["chips_well"],
            counts["chips"],
            counts["errors"],
            counts["warnings"],
        )
    )
    found: list[tuple[str, Optional[str]]] = [("", None), (said, "ok" if good else "warning")]
    changed = document["since"]
    if changed["made"]:
        found.append(("%d changes since the report of %s" % (len(changed["entries"]), changed["made"]), None))
    elif changed["problem"]:
        found.append(("not compared with an earlier report: %s" % changed["problem"], None))
    gone = [row for row in document["hosts"] if row["state"] == "unreachable"]
    found += [("%s could not be read: %s" % (row["host"], row["reason"]), "error") for row in gone]
    found += [(path, None) for path in files]
    return found
