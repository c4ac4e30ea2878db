# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plays of driver.yml have left in the variables of the hosts. For the controller alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping, Optional, Sequence

from ..module_utils._driver import tables
from ..module_utils._release.inventory import Finding
from ..module_utils._upgrade import gate
from ._registered import PlayHosts, failure
from ._upgrade_hosts import CHANGE, SAMPLE, STATE, Hosts

#: Of every host: what npu_driver_info, the plan and the change of the driver have left.
ABOUT, PLAN, OUTCOME, LEASE = "__npu_driver_about", "__npu_driver_plan", "__driver_outcome", "__upgrade_lease"
_RECORD = "run site.yml once with the release that serves there now: it records that, and restarts nothing"


class Fleet:
    """The hosts of the play."""

    def __init__(self, task_vars: Mapping[str, Any]) -> None:
        self.hosts = Hosts(task_vars)
        self.in_play = PlayHosts(task_vars)
        self.others = self.hosts.samples_of_others(self.in_play.everyone)

    @property
    def everyone(self) -> list[str]:
        """Their names."""
        return self.in_play.everyone

    def set_aside(self, now: datetime) -> dict[str, str]:
        """Hosts that the inventory leaves alone, and why. Raises WindowError."""
        return self.hosts.set_aside(self.everyone, now)

    def plan(self, name: str) -> Optional[dict[str, Any]]:
        """The plan of the driver of a host; None where none was made."""
        return self.hosts.mapping(name, PLAN) or None

    def absence(self, name: str) -> str:
        """Why a host cannot be looked at; empty where it can."""
        return ", ".join(self.in_play.absence(name, "").values())

    def converged(self, name: str) -> bool:
        """Whether nothing is to be done on a host."""
        return bool((self.plan(name) or {}).get("converged"))

    def findings(self, name: str, request: gate.Request) -> list[Finding]:
        """Why a host must not be changed now."""
        lease = self.hosts.mapping(name, LEASE)
        # Whether it is given is decided on the host; what the host said before that is not asked again.
        about = gate.Host(name, lease_problem=failure(lease) if lease.get("failed") else "")
        out = gate.held(about, request)
        if self.absence(name):
            fix = (
                "remove the cause and run again, or set fleet_maintenance for the host: then it is left alone and named"
            )
            # A lease that was refused has ended the play of the host, and says why.
            return out or [("that %s" % self.absence(name), "every host of the play, so that nobody is forgotten", fix)]
        plan = self.plan(name)
        if plan is None:
            fix = "see the message above, remove the cause and run again"
            return [*out, ("no plan of its driver", "what is installed and what runs there", fix)]
        if plan["converged"]:
            return out
        out += [(str(found), str(needed), str(fix)) for found, needed, fix in plan["reasons"]]
        state = self.hosts.registered(name, STATE)
        changed = self.hosts.plan(name, CHANGE) or {}
        if changed.get("replicas") and not (state.get("state") or {}).get("last_good"):
            needed = "what is started again, with its questions"
            out.append(("replicas, and no deployment that is recorded as good", needed, _RECORD))
        elif changed.get("replicas") and state.get("runs_last_good") is not True:
            needed = "what is started again afterwards to be what has shown that it serves"
            fix = "end the change that is open with upgrade.yml or rollback.yml, or run site.yml, before this"
            out.append(("replicas that are not those of the last good deployment", needed, fix))
        return out

    def sample(self, name: str) -> Optional[dict[str, Any]]:
        """What was measured there; None where nothing was."""
        return self.hosts.registered(name, SAMPLE) or self.others.get(name)

    def described(self, waves: Mapping[str, Any], aside: Mapping[str, str]) -> list[tables.Host]:
        """All hosts, for a table."""
        numbers = wave_numbers(waves)
        left = set(waves.get("left") or ())
        expected = waves.get("expected_seconds") or {}
        found = []
        for name in self.everyone:
            outcome = self.hosts.mapping(name, OUTCOME)
            out = [about.get("out_seconds") for about in (outcome.get("replicas") or {}).values()]
            known = [float(seconds) for seconds in out if isinstance(seconds, (int, float))]
            found.append(
                tables.Host(
                    name,
                    plan=self.plan(name),
                    wave=numbers.get(name),
                    expected_seconds=expected.get(name),
                    absent=self.absence(name),
                    aside=aside.get(name, ""),
                    left=name in left,
                    outcome=str(outcome.get("outcome") or ""),
                    why=str(outcome.get("why") or ""),
                    out_seconds=max(known) if known else None,
                    sources=sources(self.hosts.mapping(name, "artifact_fetch_result")),
                )
            )
        return found


def wave_numbers(waves: Mapping[str, Any]) -> dict[str, int]:
    """The number of each host's wave."""
    names: Sequence[str] = [str(name) for name in waves.get("hosts") or ()]
    found: dict[str, int] = {}
    for number, size in enumerate(waves.get("sizes") or (), 1):
        found.update(dict.fromkeys(names[:size], number))
        names = names[size:]
    return found


def sources(result: Mapping[str, Any]) -> dict[str, str]:
    """Where each package came from, or would, by its path in the release. result: of the role artifact_fetch."""
    found: dict[str, str] = {}
    for one in result.get("results") or ():
        item = one.get("item") if isinstance(one, dict) else None
        if isinstance(item, dict):
            said = one.get("source") or next(iter(item.get("sources") or ()), "") or item.get("repository")
            found.update({str(path): str(said or "") for path in item.get("paths") or ()})
    return found
