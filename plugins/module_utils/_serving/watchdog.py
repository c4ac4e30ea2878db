# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog of a serving host: its programs, and the units that run them."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Collection, Mapping, Optional, Sequence

from .._base.files import remove
from .._base.program import source_of
from .._host import service
from .._host.systemd import Systemd
from . import watchdog_agent, watchdog_program, watchdog_rules
from .unit_file import MARK

MODES = ("observe", "restart", "off")
TIMER = "ascend-fleet-watchdog.timer"
SERVICE = "ascend-fleet-watchdog.service"
AGENT = "ascend-fleet-watchdog-agent"
PROGRAM = "watchdog.py"
_RULES = "watchdog_rules.py"
_AGENT_PROGRAM = "watchdog-agent.py"
_EVERY_SECONDS = 30
_PYTHON = "/usr/bin/python3"
_HOMES = ("/root/", "/home/", "/run/user/")

# Its runs are no news: only what it reports is. A look may have to wait for a question and for evidence.
# No compiled files: what lies in that folder is for root alone, and goes with the last unit.
_SERVICE_TEXT = """%s changes here are overwritten.
[Unit]
Description=Find engines that stall (%s)

[Service]
Type=oneshot
ExecStart=%s -B -E -s %s %s
TimeoutStartSec=900
Nice=5
LogLevelMax=notice
"""

_TIMER_TEXT = """%s changes here are overwritten.
[Unit]
Description=Find engines that stall, every %d seconds

[Timer]
OnActiveSec=%d
OnUnitInactiveSec=%d
AccuracySec=1

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of the watchdog, and where its agent listens, which there is with ``restart`` alone."""

    mode: str = "off"
    port: int = 0
    address: str = ""


def agent_of(wanted: Wanted, config_dir: str, python: str = "") -> service.Service:
    """The service that tells gateways what is out of traffic."""
    program = os.path.join(config_dir, _AGENT_PROGRAM)
    interpreter = python or sys.executable or _PYTHON
    if interpreter.startswith(_HOMES):  # where a user of its own reads nothing
        interpreter = _PYTHON
    return service.Service(
        name=AGENT,
        description="Tell gateways which replicas the watchdog has taken out of traffic",
        command="%s -I - %s %d" % (interpreter, wanted.address, wanted.port),
        reads=(program,),
        # What lies in that folder is for root alone, and so opened by systemd.
        settings=("StandardInput=file:%s" % program, "TasksMax=32"),
    )


def files(wanted: Wanted, unit_dir: str, config_dir: str, python: str = sys.executable) -> dict[str, str]:
    """Path and text of every file of the watchdog; none where it is off."""
    if wanted.mode == "off":
        return {}
    program = os.path.join(config_dir, PROGRAM)
    every = (_EVERY_SECONDS,) * 3
    command = (python or _PYTHON, program, wanted.mode)
    found = {
        os.path.join(config_dir, _RULES): _program_text(watchdog_rules),
        program: _program_text(watchdog_program),
        os.path.join(unit_dir, SERVICE): _SERVICE_TEXT % (MARK, wanted.mode, *command),
        os.path.join(unit_dir, TIMER): _TIMER_TEXT % (MARK, *every),
    }
    if wanted.mode == "restart":
        found[os.path.join(config_dir, _AGENT_PROGRAM)] = _program_text(watchdog_agent)
        agent = agent_of(wanted, config_dir, python)
        found[os.path.join(unit_dir, agent.unit)] = service.unit_text(agent)
    return found


def paths(unit_dir: str, config_dir: str) -> list[str]:
    """Where its files lie, whether they are there or not."""
    return sorted(files(Wanted("restart"), unit_dir, config_dir))


def _program_text(module: ModuleType) -> str:
    """The program as it stands in this collection. On the host the files lie side by side, in no package."""
    alone = source_of(module).replace("\nfrom . import ", "\nimport ")
    return "#!/usr/bin/env python3\n%s changes here are overwritten.\n%s" % (MARK, alone)


@dataclass
class Steps:
    """What is to be done beside writing its files."""

    start: bool = False
    #: The agent, and what becomes of it.
    agent: Optional[service.Service] = None
    agent_plan: service.Plan = field(default_factory=service.Plan)
    #: Files of a watchdog that is off, or of an agent that is not wanted.
    surplus: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What changes, for the report."""
        agent = [self.agent.unit] if self.agent and self.agent_plan.steps else []
        return [*self.surplus, *([TIMER] if self.start else []), *agent]


def wanted_of(units: Sequence[Mapping[str, Any]]) -> Wanted:
    """What the wanted units of a host carry; off where they say nothing."""
    if not units:
        return Wanted()
    first = units[0]
    return Wanted(
        mode=str(first.get("watchdog") or "off"),
        port=int(first.get("watchdog_port") or 0),
        address=str(first.get("listen") or "0.0.0.0"),  # noqa: S104 - where the engines listen too
    )


def plan(wanted: Wanted, unit_dir: str, config_dir: str, systemd: Systemd, writing: Mapping[str, str]) -> Steps:
    """What is to be done. ``writing``: the texts of files that are to be written."""
    texts = files(wanted, unit_dir, config_dir)
    surplus = [path for path in paths(unit_dir, config_dir) if path not in texts and os.path.lexists(path)]
    if wanted.mode == "off":
        return Steps(surplus=surplus)
    state = systemd.show([TIMER])[TIMER]
    runs = state.get("ActiveState") == "active" and state.get("UnitFileState") == "enabled"
    steps = Steps(start=not runs or _writes_timer(texts, writing), surplus=surplus)
    if wanted.mode == "restart":
        steps.agent = agent_of(wanted, config_dir)
        present = service.ServiceHost(systemd, unit_dir).present(steps.agent)
        reads = {path: hashlib.sha256(texts[path].encode()).hexdigest() for path in steps.agent.reads}
        steps.agent_plan = service.plan(steps.agent, present, reads, {})
    return steps


def _writes_timer(texts: Collection[str], writing: Collection[str]) -> bool:
    agent = (_AGENT_PROGRAM, AGENT + ".service")
    return any(path in writing for path in texts if os.path.basename(path) not in agent)


def execute(steps: Steps, systemd: Systemd, unit_dir: str) -> None:
    """Do it, after its files were written and systemd has read them."""
    if steps.start:
        systemd.enable([TIMER])
        systemd.restart([TIMER])
    if steps.agent:
        service.ServiceHost(systemd, unit_dir).carry_out(steps.agent, steps.agent_plan)
    if steps.surplus:
        stop(steps.surplus, systemd)
        for path in steps.surplus:
            remove(path)
        systemd.reload()


def stop(present: Sequence[str], systemd: Systemd) -> None:
    """Stop its timer and its agent, of whose files these are there. A look that runs ends by itself."""
    names = {os.path.basename(path) for path in present}
    running = [unit for unit in (TIMER, AGENT + ".service") if unit in names]
    if running:
        systemd.stop(running)
        systemd.disable(running)
