# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Chromium that opens a page and answers questions about it: the DevTools protocol over a pair of pipes.

Nothing but the browser itself is needed (`apt-get install chromium`): no driver, no package, no port. Messages are
JSON, each ended by a zero byte; https://chromedevtools.github.io/devtools-protocol/ names the commands and events.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Long, since other steps of the gate run beside it.
DEADLINE = 180.0
#: What would start background work, or ask for something outside.
_OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-extensions", "--hide-scrollbars", "--lang=en-US", "--remote-debugging-pipe",
)  # fmt: skip


class BrowserError(Exception):
    """The browser did not do what was asked; the message says what it said."""


def find() -> str | None:
    """The browser of this machine: ``CHROMIUM`` of the environment, or one on PATH; None where there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


class Chromium:
    """One browser with one page. To be used in a ``with``."""

    def __init__(self, width: int = 1440, height: int = 900) -> None:
        self._size = (width, height)
        self._number = 0
        self._buffer = b""
        #: What the page has written to the console, and exceptions that nobody has caught: (level, text).
        self.console: list[tuple[str, str]] = []
        #: Addresses that the page has asked for.
        self.requests: list[str] = []

    def __enter__(self) -> Chromium:
        program = find()
        if program is None:
            raise BrowserError("found no chromium; needed one. Fix: apt-get install chromium")
        self._profile = tempfile.TemporaryDirectory(prefix="ascend-chromium-", ignore_cleanup_errors=True)
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        # The browser reads descriptor 3 and writes descriptor 4; a shell puts them there.
        script = 'exec "$0" "$@" 3<&%d 4>&%d' % (theirs_in, theirs_out)
        argv = [program, *_OPTIONS, "--user-data-dir=%s" % self._profile.name, "--window-size=%d,%d" % self._size]
        self._log = Path(self._profile.name, "stderr.log").open("wb")
        self._process = subprocess.Popen(
            ["bash", "-c", script, *argv, "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._session = ""
        try:
            target = self.send("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.send(domain + ".enable")
            self.size(*self._size)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_about: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for descriptor in (self._read, self._write):
            os.close(descriptor)
        self._log.close()
        self._profile.cleanup()

    # - the protocol -

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a command and return its result. Events that come before it are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + DEADLINE
        while True:
            answer = self._next(until)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError("%s: %s" % (method, answer["error"]))
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _w, _x = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            if not data:
                said = Path(self._log.name).read_text(errors="replace")[-600:]
                raise BrowserError("the browser %s: %s" % ("ended" if ready else "did not answer in time", said))
            self._buffer += data
        message, _zero, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params") or {}
        if event.get("method") == "Runtime.consoleAPICalled":
            self.console.append(
                (about["type"], " ".join(str(a.get("value", a.get("description"))) for a in about["args"]))
            )
        elif event.get("method") == "Runtime.exceptionThrown":
            thrown = about["exceptionDetails"]
            self.console.append(
                ("exception", str((thrown.get("exception") or {}).get("description") or thrown["text"]))
            )
        elif event.get("method") == "Log.entryAdded":
            self.console.append((about["entry"]["level"], about["entry"]["text"]))
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    # - what a test asks -

    def size(self, width: int, height: int) -> None:
        """Give the page another size."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, **features: str) -> None:
        """Say what the reader's system prefers: ``prefers_color_scheme="dark"``."""
        pairs = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=pairs)

    def open(self, path: Path, ready: str = "document.documentElement?.dataset.ready") -> None:
        """Open a file and wait until the expression ``ready`` is true."""
        # The former page may still answer for a moment.
        self.ask("window.left = true")
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.wait("!window.left && (%s)" % ready)

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + DEADLINE
        while not self.ask("Boolean(%s)" % expression):
            if time.monotonic() > until:
                raise BrowserError("`%s` did not become true; console: %s" % (expression, self.console))
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page, as JSON can hold it."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError("`%s`: %s" % (expression, found["exceptionDetails"]))
        return found["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key, as the DevTools protocol names it."""
        known = {"key": key, "code": key, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
        self.send("Input.dispatchKeyEvent", type="keyDown", **known)
        self.send("Input.dispatchKeyEvent", type="keyUp", **known)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.send("Input.insertText", text=text)

    def picture(self, path: Path, form: str = "png", **clip: float) -> None:
        """Save what is seen, or a part of it (x, y, width, height)."""
        more: dict[str, Any] = {"clip": {**clip, "scale": 1}} if clip else {}
        shot = self.send("Page.captureScreenshot", format=form, **({"quality": 80} if form == "webp" else {}), **more)
        path.write_bytes(base64.b64decode(shot["data"]))
