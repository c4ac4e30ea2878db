# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of a whole fleet as one report: data, text, JUnit. For the controller alone."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence
from xml.etree import ElementTree

from .._base.text import printable
from .catalogue import catalogue
from .check import AREAS

_WIDTH = 118
# From so many hosts on, hosts whose row of the table would read the same share one.
_MANY = 13
NOT_CHECKED = "not checked"
#: The column of a site's own checks, where there are any.
SITE = "site"


@dataclass(frozen=True)
class Kind:
    """What is reported: its name in the heading, the columns of its table, and its catalogue of checks."""

    name: str
    areas: tuple[str, ...]
    catalogue: Callable[[], list[dict[str, str]]]
    #: What is said of hosts without an error, and of one with errors.
    passing: str = "ready"
    failing: str = "is not ready"


PREFLIGHT = Kind("PREFLIGHT", tuple(AREAS.values()), catalogue)


def build(
    hosts: Sequence[str],
    findings: Mapping[str, Optional[Sequence[Mapping[str, Any]]]],
    about: Optional[Mapping[str, str]] = None,
    reasons: Optional[Mapping[str, str]] = None,
    *,
    kind: Kind = PREFLIGHT,
    site_checks: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """The report as data.

    findings: by host; None for a host that could not be checked (``reasons`` may say why).
    about: a few words about each host, for the table. site_checks: the site's own, as entries of a catalogue.
    """
    report: dict[str, Any] = {"hosts": {}, "findings": [], "not_checked": []}
    areas = kind.areas
    if site_checks:
        report["site_checks"] = [dict(entry) for entry in site_checks]
        areas = (*areas, SITE)
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
            "worst": "ok",
            "areas": {area: {"errors": 0, "warnings": 0, "ignored": 0} for area in areas},
            "text": "",
            "summary": "",
        }
        report["hosts"][host] = entry
        if found is None:
            entry["reason"] = (reasons or {}).get(host) or "unreachable, or failed before the checks (see above)"
            entry["worst"] = NOT_CHECKED
            entry["summary"] = _printable("%s was not checked: %s" % (host, entry["reason"]))
            report["not_checked"].append(host)
            continue
        for finding in found:
            counted = "ignored" if finding["ignored"] else "errors" if finding["severity"] == "error" else "warnings"
            entry[counted] += 1
            entry["areas"][finding["area"]][counted] += 1
            key = (finding["id"], finding["message"], finding["fix"], finding["ignored"])
            group = groups.setdefault(key, dict(finding, hosts=[]))
            if host not in group["hosts"]:
                group["hosts"].append(host)
        entry["worst"] = "error" if entry["errors"] else "warning" if entry["warnings"] else "ok"
        entry["text"] = host_text(host, found, kind.failing)
        entry["summary"] = host_summary(host, found)
    order = [entry["id"] for entry in (*kind.catalogue(), *site_checks)]
    report["findings"] = sorted(
        groups.values(), key=lambda g: (g["ignored"], g["severity"] != "error", _position(order, g["id"]), g["message"])
    )
    report["errors"] = sum(h["errors"] for h in report["hosts"].values())
    report["warnings"] = sum(h["warnings"] for h in report["hosts"].values())
    worst = {h["worst"] for h in report["hosts"].values()}
    report["worst"] = next((w for w in (NOT_CHECKED, "error", "warning") if w in worst), "ok")
    return report


def _position(order: Sequence[str], identity: str) -> int:
    return order.index(identity) if identity in order else len(order)


def host_text(host: str, findings: Sequence[Mapping[str, Any]], failing: str = PREFLIGHT.failing) -> str:
    """The errors of one host, for its failure message."""
    errors = [f for f in findings if f["severity"] == "error" and not f["ignored"]]
    if not errors:
        return ""
    lines = ["%s %s, %s:" % (host, failing, _count(len(errors), "error"))]
    for finding in errors:
        lines.append("%s %s. Fix: %s." % (finding["id"], finding["message"], finding["fix"].rstrip(".")))
    return _printable("\n".join(lines))


def host_summary(host: str, findings: Sequence[Mapping[str, Any]]) -> str:
    """One line for a host's failure message; with a hundred of them the details must stand elsewhere, once."""
    for severity in ("error", "warning"):
        wrong = [f for f in findings if f["severity"] == severity and not f["ignored"]]
        if wrong:
            named = dict.fromkeys("%s %s" % (f["id"], f["title"]) for f in wrong)
            counted = _count(len(wrong), severity)
            return _printable(
                "%s has %s: %s. Details and fixes stand in the report below." % (host, counted, "; ".join(named))
            )
    return ""


