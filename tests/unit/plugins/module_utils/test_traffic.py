# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may take which replica out of traffic, and who may put it back."""

from __future__ import annotations

import json

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._host.haproxy import Server
from ansible_collections.ascend.fleet.plugins.module_utils._serving import traffic
from ansible_collections.ascend.fleet.plugins.module_utils._serving.traffic import Replica, Request, TrafficError

NOW = 1_800_000_000.0
DRAINED_AT = NOW - 1000
KEY = "vllm-qwen3.5/a2-1:0"


def server(name="a2-1:0", state="ready", status="UP", backend="vllm-qwen3.5", commanded=None, **more):
    told = state != "ready" if commanded is None else commanded
    return Server(backend, name, "10.0.0.1", 8010, state, told, status, **{"sessions": 0, "queued": 0, **more})


def record(owner, since=DRAINED_AT):
    return {"by": "bob", "reason": "fan", "since": traffic.time_text(since), "owner": owner}


def decide(state, owner, servers, records=None, **more):
    request = Request(state, owner=owner, by="alice", reason="new option", **more)
    return traffic.decide(servers, records or {}, request, now=NOW)


def outcome(state, owner, is_out, noted=None):
    """The command, the owner in the note afterwards, and whether anything changed, for one server."""
    records = {KEY: record(noted)} if noted else {}
    (decision,) = decide(state, owner, [server(state="drain" if is_out else "ready")], records)
    return decision.command, decision.record and decision.record["owner"], decision.changed


@pytest.mark.parametrize(
    ("state", "owner", "is_out", "noted", "expected"),
    [
        # out
        ("out", "change", False, None, ("drain", "change", True)),
        ("out", "change", True, "change", (None, "change", False)),
        ("out", "change", True, "operator", (None, "operator", False)),
        ("out", "change", True, None, (None, None, False)),  # by hand: no note is made of it
        ("out", "operator", True, "change", (None, "operator", True)),  # taken over
        ("out", "operator", True, None, (None, None, False)),
        ("out", "operator", True, "watchdog", (None, "operator", True)),
        # in
        ("in", "change", True, "change", ("ready", None, True)),
        ("in", "change", True, "operator", (None, "operator", False)),
        ("in", "change", True, "watchdog", (None, "watchdog", False)),
        ("in", "change", True, None, (None, None, False)),
        ("in", "operator", True, None, ("ready", None, True)),
        ("in", "operator", True, "operator", ("ready", None, True)),
        ("in", "operator", True, "change", (None, "change", False)),
        ("in", "operator", False, None, (None, None, False)),
        # nothing but telling
        ("query", "operator", True, "change", (None, "change", False)),
        ("restore", "operator", True, "change", (None, "change", False)),
    ],
)
def test_an_owner_undoes_only_what_it_has_done(state, owner, is_out, noted, expected):
    assert outcome(state, owner, is_out, noted) == expected


@pytest.mark.parametrize("noted", ["operator", "change", "watchdog"])
def test_a_gateway_that_has_forgotten_is_told_again(noted):
    assert outcome("restore", "operator", is_out=False, noted=noted) == ("drain", noted, True)
    assert outcome("restore", "operator", is_out=False) == (None, None, False)


@pytest.mark.parametrize(
    ("state", "owner", "expected"),
    [
        ("query", "operator", (None, None, False)),
        ("in", "change", (None, None, False)),
        ("in", "operator", (None, None, False)),
        ("out", "change", ("drain", "change", True)),
    ],
)
def test_a_drain_that_was_undone_by_hand_is_forgotten(state, owner, expected):
    assert outcome(state, owner, is_out=False, noted="operator") == expected


def test_what_the_configuration_keeps_out_is_nobody_elses():
    (decision,) = decide("in", "operator", [server(state="maint", commanded=False)])
    assert decision.command is None
    assert traffic.entry(decision)["owner"] == "configuration"


@pytest.mark.parametrize(
    ("given", "host", "expected"),
    [
        ([0, "1"], "a2-1", [Replica("a2-1", 0), Replica("a2-1", 1)]),
        (["a2-1:0", "a3-1"], "", [Replica("a2-1", 0), Replica("a3-1")]),
        ([{"host": "a2-1", "replica": 2}, {"host": "a2-1"}], "", [Replica("a2-1", 2), Replica("a2-1")]),
        ([{"host": "a2-1", "replica": None}], "", [Replica("a2-1")]),
        ([], "a2-1", [Replica("a2-1")]),
        ([], "", []),
    ],
)
def test_replicas_are_named_as_people_name_them(given, host, expected):
    assert traffic.parse_replicas(given, host) == expected


@pytest.mark.parametrize("given", [[0], [""], [{"replica": 1}], [":1"]])
def test_a_replica_without_a_host_is_an_error(given):
    with pytest.raises(TrafficError, match="without a host"):
        traffic.parse_replicas(given)


