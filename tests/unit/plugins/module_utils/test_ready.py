# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, with a clock, a journal and a server made up for it."""

from __future__ import annotations

import json
import threading

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._base.http_client import Answer
from ansible_collections.ascend.fleet.plugins.module_utils._host.systemd import SystemdError
from ansible_collections.ascend.fleet.plugins.module_utils._serving import first_token
from ansible_collections.ascend.fleet.plugins.module_utils._serving import ready as _ready

REFUSED = Answer(None, error="connection refused", refused=True)
RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "NRestarts": "0",
    "InvocationID": "abc",
}
UNITS = ("vllm-qwen3.5@0.service", "vllm-qwen3.5@1.service")


class World:
    """Units, journals and servers as functions of the time."""

    def __init__(self):
        self.now = 1000.0
        self.units = {name: (lambda t: RUNNING) for name in UNITS}
        self.journal = {name: [] for name in UNITS}  # (time, line)
        self.ready_at = dict.fromkeys(UNITS, 30.0)
        self.model = "qwen3.5"
        self.requests = lambda t: (0, 0)
        self.asked = []
        self.token = lambda t, name: Answer(200, '{"choices": [{"text": "!"}]}')
        self.commands = []
        self.fails = lambda program, t: False

    @property
    def t(self):
        return self.now - 1000.0

    def sleep(self, seconds):
        self.now += seconds

    def run(self, argv, *, timeout):
        self.commands.append(argv)
        out = ""
        if self.fails(argv[0], self.t):
            return Completed(tuple(argv), None, "", "", True)
        if argv[0] == "systemctl":
            for name in argv[argv.index("--") + 1 :]:
                out += "Id=%s\n" % name + "".join("%s=%s\n" % p for p in self.units[name](self.t).items()) + "\n"
        else:
            invocation = next((a.split("=", 1)[1] for a in argv if a.startswith("_SYSTEMD_INVOCATION_ID=")), "")
            name = UNITS[1] if invocation.endswith("1") else UNITS[0]
            every = [line for at, line in self.journal[name] if at <= self.t]
            cursor = next((int(a.split("=")[1]) for a in argv if a.startswith("--after-cursor=")), 0)
            out = "".join(line + "\n" for line in every[cursor:])
            if "--show-cursor" in argv and every:
                out += "-- cursor: %d\n" % len(every)
        return Completed(tuple(argv), 0, out, "", False)

    def fetch(self, url, *, timeout, api_key="", body=None):
        name = UNITS[1] if ":8011" in url else UNITS[0]
        if body is not None:
            self.asked.append((self.t, name, body["max_tokens"], timeout))
            return self.token(self.t, name)
        if self.t < self.ready_at[name]:
            return REFUSED
        if url.endswith("/metrics"):
            running, waiting = self.requests(self.t)
            text = "vllm:num_requests_running %d\nvllm:num_requests_waiting %d\n" % (running, waiting)
            return Answer(200, text)
        return Answer(200, json.dumps({"data": [{"id": self.model}]}) if url.endswith("/v1/models") else "")


@pytest.fixture
def world():
    return World()


def watcher(world, **more):
    watches = [_ready.Watch(name, "http://127.0.0.1:%d" % (8010 + n), "qwen3.5") for n, name in enumerate(UNITS)]
    settings = {"timeout": 2700, "silence_timeout": 600, **more}
    return _ready.Watcher(
        settings.pop("watches", watches),
        run=world.run,
        fetch=world.fetch,
        clock=lambda: world.now,
        sleep=world.sleep,
        **settings,
    )


def ready(world, **more):
    found = watcher(world, **more)
    found.wait(found.look_ready)
    return found


