# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a served model something and judge its answer."""

from __future__ import annotations

import copy
import re
import time
from typing import Any, Callable, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from .._base import http_client as http
from .._host.systemd import SystemdError
from .._release.schema import pictures
from . import ready

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_LETTER = re.compile(r"[^\W\d_]")
_THOUGHT = re.compile(r"\A.*</think>", re.DOTALL)
# At least so much of the letters must belong to the language: names and terms of others are normal.
_SHARE = {"zh": 0.3, "en": 0.7}
_LANGUAGES = {"zh": "Chinese", "en": "English"}
#: What systemd says of a unit: its properties. Raises SystemdError when it does not answer.
UnitState = Callable[[str], Mapping[str, str]]


def no_state(_unit: str) -> Mapping[str, str]:
    """For a caller that does not ask systemd."""
    return {}


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
    shown = http.quote(text)
    least = int(expect.get("min_characters") or 1)
    if len(text) < least:
        problems.append("found an answer of %d characters, %s; needed %d or more" % (len(text), shown, least))
    if "\ufffd" in text or (len(text) >= 20 and len(set(re.sub(r"\s", "", text))) <= 3):
        # Further problems of a garbled answer tell nothing new.
        return [
            "found a garbled answer, %s; needed readable text. Fix: the image or a kernel does not fit the card, so "
            "verify the image (generation, components) and the driver" % shown
        ]
    pattern = expect.get("pattern")
    if pattern and not re.search(pattern, text):
        problems.append("found %s; needed text that matches %s" % (shown, http.quote(pattern)))
    language = expect.get("language")
    if language and text:
        letters = _LETTER.findall(text)
        han = len(_HAN.findall(text))
        share = (han if language == "zh" else len(letters) - han) / max(len(letters), 1)
        if share < _SHARE[language]:
            found = "found %s, of whose letters %d%% are %s" % (shown, round(share * 100), _LANGUAGES[language])
            problems.append("%s; needed an answer in %s" % (found, _LANGUAGES[language]))
    return problems


def ask_all(
    replica: Mapping[str, Any],
    questions: Sequence[Mapping[str, Any]],
    served_model_name: str,
    *,
    api_key: str = "",
    fetch: Callable[..., http.Answer] = http.fetch,
    unit_state: UnitState = no_state,
) -> list[dict[str, Any]]:
    """Ask one replica one question after the other; no further question after one that reached no server."""
    answers: list[http.Answer] = []

    def noted(url: str, **options: Any) -> http.Answer:
        answers.append(fetch(url, **options))
        return answers[-1]

    records = []
    for question in questions:
        records.append(ask(replica, question, served_model_name, api_key=api_key, fetch=noted, unit_state=unit_state))
        if answers[-1].status is None and not answers[-1].timed_out:
            break
    return records


def ask(
    replica: Mapping[str, Any],
    question: Mapping[str, Any],
    served_model_name: str,
    *,
    api_key: str = "",
    fetch: Callable[..., http.Answer] = http.fetch,
    clock: Callable[[], float] = time.monotonic,
    unit_state: UnitState = no_state,
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
    if answer.status is None and not answer.timed_out:
        problems.append(_not_reached(answer, replica["url"], replica.get("unit"), unit_state))
        return record
    if not answer.ok:
        problems.append(_not_ok(answer, replica, served_model_name, api_key, fetch))
        return record
    data = answer.json()
    where, who = "%s%s" % (replica["url"], endpoint), _who(replica["url"])
    if not isinstance(data, dict):
        found = "found %s from %s, which is no JSON object" % (answer.describe(), where)
        problems.append("%s; needed vLLM's answer. Fix: %s" % (found, who))
        return record
    text, reasoning, record["finish_reason"] = answer_text(endpoint, data)
    record["model"] = data.get("model")
    record["usage"] = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    if record["model"] != served_model_name:
        found = "found an answer of the model %r from %s" % (record["model"], where)
        problems.append("%s; needed %s. Fix: %s" % (found, served_model_name, who))
    if text is None:
        found = "found no text in %s from %s" % (http.quote(answer.text), where)
        problems.append("%s; needed a choice with text. Fix: %s" % (found, who))
        return record
    record["text"] = without_thoughts(text)
    if not record["text"] and (reasoning or text) and record["finish_reason"] == "length":
        problems.append("found only reasoning until max_tokens; needed an answer. Fix: a larger max_tokens")
    else:
        problems += judge(record["text"], question.get("expect") or {})
    return record


def _who(url: str) -> str:
    port = urlsplit(url).port
    return "see who listens there with `ss -ltnp%s`" % (" 'sport = :%d'" % port if port else "")


def _not_reached(answer: http.Answer, url: str, unit: Optional[str], unit_state: UnitState) -> str:
    """Nothing answers: what systemd knows of the unit says what to do."""
    found = "found %s at %s" % (answer.describe(), url)
    if not unit:
        return "%s; needed a server that answers. Fix: start it" % found
    try:
        state = unit_state(unit)
    except SystemdError as exc:
        return "%s; needed it serving. The state of %s is not known either: %s" % (found, unit, exc)
    active, sub = state.get("ActiveState", ""), state.get("SubState", "")
    if active == "inactive":
        fix = "systemctl start %s, or run site.yml, which also waits until it serves" % unit
        return "%s, and the unit stopped; needed it serving. Fix: %s" % (found, fix)
    if active == "failed" or sub.startswith("auto-restart"):
        what = "failed (%s)" % state.get("Result", "failed") if active == "failed" else "between two starts"
        fix = "see `journalctl -u %s -n 50`, mend the cause, and run site.yml" % unit
        return "%s, and the unit %s; needed it serving. Fix: %s" % (found, what, fix)
    if active:
        fix = "where it is still starting (`journalctl -u %s -f`), ask later; site.yml waits until it serves" % unit
        return "%s, while the unit is %s; needed it serving. Fix: %s" % (found, active, fix)
    return "%s; needed an answer with status 200. Fix: see `systemctl status %s`" % (found, unit)


def _not_ok(
    answer: http.Answer,
    replica: Mapping[str, Any],
    served_model_name: str,
    api_key: str,
    fetch: Callable[..., http.Answer],
) -> str:
    needed = "an answer with status 200"
    unit = replica.get("unit")
    log = "`journalctl -u %s -n 50`" % unit if unit else "the server's log"
    if answer.status in (401, 403):
        hint = "the key it was started with" if api_key else "a key"
        return "found %s; needed %s. Fix: set vllm_smoke_api_key" % (answer.describe(), hint)
    if answer.status == 404:
        names = ready.model_names(fetch(replica["url"] + "/v1/models", timeout=10, api_key=api_key).json())
        if names and served_model_name not in names:
            found = "found the models %s at %s" % (", ".join(names), replica["url"])
            return "%s; needed %s. Fix: %s" % (found, served_model_name, _who(replica["url"]))
    if answer.timed_out:
        found = "found %s" % answer.error
        return "%s; needed an answer in time. Fix: see %s; a longer timeout_seconds" % (found, log)
    return "found %s; needed %s. Fix: see %s" % (answer.describe(), needed, log)


def report(records: Sequence[Mapping[str, Any]]) -> str:
    """Everything that went wrong, as one text."""
    lines: list[str] = []
    for record in records:
        for problem in record["problems"]:
            where = record["unit"] or record["url"]
            lines.append("%d. %s, %s: %s" % (len(lines) + 1, where, record["question"], problem))
    return "\n".join(lines)
