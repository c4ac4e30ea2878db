# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find engines that stall, on the host that serves: the program of ascend-fleet-watchdog.service.

Usage: watchdog.py observe|restart

Installed as it is, with its rules beside it, so it imports nothing else but the standard library. A timer starts it
again and again; what it must remember lies in a file below /run.

With `restart` a stalled replica is taken out of traffic and restarted at the next look: never before it has given its
first token since its start, one replica of the host within RESTART_SECONDS, and only while another replica of the host
is healthy. Where the program CONFIG_DIR/watchdog-allow exists it is asked instead of the last rule (`watchdog-allow
UNIT`, 0 means yes): it can know the whole fleet. What is out is written to OUT, where the agent reads it that gateways
ask. A replica is let in again when it gives tokens, and is never kept out as the last one.
"""

from __future__ import annotations

import glob
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Optional

from . import watchdog_rules as rules

UNIT_DIR = "/etc/systemd/system"
CONFIG_DIR = "/etc/ascend-fleet"
STATE = "/run/ascend-fleet/watchdog.json"
OUT = "/run/ascend-fleet/watchdog-out.json"
RECORD = "/var/lib/ascend-fleet/watchdog.json"
EVIDENCE = "/var/lib/ascend-fleet/evidence"

KEPT = 10
_JOURNAL_LINES = 2000


# -- the host ----------------------------------------------------------------------------------------------------


def replicas(unit_dir: str) -> list[dict[str, str]]:
    """The units of ours, with what they say of themselves."""
    found = []
    for path in sorted(glob.glob(os.path.join(unit_dir, "vllm-*@*.service"))):
        values = {"unit": os.path.basename(path)}
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        section = text.partition("[X-AscendFleet]")[2]
        for line in section.splitlines():
            key, equals, value = line.partition("=")
            if equals:
                values[key.strip()] = value.strip()
        if text.startswith("# Managed by ascend.fleet:") and values.get("Port", "").isdigit():
            found.append(values)
    return found


def run(argv: list[str], seconds: float) -> str:
    """What a command prints; how it failed where it does."""
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return "(%s: %s)\n" % (" ".join(argv), exc)
    return done.stdout.decode("utf-8", "replace")


def ask(port: int, path: str, seconds: float, body: Optional[dict[str, Any]] = None, key: str = "") -> tuple[int, str]:
    """Status and text of an answer of this host; status 0 with the reason where there is none."""
    headers = {"Authorization": "Bearer " + key} if key else {}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST" if body is not None else "GET", path, data, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(4 * 1024 * 1024).decode("utf-8", "replace")
    except socket.timeout:
        return 0, "no answer within %d s" % seconds
    except (OSError, http.client.HTTPException) as exc:
        return 0, str(exc) or type(exc).__name__
    finally:
        connection.close()


def report(unit: str, event: str, message: str, priority: int, evidence: str = "") -> None:
    """A structured line in the journal, which `journalctl -u UNIT` shows too."""
    fields = {
        "MESSAGE": "%s: %s" % (unit, message),
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": "ascend-fleet",
        "OBJECT_SYSTEMD_UNIT": unit,
        "ASCEND_FLEET_EVENT": event,
        "ASCEND_FLEET_UNIT": unit,
        "ASCEND_FLEET_EVIDENCE": evidence,
    }
    data = "".join("%s=%s\n" % (name, " ".join(value.split())) for name, value in fields.items() if value)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.sendto(data.encode("utf-8", "replace"), "/run/systemd/journal/socket")
    except OSError:
        sys.stderr.write("<%d>%s\n" % (priority, fields["MESSAGE"]))


@dataclass
class Host:
    """Everything that is asked of this host, so that a test can answer instead."""

    unit_dir: str = UNIT_DIR
    config_dir: str = CONFIG_DIR
    state: str = STATE
    out: str = OUT
    record: str = RECORD
    evidence: str = EVIDENCE
    run: Callable[[list[str], float], str] = run
    ask: Callable[..., tuple[int, str]] = ask
    report: Callable[..., None] = report
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    memories: dict[str, rules.Memory] = field(default_factory=dict)

    def units(self, about: list[dict[str, str]]) -> dict[str, dict[str, str]]:
        """What systemd says of the units; one of which it says nothing counts as unknown, so as not active."""
        names = [values["unit"] for values in about]
        if not names:
            return {}
        # Not the client of the collection: on the host this file stands alone with its rules. So below too.
        text = self.run(["systemctl", "show", "--property=Id,ActiveState,InvocationID", "--", *names], 30)
        found: dict[str, dict[str, str]] = {}
        for block in text.split("\n\n"):
            values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if values.get("Id"):
                found[values["Id"]] = values
        return found

    def look(self, values: dict[str, str], state: dict[str, str]) -> rules.Seen:
        """One look at a replica."""
        seen = rules.Seen(values["unit"], state.get("ActiveState") == "active", state.get("InvocationID", ""))
        if seen.active:
            status, text = self.ask(int(values["Port"]), "/metrics", 10)
            rules.look_at(seen, text if status == 200 else None)
        return seen

    def question(self, values: dict[str, str]) -> Optional[str]:
        """Ask for one token; None where the engine has answered, else what was found."""
        body = {"model": values.get("ServedModelName", ""), "prompt": "Hello", "max_tokens": 1, "temperature": 0}
        status, text = self.ask(
            int(values["Port"]), "/v1/completions", rules.QUESTION_SECONDS, body, self.key(values["unit"])
        )
        # A server that refuses the question (a key, no completions) cannot be judged by it.
        if 200 <= status < 500:
            return None
        return "HTTP %d" % status if status else text

    def key(self, unit: str) -> str:
        """The replica's API key, from its own file."""
        try:
            with open(os.path.join(self.config_dir, unit[: -len(".service")] + ".env"), encoding="utf-8") as file:
                lines = file.read().splitlines()
        except OSError:
            return ""
        return next((line.partition("=")[2] for line in lines if line.startswith("VLLM_API_KEY=")), "")

    def healthy(self, about: list[dict[str, str]], unit: str) -> int:
        """How many other replicas of the host are healthy and do not stall."""
        return sum(
            self.ask(int(values["Port"]), "/health", 5)[0] == 200
            for values in about
            if values["unit"] != unit and self.is_well(values["unit"])
        )

    def is_well(self, unit: str) -> bool:
        """Whether a replica gives tokens and the watchdog has not taken it out."""
        memory = self.memories[unit]
        return memory.state in ("busy", "idle") and not memory.out

    def allowed(self, unit: str) -> Optional[bool]:
        """What the operator's own program says of a restart; None where there is none."""
        program = os.path.join(self.config_dir, "watchdog-allow")
        if not os.access(program, os.X_OK):
            return None
        text = self.run(["/bin/sh", "-c", '"$0" "$1" >/dev/null 2>&1; echo $?', program, unit], 60)
        return text.strip() == "0"

    # - files -

    def remember(self) -> None:
        """Read what was remembered at the last look."""
        data = read_json(self.state).get("memory") or {}
        names = set(rules.Memory.__dataclass_fields__)
        self.memories = {
            unit: rules.Memory(**{k: v for k, v in values.items() if k in names}) for unit, values in data.items()
        }

    def keep(self, mode: str) -> None:
        """Write what is to be remembered, and what others may read."""
        memory = {unit: asdict(values) for unit, values in self.memories.items()}
        write_json(self.state, {"mode": mode, "at": int(self.wall()), "memory": memory}, 0o644)

    def tell_agent(self, about: list[dict[str, str]]) -> None:
        """Write which ports are out of traffic, for whoever asks the agent."""
        memories = {values["Port"]: self.memories[values["unit"]] for values in about}
        out = {port: memory.reason or "it has stalled" for port, memory in memories.items() if memory.out}
        write_json(self.out, {"at": self.clock(), "out": out}, 0o644)

    def save_evidence(self, values: dict[str, str], memory: rules.Memory) -> str:
        """Everything that helps to find the cause, in a folder of its own; the oldest folders go."""
        unit = values["unit"]
        name = "%s-%s" % (unit[: -len(".service")], time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.wall())))
        folder = os.path.join(self.evidence, name)
        os.makedirs(self.evidence, mode=0o700, exist_ok=True)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        port = int(values["Port"])
        parts = {
            "reason.json": json.dumps({"unit": unit, **asdict(memory)}, indent=1) + "\n",
            "metrics.txt": self.ask(port, "/metrics", 10)[1],
            "journal.txt": self.run(
                ["journalctl", "-u", unit, "-n", str(_JOURNAL_LINES), "--no-pager", "-o", "short"], 60
            ),
            "npu-smi.txt": self.run(["npu-smi", "info"], 60),
            "processes.txt": self.run(["docker", "top", values.get("Container", ""), "-eo", "pid,stat,etime,args"], 30),
            "plog.txt": plog(values.get("Directory", "")),
        }
        spy = shutil.which("py-spy")
        if spy:
            pids = [line.split()[0] for line in parts["processes.txt"].splitlines() if line.split()[:1]]
            python = [pid for pid in pids if pid.isdigit()][:16]
            parts["stacks.txt"] = "".join(self.run([spy, "dump", "--pid", pid], 20) for pid in python)
        for part, text in parts.items():
            write_text(os.path.join(folder, part), text, 0o600)
        # The time ends each name, whatever the unit is called.
        for old in sorted(os.listdir(self.evidence), key=lambda entry: entry.rpartition("-")[2])[:-KEPT]:
            shutil.rmtree(os.path.join(self.evidence, old), ignore_errors=True)
        return folder


