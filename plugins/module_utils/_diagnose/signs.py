# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the signatures of known failures in what was taken, with the lines that show them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Mapping, Optional, Sequence

from .._serving import log
from .._serving.signatures import Signature
from .host_signatures import HOST_SIGNATURES, KERNEL_SIGNATURES
from .sources import FAILURE, HOST, KERNEL, PLOG, RECENT, START
from .take import Taken

#: A start that says nothing for so long, and is not ready, hangs.
SILENT_SECONDS = 600
_AROUND = 2
_LINE = 400
# `2026-11-30T14:00:00+0000 host docker[123]: `
_JOURNAL = re.compile(r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:?\d\d) \S+ [^\[\]:]+(?:\[\d+\])?: ")
_DOCKER_TIME = re.compile(r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z ")
_CTIME = re.compile(r"\[(?P<at>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})\] ")
# `[ERROR] RUNTIME(1234,python3):2025-11-22-08:20:17.123.456 [file.cc:12]…`
_PLOG_ERROR = re.compile(r"^\[(?:ERROR|EVENT)\]")
_PLOG_TIME = re.compile(r":(?P<at>\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d)")
_READY = re.compile(r"Application startup complete\.")

SILENT = Signature(
    "silent_start",
    re.compile(r"(?!)"),
    "the start says nothing any more, and is not ready: it hangs",
    "see the stacks and CANN's log in the bundle; keep them for a report, then restart the unit",
)
UNKNOWN = Signature(
    "unknown_failure",
    re.compile(r"(?!)"),
    "it failed, and nothing in its log is the sign of a known failure",
    "see the lines, and the bundle; report it with the bundle",
)
NOTED = Signature("serves_worse", re.compile(r"(?!)"), "an engine serves, but not as it should", "see the line")
STALLED = Signature(
    "stalled",
    re.compile(r"(?!)"),
    "the watchdog has found an engine that has requests and gives no tokens",
    "see its evidence and the stacks in the bundle, then restart the unit",
)


@dataclass
class Sign:
    """A signature that was found. ``is_now``: it concerns what goes on now, not a former run."""

    name: str
    meaning: str
    fix: str
    source: str
    unit: str = ""
    at: str = ""
    line: int = 0
    lines: list[str] = field(default_factory=list)
    is_now: bool = True

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def find(taken: Sequence[Taken], states: Mapping[str, Mapping[str, str]], now: float) -> list[Sign]:
    """Every sign, what goes on now first. states: of the units, as systemd says; now: seconds since 1970."""
    found: list[Sign] = []
    for one in taken:
        if not one.text:
            if one.source.signs == HOST and one.reason:
                found += _plain(HOST_SIGNATURES, one, [one.reason])
            continue
        lines = one.text.splitlines()
        kind = one.source.signs
        if kind == KERNEL:
            found += _plain(KERNEL_SIGNATURES, one, lines)
        elif kind == HOST:
            found += _plain(HOST_SIGNATURES, one, lines)
        elif kind == PLOG:
            found += _plog(one, lines)
        elif kind == FAILURE:
            state = states.get(one.source.unit, {}).get("ActiveState")
            found += _engine(one, lines, is_now=state != "active", is_over=True)
        elif kind == START:
            found += _start(one, lines, states.get(one.source.unit, {}), now)
        elif kind == RECENT:
            found += _serving(one, lines)
    return sorted(_each_once(found), key=lambda s: not s.is_now)


def stalled(watchdog: Any) -> list[Sign]:
    """What the watchdog has in its memory of engines that stall."""
    memory = watchdog.get("memory") if isinstance(watchdog, Mapping) else None
    found = []
    for unit, about in (memory if isinstance(memory, Mapping) else {}).items():
        if isinstance(about, Mapping) and about.get("state") == "stalled":
            words = str(about.get("reason") or "it stalls")
            found.append(_sign(STALLED, "state/watchdog.json", str(unit), [words]))
    return found


def _sign(
    signature: Signature,
    source: str,
    unit: str,
    lines: Sequence[str],
    number: int = 0,
    *,
    is_now: bool = True,
    line: str = "",
) -> Sign:
    """A sign with the lines around it; ``line`` is the one that shows it, whose time counts."""
    at = next((words for words in map(_time, [line, *lines]) if words), "")
    shown = [_shorten(line) for line in lines]
    return Sign(signature.name, signature.meaning, signature.fix, source, unit, at, number, shown, is_now)


def _engine(one: Taken, lines: Sequence[str], *, is_now: bool, is_over: bool) -> list[Sign]:
    """What the log of an engine says that has ended; where it says nothing known, its root cause and its last lines."""
    plain = [_without_journal(line) for line in lines]
    diagnosis = log.diagnose(plain)
    about = (one.source.name, one.source.unit)
    found = []
    for signature, line in diagnosis.found:
        number = _number(plain, signature, line)
        near = _around(lines, number)
        found.append(_sign(signature, *about, near, number + 1, is_now=is_now, line=lines[number]))
    if not found and is_over:
        cause = list(diagnosis.cause) or [line for line in lines if line.strip()][-6:]
        number = next(
            (n for n, line in enumerate(plain) if diagnosis.cause and diagnosis.cause[0] in line), len(lines) - 1
        )
        found.append(_sign(UNKNOWN, *about, cause, number + 1, is_now=is_now))
    return found


def _start(one: Taken, lines: Sequence[str], state: Mapping[str, str], now: float) -> list[Sign]:
    """What the log of the present or last start says: nothing is looked for while it goes on well."""
    if any(_READY.search(line) for line in lines):
        return []  # what came later is in the recent lines
    active = state.get("ActiveState")
    if active in ("failed", "inactive") or state.get("SubState") == "auto-restart":
        return _engine(one, lines, is_now=True, is_over=active == "failed")
    last = next((words for words in map(_time, reversed(lines)) if words), "")
    silent = _seconds_since(last, now)
    if one.cut_bytes or silent is None or silent < SILENT_SECONDS:
        return []
    found = _engine(one, lines, is_now=True, is_over=False)
    tail = [line for line in lines if line.strip()][-4:]
    return found or [_sign(SILENT, one.source.name, one.source.unit, tail, len(lines))]


def _serving(one: Taken, lines: Sequence[str]) -> list[Sign]:
    """What an engine said after it was ready: faults while it served, and what makes it serve worse."""
    ready = next((n for n in range(len(lines) - 1, -1, -1) if _READY.search(lines[n])), None)
    plain = [_without_journal(line) for line in lines]
    notes = log.notes(plain)
    found = [_sign(NOTED, one.source.name, one.source.unit, notes[:3])] if notes else []
    if ready is None:
        return found
    diagnosis = log.diagnose(plain[ready:])
    for signature, line in diagnosis.found:
        number = ready + _number(plain[ready:], signature, line)
        near = _around(lines, number)
        found.append(_sign(signature, one.source.name, one.source.unit, near, number + 1, line=lines[number]))
    return found


def _plog(one: Taken, lines: Sequence[str]) -> list[Sign]:
    """CANN's own log: the lines of errors alone, of the kinds that name a cause by themselves."""
    errors = [(number, line) for number, line in enumerate(lines) if _PLOG_ERROR.match(line)]
    diagnosis = log.diagnose([line for _number, line in errors])
    found = []
    for signature, shown in diagnosis.found:
        number = next((n for n, line in errors if shown in line), 0)
        near = _around(lines, number)
        about = (one.source.name, one.source.unit)
        found.append(_sign(signature, *about, near, number + 1, is_now=False, line=lines[number]))
    return found


def _plain(signatures: Sequence[Signature], one: Taken, lines: Sequence[str]) -> list[Sign]:
    """The last line of each signature."""
    found = []
    for signature in signatures:
        numbers = [n for n, line in enumerate(lines) if signature.pattern.search(line)]
        if numbers:
            last = numbers[-1]
            about = (one.source.name, one.source.unit)
            found.append(_sign(signature, *about, _around(lines, last), last + 1, line=lines[last]))
    return found


def _each_once(signs: Sequence[Sign]) -> list[Sign]:
    """One sign of each kind for each unit: the first, which is in the better source."""
    kept: dict[tuple[str, str], Sign] = {}
    for sign in sorted(signs, key=lambda s: not s.is_now):
        kept.setdefault((sign.name, sign.unit), sign)
    explained = {s.unit for s in kept.values() if s.name != UNKNOWN.name and s.is_now and s.unit}
    return [s for s in kept.values() if s.name != UNKNOWN.name or s.unit not in explained]


def _number(plain: Sequence[str], signature: Signature, line: str) -> int:
    """Where a line stands that was found; the last one where a progress bar has hidden it."""
    return next((n for n, text in enumerate(plain) if line in text and signature.pattern.search(text)), len(plain) - 1)


def _around(lines: Sequence[str], number: int) -> list[str]:
    return [line for line in lines[max(number - _AROUND, 0) : number + _AROUND + 1] if line.strip()]


def _without_journal(line: str) -> str:
    return _DOCKER_TIME.sub("", _JOURNAL.sub("", line, count=1), count=1)


def _shorten(line: str) -> str:
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


def _time(line: str) -> str:
    for pattern in (_JOURNAL, _DOCKER_TIME, _CTIME):
        found = pattern.match(line)
        if found:
            return found["at"]
    found = _PLOG_TIME.search(line) if _PLOG_ERROR.match(line) else None
    return found["at"] if found else ""


def _seconds_since(at: str, now: float) -> Optional[float]:
    try:
        return now - datetime.strptime(at, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return None
