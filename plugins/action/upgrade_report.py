# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what an upgrade or a rollback would do, or has done, on all hosts of the play; keep it as JSON and Markdown."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any, Mapping, Optional, Sequence

from ansible.utils.vars import load_extra_vars

from ..module_utils._base.files import write_atomically
from ..module_utils._base.native import to_native_types
from ..module_utils._upgrade import plan_table, report, samples, window
from ..plugin_utils import _locks, _tables
from ..plugin_utils._host_releases import Releases, reader
from ..plugin_utils._play_variables import PlayVariables
from ..plugin_utils._registered import AllHostsAction, PlayHosts
from ..plugin_utils._upgrade_hosts import CONVERGED, SAMPLE, SAMPLE_AFTER, SAMPLES, SAMPLES_AFTER, STATE, Hosts

VARIABLE = "fleet_reports"
_ROLES = ("model_artifacts", "vllm_image", "vllm_serve")
_NUMBER = re.compile(r"@(\d+)\.service\Z")


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.upgrade_report``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "release": {"type": "str", "required": True},
                "change": {"type": "str", "default": ""},
                "kind": {"type": "str", "choices": ["upgrade", "rollback"], "default": "upgrade"},
                "began": {"type": "str", "default": ""},
                "by": {"type": "str", "default": ""},
                "waves": {"type": "dict", "default": {}},
                "bakes": {"type": "list", "elements": "dict", "default": []},
                "reasons": {"type": "list", "elements": "str", "default": []},
                "notes": {"type": "list", "elements": "str", "default": []},
                "folder": {"type": "str", "default": ""},
                "aside": {"type": "dict", "default": {}},
                "plan": {"type": "bool", "default": False},
                "wanted_variable": {"type": "str", "default": ""},
            }
        )
        options, known = to_native_types(options), task_vars or {}
        result["changed"] = False
        if options["plan"] or self._task.check_mode:
            play = PlayVariables(known, self._task, self._loader, _ROLES, inner=("vllm_serve",))
            planned = Planned(known, options, play, Releases(reader(self._loader, self._templar)))
            try:
                found = planned.build()
            except window.WindowError as exc:
                return {**result, "failed": True, "msg": str(exc)}
            _tables.show(plan_table.lines(found, with_argv=bool(self._task.diff)))
            result["plan"] = found
            if options["folder"]:
                result.update(_save(found, plan_table.markdown(found), _folder(options, known), "plan"))
            return result
        whole = done(known, options)
        if whole["outcome"] == report.GOOD and self._of_this_run_alone(options):
            whole["notes"].append(
                "fleet_release: %s was given for this run alone. Set it in the inventory: site.yml takes the fleet to "
                "what stands there" % options["release"]
            )
        _tables.show(report.lines(whole))
        result["report"] = whole
        result.update(_save(whole, report.markdown(whole), _folder(options, known), "report"))
        return result

    def _of_this_run_alone(self, options: Mapping[str, Any]) -> bool:
        """Whether the release of an upgrade is one of the command line's extra variables, which no later run has."""
        given = load_extra_vars(self._loader).get("fleet_release")
        return bool(options["kind"] == "upgrade" and str(given) == options["release"])