class TestReady:
    def test_already_ready_needs_one_look(self, world):
        world.ready_at = dict.fromkeys(UNITS, 0)
        found = ready(world)
        assert found.finished
        assert not found.failures
        assert world.t == 0
        assert not [c for c in world.commands if c[0] == "journalctl"]

    def test_all_are_waited_for_at_once(self, world):
        world.ready_at = {UNITS[0]: 40, UNITS[1]: 90}
        found = ready(world)
        assert [w.ready for w in found.watches] == [True, True]
        assert 90 <= world.t <= 93
        assert 40 <= found.watches[0].seconds <= 43

    @pytest.mark.parametrize(("entered", "expected"), [("995000000", 35.0), ("0", None), ("", None)])
    def test_a_start_is_counted_from_that_of_the_unit_not_of_the_wait(self, world, entered, expected):
        world.units[UNITS[0]] = lambda t: {**RUNNING, "ActiveEnterTimestampMonotonic": entered}
        found = ready(world)
        assert found.watches[0].start_seconds == (expected and pytest.approx(expected, abs=3))
        assert found.watches[1].start_seconds is None, "systemd did not say"

    def test_stage_and_percent_come_from_the_journal(self, world):
        world.journal[UNITS[0]] = [
            (1, "(Worker pid=4) INFO 11-22 08:20:16 [x.py:68] Starting to load model /m..."),
            (5, "Loading safetensors checkpoint shards:  42% Completed | 5/12"),
        ]
        seen = []
        found = watcher(world)
        found.wait(found.look_ready, report=lambda: seen.append((world.t, found.watches[0].text())))
        assert dict(seen)[10.0] == "loading weights 42%"

    def test_each_line_is_read_once(self, world):
        world.journal[UNITS[0]] = [(5, "Loading safetensors checkpoint shards:  42% Completed | 5/12")]
        ready(world)
        reads = [c for c in world.commands if c[0] == "journalctl"]
        assert sum("--after-cursor=1" in c for c in reads) > 3

    def test_one_look(self, world):
        found = watcher(world)
        found.wait(found.look_ready, once=True)
        assert (found.finished, found.failures, world.t) == (False, [], 0)

    def test_a_unit_that_waits_for_its_chips(self, world):
        starting = {**RUNNING, "ActiveState": "activating", "SubState": "start-pre"}
        world.units[UNITS[0]] = lambda t: starting
        world.journal[UNITS[0]] = [(1, "waiting for chips, 590 s at most: no device node /dev/davinci0")]
        found = watcher(world, timeout=60)
        found.wait(found.look_ready)
        assert "still waiting for its chips" in found.failures[0]

    def test_the_servers_own_word_is_not_enough(self, world):
        world.ready_at = dict.fromkeys(UNITS, 10**9)
        world.journal[UNITS[0]] = [(1, "INFO:     Application startup complete.")]
        found = watcher(world, timeout=10)
        found.wait(found.look_ready)
        assert not found.watches[0].ready
        assert found.watches[0].stage == "starting_server"

    def test_another_model_on_the_port(self, world):
        world.ready_at = dict.fromkeys(UNITS, 0)
        world.model = "llama"
        assert "found the model llama" in ready(world).failures[0]

    def test_silence(self, world):
        world.ready_at = dict.fromkeys(UNITS, 10**9)
        for name in UNITS:
            world.journal[name] = [(t, "line") for t in range(0, 100, 10)]
        found = ready(world)
        assert 690 <= world.t <= 700
        assert "no new line in its log for 600 s" in found.failures[0]

    def test_a_slow_start_that_talks_is_left_alone_until_the_deadline(self, world):
        world.ready_at = dict.fromkeys(UNITS, 10**9)
        for name in UNITS:
            world.journal[name] = [
                (t, "Loading safetensors checkpoint shards:  %d%% x" % (t // 60)) for t in range(0, 3000, 60)
            ]
        found = ready(world)
        assert 2700 <= world.t <= 2705
        assert "still loading weights 4" in found.failures[0]

    def test_an_engine_that_only_says_that_it_waits_is_silent(self, world):
        world.ready_at = dict.fromkeys(UNITS, 10**9)
        waits = (
            "INFO 11-22 08:22:48 [shm_broadcast.py:871] No available shared memory broadcast block found in 60 seconds"
        )
        for name in UNITS:
            world.journal[name] = [(1, "Initializing a V1 LLM engine"), *((t, waits) for t in range(60, 3000, 60))]
        assert "the engine waits for a worker" in ready(world).failures[0]
        assert 600 <= world.t <= 605

    def test_what_the_log_notes_is_kept(self, world):
        world.journal[UNITS[0]] = [(5, "WARNING 11-22 08:22:48 [worker.py:2] Can not get running npu info."), (9, "x")]
        world.units[UNITS[1]] = lambda t: {**RUNNING, "InvocationID": "run1"}
        found = ready(world)
        assert [len(w.notes) for w in found.watches] == [1, 0]

    def test_a_crash_fails_at_once_with_its_cause(self, world):
        # Words like error come while all is well; it is the death that counts.
        world.journal[UNITS[0]] = [
            (1, "(APIServer pid=1) INFO 11-22 08:20:16 [x.py:1] Resolved architecture: Qwen3_5"),
            (4, "ERROR 11-22 08:20:16 [x.py:1] dcmi ret is -8005"),
            (8, "RuntimeError: Engine core initialization failed. See root cause above."),
        ]
        dead = {
            **RUNNING,
            "ActiveState": "activating",
            "SubState": "auto-restart",
            "ExecMainStatus": "1",
            "ExecMainCode": "1",
        }
        world.units[UNITS[0]] = lambda t: RUNNING if t < 9 else dead
        found = ready(world)
        assert 9 <= world.t <= 13
        assert len(found.failures) == 1
        for words in (
            "vllm-qwen3.5@0.service: found that it ended (exit status 1) while checking its options",
            "holds the card",
            "-8005",
            "journalctl -u vllm-qwen3.5@0.service",
        ):
            assert words in found.failures[0]
        assert "card_held" in found.watches[0].causes

    def test_an_engine_that_dies_with_status_0_counts_too(self, world):
        again = {**RUNNING, "NRestarts": "1", "InvocationID": "def", "ExecMainStatus": "0", "ExecMainCode": "1"}
        world.units[UNITS[0]] = lambda t: RUNNING if t < 9 else again
        assert "exit status 0" in ready(world).failures[0]

    def test_one_restart_may_be_allowed(self, world):
        again = {**RUNNING, "NRestarts": "1", "InvocationID": "def"}
        world.units[UNITS[0]] = lambda t: RUNNING if t < 9 else again
        assert not ready(world, max_restarts=1).failures

    def test_systemd_gave_up(self, world):
        dead = {**RUNNING, "ActiveState": "failed", "SubState": "failed", "Result": "start-limit-hit", "NRestarts": "3"}
        world.units[UNITS[1]] = lambda t: dead
        assert "systemd does not start it again (start-limit-hit)" in ready(world).failures[0]
        assert "after 3 restarts" in ready(world).failures[0]

    def test_killed_by_a_signal(self, world):
        dead = {**RUNNING, "ActiveState": "failed", "Result": "signal", "ExecMainStatus": "9", "ExecMainCode": "2"}
        world.units[UNITS[0]] = lambda t: dead
        assert "signal 9" in ready(world).failures[0]

    def test_a_unit_that_is_not_there(self, world):
        world.units[UNITS[0]] = lambda t: {"LoadState": "not-found", "ActiveState": "inactive"}
        assert "found no such unit" in ready(world).failures[0]

    def test_a_unit_that_is_stopped(self, world):
        world.units[UNITS[0]] = lambda t: {"LoadState": "loaded", "ActiveState": "inactive", "ExecMainStatus": "0"}
        assert "systemctl start vllm-qwen3.5@0.service" in ready(world).failures[0]

    def test_replicas_that_failed_alike_are_told_once(self, world):
        dead = {**RUNNING, "ActiveState": "failed", "ExecMainStatus": "2"}
        for number, name in enumerate(UNITS):
            world.journal[name] = [(0, "vllm: error: unrecognized arguments: --nope")]
            world.units[name] = lambda t, n=number: {**dead, "InvocationID": "run%d" % n}
        failures = ready(world).failures
        assert len(failures) == 1
        assert failures[0].endswith("In the same way: vllm-qwen3.5@1.service")

    def test_a_missing_container_is_no_cause(self, world):
        world.journal[UNITS[0]] = [(0, "Error: No such container: vllm-qwen3.5-0"), (1, "usage: vllm")]
        world.units[UNITS[0]] = lambda t: {**RUNNING, "ActiveState": "failed", "ExecMainStatus": "2"}
        assert "No such container" not in ready(world).failures[0]


class TestFirstToken:
    """An engine may hang behind a server whose /health is well."""

    def test_ready_is_who_gives_a_token(self, world):
        found = ready(world, first_token_timeout=300)
        assert not found.failures
        assert [(name, tokens) for _t, name, tokens, _timeout in world.asked] == [(UNITS[0], 1), (UNITS[1], 1)]

    def test_nobody_is_asked_unless_that_is_wanted(self, world):
        ready(world)
        assert world.asked == []

    def test_who_watches_the_replica_does_not_fill_what_is_shown_of_its_log(self, world):
        access = '(APIServer pid=1) INFO:     127.0.0.1:41372 - "GET /%s HTTP/1.1" 200 OK'
        lines = [(1, "the last word of the engine"), (2, access % "health"), (3, access % "v1/models")]
        world.journal[UNITS[0]] = lines
        world.token = lambda t, name: Answer(500, "no")
        failure = ready(world, first_token_timeout=10).failures[0]
        assert "the last word of the engine" in failure
        assert "GET /" not in failure

    def test_errors_are_asked_again_until_the_deadline(self, world):
        world.token = lambda t, name: Answer(200, "{}") if t >= 60 or name == UNITS[1] else Answer(500, "no")
        seen = []
        found = watcher(world, first_token_timeout=100)
        found.wait(found.look_ready, report=lambda: seen.append(found.watches[0].text()))
        assert not found.failures
        assert 60 <= world.t <= 63
        assert "asking for the first token" in seen
        world.token = lambda t, name: Answer(500, "no")
        world.ready_at = dict.fromkeys(UNITS, 0)
        assert "found /v1/completions answers HTTP 500" in ready(world, first_token_timeout=100).failures[0]

    def test_a_question_that_hangs(self, world, monkeypatch):
        monkeypatch.setattr(first_token, "_MOMENT_SECONDS", 0.001)
        never = threading.Event()
        world.token = lambda t, name: Answer(200, "{}") if name == UNITS[1] else never.wait(30) or Answer(None)
        world.journal[UNITS[0]] = [(40, "INFO 11-22 08:20:16 [x.py:1] Application startup complete.")]
        # The silence of a log is not counted meanwhile: the question has its own deadline.
        found = ready(world, first_token_timeout=300, silence_timeout=60)
        never.set()
        assert [w.ready for w in found.watches] == [False, True]
        assert 330 <= world.t <= 335
        assert found.failures[0].startswith(
            "vllm-qwen3.5@0.service: found no first token within 300 s though /health answers; needed an answer to a "
            "question for one token. Fix: `systemctl restart vllm-qwen3.5@0.service`; where it is merely slow, raise "
            "vllm_serve_first_token_timeout_seconds\n"
        )
        assert len([one for one in world.asked if one[1] == UNITS[0]]) == 1

    def test_an_engine_that_was_started_again_is_asked_again(self, world):
        world.token = lambda t, name: Answer(500, "no") if t < 50 else Answer(200, "{}")
        again = {**RUNNING, "NRestarts": "1", "InvocationID": "def"}
        world.units[UNITS[0]] = lambda t: RUNNING if t < 40 else again
        found = ready(world, first_token_timeout=15, max_restarts=1, watches=[watcher(world).watches[0]])
        assert not found.failures

    def test_a_server_without_completions_cannot_be_asked(self, world):
        world.token = lambda t, name: Answer(404, "Not Found")
        assert not ready(world, first_token_timeout=300).failures


class TestIdle:
    def idle(self, world, **more):
        world.ready_at = dict.fromkeys(UNITS, 0)
        found = watcher(world, **more)
        found.wait(found.look_idle)
        return found

    def test_waits_until_nothing_runs_and_nothing_waits(self, world):
        world.requests = lambda t: (3, 1) if t < 20 else (0, 1) if t < 40 else (0, 0)
        assert not self.idle(world).failures
        assert 40 <= world.t <= 45

    def test_one_look_between_two_requests_is_not_idle(self, world):
        world.requests = lambda t: (0, 0) if t < 1 or t >= 30 else (1, 0)
        assert not self.idle(world).failures
        assert world.t >= 32

    def test_names_what_is_left_at_the_deadline(self, world):
        world.requests = lambda t: (3, 2)
        assert "found 5 requests running and waiting after 60 s" in self.idle(world, timeout=60).failures[0]

    def test_who_cannot_be_reached_serves_nobody(self, world):
        world.ready_at = dict.fromkeys(UNITS, 10**9)
        found = watcher(world)
        found.wait(found.look_idle)
        assert found.finished
        assert world.t == 0


class TestUnknown:
    """A systemd or a journal that does not answer says nothing: neither ready nor failed, and above all not idle."""

    def test_a_short_silence_of_systemd_decides_nothing(self, world):
        world.fails = lambda program, t: program == "systemctl" and 10 <= t < 60
        assert not ready(world).failures
        assert 60 <= world.t <= 63

    def test_a_long_one_ends_the_wait_with_the_command(self, world):
        world.fails = lambda program, t: program == "systemctl" and t >= 10
        with pytest.raises(SystemdError, match=r"`systemctl show .* did not end within its deadline"):
            ready(world)
        assert 125 <= world.t <= 135

    @pytest.mark.parametrize("requests", [(3, 0), (0, 0)])
    def test_idle_is_not_taken_from_a_systemd_that_does_not_answer(self, world, requests):
        world.ready_at = dict.fromkeys(UNITS, 0)
        world.requests = lambda t: requests
        world.fails = lambda program, t: program == "systemctl"
        found = watcher(world, timeout=60)
        with pytest.raises(SystemdError):
            found.wait(found.look_idle)
        assert not any(w.ready for w in found.watches)

    def test_a_journal_that_cannot_be_read_is_named(self, world):
        world.ready_at = dict.fromkeys(UNITS, 10**9)
        world.fails = lambda program, t: program == "journalctl"
        failures = ready(world, silence_timeout=60).failures
        assert "found: `journalctl" in failures[0]
        assert "no new line" not in failures[0]
