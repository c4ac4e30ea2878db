# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say why the switch to another release may not begin, over all hosts of the play at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, Mapping, Optional, Sequence

from ..module_utils._base.native import to_native_types
from ..module_utils._serving import waves
from ..module_utils._serving.settings import ServingError
from ..module_utils._upgrade import gate, window
from ..plugin_utils import _gateway_samples, _load, _wave_plan
from ..plugin_utils._host_releases import Release, Releases, reader
from ..plugin_utils._play_variables import PlayVariables
from ..plugin_utils._progress_lines import display
from ..plugin_utils._registered import AllHostsAction, PlayHosts, failure
from ..plugin_utils._upgrade_hosts import CHANGE, CONVERGED, Hosts

_ROLES = ("vllm_gateway",)


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.fleet_gate``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "release": {"type": "str", "required": True},
                "change": {"type": "str", "default": ""},
                "holder": {"type": "str", "default": ""},
                "variable": {"type": "str", "default": CHANGE},
                "converged_variable": {"type": "str", "default": CONVERGED},
                "lease_variable": {"type": "str", "default": "__upgrade_lease"},
                **_wave_plan.OPTIONS,
            }
        )
        options = to_native_types(options)
        known = task_vars or {}
        play = PlayVariables(known, self._task, self._loader, _ROLES)
        released = Releases(reader(self._loader, self._templar))
        looked = Gate(known, play, options, released.of, check=bool(self._task.check_mode)).look()
        answer = looked.answer
        result.update(
            changed=False,
            nothing_to_do=answer.nothing_to_do,
            reasons=answer.reasons,
            notes=looked.warnings,
            changing=answer.changing,
            as_wanted=answer.as_wanted,
            set_aside=looked.set_aside,
        )
        for host, words in looked.set_aside.items():
            display.display("%s is left alone, because it is under maintenance: %s" % (host, words))
        for words in looked.warnings:
            display.warning(words)
        if answer.nothing_to_do:
            words = "every host serves %s already: nothing to do" % options["release"]
            display.display(words)
            result["msg"] = words
        elif answer.reasons and self._task.check_mode:
            for words in answer.reasons:
                display.warning(words)
        elif answer.reasons:
            result.update(failed=True, msg=answer.text())
        return result


class Looked:
    """What was found. set_aside: hosts that are left alone, and why."""

    def __init__(self, answer: gate.Answer, set_aside: Mapping[str, str], warnings: Sequence[str]) -> None:
        self.answer = answer
        self.set_aside = dict(set_aside)
        self.warnings = list(warnings)


