# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say why driver and firmware must not be changed now, over all hosts of the play at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping, Optional

from ..module_utils._base.native import to_native_types
from ..module_utils._release.inventory import Finding, group_by_host
from ..module_utils._serving.settings import ServingError
from ..module_utils._upgrade import gate, window
from ..plugin_utils import _gateway_samples, _load, _wave_plan
from ..plugin_utils._controller import operator
from ..plugin_utils._driver_fleet import ABOUT, Fleet
from ..plugin_utils._host_releases import Releases, reader
from ..plugin_utils._play_variables import PlayVariables
from ..plugin_utils._progress_lines import display
from ..plugin_utils._registered import AllHostsAction
from ..plugin_utils._upgrade_hosts import CHANGE

_ROLES = ("vllm_gateway",)


class ActionModule(AllHostsAction):
    """The action ``ascend.fleet.driver_gate``: no connection; looks at every host of the play."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "release": {"type": "str", "required": True},
                "change": {"type": "str", "default": ""},
                "variable": {"type": "str", "default": CHANGE},
                "converged_variable": {"type": "str", "default": "__driver_converged"},
                **dict(_wave_plan.OPTIONS, state_variable={"type": "str", "default": ABOUT}),
            }
        )
        options, known = to_native_types(options), task_vars or {}
        fleet = Fleet(known)
        reasons: list[str] = []
        aside: Mapping[str, str] = {}
        planned: Optional[_wave_plan.WavePlan] = None
        now = datetime.now().astimezone()
        try:
            aside = fleet.set_aside(now)
            planned = _wave_plan.plan(options, known, now)
        except (ServingError, window.WindowError) as exc:
            reasons.append(str(exc))
        names = [name for name in fleet.everyone if name not in aside]
        request = gate.Request(options["release"], options["change"], operator())
        findings: list[tuple[str, Finding]] = [(n, f) for n in names for f in fleet.findings(n, request)]
        changing = [name for name in names if not fleet.converged(name)]
        nothing = bool(names) and not changing and not findings
        if not names:
            fix = "correct --limit or fleet_maintenance"
            reasons.append("found no host in the play; needed one that is not under maintenance. Fix: %s" % fix)
        if not nothing:
            reasons = [mistake.text() for mistake in group_by_host(findings)] + reasons
            reasons += self._of_service(fleet, planned, options, names, known)
        reasons = list(dict.fromkeys(reasons))
        self._tell(aside, reasons, nothing)
        result.update(changed=False, nothing_to_do=nothing, reasons=reasons, changing=changing, set_aside=dict(aside))
        if reasons and not self._task.check_mode:
            lines = ["%d. %s" % (number, reason) for number, reason in enumerate(reasons, 1)]
            head = "found %d reason(s) not to begin; no host was touched:" % len(lines)
            result.update(failed=True, msg="\n".join([head, *lines]))
        return result

    def _of_service(
        self,
        fleet: Fleet,
        planned: Optional[_wave_plan.WavePlan],
        options: Mapping[str, Any],
        names: list[str],
        known: Mapping[str, Any],
    ) -> list[str]:
        """Why clients would notice: outages, what the others do not carry, gateways that do not answer."""
        found: list[str] = []
        if planned is not None and not options["accept_outage"]:
            found += planned.waves.outages
        serving = [name for name in names if not fleet.absence(name)]
        plans = {n: p for n in serving for p in [fleet.hosts.plan(n, options["variable"])] if p is not None}
        released = Releases(reader(self._loader, self._templar))
        play = PlayVariables(known, self._task, self._loader, _ROLES)
        release = next((r for n in serving for r, _problem in [released.of(play.of(n))] if r), None)
        if planned is not None and release is not None and planned.waves.waves:
            others = [name for name in fleet.others if name not in planned.set_aside]
            samples = {name: fleet.sample(name) for name in [*others, *serving]}
            load = _load.judge(planned.waves, plans, samples, release, options["min_available"] or None)
            found += [] if options["accept_outage"] else load.reasons
            for words in load.warnings + (load.reasons if options["accept_outage"] else []):
                display.warning(words)
        shared = [str(host) for host in (known.get("groups") or {}).get("gateways") or []]
        said = _gateway_samples.samples(
            names, shared, variables_of=play.of, sample_of=fleet.sample, alive=fleet.in_play.alive
        )
        return found + gate.gateway_problems(said)

    def _tell(self, aside: Mapping[str, str], reasons: list[str], nothing: bool) -> None:
        for host, words in aside.items():
            display.display("%s is left alone, because it is under maintenance: %s" % (host, words))
        if nothing:
            display.display("driver and firmware of every host are as the release wants: nothing to do")
        elif self._task.check_mode:
            for words in reasons:
                display.warning(words)
