# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a replica for one token, beside other work: an engine may hang behind a server whose ``/health`` is well."""

from __future__ import annotations

import threading
import time
from typing import Callable, Optional

from .._base import http_client as http
from .answers import one_token

#: The first request after a start may compile kernels for minutes.
DEFAULT_SECONDS = 300.0
# A single check waits so long for one token: a warm engine gives it within a moment.
_MOMENT_SECONDS = 1.0
# A server without completions cannot be asked in this way; the smoke questions go where it answers.
_NO_COMPLETIONS = (404, 405)


class FirstToken:
    """One replica's question for one token: ``look`` asks it where it is not asked yet, and says how it stands.

    An answer that is an error is not the last word: the question is asked again, until ``seconds`` have passed since
    the first time.
    """

    def __init__(
        self,
        url: str,
        model: str,
        seconds: float,
        *,
        api_key: str = "",
        fetch: Callable[..., http.Answer] = http.fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answered = False
        self.failure: Optional[str] = None  # what was found instead of a token, when the time is up
        self.line = ""  # what the server said last that is no answer
        self._url = url
        self._body = one_token(model)
        self._seconds = seconds
        self._api_key = api_key
        self._fetch = fetch
        self._clock = clock
        self._began = clock()
        self._thread: Optional[threading.Thread] = None
        self._answer: Optional[http.Answer] = None

    def look(self) -> bool:
        """Whether the question was answered; waits for a moment only."""
        if self.answered or self.failure:
            return self.answered
        if self._thread is None:
            self._thread = threading.Thread(target=self._ask, daemon=True)
            self._thread.start()
        self._thread.join(_MOMENT_SECONDS)
        answer, late = self._answer, self._clock() - self._began >= self._seconds
        if answer is not None:
            if answer.ok or answer.status in _NO_COMPLETIONS:
                self.answered = True
                return True
            if not answer.timed_out:
                self.line = "/v1/completions answers " + answer.describe()
            self._thread, self._answer = None, None
        if late:
            found = self.line or "no first token"
            self.failure = "%s within %g s though /health answers" % (found, self._seconds)
        return False

    def words(self, unit: str) -> str:
        """What is wrong when the time is up, and what to do."""
        fix = "`systemctl restart %s`; where it is merely slow, raise vllm_serve_first_token_timeout_seconds" % unit
        return "found %s; needed an answer to a question for one token. Fix: %s" % (self.failure, fix)

    def _ask(self) -> None:
        left = max(self._seconds - (self._clock() - self._began), 1.0)
        address = self._url + "/v1/completions"
        self._answer = self._fetch(address, timeout=left, body=self._body, api_key=self._api_key)
