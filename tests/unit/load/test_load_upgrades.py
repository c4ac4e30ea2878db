# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of upgrades, from the log of a load: whose failures they were, and how long each replica was out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "load"))

from serving_load import upgrades
from serving_load.journal import Entry, Mark, Request, Sample, entry_of

OLD, NEW = "old a2-1:8010", "new a2-2:8011"


def request(
    number: int, end: float, outcome: str = "ok", by: str = OLD, error: str = "", seconds: float = 1
) -> Request:
    return Request(number, "plain", end - seconds, end, outcome, error=error, by=by)


def sample(at: float, *gateways: str | None) -> Sample:
    """A letter for each replica, as a gateway sees it: U is up."""
    states = {"U": "UP", "D": "DOWN", "M": "MAINT"}
    seen = {
        f"gw-{place}": None if text is None else {f"h:{n}": states[letter] for n, letter in enumerate(text)}
        for place, text in enumerate(gateways)
    }
    return Sample(at, {"h:0": True, "h:1": True}, seen)


LOG: list[Entry] = [
    Mark(10.0, "bad", "begin"),
    sample(10.0, "UU", "UU"),
    *(request(number, 11.0 + number / 10) for number in range(6)),
    request(6, 12.0, seconds=9),
    sample(12.0, "DU", "UU"),
    request(7, 13.0, "failed", NEW),
    request(8, 13.1, "cut", NEW),
    request(9, 13.2, "ok", NEW),
    sample(14.0, None, None),
    request(10, 14.5, "failed", "", "APITimeoutError: Request timed out."),
    request(11, 14.6, "failed", "", "APIConnectionError: refused"),
    request(12, 14.7, "failed", OLD),
    sample(15.0, "UM", "UU"),
    sample(45.0, "UU", "UU"),
    Mark(50.0, "bad", "end", "2/2 old"),
    Mark(60.0, "quiet", "begin"),
    sample(60.0, "UU"),
    request(13, 61.0),
    Mark(70.0, "quiet", "end"),
]


def test_failures_are_told_apart_by_who_answered() -> None:
    bad, quiet = upgrades.upgrades(LOG, {"bad": ("new",)})
    assert {name: (one.requests, one.failed, one.cut, one.slow) for name, one in bad.by_release.items()} == {
        "(no answer)": (1, 1, 0, 0),
        "(no answer in time)": (1, 1, 0, 0),
        "new": (3, 1, 1, 0),
        "old": (8, 1, 0, 1),
    }
    assert (bad.row.failed, bad.row.cut) == (4, 1)
    assert (bad.failed, bad.cut, bad.bad_failed) == (3, 0, 2)
    assert set(bad.by_replica) == {"(no answer)", "(no answer in time)", NEW, OLD}
    assert (quiet.failed, quiet.cut, quiet.bad_failed, list(quiet.by_release)) == (0, 0, 0, ["old"])


def test_what_hangs_is_told_by_the_time_that_was_waited() -> None:
    bad = upgrades.upgrades(LOG, {"bad": ("new", upgrades.LATE)})[0]
    assert (bad.failed, bad.cut, bad.bad_failed) == (2, 0, 3)


def test_without_a_bad_release_every_failure_counts() -> None:
    bad = upgrades.upgrades(LOG, {})[0]
    assert (bad.failed, bad.cut, bad.bad_failed) == (4, 1, 0)


def test_a_replica_is_out_while_any_gateway_has_it_out() -> None:
    """At a look at which no gateway answered, what was so goes on."""
    bad, quiet = upgrades.upgrades(LOG, {})
    assert bad.out == {"h:0": 3.0, "h:1": 30.0}
    assert quiet.out == {"h:0": 0.0, "h:1": 0.0}


def test_a_replica_that_a_gateway_does_not_know_yet_is_out() -> None:
    assert upgrades.seconds_out([sample(1.0, "U", "UU"), sample(3.0, "UU", "UU"), sample(9.0, "UU")]) == {
        "h:0": 0.0,
        "h:1": 2.0,
    }
    assert upgrades.seconds_out([sample(1.0, None)]) == {}


def test_over_time() -> None:
    requests = [entry for entry in LOG if isinstance(entry, Request)]
    spans = upgrades.over_time(requests, {"plain": 1.0}, every=3.0)
    assert [(begin, {name: counts.requests for name, counts in by.items()}) for begin, by in spans] == [
        (9.0, {OLD: 6}),
        (12.0, {"(no answer)": 1, "(no answer in time)": 1, NEW: 3, OLD: 2}),
        (60.0, {OLD: 1}),
    ]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ({}, "none"),
        ({"a": 0.0}, "none"),
        ({"a": 60.0, "b": 0.0}, "1.0 (1 of 2)"),
        ({"a": 60.0, "b": 90.0}, "1.0 to 1.5 (2 of 2)"),
    ],
)
def test_minutes_out(out: dict[str, float], words: str) -> None:
    assert upgrades.minutes_out(out) == words


def test_the_table_and_what_is_behind_it() -> None:
    found = upgrades.upgrades(LOG, {"bad": ("new",)})
    lines = upgrades.render(found).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "bad", "40", "13", "3", "0", "2", "1", "1/2", "0.1 to 0.5 (2 of 2)", "2/2 old",
    ]  # fmt: skip
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]][5:] == ["-", "0", "2/2", "none", "2/2"]
    data = json.loads(upgrades.as_json(found, LOG))
    assert data["rows"][0]["by_replica"][NEW] == {"requests": 3, "failed": 1, "cut": 1, "slow": 0}
    assert data["over_time"][0]["by"][OLD]["requests"] == 8


def test_a_log_without_names_is_read() -> None:
    line = '{"kind": "request", "number": 1, "shape": "plain", "begin": 1.0, "end": 2.0, "outcome": "ok"}'
    entry = entry_of(line)
    assert isinstance(entry, Request)
    assert (entry.by, entry.release) == ("", "")
