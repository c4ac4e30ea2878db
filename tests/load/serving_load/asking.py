# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One question, asked with the real client as a user's program asks it, and judged to the end of its answer."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai

from .journal import CUT, FAILED, OK, Request

STREAM, LONG, PLAIN, PICTURE = "stream", "long stream", "plain", "picture"
SHAPES = (STREAM, LONG, PLAIN, PICTURE)
TOKENS, LONG_TOKENS = 300, 150
WHO = "x-engine"  # the header in which an engine tells its release, host and port; vLLM itself has none
TAIL = 64  # bytes at the end of a stream, in which [DONE] must stand


class WrongAnswer(Exception):
    """The answer came whole and is not what it must be."""


class CutOff(Exception):
    """The stream began and did not come to its end."""


class TailStream(httpx2.SyncByteStream):
    """Passes a body on and remembers its end: the client itself does not tell whether [DONE] came."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.tail = stream, b""

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self.tail = (self.tail + part)[-TAIL:]
            yield part

    def close(self) -> None:
        self._stream.close()


class TailTransport(httpx2.HTTPTransport):
    """Remembers of the last answer what the client does not tell: its end, and who gave it."""

    by = ""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.by = ""
        response = super().handle_request(request)
        self.by = response.headers.get(WHO, "")
        stream = TailStream(response.stream)
        response.stream = stream
        response.extensions["tail"] = stream
        return response


class Questions:
    """What is asked, and what the answer must hold where the model is one that knows. No answer has more ``tokens``."""

    def __init__(
        self, model: str, picture: Path | None, picture_says: str, checked: bool, tokens: int = TOKENS
    ) -> None:
        self.model, self.picture_says, self.checked, self.tokens = model, picture_says, checked, tokens
        self._picture = ""
        if picture is not None:
            self._picture = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()

    def ask(self, shape: str, number: int) -> tuple[dict[str, Any], str]:
        """The arguments of a chat, and the words that must be in the answer."""
        content: Any
        more: dict[str, Any] = {"max_tokens": self.tokens}
        if shape == PICTURE:
            content = [
                {"type": "text", "text": "What is the text in the picture?"},
                {"type": "image_url", "image_url": {"url": self._picture}},
            ]
            words = self.picture_says
        elif shape == PLAIN:
            left, right = number % 89 + 10, number % 71 + 10
            content, words = f"What is {left} + {right}?", f"= {left + right}"
        else:
            content, words = "Introduce yourself.", "Qwen"
        if shape == LONG:
            more = {"max_tokens": min(LONG_TOKENS, self.tokens), "extra_body": {"ignore_eos": True}}
        if shape in (STREAM, LONG):
            more |= {"stream": True, "stream_options": {"include_usage": True}}
        arguments = {"model": self.model, "messages": [{"role": "user", "content": content}], "temperature": 0, **more}
        return arguments, words if self.checked else ""


def check(text: str, words: str, reason: str | None, tokens: int) -> None:
    if reason not in ("stop", "length"):
        raise WrongAnswer(f"finish_reason is {reason}")
    if tokens < 1:
        raise WrongAnswer("the answer has no tokens")
    if words not in text:
        raise WrongAnswer(f"the answer lacks {words!r}: {text[:60]!r}")


class Client:
    """The client of one user: no retries of its own, so that every failure is seen."""

    def __init__(self, base_url: str, key: str, ca: Path | None, timeout: float, questions: Questions) -> None:
        verify: ssl.SSLContext | bool = True if ca is None else ssl.create_default_context(cafile=str(ca))
        self._transport = TailTransport(verify=verify, limits=httpx2.Limits(keepalive_expiry=60))
        self._http = httpx2.Client(transport=self._transport, timeout=httpx2.Timeout(timeout, connect=5.0))
        self._openai = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, http_client=self._http)
        self._questions = questions

    def ask(self, shape: str, number: int) -> Request:
        arguments, words = self._questions.ask(shape, number)
        begin = time.time()
        first: list[float] = []
        outcome, status, error = OK, None, ""
        try:
            if arguments.get("stream"):
                self._stream(arguments, words, lambda: first.append(time.time()))
            else:
                self._plain(arguments, words)
            status = 200
        except openai.APIStatusError as problem:
            outcome, status, error = FAILED, problem.status_code, words_of(problem)
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError) as problem:
            outcome, error = CUT if first else FAILED, words_of(problem)
        except CutOff as problem:
            outcome, status, error = CUT, 200, str(problem)
        except WrongAnswer as problem:
            outcome, status, error = FAILED, 200, str(problem)
        return Request(
            number, shape, begin, time.time(), outcome, first[0] if first else None, status, error, self._transport.by
        )

    def _plain(self, arguments: dict[str, Any], words: str) -> None:
        answer = self._openai.chat.completions.create(**arguments)
        choice = answer.choices[0]
        check(choice.message.content or "", words, choice.finish_reason, answer.usage.completion_tokens)

    def _stream(self, arguments: dict[str, Any], words: str, began: Callable[[], None]) -> None:
        text, reason, tokens = "", None, 0
        with self._openai.chat.completions.create(**arguments) as stream:
            for number, chunk in enumerate(stream):
                if number == 0:
                    began()
                if chunk.usage:
                    tokens = chunk.usage.completion_tokens
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    reason = choice.finish_reason or reason
            tail = stream.response.extensions["tail"].tail
        if reason is None or not tokens or b"data: [DONE]" not in tail:
            raise CutOff(f"the stream ended with finish_reason {reason}, {tokens} tokens in usage, tail {tail[-30:]!r}")
        check(text, words, reason, tokens)

    def close(self) -> None:
        self._openai.close()


def words_of(problem: Exception) -> str:
    """The kind of a problem and its words, with what is behind it: `Connection error.` alone tells nothing."""
    behind = problem.__cause__ or problem.__context__
    more = ""
    if behind is not None and not isinstance(problem, openai.APIStatusError):
        more = f" ({type(behind).__name__}: {behind})"
    return " ".join(f"{type(problem).__name__}: {problem}{more}".split())[:300]
