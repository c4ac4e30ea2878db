# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell gateways which replicas of this host the watchdog has taken out of traffic: the program of its agent.

Usage: watchdog-agent.py ADDRESS PORT

HAProxy's agent-check sends the port of a replica and reads one line. `down` and `up` move what its health checks move.
The words `drain`, `maint` and `ready` would not do: they set the state that an operator sets too, so `ready` would undo
an operator's drain. Installed as it is, so it imports nothing but the standard library; it may write nowhere.
"""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import time
from typing import Any

OUT = "/run/ascend-fleet/watchdog-out.json"
#: Whatever the watchdog said longer ago counts for nothing: it looks every 30 s, and ends itself after 900 s.
STALE_SECONDS = 1200.0
_ASK_SECONDS = 5.0
_LINE_BYTES = 32


def answer(question: str, text: str, now: float) -> str:
    """The word for the replica on this port. ``text``: what the watchdog has written; ``now``: on the same clock.

    What is not known to be out is up: the gateway's own checks then decide alone.
    """
    try:
        found = json.loads(text or "{}")
        reason = found["out"].get(question.strip())
        fresh = 0 <= now - float(found["at"]) < STALE_SECONDS
    except (ValueError, KeyError, AttributeError, TypeError):
        return "up"
    return "down #%s" % " ".join(str(reason).split())[:100] if reason and fresh else "up"


def read(path: str) -> str:
    """The file's text; empty where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


class Handler(socketserver.StreamRequestHandler):
    """One question."""

    timeout = _ASK_SECONDS
    path = OUT

    def handle(self) -> None:
        """Answer it; whoever asks nothing gets no answer."""
        try:
            question = self.rfile.readline(_LINE_BYTES)
            if question.endswith(b"\n"):
                word = answer(question.decode("ascii", "replace"), read(self.path), time.monotonic())
                self.wfile.write(word.encode() + b"\n")
        except OSError:  # it has gone, or asked nothing in time
            pass


class Server(socketserver.ThreadingTCPServer):
    """Listens on one address."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: str, port: int, handler: Any = Handler) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), handler)


def main(argv: list[str]) -> int:
    """Answer until the end."""
    if len(argv) != 2 or not argv[1].isdigit():
        sys.stderr.write("usage: watchdog-agent.py ADDRESS PORT\n")
        return 2
    with Server(argv[0], int(argv[1])) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
