# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a served model something and judge its answer."""

from __future__ import annotations

import copy
import re
import time
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible_collections.ascend.fleet.plugins.module_utils import _http, _ready
from ansible_collections.ascend.fleet.plugins.module_utils._release import pictures

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_LETTER = re.compile(r"[^\W\d_]")
_THOUGHT = re.compile(r"\A.*</think>", re.DOTALL)
# At least so much of the letters must belong to the language: names and terms of others are normal.
_SHARE = {"zh": 0.3, "en": 0.7}
_LANGUAGES = {"zh": "Chinese", "en": "English"}


def body(question: Mapping[str, Any], served_model_name: str) -> dict[str, Any]:
    """The request as it is sent: with the model's name, and with the picture in place of its address."""
    request = copy.deepcopy(dict(question["request"]))
    picture = question.get("picture_data")
    if picture:
        for place in pictures(request):
            place["url"] = picture
    return {"model": served_model_name, **request}


def answer_text(endpoint: str, data: Any) -> tuple[Optional[str], Optional[str], Optional[str]]:
    """Text, reasoning and finish reason of an answer; the text is None where the answer has no such place."""
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    if choice is None:
        return None, None, None
    finish = choice.get("finish_reason")
    if endpoint.endswith("/chat/completions"):
        message = choice.get("message")
        if not isinstance(message, dict):
            return None, None, finish
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        content = message.get("content")
        text = content if isinstance(content, str) else "" if content is None and reasoning else None
        return text, reasoning, finish
    text = choice.get("text")
    return (text if isinstance(text, str) else None), None, finish


def without_thoughts(text: str) -> str:
    """What follows the reasoning that a model may write before its answer."""
    return _THOUGHT.sub("", text).strip()


def judge(text: str, expect: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with an answer, each as `found …; needed …`."""
    problems = []
    shown = _http.quote(text)
    least = int(expect.get("min_characters") or 1)
    if len(text) < least:
        problems.append("found an answer of %d characters, %s; needed %d or more" % (len(text), shown, least))
    if "\ufffd" in text or (len(text) >= 20 and len(set(re.sub(r"\s", "", text))) <= 3):
        # Whatever else such an answer lacks says nothing more.
        return [
            "found a garbled answer, %s; needed readable text. Fix: the image or a kernel does not fit the card, so "
            "verify the image (generation, components) and the driver" % shown
        ]
    pattern = expect.get("pattern")
    if pattern and not re.search(pattern, text):
        problems.append("found %s; needed text that matches %s" % (shown, _http.quote(pattern)))
    language = expect.get("language")
    if language and text:
        letters = _LETTER.findall(text)
        han = len(_HAN.findall(text))
        share = (han if language == "zh" else len(letters) - han) / max(len(letters), 1)
        if share < _SHARE[language]:
            found = "found %s, of whose letters %d%% are %s" % (shown, round(share * 100), _LANGUAGES[language])
            problems.append("%s; needed an answer in %s" % (found, _LANGUAGES[language]))
    return problems


def ask(
    replica: Mapping[str, Any],
    question: Mapping[str, Any],
    served_model_name: str,
    *,
    api_key: str = "",
    fetch: Callable[..., _http.Answer] = _http.fetch,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Ask one replica one question; the record's ``problems`` are empty when all is well."""
    endpoint = question["endpoint"]
    timeout = float(question.get("timeout_seconds") or 300)
    began = clock()
    answer = fetch(replica["url"] + endpoint, timeout=timeout, body=body(question, served_model_name), api_key=api_key)
    record: dict[str, Any] = {
        "unit": replica.get("unit"),
        "url": replica["url"],
        "question": question["name"],
        "endpoint": endpoint,
        "status": answer.status,
        "model": None,
        "text": None,
        "finish_reason": None,
        "usage": {},
        "seconds": round(clock() - began, 3),
        "problems": [],
    }
    problems = record["problems"]
    if not answer.ok:
        problems.append(_not_ok(answer, replica, served_model_name, api_key, fetch))
        return record
    data = answer.json()
    if not isinstance(data, dict):
        problems.append("found %s, which is no JSON object; needed an answer of %s" % (answer.describe(), endpoint))
        return record
    text, reasoning, record["finish_reason"] = answer_text(endpoint, data)
    record["model"] = data.get("model")
    record["usage"] = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    if record["model"] != served_model_name:
        problems.append("found an answer of the model %r; needed %s" % (record["model"], served_model_name))
    if text is None:
        problems.append("found no text in %s; needed a choice with text" % _http.quote(answer.text))
        return record
    record["text"] = without_thoughts(text)
    if not record["text"] and (reasoning or text) and record["finish_reason"] == "length":
        problems.append("found only reasoning until max_tokens; needed an answer. Fix: a larger max_tokens")
    else:
        problems += judge(record["text"], question.get("expect") or {})
    return record


def _not_ok(
    answer: _http.Answer,
    replica: Mapping[str, Any],
    served_model_name: str,
    api_key: str,
    fetch: Callable[..., _http.Answer],
) -> str:
    needed = "an answer with status 200"
    if answer.status in (401, 403):
        hint = "the key it was started with" if api_key else "a key"
        return "found %s; needed %s. Fix: set vllm_smoke_api_key" % (answer.describe(), hint)
    if answer.status == 404:
        names = _ready.model_names(fetch(replica["url"] + "/v1/models", timeout=10, api_key=api_key).json())
        if names and served_model_name not in names:
            return "found the models %s; needed %s" % (", ".join(names), served_model_name)
    if answer.timed_out:
        return "found %s; needed an answer in time. Fix: see the journal; a longer timeout_seconds" % answer.error
    if answer.status is None:
        unit = replica.get("unit")
        fix = "systemctl status %s" % unit if unit else "see whether it runs"
        return "found %s; needed %s. Fix: %s" % (answer.describe(), needed, fix)
    return "found %s; needed %s" % (answer.describe(), needed)


def report(records: Sequence[Mapping[str, Any]]) -> str:
    """Everything that went wrong, as one text."""
    lines: list[str] = []
    for record in records:
        for problem in record["problems"]:
            where = record["unit"] or record["url"]
            lines.append("%d. %s, %s: %s" % (len(lines) + 1, where, record["question"], problem))
    return "\n".join(lines)
