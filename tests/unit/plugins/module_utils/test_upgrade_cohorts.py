# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bakes: what is good, bad or inconclusive, and what an upgrade does about it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._release.upgrade import DEFAULTS
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import bake_table, cohorts, samples

NOW = 1_796_000_000.0
MINUTES = 10


def sample(at, ended=0, failed=0, tokens=None, wait=0.4, gateway=None, **changed):
    """A sample of a host with one replica, whose counters stand at this; ``wait``: the time to the first token."""
    slow = float(ended if wait > 1 else 0)
    replica = {
        "replica": 0,
        "unit": "vllm-m@0.service",
        "active_state": "active",
        "restarts": 0,
        "invocation": "i",
        "started": NOW - 1000,
        "running": 0.0,
        "waiting": 0.0,
        "finished": {"stop": float(ended - failed), "error": float(failed), "abort": 0.0},
        "generation_tokens": float(100 * ended if tokens is None else tokens),
        "preemptions": 0.0,
        "answers_5xx": None,
        "histograms": {"ttft": {"0.5": ended - slow, "1.0": ended - slow, "4.0": float(ended), "+Inf": float(ended)}},
        "watchdog": None,
        "problem": "",
    }
    replica.update(changed)
    return {"at": at, "replicas": [replica], "gateway": gateway, "problems": []}


def host(name, ended=500, failed=0, generation="a2", minutes=MINUTES, before=None, **changed):
    first = sample(NOW, 1000, 3, **(before or {}))
    return cohorts.Host(name, generation, first, sample(NOW + 60 * minutes, 1000 + ended, 3 + failed, **changed))


def gateway(**servers):
    """A host with nothing but a gateway. servers: what it counted of each host's replica within the bake."""

    def at(uptime, counts):
        own = {"vllm-m/%s:0" % n: {**dict.fromkeys(samples.SERVER_COUNTS, 0), **c} for n, c in counts.items()}
        told = {"pid": 7, "uptime_seconds": uptime, "servers": own, "problem": ""}
        return {"at": NOW + uptime, "replicas": [], "gateway": told, "problems": []}

    return cohorts.Host("gw-1", "", at(0, {name: {} for name in servers}), at(60 * MINUTES, servers))


def judge(new, old=(), gateways=(), limits=None, **request):
    wanted = {"minutes": MINUTES, "limits": {**DEFAULTS["bake"], **(limits or {})}, **request}
    found = cohorts.judge(list(new), list(old), list(gateways), cohorts.Request(**wanted))
    json.dumps(found.as_data(), allow_nan=False)
    assert bake_table.lines(found.as_data())
    return found


def test_a_good_release_is_good():
    found = judge([host("n1")], [host("o1"), host("o2")])
    assert (found.verdict, found.go_on, found.reasons, found.problems) == ("good", True, [], [])
    new, old = found.figures
    assert (new["cohort"], new["requests"], new["failed"], new["error_share"]) == ("new", 500, 0, 0)
    assert (old["cohort"], old["hosts"], old["requests"], old["minutes"]) == ("old", ["o1", "o2"], 1000, 10)
    assert new["ttft_p95_seconds"] == pytest.approx(0.475)
    assert new["inter_token_p95_seconds"] is None


# - the share of failed requests -


@pytest.mark.parametrize(
    ("new", "old", "verdict"),
    [
        ((1000, 0), (1000, 0), "good"),
        ((1000, 5), (1000, 0), "good"),
        ((1000, 6), (1000, 0), "bad"),
        ((1000, 8), (1000, 4), "good"),
        ((1000, 9), (1000, 4), "good"),
        ((1000, 10), (1000, 4), "bad"),
        ((1000, 10), (1000, 9), "bad"),  # below 1 % with the old one alone
        ((1000, 30), (1000, 0), "bad"),
        ((1000, 12), (1000, 11), "inconclusive"),  # both fail
        ((1000, 12), (1000, 10), "inconclusive"),
        ((1000, 30), (1000, 11), "bad"),
        ((100, 0), (100, 0), "good"),
        ((99, 0), (1000, 0), "inconclusive"),
        ((99, 50), (1000, 0), "inconclusive"),  # of few requests nothing is concluded
        ((100, 1), (1000, 0), "bad"),
        # too few of the old one: the limit alone decides
        ((1000, 9), (99, 0), "good"),
        ((1000, 10), (99, 99), "bad"),
    ],
)
def test_the_share_of_failed_requests(new, old, verdict):
    found = judge([host("n1", *new)], [host("o1", *old)])
    assert found.verdict == verdict
    assert (verdict == "good") == (not found.reasons)
    assert found.figures[0]["failed"] == new[1]


