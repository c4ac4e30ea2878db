# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP connection, and the server that accepts it, with the manners of uvicorn under vLLM."""

from __future__ import annotations

import http.server
import json
import select
import socket
from http import HTTPStatus
from typing import Any

from .engine import Engine
from .log import Log

KEEP_ALIVE_SECONDS = 5  # uvicorn's, as vLLM sets it
REQUEST_SECONDS = 75


def compact(value: Any) -> str:
    """JSON as vLLM writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Connection(http.server.BaseHTTPRequestHandler):
    """What a connection can do, whatever is asked on it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    timeout = REQUEST_SECONDS
    handler = "none"  # the route, as metrics call it

    def log_message(self, *_: object) -> None:
        pass

    def parse_request(self) -> bool:
        self.connection.settimeout(REQUEST_SECONDS)
        return super().parse_request()

    def gone(self) -> bool:
        """Whether the client has closed its connection."""
        poller = select.poll()
        try:
            poller.register(self.connection, select.POLLIN)
            return bool(poller.poll(0)) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_head(status, ("content-length", str(len(body))), *([("content-type", kind)] if body else []))
        self.wfile.write(body)

    def send_json(self, status: int, value: Any) -> None:
        self.send(status, compact(value).encode())

    def send_head(self, status: int, *headers: tuple[str, str]) -> None:
        self.log_access(status)
        engine = self.server.engine
        engine.metrics.count_answer(self.handler, self.command, status)
        if engine.flaws.fingerprint:
            headers += (("x-engine", engine.flaws.fingerprint),)
        self.send_response_only(status)
        for name, value in (("date", self.date_time_string()), ("server", "uvicorn"), *headers):
            self.send_header(name, value)
        self.end_headers()

    def begin_events(self) -> None:
        self.send_head(200, ("content-type", "text/event-stream; charset=utf-8"), ("transfer-encoding", "chunked"))

    def send_event(self, value: Any) -> None:
        data = value if isinstance(value, str) else compact(value)
        payload = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(payload), payload))

    def end_events(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def log_access(self, status: int) -> None:
        phrase = HTTPStatus(status).phrase
        if not self.server.engine.namespace.disable_uvicorn_access_log:
            self.server.log.uvicorn(
                f"{self.client_address[0]}:{self.client_address[1]} - "
                f'"{self.command} {self.path} HTTP/1.1" {status} {phrase}'
            )


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2048
    allow_reuse_address = True

    def __init__(self, listener: socket.socket, engine: Engine, log: Log, handler: type[Connection]) -> None:
        self.engine, self.log = engine, log
        self.address_family = listener.family
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = listener.getsockname()
        self.server_name, self.server_port = "vllm", int(listener.getsockname()[1])
        self.server_activate()

    def handle_error(self, *_: object) -> None:
        pass