def plog(folder: str, count: int = 200) -> str:
    """The last lines of CANN's newest logs of a replica."""
    paths = glob.glob(os.path.join(glob.escape(folder), "log", "**", "*.log"), recursive=True) if folder else []
    parts = []
    for path in sorted(paths, key=os.path.getmtime)[-8:]:
        with open(path, encoding="utf-8", errors="replace") as file:
            file.seek(max(os.path.getsize(path) - 65536, 0))
            parts.append("== %s\n%s\n" % (path, "\n".join(file.read().splitlines()[-count:])))
    return "".join(parts)


def read_json(path: str) -> dict[str, Any]:
    """A file's content; nothing where there is none, or not a whole one."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: str, data: Any, mode: int) -> None:
    """Write data as a whole file."""
    write_text(path, json.dumps(data, sort_keys=True) + "\n", mode)


def write_text(path: str, text: str, mode: int) -> None:
    """Write a whole file: a reader sees the old text or the new one.

    Not the one writer of the collection: on the host this file stands alone with its rules.
    """
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    temporary = "%s.%d" % (path, os.getpid())
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def watch(host: Host, mode: str) -> None:
    """Look at every replica once."""
    host.remember()
    about = replicas(host.unit_dir)
    states = host.units(about)
    before = {unit: memory.state for unit, memory in host.memories.items()}

    def one(values: dict[str, str]) -> rules.Memory:
        unit = values["unit"]
        seen = host.look(values, states.get(unit, {}))
        memory = rules.judge(host.memories.get(unit, rules.Memory()), seen, host.clock())
        if memory.state == "ask":
            problem = host.question(values)
            later = host.look(values, host.units([values]).get(unit, {}))
            memory = rules.after_question(memory, problem, later, host.clock())
        return memory

    # At once: a replica that lets its question wait must not keep the others from being looked at.
    with ThreadPoolExecutor(max_workers=max(len(about), 1)) as pool:
        found = dict(zip([values["unit"] for values in about], pool.map(one, about)))
    host.memories = found
    # Whoever was taken out at the last look is restarted now: the gateways have asked since.
    were_out = [values for values in about if found[values["unit"]].out]
    for values in about:
        traffic(host, about, values, mode)
    host.tell_agent(about)
    host.keep(mode)
    for values in about:
        tell(host, values, before.get(values["unit"], ""))
    for values in were_out:
        memory = host.memories[values["unit"]]
        if memory.out and memory.state == "stalled":
            restart(host, about, values)
    host.keep(mode)


def traffic(host: Host, about: list[dict[str, str]], values: dict[str, str], mode: str) -> None:
    """Take a replica that stalls out of traffic where it may be restarted, and let it in when it gives tokens again."""
    unit, memory = values["unit"], host.memories[values["unit"]]
    if memory.out and (mode != "restart" or rules.answers_again(memory)):
        memory.out = ""
        host.report(unit, "in-traffic", "in traffic again", 5)
    elif memory.out and not host.healthy(about, unit) and host.allowed(unit) is not True:
        memory.out = ""
        host.report(unit, "in-traffic", "not kept out of traffic: no other replica of this host is healthy", 4)
    elif mode == "restart" and memory.state == "stalled" and not memory.out:
        why = why_not(host, about, values)
        if not why:
            memory.out = rules.time_text(host.wall())
            host.report(unit, "out-of-traffic", "out of traffic, because it stalls: %s" % memory.reason, 4)
        elif memory.restart != why:
            host.report(unit, "not-restarted", "stalled, and not restarted: %s" % why, 4)
        memory.restart = why


def why_not(host: Host, about: list[dict[str, str]], values: dict[str, str]) -> str:
    """Why a stalled replica is not restarted; empty where it may be."""
    unit = values["unit"]
    others = host.healthy(about, unit)
    return rules.refusal(host.memories[unit], others, restarts_of(host), host.wall(), host.allowed(unit))


def restarts_of(host: Host) -> list[dict[str, Any]]:
    """The restarts that are noted."""
    found = read_json(host.record).get("restarts") or []
    return [entry for entry in found if isinstance(entry, dict) and "at" in entry and "unit" in entry]


def tell(host: Host, values: dict[str, str], before: str) -> None:
    """Save the evidence of a stall that is new, and report it; report also that it is over."""
    unit, memory = values["unit"], host.memories[values["unit"]]
    if memory.state == "stalled" and not memory.evidence:
        try:
            memory.evidence = host.save_evidence(values, memory)
        except OSError as exc:
            memory.evidence = "(not saved: %s)" % exc
        fix = "see the evidence, then systemctl restart %s" % unit
        message = "found %s; needed tokens. Evidence: %s. Fix: %s" % (memory.reason, memory.evidence, fix)
        host.report(unit, "stalled", message, 3, memory.evidence)
    elif before == "stalled" and memory.state in ("busy", "idle"):
        host.report(unit, "recovered", "gives tokens again", 5)


def restart(host: Host, about: list[dict[str, str]], values: dict[str, str]) -> None:
    """Restart a stalled replica that is out of traffic, or say why it is not restarted."""
    unit = values["unit"]
    memory = host.memories[unit]
    why = why_not(host, about, values)
    restarts = restarts_of(host)
    if why:
        if memory.restart != why:
            host.report(unit, "not-restarted", "stalled, and not restarted: %s" % why, 4)
        memory.restart = why
        return
    # Noted first: a restart that is not noted could be repeated.
    restarts.append({"unit": unit, "at": int(host.wall()), "reason": memory.reason, "evidence": memory.evidence})
    write_json(host.record, {"restarts": restarts[-20:]}, 0o600)
    host.report(unit, "restarted", "restarted, because it stalled: %s" % memory.reason, 4, memory.evidence)
    host.run(["systemctl", "restart", "--no-block", "--", unit], 30)
    memory.restart = "restarted"


def main(argv: list[str]) -> int:
    """Look once."""
    if argv not in (["observe"], ["restart"]):
        sys.stderr.write("usage: watchdog.py observe|restart\n")
        return 2
    watch(Host(), argv[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
