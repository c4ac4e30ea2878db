# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of every replica of a host: from what is wanted, what is deployed and what answers.

Beside it the marks of replicas that are being changed. They tell a later run which replicas an earlier one, which was
killed or has failed, may have left out of traffic.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Collection, Iterable, Mapping, Optional, Sequence

from .._base import http_client as http
from .._base.files import remove, write_atomically
from .._host.systemd import short_name
from .change_plan import KEEP, REMOVE, REPLACE, START, Change, ChangeError, resources
from .container import API_KEY
from .deployed import UnitsError
from .traffic import WATCHDOG
from .unit_steps import Present
from .units import Plan

MARKS = "/var/lib/ascend-fleet/changing"
_DEAD = ("inactive", "failed")
_COME_BACK = ("change", WATCHDOG)
_LEFT = "an earlier run began to change it and did not end"


def serves(url: Optional[str], fetch: Callable[..., http.Answer] = http.fetch) -> bool:
    """Whether an engine may have requests. One that does not answer in time is busy, for all that is known."""
    if not url:
        return False
    answer = fetch(url + "/health", timeout=5)
    return answer.ok or answer.timed_out


@dataclass(frozen=True)
class Known:
    """What is known beside the host's units.

    held_out: numbers of the replicas that an operator has taken out of traffic. drained: those that a change has, or
    the watchdog of the host: they come back when they serve.
    marked: units that an earlier run has begun to change.
    """

    held_out: frozenset[int] = frozenset()
    drained: frozenset[int] = frozenset()
    marked: frozenset[str] = frozenset()

    @classmethod
    def read(cls, servers: Sequence[Mapping[str, Any]], marked: Iterable[str]) -> Known:
        """From the servers as vllm_traffic returns them; what is out at any gateway counts as out."""
        out = [
            (int(s["replica"]), s.get("owner"))
            for s in servers
            if s.get("replica") is not None
            and (s.get("admin_state") in ("drain", "maint") or s.get("owner") == WATCHDOG)
        ]
        return cls(
            held_out=frozenset(number for number, owner in out if owner not in _COME_BACK),
            drained=frozenset(number for number, owner in out if owner in _COME_BACK),
            marked=frozenset(marked),
        )


class Changes:
    """Tells what becomes of the replicas of a host. ``serving`` tells whether an engine may have requests."""

    def __init__(self, known: Known, serving: Callable[[Optional[str]], bool] = serves) -> None:
        self._known = known
        self._serving = serving

    def wanted(self, plan: Plan, deployed: Mapping[str, Mapping[str, Any]]) -> list[Change]:
        """The changes that make a host as wanted.

        ``plan`` is what ``units.Host.plan`` returns, ``deployed`` the units as they describe themselves, by name.
        """
        changes = []
        for wanted in plan.wanted:
            unit = wanted.unit
            action, reason = _action(wanted.present, wanted.steps.action, wanted.steps.reason)
            if action == KEEP and wanted.name in self._known.marked:
                reason = _LEFT
            elif action == KEEP and wanted.steps.words:
                reason = "without a restart: %s" % ", ".join(wanted.steps.words)
            engine = _engine(deployed.get(wanted.name, {}), wanted.present.active)
            needs = resources(unit.get("indices") or (), unit.get("port"), unit["container_name"])
            changes.append(self._change(wanted.name, unit.get("replica"), action, reason, engine, needs))
        for name, active in plan.unwanted.items():
            about = deployed.get(name, {})
            engine = _engine(about, active)
            changes.append(self._change(name, about.get("replica"), REMOVE, "not wanted any more", engine))
        return changes

    def restart(
        self,
        deployed: Sequence[Mapping[str, Any]],
        present: Mapping[str, Present],
        numbers: Optional[Collection[int]],
        reason: str,
    ) -> list[Change]:
        """The changes that restart these replicas (all where ``numbers`` is None) as they are deployed."""
        known = {u["replica"] for u in deployed}
        unknown = sorted(set(numbers or ()) - known)
        if unknown:
            raise ChangeError(
                "found no replica %s on this host, but %s; needed the number of a deployed replica. Fix: correct the "
                "numbers"
                % (
                    ", ".join(map(str, unknown)),
                    ", ".join(str(n) for n in sorted(known, key=str)) or "none at all",
                )
            )
        changes = []
        for unit in deployed:
            name, active = str(unit["name"]), present[str(unit["name"])].active
            action, why = KEEP, ""
            if numbers is None or unit["replica"] in numbers:
                action, why = (START, "it was %s" % active) if active in _DEAD else (REPLACE, reason)
            elif name in self._known.marked:
                why = _LEFT
            needs = resources(unit["indices"], unit["port"], unit["container_name"])
            changes.append(self._change(name, unit["replica"], action, why, _engine(unit, active), needs))
        return changes

    def _change(
        self,
        name: str,
        replica: Optional[int],
        action: str,
        reason: str,
        engine: Mapping[str, Any],
        needs: frozenset[str] = frozenset(),
    ) -> Change:
        """One change; ``engine`` describes the unit whose engine runs now, and is empty where none does."""
        held = replica is not None and replica in self._known.held_out
        out = held or (replica is not None and replica in self._known.drained)
        return Change(
            unit=name,
            replica=replica,
            action=action,
            reason=reason,
            in_service=not out and bool(engine) and self._serving(engine.get("url")),
            held_out=held,
            unproven=name in self._known.marked and action != REMOVE,
            needs=needs,
            holds=resources(engine.get("indices") or (), engine.get("port"), engine.get("container_name")),
        )


