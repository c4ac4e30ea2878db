# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask an HTTP server on this host, without ever raising."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Mapping, Optional


@dataclass(frozen=True)
class Answer:
    """What came back. ``status`` is None when nothing did; ``error`` then says why."""

    status: Optional[int]
    text: str = ""
    error: Optional[str] = None
    refused: bool = False
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether the server answered with status 200."""
        return self.status == 200

    def json(self) -> Any:
        """The body as data, or None when it is not JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    def describe(self) -> str:
        """One line for an error message, with the first words of the body."""
        if self.status is None:
            return self.error or "no answer"
        body = " ".join(self.text.split())
        return "HTTP %d: %s" % (self.status, quote(body)) if body else "HTTP %d with an empty body" % self.status


def quote(text: str, length: int = 200) -> str:
    """The first characters of a body, printable."""
    shown = text if len(text) <= length else text[: length - 3] + "..."
    return json.dumps(shown, ensure_ascii=False)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


# A proxy of the environment knows nothing of this host's own ports.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def fetch(
    url: str,
    *,
    timeout: float,
    body: Optional[Mapping[str, Any]] = None,
    api_key: str = "",
    limit: int = 16 * 1024 * 1024,
) -> Answer:
    """GET ``url``, or POST ``body`` to it as JSON."""
    headers = {"Accept": "application/json, text/plain, */*"}
    data = None
    if body is not None:
        data = json.dumps(body, ensure_ascii=False).encode()
        headers["Content-Type"] = "application/json"
    if api_key:
        headers["Authorization"] = "Bearer " + api_key
    if not url.startswith(("http://", "https://")):
        return Answer(None, error="%s is not an HTTP address" % url)
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            return Answer(response.status, response.read(limit).decode("utf-8", "replace"))
    except urllib.error.HTTPError as exc:
        try:
            text = exc.read(limit).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            text = ""
        return Answer(exc.code, text)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        reason = exc.reason if isinstance(exc, urllib.error.URLError) else exc
        if isinstance(reason, (socket.timeout, TimeoutError)):
            return Answer(None, error="no answer within %g s" % timeout, timed_out=True)
        refused = isinstance(reason, ConnectionRefusedError)
        return Answer(
            None, error="connection refused" if refused else str(reason) or type(reason).__name__, refused=refused
        )
