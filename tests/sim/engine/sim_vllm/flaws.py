# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine is by itself, good or bad: told by its environment, and so by its release.

A trouble (``troubles``) is switched on a host and cured by a restart. A flaw comes with every engine of a release, and
goes with the release.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping

FINGERPRINT = "ASCEND_SIM_FINGERPRINT"
START_SECONDS = "ASCEND_SIM_START_SECONDS"
TOKEN_RATE = "ASCEND_SIM_TOKEN_RATE"
ERROR_PERCENT = "ASCEND_SIM_ERROR_PERCENT"
ERRORS_AFTER = "ASCEND_SIM_ERRORS_AFTER"
HANG_AFTER = "ASCEND_SIM_HANG_AFTER"


class FlawError(ValueError):
    """A setting cannot be read; the message says what was found and needed."""


def _number(environment: Mapping[str, str], name: str, otherwise: float, low: float, high: float) -> float:
    text = environment.get(name, "").strip()
    try:
        value = float(text) if text else otherwise
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise FlawError(f"{name}: found {text!r}; needed a number from {low:g} to {high:g}")
    return value


class Flaws:
    """The flaws of one engine, which counts the questions that it is asked."""

    def __init__(self, environment: Mapping[str, str] | None = None, port: int = 0) -> None:
        given = environment or {}
        release = given.get(FINGERPRINT, "").strip()
        #: Which release, on which host and port: told with every answer. Empty where the release has no name here.
        self.fingerprint = f"{release} {socket.gethostname()}:{port}" if release else ""
        self.start_seconds = _number(given, START_SECONDS, 0.0, 0.0, 86400.0)
        self.slowness = 1 / _number(given, TOKEN_RATE, 1.0, 0.01, 100.0)
        self._error_percent = _number(given, ERROR_PERCENT, 0.0, 0.0, 100.0)
        self._errors_after = int(_number(given, ERRORS_AFTER, 0.0, 0.0, 1e9))
        self._hang_after = int(_number(given, HANG_AFTER, 0.0, 0.0, 1e9))
        self._lock = threading.Lock()
        self._questions = 0
        # The first one that may end with an error does.
        self._owed = 100 - self._error_percent if self._error_percent else 0.0

    @property
    def hangs(self) -> bool:
        """Whether no token comes any more: so many questions were asked."""
        return 0 < self._hang_after < self._questions

    def refuses(self) -> bool:
        """Count one more question: whether it ends with an error. Evenly, not by chance, and the first ones never."""
        with self._lock:
            self._questions += 1
            if self._questions <= self._errors_after:
                return False
            self._owed += self._error_percent
            if self._owed < 100:
                return False
            self._owed -= 100
            return True
