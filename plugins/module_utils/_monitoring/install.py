# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collector of a host, or the vendor's npu-exporter beside it: files, units, and what becomes of them.

One of the two asks the chips, never both. The collector runs on every host, since it also says what ascend.fleet knows.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Mapping, Optional, Sequence

from .._base import command, files, locks, text
from .._base.files import remove, write_atomically
from .._base.program import source_of
from .._host import systemd as systemd_client
from .._host.service import UNIT_DIR
from .._host.systemd import Systemd
from .._npu import chip_table, errors, hardware, hccn, layout, process_table, smi, smi_commands
from . import collector, exposition, fleet_metrics, npu_metrics

MARK = "# Managed by ascend.fleet: changes here are overwritten."
SERVICE = "ascend-fleet-collector.service"
TIMER = "ascend-fleet-collector.timer"
EXPORTER = "ascend-fleet-npu-exporter.service"
UNITS = (TIMER, EXPORTER, SERVICE)
EXPORTER_PROGRAM = "/usr/local/bin/npu-exporter"
CONFIG = "/etc/ascend-fleet/collector.json"
FINDINGS = "/var/lib/ascend-fleet/findings.json"
FOLDER = "/usr/local/lib/ascend-fleet-collector"
PACKAGE = "ascend_fleet_collector"
_PYTHON = "/usr/bin/python3"
#: What the unit cannot see.
_HOMES = ("/root/", "/home/", "/run/user/")
_PROGRAMS: tuple[ModuleType, ...] = (
    command, files, locks, text, systemd_client, chip_table, errors, hardware, hccn, layout, process_table, smi,
    smi_commands, collector, exposition, fleet_metrics, npu_metrics,
)  # fmt: skip

# npu-smi answers in containers that have docker's default capabilities: of them it needs that of root to open the
# devices of another user, and on the host that to see which processes have them open. node_exporter reads the file as a
# user of its own.
_SERVICE_TEXT = """%(mark)s
[Unit]
Description=Write what this host says of itself for node_exporter

[Service]
Type=oneshot
WorkingDirectory=%(folder)s
ExecStart=%(python)s -B -s -E -m %(package)s._monitoring.collector %(config)s
TimeoutStartSec=300
TimeoutStopSec=10
Nice=10
LogLevelMax=notice
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_SYS_PTRACE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=%(textfile)s /run
ProtectHome=yes
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK
RestrictNamespaces=yes
LockPersonality=yes
SystemCallArchitectures=native
"""

# A first look when the chips are up; each further one after the last one has ended.
_TIMER_TEXT = """%(mark)s
[Unit]
Description=Write what this host says of itself, every %(seconds)d seconds

[Timer]
OnBootSec=60
OnActiveSec=1
OnUnitInactiveSec=%(seconds)d
AccuracySec=1

[Install]
WantedBy=timers.target
"""

# Its own unit file runs in the background of a shell; here systemd sees when it ends. It refuses libraries that others
# than root may write.
_EXPORTER_TEXT = """%(mark)s
[Unit]
Description=The vendor's npu-exporter
After=network-online.target
Wants=network-online.target

[Service]
Type=simple
User=%(user)s
SupplementaryGroups=HwHiAiUser
Environment=LD_LIBRARY_PATH=/usr/local/dcmi:/usr/local/Ascend/driver/lib64/driver:/usr/local/Ascend/driver/lib64/common:\
/usr/local/Ascend/driver/lib64
ExecStart=%(program)s -ip=%(address)s -port=%(port)d -updateTime=%(seconds)d -containerMode=docker \
-logFile=/var/log/ascend-fleet-npu-exporter/npu-exporter.log
Restart=always
RestartSec=30
LogsDirectory=ascend-fleet-npu-exporter
LogsDirectoryMode=0750
# For the containers' names alone; it may become no other user for long.
AmbientCapabilities=CAP_SETUID
CapabilityBoundingSet=CAP_SETUID
ProtectSystem=full
ProtectHome=yes
PrivateTmp=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target

[X-AscendFleet]
Program=%(digest)s
"""


@dataclass(frozen=True)
class Wanted:
    """What is wanted. ``state``: present, absent, paused (its files stay, nothing asks the chips), or resumed."""

    state: str = "present"
    config: collector.Config = field(default_factory=collector.Config)
    interval_seconds: int = 30
    exporter_user: str = "hwMindX"
    exporter_address: str = "127.0.0.1"
    exporter_port: int = 8082
    #: Identifies the program that lies there: another one is started in its place.
    exporter_digest: str = ""


@dataclass
class Plan:
    """What is to be done, in this order."""

    write: dict[str, str] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)
    start: list[str] = field(default_factory=list)

    @property
    def steps(self) -> list[str]:
        """The steps in words."""
        words = ["stop %s" % unit for unit in self.stop] + ["write %s" % path for path in sorted(self.write)]
        return words + ["remove %s" % path for path in self.remove] + ["start %s" % unit for unit in self.start]


def program_path(module: ModuleType) -> str:
    """Where a module lies on the host: in a package of the same folders."""
    wing, name = module.__name__.split(".")[-2:]
    return "%s/%s/%s/%s.py" % (FOLDER, PACKAGE, wing, name)


