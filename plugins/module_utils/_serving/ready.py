# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until replicas serve, or until they have no request left. All at once, with one deadline.

What systemd or the journal does not say is unknown: such a look decides nothing, and when it lasts the wait ends with
the command that failed.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base import command
from .._base import http_client as http
from .._host.systemd import NoSystemd, Systemd, SystemdError
from . import log as _vllm_log
from .first_token import FirstToken

_SHOWN_LINES = 15
# So long systemd may be without an answer: a host that loads weights at full speed is slow for a while.
_UNKNOWN_SECONDS = 120.0
# A unit prints the first when it removes a container that is not there; the second are the answers to whoever watches
# the replica. They tell nothing of a start, and would fill the end of the log of an engine that hangs.
_NOISE = re.compile(
    r"^Error(?: response from daemon)?: No such container: |.*\"GET /(?:health|metrics|ping|version|v1/models)[ ?]"
)
# So long after the first look that finds no request a second one must find none.
_IDLE_SECONDS = 2.0
_RUNNING = ("active", "activating", "deactivating", "reloading")


@dataclass
class Watch:
    """What is known of one replica."""

    unit: str
    url: str
    served_model_name: Optional[str] = None
    ready: bool = False
    stage: str = _vllm_log.STAGES[0]
    percent: Optional[int] = None
    seconds: float = 0.0
    start_seconds: Optional[float] = None  # from the start of its unit until it was seen to serve
    invocation: str = ""
    cursor: str = ""
    heard: float = 0.0  # the clock when the log last had a new line
    line: str = ""  # that line
    unread: str = ""  # why the journal could not be read at the last look
    requests: Optional[int] = None  # running and waiting, while waiting for idle
    first_token: Optional[FirstToken] = None  # the question for one token, when it was asked
    notes: list[str] = field(default_factory=list)  # what the log tells of an engine that serves, but not as it should
    hangs: str = ""  # what shows that the engine hangs, where that is the failure
    failure: Optional[str] = None
    causes: list[str] = field(default_factory=list)  # the names of the signatures in its log, where it failed
    kind: str = ""  # equal for replicas that failed in the same way

    def show_question(self) -> None:
        """Show that it is asked for a token, of which its log knows nothing."""
        if self.first_token:
            self.stage, self.percent = "first_token", None
            self.line = self.first_token.line or self.line

    def text(self) -> str:
        """How far it is, for people."""
        if self.ready:
            return "ready" if self.requests is None else "idle"
        if self.requests is not None:
            return "%d requests left" % self.requests
        return _vllm_log.Progress(self.stage, self.percent).text()