def shorten(names: Sequence[str]) -> str:
    """Host names in order, runs of numbers put together: ``a2-[01-03,07], gw`` of a2-01, a2-02, a2-03, a2-07, gw."""
    padded: set[tuple[str, str, int]] = set()
    split = {name: _NUMBERED.fullmatch(name) for name in dict.fromkeys(names)}
    for numbered in filter(None, split.values()):
        if numbered.group(2).startswith("0") and len(numbered.group(2)) > 1:
            padded.add((numbered.group(1), numbered.group(3), len(numbered.group(2))))
    groups: dict[tuple[str, str, int], list[int]] = {}
    for name, match in split.items():
        if match is None:
            groups[(name, "", -1)] = []
            continue
        key = (match.group(1), match.group(3), len(match.group(2)))
        groups.setdefault(key if key in padded else (key[0], key[1], 0), []).append(int(match.group(2)))
    return ", ".join(_series(key, numbers) for key, numbers in groups.items())


_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})([^0-9]*)", re.DOTALL)


def _series(key: tuple[str, str, int], numbers: Sequence[int]) -> str:
    before, after, width = key
    words = [str(n).rjust(width, "0") if width > 0 else str(n) for n in sorted(numbers)]
    if len(words) < 3:
        return ", ".join(before + w + after for w in words) or before
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = []
    for run in runs:
        first, last = (str(n).rjust(max(width, 0), "0") for n in (run[0], run[-1]))
        parts.append(first if len(run) == 1 else "%s-%s" % (first, last) if len(run) > 2 else "%s,%s" % (first, last))
    return "%s[%s]%s" % (before, ",".join(parts), after)


def _where(names: Sequence[str], everyone: Sequence[str]) -> str:
    """On which hosts: all, all but a few, or their names."""
    total = len(everyone)
    if total > 2 and len(names) == total:
        return "all %d hosts" % total
    own = set(names)
    others = [h for h in everyone if h not in own]
    if total >= _MANY and len(others) <= 3:
        return "all %d hosts but %s" % (total, ", ".join(others))
    if len(names) < 4:
        return ", ".join(names)
    return "%d hosts: %s" % (len(names), shorten(names)) if len(names) >= _MANY else shorten(names)


def _count(number: int, word: str) -> str:
    return "%d %s%s" % (number, word, "" if number == 1 else "s")


def lines(report: Mapping[str, Any], heading: str = "", kind: Kind = PREFLIGHT) -> list[tuple[str, str]]:
    """The report as lines, each with its tone: ``plain``, ``ok``, ``error``, ``warning``, ``ignored``."""
    hosts = report["hosts"]
    ready = [h for h in hosts.values() if h["checked"] and not h["errors"]]
    wrong = [h for h in hosts.values() if h["errors"]]
    parts = ["%d %s" % (len(ready), kind.passing)]
    if wrong:
        parts.append("%d with errors" % len(wrong))
    if report["not_checked"]:
        parts.append("%d not checked" % len(report["not_checked"]))
    words = (kind.name, " " + heading if heading else "", _count(len(hosts), "host"), ", ".join(parts))
    title = "%s%s: %s, %s" % words
    out = [("", "plain"), (title, "plain"), ("", "plain")]
    out += _table(hosts)
    for tone, title in (("error", "Errors"), ("warning", "Warnings"), ("ignored", "Ignored (npu_preflight_ignore)")):
        groups = [g for g in report["findings"] if _tone(g) == tone]
        if not groups:
            continue
        out += [("", "plain"), (title, tone)]
        for group in groups:
            out += [(line, tone if first else "plain") for first, line in _group(group, list(hosts))]
    if report["not_checked"]:
        out += [("", "plain"), ("Not checked", "error")]
        reasons: dict[str, list[str]] = {}
        for host in report["not_checked"]:
            reasons.setdefault(hosts[host]["reason"], []).append(host)
        for reason, names in reasons.items():
            out += [(line, "plain") for line in _wrap("%s: %s" % (_where(names, list(hosts)), reason), "  ")]
    out.append(("", "plain"))
    return [(_printable(line), tone) for line, tone in out]


def short_lines(report: Mapping[str, Any], kind: Kind) -> list[tuple[str, str]]:
    """A heading, a line for each finding that is not ignored, and one for each host that was not checked."""
    hosts = report["hosts"]
    counted = "%s, %s" % (_count(report["errors"], "error"), _count(report["warnings"], "warning"))
    tone = {"ok": "ok", "warning": "warning"}.get(report["worst"], "error")
    out = [("%s: %s" % (kind.name, counted), tone)]
    for group in report["findings"]:
        if not group["ignored"]:
            where = _where(group["hosts"], list(hosts))
            words = "%s %s: found %s; needed %s" % (group["id"], where, group["found"], group["needed"])
            out.append((words, str(group["severity"])))
    out += [("%s was not compared: %s" % (name, hosts[name]["reason"]), "error") for name in report["not_checked"]]
    return [(_printable(line), tone) for line, tone in out]


