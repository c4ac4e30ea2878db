# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bake has found, as lines of one table. What is not known is shown as a dash."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from .._base.text import printable
from .cohorts import BAD, GOOD, percent, seconds_text

_HEAD = (
    "GENERATION", "RELEASE", "HOSTS", "REPLICAS", "MINUTES", "REQUESTS", "FAILED", "SHARE", "RESTARTS", "STALLS",
    "TTFT P95", "INTER-TOKEN P95", "PREEMPTIONS",
)  # fmt: skip
_UNKNOWN = "-"
#: Columns of words; numbers stand at the right.
_WORDS = 2


def lines(found: Mapping[str, Any], title: str = "") -> list[tuple[str, Optional[str]]]:
    """The table with its tones (``error``, ``warning``, ``ok``, or None). found: a verdict as data."""
    verdict = str(found["verdict"])
    tone = {GOOD: "ok", BAD: "error"}.get(verdict, "warning")
    heading = "BAKE%s: %s" % (" " + title if title else "", verdict)
    out: list[tuple[str, Optional[str]]] = [("", None), (heading, tone)]
    rows = [_row(figures) for figures in found["figures"]]
    if rows:
        widths = [max(len(cells[n]) for cells in (_HEAD, *rows)) for n in range(len(_HEAD))]
        out += [(_line(cells, widths), None) for cells in (_HEAD, *rows)]
    out += [(printable("  " + reason), tone) for reason in found["reasons"]]
    measured = [p for p in found["problems"] if not any(p in reason for reason in found["reasons"])]
    out += [(printable("  not measured: " + problem), "warning") for problem in measured]
    out += [(printable("  " + note), None) for note in found["notes"]]
    if found["extend_minutes"]:
        out.append(("  it is extended by %g minutes" % found["extend_minutes"], "warning"))
    if found["question"]:
        out.append((printable("  " + found["question"]), "warning"))
    return out


def _row(figures: Mapping[str, Any]) -> tuple[str, ...]:
    share = figures["error_share"]
    replicas = str(figures["replicas"])
    if figures["unread"]:
        replicas += " (%d not read)" % figures["unread"]
    return (
        str(figures["generation"]) or _UNKNOWN,
        str(figures["cohort"]),
        str(len(figures["hosts"])),
        replicas,
        "%.1f" % figures["minutes"],
        str(figures["requests"]),
        str(figures["failed"]),
        _UNKNOWN if share is None else percent(share),
        str(figures["restarts"]),
        str(len(figures["stalled"])),
        _time(figures["ttft_p95_seconds"]),
        _time(figures["inter_token_p95_seconds"]),
        _UNKNOWN if figures["preemptions"] is None else str(figures["preemptions"]),
    )


def _time(seconds: Optional[float]) -> str:
    return _UNKNOWN if seconds is None else seconds_text(seconds)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = [c.ljust(w) if n < _WORDS else c.rjust(w) for n, (c, w) in enumerate(zip(cells, widths))]
    return ("  " + "  ".join(shown)).rstrip()
