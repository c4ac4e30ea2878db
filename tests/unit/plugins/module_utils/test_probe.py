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
from ansible_collections.ascend.fleet.plugins.module_utils._serving import probe
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

REPLICA = {"unit": "vllm-qwen3.5@0.service", "url": "http://127.0.0.1:8010"}
CHINESE = "你好！我是通义千问（Qwen3.5），由阿里云研发的大型语言模型，可以回答问题、撰写文章、编写代码。"


@pytest.fixture(scope="module")
def questions():
    return _releases.by_name("qwen3_5_27b_v0", {})["smoke"]["questions"]


def completion(text, **more):
    choice = {"text": text, "finish_reason": more.pop("finish_reason", "length")}
    usage = {"prompt_tokens": 9, "completion_tokens": 200}
    return Answer(200, json.dumps({"model": "qwen3.5", "choices": [choice], "usage": usage, **more}))


def chat(content, finish="stop", **message):
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return Answer(200, json.dumps({"model": "qwen3.5", "choices": [choice], "usage": {"total_tokens": 5}}))


def ask(question, *answers, **more):
    """The record, and the bodies that were sent."""
    sent, left = [], list(answers)

    def fetch(url, *, timeout, body=None, api_key=""):
        sent.append((url, body, api_key))
        return left.pop(0)

    record = probe.ask(REPLICA, question, "qwen3.5", fetch=fetch, clock=iter((0.0, 1.5)).__next__, **more)
    return record, sent


class TestGood:
    def test_text(self, questions):
        record, sent = ask(questions[0], completion(CHINESE))
        assert record["problems"] == []
        assert record["usage"]["completion_tokens"] == 200
        assert record["seconds"] == 1.5
        assert sent == [
            (
                "http://127.0.0.1:8010/v1/completions",
                {"model": "qwen3.5", "prompt": "介绍一下你自己,用中文回答", "max_tokens": 200, "temperature": 0},
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
            (Answer(None, error="no answer within 300 s", timed_out=True), "no answer within 300 s"),
            (Answer(500, '{"error": {"message": "EngineCore encountered an issue."}}'), "HTTP 500: "),
            (Answer(500, ""), "HTTP 500 with an empty body"),
            (Answer(401, '{"error":"Unauthorized"}'), "vllm_smoke_api_key"),
            (Answer(200, "<html>nginx</html>"), "<html>nginx</html>"),
            (Answer(200, "[]"), "no JSON object"),
            (Answer(200, "{}"), "found an answer of the model None from "),
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

        def fetch(url, **_options):
            asked.append(url)
            return Answer(None, error="connection refused", refused=True)

        records = probe.ask_all(REPLICA, questions, "qwen3.5", fetch=fetch, unit_state=lambda _unit: state)
        assert len(asked) == len(records) == 1
        (line,) = probe.report(records).splitlines()
        assert "found connection refused at http://127.0.0.1:8010" in line
        assert words in line

    def test_a_systemd_that_does_not_answer_is_named(self, questions):
        def unit_state(_unit):
            raise SystemdError("found: `systemctl show` did not end within its deadline; needed success")

        record, _sent = ask(questions[0], Answer(None, error="connection refused", refused=True), unit_state=unit_state)
        assert "is not known either: found: `systemctl show` did not end" in record["problems"][0]

    def test_a_timeout_does_not_end_the_questions(self, questions):
        def fetch(_url, **_options):
            return Answer(None, error="no answer within 300 s", timed_out=True)

        assert len(probe.ask_all(REPLICA, questions, "qwen3.5", fetch=fetch)) == len(questions)

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
    assert (probe.judge(text, expect) == []) is good