def _tone(group: Mapping[str, Any]) -> str:
    return "ignored" if group["ignored"] else str(group["severity"])


def _wrap(text: str, start: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _group(group: Mapping[str, Any], everyone: Sequence[str]) -> list[tuple[bool, str]]:
    where = _where(group["hosts"], everyone)
    pairs = (("found", group["found"]), ("needed", group["needed"]), ("fix", group["fix"]), ("on", where))
    out = [(True, "  %-8s %s" % (group["id"], group["title"]))]
    for name, text in pairs:
        out += [(False, line) for line in _wrap(str(text), "           %-7s " % (name + ":"))]
    return out


def _table(hosts: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    areas = list(dict.fromkeys(area for host in hosts.values() for area in host["areas"]))
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, host in hosts.items():
        if host["checked"]:
            cells = (host["worst"], host["about"], *(_cell(host["areas"][a]) for a in areas))
        else:
            cells = (NOT_CHECKED, NOT_CHECKED, *("-" for _area in areas))
        groups.setdefault(cells if len(hosts) >= _MANY else (*cells, name), []).append(name)
    tones = {"ok": "ok", "warning": "warning"}
    rows: list[tuple[list[str], str, str]] = [(["host", "", *areas], "", "plain")]
    for cells, names in groups.items():
        # A long list of names gets lines of its own: it must not widen the table.
        words = shorten(names) if len(hosts) >= _MANY else names[0]
        short = words if len(words) <= 40 else "%d hosts:" % len(names)
        row = [short, *(str(c) for c in cells[1 : len(areas) + 2])]
        rows.append((row, "" if short == words else words, tones.get(cells[0], "error")))
    widths = [max(len(row[n]) for row, _words, _tone in rows) for n in range(len(areas) + 2)]
    out = []
    for row, words, tone in rows:
        out.append(("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip(), tone))
        out += [(line, "plain") for line in _wrap(words, "    ")] if words else []
    return out


def _cell(counts: Mapping[str, int]) -> str:
    words = [
        _count(counts["errors"], "error") if counts["errors"] else "",
        _count(counts["warnings"], "warning") if counts["warnings"] else "",
        "%d ignored" % counts["ignored"] if counts["ignored"] else "",
    ]
    return ", ".join(w for w in words if w) or "ok"


def junit(report: Mapping[str, Any], kind: Kind = PREFLIGHT) -> str:
    """The report for CI servers: a suite per host, a case per check."""
    findings: dict[str, list[Mapping[str, Any]]] = {}
    for group in report["findings"]:
        for host in group["hosts"]:
            findings.setdefault(host, []).append(group)
    checks = [*kind.catalogue(), *(report.get("site_checks") or [])]
    root = ElementTree.Element("testsuites", name=kind.name.lower())
    for host, entry in report["hosts"].items():
        suite = ElementTree.SubElement(root, "testsuite", name=_printable(host))
        if not entry["checked"]:
            case = ElementTree.SubElement(suite, "testcase", classname=_printable(host), name="reached")
            ElementTree.SubElement(case, "error", message=_printable(entry["reason"]))
            suite.set("tests", "1")
            suite.set("errors", "1")
            continue
        found: dict[str, list[Mapping[str, Any]]] = {}
        for finding in findings.get(host) or []:
            found.setdefault(finding["id"], []).append(finding)
        failures = 0
        for check in checks:
            name = "%s %s" % (check["id"], check["title"])
            case = ElementTree.SubElement(
                suite, "testcase", classname=_printable("%s.%s" % (host, check["area"])), name=name
            )
            mine = found.get(check["id"], [])
            if any(f["severity"] == "error" and not f["ignored"] for f in mine):
                failures += 1
                text = "\n".join("%s\nfix: %s" % (f["message"], f["fix"]) for f in mine)
                ElementTree.SubElement(case, "failure", message=_printable(mine[0]["message"])).text = _printable(text)
            elif any(f["ignored"] for f in mine):
                ElementTree.SubElement(case, "skipped", message=_printable("ignored: " + mine[0]["message"]))
            elif mine:
                words = "\n".join("warning: " + f["message"] for f in mine)
                ElementTree.SubElement(case, "system-out").text = _printable(words)
        suite.set("tests", str(len(checks)))
        suite.set("failures", str(failures))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _printable(text: Any) -> str:
    """Text of tools and names of hosts without what a terminal would obey; line breaks stay."""
    return printable(str(text), keep="\n")
