# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of changes of its driver and firmware: ``driver.json``, beside the state of its releases.

As long as a change is open there the host is in maintenance: its replicas are out of traffic, stopped and do not start
with the host. Transitions are pure. A file that cannot be read is an error, never an empty record.
"""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, Optional, Sequence

from .._upgrade.deployment import FOLDER
from .._upgrade.state import FAILED, GOOD, HISTORY, STOPPED, StateError, save, text_of, timestamp

SCHEMA = 1
NAME = "driver.json"
PREPARING, INSTALLING, REBOOTING, VERIFYING, SERVING = "preparing", "installing", "rebooting", "verifying", "serving"
STEPS = (PREPARING, INSTALLING, REBOOTING, VERIFYING, SERVING)
OUTCOMES = (GOOD, STOPPED, FAILED)

_TEXT = (str,)
_CHANGE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "by", "began", "since", "step", "release", "bmc", "boot_id", "why"), _TEXT),
    **dict.fromkeys(("wanted", "found", "before"), (dict,)),
    **dict.fromkeys(("installs", "pollers", "units"), (list,)),
    "reboots": (int,),
}
_ENTRY: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "by", "began", "ended", "release", "outcome", "why"), _TEXT),
    **dict.fromkeys(("wanted", "found", "replicas"), (dict,)),
}


def empty() -> dict[str, Any]:
    """The record of a host whose driver was never changed."""
    return {"schema": SCHEMA, "change": None, "history": []}


# - schema -


def parse(text: str, path: str) -> dict[str, Any]:
    """A record, from a file's text. StateError where it is none, or of a newer schema."""
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise _damaged(path, "it is not JSON (%s)" % exc) from exc
    number = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise _damaged(path, "its schema is %r" % (number,))
    if number > SCHEMA:
        raise StateError(
            "found %s of schema %d; needed at most schema %d, which this version of ascend.fleet knows. Fix: use the "
            "version that wrote it, or a newer one" % (path, number, SCHEMA)
        )
    problem = check(data)
    if problem:
        raise _damaged(path, problem)
    return dict(data)


def check(data: Mapping[str, Any]) -> Optional[str]:
    """Why this is no record of this schema; None where it is one."""
    change, history = data.get("change", ""), data.get("history")
    if not isinstance(history, list):
        return "history is %r" % (history,)
    problems = [_mismatch(change, _CHANGE, "change")] if change is not None else []
    if not any(problems) and change is not None and change["step"] not in STEPS:
        problems.append("change is at step %r" % change["step"])
    problems += [_mismatch(entry, _ENTRY, "history[%d]" % n) for n, entry in enumerate(history)]
    return next((problem for problem in problems if problem), None)


def _mismatch(data: Any, fields: Mapping[str, tuple[type, ...]], name: str) -> Optional[str]:
    if not isinstance(data, dict):
        return "%s is %r" % (name, data)
    for field, kinds in fields.items():
        if not isinstance(data.get(field), kinds) or isinstance(data[field], bool):
            return "%s.%s is %r" % (name, field, data.get(field))
    return None


def _damaged(path: str, why: str) -> StateError:
    return StateError(
        "found %s damaged: %s; needed what the host remembers of its driver. Fix: put it back from a backup. Or look "
        "at the host (npu-smi info, systemctl list-units 'vllm-*'), remove the file, and run driver.yml again"
        % (path, why)
    )


# - transitions -


def begin(
    state: Mapping[str, Any],
    *,
    change: str,
    by: str,
    now: float,
    release: str,
    wanted: Mapping[str, str],
    found: Mapping[str, str],
    installs: Sequence[Mapping[str, Any]],
    before: Mapping[str, Any],
    bmc: str = "",
) -> dict[str, Any]:
    """A change begins, or the open one with the same target goes on under the new ID.

    wanted, found: versions of driver and firmware. installs: the packages in their order. before: what the host must be
    like afterwards. An open change with another target ends as stopped; what it has found before it began stays what
    the host is compared with, and what it has stopped is started by the new one.
    """
    moment, left = timestamp(now), state["change"]
    if left and dict(left["wanted"]) == dict(wanted):
        return {**state, "change": {**left, "id": change, "by": by, "why": "", "bmc": bmc or left["bmc"]}}
    new = {
        "id": change,
        "by": by,
        "began": moment,
        "since": moment,
        "step": PREPARING,
        "release": release,
        "wanted": dict(wanted),
        "found": dict(found),
        "installs": [dict(install) for install in installs],
        "before": dict(before),
        "bmc": bmc,
        "boot_id": "",
        "reboots": 0,
        "pollers": [],
        "units": [],
        "why": "",
    }
    if left:
        new.update({key: left[key] for key in ("before", "found", "pollers", "units")}, bmc=bmc or left["bmc"])
        state = _ended(state, STOPPED, "%s began" % change, moment, {})
    return {**state, "change": new}


def take_step(state: Mapping[str, Any], *, change: str, step: str, now: float, **more: Any) -> dict[str, Any]:
    """A change comes to a step. more: what is noted with it (boot_id, reboots, pollers, units). StateError."""
    found = dict(_expect(state, change))
    if step != found["step"]:
        found.update(step=step, since=timestamp(now))
    return {**state, "change": {**found, **more}}


def fail(state: Mapping[str, Any], *, change: str, why: str) -> dict[str, Any]:
    """A change cannot go on: the host stays in maintenance, and says why. StateError."""
    return {**state, "change": {**_expect(state, change), "why": why}}


def end(
    state: Mapping[str, Any],
    *,
    change: str,
    now: float,
    outcome: str = GOOD,
    why: str = "",
    measured: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """A change has ended, and with it the maintenance. Where it has ended already, nothing changes. StateError."""
    if state["change"] is None:
        return dict(state)
    _expect(state, change)
    return _ended(state, outcome, why, timestamp(now), measured or {})


def _expect(state: Mapping[str, Any], change: str) -> dict[str, Any]:
    found = state["change"]
    if found is None or found["id"] != change:
        raise StateError(
            "found %s open on this host; needed %s. Fix: run driver.yml again, which goes on from what is recorded"
            % ("no change of the driver" if found is None else "the change %s of the driver" % found["id"], change)
        )
    return dict(found)


def _ended(
    state: Mapping[str, Any], outcome: str, why: str, moment: str, measured: Mapping[str, Any]
) -> dict[str, Any]:
    left = state["change"]
    entry = {key: left[key] for key in ("id", "by", "began", "release", "wanted", "found")}
    replicas = {unit: dict(about) for unit, about in measured.items()}
    entry.update(ended=moment, outcome=outcome, why=why, replicas=replicas)
    return {**state, "change": None, "history": [*state["history"], entry][-HISTORY:]}


def token(change: Mapping[str, Any]) -> str:
    """What names a change on its host, however many runs it takes: ``20261130T061500Z``."""
    return str(change["began"]).replace("-", "").replace(":", "")


# - the file -


def path_of(folder: str = FOLDER) -> str:
    """The file of the record."""
    return os.path.join(folder, NAME)


def read(folder: str = FOLDER) -> dict[str, Any]:
    """The record of this host; the empty one where there is no file. StateError."""
    path = path_of(folder)
    text = text_of(path, _damaged)
    return empty() if text is None else parse(text, path)


def write(state: Mapping[str, Any], folder: str = FOLDER) -> None:
    """Write the record, whole or not at all. StateError."""
    problem = check(state)
    if problem:
        raise StateError("found a record that cannot be written (%s); needed one of schema %d" % (problem, SCHEMA))
    save(path_of(folder), state, "what becomes of the driver")
