# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load client asks a stand-in of the engine, and notices everything that is not as it must be."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "load"))
sys.path.insert(0, str(ROOT / "tests" / "sim" / "engine"))

from serving_load import cli
from serving_load.asking import LONG, PICTURE, PLAIN, SHAPES, STREAM, Client, Questions
from serving_load.journal import Journal, Request, Sample, read
from sim_vllm import serve, server, troubles
from sim_vllm.flaws import FINGERPRINT, Flaws
from sim_vllm.log import Log

PICTURE_FILE = ROOT / "playbooks" / "releases" / "files" / "tongyi_qwen.png"


@pytest.fixture
def engine() -> Iterator[server.Engine]:
    listener = serve.open_port(argparse.Namespace(host="127.0.0.1", port=0))
    port = int(listener.getsockname()[1])
    namespace = argparse.Namespace(
        served_model_name=["qwen3.5"], model_tag="/weights", model=None, max_model_len=32768, max_num_seqs=8,
        allowed_local_media_path="", api_key=["secret"], port=port, disable_uvicorn_access_log=True,
        reasoning_parser="", enable_force_include_usage=False, gpu_memory_utilization=0.9,
    )  # fmt: skip
    found = server.Engine(namespace, "", 100.0, troubles.Troubles(port, 0.0))
    httpd = server.start(listener, found, Log(""))
    yield found
    found.stopping.set()
    httpd.shutdown()
    httpd.server_close()


def client_of(port: int, key: str = "secret", checked: bool = True, timeout: float = 10.0) -> Client:
    questions = Questions("qwen3.5", PICTURE_FILE, "TONGYI", checked)
    return Client(f"http://127.0.0.1:{port}/v1", key, None, timeout, questions)


def test_an_answer_is_bounded_where_that_is_asked() -> None:
    questions = Questions("m", None, "", False, tokens=24)
    assert {questions.ask(shape, 1)[0]["max_tokens"] for shape in (STREAM, LONG, PLAIN)} == {24}
    usual = Questions("m", None, "", False)
    assert [usual.ask(shape, 1)[0]["max_tokens"] for shape in (STREAM, LONG)] == [300, 150]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_good_answer_of_each_shape(engine: server.Engine, shape: str) -> None:
    request = client_of(engine.namespace.port).ask(shape, 7)
    assert (request.outcome, request.error, request.status) == ("ok", "", 200)
    assert (request.first is not None) == (shape in (STREAM, LONG))


def test_an_unknown_key_is_a_failure_with_its_status(engine: server.Engine) -> None:
    request = client_of(engine.namespace.port, key="other").ask(PLAIN, 1)
    assert (request.outcome, request.status) == ("failed", 401)


def test_garbage_is_a_failure_although_the_status_is_200(engine: server.Engine) -> None:
    engine.fault = "garbled"
    for shape in (PLAIN, STREAM, PICTURE):
        request = client_of(engine.namespace.port).ask(shape, 1)
        assert (request.outcome, request.status) == ("failed", 200)
        assert "the answer lacks" in request.error
    assert client_of(engine.namespace.port, checked=False).ask(PLAIN, 1).outcome == "ok"


def test_a_stream_that_the_engine_aborts_is_cut(engine: server.Engine) -> None:
    engine.troubles.state = {"engine": {"token_seconds": 0.05}}

    def stop_in_the_stream() -> None:
        while engine.metrics.generation_tokens < 5:
            time.sleep(0.01)
        engine.stopping.set()

    threading.Thread(target=stop_in_the_stream, daemon=True).start()
    request = client_of(engine.namespace.port).ask(LONG, 1)
    assert request.outcome == "cut"
    assert "EngineCore" in request.error


@pytest.mark.parametrize(
    ("shape", "fault", "outcome"), [(PLAIN, "", "ok"), (LONG, "", "ok"), (PLAIN, "garbled", "failed")]
)
def test_it_is_told_who_answered(engine: server.Engine, shape: str, fault: str, outcome: str) -> None:
    engine.fault, engine.flaws = fault, Flaws({FINGERPRINT: "new"}, engine.namespace.port)
    request = client_of(engine.namespace.port).ask(shape, 1)
    assert (request.outcome, request.by, request.release) == (outcome, engine.flaws.fingerprint, "new")


def test_a_failure_tells_who_it_was_and_the_next_one_is_told_anew(engine: server.Engine) -> None:
    engine.fault, engine.flaws = "error-500", Flaws({FINGERPRINT: "new"}, engine.namespace.port)
    client = client_of(engine.namespace.port, timeout=0.5)
    assert (client.ask(STREAM, 1).status, client.ask(STREAM, 2).release) == (500, "new")
    engine.fault = "hang-request"
    assert (client.ask(PLAIN, 3).outcome, client.ask(PLAIN, 4).by) == ("failed", "")


