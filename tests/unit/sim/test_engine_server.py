# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the engine answers like the real one."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from engine_lab import ENGINE, ROOT, Served, gauge

sys.path.insert(0, str(ENGINE))


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def picture_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_health_version_and_models(served: Served) -> None:
    assert served.ask("GET", "/health") == (200, "")
    assert served.ask("GET", "/ping") == (200, "")
    assert json.loads(served.ask("GET", "/version")[1]) == {"version": "0.16.0rc2.dev55+g65bb4942b.empty"}
    models = json.loads(served.ask("GET", "/v1/models")[1])
    assert [(model["id"], model["max_model_len"]) for model in models["data"]] == [("qwen3.5", 32768)]


def test_the_guide_s_first_question(served: Served) -> None:
    body = {"model": "qwen3.5", "prompt": "介绍一下你自己,用中文回答", "max_tokens": 200, "temperature": 0}
    status, text = served.ask("POST", "/v1/completions", body)
    answer = json.loads(text)
    assert status == 200
    assert "通义千问" in answer["choices"][0]["text"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] <= 200


def test_max_tokens_cuts_the_answer(served: Served) -> None:
    body = {"model": "qwen3.5", "prompt": "Please introduce yourself", "max_tokens": 4}
    answer = json.loads(served.ask("POST", "/v1/completions", body)[1])
    assert answer["choices"][0]["text"] == "Hello! I am"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4


def test_ignore_eos_gives_exactly_as_many_tokens(served: Served) -> None:
    body = {"prompt": "hi", "max_tokens": 300, "ignore_eos": True}
    assert json.loads(served.ask("POST", "/v1/completions", body)[1])["usage"]["completion_tokens"] == 300


def test_the_guide_s_picture_question(served: Served) -> None:
    data = (ROOT / "playbooks" / "releases" / "files" / "tongyi_qwen.png").read_bytes()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    status, answer = served.chat(picture_part(url), text_part("What is the text in the illustrate?"))
    assert status == 200
    assert "TONGYI Qwen" in answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["message"]["content"].index("</think>") > 0


def test_a_picture_from_the_allowed_folder(served: Served) -> None:
    status, answer = served.chat(picture_part(f"file://{served.lab.root}/media/a.png"), text_part("What text?"))
    assert status == 200
    assert "from a file" in answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "must be a subpath of `--allowed-local-media-path"),
        ("http://127.0.0.1:9/qwen.png", "Cannot connect to host 127.0.0.1:9 ssl:default [Connection refused]"),
        ("data:image/png;base64,aGFsbG8=", "cannot identify image file"),
        ("ftp://x/y", "The URL must be either a HTTP, data or file URL."),
    ],
)
def test_pictures_that_cannot_be_had(served: Served, url: str, words: str) -> None:
    status, answer = served.chat(picture_part(url), text_part("What text?"))
    assert status == 400
    assert words in answer["error"]["message"]
    assert answer["error"]["type"] == "BadRequestError"


def test_streaming(served: Served) -> None:
    body = {
        "messages": [{"role": "user", "content": "who are you"}],
        "stream": True,
        "max_tokens": 7,
        "stream_options": {"include_usage": True},
    }
    status, text = served.ask("POST", "/v1/chat/completions", body)
    events = [line[6:] for line in text.split("\n\n") if line]
    assert status == 200
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(chunks) == 1 + 7 + 1
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"]["completion_tokens"] == 7


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/v1/completions", {"model": "x", "prompt": "a"}, 404, "The model `x` does not exist."),
        ("POST", "/v1/completions", {"model": "qwen3.5"}, 400, "Field required"),
        ("POST", "/v1/completions", b"{", 400, "JSON decode error"),
        ("POST", "/v1/completions", {"prompt": "a", "max_tokens": 40000}, 400, "is too large: 40000"),
        ("POST", "/v1/completions", {"prompt": "a", "max_tokens": "x"}, 400, "valid integer"),
        ("GET", "/v1/completions", None, 405, "Method Not Allowed"),
        ("GET", "/nothing", None, 404, "Not Found"),
    ],
)
def test_errors(served: Served, method: str, path: str, body: Any, status: int, words: str) -> None:
    found, text = served.ask(method, path, body)
    assert found == status
    assert words in text


def test_running_and_waiting_are_live(served: Served) -> None:
    body = {"prompt": "hi", "max_tokens": 30000, "ignore_eos": True}
    threads = [threading.Thread(target=served.ask, args=("POST", "/v1/completions", body)) for _thread in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    wanted = (2.0, 1.0)
    while (found := tuple(gauge(served, "num_requests_" + n) for n in ("running", "waiting"))) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert gauge(served, "num_requests_running") == 0
    assert gauge(served, "generation_tokens_total") >= 90000