def test_thresholds_are_the_release_s():
    assert judge(
        [host("n1", 1000, 30)], [host("o1")], limits={"error_share": 0.05, "error_share_above_old": 0.04}
    ).go_on
    assert judge([host("n1", 20)], [host("o1")], limits={"min_requests": 20}).verdict == "good"


def test_generations_are_judged_each_for_itself():
    a3 = [host("n3", 500, 20, generation="a3")]
    found = judge([host("n1"), *a3], [host("o1"), host("o3", generation="a3")])
    assert found.verdict == "bad"
    assert [r.split(":")[0] for r in found.reasons] == ["a3"]
    assert [(f["generation"], f["cohort"]) for f in found.figures] == [
        ("a2", "new"), ("a2", "old"), ("a3", "new"), ("a3", "old"),
    ]  # fmt: skip
    # hosts of the other generation are nothing to compare with
    found = judge([host("n1", 500, 4)], [host("o3", 500, 4, generation="a3")])
    assert (found.verdict, len(found.figures)) == ("good", 1)
    assert "no host of the old release" in found.notes[0]


def test_bad_goes_before_inconclusive():
    found = judge([host("n1", 10), host("n3", 500, 20, generation="a3")], [host("o1")])
    assert found.verdict == "bad"
    assert any("needed 100" in note for note in found.notes)


# - gateways -


def test_what_the_gateway_saw_fail_counts():
    for counts in (
        {"answers": 485, "answers_5xx": 15},
        {"answers": 500, "server_aborts": 15},
        {"answers": 485, "response_errors": 15},
        # a connection that was reset counts as both
        {"answers": 500, "response_errors": 9, "server_aborts": 15},
    ):
        found = judge([host("n1")], [host("o1")], [gateway(n1=counts, o1={"answers": 500})])
        assert (found.verdict, found.figures[0]["failed"], found.figures[1]["failed"]) == ("bad", 15, 0)


def test_the_same_failure_is_counted_once():
    found = judge([host("n1", 500, 4)], [host("o1", 500, 4)], [gateway(n1={"answers": 496, "answers_5xx": 4})])
    assert (found.verdict, found.figures[0]["failed"], found.figures[0]["requests"]) == ("good", 4, 500)


def test_a_client_that_leaves_is_no_failure_of_the_release():
    aborted = {"finished": {"stop": 1470.0, "error": 3.0, "abort": 30.0}}
    seen = gateway(n1={"answers": 500, "client_aborts": 30})
    assert judge([host("n1", **aborted)], [host("o1")], [seen]).verdict == "good"
    seen = gateway(n1={"answers": 500, "client_aborts": 20})
    found = judge([host("n1", **aborted)], [host("o1")], [seen])
    assert (found.verdict, found.figures[0]["failed"], found.figures[0]["engine_aborts"]) == ("bad", 10, 30)


def test_without_a_gateway_aborts_decide_nothing():
    """Nobody has seen whether clients left."""
    aborted = {"finished": {"stop": 1470.0, "error": 3.0, "abort": 30.0}}
    found = judge([host("n1", **aborted)], [host("o1")], [])
    assert (found.verdict, found.figures[0]["failed"], found.figures[0]["engine_aborts"]) == ("good", 0, 30)


def test_a_gateway_that_was_reloaded_is_told_and_aborts_do_not_count_then():
    aborted = {"finished": {"stop": 1470.0, "error": 3.0, "abort": 30.0}}
    seen = gateway(n1={"answers": 300, "client_aborts": 10})
    seen.after["gateway"]["pid"] = 8
    found = judge([host("n1", **aborted)], [host("o1")], [seen])
    assert found.verdict == "good"
    assert "reloaded or restarted" in found.notes[0]
    seen.after["gateway"]["servers"]["vllm-m/n1:0"]["server_aborts"] = 20
    assert judge([host("n1")], [host("o1")], [seen]).verdict == "bad"


