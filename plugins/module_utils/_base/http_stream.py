# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask an HTTP server for a stream of events, with deadlines to the first and between them, without ever raising."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional
from urllib.parse import urlsplit

from .http_client import Answer

_CONNECT_SECONDS = 10.0
#: The data of the event that ends a stream of OpenAI's form.
DONE = "[DONE]"
#: Called with the data of each event; returns whether it is what is waited for, such as a token.
OnEvent = Callable[[str], bool]


@dataclass(frozen=True)
class Deadlines:
    """How many seconds may pass until the first event that counts, between two of them, and until the end."""

    first: float
    between: float
    whole: float


def stream(
    url: str,
    on_event: OnEvent,
    deadlines: Deadlines,
    *,
    body: Mapping[str, Any],
    api_key: str = "",
    limit: int = 16 * 1024 * 1024,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """POST ``body`` as JSON and hand over the events of the answer one by one.

    An answer that is no stream of events (an error, or a server that does not stream) is returned with its text, under
    the same deadlines. The text of a stream is empty: the caller has seen its events.
    """
    try:
        connection, path = _connection(url)
    except ValueError as exc:
        return Answer(None, error=str(exc))
    headers = {"Accept": "text/event-stream, application/json", "Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = "Bearer " + api_key
    watch = _Watch(deadlines, clock)
    try:
        connection.timeout = min(_CONNECT_SECONDS, watch.left())
        connection.connect()
        # The answer takes the socket away from a connection that ends with it.
        watch.sock = connection.sock
        watch.arm()
        connection.request("POST", path, json.dumps(body, ensure_ascii=False).encode(), headers)
        response = connection.getresponse()
        if response.status != 200 or "text/event-stream" not in (response.headers.get("Content-Type") or ""):
            return Answer(response.status, _read(response, watch, limit).decode("utf-8", "replace"))
        _events(response, on_event, watch, limit)
        return Answer(200)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return _failed(exc, watch)
    finally:
        connection.close()


class _Watch:
    """The deadline that holds now, put on the socket before each read."""

    def __init__(self, deadlines: Deadlines, clock: Callable[[], float]) -> None:
        self._deadlines = deadlines
        self._clock = clock
        self._began = self._heard = clock()
        self.sock: Optional[socket.socket] = None
        self.counted = 0

    def hear(self) -> None:
        self.counted += 1
        self._heard = self._clock()

    def left(self) -> float:
        """Seconds until the next deadline; raises TimeoutError when it has passed."""
        now, limits = self._clock(), self._deadlines
        next_one = self._heard + limits.between if self.counted else self._began + limits.first
        left = min(next_one, self._began + limits.whole) - now
        if left <= 0:
            raise TimeoutError
        return left

    def arm(self) -> None:
        left = self.left()
        # From Python 3.13 on the last part of an answer closes the socket with it.
        if self.sock is not None and self.sock.fileno() != -1:
            self.sock.settimeout(left)

    def words(self) -> str:
        """What did not come in time."""
        limits = self._deadlines
        if not self.counted:
            return "no first token within %g s" % min(limits.first, limits.whole)
        if self._clock() - self._began >= limits.whole:
            return "no whole answer within %g s" % limits.whole
        return "no further token for %g s after %d" % (limits.between, self.counted)


def _connection(url: str) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("%s is not an HTTP address" % url)
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.hostname, parts.port, context=ssl.create_default_context()), path
    return http.client.HTTPConnection(parts.hostname, parts.port), path


def _read(response: http.client.HTTPResponse, watch: _Watch, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < limit:
        watch.arm()
        part = response.read1(65536)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _events(response: http.client.HTTPResponse, on_event: OnEvent, watch: _Watch, limit: int) -> None:
    """Read server-sent events until the stream ends. Comments and empty lines count for nothing."""
    size = 0
    data: list[str] = []
    while size < limit:
        watch.arm()
        raw = response.readline(1024 * 1024)
        if not raw:
            break
        size += len(raw)
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if line.startswith("data:"):
            data.append(line[5:].lstrip(" "))
        elif not line and data:
            text = "\n".join(data)
            data = []
            if on_event(text):
                watch.hear()
            if text == DONE:
                return
    if data and on_event("\n".join(data)):
        watch.hear()


def _failed(exc: Exception, watch: _Watch) -> Answer:
    if isinstance(exc, (socket.timeout, TimeoutError)):
        return Answer(None, error=watch.words(), timed_out=True)
    if isinstance(exc, ConnectionRefusedError):
        return Answer(None, error="connection refused", refused=True)
    return Answer(None, error=str(exc) or type(exc).__name__)
