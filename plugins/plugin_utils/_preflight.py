# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of a whole fleet as one report: data, text, JUnit. For the controller alone."""

from __future__ import annotations

import textwrap
from functools import lru_cache
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence
from xml.etree import ElementTree

import yaml
from ansible_collections.ascend.fleet.plugins.module_utils import _findings

_TABLE = Path(__file__).resolve().parent / "compatibility.yml"
_WIDTH = 118


@lru_cache(maxsize=1)
def compatibility_table() -> dict[str, Any]:
    """The table of what goes with what."""
    table: dict[str, Any] = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return table


def build(
    hosts: Sequence[str],
    findings: Mapping[str, Optional[Sequence[Mapping[str, Any]]]],
    about: Optional[Mapping[str, str]] = None,
    reasons: Optional[Mapping[str, str]] = None,
) -> dict[str, Any]:
    """The report as data.

    findings: by host; None for a host that could not be checked (``reasons`` may say why).
    about: a few words about each host, for the table.
    """
    report: dict[str, Any] = {"hosts": {}, "findings": [], "not_checked": []}
    groups: dict[tuple[str, str, str, bool], dict[str, Any]] = {}
    for host in hosts:
        found = findings.get(host)
        entry: dict[str, Any] = {
            "checked": found is not None,
            "about": (about or {}).get(host, ""),
            "reason": None,
            "errors": 0,
            "warnings": 0,
            "ignored": 0,
            "areas": {area: {"errors": 0, "warnings": 0, "ignored": 0} for area in _findings.AREAS.values()},
            "text": "",
        }
        report["hosts"][host] = entry
        if found is None:
            entry["reason"] = (reasons or {}).get(host) or "unreachable, or failed before the checks (see above)"
            report["not_checked"].append(host)
            continue
        for finding in found:
            kind = "ignored" if finding["ignored"] else "errors" if finding["severity"] == "error" else "warnings"
            entry[kind] += 1
            entry["areas"][finding["area"]][kind] += 1
            key = (finding["id"], finding["message"], finding["fix"], finding["ignored"])
            group = groups.setdefault(key, dict(finding, hosts=[]))
            if host not in group["hosts"]:
                group["hosts"].append(host)
        entry["text"] = host_text(host, found)
    order = list(_findings.CATALOGUE)
    report["findings"] = sorted(
        groups.values(), key=lambda g: (g["ignored"], g["severity"] != "error", _position(order, g["id"]), g["message"])
    )
    report["errors"] = sum(h["errors"] for h in report["hosts"].values())
    report["warnings"] = sum(h["warnings"] for h in report["hosts"].values())
    return report


def _position(order: Sequence[str], identity: str) -> int:
    return order.index(identity) if identity in order else len(order)


def host_text(host: str, findings: Sequence[Mapping[str, Any]]) -> str:
    """The errors of one host, for its failure message."""
    errors = [f for f in findings if f["severity"] == "error" and not f["ignored"]]
    if not errors:
        return ""
    lines = ["%s is not ready, %s:" % (host, _count(len(errors), "error"))]
    for finding in errors:
        lines.append("%s %s. Fix: %s." % (finding["id"], finding["message"], finding["fix"].rstrip(".")))
    return "\n".join(lines)


def _count(number: int, word: str) -> str:
    return "%d %s%s" % (number, word, "" if number == 1 else "s")


def lines(report: Mapping[str, Any], heading: str = "") -> list[tuple[str, str]]:
    """The report as lines, each with its tone: ``plain``, ``ok``, ``error``, ``warning``, ``ignored``."""
    hosts = report["hosts"]
    ready = [h for h in hosts.values() if h["checked"] and not h["errors"]]
    wrong = [h for h in hosts.values() if h["errors"]]
    parts = ["%d ready" % len(ready)]
    if wrong:
        parts.append("%d with errors" % len(wrong))
    if report["not_checked"]:
        parts.append("%d not checked" % len(report["not_checked"]))
    title = "PREFLIGHT%s: %s, %s" % (" " + heading if heading else "", _count(len(hosts), "host"), ", ".join(parts))
    out = [("", "plain"), (title, "plain"), ("", "plain")]
    out += _table(hosts)
    for tone, title in (("error", "Errors"), ("warning", "Warnings"), ("ignored", "Ignored (npu_preflight_ignore)")):
        groups = [g for g in report["findings"] if _tone(g) == tone]
        if not groups:
            continue
        out += [("", "plain"), (title, tone)]
        for group in groups:
            out += [(line, tone if first else "plain") for first, line in _group(group, len(hosts))]
    if report["not_checked"]:
        out += [("", "plain"), ("Not checked", "error")]
        reasons: dict[str, list[str]] = {}
        for host in report["not_checked"]:
            reasons.setdefault(hosts[host]["reason"], []).append(host)
        out += [("  %s: %s" % (", ".join(names), reason), "plain") for reason, names in reasons.items()]
    out.append(("", "plain"))
    return out


