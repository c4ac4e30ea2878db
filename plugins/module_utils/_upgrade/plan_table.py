# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an upgrade or a rollback would do, per host and for the fleet, before anything is touched.

Null is unknown and is shown as such. Secrets of a deployment are not looked at.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .tables import Line, Table, size_text, time_text

SCHEMA = 1
CHANGES, AS_WANTED, LEFT_ALONE, UNKNOWN = "changes", "as wanted", "left alone", "unknown"
_HEAD = ("HOST", "NOW", "THEN", "WAVE", "DOWNLOAD", "EXPECTED", "OUTAGE")
_WAVES = ("WAVE", "KIND", "HOSTS", "EXPECTED")


@dataclass(frozen=True)
class Deployment:
    """What of a deployment is compared: its release with the lock, and its units as they were planned.

    Of one that was not read, the release has its name alone.
    """

    release: Mapping[str, Any]
    units: Optional[Sequence[Mapping[str, Any]]] = None

    @property
    def is_read(self) -> bool:
        """Whether more than its name is known."""
        return "serve" in self.release


@dataclass(frozen=True)
class Host:
    """What is known of a host.

    aside: why it is left alone. problem: why nothing is known. before: what it serves; None: not known. downloads:
    what, bytes and source of each; None: not known. outages: why clients find nobody meanwhile.
    """

    name: str
    generation: str = ""
    aside: str = ""
    problem: str = ""
    converged: bool = False
    before: Optional[Deployment] = None
    after: Optional[Deployment] = None
    plan: Optional[Mapping[str, Any]] = None
    downloads: Optional[Sequence[Mapping[str, Any]]] = None
    expected_seconds: Optional[float] = None
    outages: Sequence[str] = field(default_factory=tuple)


def build(hosts: Sequence[Host], waves: Mapping[str, Any], release: str, reasons: Sequence[str] = ()) -> dict[str, Any]:
    """The plan as data. waves: what fleet_waves has returned. reasons: why the gate would not let it begin."""
    groups = _groups(waves)
    numbers = {name: group["number"] for group in groups for name in group["hosts"]}
    rows = [_host(host, numbers.get(host.name)) for host in hosts]
    expected = {row["host"]: row["expected_seconds"] for row in rows}
    for group in groups:
        times = [expected.get(name) for name in group["hosts"]]
        group["expected_seconds"] = None if None in times else max((t for t in times if t is not None), default=0.0)
    known = [row["download_bytes"] for row in rows if row["action"] == CHANGES]
    return {
        "schema": SCHEMA,
        "release": release,
        "hosts": rows,
        "waves": groups,
        "left": list(waves.get("left") or ()),
        "outages": list(waves.get("outages") or ()),
        "reasons": list(reasons),
        "download_bytes": None if None in known else sum(known),
        "without_outage": None if UNKNOWN in [row["action"] for row in rows] else not waves.get("outages"),
    }


