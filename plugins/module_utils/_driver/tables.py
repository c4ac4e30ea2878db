# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would be done with driver and firmware of a fleet, and what was done: as data, as lines and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from .._upgrade.state import FAILED
from .._upgrade.tables import UNKNOWN, Line, Table, time_text
from .compare import DRIVER, FIRMWARE, same

SCHEMA = 1
AS_WANTED, LEFT_ALONE, LEFT, UNTOUCHED = "as wanted", "left alone", "left for another time", "not touched"
REFUSED, CHANGE, GO_ON, GOOD, MAINTENANCE = "refused", "change", "go on", "good", "IN MAINTENANCE"
_PLAN = ("HOST", "DRIVER", "FIRMWARE", "PACKAGES", "SOURCE", "WAVE", "EXPECTED", "ACTION")
_DONE = ("HOST", "DRIVER", "FIRMWARE", "OUT", "OUTCOME")


@dataclass(frozen=True)
class Host:
    """What is known of a host.

    plan: as the filter driver_plan returns it; None: none was made. absent: why it cannot be looked at. aside: why it
    is left alone. outcome: of its change, ``good``, ``failed``, or ``refused`` before anything was done; empty: its
    turn did not come. out_seconds: how long its replicas were out. sources: where each package comes from, by its path.
    """

    name: str
    plan: Optional[Mapping[str, Any]] = None
    wave: Optional[int] = None
    expected_seconds: Optional[float] = None
    absent: str = ""
    aside: str = ""
    left: bool = False
    outcome: str = ""
    why: str = ""
    out_seconds: Optional[float] = None
    sources: Optional[Mapping[str, str]] = None

    @property
    def action(self) -> str:
        """What becomes of it."""
        if self.aside:
            return LEFT_ALONE
        if self.absent or self.plan is None:
            return UNKNOWN
        if self.plan["converged"]:
            return AS_WANTED
        if self.plan["reasons"]:
            return REFUSED
        return GO_ON if self.plan["goes_on"] else CHANGE

    @property
    def result(self) -> str:
        """What has become of it."""
        if self.outcome == GOOD:
            return GOOD
        if self.outcome == FAILED:
            return MAINTENANCE
        if self.outcome == REFUSED and not (self.plan or {}).get("step"):
            return UNTOUCHED
        action = self.action
        if action in (LEFT_ALONE, AS_WANTED):
            return action
        if self.plan is not None and self.plan["step"]:
            return MAINTENANCE  # of an earlier run
        return LEFT if self.left else UNKNOWN if action == UNKNOWN else UNTOUCHED


def versions_text(plan: Optional[Mapping[str, Any]], kind: str) -> str:
    """``25.2.0 → 25.5.0``, with what runs where that is another one."""
    if plan is None:
        return UNKNOWN
    about, wanted = plan["versions"][kind], plan["wanted"].get(kind) or ""
    shown = about["package"] or about["installed"] or "none"
    words = shown if about["in_force"] else "%s (%s runs)" % (shown, ", ".join(about["runs"]) or UNKNOWN)
    return words if not wanted or same(shown, wanted) else "%s → %s" % (words, wanted)


def planned(hosts: Sequence[Host], release: str, reasons: Sequence[str]) -> dict[str, Any]:
    """The plan of a fleet as data."""
    return {
        "schema": SCHEMA,
        "release": release,
        "reasons": list(reasons),
        "hosts": [
            {
                "name": host.name,
                "action": host.action,
                "why": host.aside or host.absent or (host.plan or {}).get("why") or "",
                "driver": versions_text(host.plan, DRIVER),
                "firmware": versions_text(host.plan, FIRMWARE),
                "packages": [
                    {
                        "kind": i["kind"],
                        "version": i["version"],
                        "path": i["path"],
                        "sha256": i["sha256"],
                        "source": (host.sources or {}).get(str(i["path"])) or str(i.get("file") or UNKNOWN),
                    }
                    for i in (host.plan or {}).get("installs") or ()
                ],
                "wave": host.wave,
                "expected_seconds": host.expected_seconds,
                "bmc": (host.plan or {}).get("bmc") or "",
                "warnings": list((host.plan or {}).get("warnings") or ()),
            }
            for host in hosts
        ],
    }