def _tone(group: Mapping[str, Any]) -> str:
    return "ignored" if group["ignored"] else str(group["severity"])


def _group(group: Mapping[str, Any], total: int) -> list[tuple[bool, str]]:
    names = group["hosts"]
    where = "all %d hosts" % total if total > 2 and len(names) == total else ", ".join(names)
    pairs = (("found", group["found"]), ("needed", group["needed"]), ("fix", group["fix"]), ("on", where))
    out = [(True, "  %-8s %s" % (group["id"], group["title"]))]
    for name, text in pairs:
        start = "           %-7s " % (name + ":")
        wrapped = textwrap.wrap(
            str(text),
            _WIDTH,
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_long_words=False,
            break_on_hyphens=False,
        )
        out += [(False, line) for line in wrapped]
    return out


def _table(hosts: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    areas = list(_findings.AREAS.values())
    rows = [["host", "", *areas]]
    tones = ["plain"]
    for name, host in hosts.items():
        if host["checked"]:
            rows.append([name, host["about"], *(_cell(host["areas"][a]) for a in areas)])
            tones.append("error" if host["errors"] else "warning" if host["warnings"] else "ok")
        else:
            rows.append([name, "not checked", *("-" for _area in areas)])
            tones.append("error")
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip(), tone)
        for row, tone in zip(rows, tones)
    ]


def _cell(counts: Mapping[str, int]) -> str:
    words = [
        _count(counts["errors"], "error") if counts["errors"] else "",
        _count(counts["warnings"], "warning") if counts["warnings"] else "",
        "%d ignored" % counts["ignored"] if counts["ignored"] else "",
    ]
    return ", ".join(w for w in words if w) or "ok"


def junit(report: Mapping[str, Any], findings: Mapping[str, Optional[Sequence[Mapping[str, Any]]]]) -> str:
    """The report for CI servers: a suite per host, a case per check."""
    root = ElementTree.Element("testsuites", name="preflight")
    for host, entry in report["hosts"].items():
        suite = ElementTree.SubElement(root, "testsuite", name=host)
        if not entry["checked"]:
            case = ElementTree.SubElement(suite, "testcase", classname=host, name="reached")
            ElementTree.SubElement(case, "error", message=_xml(entry["reason"]))
            suite.set("tests", "1")
            suite.set("errors", "1")
            continue
        found: dict[str, list[Mapping[str, Any]]] = {}
        for finding in findings.get(host) or []:
            found.setdefault(finding["id"], []).append(finding)
        failures = 0
        for check in _findings.catalogue():
            name = "%s %s" % (check["id"], check["title"])
            case = ElementTree.SubElement(suite, "testcase", classname="%s.%s" % (host, check["area"]), name=name)
            mine = found.get(check["id"], [])
            if any(f["severity"] == "error" and not f["ignored"] for f in mine):
                failures += 1
                text = "\n".join("%s\nfix: %s" % (f["message"], f["fix"]) for f in mine)
                ElementTree.SubElement(case, "failure", message=_xml(mine[0]["message"])).text = _xml(text)
            elif any(f["ignored"] for f in mine):
                ElementTree.SubElement(case, "skipped", message=_xml("ignored: " + mine[0]["message"]))
            elif mine:
                words = "\n".join("warning: " + f["message"] for f in mine)
                ElementTree.SubElement(case, "system-out").text = _xml(words)
        suite.set("tests", str(len(_findings.CATALOGUE)))
        suite.set("failures", str(failures))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _xml(text: Any) -> str:
    # A device's garbage may hold control characters, which XML does not know.
    return "".join(c for c in str(text) if c in "\n\t" or ord(c) >= 32)
