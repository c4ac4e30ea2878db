# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store and a web server that misbehaves as it is told to, for the tests of files from a store."""

from __future__ import annotations

import hashlib
import random
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import manifest, names
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.manifest import Manifest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.repository import Repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Outcome, Request
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.tree import Wanted

COMMIT = "c" * 40
REPOSITORY = "https://nowhere.invalid/A/b.git"
LARGE = random.Random(1).randbytes(3_000_000)
SMALL = {"config.json": b"{}", "sub/README.md": b"hello\n"}
PORTAL = b"<html>Log in to the network</html>"
KEY = names.request_key("A/b", "main", ["*"], [])


def oid_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_store(folder: Path, files: dict[str, bytes], commit: str = COMMIT, key: str = KEY) -> Path:
    wanted = []
    for path, content in files.items():
        oid = oid_of(content)
        target = folder / "objects" / oid[:2] / oid[2:4] / oid
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        wanted.append(Wanted(path, "", oid, len(content), path.endswith(".bin")))
    (folder / "manifests").mkdir(exist_ok=True)
    text = manifest.dump_manifest(Manifest("A/b", "main", commit, tuple(wanted)))
    (folder / "manifests" / (key + ".json")).write_text(text)
    return folder


class Server:
    """A web server with ranges that counts what it sends, and may be slow, old or broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent: list[list[Any]] = []  # path, offset, bytes of the body; in the order of the requests
        self.pause = 0.0
        self.hold_at: int | None = None  # sends up to this byte of an object, then nothing until the client is gone
        self.ranges = True
        self.cut_after: int | None = None
        self.status: int | None = None
        self.portal = self.silent = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *words: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *words: Any) -> None:
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if self.portal:
            self.sent.append([handler.path, 0, len(PORTAL)])
            handler.send_response(200)
            handler.send_header("Content-Type", "text/html; charset=utf-8")
            handler.end_headers()
            handler.wfile.write(PORTAL)
            return
        file = self.folder / handler.path.lstrip("/")
        if self.silent:
            handler.close_connection = True
            return
        if self.status or not file.is_file():
            handler.send_error(self.status or 404)
            return
        content = file.read_bytes()
        asked = re.match(r"bytes=(\d+)-(\d*)$", handler.headers.get("Range") or "")
        asked = asked if self.ranges else None
        offset = int(asked.group(1)) if asked else 0
        if asked and asked.group(2):
            content = content[: int(asked.group(2)) + 1]
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", "bytes %d-%d/%d" % (offset, len(content) - 1, file.stat().st_size))
        handler.send_header("Content-Length", str(len(content) - offset))
        handler.end_headers()
        entry = [handler.path, offset, 0]
        self.sent.append(entry)
        end, is_object = len(content), "/objects/" in handler.path
        if self.cut_after is not None and is_object:
            end = min(end, offset + self.cut_after)
        held = self.hold_at is not None and is_object and self.hold_at < end
        try:
            for start in range(offset, self.hold_at if held else end, 16_384):
                step = content[start : min(self.hold_at if held else end, start + 16_384)]
                entry[2] += len(step)  # before the client has it: a test may look as soon as it has
                handler.wfile.write(step)
                if self.pause:
                    time.sleep(self.pause)  # the line's own speed, not a wait for something
            if held:
                handler.connection.recv(1)
        except OSError:
            pass  # the client is gone, which is what many tests are about
        finally:
            handler.close_connection = True

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def request(dest: Path, *sources: str, **more: Any) -> Request:
    arguments: dict[str, Any] = {"revision": "main", "sources": sources, "ask_origin": False, **more}
    return Request(repository=REPOSITORY, dest=str(dest), **arguments)


def ensure(dest: Path, *sources: str, **more: Any) -> Outcome:
    return Repository(request(dest, *sources, **more), sleep=lambda seconds: None).ensure()


def part_of(dest: Path, content: bytes) -> Path:
    folder = dest / ".git" / "lfs" / "incomplete"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / (oid_of(content) + ".part")
