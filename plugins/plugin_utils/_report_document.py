# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a fleet as one document: what is known of every host, put together. For the controller alone.

A host of which nothing is known stands in it with the reason. What is not known is null. All text from hosts is
printable and of limited length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

from ..module_utils._base.text import printable
from ..module_utils._bench.metrics import METRICS
from ..module_utils._bench.summary import JUDGED
from ..module_utils._npu import hardware, slots
from ..module_utils._release import lock
from ..module_utils._serving.status import is_serving

SCHEMA = 1
KIND = "ascend.fleet report"
#: The states of a host, best first.
OK, WARNING, ERROR, UNREACHABLE, NOT_ASKED = "ok", "warning", "error", "unreachable", "not asked"
STATES = (OK, WARNING, ERROR, UNREACHABLE, NOT_ASKED)
#: Who uses a chip.
FREE, OURS, OTHERS, UNKNOWN = "free", "ours", "others", "unknown"
#: Longer texts are cut: a report is read, and a host must not be able to fill it.
MOST_CHARACTERS = 600
_REPLICA = (
    "host", "name", "replica", "unit", "served_model_name", "release", "last_good", "image_id", "port", "indices",
    "health", "active_state", "restarts", "outdated", "age_seconds", "running", "waiting", "hbm_used_mb",
    "hbm_total_mb", "traffic", "traffic_text",
)  # fmt: skip
_CHIP = ("health", "temperature_celsius", "power_watts", "utilization_percent", "hbm_used_mb", "hbm_total_mb")
_CHANGE = ("id", "kind", "release", "from_release", "by", "began")
#: What is counted by generation, and the field of a host that holds it.
_COUNTED = ("driver", "firmware", "cann", "kernel", "os", "docker", "last_good")


@dataclass(frozen=True)
class About:
    """What is known of one host.

    asked: whether it was in the run. node: of npu_info, None with a ``reason`` where it was not read. state and
    benchmarks: of fleet_state_info, None where they were not read. release: with its lock. checked: its entry in the
    report of the preflight, None where it was not checked. problems: what else could not be read, a line each.
    """

    asked: bool = True
    node: Optional[Mapping[str, Any]] = None
    reason: str = ""
    generation: str = ""
    state: Optional[Mapping[str, Any]] = None
    benchmarks: Optional[Sequence[Mapping[str, Any]]] = None
    release: Optional[Mapping[str, Any]] = None
    checked: Optional[Mapping[str, Any]] = None
    problems: Sequence[str] = field(default_factory=tuple)


def build(
    made: str,
    hosts: Mapping[str, About],
    status: Mapping[str, Any],
    preflight: Sequence[Mapping[str, Any]],
    title: str = "",
) -> dict[str, Any]:
    """The document.

    status: as vllm_status returns it. preflight: the findings of all hosts, each with its ``hosts``.
    """
    chips = [chip for name, about in hosts.items() for chip in _chips(name, about)]
    findings = _findings(preflight, hosts)
    counts = _counts(findings)
    rows = [_host(name, about, *counts.get(name, (0, 0))) for name, about in hosts.items()]
    replicas = [{key: replica.get(key) for key in _REPLICA} for replica in status.get("replicas") or ()]
    for row, replica in zip(replicas, status.get("replicas") or ()):
        row["serving"] = is_serving(replica)
    problems = ["%s: %s" % (name, words) for name, about in hosts.items() for words in about.problems]
    document = {
        "schema": SCHEMA,
        "kind": KIND,
        "made": made,
        "title": title,
        "summary": _summary(rows, chips, replicas, findings),
        "hosts": rows,
        "chips": chips,
        "replicas": replicas,
        "versions": _versions(rows, replicas),
        "findings": findings,
        "releases": _releases(hosts),
        "changes": _changes(hosts),
        "benchmarks": [entry for name, about in hosts.items() for entry in _benchmarks(name, about)],
        "metrics": _metrics(),
        "problems": list(dict.fromkeys([*problems, *(status.get("problems") or ())])),
        "since": None,
    }
    cleaned: dict[str, Any] = clean(document)
    return cleaned


