# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of the load client, and the table that is made of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "load"))

from serving_load import cli, table
from serving_load.journal import Entry, Journal, Mark, Request, Sample, line_of, read
from serving_load.watch import Watch, servers_of


def request(number: int, end: float, outcome: str = "ok", seconds: float = 1.0, shape: str = "plain") -> Request:
    return Request(number, shape, end - seconds, end, outcome, error="" if outcome == "ok" else "words")


def sample(at: float, healthy: int, *up: int | None) -> Sample:
    def servers(count: int) -> dict[str, str]:
        return {f"h:{n}": "UP" if n < count else "DRAIN" for n in range(3)}

    gateways = {f"gw-{n}": None if count is None else servers(count) for n, count in enumerate(up)}
    return Sample(at, {f"h:{n}": n < healthy for n in range(3)}, gateways)


LOG: list[Entry] = [
    Mark(10.0, "reload", "begin"),
    sample(10.5, 3, 3, 3),
    *(request(number, 11.0 + number / 10) for number in range(5)),
    request(5, 12.0, seconds=3.5),
    Mark(13.0, "reload", "end", "as before"),
    request(6, 13.5, "failed"),
    Mark(14.0, "kill", "begin"),
    sample(14.1, 3, 3, 3),
    sample(14.6, 2, 2, None),
    request(7, 15.0, "cut", shape="stream"),
    request(8, 15.0, "failed"),
    request(9, 15.5, "failed"),
    sample(15.9, 2, 3, None),
    Mark(16.0, "kill", "end"),
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log" / "load.jsonl"
    journal, other = Journal(path), Journal(path)
    for place, entry in enumerate(LOG):
        (journal if place % 2 else other).write(entry)
    assert read(path.read_text().splitlines()) == LOG


def test_a_half_written_last_line_is_left_out_and_any_other_is_an_error() -> None:
    lines = [line_of(entry) for entry in LOG]
    assert read([*lines, lines[0][:20]]) == LOG
    with pytest.raises(ValueError, match="no entry"):
        read([lines[0][:20], *lines])
    with pytest.raises(ValueError, match="no entry"):
        read([*lines, '{"kind": "other"}'])


def test_a_row_for_each_event_and_one_for_failures_between() -> None:
    reload, kill, between = table.rows(LOG)
    assert (reload.event, reload.requests, reload.failed, reload.cut, reload.slow) == ("reload", 6, 0, 0, 1)
    assert (reload.lowest_in_service, reload.lowest_healthy, reload.in_service_after) == (3, 3, 3)
    assert (reload.seconds, reload.note, reload.replicas) == (3.0, "as before", 3)
    assert (kill.requests, kill.failed, kill.cut, kill.slow) == (3, 2, 1, 0)
    assert (kill.lowest_in_service, kill.lowest_healthy, kill.in_service_after) == (2, 2, 3)
    assert kill.errors == ["cut: words", "2 x failed: words"]
    assert (between.event, between.requests, between.failed) == (table.BETWEEN, 1, 1)


def test_without_failures_between_there_is_no_such_row() -> None:
    log = [entry for entry in LOG if not (isinstance(entry, Request) and entry.number == 6)]
    assert [row.event for row in table.rows(log)] == ["reload", "kill"]


def test_no_gateway_answered_is_unknown_and_not_none_in_service() -> None:
    (row,) = table.rows([Mark(1.0, "all gateways down", "begin"), sample(2.0, 3, None, None)])
    assert row.lowest_in_service is None
    assert "| unknown " in table.render([row])


def test_an_event_that_ends_without_a_begin_is_an_error() -> None:
    with pytest.raises(ValueError, match="never began"):
        table.rows([Mark(1.0, "reload", "end")])


def test_an_event_may_happen_twice() -> None:
    marks = [Mark(float(n), "reload", edge) for n, edge in enumerate(("begin", "end", "begin", "end"))]
    assert [(name, begin, end) for name, begin, end, _more in table.spans(marks)] == [
        ("reload", 0, 1),
        ("reload", 2, 3),
    ]


def test_the_table_is_markdown_and_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "load.jsonl"
    path.write_text("".join(line_of(entry) for entry in LOG))
    assert cli.main(["table", "--log", str(path), "--json", str(tmp_path / "table.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("| ---")
    assert {line.count("|") for line in lines[:5]} == {10}
    assert "kill: 2 x failed: words" in lines
    assert [row["event"] for row in json.loads((tmp_path / "table.json").read_text())] == [
        "reload",
        "kill",
        table.BETWEEN,
    ]


def test_a_column_of_one_letter_has_a_rule_too() -> None:
    lines = table.markdown([("what", "s"), ("x", "7")], [1]).splitlines()
    assert lines == ["| what |  s |", "| ---- | -: |", "| x    |  7 |"]


def test_marks_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "load.jsonl"
    assert cli.main(["mark", "--log", str(path), "reload", "begin"]) == 0
    assert cli.main(["mark", "--log", str(path), "reload", "end", "--note", "well"]) == 0
    assert [row.note for row in table.rows(read(path.read_text().splitlines()))] == ["well"]


METRICS = """\
# HELP haproxy_server_status Current status of the service, per state label value.
# TYPE haproxy_server_status gauge
haproxy_server_status{proxy="vllm-qwen3.5",server="a2-1:0",state="DOWN"} 0
haproxy_server_status{proxy="vllm-qwen3.5",server="a2-1:0",state="UP"} 1
haproxy_server_status{proxy="vllm-qwen3.5",server="a2-1:1",state="UP"} 0
haproxy_server_status{proxy="vllm-qwen3.5",server="a2-1:1",state="DRAIN"} 1
haproxy_server_status{proxy="vllm-other",server="a2-1:1",state="UP"} 1
"""


def test_the_servers_of_a_gateway() -> None:
    assert servers_of(METRICS, "vllm-qwen3.5") == {"a2-1:0": "UP", "a2-1:1": "DRAIN"}


def test_a_look_at_the_fleet() -> None:
    answers = {"http://r0/health": "", "http://gw/metrics": METRICS}
    replicas = {"a2-1:0": "http://r0/health", "a2-1:1": "http://r1/health"}
    watch = Watch(replicas, {"gw-1": "http://gw/metrics", "gw-2": "http://gone/metrics"}, "vllm-qwen3.5", answers.get)
    seen = watch.look()
    watch.close()
    assert seen.healthy == {"a2-1:0": True, "a2-1:1": False}
    assert seen.gateways == {"gw-1": {"a2-1:0": "UP", "a2-1:1": "DRAIN"}, "gw-2": None}
    assert table.in_service(seen) == 1