def test_a_gateway_that_cannot_be_read_makes_it_inconclusive():
    unread = cohorts.Host("gw-1", "", problem="unreachable: no route")
    found = judge([host("n1")], [host("o1")], [unread])
    assert (found.verdict, found.problems) == ("inconclusive", ["gateway gw-1: unreachable: no route"])
    silent = gateway(n1={})
    silent.after["gateway"]["problem"] = "nobody listening"
    assert judge([host("n1")], [host("o1")], [silent]).problems == ["gateway gw-1: nobody listening"]
    gone = gateway(n1={})
    gone.after["gateway"] = None
    assert "one of the two samples" in judge([host("n1")], [host("o1")], [gone]).problems[0]


def test_a_gateway_of_the_host_itself_is_looked_at():
    seen = gateway(n1={"answers": 480, "server_aborts": 20})
    own = host("n1")
    own.before["gateway"], own.after["gateway"] = seen.before["gateway"], seen.after["gateway"]
    for named in ([], [own]):  # named twice, it counts once
        found = judge([own], [host("o1")], named)
        assert (found.verdict, found.figures[0]["failed"]) == ("bad", 20)


# - deaths -


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"restarts": 2}, "n1:0: its engine was restarted 2 times"),
        ({"started": NOW + 100}, "n1:0: its engine was restarted once"),
        ({"active_state": "failed", "problem": "its unit is failed"}, "n1:0: its engine does not run"),
        ({"watchdog": {"state": "stalled", "reason": "hangs"}}, "n1:0: its engine stalls: hangs"),
        # it hangs so that it does not even tell its counters
        (
            {"watchdog": {"state": "stalled", "reason": "hangs"}, "problem": "timed out"},
            "n1:0: its engine stalls: hangs",
        ),
    ],
)
def test_restarts_and_stalls_of_the_new_release_are_bad(changed, words):
    found = judge([host("n1", **changed)], [host("o1")], extended=True, promote=True)
    assert (found.verdict, found.go_on) == ("bad", False)
    assert words in found.reasons


def test_those_of_the_old_release_are_shown():
    found = judge([host("n1")], [host("o1", restarts=1), host("o2")])
    assert (found.verdict, found.figures[1]["restarts"]) == ("good", 1)


# - times -


def test_times_decide_only_where_the_release_has_a_limit():
    new, old = [host("n1", wait=3, before={"wait": 3})], [host("o1")]
    assert judge(new, old).verdict == "good"
    found = judge(new, old, limits={"ttft_p95": 1.25})
    assert found.verdict == "bad"
    assert found.reasons == ["a2: TTFT p95 is 3.9 s, and 475 ms with the old release; needed at most 1.25 times that"]
    assert judge(new, old, limits={"ttft_p95": 10}).verdict == "good"
    found = judge(new, [], limits={"ttft_p95": 1.25, "inter_token_p95": 1.15})
    assert found.verdict == "good"
    assert sum("was not judged" in note for note in found.notes) == 2


def test_preemptions_decide_only_where_the_release_has_a_limit():
    new = [host("n1", preemptions=100.0)]
    assert judge(new, [host("o1")]).figures[0]["preemptions"] == 100
    assert judge(new, [host("o1")], limits={"preemptions_per_request": 0.2}).verdict == "good"
    assert judge(new, [host("o1")], limits={"preemptions_per_request": 0.1}).verdict == "bad"


# - what could not be measured -


@pytest.mark.parametrize(
    "bad",
    [
        cohorts.Host("n2", "a2", problem="the sample: unreachable"),
        cohorts.Host("n2", "a2", sample(NOW), None),
        cohorts.Host("n2", "a2", None, sample(NOW)),
        cohorts.Host("n2", "a2", sample(NOW), sample(NOW + 30)),
        cohorts.Host("n2", "a2", sample(NOW), {"at": NOW + 600, "replicas": [], "gateway": None}),
        cohorts.Host("n2", "a2", {"at": NOW, "replicas": [], "gateway": None}, {"at": NOW + 600, "replicas": []}),
        host("n2", problem="timed out"),
    ],
)
def test_a_new_host_that_was_not_read_makes_it_inconclusive_and_never_bad(bad):
    for extended in (False, True):
        found = judge([host("n1"), bad], [host("o1")], extended=extended)
        assert (found.verdict, found.go_on) == ("inconclusive", False)
        assert len(found.problems) == 1
        assert found.problems[0].startswith("n2")
        assert found.figures[0]["unread"] == 1


