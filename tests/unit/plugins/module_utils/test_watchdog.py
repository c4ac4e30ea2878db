# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog: what it decides, what it does on a host that is made up for it, and how it is installed."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._host.systemd import Systemd
from ansible_collections.ascend.fleet.plugins.module_utils._serving import stuck, watchdog, watchdog_agent
from ansible_collections.ascend.fleet.plugins.module_utils._serving import watchdog_program as program
from ansible_collections.ascend.fleet.plugins.module_utils._serving import watchdog_rules as rules

UNITS = ("vllm-qwen3.5@0.service", "vllm-qwen3.5@1.service")
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


def seen(in_flight=0, tokens=100.0, invocation="a", active=True):
    one = rules.Seen(UNITS[0], active, invocation)
    if in_flight is not None:
        one.in_flight, one.generated, one.progress = in_flight, tokens, tokens + 50
    return one


def judged(*looks):
    """The states after looks at (time, in flight, tokens)."""
    memory, states = rules.Memory(), []
    for at, in_flight, tokens in looks:
        memory = rules.judge(memory, seen(in_flight, tokens), at)
        states.append(memory.state)
    return states, memory


class TestJudge:
    def test_tokens_that_come(self):
        states, _memory = judged((0, 3, 10), (200, 3, 11), (400, 3, 12))
        assert states == ["busy"] * 3

    def test_no_token_for_three_minutes(self):
        states, memory = judged((0, 3, 10), (30, 3, 10), (150, 3, 10), (180, 4, 10))
        assert states == ["busy", "busy", "busy", "stalled"]
        assert memory.reason == "4 requests in flight and no token for 180 s"

    def test_the_time_counts_from_when_something_was_in_flight(self):
        states, _memory = judged((0, 0, 10), (170, 0, 10), (190, 1, 10), (340, 1, 10), (350, 1, 10))
        assert states == ["idle", "idle", "busy", "busy", "stalled"]

    def test_before_the_first_token_kernels_may_be_compiled(self):
        states, _memory = judged((0, 1, 0), (200, 1, 0), (599, 1, 0), (600, 1, 0))
        assert states == ["busy", "busy", "busy", "stalled"]

    def test_a_long_prompt_moves_too(self):
        memory = rules.judge(rules.Memory(), seen(1, 10.0), 0)
        later = seen(1, 10.0)
        later.progress = 9999.0
        memory = rules.judge(memory, later, 170)
        assert rules.judge(memory, later, 200).state == "busy"

    def test_an_idle_engine_is_asked_now_and_then(self):
        states, _memory = judged((0, 0, 10), (299, 0, 10), (300, 0, 10))
        assert states == ["idle", "idle", "ask"]

    def test_clients_that_give_up_prove_nothing(self):
        states, memory = judged((0, 2, 10), (180, 2, 10), (210, 0, 10))
        assert states == ["busy", "stalled", "ask"]
        assert memory.since

    def test_tokens_end_a_stall(self):
        states, memory = judged((0, 2, 10), (180, 2, 10), (210, 2, 11))
        assert states[-1] == "busy"
        assert (memory.reason, memory.since) == ("", "")

    def test_what_cannot_be_read_is_unknown(self):
        states, _memory = judged((0, None, 0), (400, None, 0))
        assert states == ["unknown", "unknown"]

    def test_another_start_is_judged_anew(self):
        memory = rules.judge(rules.Memory(), seen(2, 10.0), 0)
        memory = rules.judge(memory, seen(2, 10.0), 200)
        assert memory.state == "stalled"
        assert rules.judge(memory, seen(1, 0.0, invocation="b"), 210).state == "busy"
        assert rules.judge(memory, seen(active=False, invocation="b"), 210).state == "down"