def test_no_token_in_time_is_a_failure(engine: server.Engine) -> None:
    engine.fault = "hang-request"
    request = client_of(engine.namespace.port, timeout=0.5).ask(STREAM, 1)
    assert request.outcome == "failed"
    assert "imed out" in request.error


def test_nobody_listens() -> None:
    listener = serve.open_port(argparse.Namespace(host="127.0.0.1", port=0))
    port = int(listener.getsockname()[1])
    listener.close()
    request = client_of(port).ask(PLAIN, 1)
    assert (request.outcome, request.status) == ("failed", None)
    assert "refused" in request.error


CHUNK = '{"id":"x","object":"chat.completion.chunk","created":1,"model":"qwen3.5","choices":[%s]%s}'
DELTA = '{"index":0,"delta":{"content":"I am Qwen"},"finish_reason":%s}'
USAGE = ',"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
FIRST, LAST = CHUNK % (DELTA % "null", ""), CHUNK % (DELTA % '"stop"', "")


@pytest.fixture
def replay() -> Iterator[Callable[[list[str], bool], int]]:
    """A server that streams the given events, and ends the body as it must or not."""
    servers = []

    def start(events: list[str], whole: bool) -> int:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for text in events:
                    data = f"data: {text}\n\n".encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                if whole:
                    self.wfile.write(b"0\r\n\r\n")
                self.close_connection = True

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        servers.append(httpd)
        return int(httpd.server_port)

    yield start
    for httpd in servers:
        httpd.shutdown()
        httpd.server_close()


@pytest.mark.parametrize(
    ("events", "whole", "outcome", "words"),
    [
        ([FIRST, LAST, CHUNK % ("", USAGE), "[DONE]"], True, "ok", ""),
        ([FIRST, LAST, CHUNK % ("", USAGE)], True, "cut", "tail"),
        ([FIRST, CHUNK % ("", USAGE), "[DONE]"], True, "cut", "finish_reason None"),
        ([FIRST, LAST, "[DONE]"], True, "cut", "0 tokens"),
        ([FIRST], False, "cut", "incomplete"),
        ([FIRST, '{"error":{"message":"gone","type":"x","code":500}}', "[DONE]"], True, "cut", "gone"),
        ([], False, "failed", "incomplete"),
    ],
)
def test_a_stream_is_judged_to_its_end(
    replay: Callable[[list[str], bool], int], events: list[str], whole: bool, outcome: str, words: str
) -> None:
    request = client_of(replay(events, whole)).ask(STREAM, 1)
    assert request.outcome == outcome, request
    assert words in request.error


def test_a_run_from_the_command_line_ends_with_sigterm(engine: server.Engine, tmp_path: Path) -> None:
    log, key = tmp_path / "load.jsonl", tmp_path / "key"
    key.write_text("secret\n")
    base = f"http://127.0.0.1:{engine.namespace.port}"
    command = [sys.executable, str(ROOT / "tests/load/client.py"), "run", "--base-url", f"{base}/v1", "--log", str(log)]
    command += ["--key-file", str(key), "--concurrency", "3", "--pause", "0.01", "--replica", f"a2-1:0={base}/health"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while not log.exists() or log.read_text().count('"request"') < 20:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        said, _errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    entries = read(log.read_text().splitlines())
    requests = [entry for entry in entries if isinstance(entry, Request)]
    assert {request.shape for request in requests} == set(SHAPES)
    assert json.loads(said) == {"ok": len(requests)}
    assert next(entry for entry in entries if isinstance(entry, Sample)).healthy == {"a2-1:0": True}


def test_an_unknown_shape_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ["run", "--base-url", "http://h/v1", "--log", str(tmp_path / "l"), "--shapes", "plain,song"]
    assert cli.main(argv) == 2
    assert "song" in capsys.readouterr().err


def test_after_a_failure_a_worker_waits(tmp_path: Path) -> None:
    class Broken:
        def ask(self, shape: str, number: int) -> Request:
            if number == 3:
                load.stopping.set()
            return Request(number, shape, time.time(), time.time(), "failed", error="no")

    load = cli.Load(Journal(tmp_path / "log"), ("plain",), 0.0)
    began = time.monotonic()
    load.work(Broken(), 0)
    assert len(read((tmp_path / "log").read_text().splitlines())) == 3
    # Not at once, however busy this machine is: the worker has waited twice.
    assert time.monotonic() - began >= 2 * cli.AFTER_FAILURE
