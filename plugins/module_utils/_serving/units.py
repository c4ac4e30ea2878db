# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the serving units of a host about: everything is looked at and validated first, and only then changed.

Every step looks at the host and not at what an earlier step remembers, so that a run that was killed anywhere is simply
run again.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Mapping, Optional, Sequence

from .._base import command
from .._base.files import remove, temporaries, write_atomically
from .._host import docker
from .._host.systemd import Systemd, SystemdError
from . import access, unit_checks, unit_file, watchdog
from .container import CONFIG_DIR, env_file_text
from .deployed import UNIT_DIR, UnitsError, read_text
from .support import support_files, support_mode
from .unit_reader import UnitReader
from .unit_steps import Present, Steps, decide, file_diff

# So long a start is waited for. It takes longer where a unit waits for its chips, or docker has to be started first.
_START_SECONDS = 60.0


@dataclass
class Wanted:
    """One wanted unit with what is there and what is to be done."""

    unit: Mapping[str, Any]
    content: str
    env: str
    present: Present
    steps: Steps

    @property
    def name(self) -> str:
        """The unit's name."""
        return str(self.unit["name"])


@dataclass
class Plan:
    """Everything that is to be done on this host. Nothing has been changed yet."""

    wanted: list[Wanted] = field(default_factory=list)
    #: Units to remove, with what systemd calls their state.
    unwanted: dict[str, str] = field(default_factory=dict)
    #: Path and text of support files that differ.
    support: dict[str, str] = field(default_factory=dict)
    watchdog: watchdog.Steps = field(default_factory=watchdog.Steps)
    access: access.Steps = field(default_factory=access.Steps)

    def report(self) -> list[dict[str, Any]]:
        """What is to be done with each wanted unit."""
        return [
            {
                "name": w.name,
                "container_name": w.unit["container_name"],
                "changed": bool(w.steps.words),
                "steps": w.steps.words,
                "reason": w.steps.reason,
            }
            for w in self.wanted
        ]