def test_an_old_host_that_was_not_read_is_a_note_as_long_as_there_is_another():
    bad = cohorts.Host("o2", "a2", problem="unreachable")
    found = judge([host("n1")], [host("o1"), bad])
    assert (found.verdict, found.notes) == ("good", ["o2: unreachable"])
    found = judge([host("n1")], [bad])
    assert (found.verdict, found.few) == ("inconclusive", False)


def test_without_a_new_host_nothing_is_good():
    assert judge([], [host("o1")]).verdict == "inconclusive"


# - what follows -


def test_an_inconclusive_bake_is_extended_once_up_to_the_longest():
    found = judge([host("n1", 20)], [host("o1")], canary=True)
    assert (found.go_on, found.extend_minutes, found.question) == (False, 20, "")
    found = judge([host("n1", 20, minutes=30)], [host("o1", minutes=30)], canary=True, minutes=30, extended=True)
    assert (found.go_on, found.extend_minutes) == (False, 0)
    assert "20 requests, needed 100" in found.question
    assert "fleet_promote=true" in found.question


def test_there_is_no_extension_where_the_bake_is_as_long_already():
    found = judge([host("n1", 20)], [host("o1")], canary=True, limits={"longest_minutes": 10})
    assert (found.extend_minutes, bool(found.question)) == (0, True)


def test_after_a_good_canary_few_requests_and_no_bad_sign_go_on():
    later = {"extended": True, "canary": False}
    found = judge([host("n1", 20)], [host("o1")], **later)
    assert (found.verdict, found.go_on, found.question) == ("inconclusive", True, "")
    # one that failed is a bad sign, and so is something that could not be measured
    assert not judge([host("n1", 20, 1)], [host("o1")], **later).go_on
    assert not judge([host("n1", 20), cohorts.Host("n2", "a2", problem="gone")], [host("o1")], **later).go_on


def test_an_operator_may_promote_what_is_inconclusive_and_not_what_is_bad():
    found = judge([host("n1", 20, 1)], [host("o1")], canary=True, promote=True)
    assert (found.verdict, found.go_on, found.extend_minutes, found.question) == ("inconclusive", True, 0, "")
    assert not judge([host("n1", 500, 50)], [host("o1")], promote=True).go_on


def test_without_a_bake_nothing_is_judged():
    found = judge([cohorts.Host("n1", "a2")], minutes=0)
    assert (found.verdict, found.go_on, found.figures) == ("good", True, [])
    assert "fleet_bake_minutes is 0" in found.notes[0]


def test_a_bake_may_last_for_a_fraction_of_a_minute():
    short = {"minutes": 0.2}
    assert judge([host("n1", **short)], [host("o1", **short)], **short).verdict == "good"


def test_the_table():
    found = judge([host("n1", 1000, 30), cohorts.Host("n2", "a2", problem="gone")], [host("o1", 1000)])
    shown = bake_table.lines(found.as_data(), "of wave 1")
    text = [line for line, _tone in shown]
    assert shown[1] == ("BAKE of wave 1: bad", "error")
    assert text[2].split()[:4] == ["GENERATION", "RELEASE", "HOSTS", "REPLICAS"]
    assert " ".join(text[3].split()) == "a2 new 2 1 (1 not read) 10.0 1000 30 3 % 0 0 475 ms - 0"
    assert " ".join(text[4].split()) == "a2 old 1 1 10.0 1000 0 0 % 0 0 475 ms - 0"
    assert text[5].startswith("  a2: 30 of 1000 requests of the new release failed (3 %)")
    assert "  not measured: n2: gone" in text
    waits = bake_table.lines(judge([host("n1", 20)], [host("o1")]).as_data())
    assert ("  it is extended by 20 minutes", "warning") in waits
