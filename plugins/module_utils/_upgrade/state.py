# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a host between and during changes: its schema, what becomes of it, and its file.

A state is data of ``state.json``. Transitions are pure: they take a state and return the next one. No file is an empty
state; a file that cannot be read is an error, never an empty one.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from .._base.files import write_atomically
from .._base.locks import awaited_lock
from .deployment import FOLDER, short

SCHEMA = 1
NAME = "state.json"
KINDS = ("upgrade", "rollback", "site")
STEPS = ("staged", "switching", "baking", "rolling_back")
GOOD, ROLLED_BACK, STOPPED, FAILED = "good", "rolled_back", "stopped", "failed"
OUTCOMES = (GOOD, ROLLED_BACK, STOPPED, FAILED)
#: So many changes the history tells of.
HISTORY = 20
CHANGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")
_LOCK_SECONDS = 60

#: From one schema to the next one: MIGRATIONS[N] makes of a state of schema N one of schema N + 1.
Migration = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: dict[int, Migration] = {}

_TEXT, _MAYBE = (str,), (str, type(None))
_NUMBER = (int, float, type(None))
_DEPLOYMENT = {"release": _TEXT, "digest": _TEXT, "since": _TEXT}
_CHANGE = {
    **dict.fromkeys(("id", "kind", "release", "digest", "began", "by", "step", "since"), _TEXT),
    **dict.fromkeys(("from_release", "from_digest"), _MAYBE),
}
_REPLICA = {**_DEPLOYMENT, "out_seconds": _NUMBER, "start_seconds": _NUMBER}
_ENTRY = {
    **dict.fromkeys(("id", "kind", "release", "digest", "began", "ended", "by", "outcome", "why"), _TEXT),
    **dict.fromkeys(("from_release", "from_digest"), _MAYBE),
    "replicas": (dict,),
}


class StateError(Exception):
    """The state cannot be read, or does not allow what is asked; the message says what was found and what to do."""


@dataclass(frozen=True)
class Target:
    """A deployment as the state names it: the name of its release, and its digest."""

    release: str
    digest: str


def empty() -> dict[str, Any]:
    """The state of a host of which nothing has been recorded."""
    return {
        "schema": SCHEMA,
        "change": None,
        "last_good": None,
        "previous_good": None,
        "replicas": {},
        "history": [],
    }


