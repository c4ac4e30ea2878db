# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus on a host of the group monitoring: its files, checked by promtool before they are put in place, and the
service of our own that reads them. A Prometheus that is there already gets files alone."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from typing import Callable, Mapping, Optional

from .._base import command
from .._base.files import read_text, remove, write_atomically
from .._host import service
from .._host.service import ServiceHost
from .._host.systemd import Systemd

NAME = "ascend-fleet-prometheus"
CONFIG, RULES, JOBS = "prometheus.yml", "rules.yml", "scrape.yml"
DASHBOARDS = "dashboards"
_SEARCH = "/usr/bin:/usr/local/bin:/usr/sbin:/usr/local/sbin"
_OTHER = "prometheus.service"


class ServerError(Exception):
    """What is wanted cannot be; the message says what was found, what is needed and what to do."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted. ``files``: texts by their names below ``folder``. ``runs``: whether Prometheus reads them."""

    folder: str
    files: Mapping[str, str]
    runs: bool = True
    address: str = "127.0.0.1:9090"
    retention_days: int = 30


@dataclass
class Todo:
    """What is to be done, in this order."""

    write: dict[str, str] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)
    unit: Optional[service.Service] = None
    plan: service.Plan = field(default_factory=service.Plan)

    @property
    def steps(self) -> list[str]:
        """The steps in words."""
        words = ["write %s" % path for path in sorted(self.write)] + ["remove %s" % path for path in self.remove]
        return words + self.plan.steps


def program(name: str) -> Optional[str]:
    """Where a program of Prometheus lies; None where it is not installed."""
    return shutil.which(name, path=_SEARCH)


def service_of(wanted: Wanted, prometheus: str) -> service.Service:
    """The service: with a user of its own that may write its own data alone."""
    config, rules = (os.path.join(wanted.folder, name) for name in (CONFIG, RULES))
    return service.Service(
        name=NAME,
        description="Prometheus of ascend.fleet",
        command="%s --config.file=%s --storage.tsdb.path=/var/lib/%s --storage.tsdb.retention.time=%dd "
        "--web.listen-address=%s" % (prometheus, config, NAME, wanted.retention_days, wanted.address),
        rereads=(config, rules),
        settings=("StateDirectory=" + NAME, "StateDirectoryMode=0700", "LimitNOFILE=65536", "TimeoutStopSec=120"),
    )


class PrometheusHost:
    """Prometheus on this host. Raises ServerError, SystemdError and OSError."""

    def __init__(
        self,
        systemd: Systemd,
        run: Callable[..., command.Completed] = command.run,
        which: Callable[[str], Optional[str]] = program,
        unit_dir: str = service.UNIT_DIR,
        runtime_dir: str = service.RUNTIME_DIR,
    ) -> None:
        self._systemd = systemd
        self._run = run
        self._which = which
        self._services = ServiceHost(systemd, unit_dir, runtime_dir)

    def missing(self, wanted: Wanted) -> list[str]:
        """Programs that are needed and not installed."""
        return [name for name in ("prometheus", "promtool") if wanted.runs and self._which(name) is None]

    def check(self, wanted: Wanted) -> None:
        """Have promtool read what is to be written; without it, nothing is checked here."""
        promtool = self._which("promtool")
        if promtool is None:
            return
        folder = tempfile.mkdtemp(prefix="ascend-fleet-")
        try:
            for name, text in wanted.files.items():
                if os.sep not in name:
                    # The configuration names its rules where they will be.
                    write_atomically(os.path.join(folder, name), text.replace(wanted.folder + "/", folder + "/"))
            # The jobs alone are a configuration too.
            for kind, name in (("rules", RULES), ("config", CONFIG), ("config", JOBS)):
                words = ["check", kind, os.path.join(folder, name)]
                if not os.path.exists(words[-1]):
                    continue
                done = self._run([promtool, *words], timeout=60)
                if not done.ok:
                    said = " ".join((done.stdout + done.stderr).split()).replace(folder, wanted.folder)
                    raise ServerError(
                        "found that promtool refuses %s: %s; needed files that Prometheus reads. Nothing was changed. "
                        "Fix: correct the fleet_monitoring variables of the hosts that it names"
                        % (os.path.basename(words[-1]), said[:2000])
                    )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def plan(self, wanted: Wanted) -> Todo:
        """What is to be done."""
        texts = {os.path.join(wanted.folder, name): text for name, text in wanted.files.items()}
        todo = Todo(write={path: text for path, text in texts.items() if read_text(path) != text})
        old = (os.path.join(wanted.folder, name) for name in (CONFIG, JOBS))
        todo.remove = [path for path in old if path not in texts and os.path.lexists(path)]
        if not wanted.runs:
            todo.remove += self._services.to_remove(NAME)
            return todo
        if self._systemd.show([_OTHER])[_OTHER].get("ActiveState") in ("active", "activating"):
            raise ServerError(
                "found %s running; needed no other Prometheus where the role has its own. Fix: set "
                "fleet_monitoring_prometheus to files and include %s there, or stop and disable it"
                % (_OTHER, wanted.folder)
            )
        prometheus = self._which("prometheus") or "/usr/bin/prometheus"  # in check mode it may still be missing
        todo.unit = service_of(wanted, prometheus)
        present = self._services.present(todo.unit)
        rereads = {path: hashlib.sha256(texts[path].encode()).hexdigest() for path in todo.unit.rereads}
        todo.plan = service.plan(todo.unit, present, {}, rereads)
        return todo

    def absent(self, folder: str) -> Todo:
        """Everything is to go, but what Prometheus has recorded."""
        there = [folder] if os.path.isdir(folder) else []
        return Todo(remove=self._services.to_remove(NAME) + there)

    def carry_out(self, todo: Todo) -> None:
        """Do it. Every step can be repeated after a kill: what runs is compared again by the next run."""
        if any(name == NAME + ".service" or name.endswith("/%s.service" % NAME) for name in todo.remove):
            self._services.remove(NAME)
        for path, text in todo.write.items():
            write_atomically(path, text, 0o644, folder_mode=0o755)
        for path in todo.remove:
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif path.startswith("/"):
                remove(path)
        if todo.unit is not None:
            self._services.carry_out(todo.unit, todo.plan)