class TestQuestion:
    def asked(self, problem, later):
        memory = rules.judge(rules.Memory(), seen(0, 10.0), 0)
        return rules.after_question(rules.judge(memory, seen(0, 10.0), 300), problem, later, 360)

    def test_answered(self):
        memory = self.asked(None, seen(0, 11.0))
        assert (memory.state, memory.alive) == ("idle", 360)

    def test_unanswered(self):
        memory = self.asked("no answer within 60 s", seen(1, 10.0))
        assert memory.state == "stalled"
        assert memory.reason == "nothing in flight and a question for one token: no answer within 60 s"

    def test_unanswered_by_an_engine_that_has_others_to_answer(self):
        assert self.asked("no answer within 60 s", seen(5, 400.0)).state == "idle"

    @pytest.mark.parametrize("later", [seen(None), seen(0, 0.0, invocation="b"), seen(active=False)])
    def test_unanswered_by_an_engine_that_is_gone(self, later):
        assert self.asked("connection refused", later).state == "unknown"


class TestRestart:
    """One replica of a host within an hour, never the last one, never before the first token."""

    STALLED = rules.Memory(state="stalled", generated=10.0)

    def test_allowed(self):
        assert rules.refusal(self.STALLED, 1, [], 10000.0) == ""

    def test_before_the_first_token(self):
        assert "no token since its start" in rules.refusal(rules.Memory(state="stalled"), 1, [], 10000.0)

    @pytest.mark.parametrize(("at", "free"), [(6401, False), (6400, True), (10900, False)])
    def test_one_within_an_hour(self, at, free):
        words = rules.refusal(self.STALLED, 1, [{"unit": UNITS[1], "at": at}], 10000.0)
        assert (words == "") is free
        assert free or words.startswith("vllm-qwen3.5@1.service was restarted within the last hour")

    def test_never_the_last_one(self):
        assert rules.refusal(self.STALLED, 0, [], 10000.0) == "no other replica of this host is healthy"

    def test_a_program_of_the_operator_knows_the_fleet(self):
        assert rules.refusal(self.STALLED, 0, [], 10000.0, allowed=True) == ""
        assert rules.refusal(self.STALLED, 1, [], 10000.0, allowed=False) == "the program watchdog-allow says no"