def _folder(options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> str:
    """Where the files of this change lie on the controller; empty where there is no place for them."""
    name = options["change"] or "%s-to-%s" % (options["kind"], options["release"])
    if options["folder"]:
        return os.path.join(os.path.expanduser(options["folder"]), name)
    beside = _locks.folder({k: to_native_types(task_vars[k]) for k in _locks.VARIABLES[:2] if task_vars.get(k)})
    return "" if beside is None else os.path.join(str(beside.parent), "reports", "upgrade", name)


def _save(data: Mapping[str, Any], text: str, folder: str, name: str) -> dict[str, Any]:
    """Write both forms; returns where they lie, or what a task's result needs where that fails."""
    if not folder:
        return {"files": []}
    paths = [os.path.join(folder, name + suffix) for suffix in (".json", ".md")]
    problem = _tables.save(data, paths[0], VARIABLE)
    if problem:
        return problem
    try:
        write_atomically(paths[1], text if text.endswith("\n") else text + "\n")
    except OSError as exc:
        found = "found %s: %s; needed to write the report there" % (paths[1], exc.strerror)
        return {"failed": True, "msg": "%s. Fix: another folder in %s" % (found, VARIABLE)}
    return {"files": paths}


def _names(task_vars: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The hosts that are named, and why some of them are left alone: those under maintenance are not in the play.

    Raises WindowError.
    """
    everyone = PlayHosts(task_vars).everyone
    group = [str(h) for h in to_native_types((task_vars.get("groups") or {}).get("npu_hosts") or ())]
    under = Hosts(task_vars).set_aside(dict.fromkeys([*everyone, *group]), datetime.now().astimezone())
    aside = {**under, **options["aside"]}
    return list(dict.fromkeys([*everyone, *aside])), aside


# - what would be done -


class Planned:
    """Puts the plan together from what the plays have left in the variables of the hosts. play: of the variables."""

    def __init__(self, task_vars: Mapping[str, Any], options: Mapping[str, Any], play: Any, releases: Releases) -> None:
        self._vars = task_vars
        self._options = options
        self._play = play
        self._releases = releases
        self._goes_back = options["kind"] == "rollback"
        self._hosts = Hosts(task_vars)
        self._in_play = PlayHosts(task_vars)
        self._expected = self._hosts.expected(self._in_play.everyone)

    def build(self) -> dict[str, Any]:
        """The plan as data. Raises WindowError."""
        names, aside = _names(self._vars, self._options)
        hosts = [self._host(name, aside.get(name, "")) for name in names]
        return plan_table.build(hosts, self._options["waves"], self._options["release"], self._options["reasons"])

    def _host(self, name: str, aside: str) -> plan_table.Host:
        hosts = self._hosts
        generation = str(hosts.value(name, "npu_generation") or "")
        problem = ", ".join(self._in_play.absence(name, "").values())
        converged = bool(hosts.registered(name, CONVERGED).get("converged"))
        plan = hosts.plan(name)
        if not (aside or problem or converged) and plan is None:
            problem = "no plan was made for it in this run"
        outages = [w for w in self._options["waves"].get("outages") or () if str(w).startswith(name + ": ")]
        changes = not (aside or problem or converged)
        return plan_table.Host(
            name=name,
            generation=generation,
            aside=aside,
            problem=problem,
            converged=converged,
            before=_deployment(hosts.registered(name, STATE).get("deployment")) or self._recorded(name),
            after=self._after(name) if changes else None,
            plan=plan,
            # A rollback is from what the host has kept.
            downloads=downloads(hosts.mapping(name, "artifact_fetch_result"))
            if changes and not self._goes_back
            else (),
            expected_seconds=self._expected.seconds(name, plan),
            outages=[str(w).partition(": ")[2] for w in outages] or list((plan or {}).get("outages") or ()),
        )

    def _recorded(self, name: str) -> Optional[plan_table.Deployment]:
        """The name of what serves, where the deployment itself was not read."""
        last = self._hosts.state(name).get("last_good")
        return plan_table.Deployment({"release": last["release"]}) if last else None

    def _after(self, name: str) -> Optional[plan_table.Deployment]:
        if self._options["wanted_variable"]:
            return _deployment(self._hosts.registered(name, self._options["wanted_variable"]).get("deployment"))
        try:
            node = self._hosts.registered(name, "__npu_preflight_about").get("node")
            variables = self._play.of(name, {"__vllm_serve_known": node} if node else None)
        except Exception:  # one host's broken variables must not hide another's plan
            return None
        release, _problem = self._releases.of(variables)
        if release is None:
            return None
        try:
            units: Optional[list[dict[str, Any]]] = variables["__vllm_serve_plan"]["units"]
        except Exception:  # without image or weights there is no command yet
            units = None
        return plan_table.Deployment(release, units)


def _deployment(found: Any) -> Optional[plan_table.Deployment]:
    """What of a deployment is compared: its secrets are left where they are."""
    if not isinstance(found, Mapping) or not isinstance(found.get("release"), Mapping):
        return None
    units = found.get("units")
    return plan_table.Deployment(found["release"], units if isinstance(units, list) else None)


def downloads(result: Mapping[str, Any]) -> Optional[list[dict[str, Any]]]:
    """What the role artifact_fetch would download, and from where; None where that is not known.

    result: as its loop has registered it.
    """
    found = []
    for one in result.get("results") or ():
        if not isinstance(one, Mapping) or one.get("failed") or one.get("unreachable") or not one.get("known", True):
            return None
        if one.get("missing_bytes") is None:
            continue
        item = one.get("item") or {}
        source = one.get("source") or ", ".join(map(str, item.get("sources") or ())) or item.get("repository")
        found.append({"what": str(item.get("name") or ""), "bytes": int(one["missing_bytes"]), "source": source})
    return found or None


# - what was done -


def done(task_vars: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The report of every host of the play."""
    hosts, in_play = Hosts(task_vars), PlayHosts(task_vars)
    now = datetime.now().astimezone()
    notes = list(options["notes"])
    names, aside = in_play.everyone, dict(options["aside"])
    try:
        names, aside = _names(task_vars, options)
    except window.WindowError as exc:
        notes.append(str(exc))
    waves = options["waves"]
    left = set(waves.get("left") or ())
    counted = counts(task_vars, in_play.everyone, hosts, notes)
    former = [hosts.state(name).get("last_good") or {} for name in in_play.everyone]
    run = report.Run(
        change=options["change"],
        kind=options["kind"],
        wanted=options["release"],
        from_release=", ".join(sorted({str(f["release"]) for f in former if f} - {options["release"]})),
        began=options["began"],
        ended=now.isoformat(timespec="seconds"),
        by=options["by"],
        waves=_groups(waves),
        bakes=options["bakes"],
        gateways=counted,
        notes=notes,
    )
    built = [
        _host(name, hosts, in_play, options["release"], aside.get(name, ""), is_left=name in left) for name in names
    ]
    return report.build(built, run)


def _groups(waves: Mapping[str, Any]) -> list[list[str]]:
    names = [str(name) for name in waves.get("hosts") or ()]
    found = []
    for size in waves.get("sizes") or ():
        found.append(names[:size])
        names = names[size:]
    return found


def _host(name: str, hosts: Hosts, in_play: PlayHosts, wanted: str, aside: str, *, is_left: bool) -> report.Host:
    outcome = hosts.mapping(name, "__upgrade_outcome")
    absent = ", ".join(in_play.absence(name, "").values())
    converged = hosts.registered(name, CONVERGED)
    bench = hosts.mapping(name, "vllm_bench_result")
    return report.Host(
        name=name,
        generation=str(hosts.value(name, "npu_generation") or ""),
        converged=bool(converged.get("converged")),
        aside=aside,
        left=is_left,
        absent=absent,
        outcome=str(outcome.get("outcome") or ""),
        why=str(outcome.get("why") or ""),
        replicas=replicas(outcome, converged, hosts.state(name), hosts.plan(name), wanted),
        measurements=bench.get("measurements") or [] if outcome else [],
    )


def replicas(
    outcome: Mapping[str, Any],
    converged: Mapping[str, Any],
    state: Mapping[str, Any],
    plan: Optional[Mapping[str, Any]],
    wanted: str,
) -> dict[str, dict[str, Any]]:
    """What is known of the replicas of a host, by unit: from its change, else as they served before."""
    found: dict[str, dict[str, Any]] = {}
    for unit, about in (state.get("replicas") or {}).items():
        found[str(unit)] = {"release": about.get("release")}
    for about in converged.get("replicas") or ():
        found[str(about["unit"])] = {"release": about.get("release"), "replica": about.get("replica")}
    kind = outcome.get("outcome")
    if kind == report.GOOD:
        gone = {r["unit"] for r in (plan or {}).get("replicas") or () if r.get("action") == "remove"}
        found = {unit: about for unit, about in found.items() if unit not in gone}
    last = (state.get("last_good") or {}).get("release")
    proven = {report.GOOD: wanted, report.ROLLED_BACK: last}.get(str(kind))
    if proven:
        # Also those that had come there before, in a run that was interrupted.
        found = {unit: {**about, "release": proven} for unit, about in found.items()}
    for unit, about in (outcome.get("replicas") or {}).items():
        found[str(unit)] = {"release": proven, **about}
    for unit, about in found.items():
        match = _NUMBER.search(unit)
        about.setdefault("replica", int(match[1]) if match else None)
    return found


def counts(
    task_vars: Mapping[str, Any], names: Sequence[str], hosts: Hosts, notes: list[str]
) -> Optional[dict[str, dict[str, int]]]:
    """What the gateways have counted of each replica between the first and the last sample; None where none has.

    What is missing of it is added to the notes.
    """
    shared = [str(h) for h in (task_vars.get("groups") or {}).get("gateways") or ()]
    others, others_after = (hosts.samples_of_others(names, variable) for variable in (SAMPLES, SAMPLES_AFTER))
    answers = []
    for name in dict.fromkeys([*shared, *names]):
        before = hosts.registered(name, SAMPLE) or others.get(name) or {}
        after = hosts.registered(name, SAMPLE_AFTER) or others_after.get(name) or {}
        gateways = [sample.get("gateway") for sample in (before, after)]
        if not any(gateways):
            if name in shared:
                notes.append("gateway %s was not read: what it counted is missing" % name)
            continue
        if not all(g and not g.get("problem") for g in gateways):
            notes.append("gateway %s was read only once: what it counted is missing" % name)
            continue
        found, fresh = samples.gateway_between(before, after)
        answers.append(found)
        if fresh:
            notes.append("gateway %s was reloaded or restarted: what it counted before that is missing" % name)
    if not answers:
        return None
    return {"%s:%s" % key: dict(found) for key, found in samples.by_replica(answers).items()}