def test_replicas_are_found_in_every_backend_and_missing_ones_are_named():
    servers = [server("a2-1:0"), server("a2-1:1"), server("a2-10:0"), server("a2-1:0", backend="vllm-other")]
    chosen, missing = traffic.select(servers, Request("out", traffic.parse_replicas(["a2-1:0", "a2-9"])))
    assert [s.key for s in chosen] == ["vllm-qwen3.5/a2-1:0", "vllm-other/a2-1:0"]
    assert missing == ["a2-9"]
    chosen, _missing = traffic.select(servers, Request("out", [Replica("a2-1")], backend="vllm-qwen3.5"))
    assert [s.name for s in chosen] == ["a2-1:0", "a2-1:1"]


@pytest.mark.parametrize(
    ("others", "refused"),
    [
        ([], True),
        ([server("a3-1:0", status="DOWN")], True),
        ([server("a3-1:0", status="DOWN 1/2")], True),
        ([server("a3-1:0", state="drain")], True),
        ([server("a3-1:0", backend="vllm-other")], True),
        ([server("a3-1:0", status="UP 1/3")], False),
        ([server("a3-1:0", status="no check")], False),
    ],
)
def test_the_last_replica_in_service_is_not_taken_out(others, refused):
    servers = [server(), *others]
    more = {"replicas": [Replica("a2-1")], "allow_last": False}
    if refused:
        with pytest.raises(TrafficError, match=r"no other replica in service than a2-1:0; .*fleet_accept_outage"):
            decide("out", "operator", servers, **more)
    else:
        assert decide("out", "operator", servers, **more)[0].command == "drain"
    assert decide("out", "operator", servers, **{**more, "allow_last": True})[0].command == "drain"


def test_what_does_not_serve_may_be_taken_out_though_nothing_else_serves():
    assert decide("out", "change", [server(status="DOWN")], allow_last=False)[0].command == "drain"


def test_what_is_told_again_may_be_the_last_one():
    (decision,) = decide("restore", "operator", [server()], {KEY: record("operator")}, allow_last=False)
    assert decision.command == "drain"


def test_notes_of_servers_that_are_gone_go_with_a_change_and_stay_with_an_operator():
    records = {KEY: record("change"), "b/x:0": record("change"), "b/y:0": record("operator")}
    servers = [server(state="drain")]
    after = traffic.remaining(records, servers, decide("in", "change", servers, records))
    assert after == {"b/y:0": records["b/y:0"]}


def test_an_entry_says_who_and_why():
    records = {KEY: record("operator")}
    (decision,) = decide("query", "operator", [server(state="drain", sessions=3)], records)
    shown = traffic.entry(decision)
    assert (shown["host"], shown["replica"], shown["admin_state"], shown["sessions"]) == ("a2-1", 0, "drain", 3)
    assert (shown["owner"], shown["drained_by"], shown["reason"]) == ("operator", "bob", "fan")
    assert shown["since"] == traffic.time_text(DRAINED_AT)
    by_hand = traffic.entry(decide("query", "operator", [server(state="drain")])[0])
    assert (by_hand["owner"], by_hand["drained_by"], by_hand["since"]) == ("operator", "by hand", "")
    ready = traffic.entry(decide("query", "operator", [server()])[0])
    assert (ready["owner"], ready["drained_by"]) == ("", "")


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ({KEY: record("operator")}, "a2-1:0 is out of traffic since %s, by bob (operator): fan"),
        ({}, "a2-1:0 is out of traffic, drained by hand"),
    ],
)
def test_what_is_out_is_a_sentence(records, text):
    (decision,) = decide("query", "operator", [server(state="drain")], records)
    since = traffic.time_text(DRAINED_AT)
    assert traffic.out_text(traffic.entry(decision)) == (text % since if "%s" in text else text)


def test_the_diff_has_what_changes():
    servers = [server(), server("a2-1:1", state="drain")]
    decisions = decide("out", "change", servers)
    assert traffic.diff_lines(decisions, {}, after=False) == KEY + ": ready\n"
    assert traffic.diff_lines(decisions, {}, after=True) == KEY + ": drain (change, alice, new option)\n"


def test_what_is_left_is_named_and_unknown_is_not_nothing():
    servers = [server(), server("b:1", sessions=1), server("c:2", queued=2), server("d:3", sessions=None)]
    left = traffic.left(servers)
    assert [s.name for s in left] == ["b:1", "c:2", "d:3"]
    words = "b:1: 1 session, c:2: 0 sessions, 2 queued, d:3: an unknown number of sessions"
    assert traffic.load_text(left) == words


def test_records_are_read_as_they_were_written():
    records = {KEY: record("operator"), "b/s:0": record("watchdog")}
    assert traffic.parse_records(traffic.dump_records(records), "/r") == records
    assert traffic.parse_records("", "/r") == {}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"b/s": 1}',
        json.dumps({"b/s": {"owner": "me", "since": traffic.time_text(0)}}),
    ],
)
def test_records_that_cannot_be_read_are_an_error_with_the_fix(text):
    with pytest.raises(TrafficError, match=r"found /r unreadable: .*Fix: "):
        traffic.parse_records(text, "/r")