class World:
    """A host with two replicas. ``say`` holds what each answers to /metrics, as (in flight, tokens)."""

    def __init__(self, root):
        self.now, self.commands, self.reports = 0.0, [], []
        self.say = {8010: (0, 10), 8011: (0, 10)}
        self.health = {8010: 200, 8011: 200}
        self.hangs: set[int] = set()
        self.starts: dict[str, str] = {}
        self.bodies: list = []
        (root / "units").mkdir()
        (root / "etc").mkdir()
        for number, unit in enumerate(UNITS):
            text = "# Managed by ascend.fleet: x\n[Unit]\nPort=1\n[X-AscendFleet]\nPort=%d\nServedModelName=qwen3.5\n"
            (root / "units" / unit).write_text(text % (8010 + number) + "Directory=%s\n" % root)
        (root / "units" / "vllm-theirs@0.service").write_text("[X-AscendFleet]\nPort=9000\n")
        (root / "etc" / "vllm-qwen3.5@0.env").write_text("PORT=8010\nVLLM_API_KEY=hush-hush\n")
        (root / "log").mkdir()
        (root / "log" / "plog.log").write_text("[ERROR] HCCL stopped\n")
        self.root = root

    def host(self):
        return program.Host(
            unit_dir=str(self.root / "units"),
            config_dir=str(self.root / "etc"),
            state=str(self.root / "run" / "watchdog.json"),
            out=str(self.root / "run" / "out.json"),
            record=str(self.root / "lib" / "watchdog.json"),
            evidence=str(self.root / "lib" / "evidence"),
            run=self.run,
            ask=self.ask,
            report=lambda unit, event, message, priority, evidence="": self.reports.append((unit, event, message)),
            clock=lambda: self.now,
            wall=lambda: 1800000000 + self.now,
        )

    def run(self, argv, seconds):
        self.commands.append(argv)
        if argv[:2] == ["systemctl", "show"]:
            form = "Id=%s\nActiveState=active\nInvocationID=%s\n"
            return "\n".join(form % (unit, self.starts.get(unit, "a")) for unit in argv if "@" in unit)
        if argv[0] == "/bin/sh":
            return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        return "said by %s\n" % argv[0]

    def ask(self, port, path, seconds, body=None, key=""):
        if path == "/health":
            return self.health[port], ""
        if path == "/v1/completions":
            self.bodies.append((port, body, key))
            return (0, "no answer within 60 s") if port in self.hangs else (200, "{}")
        in_flight, tokens = self.say[port]
        names = {"num_requests_running": in_flight, "num_requests_waiting": 0, "generation_tokens_total": tokens}
        return 200, "".join('vllm:%s{engine="0"} %s\n' % pair for pair in names.items())

    def watch(self, *times, mode="observe"):
        for at in times:
            self.now = float(at)
            program.watch(self.host(), mode)

    def state(self):
        return json.loads((self.root / "run" / "watchdog.json").read_text())

    def agent(self, port):
        """What the agent says of the replica on this port."""
        return watchdog_agent.answer("%d\n" % port, (self.root / "run" / "out.json").read_text(), self.now + 1)

    @property
    def restarts(self):
        return [argv[-1] for argv in self.commands if argv[:2] == ["systemctl", "restart"]]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class TestWatch:
    def test_all_is_well(self, world):
        world.watch(0, 30, 60)
        assert world.reports == []
        assert world.state()["memory"][UNITS[0]]["state"] == "idle"
        assert set(world.state()["memory"]) == set(UNITS)

    def test_a_stall_is_reported_once_with_its_evidence(self, world):
        world.say[8010] = (3, 10)
        world.watch(0, 100, 180, 210, 240)
        (one,) = world.reports
        assert one[:2] == (UNITS[0], "stalled")
        assert one[2].startswith("found 3 requests in flight and no token for 180 s; needed tokens. Evidence: ")
        assert world.restarts == []
        memory = world.state()["memory"][UNITS[0]]
        folder = Path(memory["evidence"])
        assert folder.stat().st_mode & 0o777 == 0o700
        assert "num_requests_running" in (folder / "metrics.txt").read_text()
        assert (folder / "journal.txt").read_text() == "said by journalctl\n"
        assert "HCCL stopped" in (folder / "plog.txt").read_text()
        assert (folder / "plog.txt").stat().st_mode & 0o777 == 0o600
        assert json.loads((folder / "reason.json").read_text())["unit"] == UNITS[0]
        world.say[8010] = (3, 11)
        world.watch(270)
        assert world.reports[-1][1] == "recovered"

    def test_an_idle_engine_that_does_not_answer(self, world):
        world.hangs = {8010}
        world.watch(0, 300)
        assert [r[:2] for r in world.reports] == [(UNITS[0], "stalled")]
        assert (
            world.bodies[0]
            == (
                8010,
                {"model": "qwen3.5", "prompt": "Hello", "max_tokens": 1, "temperature": 0},
                "hush-hush",
            )
            or world.bodies[1][2] == "hush-hush"
        )

    def test_the_oldest_evidence_goes(self, world, monkeypatch):
        for number in range(15):
            (world.root / "lib" / "evidence" / ("vllm-x@0-20260101T0000%02dZ" % number)).mkdir(parents=True)
        world.say[8010] = (3, 10)
        world.watch(0, 180)
        kept = os.listdir(world.root / "lib" / "evidence")
        assert len(kept) == program.KEPT
        assert any(name.startswith("vllm-qwen3.5@0-2027") for name in kept)

    def test_a_stalled_replica_is_taken_out_and_restarted_at_the_next_look(self, world):
        world.say[8010] = (3, 10)
        world.watch(0, 180, mode="restart")
        assert world.restarts == []
        assert world.agent(8010) == "down #3 requests in flight and no token for 180 s"
        assert world.agent(8011) == "up"
        world.watch(210, mode="restart")
        assert world.restarts == [UNITS[0]]
        assert [r[1] for r in world.reports] == ["out-of-traffic", "stalled", "restarted"]
        assert json.loads((world.root / "lib" / "watchdog.json").read_text())["restarts"][0]["unit"] == UNITS[0]

    def test_it_is_let_in_when_it_has_answered(self, world):
        world.say[8010] = (3, 10)
        world.watch(0, 180, 210, mode="restart")
        world.starts[UNITS[0]] = "b"
        world.say[8010] = (0, 0)
        world.hangs = {8010}
        world.watch(240, mode="restart")
        assert world.agent(8010).startswith("down #")
        world.hangs = set()
        world.watch(270, mode="restart")
        assert world.agent(8010) == "up"
        assert world.restarts == [UNITS[0]]
        assert world.reports[-1][1] in ("in-traffic", "recovered")

    def test_tokens_for_others_let_it_in_too(self, world):
        world.say[8010] = (3, 10)
        world.watch(0, 180, 210, mode="restart")
        world.starts[UNITS[0]] = "b"
        world.say[8010] = (1, 0)
        world.watch(240, mode="restart")
        assert world.agent(8010).startswith("down #")
        world.say[8010] = (1, 5)
        world.watch(270, mode="restart")
        assert world.agent(8010) == "up"

    def test_it_recovers_before_its_restart(self, world):
        world.say[8010] = (3, 10)
        world.watch(0, 180, mode="restart")
        world.say[8010] = (3, 11)
        world.watch(210, mode="restart")
        assert world.restarts == []
        assert world.agent(8010) == "up"

    def test_the_last_one_is_not_kept_out(self, world):
        world.say[8010] = (3, 10)
        world.watch(0, 180, mode="restart")
        world.health[8011] = 503
        world.watch(210, mode="restart")
        assert world.restarts == []
        assert world.agent(8010) == "up"

    def test_another_one_that_stalls_meanwhile_stays_in(self, world):
        world.say[8010] = (3, 10)
        world.watch(0, 180, 210, mode="restart")
        world.starts[UNITS[0]] = "b"
        world.say = {8010: (0, 20), 8011: (2, 10)}
        world.watch(240, 420, 450, mode="restart")
        assert world.agent(8011) == "up"
        assert world.restarts == [UNITS[0]]
        refused = [text for _unit, event, text in world.reports if event == "not-restarted"]
        assert len(refused) == 1
        assert "restarted within the last hour" in refused[0]

    def test_observing_takes_none_out(self, world):
        world.say[8010] = (3, 10)
        world.watch(0, 180, mode="restart")
        world.watch(210, mode="observe")
        assert world.agent(8010) == "up"

    def test_both_stall_and_none_is_restarted(self, world):
        world.say = {8010: (3, 10), 8011: (1, 10)}
        world.watch(0, 180, 210, mode="restart")
        assert world.restarts == []
        words = [r[2] for r in world.reports if r[1] == "not-restarted"]
        assert words == ["stalled, and not restarted: no other replica of this host is healthy"] * 2

    def test_the_other_one_is_not_healthy(self, world):
        world.say[8010] = (3, 10)
        world.health[8011] = 503
        world.watch(0, 180, mode="restart")
        assert world.restarts == []

    @pytest.mark.parametrize(("status", "restarted"), [(0, [UNITS[0]]), (1, [])])
    def test_a_program_of_the_operator_is_asked(self, world, status, restarted):
        hook = world.root / "etc" / "watchdog-allow"
        hook.write_text('#!/bin/sh\necho noise\n[ "$1" = %s ] || exit 9\nexit %d\n' % (UNITS[0], status))
        hook.chmod(0o755)
        world.say[8010] = (3, 10)
        world.health[8011] = 503
        world.watch(0, 180, 210, mode="restart")
        assert world.restarts == restarted


