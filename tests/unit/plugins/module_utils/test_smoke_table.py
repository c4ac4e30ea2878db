# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of all answers."""

from __future__ import annotations

from ansible_collections.ascend.fleet.plugins.module_utils._serving import smoke_table


def answer(question, replica=0, problems=(), **more):
    return {
        "unit": "vllm-qwen3.5@%d.service" % replica,
        "url": "http://127.0.0.1:%d" % (8010 + replica),
        "replica": replica,
        "release": "qwen3_5_27b_v0",
        "question": question,
        "words": "我是通义千问",
        "first_token_seconds": 0.412,
        "tokens": 200,
        "tokens_per_second": 38.25,
        "seconds": 5.6,
        "problems": list(problems),
        **more,
    }


GOOD = {"answers": [answer("hello"), answer("picture", words="TONGYI Qwen"), answer("hello", 1), answer("picture", 1)]}


def shown(report):
    return [line for line, _tone in smoke_table.lines(report, "for r")]


def test_one_row_for_each_question():
    report = smoke_table.build(["a2-1"], {"a2-1": GOOD}, {"a2-1": "192.0.2.11"}, {})
    assert shown(report) == [
        "",
        "SMOKE for r: 2 replicas on 1 host, 4 answers good, 0 wrong",
        "REPLICA  ADDRESS          RELEASE         QUESTION  FIRST TOKEN  TOKENS/S  ANSWER",
        "a2-1:0   192.0.2.11:8010  qwen3_5_27b_v0  hello     0.41 s       38.2      我是通义千问",
        "                                          picture   0.41 s       38.2      TONGYI Qwen",
        "a2-1:1   192.0.2.11:8011  qwen3_5_27b_v0  hello     0.41 s       38.2      我是通义千问",
        "                                          picture   0.41 s       38.2      我是通义千问",
    ]
    assert smoke_table.lines(report)[1][1] == "ok"
    replica = report["replicas"][1]
    assert (replica["name"], replica["unit"], replica["release"]) == (
        "a2-1:1",
        "vllm-qwen3.5@1.service",
        "qwen3_5_27b_v0",
    )
    assert replica["questions"][0]["tokens"] == 200


def test_what_is_wrong_is_told_with_its_replica():
    wrong = answer(
        "hello", 1, ["found no first token within 300 s; needed an answer"], words="", first_token_seconds=None
    )
    wrong["tokens_per_second"] = None
    report = smoke_table.build(["a2-1"], {"a2-1": {"answers": [*GOOD["answers"][:2], wrong]}}, {}, {})
    lines = shown(report)
    assert (report["good"], report["wrong"]) == (2, 2)
    assert lines[5].split() == ["a2-1:1", "a2-1:8011", "qwen3_5_27b_v0", "hello", "-", "-", "WRONG"]
    assert lines[6].split(maxsplit=3) == ["picture", "-", "-", "not asked, because of the question before"]
    assert lines[7] == "1. a2-1:1, hello: found no first token within 300 s; needed an answer"
    assert [tone for _line, tone in smoke_table.lines(report)[4:]] == [None, "error", "error", "error"]


def test_hosts_that_were_not_asked_are_named():
    report = smoke_table.build(["a2-1", "a2-2", "a2-3"], {"a2-1": GOOD}, {}, {"a2-2": "unreachable: no route"})
    lines = shown(report)
    assert lines[1].endswith("4 answers good, 0 wrong, 1 host not asked")
    assert lines[-1] == "a2-2 was not asked: unreachable: no route"
    assert not any("a2-3" in line for line in lines)  # its turn is still to come


def test_a_replica_without_number_or_release():
    bare = answer("hello", replica=0)
    bare.update(replica=None, release=None)
    report = smoke_table.build(["h"], {"h": {"answers": [bare]}}, {"h": "2001:db8::1"}, {})
    assert shown(report)[3].split()[:3] == ["h:8010", "[2001:db8::1]:8010", "-"]


def test_nothing_at_all():
    assert shown(smoke_table.build(["h"], {"h": {"answers": []}}, {}, {}))[1:] == [
        "SMOKE for r: 0 replicas on 1 host, 0 answers good, 0 wrong"
    ]


def test_what_a_model_writes_cannot_steer_a_terminal():
    evil = answer("hello", words="\x1b[31mred")
    assert "\x1b" not in "".join(shown(smoke_table.build(["h"], {"h": {"answers": [evil]}}, {}, {})))
