# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent to a served model, what an answer says, and whether it is a good one."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from .._base import http_client as http
from .._base.http_stream import DONE
from .._release.schema import pictures

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_LETTER = re.compile(r"[^\W\d_]")
_THOUGHT = re.compile(r"\A.*</think>", re.DOTALL)
# At least so much of the letters must belong to the language: names and terms of others are normal.
_SHARE = {"zh": 0.3, "en": 0.7}
_LANGUAGES = {"zh": "Chinese", "en": "English"}
_WORDS_LENGTH = 40


def body(question: Mapping[str, Any], served_model_name: str) -> dict[str, Any]:
    """The request as it is sent: with the model's name, and with the picture in place of its address."""
    request = copy.deepcopy(dict(question["request"]))
    picture = question.get("picture_data")
    if picture:
        for place in pictures(request):
            place["url"] = picture
    # Streamed, so that the time to the first token is known and a deadline holds for every one. The usage comes last.
    return {"model": served_model_name, **request, "stream": True, "stream_options": {"include_usage": True}}


def one_token(served_model_name: str) -> dict[str, Any]:
    """A question for one token, to ``/v1/completions``: whether an engine answers at all."""
    return {"model": served_model_name, "prompt": "Hello", "max_tokens": 1, "temperature": 0}


@dataclass
class Heard:
    """What the events of a stream have said so far."""

    text: str = ""
    reasoning: str = ""
    model: Any = None
    finish_reason: Optional[str] = None
    usage: dict[str, Any] = field(default_factory=dict)
    error: Optional[str] = None
    #: Events that were not readable, the first of them.
    unreadable: Optional[str] = None
    tokens: int = 0
    done: bool = False

    def event(self, data: str) -> bool:
        """Take in one event; return whether it brought a token (or several)."""
        if data == DONE:
            self.done = True
            return False
        try:
            said = json.loads(data)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self.unreadable = self.unreadable or data
            return False
        if said.get("error"):
            error = said["error"]
            self.error = str(error.get("message") or error) if isinstance(error, dict) else str(error)
            return False
        self.model = said.get("model", self.model)
        if isinstance(said.get("usage"), dict):
            self.usage = said["usage"]
        return self._choice(said.get("choices"))

    def _choice(self, choices: Any) -> bool:
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
        if choice is None:
            return False
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        delta = choice["delta"] if isinstance(choice.get("delta"), dict) else {}
        text = choice.get("text") or delta.get("content") or ""
        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
        self.text += text if isinstance(text, str) else ""
        self.reasoning += thought if isinstance(thought, str) else ""
        self.tokens += bool(text or thought)
        return bool(text or thought)


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


def first_words(text: Optional[str], length: int = _WORDS_LENGTH) -> str:
    """The beginning of an answer on one line."""
    line = " ".join((text or "").split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