def key_outages(plan: Plan, changes: Sequence[Change]) -> list[str]:
    """Why clients are refused while the key of the engines is changed; nothing where it stays, or none was asked for.

    Whoever sends the former key is refused by the replicas that have the new one, and the other way round. A gateway
    that sends the key for its clients has one for all replicas.
    """
    replaced = {c.unit for c in changes if c.in_service and c.action == REPLACE}
    concerned = [w.name for w in plan.wanted if w.name in replaced and _key(w.present.env) not in ("", _key(w.env))]
    if not concerned:
        return []
    return [
        "found another vllm_serve_api_key in %s than is wanted; needed the same one, since a request has one key and "
        "goes to any replica: until all are changed, some refuse it with 401. Fix: leave vllm_serve_api_key as it is "
        "and give clients keys of their own at the gateway (vllm_gateway_api_keys_file), or accept the outage with "
        "-e fleet_accept_outage=true" % ", ".join(short_name(name) for name in concerned)
    ]


def _key(env: Optional[str]) -> str:
    head = API_KEY + "="
    return next((line[len(head) :] for line in (env or "").splitlines() if line.startswith(head)), "")


def _engine(about: Mapping[str, Any], active: str) -> Mapping[str, Any]:
    """What describes the engine that a unit runs; empty where it runs none."""
    return {} if active in _DEAD else about


def _action(present: Present, action: Optional[str], reason: Optional[str]) -> tuple[str, str]:
    if action == "start" and present.content is None:
        return START, "it is not deployed yet"
    if action == "start":
        return START, reason or ""
    return (REPLACE, reason or "") if action == "restart" else (KEEP, "")


def wrong_replicas(answers: Sequence[Mapping[str, Any]], deployed: Sequence[Mapping[str, Any]]) -> list[int]:
    """The numbers of the replicas of which vllm_probe has found an answer wrong."""
    units = {answer.get("unit") for answer in answers if answer.get("problems")}
    return sorted(u["replica"] for u in deployed if u["name"] in units and u["replica"] is not None)


# - marks -


def marked(folder: str = MARKS) -> list[str]:
    """The units that a run has begun to change and not ended."""
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".service"))
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise UnitsError(
            "found %s unreadable: %s; needed to know which replicas are being changed. Fix: run as root"
            % (folder, exc.strerror)
        ) from exc


def seconds_out(names: Sequence[str], now: datetime, folder: str = MARKS) -> dict[str, float]:
    """For how long these units have been marked as being changed; a mark without a time is left out."""
    found: dict[str, float] = {}
    for name in names:
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as handle:
                since = datetime.fromisoformat(str(json.load(handle)["since"]))
            found[name] = max(0.0, (now - since).total_seconds())
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def mark(names: Sequence[str], about: Mapping[str, Any], folder: str = MARKS) -> list[str]:
    """Note that these units are being changed. Returns those that were not noted yet."""
    new = [name for name in names if not os.path.exists(os.path.join(folder, name))]
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        for name in new:
            write_atomically(os.path.join(folder, name), json.dumps(dict(about), sort_keys=True) + "\n", 0o644)
    except OSError as exc:
        raise UnitsError(
            "found %s: %s; needed to note there which replicas are being changed. Fix: run as root"
            % (exc.filename or folder, exc.strerror)
        ) from exc
    return new


def unmark(names: Sequence[str], folder: str = MARKS) -> list[str]:
    """Note that these units have been changed. Returns those that were noted."""
    there = [name for name in names if os.path.lexists(os.path.join(folder, name))]
    for name in there:
        remove(os.path.join(folder, name))
    return there