class Watcher:
    """Looks at several replicas of this host until they are as wanted. With first_token_timeout 0 none is asked for a
    token. Times are in seconds."""

    def __init__(
        self,
        watches: Sequence[Watch],
        *,
        timeout: float,
        silence_timeout: float,
        api_key: str = "",
        max_restarts: int = 0,
        first_token_timeout: float = 0.0,
        poll: float = 2.0,
        run: Callable[..., command.Completed] = command.run,
        fetch: Callable[..., http.Answer] = http.fetch,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.watches = list(watches)
        self._began = clock()
        self._answered = self._began
        self._timeout = timeout
        self._silence_timeout = silence_timeout
        self._api_key = api_key
        self._max_restarts = max_restarts
        self._first_token_timeout = first_token_timeout
        self._poll = poll
        self._run = run
        self._fetch = fetch
        self._clock = clock
        self._sleep = sleep
        self._systemd = Systemd(run)

    @property
    def elapsed(self) -> float:
        """Seconds since the wait began."""
        return self._clock() - self._began

    @property
    def failures(self) -> list[str]:
        """What went wrong, one text for all replicas that failed in the same way."""
        first: dict[str, str] = {}
        others: dict[str, list[str]] = {}
        for watch in self.watches:
            if watch.failure and watch.kind and watch.kind in first:
                others.setdefault(watch.kind, []).append(watch.unit)
            elif watch.failure:
                first[watch.kind or watch.unit] = watch.failure
        also = {kind: "\nIn the same way: " + ", ".join(units) for kind, units in others.items()}
        return [text + also.get(kind, "") for kind, text in first.items()]

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to wait for."""
        return all(w.ready or w.failure for w in self.watches)

    def wait(self, look: Callable[[], None], *, once: bool = False, report: Callable[[], None] = lambda: None) -> None:
        """Look again and again until all is well or something failed; only once when that is asked for.

        report: called after every look. Raises SystemdError when systemd does not answer for too long.
        """
        while True:
            try:
                look()
                self._answered = self._clock()
            except NoSystemd:
                raise
            except SystemdError:
                if once or self._clock() - self._answered >= _UNKNOWN_SECONDS or self.elapsed >= self._timeout:
                    raise
            report()
            if once or self.finished or self.failures:
                return
            self._sleep(self._poll)

    # - ready -

    def look_ready(self) -> None:
        """One look at every replica that is not ready yet."""
        waiting = [w for w in self.watches if not w.ready and not w.failure]
        shown = self._systemd.show([w.unit for w in waiting])
        for watch in waiting:
            watch.seconds = round(self.elapsed, 1)
            unit = shown[watch.unit]
            if unit.get("ActiveState") == "active" and self._serves(watch):
                watch.start_seconds = _seconds_active(unit, self._clock())
                continue
            self._listen(watch, unit)
            watch.show_question()
            watch.failure = self._died(watch, unit) or self._overdue(watch)

    def _serves(self, watch: Watch) -> bool:
        if not self._fetch(watch.url + "/health", timeout=5).ok:
            return False
        if watch.served_model_name:
            answer = self._fetch(watch.url + "/v1/models", timeout=10, api_key=self._api_key)
            names = model_names(answer.json())
            if not answer.ok:
                watch.line = "/v1/models answers " + answer.describe()
                return False
            model = watch.served_model_name
            if model not in names:
                watch.failure = self._words(
                    watch,
                    "found the model %s at %s; needed %s. Fix: see who listens there with `ss -ltnp`"
                    % (", ".join(names) or "(none)", watch.url, model),
                )
                return False
            if self._first_token_timeout and not self._generates(watch, model):
                return False
        watch.ready, watch.stage, watch.percent = True, "ready", None
        return True

    def _generates(self, watch: Watch, model: str) -> bool:
        """Whether the replica has given a token. It is asked beside the looks at all of them."""
        if watch.first_token is None:
            more: dict[str, Any] = {"api_key": self._api_key, "fetch": self._fetch, "clock": self._clock}
            watch.first_token = FirstToken(watch.url, model, self._first_token_timeout, **more)
        if watch.first_token.look():
            return True
        watch.stage, watch.percent = "first_token", None
        # A log is quiet while one question is answered, which has a deadline of its own.
        watch.heard = self._clock()
        if watch.first_token.failure:
            watch.hangs = watch.first_token.failure
            watch.failure = self._words(watch, watch.first_token.words(watch.unit))
        return False

    def _listen(self, watch: Watch, unit: Mapping[str, str]) -> None:
        """Read the new lines of the journal."""
        invocation = unit.get("InvocationID", "")
        if invocation != watch.invocation:
            if watch.invocation:
                watch.first_token = None  # another engine than the one that was asked
            watch.invocation, watch.cursor = invocation, ""
            watch.stage, watch.percent = _vllm_log.STAGES[0], None
            watch.heard = self._clock()
        watch.heard = watch.heard or self._clock()
        if not invocation:
            return
        argv = ["journalctl", "--output=cat", "--all", "--no-pager", "--quiet", "--show-cursor"]
        if watch.cursor:
            argv.append("--after-cursor=" + watch.cursor)
        done = self._run([*argv, "_SYSTEMD_INVOCATION_ID=" + invocation], timeout=30)
        watch.unread = "" if done.ok else done.describe()
        lines = [line for line in _vllm_log.split_lines(done.stdout) if not _NOISE.match(line)]
        if lines and lines[-1].startswith("-- cursor: "):
            watch.cursor = lines.pop()[len("-- cursor: ") :]
        if not done.ok or not lines:
            return
        if any(_vllm_log.is_sign_of_life(line, watch.stage) for line in lines):
            watch.heard = self._clock()
        watch.line = _vllm_log.strip_prefix(lines[-1]).strip()[:200]
        watch.notes += [note for note in _vllm_log.notes(lines) if note not in watch.notes]
        progress = _vllm_log.follow(lines, _vllm_log.Progress(watch.stage, watch.percent))
        # The log may say `ready` too early: only an answer of the server makes a replica ready.
        watch.stage = "starting_server" if progress.stage == "ready" else progress.stage
        watch.percent = progress.percent

    def _died(self, watch: Watch, unit: Mapping[str, str]) -> Optional[str]:
        if watch.failure:
            return watch.failure
        active, sub = unit.get("ActiveState", "unknown"), unit.get("SubState", "")
        if unit.get("LoadState") == "not-found":
            return self._words(
                watch, "found no such unit; needed it deployed. Fix: run site.yml on this host", log=False
            )
        restarts = int(unit["NRestarts"]) if unit.get("NRestarts", "").isdigit() else 0
        waits = sub.startswith("auto-restart")  # also auto-restart-queued
        ended = active in ("failed", "inactive") or waits
        if not ended and restarts <= self._max_restarts:
            return None
        if waits and restarts < self._max_restarts:
            return None
        if active == "inactive" and unit.get("ExecMainStatus", "0") == "0" and not watch.invocation:
            return self._words(
                watch, "found it stopped; needed it running. Fix: systemctl start %s" % watch.unit, log=False
            )
        how = "exit status %s" % unit.get("ExecMainStatus", "unknown")
        if unit.get("ExecMainCode") == "2" or unit.get("Result") == "signal":
            how = "signal %s" % unit.get("ExecMainStatus", "unknown")
        what = "found that it ended (%s) while %s" % (how, watch.text())
        if restarts:
            what += ", after %d restart%s" % (restarts, "" if restarts == 1 else "s")
        if unit.get("Result") == "start-limit-hit" or active == "failed":
            what += "; systemd does not start it again (%s)" % unit.get("Result", "failed")
        # The journal may be a moment behind the unit.
        self._sleep(0.5)
        return self._words(watch, what + "; needed it serving")

    def _overdue(self, watch: Watch) -> Optional[str]:
        if watch.failure:
            return watch.failure
        silent = self._clock() - watch.heard
        if self.elapsed >= self._timeout:
            fix = "look at the journal; where it is merely slow, raise ready_timeout_seconds"
            what = "found it still %s after %d s; needed it serving. Fix: %s" % (watch.text(), self.elapsed, fix)
            return self._words(watch, what)
        if silent >= self._silence_timeout:
            fix = "look at the journal and at npu-smi info; where that is its pace, raise silence_timeout_seconds"
            watch.hangs = "no new line in its log for %d s while %s" % (silent, watch.text())
            found = "found %s" % watch.hangs
            if watch.unread:
                found = "found: %s, for %d s, while %s" % (watch.unread, silent, watch.text())
                fix = "see `journalctl --verify` and `systemctl status systemd-journald`"
            return self._words(watch, "%s; needed a sign of life. Fix: %s" % (found, fix))
        return None

    def _words(self, watch: Watch, what: str, *, log: bool = True) -> str:
        text = "%s: %s" % (watch.unit, what)
        if not log:
            return text
        diagnosis = _vllm_log.diagnose(_journal(self._run, watch), keep=_SHOWN_LINES)
        watch.causes = diagnosis.names
        watch.kind = " ".join([watch.stage, *watch.causes]) if watch.causes else watch.kind
        return "%s\n%s\nWhole log: journalctl -u %s" % (text, diagnosis.text(), watch.unit)

    # - idle -

    def look_idle(self) -> None:
        """One look at how many requests every replica still has. None has to be seen twice: one may just be coming."""
        waiting = [w for w in self.watches if not w.ready and not w.failure]
        shown = self._systemd.show([w.unit for w in waiting])
        running = [w for w in waiting if shown[w.unit].get("ActiveState") in _RUNNING]
        for watch in waiting:
            watch.seconds = round(self.elapsed, 1)
            watch.ready = watch not in running
        found = {w.unit: self._count_requests(w) for w in running}
        empty = [w for w in running if w.requests == 0]
        if empty:
            self._sleep(_IDLE_SECONDS)
            found.update({w.unit: self._count_requests(w) for w in empty})
        for watch in running:
            # Where no connection is possible, no request is served.
            watch.ready = watch.requests == 0 or found[watch.unit].refused
            if not watch.ready and self.elapsed >= self._timeout:
                what = found[watch.unit].describe()
                if watch.requests is not None:
                    what = "%s requests running and waiting" % watch.requests
                watch.failure = (
                    "%s: found %s after %d s; needed none. Fix: take the host out of the balancer, or wait longer"
                    % (watch.unit, what, self.elapsed)
                )

    def _count_requests(self, watch: Watch) -> http.Answer:
        answer = self._fetch(watch.url + "/metrics", timeout=10)
        counts = _vllm_log.requests_in_flight(answer.text) if answer.ok else None
        watch.requests = sum(counts) if counts else None
        return answer


def _seconds_active(unit: Mapping[str, str], now: float) -> Optional[float]:
    """How long a unit has been active; None where systemd does not say. ``now`` is a time of the monotonic clock."""
    try:
        entered = int(unit.get("ActiveEnterTimestampMonotonic", "")) / 1_000_000
    except ValueError:
        return None
    return round(max(0.0, now - entered), 1) if entered else None


def model_names(data: Any) -> list[str]:
    """The names in an answer of ``/v1/models``."""
    models = data.get("data") if isinstance(data, dict) else None
    return [str(m["id"]) for m in models or () if isinstance(m, dict) and "id" in m]


def _journal(run: Callable[..., command.Completed], watch: Watch, count: int = 3000) -> list[str]:
    """The last lines of the replica's present run, systemd's own words about it among them."""
    argv = ["journalctl", "--output=cat", "--all", "--no-pager", "--quiet", "--lines=%d" % count]
    if watch.invocation:
        match = ["_SYSTEMD_INVOCATION_ID=" + watch.invocation, "+", "INVOCATION_ID=" + watch.invocation]
    else:
        match = ["--unit=" + watch.unit]
    done = run([*argv, *match], timeout=30)
    lines = [line for line in _vllm_log.split_lines(done.stdout) if not _NOISE.match(line)]
    return lines if done.ok else [*lines, "(the journal could not be read: %s)" % done.describe()]
