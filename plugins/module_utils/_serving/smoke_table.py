# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all replicas of a fleet have answered, as one table: data and text. For the controller alone."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from .._base.text import printable

_HEAD = ("REPLICA", "ADDRESS", "RELEASE", "QUESTION", "FIRST TOKEN", "TOKENS/S", "ANSWER")
_CLIENTS_SHOWN = 4
_NOT_ASKED = "not asked, because of the question before"


def build(
    hosts: Sequence[str],
    results: Mapping[str, Mapping[str, Any]],
    addresses: Mapping[str, str],
    reasons: Mapping[str, str],
    clients: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """The answers of the fleet.

    results: by host, what the module vllm_probe returned. addresses: by host, where it is reached. reasons: by host
    without a result, why it has none. A host in neither is left out: its turn is still to come. clients: ``url`` and
    ``model`` of each address that gateways of this run have for clients.
    """
    report: dict[str, Any] = {"hosts": 0, "replicas": [], "not_asked": [], "clients": [dict(c) for c in clients]}
    for host in hosts:
        result = results.get(host)
        if result is None:
            if host in reasons:
                report["not_asked"].append({"host": host, "reason": printable(reasons[host])})
            continue
        report["hosts"] += 1
        grouped: dict[str, list[Mapping[str, Any]]] = {}
        for answer in result.get("answers") or []:
            grouped.setdefault(str(answer["url"]), []).append(answer)
        report["replicas"] += [_replica(host, addresses.get(host) or host, found) for found in grouped.values()]
    _complete(report["replicas"])
    questions = [q for replica in report["replicas"] for q in replica["questions"]]
    report["good"] = sum(q["good"] for q in questions)
    report["wrong"] = len(questions) - report["good"]
    return report


def _replica(host: str, address: str, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = answers[0]
    number = first.get("replica")
    port = urlsplit(str(first["url"])).port
    return {
        "host": host,
        "replica": number,
        "name": "%s:%s" % (host, number if number is not None else port),
        "unit": first.get("unit"),
        "address": "%s:%d" % ("[%s]" % address if ":" in address else address, port) if port else address,
        "release": first.get("release"),
        "questions": [_question(answer) for answer in answers],
    }


def _question(answer: Mapping[str, Any]) -> dict[str, Any]:
    shown = ("words", "first_token_seconds", "tokens", "tokens_per_second", "seconds", "problems")
    return {
        "name": answer["question"],
        "asked": True,
        "good": not answer.get("problems"),
        **{key: answer.get(key) for key in shown},
    }


def _complete(replicas: Sequence[dict[str, Any]]) -> None:
    """A replica that failed early was not asked everything: what is missing is named."""
    names = list(dict.fromkeys(q["name"] for replica in replicas for q in replica["questions"]))
    for replica in replicas:
        asked = {q["name"] for q in replica["questions"]}
        replica["questions"] += [
            {"name": name, "asked": False, "good": False, "problems": []} for name in names if name not in asked
        ]


def lines(report: Mapping[str, Any], title: str = "") -> list[tuple[str, Optional[str]]]:
    """The table and what is wrong, as lines with their tone: ``error``, ``ok``, or None."""
    replicas = report["replicas"]
    heading = "SMOKE%s: %s on %s, %s good, %d wrong" % (
        " " + title if title else "",
        _count(len(replicas), "replica"),
        _count(report["hosts"], "host"),
        _count(report["good"], "answer"),
        report["wrong"],
    )
    missing = report["not_asked"]
    if missing:
        heading += ", %s not asked" % _count(len(missing), "host")
    bad = bool(report["wrong"] or missing)
    found: list[tuple[str, Optional[str]]] = [("", None), (printable(heading), "error" if bad else "ok")]
    rows: list[tuple[tuple[str, ...], bool]] = [row for replica in replicas for row in _rows(replica)]
    # The last column holds text of any script, whose width on a screen is not known.
    widths = [max(len(row[n]) for row in (_HEAD, *(r for r, _good in rows))) for n in range(len(_HEAD) - 1)]
    if rows:
        found.append((_line(_HEAD, widths), None))
    found += [(printable(_line(row, widths)), None if good else "error") for row, good in rows]
    number = 0
    for replica in replicas:
        for question in replica["questions"]:
            for problem in question["problems"]:
                number += 1
                words = "%d. %s, %s: %s" % (number, replica["name"], question["name"], problem)
                found.append((printable(words), "error"))
    found += [(printable("%s was not asked: %s" % (m["host"], m["reason"])), "error") for m in missing]
    return found + _client_lines(report["clients"])


def _client_lines(clients: Sequence[Mapping[str, str]]) -> list[tuple[str, Optional[str]]]:
    """Where clients ask: the last thing that is read, and the first that is needed."""
    shown = ["Clients ask %s (model %s)" % (c["url"], c["model"]) for c in clients[:_CLIENTS_SHOWN]]
    if len(clients) > len(shown):
        shown.append("and %d more addresses, one of each gateway" % (len(clients) - len(shown)))
    return [(printable(line), None) for line in shown]


def _rows(replica: Mapping[str, Any]) -> list[tuple[tuple[str, ...], bool]]:
    rows = []
    for number, question in enumerate(replica["questions"]):
        own = (replica["name"], replica["address"], replica["release"] or "-") if number == 0 else ("", "", "")
        words = question.get("words") or ""
        if not question["asked"]:
            words = _NOT_ASKED
        elif not question["good"]:
            words = "WRONG: " + words if words else "WRONG"
        first, rate = question.get("first_token_seconds"), question.get("tokens_per_second")
        times = ("-" if first is None else "%.2f s" % first, "-" if rate is None else "%.1f" % rate)
        rows.append(((*own, question["name"], *times, words), bool(question["good"])))
    return rows


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths)]
    return "  ".join([*padded, cells[-1]]).rstrip()


def _count(number: int, noun: str) -> str:
    return "%d %s%s" % (number, noun, "" if number == 1 else "s")
