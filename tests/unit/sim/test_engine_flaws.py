# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flaws of the stand-in of the engine that come with its release: from the environment to the answer."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "sim" / "engine"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from engine_lab import Lab
from sim_vllm import serve, server, troubles
from sim_vllm.flaws import FlawError, Flaws
from sim_vllm.log import Log

Start = Callable[..., "Served"]


class Served:
    """The HTTP side of an engine of a release, without its processes."""

    def __init__(self, **environment: str) -> None:
        listener = serve.open_port(argparse.Namespace(host="127.0.0.1", port=0))
        self.port = int(listener.getsockname()[1])
        namespace = argparse.Namespace(
            served_model_name=["qwen3.5"], model_tag="/weights", model=None, max_model_len=32768, max_num_seqs=8,
            allowed_local_media_path="", api_key=None, port=self.port, disable_uvicorn_access_log=True,
            reasoning_parser="", enable_force_include_usage=False, gpu_memory_utilization=0.9,
        )  # fmt: skip
        found = troubles.Troubles(self.port, time.time())
        self.engine = server.Engine(namespace, "", 100.0, found, Flaws(environment, self.port))
        self._httpd = server.start(listener, self.engine, Log(""))

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        """Status, body, and who says that it has answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", "Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.getheader("x-engine", "")

    def ask(self, **more: Any) -> tuple[int, str, str]:
        body = {"model": "qwen3.5", "messages": [{"role": "user", "content": "What is 17 + 25?"}], **more}
        return self.request("POST", "/v1/chat/completions", body)

    def end(self) -> None:
        self.engine.stopping.set()
        self._httpd.shutdown()
        self._httpd.server_close()


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Served] = []

    def begin(**environment: str) -> Served:
        started.append(Served(**environment))
        return started[-1]

    yield begin
    for one in started:
        one.end()


def test_every_answer_tells_release_host_and_port(start: Start) -> None:
    served = start(ASCEND_SIM_FINGERPRINT="new", ASCEND_SIM_ERROR_PERCENT="100")
    here = f"new {socket.gethostname()}:{served.port}"
    assert [(status, by) for status, _text, by in (served.ask(), served.request("GET", "/health"))] == [
        (500, here),
        (200, here),
    ]
    assert start(ASCEND_SIM_FINGERPRINT="new").ask(stream=True)[2].startswith("new ")


def test_without_a_name_nothing_is_told(start: Start) -> None:
    status, text, by = start().ask()
    assert (status, by) == (200, "")
    assert "17 + 25 = 42" in text


def test_the_first_questions_are_answered_and_then_a_share_is_not(start: Start) -> None:
    served = start(ASCEND_SIM_ERROR_PERCENT="25", ASCEND_SIM_ERRORS_AFTER="3")
    found = [served.ask()[0] for _time in range(12)]
    assert found == [200, 200, 200, 500, 200, 200, 200, 500, 200, 200, 200, 500]
    assert served.engine.metrics.finished["error"] == 3


def test_few_per_cent_are_met_over_many_questions() -> None:
    flaws = Flaws({"ASCEND_SIM_ERROR_PERCENT": "3", "ASCEND_SIM_ERRORS_AFTER": "12"})
    found = [flaws.refuses() for _time in range(1012)]
    assert found.index(True) == 12
    assert sum(found) == pytest.approx(30, abs=1)


def test_after_so_many_questions_it_hangs_and_is_healthy(start: Start) -> None:
    served = start(ASCEND_SIM_HANG_AFTER="2")
    assert [served.ask()[0] for _time in range(2)] == [200, 200]
    answers: list[object] = []

    def ask() -> None:
        with contextlib.suppress(OSError):
            answers.append(served.ask())

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while served.engine.running == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    before = served.engine.metrics.generation_tokens
    time.sleep(0.5)
    assert (served.engine.metrics.generation_tokens, answers) == (before, [])
    assert served.request("GET", "/health")[0] == 200


@pytest.mark.parametrize(("rate", "slowness"), [("0.7", 1 / 0.7), ("2", 0.5), ("", 1.0)])
def test_the_rate_of_tokens(rate: str, slowness: float) -> None:
    assert Flaws({"ASCEND_SIM_TOKEN_RATE": rate}).slowness == pytest.approx(slowness)


def test_a_slow_release_is_slow_also_at_the_pace_that_the_host_sets(start: Start) -> None:
    took = {}
    for rate in ("1", "0.25"):
        served = start(ASCEND_SIM_TOKEN_RATE=rate)
        served.engine.troubles.state = {"engine": {"token_seconds": 0.02}}
        began = time.monotonic()
        assert served.ask(ignore_eos=True, max_tokens=20)[0] == 200
        took[rate] = time.monotonic() - began
    # Four times 0.4 s; a busy machine makes both longer, and the slow one by no less.
    assert took["0.25"] >= 1.6
    assert took["0.25"] > took["1"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ASCEND_SIM_TOKEN_RATE", "fast"),
        ("ASCEND_SIM_TOKEN_RATE", "0"),
        ("ASCEND_SIM_ERROR_PERCENT", "101"),
        ("ASCEND_SIM_HANG_AFTER", "-1"),
        ("ASCEND_SIM_START_SECONDS", "nan"),
    ],
)
def test_what_is_not_understood_is_refused(name: str, text: str) -> None:
    with pytest.raises(FlawError, match=f"{name}: found '{text}'; needed a number from"):
        Flaws({name: text})


def test_metrics_tell_the_start_and_every_answer(start: Start) -> None:
    served = start(ASCEND_SIM_ERROR_PERCENT="50")
    for _time in range(2):
        served.ask()
    served.request("GET", "/nowhere")
    lines = served.request("GET", "/metrics")[1].splitlines()
    started = next(float(line.split()[1]) for line in lines if line.startswith("process_start_time_seconds "))
    assert time.time() - 60 < started <= time.time()
    assert {line for line in lines if line.startswith("http_requests_total")} == {
        'http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 1.0',
        'http_requests_total{handler="/v1/chat/completions",method="POST",status="5xx"} 1.0',
        'http_requests_total{handler="none",method="GET",status="4xx"} 1.0',
    }


def test_from_the_environment_of_a_start(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    status, text = lab.fails(ASCEND_SIM_HANG_AFTER="soon")
    assert (status, "ASCEND_SIM_HANG_AFTER: found 'soon'" in text) == (2, True)
    began = time.monotonic()
    with lab.serving(ASCEND_SIM_START_SECONDS="2", ASCEND_SIM_FINGERPRINT="new") as served:
        assert time.monotonic() - began >= 2
        connection = http.client.HTTPConnection("127.0.0.1", lab.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", "/health")
            assert connection.getresponse().getheader("x-engine") == f"new {socket.gethostname()}:{lab.port}"
        assert served.process.poll() is None