def _groups(waves: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The groups of hosts in the order in which they go."""
    found = []
    names = list(waves.get("hosts") or ())
    canary, at_once = set(waves.get("canary") or ()), set(waves.get("at_once") or ())
    for number, size in enumerate(waves.get("sizes") or (), 1):
        group, names = names[:size], names[size:]
        kind = "canary" if set(group) <= canary else "at once" if set(group) <= at_once else "wave"
        found.append({"number": number, "kind": kind, "hosts": group, "expected_seconds": None})
    return found


def _host(host: Host, wave: Optional[int]) -> dict[str, Any]:
    action = LEFT_ALONE if host.aside else UNKNOWN if host.problem else AS_WANTED if host.converged else CHANGES
    changes = action == CHANGES
    downloads = [] if not changes else None if host.downloads is None else [dict(d) for d in host.downloads]
    sizes = [0] if downloads == [] else [None] if downloads is None else [d["bytes"] for d in downloads]
    before, after = host.before, host.after
    return {
        "host": host.name,
        "generation": host.generation,
        "action": action,
        "why": host.aside or host.problem,
        "release_before": str(before.release.get("release")) if before else None,
        "release_after": str(after.release.get("release")) if after else None,
        "wave": wave if changes else None,
        "downloads": downloads,
        "download_bytes": None if None in sizes else sum(s for s in sizes if s is not None),
        "expected_seconds": host.expected_seconds if changes else 0.0,
        "without_outage": not host.outages if changes and host.plan else None if changes else True,
        "outages": list(host.outages),
        "replicas": _replicas(host.plan) if changes else [],
        "versions": version_changes(before, after, host.generation) if changes else [],
        "options": option_changes(before, after) if changes else [],
        "argv": argv_changes(before, after) if changes else [],
    }


def _replicas(plan: Optional[Mapping[str, Any]]) -> list[dict[str, Any]]:
    shown = ("unit", "replica", "action", "reason", "in_service")
    return [{key: replica.get(key) for key in shown} for replica in (plan or {}).get("replicas") or ()]


# - what differs -


def versions(release: Mapping[str, Any], generation: str) -> dict[str, str]:
    """What of a release has a version, for hosts of a generation."""
    found: dict[str, str] = {"release": str(release.get("release"))}
    for image in release.get("images") or ():
        if image.get("generation") == generation:
            suffix = "" if image.get("architecture", "any") == "any" else " (%s)" % image["architecture"]
            found["image" + suffix] = str(image.get("image_id") or image.get("sha256") or image.get("revision"))
            for name, version in (image.get("components") or {}).items():
                found[name + suffix] = str(version)
    for name in ("driver", "firmware", "cann"):
        part = release.get(name)
        if isinstance(part, Mapping) and part.get("version"):
            found[name] = str(part["version"])
    model = release.get("model") or {}
    found["model"] = str(model.get("name"))
    found["weights"] = str(model.get("commit") or model.get("revision"))
    return found


def version_changes(
    before: Optional[Deployment], after: Optional[Deployment], generation: str
) -> Optional[list[dict[str, Any]]]:
    """What has another version afterwards; None where either is not known."""
    if before is None or after is None or not (before.is_read and after.is_read):
        return None
    return _differences(versions(before.release, generation), versions(after.release, generation))


def option_changes(before: Optional[Deployment], after: Optional[Deployment]) -> Optional[list[dict[str, Any]]]:
    """The options of ``vllm serve`` that the releases set differently; None where either is not known."""
    if before is None or after is None or not (before.is_read and after.is_read):
        return None
    own, other = ((d.release.get("serve") or {}).get("options") or {} for d in (before, after))
    return _differences(own, other)


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "before": own.get(name), "after": other.get(name)}
        for name in dict.fromkeys([*own, *other])
        if own.get(name) != other.get(name)
    ]


def argv_changes(before: Optional[Deployment], after: Optional[Deployment]) -> Optional[list[dict[str, Any]]]:
    """The difference of the command of each replica, one argument a line; None where either is not known."""
    if before is None or after is None or before.units is None or after.units is None:
        return None
    own, other = (
        {str(u["name"]): arguments(u.get("docker_argv") or ()) for u in d.units or ()} for d in (before, after)
    )
    found = []
    for name in dict.fromkeys([*own, *other]):
        lines = list(difflib.unified_diff(own.get(name, []), other.get(name, []), lineterm="", n=0))
        if lines:
            found.append({"unit": name, "diff": [line for line in lines[2:] if not line.startswith("@@")]})
    return found


def arguments(argv: Sequence[Any]) -> list[str]:
    """An argument vector with each option and its value as one text."""
    found: list[str] = []
    for word in map(str, argv):
        if found and found[-1].startswith("-") and " " not in found[-1] and "=" not in found[-1] and word[:1] != "-":
            found[-1] += " " + word
        else:
            found.append(word)
    return found


# - for people -


def lines(plan: Mapping[str, Any], *, with_argv: bool) -> list[Line]:
    """The plan as lines with their tone. with_argv: with the differences of the commands."""
    found: list[Line] = [("", None), (_heading(plan), "warning" if plan["reasons"] or plan["outages"] else "ok")]
    found += _host_table(plan).lines()
    found += [("", None), *_wave_table(plan).lines()] if plan["waves"] else []
    for hosts, details in _details(plan, with_argv=with_argv):
        found += [("", None), ("%s:" % ", ".join(hosts), None), *[("  " + line, None) for line in details]]
    found += [("left for another time: %s" % ", ".join(plan["left"]), "warning")] if plan["left"] else []
    found += [("it would not begin: %s" % reason, "error") for reason in plan["reasons"]]
    return found


def markdown(plan: Mapping[str, Any]) -> str:
    """The plan for a change request."""
    parts = ["# %s" % _heading(plan), "", *_host_table(plan).markdown()]
    parts += ["## Waves", "", *_wave_table(plan).markdown()] if plan["waves"] else []
    details = _details(plan, with_argv=True)
    parts += ["## What changes", ""] if details else []
    for hosts, text in details:
        parts += ["%s:" % ", ".join(hosts), "", "```diff", *text, "```", ""]
    for title, words in (("Why it would not begin", plan["reasons"]), ("Left for another time", plan["left"])):
        parts += ["## %s" % title, "", *["- %s" % w for w in words], ""] if words else []
    return "\n".join(parts)


def _heading(plan: Mapping[str, Any]) -> str:
    counts = {kind: sum(row["action"] == kind for row in plan["hosts"]) for kind in (CHANGES, AS_WANTED, LEFT_ALONE)}
    said = ["hosts to change: %d" % counts[CHANGES], "as wanted: %d" % counts[AS_WANTED]]
    said += ["left alone: %d" % counts[LEFT_ALONE]] if counts[LEFT_ALONE] else []
    unclear = sum(row["action"] == UNKNOWN for row in plan["hosts"])
    said += ["unknown: %d" % unclear] if unclear else []
    return "PLAN for %s: %s, to download: %s" % (plan["release"], ", ".join(said), size_text(plan["download_bytes"]))


def _host_table(plan: Mapping[str, Any]) -> Table:
    rows, tones = [], []
    for row in plan["hosts"]:
        tones.append(
            {UNKNOWN: "error", LEFT_ALONE: "ignored"}.get(row["action"], "warning" if row["outages"] else None)
        )
        now = row["release_before"] or UNKNOWN
        if row["action"] != CHANGES:
            words = row["action"] + (": %s" % row["why"] if row["why"] else "")
            rows.append((row["host"], row["release_before"] or "-", words, "-", "-", "-", "-"))
            continue
        wave = "-" if row["wave"] is None else str(row["wave"])
        outage = "unknown" if row["without_outage"] is None else "no" if row["without_outage"] else "yes"
        time = time_text(row["expected_seconds"])
        then = row["release_after"] or plan["release"]
        rows.append((row["host"], now, then, wave, _download(row), time, outage))
    return Table(_HEAD, rows, tones)


def _download(row: Mapping[str, Any]) -> str:
    if not row["downloads"]:
        return size_text(row["download_bytes"])
    sources = dict.fromkeys(str(d["source"]) for d in row["downloads"] if d["bytes"])
    return size_text(row["download_bytes"]) + (" from %s" % ", ".join(sources) if sources else "")


def _wave_table(plan: Mapping[str, Any]) -> Table:
    return Table(
        _WAVES,
        [(str(w["number"]), w["kind"], ", ".join(w["hosts"]), time_text(w["expected_seconds"])) for w in plan["waves"]],
    )


def _details(plan: Mapping[str, Any], *, with_argv: bool) -> list[tuple[list[str], list[str]]]:
    """What changes, for each set of hosts for which it is the same."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in plan["hosts"]:
        text = _detail(row, with_argv=with_argv)
        if text:
            groups.setdefault(tuple(text), []).append(row["host"])
    return [(hosts, list(text)) for text, hosts in groups.items()]


def _detail(row: Mapping[str, Any], *, with_argv: bool) -> list[str]:
    if row["action"] != CHANGES:
        return []
    text = ["%s: %s -> %s" % (c["name"], _word(c["before"]), _word(c["after"])) for c in row["versions"] or ()]
    text += ["option %s: %s -> %s" % (c["name"], _word(c["before"]), _word(c["after"])) for c in row["options"] or ()]
    if row["versions"] is None:
        text.append("versions and options: unknown, as the deployment before or after is not known")
    text += [
        "%s %s%s" % (r["action"], r["unit"], " (%s)" % r["reason"] if r["reason"] else "") for r in row["replicas"]
    ]
    if with_argv and row["argv"] is None:
        text.append("command: unknown, as the deployment before or after is not known")
    for change in row["argv"] or () if with_argv else ():
        text += ["command of %s" % change["unit"], *change["diff"]]
    return text


def _word(value: Any) -> str:
    return "-" if value is None else str(value)
