# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream with deadlines, from a real server on the loopback."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.http_stream import Deadlines, stream

LONG = Deadlines(5, 5, 10)


class Server(BaseHTTPRequestHandler):
    """Sends what ``script`` says: texts at once, numbers as seconds of silence."""

    protocol_version = "HTTP/1.1"
    script: tuple = ()
    status = 200
    kind = "text/event-stream; charset=utf-8"
    bodies: list = []  # noqa: RUF012 - the fixture makes a class of its own with its own list

    def do_POST(self):
        self.bodies.append(
            (json.loads(self.rfile.read(int(self.headers["Content-Length"]))), self.headers.get("Authorization"))
        )
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for part in self.script:
                if isinstance(part, str):
                    data = part.encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.flush()
                else:
                    time.sleep(part)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass  # the client gave up

    def log_message(self, *_args):
        pass


@pytest.fixture
def server():
    handler = type("One", (Server,), {"bodies": []})
    found = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    found.daemon_threads = True
    thread = threading.Thread(target=found.serve_forever, args=(0.05,))
    thread.start()
    handler.url = "http://127.0.0.1:%d/v1/completions" % found.server_address[1]
    yield handler
    found.shutdown()
    thread.join()
    found.server_close()


def ask(server, deadlines=LONG, counts=lambda data: data != "role", **more):
    seen = []

    def on_event(data):
        seen.append(data)
        return counts(data)

    return stream(server.url, on_event, deadlines, body={"prompt": "你好"}, **more), seen


def test_events_one_by_one(server):
    server.script = ("data: a\n\n: a comment\n\ndata: b", "\r\n\r\n", "data: c\ndata: d\n\n", "data: [DONE]\n\n")
    answer, seen = ask(server, api_key="k")
    assert (answer.status, answer.text) == (200, "")
    assert seen == ["a", "b", "c\nd", "[DONE]"]
    assert server.bodies == [({"prompt": "你好"}, "Bearer k")]


def test_no_first_token_in_time(server):
    server.script = ("data: role\n\n", 5)
    answer, seen = ask(server, Deadlines(0.3, 5, 10))
    assert (answer.status, answer.timed_out) == (None, True)
    assert answer.error == "no first token within 0.3 s"
    assert seen == ["role"]


def test_comments_are_no_sign_of_life(server):
    server.script = (": ping\n\n", 0.2) * 10
    answer, _seen = ask(server, Deadlines(0.5, 5, 10))
    assert answer.error == "no first token within 0.5 s"


def test_no_further_token(server):
    server.script = ("data: a\n\n", "data: b\n\n", 5)
    answer, seen = ask(server, Deadlines(5, 0.3, 10))
    assert answer.error == "no further token for 0.3 s after 2"
    assert seen == ["a", "b"]


def test_not_whole_in_time(server):
    server.script = ("data: a\n\n", 0.2) * 20
    answer, _seen = ask(server, Deadlines(5, 5, 0.7))
    assert answer.error == "no whole answer within 0.7 s"


def test_an_answer_that_is_no_stream(server):
    server.kind, server.script = "application/json", ('{"a": ', "1}")
    answer, seen = ask(server)
    assert (answer.json(), seen) == ({"a": 1}, [])


def test_an_error(server):
    server.status, server.script = 500, ('{"error": "x"}',)
    answer, _seen = ask(server)
    assert (answer.status, answer.json()) == (500, {"error": "x"})


def test_nobody_listens():
    answer = stream("http://127.0.0.1:1/v1", lambda data: True, LONG, body={})
    assert (answer.status, answer.refused, answer.timed_out) == (None, True, False)


def test_no_http_address():
    assert stream("file:///etc", lambda data: True, LONG, body={}).error == "file:///etc is not an HTTP address"