class Host:
    """The units of this host."""

    def __init__(
        self,
        *,
        unit_dir: str = UNIT_DIR,
        config_dir: str = CONFIG_DIR,
        run: Callable[..., command.Completed] = command.run,
        check: bool = False,
        stop_timeout: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unit_dir = unit_dir
        self.config_dir = config_dir
        self.check = check
        self._run = run
        self.systemd = Systemd(run)
        self.docker = docker.Docker(run=run)
        self.diff: list[dict[str, str]] = []
        self._stop_timeout = stop_timeout
        self._sleep = sleep
        self._clock = clock

    def _reader(self, *, needs_docker: bool) -> UnitReader:
        about = (self.unit_dir, self.config_dir, self.systemd, self.docker)
        needed = needs_docker and not self.check
        return UnitReader(*about, needs_docker=needed, sleep=self._sleep, clock=self._clock)

    def look(self, names: Sequence[str]) -> dict[str, Present]:
        """What there is of these units."""
        return self._reader(needs_docker=True).look(names) if names else {}

    # - present -

    def present(
        self,
        units: Sequence[Mapping[str, Any]],
        secrets: Mapping[str, str],
        *,
        start: bool = True,
        enable: bool = True,
        exclusive: bool = True,
    ) -> tuple[list[dict[str, Any]], list[str], list[str]]:
        """Bring the wanted units about.

        Returns what was done with each, the units that were removed, and the support files that were written.
        """
        plan = self.plan(units, secrets, start=start, enable=enable, exclusive=exclusive)
        self._add_diffs(plan)
        if not self.check:
            self._execute(plan)
        return plan.report(), sorted(plan.unwanted), sorted({*plan.support, *plan.watchdog.names, *plan.access.names})

    def plan(
        self,
        units: Sequence[Mapping[str, Any]],
        secrets: Mapping[str, str],
        *,
        start: bool,
        enable: bool,
        exclusive: bool,
        leaving: Collection[str] = (),
    ) -> Plan:
        """Look at everything and validate all of it. UnitsError; the containers ``leaving`` give up their names."""
        reader = self._reader(needs_docker=True)
        plan = Plan()
        names = [str(u["name"]) for u in units]
        version = self.systemd.version() if units else 0
        found = reader.look_when_settled(names)
        unwanted = [n for n in reader.all_names() if n not in names] if exclusive else []
        plan.unwanted = {n: s.get("ActiveState", "inactive") for n, s in self.systemd.show(unwanted).items()}
        for unit in units:
            env, present = env_file_text(unit["environment"], secrets), found[unit["name"]]
            content = unit_file.for_systemd(str(unit["content"]), version)
            steps = decide(content, env, unit["config_hash"], present, start=start, enable=enable)
            steps.directories = [d for d in unit["directories"] if not os.path.isdir(d)]
            plan.wanted.append(Wanted(unit, content, env, present, steps))
        if units:
            _plan_support(plan, units, (self.unit_dir, self.config_dir), self.systemd, self._run)
        problems = unit_checks.problems(units, reader, images=start and not self.check, leaving=leaving)
        if problems:
            raise UnitsError("; ".join(problems))
        return plan

    def _add_diffs(self, plan: Plan) -> None:
        for name in plan.unwanted:
            self._add_removal(name)
        self.diff += [file_diff(path, read_text(path), text) for path, text in plan.support.items()]
        self.diff += _removals([*plan.watchdog.surplus, *plan.access.surplus])
        for wanted in plan.wanted:
            name, present = wanted.name, wanted.present
            if wanted.steps.write_env and present.env != wanted.env:
                self.diff.append(file_diff(self._env_path(name), present.env, wanted.env, secret=True))
            if wanted.steps.write_unit:
                self.diff.append(file_diff(self._unit_path(name), present.content, wanted.content))

    def _execute(self, plan: Plan) -> None:
        self._remove(plan.unwanted)
        acting = [w.name for w in plan.wanted if w.steps.action]
        restart = [w.name for w in plan.wanted if w.steps.action == "restart"]
        if restart:
            # All old engines first, then the new ones: a new one may get the cards of another old one. Before anything
            # is written, so that a run that dies in between leaves them stopped, and the next one starts them.
            self.systemd.stop(restart, timeout=self._stop_timeout)
        if acting:
            self._remove_containers(acting)
        for path, text in plan.support.items():
            _write(path, text, support_mode(path))
        for wanted in plan.wanted:
            self._write_unit(wanted)
        if plan.unwanted or plan.support or any(w.steps.reload for w in plan.wanted):
            self.systemd.reload()
        access.execute(plan.access, self.systemd)
        watchdog.execute(plan.watchdog, self.systemd, self.unit_dir)
        enable = [w.name for w in plan.wanted if w.steps.enable]
        if enable:
            self.systemd.enable(enable)
        if acting:
            # Neither an earlier loop of crashes nor a number of starts by hand stands in the way of this start.
            self.systemd.reset_failed(acting)
            self._start(acting)

    def _start(self, names: Sequence[str]) -> None:
        """Start units. Of those that wait for their chips, the start is not awaited here."""
        until = self._clock() + self._stop_timeout
        while True:
            try:
                return self.systemd.start(names, timeout=_START_SECONDS)
            except SystemdError as exc:
                if not exc.timed_out:
                    raise
                states = {s.get("ActiveState") for s in self.systemd.show(names).values()}
                if states <= {"active", "activating"}:
                    return None
                if self._clock() >= until:
                    raise

    def _write_unit(self, wanted: Wanted) -> None:
        for folder in wanted.steps.directories:
            try:
                os.makedirs(folder, mode=0o755, exist_ok=True)
            except OSError as exc:
                raise _unwritable(exc, folder) from exc
        if wanted.steps.write_env:
            _write(self._env_path(wanted.name), wanted.env, 0o600)
        if wanted.steps.write_unit:
            _write(self._unit_path(wanted.name), wanted.content, 0o644)

    # - stopped and absent -

    def stopped(self, names: Optional[Sequence[str]], *, disable: bool = False) -> list[dict[str, Any]]:
        """Stop units (all of ours when ``names`` is None), and keep their files."""
        reader = self._reader(needs_docker=False)
        chosen = sorted(reader.units()) if names is None else list(names)
        report: list[dict[str, Any]] = []
        stop, off = [], []
        for name, present in (reader.look(chosen) if chosen else {}).items():
            if present.active not in ("inactive", "failed") or present.container:
                stop.append(name)
            if disable and present.enabled:
                off.append(name)
            words = ["stop"] * (name in stop) + ["disable"] * (name in off)
            report.append({"name": name, "changed": bool(words), "steps": words, "reason": None})
        if stop and not self.check:
            self.systemd.stop(stop, timeout=self._stop_timeout)
            self._remove_containers(stop)
        if off and not self.check:
            self.systemd.disable(off)
        return report

    def started(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Start units as their files are. Those that run already are left alone."""
        reader = self._reader(needs_docker=True)
        missing = [name for name in names if read_text(reader.unit_path(name)) is None]
        if missing:
            raise UnitsError("found no unit %s; needed it deployed. Fix: run site.yml" % ", ".join(missing))
        found = reader.look(names) if names else {}
        start = [name for name, present in found.items() if present.active in ("inactive", "failed")]
        if start and not self.check:
            self._remove_containers(start)
            self.systemd.reset_failed(start)
            self._start(start)
        words = {name: ["start"] * (name in start) for name in names}
        return [{"name": n, "changed": bool(w), "steps": w, "reason": None} for n, w in words.items()]

    def absent(self, names: Optional[Sequence[str]]) -> tuple[list[str], list[str]]:
        """Remove units (all of ours when ``names`` is None) with everything that is only theirs.

        Returns the units, and the support files, which go with the last unit.
        """
        reader = self._reader(needs_docker=False)
        chosen = reader.all_names() if names is None else [n for n in names if reader.has_files(n)]
        unwanted = {n: s.get("ActiveState", "inactive") for n, s in self.systemd.show(chosen).items()}
        support = []
        if not [n for n in reader.units() if n not in chosen]:
            support = _support_present(self.unit_dir, self.config_dir)
        for name in unwanted:
            self._add_removal(name)
        self.diff += _removals(support)
        if not self.check:
            watchdog.stop(support, self.systemd)
            access.stop(support, self.systemd)
            self._remove(unwanted)
            for path in support:
                remove(path)
            if unwanted or support:
                self.systemd.reload()
        return sorted(unwanted), sorted(support)

    def _remove(self, unwanted: Mapping[str, str]) -> None:
        reader = self._reader(needs_docker=False)
        about = reader.units()
        for name, active in unwanted.items():
            if active not in ("inactive", "failed"):
                self.systemd.stop([name], timeout=self._stop_timeout)
            self._remove_containers([name])
            for link in reader.links([name]):
                remove(link)
            unit_path, env_path = self._unit_path(name), self._env_path(name)
            for path in (*temporaries(env_path), *temporaries(unit_path), env_path):
                remove(path)
            _remove_directory(about.get(name, {}))
            # Last, because it is what the next run finds the rest by.
            if name in about:
                remove(unit_path)
            self.systemd.reset_failed([name])

    def _add_removal(self, name: str) -> None:
        self.diff += _removals([self._env_path(name)], secret=True) + _removals([self._unit_path(name)])

    def _remove_containers(self, names: Sequence[str]) -> None:
        """Remove the containers that these units, which do not run, left behind."""
        for container in self._reader(needs_docker=False).containers():
            if container["labels"].get(docker.LABEL_UNIT) in names:
                try:
                    self.docker.remove_container(container["id"])
                except docker.DockerError as exc:
                    raise UnitsError(
                        "found: %s; needed the container of a stopped unit removed. Fix: see `systemctl status docker`"
                        % exc
                    ) from exc

    def _unit_path(self, name: str) -> str:
        return os.path.join(self.unit_dir, name)

    def _env_path(self, name: str) -> str:
        return os.path.join(self.config_dir, name[: -len(".service")] + ".env")


def _write(path: str, text: str, mode: int) -> None:
    try:
        write_atomically(path, text, mode, folder_mode=0o755)
    except OSError as exc:
        raise _unwritable(exc, path) from exc


def _plan_support(
    plan: Plan,
    units: Sequence[Mapping[str, Any]],
    folders: tuple[str, str],
    systemd: Systemd,
    run: Callable[..., command.Completed],
) -> None:
    """What all units of the host have together: their files, the watchdog, and who reaches their ports."""
    watching, reached = watchdog.wanted_of(units), access.wanted_of(units)
    nft = "" if reached.mode == "open" else access.program()
    texts = support_files(*folders)
    texts.update(watchdog.files(watching, *folders))
    texts.update(access.files(reached, *folders, nft))
    plan.support = {path: text for path, text in texts.items() if read_text(path) != text}
    plan.watchdog = watchdog.plan(watching, *folders, systemd, plan.support)
    plan.access = access.plan(reached, *folders, systemd, texts, nft=nft, run=run)


def _support_present(unit_dir: str, config_dir: str) -> list[str]:
    """The files that all units use and that are there, whatever is wanted of the watchdog and of the ports."""
    folders = (unit_dir, config_dir)
    every = [*support_files(*folders), *watchdog.paths(*folders), *access.paths(*folders)]
    return [path for path in every if os.path.lexists(path)]


def _removals(paths: Sequence[str], *, secret: bool = False) -> list[dict[str, str]]:
    """The diffs of files that go."""
    return [file_diff(path, read_text(path), None, secret=secret) for path in paths if os.path.isfile(path)]


def _remove_directory(unit: Mapping[str, Any]) -> None:
    folder, container = unit.get("directory") or "", unit.get("container_name") or ""
    ours = container and folder.endswith("/replicas/" + container) and ".." not in folder
    if ours and os.path.isdir(folder) and not os.path.islink(folder):
        try:
            shutil.rmtree(folder)
        except OSError as exc:
            raise UnitsError(
                "found %s: %s; needed to remove the caches and logs of a unit. Fix: remove %s"
                % (exc.filename or folder, exc.strerror, folder)
            ) from exc


def _unwritable(exc: OSError, path: str) -> UnitsError:
    return UnitsError(
        "found %s: %s; needed to write there. Fix: run as root" % (exc.filename or path, exc.strerror or exc)
    )
