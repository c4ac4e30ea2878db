# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored results: one schema on the host and on the controller, and what is taken from them.

A run has a folder of its own, with one file for each replica and workload. Beside it lie the client's own files.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
from typing import Any, Mapping, Optional, Sequence

from .._base.files import write_atomically
from . import conditions
from .compare import WORSE
from .workloads import FULL, KINDS, QUICK

SCHEMA = 1
#: Where a host keeps its results.
FOLDER = "/var/lib/ascend-fleet/bench"
#: So many runs a host keeps, beside those that hold a baseline.
KEPT_RUNS = 50
#: The folder in it of what is known of images' clients.
CLIENTS = "clients"
#: What the client itself writes ends so, and is not read again.
CLIENT_RESULT, CLIENT_LOG, CLIENT_PROGRESS = ".client.json", ".client.log", ".client.err"

#: What every stored result has, and its type.
FIELDS: dict[str, Any] = {
    "schema": int,
    "run": str,
    "host": str,
    "replica": int,
    "unit": str,
    "kind": str,
    "workload": str,
    "key": str,
    "conditions": dict,
    "metrics": dict,
    "spread": dict,
    "repeats": list,
    "seconds": (int, float),
    "finished": str,
    "baseline": bool,
}


class HistoryError(Exception):
    """Results cannot be read or written; the message says which, and what to do."""


def check(data: Any) -> Optional[str]:
    """Why something is not a stored result of this schema; None where it is one."""
    if not isinstance(data, Mapping):
        return "it is not a mapping"
    if data.get("schema") != SCHEMA:
        return "its schema is %r, not %d" % (data.get("schema"), SCHEMA)
    for name, kind in FIELDS.items():
        value = data.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            return "%s is %r" % (name, value)
    return None if data["kind"] in KINDS else "kind is %r" % data["kind"]


def read(folder: str = FOLDER) -> tuple[list[dict[str, Any]], list[str]]:
    """Every stored result of the host, oldest first, and a note on each file that is none.

    A file that cannot be read for other reasons than its content is an error: without it a regression is not seen.
    """
    found, notes = [], []
    for path in glob.glob(os.path.join(glob.escape(folder), "*", "*.json")):
        name, above = os.path.basename(path), os.path.basename(os.path.dirname(path))
        if name.endswith(CLIENT_RESULT) or name.startswith(".") or above == CLIENTS:
            continue
        try:
            with open(path, encoding="utf-8") as handle:
                data = json.load(handle)
        except ValueError as exc:
            notes.append("%s was left out: it is not JSON (%s)" % (path, exc))
            continue
        except OSError as exc:
            raise HistoryError(
                "found %s unreadable: %s; needed former results. Fix: run as root" % (path, exc.strerror)
            ) from exc
        problem = check(data)
        if problem:
            notes.append("%s was left out: %s" % (path, problem))
        else:
            found.append(data)
    return sorted(found, key=lambda r: (r["finished"], r["run"])), notes


def file_stem(unit: str, workload: str) -> str:
    """The name of a result's file, without its suffix."""
    return "%s-%s" % (unit[: -len(".service")] if unit.endswith(".service") else unit, workload)


def write(record: Mapping[str, Any], folder: str = FOLDER) -> str:
    """Store a result of this host; returns its path."""
    problem = check(record)
    if problem:
        raise HistoryError("found a result that cannot be stored (%s); needed one of schema %d" % (problem, SCHEMA))
    path = os.path.join(folder, str(record["run"]), file_stem(str(record["unit"]), str(record["workload"])) + ".json")
    write_json(path, record)
    return path


def write_json(path: str, data: Any) -> None:
    """Write a file of results, and its folder where there is none."""
    try:
        write_atomically(
            path, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n", 0o644, folder_mode=0o755
        )
    except OSError as exc:
        raise HistoryError("found %s: %s; needed to write it. Fix: see `df`" % (path, exc.strerror)) from exc


def prune(folder: str = FOLDER, keep: int = KEPT_RUNS) -> list[str]:
    """Remove the oldest runs beyond ``keep`` that hold no baseline and no last quick result; returns their names."""
    records, _notes = read(folder)
    held = {r["run"] for r in records if r["baseline"]}
    last: dict[tuple[str, str], str] = {}
    for record in records:
        if record["kind"] == QUICK:
            last[(record["unit"], record["workload"])] = record["run"]
            if not slower(record):
                last[(record["unit"], "%s, not slower" % record["workload"])] = record["run"]
    held.update(last.values())
    runs = sorted({r["run"] for r in records}, key=lambda run: max(r["finished"] for r in records if r["run"] == run))
    removed = [run for run in runs[: max(0, len(runs) - keep)] if run not in held]
    for run in removed:
        shutil.rmtree(os.path.join(folder, run), ignore_errors=True)
    return removed


def good(record: Mapping[str, Any]) -> bool:
    """Whether a stored result holds numbers."""
    return not record.get("problem") and bool(record["metrics"])


def slower(record: Mapping[str, Any]) -> bool:
    """Whether a stored result was worse than what it was compared with."""
    return any(c.get("outcome") == WORSE for c in record.get("comparisons") or () if isinstance(c, Mapping))


def baseline(records: Sequence[Mapping[str, Any]], unit: str, key: str) -> Optional[Mapping[str, Any]]:
    """The full result that later ones of this replica under the same key are measured against; the newest of them."""
    found = [r for r in records if r["kind"] == FULL and r["unit"] == unit and r["key"] == key and r["baseline"]]
    return found[-1] if found else None


def last_quick(
    records: Sequence[Mapping[str, Any]], unit: str, workload: str, wanted: Optional[Mapping[str, Any]] = None
) -> Optional[Mapping[str, Any]]:
    """The last quick result of a replica; with ``wanted``, the last one under the same conditions of a quick key.

    One that was worse than the one before is left out: what has failed must not become the measure of the next.
    """
    found = [
        r
        for r in records
        if r["kind"] == QUICK
        and r["unit"] == unit
        and r["workload"] == workload
        and good(r)
        and not slower(r)
        and (wanted is None or not conditions.differences(wanted, r["conditions"], conditions.QUICK_KEY))
    ]
    return found[-1] if found else None


def expected_seconds(records: Sequence[Mapping[str, Any]], unit: str, workload: str, repeats: int) -> Optional[float]:
    """How long a workload will take, by the last time that it was measured on this replica; None: never before."""
    found = [r for r in records if r["unit"] == unit and r["workload"] == workload and good(r) and r["repeats"]]
    if not found:
        return None
    return float(found[-1]["seconds"]) / len(found[-1]["repeats"]) * repeats