def timestamp(now: float) -> str:
    """``2026-11-30T06:15:00Z``"""
    return datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def change_id(kind: str, now: float) -> str:
    """``20261130T061500Z-upgrade``"""
    return "%s-%s" % (datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ"), kind)


# - schema -


def parse(
    text: str, path: str, migrations: Optional[Mapping[int, Migration]] = None, schema: int = SCHEMA
) -> dict[str, Any]:
    """A state of this schema, from a file's text. StateError where it is none, or of a newer schema."""
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise _damaged(path, "it is not JSON (%s)" % exc) from exc
    if not isinstance(data, dict):
        raise _damaged(path, "it is not an object")
    found = data.get("schema")
    if not isinstance(found, int) or isinstance(found, bool):
        raise _damaged(path, "its schema is %r" % (found,))
    if found > schema:
        raise StateError(
            "found %s of schema %d; needed at most schema %d, which this version of ascend.fleet knows. Fix: use the "
            "version that wrote it, or a newer one" % (path, found, schema)
        )
    table = MIGRATIONS if migrations is None else migrations
    for number in range(found, schema):
        if number not in table:
            raise _damaged(path, "schema %d was never written by any version" % number)
        data = {**table[number](data), "schema": number + 1}
    problem = check(data)
    if problem:
        raise _damaged(path, problem)
    return data


def check(data: Mapping[str, Any]) -> Optional[str]:
    """Why this is no state of this schema; None where it is one."""
    for name in empty():
        if name not in data:
            return "it has no %s" % name
    for name in ("last_good", "previous_good"):
        if data[name] is not None:
            problem = _mismatch(data[name], _DEPLOYMENT, name)
            if problem:
                return problem
    change, replicas, history = data["change"], data["replicas"], data["history"]
    problem = None if change is None else _mismatch(change, _CHANGE, "change")
    if problem:
        return problem
    if change is not None and (change["kind"] not in KINDS or change["step"] not in STEPS):
        return "change is of kind %r at step %r" % (change["kind"], change["step"])
    if not isinstance(replicas, dict):
        return "replicas is %r" % (replicas,)
    if not isinstance(history, list):
        return "history is %r" % (history,)
    problems = [_mismatch(about, _REPLICA, "replicas.%s" % unit) for unit, about in replicas.items()]
    problems += [_mismatch(entry, _ENTRY, "history[%d]" % number) for number, entry in enumerate(history)]
    return next((problem for problem in problems if problem), None)


def _mismatch(data: Any, fields: Mapping[str, tuple[type, ...]], name: str) -> Optional[str]:
    if not isinstance(data, dict):
        return "%s is %r" % (name, data)
    for field, kinds in fields.items():
        if field not in data:
            return "%s has no %s" % (name, field)
        if not isinstance(data[field], kinds) or isinstance(data[field], bool):
            return "%s.%s is %r" % (name, field, data[field])
    return None


def _damaged(path: str, why: str) -> StateError:
    return StateError(
        "found %s damaged: %s; needed the state of this host. Fix: put it back from a backup. Or remove it, then run "
        "site.yml with the release that serves here: it records that anew, and the history is lost" % (path, why)
    )


# - what a state says -


def needed(state: Mapping[str, Any]) -> set[str]:
    """The digests of deployments that must be kept: last good, the one before it, what runs, what a change names."""
    found = {about["digest"] for about in state["replicas"].values()}
    found |= {state[name]["digest"] for name in ("last_good", "previous_good") if state[name]}
    change = state["change"] or {}
    found |= {change.get("digest"), change.get("from_digest")}
    return {digest for digest in found if digest}


def is_recorded(state: Mapping[str, Any], digest: str) -> bool:
    """Whether this deployment is recorded as last good, and no change is left open."""
    return state["change"] is None and bool(state["last_good"]) and state["last_good"]["digest"] == digest


def rollback_target(state: Mapping[str, Any], *, runs_last_good: bool) -> Optional[dict[str, Any]]:
    """What a rollback goes back to: release, digest and since; None where there is nothing to go back to.

    A rollback that was interrupted goes on. Where a change is open, or something else than last good is deployed, it is
    last good; otherwise what was last good before.
    """
    change = state["change"]
    if change and change["kind"] == "rollback":
        return {"release": change["release"], "digest": change["digest"], "since": change["began"]}
    name = "last_good" if change or not runs_last_good else "previous_good"
    return dict(state[name]) if state[name] else None


# - transitions -


def begin(
    state: Mapping[str, Any], target: Target, *, change: str, kind: str, by: str, now: float, step: str = ""
) -> dict[str, Any]:
    """A change begins, or one with the same target goes on under the new ID.

    step: where it stands; empty: ``staged``, or where the change that goes on stood. Another change that is open ends
    as stopped, or as rolled back where a rollback begins. A rollback leaves what that one was bringing; every other
    change leaves what was last good.
    """
    moment = timestamp(now)
    open_change = state["change"]
    if open_change and (open_change["digest"], open_change["kind"]) == (target.digest, kind):
        goes_on = {**open_change, "id": change, "by": by}
        if step and step != open_change["step"]:
            goes_on.update(step=step, since=moment)
        return {**state, "change": goes_on}
    left = dict(state["last_good"] or {})
    if open_change:
        outcome = ROLLED_BACK if kind == "rollback" else STOPPED
        state = _ended(state, outcome, "%s began" % change, moment)
        if kind == "rollback":
            left = open_change
    new = {
        "id": change,
        "kind": kind,
        "release": target.release,
        "digest": target.digest,
        "from_release": left.get("release"),
        "from_digest": left.get("digest"),
        "began": moment,
        "by": by,
        "step": step or STEPS[0],
        "since": moment,
    }
    return {**state, "change": new}


def take_step(
    state: Mapping[str, Any],
    *,
    change: str,
    step: str,
    now: float,
    proven: Optional[Mapping[str, Mapping[str, Any]]] = None,
) -> dict[str, Any]:
    """A change comes to a step.

    proven: replicas that have shown that they serve what the change brings, by unit, with what was measured.
    StateError where another change is open, or none.
    """
    found = dict(_expect(state, change))
    if step != found["step"]:
        found.update(step=step, since=timestamp(now))
    replicas = dict(state["replicas"])
    for unit, measured in (proven or {}).items():
        target = Target(found["release"], found["digest"])
        replicas[unit] = _replica(replicas.get(unit), target, measured, timestamp(now))
    return {**state, "change": found, "replicas": replicas}


def record_good(
    state: Mapping[str, Any],
    target: Target,
    units: Sequence[str],
    *,
    by: str,
    now: float,
    change: str = "",
    kind: str = "site",
    measured: Optional[Mapping[str, Mapping[str, Any]]] = None,
) -> dict[str, Any]:
    """This deployment is good: it is last good from now on, its replicas are proven, and the change has ended.

    change: the change that has come to its end; empty: none was begun, and an open one with another target ends as
    stopped. Recording the same again changes nothing. After a rollback there is nothing before last good: what was left
    is not gone back to.
    """
    moment = timestamp(now)
    open_change = state["change"]
    last = state["last_good"]
    again = last is not None and last["digest"] == target.digest
    if change and (open_change or not again):
        _expect(state, change, target)
    kind = open_change["kind"] if open_change and open_change["digest"] == target.digest else kind
    replicas = {u: _replica(state["replicas"].get(u), target, (measured or {}).get(u), moment) for u in units}
    found = {**state, "replicas": replicas}
    if open_change and open_change["digest"] == target.digest:
        found = _ended(found, GOOD, "", moment, measured)
    else:
        if open_change:
            found = _ended(found, STOPPED, "%s was recorded as last good meanwhile" % target.release, moment)
        if not again:
            entry = {
                "id": change_id(kind, now),
                "kind": kind,
                "release": target.release,
                "digest": target.digest,
                "from_release": last["release"] if last else None,
                "from_digest": last["digest"] if last else None,
                "began": moment,
                "by": by,
            }
            found = _with_entry(found, entry, GOOD, "", moment, measured)
    if again:
        return found
    found["previous_good"] = None if kind == "rollback" else last
    found["last_good"] = {"release": target.release, "digest": target.digest, "since": moment}
    return found


def end(
    state: Mapping[str, Any],
    *,
    change: str,
    outcome: str,
    why: str,
    now: float,
    measured: Optional[Mapping[str, Mapping[str, Any]]] = None,
) -> dict[str, Any]:
    """A change ends otherwise than good; last good stays. Where it has ended already, nothing changes.

    Where it was rolled back, the replicas that it had changed serve what was last good again. StateError where another
    change is open.
    """
    if state["change"] is None:
        return dict(state)
    left = _expect(state, change)["digest"]
    moment, last = timestamp(now), state["last_good"]
    ended = _ended(state, outcome, why, moment, measured)
    if outcome == ROLLED_BACK:
        replicas = {unit: about for unit, about in state["replicas"].items() if about["digest"] != left}
        for unit in state["replicas"] if last else ():
            known, target = replicas.get(unit), Target(last["release"], last["digest"])
            replicas[unit] = known or _replica(None, target, (measured or {}).get(unit), moment)
        ended["replicas"] = replicas
    return ended


def _expect(state: Mapping[str, Any], change: str, target: Optional[Target] = None) -> Mapping[str, Any]:
    """The open change, which must be this one, and bring this target."""
    found = state["change"]
    if not found:
        raise StateError(
            "found no change under way on this host; needed %s, which must have begun here. Fix: run the playbook again"
            % change
        )
    if found["id"] != change:
        raise StateError(
            "found %s under way on this host (%s to %s, by %s, since %s); needed %s. Fix: see who runs it. Once it has "
            "ended, run the playbook again"
            % (found["id"], found["kind"], found["release"], found["by"], found["began"], change)
        )
    if target is not None and found["digest"] != target.digest:
        raise StateError(
            "found that %s brings %s (%s), and %s (%s) is to be recorded as good; needed the same. Fix: run the "
            "playbook again, so that the change begins with what is to be served now"
            % (change, found["release"], short(found["digest"]), target.release, short(target.digest))
        )
    return dict(found)


def _replica(
    before: Optional[Mapping[str, Any]], target: Target, measured: Optional[Mapping[str, Any]], moment: str
) -> dict[str, Any]:
    """The entry of a replica. Figures that this run has not measured are kept while the deployment is the same."""
    same = before is not None and before["digest"] == target.digest
    known: Mapping[str, Any] = before if same and before is not None else {"since": moment}
    found = {"release": target.release, "digest": target.digest, "since": known["since"]}
    for name in ("out_seconds", "start_seconds"):
        value = (measured or {}).get(name)
        found[name] = known.get(name) if value is None else value
    return found


def _ended(
    state: Mapping[str, Any],
    outcome: str,
    why: str,
    moment: str,
    measured: Optional[Mapping[str, Mapping[str, Any]]] = None,
) -> dict[str, Any]:
    """The state after its open change has ended."""
    entry = {key: value for key, value in state["change"].items() if key not in ("step", "since")}
    return {**_with_entry(state, entry, outcome, why, moment, measured), "change": None}


def _with_entry(
    state: Mapping[str, Any],
    entry: Mapping[str, Any],
    outcome: str,
    why: str,
    moment: str,
    measured: Optional[Mapping[str, Mapping[str, Any]]],
) -> dict[str, Any]:
    replicas = {unit: dict(about) for unit, about in (measured or {}).items()}
    whole = {**entry, "ended": moment, "outcome": outcome, "why": why, "replicas": replicas}
    return {**state, "history": [*state["history"], whole][-HISTORY:]}


# - the file -


def path_of(folder: str = FOLDER) -> str:
    """The file of the state."""
    return os.path.join(folder, NAME)


def read(folder: str = FOLDER) -> dict[str, Any]:
    """The state of this host; the empty one where there is no file. StateError."""
    path = path_of(folder)
    text = text_of(path, _damaged)
    return empty() if text is None else parse(text, path)


def text_of(path: str, damaged: Callable[[str, str], StateError]) -> Optional[str]:
    """The text of what a host remembers; None where there is no file. StateError.

    damaged: the error of a file that is not text, from its path and why.
    """
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise damaged(path, "it is not text (%s)" % exc) from exc
    except OSError as exc:
        raise StateError("found %s unreadable: %s; needed to read it. Fix: run as root" % (path, exc.strerror)) from exc


def dump(state: Mapping[str, Any]) -> str:
    """The text of the file."""
    return json.dumps(state, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(state: Mapping[str, Any], folder: str = FOLDER) -> None:
    """Write the state, whole or not at all. StateError."""
    problem = check(state)
    if problem:
        raise StateError("found a state that cannot be written (%s); needed one of schema %d" % (problem, SCHEMA))
    save(path_of(folder), state, "the state of this host")


def save(path: str, state: Mapping[str, Any], what: str) -> None:
    """Write what a host remembers, whole or not at all. ``what``: for people. StateError."""
    try:
        write_atomically(path, dump(state), 0o644)
    except OSError as exc:
        raise StateError(
            "found %s: %s; needed to write %s. Fix: run as root, and see `df`"
            % (exc.filename or path, exc.strerror or exc, what)
        ) from exc


@contextmanager
def folder_lock(folder: str = FOLDER, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Keep others from the files of this folder while the body reads and writes them. StateError."""
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
    except OSError as exc:
        raise StateError(
            "found %s: %s; needed that folder for the state of this host. Fix: run as root" % (folder, exc.strerror)
        ) from exc
    with awaited_lock(folder, seconds) as held:
        if not held:
            raise StateError(
                "found the lock of %s held by another process for %d s; needed it for a moment. Fix: see who works on "
                "this host (`lslocks`), and run the playbook again" % (folder, seconds)
            )
        yield
