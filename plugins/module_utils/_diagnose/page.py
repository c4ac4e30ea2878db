# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first page of the fleet: the signs that were found, with cause and fix, then the state of each host.

What hosts have printed is hostile here: it is put into fenced blocks, or is escaped, and drives no terminal.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional, Sequence

from .._base.progress import human_bytes
from .._base.text import printable
from .collect import incomplete

#: Of one sign so many hosts are shown with their lines.
_EXAMPLES = 3
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|!~&])")


def build(
    indexes: Mapping[str, Mapping[str, Any]], absent: Mapping[str, str], bundles: Mapping[str, str], at: str
) -> dict[str, Any]:
    """The page as data. indexes: by host; absent: why a host has none; bundles: where they lie; at: when."""
    return {
        "schema": 1,
        "at": at,
        "signs": _signs(indexes),
        "hosts": [_host(host, indexes[host], bundles.get(host)) for host in indexes],
        "absent": [{"host": host, "reason": reason} for host, reason in absent.items()],
    }


def _signs(indexes: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every kind of sign with its places: those that are going on first, then those on most hosts."""
    found: dict[str, dict[str, Any]] = {}
    for host, index in indexes.items():
        for sign in index.get("signs") or ():
            kind = found.setdefault(
                str(sign["name"]),
                {"name": sign["name"], "meaning": sign["meaning"], "fix": sign["fix"], "is_now": False, "places": []},
            )
            kind["is_now"] = kind["is_now"] or bool(sign["is_now"])
            kept = ("unit", "at", "source", "line", "lines", "is_now")
            kind["places"].append({"host": host, **{name: sign[name] for name in kept}})
    for kind in found.values():
        kind["places"].sort(key=lambda place: not place["is_now"])
    return sorted(found.values(), key=lambda kind: (not kind["is_now"], -len(_hosts(kind)), kind["name"]))


def _hosts(kind: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(str(place["host"]) for place in kind["places"]))


def _host(host: str, index: Mapping[str, Any], bundle: Optional[str]) -> dict[str, Any]:
    return {
        "host": host,
        "facts": index.get("facts") or {},
        "signs": [str(sign["name"]) for sign in index.get("signs") or () if sign["is_now"]],
        "incomplete": incomplete(index),
        "problems": list(index.get("problems") or ()),
        "redacted": index.get("redacted"),
        "seconds": index.get("seconds"),
        "bundle": bundle,
        "size": index.get("size"),
        "sha256": index.get("sha256"),
    }


def _state(host: Mapping[str, Any]) -> tuple[str, str]:
    """How the replicas and the chips of a host are, in words."""
    facts = host["facts"]
    units = list(facts.get("units") or ())
    well = [u for u in units if u["active"] == "active" and u["stage"] in ("ready", None)]
    words = "%d of %d" % (len(well), len(units)) if units else "none deployed"
    others = ["%s %s" % (_short(u["unit"]), _of(u)) for u in units if u not in well]
    replicas = ", ".join([words, *others])
    bad = facts.get("chips_not_ok") or []
    chips = "%d" % facts.get("chips", 0)
    chips += ", all OK" if facts.get("chips") and not bad and not facts.get("npu_smi") else ""
    return replicas, "; ".join([chips, *map(str, bad), *([str(facts["npu_smi"])] if facts.get("npu_smi") else [])])


def _of(unit: Mapping[str, Any]) -> str:
    if unit["active"] == "active":
        return "starting (%s)" % unit["stage"]
    return "%s%s" % (unit["active"], " (%s)" % unit["result"] if unit["result"] not in ("", "success") else "")


def _short(unit: Any) -> str:
    text = str(unit)
    return text[: -len(".service")] if text.endswith(".service") else text


# - for a terminal -


def lines(page: Mapping[str, Any]) -> list[tuple[str, Optional[str]]]:
    """The page in short, each line with its tone."""
    found: list[tuple[str, Optional[str]]] = []
    for kind in page["signs"]:
        tone = "error" if kind["is_now"] else "ignored"
        when = "" if kind["is_now"] else ", in former runs"
        found.append(("%s: %s%s" % (kind["name"], kind["meaning"], when), tone))
        names = _hosts(kind)
        more = " and %d more" % (len(names) - 8) if len(names) > 8 else ""
        found.append(("    on %s%s" % (", ".join(names[:8]), more), None))
        place = kind["places"][0]
        if place["lines"]:
            found.append(("    | %s" % place["lines"][len(place["lines"]) // 2][:200], None))
        found.append(("    fix: %s" % kind["fix"], None))
    if not page["signs"]:
        found.append(("no sign of a known failure was found", "ok"))
    for host in page["hosts"]:
        replicas, chips = _state(host)
        tone = "warning" if host["signs"] else "ok"
        found.append(("%s  replicas: %s  chips: %s" % (host["host"], replicas, chips), tone))
    found += [("%s  no bundle: %s" % (entry["host"], entry["reason"]), "error") for entry in page["absent"]]
    return [(printable(line), tone) for line, tone in found]


# - Markdown -


def markdown(page: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    found = ["# What is wrong with the fleet", "", "Collected %s." % _text(page["at"]), "", "## Signs of failures", ""]
    for kind in page["signs"]:
        found += _sign(kind)
    found += [] if page["signs"] else ["No sign of a known failure was found.", ""]
    found += [
        "## Hosts",
        "",
        "| host | replicas | chips | system | driver | signs | bundle |",
        "|---|---|---|---|---|---|---|",
    ]
    for host in page["hosts"]:
        replicas, chips = _state(host)
        facts = host["facts"]
        system = "%s, %s, %s" % (
            facts.get("system") or "?",
            facts.get("kernel") or "?",
            facts.get("architecture") or "?",
        )
        size = " (%s)" % human_bytes(int(host["size"])) if host.get("size") else ""
        cells = (
            host["host"],
            replicas,
            chips,
            system,
            facts.get("driver") or "unknown",
            ", ".join(dict.fromkeys(host["signs"])) or "-",
            (host["bundle"] or "none") + size,
        )
        found.append("| %s |" % " | ".join(_text(cell) for cell in cells))
    found += ["| %s | no bundle: %s | | | | | |" % (_text(e["host"]), _text(e["reason"])) for e in page["absent"]]
    found += ["", "## What is missing or not whole", ""]
    found += _missing(page)
    return "\n".join(found) + "\n"


def _sign(kind: Mapping[str, Any]) -> list[str]:
    when = "" if kind["is_now"] else " (in former runs)"
    found = ["### %s%s" % (_text(kind["name"]), when), ""]
    found += ["- **Cause:** %s" % _text(kind["meaning"]), "- **Fix:** %s" % _text(kind["fix"])]
    found += ["- **Hosts:** %s" % _text(", ".join(_hosts(kind))), ""]
    for place in kind["places"][:_EXAMPLES]:
        about = [place["host"], _short(place["unit"]), place["at"], "%s:%s" % (place["source"], place["line"])]
        found += [_text(", ".join(str(word) for word in about if word)), "", *_fenced(place["lines"]), ""]
    if len(kind["places"]) > _EXAMPLES:
        found += ["%d more places are in the JSON." % (len(kind["places"]) - _EXAMPLES), ""]
    return found


def _missing(page: Mapping[str, Any]) -> list[str]:
    """What failed, hung, or was left out although it could have been there; each reason once for all its hosts."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for host in page["hosts"]:
        for entry in host["incomplete"]:
            key = (str(entry["name"]), str(entry["state"]), str(entry["reason"]))
            places.setdefault(key, []).append(str(host["host"]))
        for problem in host["problems"]:
            places.setdefault((problem["subject"], "problem", problem["message"]), []).append(str(host["host"]))
    found = []
    for (name, state, reason), hosts in sorted(places.items(), key=lambda item: (item[0][1] == "left out", item[0])):
        shown = ", ".join(hosts[:5]) + (" and %d more" % (len(hosts) - 5) if len(hosts) > 5 else "")
        found.append("- %s: %s (%s) on %s" % (_text(name), _text(state), _text(reason), _text(shown)))
    return found or ["Nothing."]


def _text(value: Any) -> str:
    """Text of a host within a line of Markdown."""
    return _MARKDOWN.sub(r"\\\1", printable(" ".join(str(value).split())))


def _fenced(texts: Sequence[str]) -> list[str]:
    """Lines as they are, in a block that none of them can end."""
    shown = [printable(text) for text in texts]
    longest = max([len(run) for text in shown for run in re.findall(r"`+", text)] + [2])
    return ["`" * (longest + 1) + "text", *shown, "`" * (longest + 1)]