class Gate:
    """Puts together what the plays have left in the variables of the hosts, and asks for the reasons.

    release_of: the release of a host's variables, and why there is none.
    """

    def __init__(
        self,
        task_vars: Mapping[str, Any],
        play: Any,
        options: Mapping[str, Any],
        release_of: Callable[[Any], Release],
        *,
        check: bool,
    ) -> None:
        self._vars = task_vars
        self._play = play
        self._options = options
        self._release_of = release_of
        self._check = check
        self._hosts = Hosts(task_vars)
        self._in_play = PlayHosts(task_vars)
        self._others = self._hosts.samples_of_others(self._in_play.everyone)
        self._now = datetime.now().astimezone()

    def look(self) -> Looked:
        """All reasons."""
        more: list[str] = []
        aside: Mapping[str, str] = {}
        planned: Optional[_wave_plan.WavePlan] = None
        try:
            aside = self._hosts.set_aside(self._fleet(), self._now)
            planned = _wave_plan.plan(self._options, self._vars, self._now)
        except (ServingError, window.WindowError) as exc:
            more.append(str(exc))
        names = [name for name in self._in_play.everyone if name not in aside]
        report = self._preflight(names)
        hosts = [self._host(name, report) for name in names]
        warnings: list[str] = []
        if planned is not None:
            load = self._load(planned.waves, hosts, [name for name in self._others if name not in aside])
            warnings = load.warnings
            if self._options["accept_outage"]:
                warnings += load.reasons
            else:
                more += planned.waves.outages + load.reasons
        more += gate.gateway_problems(self._gateways(names))
        request = gate.Request(
            self._options["release"], self._options["change"], self._options["holder"], staged=not self._check
        )
        fleet = {n: g for n, g in self._hosts.generations(self._fleet()).items() if n not in aside}
        answer = gate.judge(hosts, request, fleet=fleet, more=list(dict.fromkeys(more)))
        return Looked(answer, aside, warnings)

    def _fleet(self) -> list[str]:
        groups = self._vars.get("groups") or {}
        return list(dict.fromkeys([*map(str, groups.get(self._options["group"]) or []), *self._in_play.everyone]))

    def _preflight(self, names: Sequence[str]) -> Mapping[str, Any]:
        """The findings by host, as the report of the preflight on all hosts has them."""
        for name in names:
            found = self._hosts.mapping(name, "__npu_preflight_report").get("findings")
            if isinstance(found, dict):
                return found
        return {}

    def _host(self, name: str, findings: Mapping[str, Any]) -> gate.Host:
        hosts, options = self._hosts, self._options
        absent = ", ".join(self._in_play.absence(name, "").values())
        generation = str(hosts.value(name, "npu_generation") or "")
        own = [f for f in findings.get(name) or () if isinstance(f, dict)]
        lease = hosts.mapping(name, options["lease_variable"])
        lease_problem = failure(lease) if lease.get("failed") else ""
        if absent:
            return gate.Host(name, generation, absent="that %s" % absent, findings=own, lease_problem=lease_problem)
        release, problem = self._release(name)
        artifacts, image = hosts.mapping(name, "model_artifacts_result"), hosts.mapping(name, "vllm_image_result")
        state = hosts.registered(name, options["state_variable"])
        return gate.Host(
            name=name,
            generation=generation,
            findings=own,
            converged=bool(hosts.registered(name, options["converged_variable"]).get("converged")),
            plan=hosts.plan(name, options["variable"]),
            staged=gate.Staged(
                weights=str(artifacts.get("weights") or ""),
                weights_commit=str((artifacts.get("commits") or {}).get("weights") or ""),
                image_id=str(image.get("image_id") or ""),
                config_digest=str(image.get("config_digest") or ""),
            ),
            release=release,
            release_problem=problem,
            state=state.get("state"),
            kept=state.get("kept"),
            # Whether it is given is decided on the host; what the host said before that is not asked again.
            lease=None if hosts.registered(name, options["lease_variable"]) else state.get("lease"),
            lease_problem=lease_problem,
        )

    def _release(self, name: str) -> Release:
        try:
            return self._release_of(self._play.of(name))
        except Exception as exc:  # one host's broken variables must not hide another's reasons
            return None, "that its variables cannot be used: %s" % " ".join(str(exc).split())

    def _load(self, found: waves.Waves, hosts: Sequence[gate.Host], others: Sequence[str]) -> _load.Load:
        release = next((h.release for h in hosts if h.release), None)
        if release is None or not found.waves:
            return _load.Load()
        plans = {h.name: h.plan for h in hosts if h.plan is not None}
        serving = [*others, *(h.name for h in hosts if not h.absent)]
        samples = {name: self._sample(name) for name in serving}
        return _load.judge(found, plans, samples, release, self._options["min_available"] or None)

    def _sample(self, name: str) -> Optional[dict[str, Any]]:
        return self._hosts.registered(name, self._options["sample_variable"]) or self._others.get(name)

    def _gateways(self, names: Sequence[str]) -> dict[str, Optional[dict[str, Any]]]:
        """What hosts with a gateway have said."""
        shared = [str(h) for h in (self._vars.get("groups") or {}).get("gateways") or []]
        return _gateway_samples.samples(
            names, shared, variables_of=self._play.of, sample_of=self._sample, alive=self._in_play.alive
        )