def config_text(config: collector.Config) -> str:
    """The collector's configuration."""
    data: dict[str, Any] = {
        "source": config.source,
        "textfile": config.textfile,
        "slow_seconds": config.slow_seconds,
        "expected_chips": config.expected_chips,
        "disk": dict(config.disk),
        "certificates": list(config.certificates),
    }
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def wanted_files(wanted: Wanted, python: str = "", unit_dir: str = UNIT_DIR) -> dict[str, str]:
    """Path and text of every file."""
    interpreter = python or sys.executable or _PYTHON
    values = {
        "mark": MARK,
        "folder": FOLDER,
        "package": PACKAGE,
        "python": _PYTHON if interpreter.startswith(_HOMES) else interpreter,
        "config": CONFIG,
        "textfile": wanted.config.textfile,
        "seconds": wanted.interval_seconds,
    }
    found = {program_path(module): "%s\n%s" % (MARK, source_of(module)) for module in _PROGRAMS}
    found[CONFIG] = config_text(wanted.config)
    found[os.path.join(unit_dir, SERVICE)] = _SERVICE_TEXT % values
    found[os.path.join(unit_dir, TIMER)] = _TIMER_TEXT % values
    if wanted.config.source == "npu_exporter":
        found[os.path.join(unit_dir, EXPORTER)] = _EXPORTER_TEXT % {
            "mark": MARK,
            "user": wanted.exporter_user,
            "program": EXPORTER_PROGRAM,
            "address": wanted.exporter_address,
            "port": wanted.exporter_port,
            "digest": wanted.exporter_digest,
            "seconds": max(wanted.interval_seconds, 5),
        }
    return found


def own_files(unit_dir: str = UNIT_DIR, textfile: str = "") -> list[str]:
    """What there can be of it on a host."""
    units = [os.path.join(unit_dir, unit) for unit in (SERVICE, TIMER, EXPORTER)]
    return [*units, CONFIG, FINDINGS, *([os.path.join(textfile, collector.NAME)] if textfile else [])]


class CollectorHost:
    """The collector of this host. Raises SystemdError and OSError."""

    def __init__(self, systemd: Systemd, root: str = "/", unit_dir: str = UNIT_DIR, python: str = "") -> None:
        self._systemd = systemd
        self._root = root
        self._unit_dir = unit_dir
        self._python = python

    def _path(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip("/"))

    def read(self, path: str) -> Optional[str]:
        """A file's text; None where there is none."""
        return files.read_text(self._path(path))

    def plan(self, wanted: Wanted) -> Plan:
        """What is to be done."""
        if wanted.state == "absent":
            return self._absent(wanted)
        if wanted.state == "paused":
            return Plan(stop=[unit for unit in (TIMER, EXPORTER) if self._state(unit)[0]])
        if wanted.state == "resumed":
            there = (unit for unit in (TIMER, EXPORTER) if self.read(os.path.join(self._unit_dir, unit)) is not None)
            return Plan(start=[unit for unit in there if not self._state(unit)[0]])
        texts = wanted_files(wanted, self._python, self._unit_dir)
        write = {path: text for path, text in texts.items() if self.read(path) != text}
        plan = Plan(write=write)
        for unit in (TIMER, EXPORTER):
            path = os.path.join(self._unit_dir, unit)
            active, enabled = self._state(unit)
            if path not in texts:  # the other one asks the chips now
                plan.stop += [unit] if active or enabled else []
                plan.remove += [path] if os.path.lexists(self._path(path)) else []
            elif not (active and enabled) or path in write:
                plan.start.append(unit)
        return plan

    def _absent(self, wanted: Wanted) -> Plan:
        plan = Plan()
        for unit in UNITS:
            active, enabled = self._state(unit)
            plan.stop += [unit] if active or enabled else []
        every = [*own_files(self._unit_dir, wanted.config.textfile), FOLDER]
        plan.remove = [path for path in every if os.path.lexists(self._path(path))]
        return plan

    def _state(self, unit: str) -> tuple[bool, bool]:
        state = self._systemd.show([unit])[unit]
        return state.get("ActiveState") in ("active", "activating"), state.get("UnitFileState") == "enabled"

    def carry_out(self, plan: Plan, *, absent: bool = False) -> None:
        """Do it. Every step can be repeated after a kill."""
        # The one that asks the chips ends before the other one begins.
        if plan.stop:
            self._systemd.stop(plan.stop, timeout=120)
            if absent or plan.remove:
                self._systemd.disable([unit for unit in plan.stop if unit != SERVICE])
        for path, content in plan.write.items():
            write_atomically(self._path(path), content, 0o644, folder_mode=0o755)
        for path in plan.remove:
            if path == FOLDER:
                shutil.rmtree(self._path(path))
            else:
                remove(self._path(path))
        if plan.remove or any(path.startswith(self._unit_dir) for path in plan.write):
            self._systemd.reload()
        if absent:
            self._systemd.reset_failed(UNITS)  # one that was ended would be remembered as failed
        if plan.start:
            self._systemd.enable(plan.start)
            self._systemd.restart(plan.start)


def with_findings(kept: Optional[str], counts: Mapping[str, Mapping[str, int]]) -> str:
    """The findings' file with those of these kinds of check; what cannot be read is written anew."""
    try:
        data = json.loads(kept or "{}")
    except ValueError:
        data = {}
    data = data if isinstance(data, dict) else {}
    return json.dumps({**data, **counts}, indent=1, sort_keys=True) + "\n"


def exporters_of_others(units: Sequence[str]) -> list[str]:
    """Units that ask the chips and are not ours, of those that systemd has in memory."""
    return [unit for unit in units if unit.startswith("npu-exporter") and unit.endswith((".service", ".timer"))]
