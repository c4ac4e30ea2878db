# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be known of a host before its sources can be named: chips, units, containers, and what is secret on it."""

from __future__ import annotations

import glob
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .._base import command
from .._host.docker import Docker, DockerError
from .._host.systemd import Systemd, SystemdError
from .._node.host import Host
from .._npu import smi
from .._npu.errors import NpuSmiError
from .._serving import gateway_config
from .._serving.container import CONFIG_DIR
from .._serving.deployed import UNIT_DIR, UnitsError, deployed
from . import redact

_QUERY_SECONDS = 30.0
_DOCKER_CLIENT = "/root/.docker/config.json"
# Of systemd's own messages: a unit was started, has failed, could not be started, ran out of memory.
_STARTED = "39f53479d3a045ac8e11786248231fbf"
_FAILED = (
    "d9b373ed55a64feb8242e02dbe79a49c",
    "be02cf6855d2428ba40df7e9d022f03d",
    "fe6faa94e7774663a0da52717891d8ef",
)
_BEARER = re.compile(r"Bearer ([^\s\"']+)")
_NPU = re.compile(r"davinci(\d+)\Z")


@dataclass
class Unit:
    """A deployed replica. ``invocation`` is its present or last run, ``failure`` the run that failed last."""

    about: dict[str, Any]
    state: dict[str, str]
    invocation: str = ""
    failure: str = ""
    pids: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of its systemd unit."""
        return str(self.about["name"])

    @property
    def short(self) -> str:
        """Its name as a folder of the bundle."""
        return self.name[: -len(".service")]


@dataclass
class Look:
    """What was found. ``npu_smi`` is the output of `npu-smi info`, None where it gave none; ``npu_smi_problem`` why."""

    npu_smi: Optional[str] = None
    npu_smi_problem: str = ""
    chips: list[dict[str, Any]] = field(default_factory=list)
    driver: str = ""
    indices: list[int] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    containers: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)

    def problem(self, subject: str, message: object) -> None:
        """Note what could not be read."""
        self.problems.append({"subject": subject, "message": " ".join(str(message).split())})


class Looker:
    """Looks at a host. Nothing here changes anything, and nothing here raises."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._systemd = Systemd(run=self.run, timeout=_QUERY_SECONDS)
        self._docker = Docker(timeout=_QUERY_SECONDS, run=self.run)
        self.found = Look()

    def resolve(self, program: str) -> Optional[str]:
        """Where a program really lies; None where it is not installed."""
        if program.startswith("/"):
            path = self._host.path(program)
            return path if os.path.isfile(path) and os.access(path, os.X_OK) else None
        found = self._host.which(program)
        return None if found is None else self._host.path(found)

    def run(self, argv: Sequence[str], **more: Any) -> command.Completed:
        """Run a program of the host."""
        program = self.resolve(argv[0])
        if program is None:
            return command.Completed(tuple(argv), 127, "", "%s: not installed" % argv[0], False)
        return self._host.run([program, *argv[1:]], timeout=float(more.get("timeout") or _QUERY_SECONDS))

    def look(self) -> Look:
        """Look at everything."""
        self._chips()
        self._units()
        self._containers()
        return self.found

    def _chips(self) -> None:
        names = [_NPU.match(name) for name in self._host.names("/dev")]
        self.found.indices = sorted(int(m.group(1)) for m in names if m)
        if self.resolve("npu-smi") is None:
            self.found.npu_smi_problem = "npu-smi is not installed"
            return
        done = self.run(["npu-smi", "info"], timeout=60)
        self.found.npu_smi = done.stdout + done.stderr
        if done.timed_out:
            self.found.npu_smi_problem = "`npu-smi info` did not end within 60 s"
            return
        try:
            table = smi.parse_info(done.stdout)
        except NpuSmiError as exc:
            self.found.npu_smi_problem = "npu-smi info: %s" % " ".join(str(exc).split())
            return
        self.found.chips = table["devices"]
        self.found.driver = str(table["driver_version"] or "")

    def _units(self) -> None:
        try:
            about = deployed(self._host.path(UNIT_DIR))
            states = self._systemd.show([u["name"] for u in about])
        except (UnitsError, SystemdError) as exc:
            return self.found.problem("units", exc)
        for unit in about:
            state = states[unit["name"]]
            found = Unit(unit, state, state.get("InvocationID", ""))
            found.failure = self._failure(found)
            self.found.units.append(found)
        return None

    def _failure(self, unit: Unit) -> str:
        """The run of a unit that failed last; where systemd restarts it by itself, else the one before this one.

        An API server whose engine has died ends with status 0, which systemd calls no failure.
        """
        matches: list[str] = []
        for message in (_STARTED, *_FAILED):
            matches += [*(["+"] if matches else []), "UNIT=%s" % unit.name, "MESSAGE_ID=%s" % message]
        argv = ["journalctl", "--quiet", "--no-pager", "--output=json", "--lines=200", *matches]
        done = self.run(argv, timeout=_QUERY_SECONDS)
        if not done.ok:
            self.found.problem("journal of %s" % unit.name, done.describe())
            return ""
        failed, started = "", []
        for line in done.stdout.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            run = str(entry.get("INVOCATION_ID") or "") if isinstance(entry, dict) else ""
            if run and entry.get("MESSAGE_ID") in _FAILED:
                failed = run
            elif run:
                started.append(run)
        if failed or unit.state.get("NRestarts", "0") == "0":
            return failed
        return next((run for run in reversed(started) if run != unit.invocation), "")

    def _containers(self) -> None:
        try:
            self.found.containers = self._docker.raw_containers()
        except DockerError as exc:
            return self.found.problem("docker", exc)
        for unit in self.found.units:
            name = str(unit.about.get("container_name") or "")
            if any(_name(raw) == name and (raw.get("State") or {}).get("Running") for raw in self.found.containers):
                try:
                    unit.pids = self._docker.top(name)[:64]
                except DockerError as exc:
                    words = "%s. Secrets that only the command lines of its processes hold are not redacted" % exc
                    self.found.problem("processes of %s" % name, words)
        return None

    # - secrets -

    def secrets(self) -> list[str]:
        """The secrets of this host that lie where this collection and docker keep them."""
        found: list[str] = []
        for path in glob.glob(os.path.join(glob.escape(self._host.path(CONFIG_DIR)), "**", "*"), recursive=True):
            if path.endswith(".env"):
                found += redact.secrets_of_environment(_read(path).splitlines())
            elif path.endswith(".cfg"):
                text = _read(path)
                found += [pool.api_key for pool in gateway_config.parse_pools(text)] + _BEARER.findall(text)
        for raw in self.found.containers:
            config = raw.get("Config") or {}
            found += redact.secrets_of_environment(config.get("Env") or [])
            found += redact.secrets_of_argv([*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])])
            found += redact.secrets_of_argv([str(raw.get("Path") or ""), *(raw.get("Args") or [])])
        found += _logins(_read(self._host.path(_DOCKER_CLIENT)))
        for unit in self.found.units:
            for pid in unit.pids:
                found += redact.secrets_of_argv(_read(self._host.path("/proc/%d/cmdline" % pid)).split("\0"))
        return [value for value in found if value]


def _name(raw: Mapping[str, Any]) -> str:
    return str(raw.get("Name") or "").lstrip("/")


def _logins(text: str) -> list[str]:
    """What docker's client keeps to log in at registries."""
    try:
        auths = json.loads(text or "{}").get("auths") or {}
        return [
            str(v) for entry in auths.values() for k, v in entry.items() if k in ("auth", "password", "identitytoken")
        ]
    except (ValueError, AttributeError):
        return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(4 * 1024 * 1024)
    except OSError:
        return ""