def test_evidence_of_a_start_that_hangs(world):
    folder = stuck.save(UNITS[0], "no new line", world.host(), str(world.root / "units"))
    assert json.loads((Path(folder) / "reason.json").read_text())["reason"] == "no new line"
    assert "HCCL stopped" in (Path(folder) / "plog.txt").read_text()
    assert stuck.save("vllm-theirs@0.service", "x", world.host(), str(world.root / "units")) == ""


def test_metrics_of_a_real_server():
    found = rules.metrics((FIXTURES / "vllm" / "metrics-0.32.txt").read_text(encoding="utf-8"))
    assert set(found) == {
        "num_requests_running",
        "num_requests_waiting",
        "generation_tokens_total",
        "prompt_tokens_total",
    }


class TestAgent:
    """What HAProxy reads, in the words that its agent-check knows."""

    OUT = json.dumps({"at": 1000.0, "out": {"8010": "no token\nfor 180 s"}})

    @pytest.mark.parametrize(
        ("question", "now", "word"),
        [
            ("8010\n", 1030.0, "down #no token for 180 s"),
            ("8011\n", 1030.0, "up"),
            ("\n", 1030.0, "up"),
            ("8010\n", 1000.0 + watchdog_agent.STALE_SECONDS, "up"),
            ("8010\n", 10.0, "up"),
        ],
    )
    def test_words(self, question, now, word):
        assert watchdog_agent.answer(question, self.OUT, now) == word

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"out": []}', '{"at": "x", "out": {"8010": "y"}}'])
    def test_what_cannot_be_read_takes_nothing_out(self, text):
        assert watchdog_agent.answer("8010\n", text, 1030.0) == "up"

    def test_it_never_says_a_word_that_undoes_a_drain(self):
        said = {watchdog_agent.answer(q, self.OUT, 1030.0).split()[0] for q in ("8010\n", "8011\n", "x\n")}
        assert said == {"down", "up"}

    def test_over_the_network(self, tmp_path):
        path = tmp_path / "out.json"
        path.write_text(json.dumps({"at": time.monotonic(), "out": {"8010": "it has stalled"}}))
        handler = type("Handler", (watchdog_agent.Handler,), {"path": str(path), "timeout": 0.2})
        with watchdog_agent.Server("127.0.0.1", 0, handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()

            def ask(question):
                with socket.create_connection(server.server_address, timeout=10) as connection:
                    connection.sendall(question)
                    return b"".join(iter(lambda: connection.recv(100), b""))

            try:
                assert ask(b"8010\n") == b"down #it has stalled\n"
                assert ask(b"8011\n") == b"up\n"
                assert ask(b"8010") == b""
                assert ask(b"8" * 100) == b""
            finally:
                server.shutdown()


class TestInstalled:
    OBSERVE, RESTART = watchdog.Wanted("observe"), watchdog.Wanted("restart", 8406, "0.0.0.0")

    def test_the_programs_run_as_they_are_written(self, tmp_path):
        texts = watchdog.files(self.RESTART, "/units", str(tmp_path))
        for path, text in texts.items():
            if path.endswith(".py"):
                Path(path).write_text(text)
                assert text.startswith("#!/usr/bin/env python3\n# Managed by ascend.fleet:")
        for name, usage in (("watchdog.py", "observe|restart"), ("watchdog-agent.py", "ADDRESS PORT")):
            command = [sys.executable, "-B", "-E", "-s", str(tmp_path / name)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (2, "usage: %s %s\n" % (name, usage))
        assert not (tmp_path / "__pycache__").exists()

    def test_the_service_knows_its_mode(self):
        texts = watchdog.files(self.RESTART, "/units", "/etc/ascend-fleet", "/usr/bin/python3.9")
        service = texts["/units/ascend-fleet-watchdog.service"]
        assert "\nExecStart=/usr/bin/python3.9 -B -E -s /etc/ascend-fleet/watchdog.py restart\n" in service
        assert "OnUnitInactiveSec=30\n" in texts["/units/ascend-fleet-watchdog.timer"]
        assert watchdog.files(watchdog.Wanted(), "/units", "/etc") == {}

    def test_the_agent_may_do_nothing_but_answer(self):
        texts = watchdog.files(self.RESTART, "/units", "/etc/ascend-fleet", "/usr/bin/python3.9")
        agent = texts["/units/ascend-fleet-watchdog-agent.service"]
        for line in (
            "ExecStart=/usr/bin/python3.9 -I - 0.0.0.0 8406",
            "StandardInput=file:/etc/ascend-fleet/watchdog-agent.py",
            "DynamicUser=yes",
            "CapabilityBoundingSet=",
        ):
            assert line in agent.splitlines(), line

    def test_there_is_no_agent_where_nothing_is_taken_out(self):
        assert [path for path in watchdog.files(self.OBSERVE, "/units", "/etc") if "agent" in path] == []

    def test_what_units_say(self):
        unit = {"watchdog": "restart", "watchdog_port": 9000, "listen": ""}
        assert watchdog.wanted_of([unit, {}]) == watchdog.Wanted("restart", 9000, "0.0.0.0")
        assert watchdog.wanted_of([]).mode == "off"

    def test_an_agent_that_is_not_wanted_any_more_goes(self, tmp_path):
        units, config = tmp_path / "units", tmp_path / "etc"
        units.mkdir()
        config.mkdir()
        for path, text in watchdog.files(self.RESTART, str(units), str(config)).items():
            Path(path).write_text(text)
        told: list = []

        def run(argv, **_more):
            told.append(argv[1:])
            text = "Id=%s\nActiveState=active\nUnitFileState=enabled\n" % watchdog.TIMER if argv[1] == "show" else ""
            return Completed(tuple(argv), 0, text, "", False)

        systemd = Systemd(run)
        steps = watchdog.plan(self.OBSERVE, str(units), str(config), systemd, {})
        assert {os.path.basename(path) for path in steps.surplus} == {
            "watchdog-agent.py",
            "ascend-fleet-watchdog-agent.service",
        }
        assert not steps.start
        watchdog.execute(steps, systemd, str(units))
        assert ["stop", "ascend-fleet-watchdog-agent.service"] in told
        assert not (config / "watchdog-agent.py").exists()
        assert (config / "watchdog.py").exists()

    def test_a_running_agent_that_was_started_by_the_same_unit_is_left_alone(self, tmp_path, monkeypatch):
        units, config, runtime = tmp_path / "units", tmp_path / "etc", tmp_path / "run"
        monkeypatch.setattr(watchdog.service.ServiceHost.__init__, "__defaults__", (str(units), str(runtime)))
        for folder in (units, config, runtime / watchdog.AGENT):
            folder.mkdir(parents=True)
        texts = watchdog.files(self.RESTART, str(units), str(config))
        for path, text in texts.items():
            Path(path).write_text(text)
        agent = watchdog.agent_of(self.RESTART, str(config))
        program_path = str(config / "watchdog-agent.py")
        digest = hashlib.sha256(texts[program_path].encode()).hexdigest()
        (runtime / watchdog.AGENT / "unit.sha256").write_text(watchdog.service.unit_hash(agent) + "\n")
        (runtime / watchdog.AGENT / "read.sha256").write_text("%s  %s\n" % (digest, program_path))

        def run(argv, **_more):
            form = "Id=%s\nActiveState=active\nUnitFileState=enabled\n"
            return Completed(tuple(argv), 0, form % argv[-1], "", False)

        steps = watchdog.plan(self.RESTART, str(units), str(config), Systemd(run), {})
        assert steps.names == []
        other = watchdog.plan(watchdog.Wanted("restart", 9000, "0.0.0.0"), str(units), str(config), Systemd(run), {})
        assert other.agent_plan.action == "restart"
