# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Troubles of the stand-in of the engine that are switched while it runs, from the host's command to the answer."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SILICON = ROOT / "tests" / "sim" / "silicon" / "ascend_sim.py"
sys.path.insert(0, str(ROOT / "tests" / "sim" / "engine"))

from sim_vllm import serve, server, troubles
from sim_vllm.log import Log


class Host:
    """A host's silicon below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def sim(self, *argv: str) -> tuple[int, str]:
        env = {**os.environ, "ASCEND_SIM_ROOT": str(self.root), "ASCEND_SIM_PROC": str(self.root / "proc")}
        command = [sys.executable, str(SILICON), *argv]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stderr


class Served:
    """The HTTP side of an engine, without its processes."""

    def __init__(self, engine: server.Engine, port: int) -> None:
        self.engine, self.port = engine, port

    def connect(self, **more: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = {"model": "qwen3.5", "messages": [{"role": "user", "content": "What is 17 + 25?"}], **more}
        connection.request(
            "POST",
            "/v1/chat/completions",
            json.dumps(body),
            {"Content-Type": "application/json", "Connection": "close"},
        )
        return connection

    def ask(self, **more: Any) -> tuple[int, str]:
        with contextlib.closing(self.connect(**more)) as connection:
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    (tmp_path / "proc").mkdir()
    monkeypatch.setenv("ASCEND_SIM_ROOT", str(tmp_path))
    found = Host(tmp_path)
    assert found.sim("install", "--generation", "a2")[0] == 0
    return found


@pytest.fixture
def served(host: Host) -> Iterator[Served]:
    listener = serve.open_port(argparse.Namespace(host="127.0.0.1", port=0))
    port = int(listener.getsockname()[1])
    namespace = argparse.Namespace(
        served_model_name=["qwen3.5"], model_tag="/weights", model=None, max_model_len=32768, max_num_seqs=8,
        allowed_local_media_path="", api_key=None, port=port, disable_uvicorn_access_log=True, reasoning_parser="",
        enable_force_include_usage=False, gpu_memory_utilization=0.9,
    )  # fmt: skip
    found = troubles.Troubles(port, time.time())
    engine = server.Engine(namespace, "", 100.0, found)
    httpd = server.start(listener, engine, Log(""))
    yield Served(engine, port)
    engine.stopping.set()
    httpd.shutdown()
    httpd.server_close()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_hanging_engine_is_healthy_and_gives_no_token(host: Host, served: Served) -> None:
    assert host.sim("break", "engine-hang", str(served.port)) == (0, "")
    served.engine.troubles.refresh()
    answers: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: answers.append(served.ask()))
    thread.start()
    until(lambda: served.engine.running == 1)
    before = served.engine.metrics.generation_tokens
    time.sleep(0.5)
    assert (served.engine.running, served.engine.metrics.generation_tokens, answers) == (1, before, [])
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=5)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    assert host.sim("mend") == (0, "")
    served.engine.troubles.refresh()
    thread.join(10)
    assert answers[0][0] == 200
    assert "17 + 25 = 42" in answers[0][1]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_aborts_its_request(host: Host, served: Served, stream: bool) -> None:
    host.sim("break", "engine-hang")
    served.engine.troubles.refresh()
    connection = served.connect(stream=stream)
    until(lambda: served.engine.running == 1)
    connection.close()
    until(lambda: served.engine.running == 0)
    assert served.engine.metrics.finished["abort"] == 1


def test_the_token_counter_moves_while_an_answer_is_made(host: Host, served: Served) -> None:
    host.sim("set", "token-seconds", "0.05")
    served.engine.troubles.refresh()
    connection = served.connect(ignore_eos=True, max_tokens=200)
    until(lambda: served.engine.metrics.generation_tokens > 5)
    first = served.engine.metrics.generation_tokens
    until(lambda: served.engine.metrics.generation_tokens > first)
    assert served.engine.running == 1
    connection.close()


def test_garbage_and_errors(host: Host, served: Served) -> None:
    host.sim("break", "engine-garbage", str(served.port))
    served.engine.troubles.refresh()
    assert "17 + 25" not in served.ask()[1]
    host.sim("mend")
    host.sim("break", "engine-errors", f"{served.port},50")
    served.engine.troubles.refresh()
    assert [served.ask()[0] for _time in range(4)] == [200, 500, 200, 500]


def test_a_restart_cures_and_other_ports_are_left_alone(host: Host) -> None:
    host.sim("break", "engine-slow", "8010,7")
    found = {}
    for name, port, started in (("this", 8010, 0.0), ("other", 8011, 0.0), ("restarted", 8010, time.time() + 1)):
        found[name] = troubles.Troubles(port, started)
        found[name].refresh()
    assert {name: one.slowness for name, one in found.items()} == {"this": 7.0, "other": 1.0, "restarted": 1.0}
    assert found["this"].token_seconds(0.1) == pytest.approx(0.7)


def test_a_longer_start_is_for_engines_to_come(host: Host) -> None:
    host.sim("break", "engine-start", "8011,12")
    state = json.loads((host.root / "usr/local/Ascend/driver/lib64/.ascend-sim.json").read_text())
    assert (troubles.start_delay(8011, state), troubles.start_delay(8010, state)) == (12.0, 0.0)


@pytest.mark.parametrize("words", [("engine-hang", "first"), ("engine-hang", "8010,3"), ("engine-slow", "8010,fast")])
def test_what_is_not_understood_is_refused(host: Host, words: tuple[str, str]) -> None:
    status, said = host.sim("break", *words)
    assert status != 0
    assert words[0] in said


def test_an_unreadable_state_leaves_things_as_they_are(host: Host) -> None:
    host.sim("break", "engine-hang")
    found = troubles.Troubles(8010, 0.0)
    found.refresh()
    (host.root / "usr/local/Ascend/driver/lib64/.ascend-sim.json").write_text("{")
    found.refresh()
    assert found.hangs