def _key(key: Any) -> Any:
    """A key as plain text, quickly for those that are."""
    kind = type(key)
    return key if kind is str and key.isprintable() else clean(str(key))


def clean(value: Any) -> Any:
    """The same with every text printable and of limited length."""
    kind = type(value)
    if kind is str:
        cut = value if len(value) <= MOST_CHARACTERS else value[: MOST_CHARACTERS - 1] + "…"
        return printable(cut, keep="\n")
    if value is None or kind is int or kind is bool:
        return value
    if kind is float:
        return value if math.isfinite(value) else None  # JSON has no word for the others
    if isinstance(value, dict):
        return {_key(key): clean(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [clean(one) for one in value]
    return clean("".join(value) if isinstance(value, str) else str(value))


# - hosts and chips -


def _host(name: str, about: About, errors: int, warnings: int) -> dict[str, Any]:
    node = about.node or {}
    state = NOT_ASKED if not about.asked else UNREACHABLE if about.node is None else ""
    reason = about.reason
    if not state and about.checked is not None and not about.checked.get("checked"):
        state, reason = ERROR, reason or str(about.checked.get("reason") or "")
    versions = node.get("versions") or {}
    devices = [d for d in node.get("devices") or [] if isinstance(d, Mapping)]
    change = (about.state or {}).get("change") or {}
    return {
        "host": name,
        "state": state or (ERROR if errors else WARNING if warnings else OK),
        "reason": reason,
        "hostname": node.get("hostname"),
        "generation": about.generation or hardware.generation_of_pci(list(node.get("pci") or [])),
        "architecture": node.get("architecture"),
        "os": (node.get("os") or {}).get("pretty_name"),
        "kernel": node.get("kernel"),
        "boot_time": node.get("boot_time"),
        "driver": (versions.get("driver") or {}).get("version"),
        "firmware": (versions.get("firmware") or {}).get("version"),
        "cann": ", ".join(str(c.get("version")) for c in versions.get("cann") or []) if about.node else None,
        "docker": (node.get("docker") or {}).get("server_version"),
        "release": (about.release or {}).get("release"),
        "last_good": _name_of(about.state, "last_good"),
        "previous_good": _name_of(about.state, "previous_good"),
        "change": "%s to %s: %s" % (change["kind"], change["release"], change["step"]) if change else None,
        "npu_smi_error": (node.get("npu_smi") or {}).get("error"),
        "chips": len(devices) if about.node else None,
        "chips_well": sum(d.get("health") in slots.WORKING for d in devices) if about.node else None,
        "temperature_celsius": _largest(d.get("temperature_celsius") for d in devices),
        "hbm_used_mb": _total(d.get("hbm_used_mb") for d in devices),
        "hbm_total_mb": _total(d.get("hbm_total_mb") for d in devices),
        "errors": errors,
        "warnings": warnings,
    }


def _name_of(state: Optional[Mapping[str, Any]], which: str) -> Optional[str]:
    """The release of a deployment of the state; empty where none is recorded, None where that is not known."""
    return None if state is None else str((state.get(which) or {}).get("release") or "")


def _largest(values: Iterable[Any]) -> Optional[float]:
    return max((v for v in values if isinstance(v, (int, float))), default=None)


def _total(values: Iterable[Any]) -> Optional[float]:
    """The sum; None where one part is not known, or where there is none."""
    known = list(values)
    return sum(known) if known and all(isinstance(v, (int, float)) for v in known) else None


def _chips(name: str, about: About) -> list[dict[str, Any]]:
    found = []
    for device in (about.node or {}).get("devices") or []:
        holders = device.get("holders")
        found.append(
            {
                "host": name,
                "npu": device.get("npu_id"),
                "chip": device.get("chip_id"),
                "index": device.get("index"),
                "model": device.get("name"),
                **{key: device.get(key) for key in _CHIP},
                "well": device.get("health") in slots.WORKING,
                "use": _use(holders),
                "users": ", ".join(dict.fromkeys(_user(h) for h in holders or [])),
                "error_codes": ", ".join(map(str, device.get("error_codes") or [])),
            }
        )
    return found


def _use(holders: Any) -> str:
    if holders is None:
        return UNKNOWN
    if not holders:
        return FREE
    return OURS if all(h.get("managed") for h in holders) else OTHERS


def _user(holder: Mapping[str, Any]) -> str:
    name = holder.get("name") or holder.get("process") or "?"
    return "%s %s" % (holder.get("kind") or "process", name) if not holder.get("managed") else str(name)


# - findings -


def _findings(preflight: Sequence[Mapping[str, Any]], hosts: Mapping[str, About]) -> list[dict[str, Any]]:
    """The findings of preflight and benchmarks in one list, each once with its hosts, errors first."""
    fields = ("id", "severity", "title", "found", "needed", "fix")
    found = [{**{k: f[k] for k in fields}, "ignored": bool(f["ignored"]), "hosts": list(f["hosts"])} for f in preflight]
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, about in hosts.items():
        for entry in about.benchmarks or ():
            for own in entry.get("findings") or ():
                said = "%s, %s: %s" % (entry["unit"], entry["workload"], own["found"])
                key = (own["id"], said, own["needed"])
                group = groups.setdefault(
                    key, {**{k: own[k] for k in fields}, "found": said, "ignored": False, "hosts": []}
                )
                if name not in group["hosts"]:
                    group["hosts"].append(name)
    found += groups.values()
    return sorted(found, key=lambda f: (f["ignored"], f["severity"] != "error"))


def _counts(findings: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """By host, how many errors and warnings it has."""
    found: dict[str, tuple[int, int]] = {}
    for finding in findings:
        for name in finding["hosts"] if not finding["ignored"] else ():
            errors, warnings = found.get(name, (0, 0))
            error = finding["severity"] == "error"
            found[name] = (errors + error, warnings + (not error))
    return found


# - releases, changes, versions -


def _releases(hosts: Mapping[str, About]) -> list[dict[str, Any]]:
    """The releases that hosts are to serve, each with its hosts and what its lock leaves open."""
    found: dict[str, dict[str, Any]] = {}
    for name, about in hosts.items():
        if about.release is None:
            continue
        release = about.release
        wanted = str(release.get("release"))
        if wanted not in found:
            model = release.get("model") or {}
            found[wanted] = {
                "release": wanted,
                "description": release.get("description"),
                "driver": (release.get("driver") or {}).get("version"),
                "firmware": (release.get("firmware") or {}).get("package_version"),
                "cann": (release.get("cann") or {}).get("version"),
                "model": model.get("name"),
                "model_commit": model.get("commit") or None,
                "images": [_image(image) for image in release.get("images") or []],
                "open": _open(release),
                "hosts": [],
            }
        found[wanted]["hosts"].append(name)
    return list(found.values())


def _image(image: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("generation", "architecture", "tag", "image_id", "sha256", "commit")
    return {key: image.get(key) or None for key in keys}


def _open(release: Mapping[str, Any]) -> list[str]:
    """What neither the release nor its lock says, by the names of the lock's entries."""
    try:
        parts = lock.entries(release)
    except (KeyError, TypeError):
        return []
    return [name for name, part in parts.items() if not part.get("commit")]


def _changes(hosts: Mapping[str, About]) -> list[dict[str, Any]]:
    """What hosts remember of their changes, newest first; a change of several hosts stands once."""
    found: dict[str, dict[str, Any]] = {}
    for name, about in hosts.items():
        state = about.state or {}
        entries = list(state.get("history") or ())
        if state.get("change"):
            entries.append({**state["change"], "outcome": "open", "why": state["change"].get("step"), "ended": None})
        for entry in entries:
            change = found.setdefault(
                str(entry.get("id")), {**{k: entry.get(k) for k in _CHANGE}, "ended": "", "outcomes": []}
            )
            change["began"] = min(str(change["began"]), str(entry.get("began")))
            change["ended"] = max(str(change["ended"] or ""), str(entry.get("ended") or ""))
            outcome = (str(entry.get("outcome")), str(entry.get("why") or ""))
            for known in change["outcomes"]:
                if (known["outcome"], known["why"]) == outcome:
                    known["hosts"].append(name)
                    break
            else:
                change["outcomes"].append({"outcome": outcome[0], "why": outcome[1], "hosts": [name]})
    return sorted(found.values(), key=lambda change: str(change["began"]), reverse=True)


def _versions(hosts: Sequence[Mapping[str, Any]], replicas: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What runs where: each version once for each generation, with its hosts; the most frequent one first."""
    generation = {row["host"]: row["generation"] or "" for row in hosts}
    known: dict[tuple[str, str], dict[str, list[str]]] = {}
    for subject in _COUNTED:
        for row in hosts:
            if row["state"] not in (UNREACHABLE, NOT_ASKED):
                value = str(row[subject] if row[subject] is not None else UNKNOWN)
                known.setdefault((row["generation"] or "", subject), {}).setdefault(value, []).append(row["host"])
    for replica in replicas:
        place = (generation.get(str(replica["host"]), ""), "image")
        names = known.setdefault(place, {}).setdefault(str(replica["image_id"] or UNKNOWN), [])
        if replica["host"] not in names:
            names.append(str(replica["host"]))
    found = []
    for (of, subject), values in sorted(known.items()):
        ordered = sorted(values.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        for rank, (value, names) in enumerate(ordered):
            row = {"generation": of, "subject": subject, "value": value, "most": rank == 0, "hosts": names}
            found.append(row)
    return found


# - benchmarks and totals -


def _benchmarks(name: str, about: About) -> list[dict[str, Any]]:
    fields = ("unit", "replica", "workload", "kind", "run", "finished", "baseline", "problem", "with", "outcome",
              "reason", "trend")  # fmt: skip
    found = []
    for entry in about.benchmarks or ():
        row: dict[str, Any] = {"host": name, **{key: entry[key] for key in fields}}
        figures = {figure["metric"]: figure for figure in entry["figures"]}
        for metric in JUDGED:
            row[metric] = figures.get(metric, {}).get("value")
            row[metric + "_reference"] = figures.get(metric, {}).get("reference")
        row["worse"] = ", ".join(metric for metric in JUDGED if figures.get(metric, {}).get("worse"))
        found.append(row)
    return found


def _metrics() -> list[dict[str, Any]]:
    """The numbers of benchmarks that are judged: which way is good, and what share worse is not yet a finding."""
    return [{"metric": m, "better": METRICS[m].better, "tolerance": METRICS[m].tolerance} for m in JUDGED]


def _summary(
    hosts: Sequence[Mapping[str, Any]],
    chips: Sequence[Mapping[str, Any]],
    replicas: Sequence[Mapping[str, Any]],
    findings: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    live = [f for f in findings if not f["ignored"]]
    return {
        "hosts": len(hosts),
        "states": {state: sum(row["state"] == state for row in hosts) for state in STATES},
        "chips": len(chips),
        "chips_well": sum(chip["well"] for chip in chips),
        "chips_used": {use: sum(chip["use"] == use for chip in chips) for use in (OURS, OTHERS, FREE, UNKNOWN)},
        "hbm_used_mb": sum(chip["hbm_used_mb"] or 0 for chip in chips),
        "hbm_total_mb": sum(chip["hbm_total_mb"] or 0 for chip in chips),
        "replicas": len(replicas),
        "replicas_serving": sum(replica["serving"] for replica in replicas),
        "running": sum(replica["running"] or 0 for replica in replicas),
        "waiting": sum(replica["waiting"] or 0 for replica in replicas),
        "errors": sum(f["severity"] == "error" for f in live),
        "warnings": sum(f["severity"] != "error" for f in live),
    }
