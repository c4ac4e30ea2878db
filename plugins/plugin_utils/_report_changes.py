# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has changed between two reports on a fleet. For the controller alone.

Of a host that one of the two could not read, nothing but that is said.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional, Sequence

from ._report_document import KIND, NOT_ASKED, SCHEMA, UNREACHABLE, clean

#: Fields of a host whose change is told. Free text, and what changes by itself, is left out.
_HOST = ("driver", "firmware", "cann", "docker", "kernel", "os", "release", "last_good", "change", "chips")
_REPLICA = ("release", "image_id", "health", "traffic")
#: The start of a host as its clock says it moves by some seconds when the clock is set.
_SAME_BOOT_SECONDS = 120


class EarlierError(Exception):
    """The earlier report cannot be compared; the message says why."""


def parse(text: str, path: str) -> dict[str, Any]:
    """An earlier document from the text of its file. EarlierError."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise EarlierError("found %s that is not JSON (%s); needed the report of the last run" % (path, exc)) from exc
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise EarlierError("found %s that is no report of a fleet; needed the report of the last run" % path)
    if found.get("schema") != SCHEMA:
        raise EarlierError(
            "found %s of schema %r; needed schema %d. The next report can be compared again"
            % (path, found.get("schema"), SCHEMA)
        )
    return found


def since(earlier: Mapping[str, Any], now: Mapping[str, Any], path: str) -> dict[str, Any]:
    """What has changed, as the part ``since`` of a document. EarlierError where the earlier one is damaged."""
    try:
        groups = _Groups()
        before, after = _by(earlier["hosts"], "host"), _by(now["hosts"], "host")
        _compare_hosts(before, after, groups)
        readable = {name for name in set(before) & set(after) if _is_read(before[name]) and _is_read(after[name])}
        _compare_chips(earlier["chips"], now["chips"], readable, groups)
        _compare_replicas(earlier["replicas"], now["replicas"], readable, groups)
        _compare_findings(earlier["findings"], now["findings"], readable, groups)
        _compare_records(earlier, now, readable, groups)
        made = str(earlier["made"])
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise EarlierError("found %s damaged (%r); needed the report of the last run" % (path, exc)) from exc
    found: dict[str, Any] = clean({"made": made, "problem": "", "entries": groups.entries()})
    return found


def unknown(problem: str) -> dict[str, Any]:
    """The part ``since`` where there is nothing to compare with."""
    found: dict[str, Any] = clean({"made": None, "problem": problem, "entries": []})
    return found


class _Groups:
    """Changes that are alike on several hosts stand once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str, str], list[str]] = {}

    def add(self, what: str, where: str, subject: str = "", before: Any = None, after: Any = None) -> None:
        """what: a word that the page knows. where: the host."""
        known = self._found.setdefault((what, subject, _words(before), _words(after)), [])
        if where not in known:
            known.append(where)

    def entries(self) -> list[dict[str, Any]]:
        return [
            {"what": what, "subject": subject, "before": before, "after": after, "hosts": names}
            for (what, subject, before, after), names in self._found.items()
        ]


def _words(value: Any) -> str:
    return "" if value is None else str(value)


def _by(rows: Sequence[Mapping[str, Any]], *keys: str) -> dict[Any, Mapping[str, Any]]:
    return {row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys): row for row in rows}


def _is_read(row: Mapping[str, Any]) -> bool:
    return row["state"] not in (UNREACHABLE, NOT_ASKED)


def _compare_hosts(before: Mapping[Any, Any], after: Mapping[Any, Any], groups: _Groups) -> None:
    for name in after:
        if name not in before:
            groups.add("host added", name)
    for name in before:
        if name not in after:
            groups.add("host removed", name)
    for name in [n for n in after if n in before]:
        old, new = before[name], after[name]
        if NOT_ASKED in (old["state"], new["state"]):
            continue
        if _is_read(old) != _is_read(new):
            groups.add("host reachable" if _is_read(new) else "host unreachable", name)
        if not (_is_read(old) and _is_read(new)):
            continue
        for key in _HOST:
            if old.get(key) != new.get(key):
                groups.add("version" if key != "chips" else "chips", name, key, old.get(key), new.get(key))
        times: list[Optional[float]] = [old.get("boot_time"), new.get("boot_time")]
        if times[0] and times[1] and times[1] - times[0] > _SAME_BOOT_SECONDS:
            groups.add("host rebooted", name)


def _compare_chips(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], readable: set[str], groups: _Groups
) -> None:
    known = _by(before, "host", "npu", "chip")
    for chip in after:
        old = known.get((chip["host"], chip["npu"], chip["chip"]))
        if chip["host"] in readable and old and old["health"] != chip["health"]:
            groups.add(
                "chip health", chip["host"], "%s/%s" % (chip["npu"], chip["chip"]), old["health"], chip["health"]
            )


def _compare_replicas(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], readable: set[str], groups: _Groups
) -> None:
    old, new = _by(before, "host", "unit"), _by(after, "host", "unit")
    for key, row in new.items():
        if row["host"] not in readable:
            continue
        if key not in old:
            groups.add("replica added", row["host"], str(row["unit"]))
            continue
        for name in _REPLICA:
            if old[key].get(name) != row.get(name):
                groups.add("replica", row["host"], "%s %s" % (row["unit"], name), old[key].get(name), row.get(name))
    for key, row in old.items():
        if row["host"] in readable and key not in new:
            groups.add("replica removed", row["host"], str(row["unit"]))


def _compare_findings(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], readable: set[str], groups: _Groups
) -> None:
    """Findings by their ID and title: a number in the words of one changes by itself."""

    def places(findings: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], None]:
        live = [f for f in findings if not f["ignored"]]
        return {("%s %s" % (f["id"], f["title"]), h): None for f in live for h in f["hosts"] if h in readable}

    old, new = places(before), places(after)
    for subject, name in new:
        if (subject, name) not in old:
            groups.add("finding new", name, subject)
    for subject, name in old:
        if (subject, name) not in new:
            groups.add("finding gone", name, subject)


def _compare_records(earlier: Mapping[str, Any], now: Mapping[str, Any], readable: set[str], groups: _Groups) -> None:
    """Changes that have ended, and benchmarks that have run."""
    old = {(c["id"], o["outcome"], h) for c in earlier["changes"] for o in c["outcomes"] for h in o["hosts"]}
    for change in now["changes"]:
        for outcome in change["outcomes"]:
            for name in outcome["hosts"]:
                if name in readable and (change["id"], outcome["outcome"], name) not in old:
                    words = "%s to %s (%s)" % (change["kind"], change["release"], change["id"])
                    groups.add("change", name, words, None, outcome["outcome"])
    runs = {(b["host"], b["unit"], b["workload"], b["kind"], b["run"]) for b in earlier["benchmarks"]}
    for row in now["benchmarks"]:
        key = (row["host"], row["unit"], row["workload"], row["kind"], row["run"])
        if row["host"] in readable and key not in runs:
            verdict = (row["problem"] and "no result") or row["outcome"] or "measured"
            groups.add("benchmark", row["host"], "%s %s" % (row["kind"], row["workload"]), None, verdict)
