# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions and what makes an answer wrong."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.http_client import Answer
from ansible_collections.ascend.fleet.plugins.module_utils._host.systemd import SystemdError
from ansible_collections.ascend.fleet.plugins.module_utils._serving import answers, probe
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

REPLICA = {"unit": "vllm-qwen3.5@0.service", "url": "http://127.0.0.1:8010"}
CHINESE = "你好！我是通义千问（Qwen3.5），由阿里云研发的大型语言模型，可以回答问题、撰写文章、编写代码。"


@pytest.fixture(scope="module")
def questions():
    return _releases.by_name("qwen3_5_27b_v0", {})["smoke"]["questions"]


class Clock:
    """A clock that the made-up server moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def completion(text, **more):
    choice = {"text": text, "finish_reason": more.pop("finish_reason", "length")}
    usage = {"prompt_tokens": 9, "completion_tokens": 200}
    return Answer(200, json.dumps({"model": "qwen3.5", "choices": [choice], "usage": usage, **more}))


def chat(content, finish="stop", **message):
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return Answer(200, json.dumps({"model": "qwen3.5", "choices": [choice], "usage": {"total_tokens": 5}}))


def events(*deltas, finish="stop", usage=None, done=True, chatting=True):
    """A stream, as (seconds after the last one, data)."""
    found = []
    for text in deltas:
        choice = {"delta": {"content": text}} if chatting else {"text": text}
        found.append((0.5, json.dumps({"model": "qwen3.5", "choices": [choice]})))
    if finish:
        found.append((0, json.dumps({"model": "qwen3.5", "choices": [{"delta": {}, "finish_reason": finish}]})))
    if usage is not None:
        found.append((0, json.dumps({"model": "qwen3.5", "choices": [], "usage": {"completion_tokens": usage}})))
    return found + [(0, "[DONE]")] * done


def ask(question, *answers, **more):
    """The record, and the bodies that were sent. An answer is an Answer, or the events of a stream before it."""
    sent, left, clock = [], list(answers), Clock()

    def send(url, on_event, limits, *, body, api_key=""):
        sent.append((url, body, api_key))
        answer = left.pop(0)
        if isinstance(answer, Answer):
            clock.now += 1.5
            return answer
        for seconds, data in answer:
            clock.now += seconds
            on_event(data)
        return left.pop(0) if left else Answer(200)

    def fetch(url, *, timeout, body=None, api_key=""):
        return left.pop(0)

    asking = probe.Asking(send=send, fetch=fetch, clock=clock, **more)
    return probe.ask(REPLICA, question, "qwen3.5", asking), sent


class TestGood:
    def test_text(self, questions):
        record, sent = ask(questions[0], completion(CHINESE))
        assert record["problems"] == []
        assert record["usage"]["completion_tokens"] == 200
        assert record["seconds"] == 1.5
        assert sent == [
            (
                "http://127.0.0.1:8010/v1/completions",
                {
                    "model": "qwen3.5",
                    "prompt": "介绍一下你自己,用中文回答",
                    "max_tokens": 200,
                    "temperature": 0,
                    "stream": True,
                    "stream_options": {"include_usage": True},
                },
                "",
            )
        ]

    def test_picture_is_sent_with_the_question(self, questions):
        kept = copy.deepcopy(questions[1])
        record, sent = ask(questions[1], chat('The text in the illustration is "TONGYI Qwen".'), api_key="k")
        assert record["problems"] == []
        url = sent[0][1]["messages"][1]["content"][0]["image_url"]["url"]
        assert url.startswith("data:image/png;base64,")
        assert sent[0][2] == "k"
        assert questions[1] == kept

    @pytest.mark.parametrize(
        "answer",
        [
            chat("<think>The picture shows a logo.</think>\n\nIt says TONGYI Qwen."),
            chat("The picture shows a logo.</think>\n\nIt says TONGYI Qwen."),
            chat("It says TONGYI Qwen.", reasoning_content="a logo"),
        ],
    )
    def test_reasoning_before_the_answer(self, questions, answer):
        record, _sent = ask(questions[1], answer)
        assert record["problems"] == []
        assert record["text"] == "It says TONGYI Qwen."


class TestWrong:
    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (Answer(None, error="connection refused", refused=True), "systemctl status vllm-qwen3.5@0.service"),
            (Answer(None, error="no first token within 9 s", timed_out=True), "no first token within 9 s"),
            (Answer(500, '{"error": {"message": "EngineCore encountered an issue."}}'), "HTTP 500: "),
            (Answer(500, ""), "HTTP 500 with an empty body"),
            (Answer(401, '{"error":"Unauthorized"}'), "vllm_smoke_api_key"),
            (Answer(200, "<html>nginx</html>"), "<html>nginx</html>"),
            (Answer(200, "[]"), "no JSON object"),
            (Answer(200, "{}"), 'found no text in "{}" from '),
            (Answer(200, '{"model": "qwen3.5", "choices": []}'), "needed a choice with text"),
            (
                completion(CHINESE, model="other"),
                "of the model 'other' from http://127.0.0.1:8010/v1/completions; needed qwen3.5. Fix: ",
            ),
            (completion("你好"), "2 characters"),
            (completion(""), "0 characters"),
            (completion("I am a large language model made by somebody."), "needed an answer in Chinese"),
            (completion("!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"), "garbled"),
            (completion("我是通义千问\ufffd\ufffd，由阿里云研发的大型语言模型，很高兴"), "garbled"),
        ],
    )
    def test_text(self, questions, answer, words):
        record, _sent = ask(questions[0], answer)
        assert words in "\n".join(record["problems"])

    def test_unknown_model_names_those_that_are_served(self, questions):
        models = Answer(200, json.dumps({"data": [{"id": "llama"}]}))
        record, _sent = ask(questions[0], Answer(404, '{"error":"no model"}'), models)
        assert record["problems"] == [
            "found the models llama at http://127.0.0.1:8010; needed qwen3.5. "
            "Fix: see who listens there with `ss -ltnp 'sport = :8010'`"
        ]

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ({"ActiveState": "inactive", "SubState": "dead"}, "stopped; needed it serving. Fix: systemctl start vllm-"),
            ({"ActiveState": "failed", "Result": "exit-code"}, "failed (exit-code); needed it serving. Fix: see `jour"),
            ({"ActiveState": "activating", "SubState": "auto-restart"}, "the unit between two starts; needed it"),
            ({"ActiveState": "active", "SubState": "running"}, "the unit is active; needed it serving. Fix: where it"),
            ({}, "needed an answer with status 200. Fix: see `systemctl status vllm-qwen3.5@0.service`"),
        ],
    )
    def test_nobody_answers(self, questions, state, words):
        """What systemd knows of the unit says what to do, once and not for every question."""
        asked = []

        def send(url, *_given, **_options):
            asked.append(url)
            return Answer(None, error="connection refused", refused=True)

        asking = probe.Asking(send=send, unit_state=lambda _unit: state)
        records = probe.ask_all(REPLICA, questions, "qwen3.5", asking)
        assert len(asked) == len(records) == 1
        (line,) = probe.report(records).splitlines()
        assert "found connection refused at http://127.0.0.1:8010" in line
        assert words in line

    def test_a_systemd_that_does_not_answer_is_named(self, questions):
        def unit_state(_unit):
            raise SystemdError("found: `systemctl show` did not end within its deadline; needed success")

        record, _sent = ask(questions[0], Answer(None, error="connection refused", refused=True), unit_state=unit_state)
        assert "is not known either: found: `systemctl show` did not end" in record["problems"][0]

    def test_a_replica_that_hangs_is_asked_no_further_question(self, questions):
        """Each would wait as long again: two questions of an engine that hangs held a run for ten minutes."""

        def send(_url, *_given, **_options):
            return Answer(None, error="no first token within 300 s", timed_out=True)

        (record,) = probe.ask_all(REPLICA, questions, "qwen3.5", probe.Asking(send=send))
        assert (
            "found no first token within 300 s; needed an answer in time. Fix: see `journalctl -u vllm-qwen3.5@0"
            in (record["problems"][0])
        )
        assert "a larger vllm_smoke_first_token_timeout_seconds" in record["problems"][0]
        assert not record["given_up"]

    def test_picture_misread(self, questions):
        record, _sent = ask(questions[1], chat("The picture shows a cat."))
        assert record["problems"] == ['found "The picture shows a cat."; needed text that matches "(?i)qwen"']

    def test_only_reasoning(self, questions):
        record, _sent = ask(questions[1], chat(None, "length", reasoning_content="Let me look at Qwen"))
        assert "only reasoning" in record["problems"][0]

    def test_everything_at_once(self, questions):
        records = [ask(q, Answer(500, "x"))[0] for q in questions]
        lines = probe.report(records).splitlines()
        assert [line.split(":")[0] for line in lines] == [
            "1. vllm-qwen3.5@0.service, introduce_yourself",
            "2. vllm-qwen3.5@0.service, read_a_picture",
        ]

    def test_long_bodies_are_cut(self, questions):
        record, _sent = ask(questions[0], Answer(500, "x" * 100000))
        assert len(record["problems"][0]) < 400


class TestStream:
    def test_times_tokens_and_first_words(self, questions):
        record, _sent = ask(questions[1], events("It ", "says ", "TONGYI Qwen.", usage=12))
        assert record["problems"] == []
        assert record["text"] == record["words"] == "It says TONGYI Qwen."
        assert (record["first_token_seconds"], record["seconds"]) == (0.5, 1.5)
        assert record["tokens"] == 12
        assert record["tokens_per_second"] == 11.0  # 11 tokens after the first, within a second
        assert (record["finish_reason"], record["usage"]) == ("stop", {"completion_tokens": 12})

    def test_of_completions(self, questions):
        record, _sent = ask(questions[0], events(*CHINESE, chatting=False))
        assert record["problems"] == []
        assert record["text"] == CHINESE
        assert record["tokens"] == len(CHINESE)
        assert len(record["words"]) == 40

    def test_reasoning_counts_as_tokens(self, questions):
        thought = (0.2, json.dumps({"model": "qwen3.5", "choices": [{"delta": {"reasoning_content": "a logo"}}]}))
        record, _sent = ask(questions[1], [thought, *events("TONGYI Qwen")])
        assert record["problems"] == []
        assert record["first_token_seconds"] == 0.2

    def test_a_role_alone_is_no_token(self, questions):
        role = (0.1, json.dumps({"model": "qwen3.5", "choices": [{"delta": {"role": "assistant", "content": ""}}]}))
        record, _sent = ask(questions[1], [role, *events("TONGYI Qwen")])
        assert record["first_token_seconds"] == 0.6

    @pytest.mark.parametrize(
        ("stream", "end", "words"),
        [
            (events("It says", done=False), Answer(200), "a stream that was cut off after 1 tokens"),
            (events("It says", done=False), Answer(None, error="Connection reset by peer"), "Connection reset by peer"),
            (
                events("It says", finish=None, done=False),
                Answer(None, error="no further token for 60 s after 1", timed_out=True),
                'after 1, the answer so far "It says"; needed an answer in time',
            ),
            (
                [(0, '{"error": {"message": "EngineCore died"}}')],
                Answer(200),
                'an error in the stream after 0 tokens, "En',
            ),
            ([(0, "<html>")], Answer(200), "needed JSON"),
            (events(), Answer(200), "0 characters"),
        ],
    )
    def test_wrong(self, questions, stream, end, words):
        record, _sent = ask(questions[1], stream, end)
        assert words in "\n".join(record["problems"])

    def test_patience_ends_all_questions_together(self, questions):
        clock, limits = Clock(), []

        def send(_url, _on_event, given, **_more):
            limits.append(given)
            clock.now += given.whole
            return Answer(None, error="no first token within 6 s", timed_out=True)

        records = probe.ask_all(REPLICA, questions, "qwen3.5", probe.Asking(send=send, clock=clock, patience=6))
        assert [r["given_up"] for r in records] == [True]
        assert (limits[0].first, limits[0].whole) == (6, 6)

    def test_how_far_it_is_can_be_read_meanwhile(self, questions):
        live, seen, clock = probe.Live("u", "http://127.0.0.1:8010"), [], Clock()

        def send(_url, on_event, _limits, **_more):
            clock.now += 31
            seen.append(live.report(clock.now))
            for _seconds, data in events("a", "b"):
                on_event(data)
            seen.append(live.report(clock.now))
            return Answer(200)

        probe.ask(REPLICA, questions[1], "qwen3.5", probe.Asking(send=send, clock=clock), live)
        shown = [(one["question"], one["tokens"], one["seconds"]) for one in seen]
        assert shown == [("read_a_picture", 0, 31.0), ("read_a_picture", 2, 31.0)]


@pytest.mark.parametrize(
    ("text", "expect", "good"),
    [
        ("Hello there, I am a model.", {"language": "en"}, True),
        ("你好，我是模型。", {"language": "en"}, False),
        ("我是 Qwen3.5 vLLM Ascend 上的模型，很高兴认识你。", {"language": "zh"}, True),
        ("42", {"language": "zh"}, False),
        ("TONGYI Qwen", {"pattern": "(?i)qwen"}, True),
        ("哈哈", {}, True),
    ],
)
def test_judge(text, expect, good):
    assert (answers.judge(text, expect) == []) is good
