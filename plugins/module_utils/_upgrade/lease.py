# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease of a host: who changes the whole fleet at this moment, from where, since when, and what.

What is decided is pure; a small part at the end reads and writes the file. Times are those of the host, so that clocks
of controllers do not matter.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Mapping, Optional

from .._base.files import remove, write_atomically
from .deployment import FOLDER
from .state import timestamp

SCHEMA = 1
NAME = "lease.json"
VARIABLE = "fleet_lease_take_over"
#: A lease is alive for so long after it was renewed: longer than the longest step between two renewals.
ALIVE_SECONDS = 7200
#: What tells a process of a controller from every other one, before and after a restart of that machine.
PROCESS = ("pid", "started", "boot_id")
_FIELDS = ("holder", "controller", "change", "what", "since", "renewed")


class LeaseError(Exception):
    """The fleet is held by somebody else, or the lease cannot be read.

    ``asked`` is the lease of the same person at the same controller by another process, which only that controller can
    look for.
    """

    def __init__(self, message: str, asked: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(message)
        self.asked = asked


@dataclass(frozen=True)
class Claim:
    """Who wants to hold the lease. process: ``pid``, ``started`` and ``boot_id`` on the controller, where known."""

    holder: str
    controller: str
    change: str
    what: str = ""
    process: Optional[Mapping[str, Any]] = None

    @property
    def owner(self) -> str:
        """``alice@controller``"""
        return "%s@%s" % (self.holder, self.controller)


def owner_of(lease: Mapping[str, Any]) -> str:
    """By what name a lease is taken over: ``alice@controller``."""
    return "%s@%s" % (lease["holder"], lease["controller"])


def is_alive(lease: Mapping[str, Any], now: float) -> bool:
    """Whether it was renewed not long ago. A time in the future counts as now."""
    return now - _seconds(str(lease["renewed"])) < ALIVE_SECONDS


def described(lease: Optional[Mapping[str, Any]], now: float) -> Optional[dict[str, Any]]:
    """A lease with its ``owner``, and whether it is ``alive``; None where nobody holds the fleet."""
    return None if lease is None else {**lease, "owner": owner_of(lease), "alive": is_alive(lease, now)}


def take(
    lease: Optional[Mapping[str, Any]],
    claim: Claim,
    now: float,
    *,
    take_over: str = "",
    gone: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """The lease once it is taken. LeaseError where somebody else holds it.

    take_over: the owner of a stale lease that is meant. gone: the process of a lease that does not run any more, as the
    controller has found.
    """
    moment = timestamp(now)
    new = {
        "schema": SCHEMA,
        "holder": claim.holder,
        "controller": claim.controller,
        "change": claim.change,
        "what": claim.what,
        "since": moment,
        "renewed": moment,
        "process": dict(claim.process) if claim.process else None,
    }
    if lease is None:
        return new
    mine = owner_of(lease) == claim.owner
    if mine and lease["change"] == claim.change and not _differ(lease["process"], claim.process):
        return {**new, "since": lease["since"], "what": claim.what or lease["what"]}
    if mine and (_same(lease["process"], claim.process) or _same(lease["process"], gone)):
        return new
    if not is_alive(lease, now) and take_over == owner_of(lease):
        return new
    words = _refusal(lease, now, take_over)
    raise LeaseError(words, dict(lease) if mine and lease["process"] else None)


def hindrance(
    about: Mapping[str, Any], claim: Claim, *, take_over: str = "", gone: Optional[Mapping[str, Any]] = None
) -> str:
    """Why a change that takes no lease of its own may not begin beside this one; empty where it may.

    about: as ``described`` returns it; the host has said whether it is alive. The others are as in ``take``.
    """
    renewed = _seconds(str(about["renewed"]))
    try:
        take(about, claim, renewed if about["alive"] else renewed + ALIVE_SECONDS, take_over=take_over, gone=gone)
    except LeaseError as exc:
        return str(exc)
    return ""


def renew(lease: Optional[Mapping[str, Any]], claim: Claim, now: float) -> dict[str, Any]:
    """The lease with a new sign of life. LeaseError where it is not this claim's any more."""
    if lease is None or not _is_of(lease, claim):
        found = "no lease on this host" if lease is None else "that %s" % _who(lease)
        raise LeaseError(
            "found %s; needed the lease of %s by %s, which this run has taken. Somebody has taken it over or removed "
            "it, so that nothing more is changed here. Fix: see who works on the fleet, then run the playbook again"
            % (found, claim.change, claim.owner)
        )
    return {**lease, "renewed": timestamp(now)}


def ask_to_stop(lease: Mapping[str, Any], by: str, now: float) -> dict[str, Any]:
    """The lease with the request that its change stops. by: who asks, ``alice@controller``."""
    return {**lease, "stop": lease.get("stop") or {"by": by, "at": timestamp(now)}}


def is_released(lease: Optional[Mapping[str, Any]], claim: Claim) -> bool:
    """Whether a release has nothing to remove: there is no lease, or it is somebody else's by now."""
    return lease is None or not _is_of(lease, claim)


def _is_of(lease: Mapping[str, Any], claim: Claim) -> bool:
    return owner_of(lease) == claim.owner and lease["change"] == claim.change


def _same(one: Optional[Mapping[str, Any]], other: Optional[Mapping[str, Any]]) -> bool:
    """Whether both name one process; one of which something is not known is no other one's equal."""
    if not one or not other:
        return False
    return all(one.get(name) and str(one.get(name)) == str(other.get(name)) for name in PROCESS)


def _differ(one: Optional[Mapping[str, Any]], other: Optional[Mapping[str, Any]]) -> bool:
    """Whether these are two processes for sure: two runs of one second have the same change ID."""
    numbers = [str((about or {}).get("pid") or "") for about in (one, other)]
    is_known = bool((one or {}).get("started"))
    return all(numbers) and (numbers[0] != numbers[1] or (is_known and not _same(one, other)))


def _who(lease: Mapping[str, Any]) -> str:
    what = " (%s)" % lease["what"] if lease["what"] else ""
    return "%s holds the fleet for %s%s, since %s" % (owner_of(lease), lease["change"], what, lease["since"])


def _refusal(lease: Mapping[str, Any], now: float, take_over: str) -> str:
    by_name = "-e %s=%s" % (VARIABLE, owner_of(lease))
    if is_alive(lease, now):
        until = timestamp(_seconds(str(lease["renewed"])) + ALIVE_SECONDS)
        return (
            "found that %s; it was alive at %s; needed nobody else's change under way. Fix: wait until it has ended, "
            "or ask whoever runs it. If its controller is gone for good, take it over after %s with %s"
            % (_who(lease), lease["renewed"], until, by_name)
        )
    wrong = ", not %s" % take_over if take_over else ""
    return (
        "found that %s; its last sign of life was at %s%s; needed nobody else's change under way. Fix: make sure that "
        "it runs no more, then take it over by name with %s" % (_who(lease), lease["renewed"], wrong, by_name)
    )


def _seconds(moment: str) -> float:
    return datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


# - the file -


def path_of(folder: str = FOLDER) -> str:
    """The file of the lease."""
    return os.path.join(folder, NAME)


def read(folder: str = FOLDER) -> Optional[dict[str, Any]]:
    """The lease of this host; None where nobody holds it. LeaseError where the file cannot be read."""
    path = path_of(folder)
    try:
        with open(path, encoding="utf-8") as handle:
            data = json.load(handle)
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise _damaged(path, "it is not JSON (%s)" % exc) from exc
    except OSError as exc:
        raise LeaseError("found %s unreadable: %s; needed to read it. Fix: run as root" % (path, exc.strerror)) from exc
    problem = check(data)
    if problem:
        raise _damaged(path, problem)
    found: dict[str, Any] = data
    return found


def check(data: Any) -> Optional[str]:
    """Why this is no lease; None where it is one."""
    if not isinstance(data, dict):
        return "it is not an object"
    if data.get("schema") != SCHEMA:
        return "its schema is %r, not %d" % (data.get("schema"), SCHEMA)
    for name in _FIELDS:
        if not isinstance(data.get(name), str):
            return "%s is %r" % (name, data.get(name))
    try:
        for name in ("since", "renewed"):
            _seconds(data[name])
    except ValueError:
        return "%s is %r" % (name, data[name])
    return next(
        ("%s is %r" % (n, data[n]) for n in ("process", "stop") if not isinstance(data.get(n, {}) or {}, dict)), None
    )


def _damaged(path: str, why: str) -> LeaseError:
    return LeaseError(
        "found %s damaged: %s; needed to know who changes the fleet. Fix: make sure that nobody does, and remove "
        "that file" % (path, why)
    )


def write(lease: Mapping[str, Any], folder: str = FOLDER) -> None:
    """Write the lease. LeaseError where that is not possible."""
    try:
        write_atomically(path_of(folder), json.dumps(lease, indent=1, sort_keys=True, ensure_ascii=False) + "\n", 0o644)
    except OSError as exc:
        raise LeaseError(
            "found %s: %s; needed to write the lease there. Fix: run as root, and see `df`"
            % (exc.filename or path_of(folder), exc.strerror or exc)
        ) from exc


def drop(folder: str = FOLDER) -> None:
    """Remove the lease."""
    try:
        remove(path_of(folder))
    except OSError as exc:
        raise LeaseError(
            "found %s: %s; needed to remove it. Fix: run as root" % (path_of(folder), exc.strerror)
        ) from exc