def _plan_table(data: Mapping[str, Any]) -> Table:
    rows, tones = [], []
    for host in data["hosts"]:
        changes = host["action"] in (CHANGE, GO_ON)
        rows.append(
            [
                host["name"],
                host["driver"],
                host["firmware"],
                ", ".join(p["path"].rsplit("/", 1)[-1] for p in host["packages"]) or "-",
                ", ".join(dict.fromkeys(p["source"] for p in host["packages"])) or "-",
                str(host["wave"]) if host["wave"] else "-",
                time_text(host["expected_seconds"]) if changes else "-",
                host["action"],
            ]
        )
        tones.append("error" if host["action"] in (REFUSED, UNKNOWN) else "ok" if host["action"] == AS_WANTED else None)
    return Table(_PLAN, rows, tones)


def plan_lines(data: Mapping[str, Any]) -> list[Line]:
    """The plan for a terminal."""
    counts: dict[str, int] = {}
    for host in data["hosts"]:
        counts[host["action"]] = counts.get(host["action"], 0) + 1
    words = ", ".join("%s: %d" % (word, counts[word]) for word in sorted(counts))
    lines: list[Line] = [("", None), ("PLAN of driver and firmware for %s: %s" % (data["release"], words), None)]
    lines += _plan_table(data).lines()
    lines += [("%s: %s" % (h["name"], h["why"]), None) for h in data["hosts"] if h["why"]]
    lines += [("%s: %s" % (h["name"], w), "warning") for h in data["hosts"] for w in h["warnings"]]
    return lines


def plan_markdown(data: Mapping[str, Any]) -> str:
    """The plan for a change request."""
    lines = ["# Driver and firmware for %s" % data["release"], "", *_plan_table(data).markdown()]
    lines += ["- %s" % reason for reason in data["reasons"]]
    return "\n".join(lines) + "\n"


def done(hosts: Sequence[Host], release: str, change: str, notes: Sequence[str]) -> dict[str, Any]:
    """What was done as data. Every host is named; one in maintenance with its BMC and what to look at."""
    rows = []
    for host in hosts:
        plan = host.plan or {}
        rows.append(
            {
                "name": host.name,
                "outcome": host.result,
                "why": host.why or host.aside or host.absent or plan.get("why") or "",
                "before": dict(plan.get("found") or {}),
                "after": dict(plan.get("wanted") or {}) if host.result == GOOD else None,
                "out_seconds": host.out_seconds,
                "bmc": plan.get("bmc") or "",
            }
        )
    return {"schema": SCHEMA, "release": release, "change": change, "hosts": rows, "notes": list(notes)}


def _done_table(data: Mapping[str, Any]) -> Table:
    rows, tones = [], []
    for host in data["hosts"]:
        rows.append(
            [
                host["name"],
                *(_change_text(host, kind) for kind in (DRIVER, FIRMWARE)),
                time_text(host["out_seconds"]) if host["out_seconds"] is not None else "-",
                host["outcome"],
            ]
        )
        good = host["outcome"] in (GOOD, AS_WANTED)
        tones.append("ok" if good else "error" if host["outcome"] in (MAINTENANCE, UNKNOWN) else "warning")
    return Table(_DONE, rows, tones)


def _change_text(host: Mapping[str, Any], kind: str) -> str:
    before = host["before"].get(kind) or UNKNOWN
    after = (host["after"] or {}).get(kind) or before
    return before if same(before, after) else "%s → %s" % (before, after)


def _remarks(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for host in data["hosts"]:
        if host["outcome"] in (GOOD, AS_WANTED):
            continue
        words = "%s: %s%s" % (host["name"], host["outcome"], ": %s" % host["why"] if host["why"] else "")
        if host["outcome"] == MAINTENANCE:
            words += ". Its replicas are out of traffic, stopped and do not start with the host; BMC: %s" % (
                host["bmc"] or "not known, set npu_driver_bmc"
            )
        found.append((words, "error" if host["outcome"] in (MAINTENANCE, UNKNOWN) else "warning"))
    return found


def done_lines(data: Mapping[str, Any]) -> list[Line]:
    """What was done, for a terminal."""
    lines: list[Line] = [("", None), ("DRIVER AND FIRMWARE for %s (%s)" % (data["release"], data["change"]), None)]
    lines += _done_table(data).lines()
    lines += list(_remarks(data))
    lines += [(note, "warning") for note in data["notes"]]
    return lines


def done_markdown(data: Mapping[str, Any]) -> str:
    """What was done, as a document."""
    lines = ["# Driver and firmware for %s (%s)" % (data["release"], data["change"]), "", *_done_table(data).markdown()]
    lines += ["- %s" % words for words, _tone in _remarks(data)] + ["- %s" % note for note in data["notes"]]
    return "\n".join(lines) + "\n"
