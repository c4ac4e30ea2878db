# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The serving units of a host: what is there, what is wanted, and how to get from one to the other.

Every step looks at the host and not at what an earlier step remembers, so that a run that was killed anywhere is simply
run again.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import stat
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

from .._base import command
from .._base.files import remove, temporaries, write_atomically
from .._host import docker
from .._host.systemd import Systemd
from . import container as _container
from .unit_file import MARK

UNIT_DIR = "/etc/systemd/system"
_UNIT = re.compile(r"vllm-.+@\d+\.service\Z")
_SECRET = _container.SECRET
# A unit that was started a moment ago has no container yet.
_CONTAINER_SECONDS = 20.0


class UnitsError(Exception):
    """A step failed; the message says which, what was found and what to do."""


# -- reading ---------------------------------------------------------------------------------------------------------


def parse_unit(text: str) -> Optional[dict[str, str]]:
    """What a unit of ours says about itself; None when it is not ours."""
    if not text.startswith(MARK):
        return None
    found: dict[str, str] = {}
    inside = False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == "[X-AscendFleet]"
        elif inside:
            key, equals, value = line.partition("=")
            if equals:
                found[key.strip()] = value.strip()
    return found


def exec_start(text: str) -> str:
    """The command of a unit, on one line."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("ExecStart="):
            return re.sub(r"\s+", " ", line)
    return ""


def describe(name: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """A deployed replica in the words of this collection."""
    port = metadata.get("Port", "")
    return {
        "name": name,
        "replica": int(metadata["Replica"]) if metadata.get("Replica", "").isdigit() else None,
        "served_model_name": metadata.get("ServedModelName"),
        "release": metadata.get("Release"),
        "port": int(port) if port.isdigit() else None,
        "url": "http://127.0.0.1:%s" % port if port.isdigit() else None,
        "container_name": metadata.get("Container"),
        "config_hash": metadata.get("Config"),
        "image": metadata.get("Image"),
        "weights": metadata.get("Weights"),
        "indices": [int(i) for i in metadata.get("Devices", "").split(",") if i.isdigit()],
        "directory": metadata.get("Directory"),
    }


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UnitsError("found %s unreadable: %s; needed to read it. Fix: run as root" % (path, exc.strerror))


def deployed(unit_dir: str = UNIT_DIR) -> list[dict[str, Any]]:
    """Every unit of ours on this host, in the order of model and replica."""
    found = []
    for path in glob.glob(os.path.join(glob.escape(unit_dir), "vllm-*@*.service")):
        name = os.path.basename(path)
        metadata = parse_unit(_read(path) or "") if _UNIT.match(name) and not os.path.islink(path) else None
        if metadata is not None:
            found.append(describe(name, metadata))
    return sorted(found, key=lambda u: (str(u["served_model_name"]), u["replica"] is None, u["replica"] or 0))


# -- deciding --------------------------------------------------------------------------------------------------------


@dataclass
class Present:
    """What is on the host for one wanted unit."""

    content: Optional[str] = None
    env: Optional[str] = None
    env_private: bool = True
    load: str = ""
    active: str = "inactive"
    sub: str = "dead"
    enabled: bool = False
    need_reload: bool = False
    container: Optional[str] = None  # its state, None when there is none
    config: Optional[str] = None  # the configuration the container runs


@dataclass
class Steps:
    """What is to be done with one wanted unit, and why it is (re)started."""

    write_unit: bool = False
    write_env: bool = False
    reload: bool = False
    enable: bool = False
    action: Optional[str] = None  # start | restart
    reason: Optional[str] = None
    directories: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """The steps as words, in order."""
        pairs = (
            ("create folders", bool(self.directories)),
            ("write environment", self.write_env),
            ("write unit", self.write_unit),
            ("reload systemd", self.reload),
            ("enable", self.enable),
        )
        return [word for word, needed in pairs if needed] + ([self.action] if self.action else [])


def decide(content: str, env: str, config: str, present: Present, *, start: bool, enable: bool) -> Steps:
    """What to do so that the unit is as wanted and its container runs the wanted configuration."""
    steps = Steps(
        write_unit=present.content != content,
        write_env=present.env != env or not present.env_private,
        enable=enable and not present.enabled,
    )
    steps.reload = steps.write_unit or present.need_reload
    if not start:
        return steps
    # A hand that edited the files has perhaps started the engine with them, whatever its label says.
    edited = present.content is not None and exec_start(present.content) != exec_start(content)
    edited = edited or (present.env is not None and present.env != env)
    if present.active in ("inactive", "failed", "deactivating"):
        steps.action, steps.reason = "start", "it was %s" % present.active
    elif present.container is not None and present.config != config:
        steps.action, steps.reason = "restart", "its container runs another configuration"
    elif edited:
        steps.action, steps.reason = "restart", "its files differed from what is wanted"
    return steps


# -- doing -----------------------------------------------------------------------------------------------------------


def mask(text: Optional[str]) -> str:
    """An environment file without the values that nobody may see."""
    shown = []
    for line in (text or "").splitlines():
        name, equals, _value = line.partition("=")
        shown.append("%s=(hidden)" % name if equals and _SECRET.search(name) else line)
    return "".join(line + "\n" for line in shown)


def file_diff(path: str, before: Optional[str], after: Optional[str], *, secret: bool = False) -> dict[str, str]:
    """One entry of a diff; a secret that changed is told, not shown."""
    old, new = (mask(before), mask(after)) if secret else (before or "", after or "")
    if secret and before is not None and after is not None and old == new and before != after:
        new += "(a hidden value changed)\n"
    return {
        "before_header": path if before is not None else "%s (absent)" % path,
        "after_header": path if after is not None else "%s (absent)" % path,
        "before": old,
        "after": new,
    }


class Host:
    """The units of this host."""

    def __init__(
        self,
        *,
        unit_dir: str = UNIT_DIR,
        config_dir: str = _container.CONFIG_DIR,
        run: Callable[..., command.Completed] = command.run,
        check: bool = False,
        stop_timeout: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unit_dir = unit_dir
        self.config_dir = config_dir
        self.check = check
        self.systemd = Systemd(run)
        self.docker = docker.Docker(run=run)
        self.diff: list[dict[str, str]] = []
        self._run = run
        self._stop_timeout = stop_timeout
        self._sleep = sleep
        self._clock = clock

    def unit_path(self, name: str) -> str:
        """Where the unit's file lies."""
        return os.path.join(self.unit_dir, name)

    def env_path(self, name: str) -> str:
        """Where the unit's variables lie."""
        return os.path.join(self.config_dir, name[: -len(".service")] + ".env")

    # - looking -

    def look(self, names: Sequence[str]) -> dict[str, Present]:
        """What there is for these units."""
        shown = self.systemd.show(names)
        containers = self._containers()
        found = {}
        for name in names:
            state = shown.get(name, {})
            own = [c for c in containers if c["labels"].get(docker.LABEL_UNIT) == name]
            container = next((c for c in own if c["state"] in docker.LIVE_STATES), own[0] if own else None)
            env = self.env_path(name)
            found[name] = Present(
                content=_read(self.unit_path(name)),
                env=_read(env),
                env_private=not os.path.exists(env) or stat.S_IMODE(os.stat(env).st_mode) == 0o600,
                load=state.get("LoadState", ""),
                active=state.get("ActiveState", "inactive"),
                sub=state.get("SubState", "dead"),
                enabled=state.get("UnitFileState") == "enabled",
                need_reload=state.get("NeedDaemonReload") == "yes",
                container=container["state"] if container else None,
                config=container["labels"].get(docker.LABEL_CONFIG) if container else None,
            )
        return found

    def _containers(self) -> list[dict[str, Any]]:
        try:
            return self.docker.containers()
        except docker.DockerError:
            # Without docker there is no container. Starting a unit will say what is wrong with docker.
            return []

    def _settled(self, names: Sequence[str]) -> dict[str, Present]:
        """Like ``look``, but a unit that is just starting is given the time to show its container."""
        until = self._clock() + _CONTAINER_SECONDS
        while True:
            found = self.look(names)
            waiting = [
                p
                for p in found.values()
                if p.container is None and (p.active == "active" or p.sub in ("start", "start-pre", "start-post"))
            ]
            if not waiting or self._clock() >= until:
                return found
            self._sleep(0.5)

    # - present -

    def present(
        self,
        units: Sequence[Mapping[str, Any]],
        secrets: Mapping[str, str],
        *,
        start: bool = True,
        enable: bool = True,
        exclusive: bool = True,
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Bring the wanted units about; returns what was done with each, and the units that were removed."""
        removed = self._remove_others([u["name"] for u in units]) if exclusive else []
        found = self._settled([u["name"] for u in units])
        if not self.systemd.present and units and not self.check:
            raise UnitsError("found no systemd (systemctl show failed); needed systemd as the host's init")
        self._refuse_strangers(units)
        report: list[dict[str, Any]] = []
        plan: list[tuple[Mapping[str, Any], str, Present, Steps]] = []
        for unit in units:
            env = _container.env_file_text(unit["environment"], secrets)
            present = found[unit["name"]]
            steps = decide(unit["content"], env, unit["config_hash"], present, start=start, enable=enable)
            steps.directories = [d for d in unit["directories"] if not os.path.isdir(d)]
            plan.append((unit, env, present, steps))
            report.append(
                {
                    "name": unit["name"],
                    "container_name": unit["container_name"],
                    "changed": bool(steps.words),
                    "steps": steps.words,
                    "reason": steps.reason,
                }
            )
        for unit, env, present, steps in plan:
            self._write(unit, env, present, steps)
        if not self.check:
            self._apply([(unit["name"], steps) for unit, _env, _present, steps in plan], bool(removed))
        return report, removed

    def _refuse_strangers(self, units: Sequence[Mapping[str, Any]]) -> None:
        """A container of the same name that is not ours would be removed by the unit: its owner decides, not we."""
        names = {u["container_name"] for u in units}
        strange = [
            "%s (image %s, %s)" % (c["name"], c["image"], c["state"])
            for c in self._containers()
            if c["name"] in names and not docker.is_managed(c["labels"])
        ]
        if strange:
            raise UnitsError(
                "found containers under our units' names that this collection did not start: %s; needed these names "
                "free. Fix: docker stop and docker rm (or docker rename) them" % ", ".join(strange)
            )

    def _write(self, unit: Mapping[str, Any], env: str, present: Present, steps: Steps) -> None:
        if steps.write_env and present.env != env:
            self.diff.append(file_diff(self.env_path(unit["name"]), present.env, env, secret=True))
        if steps.write_unit:
            self.diff.append(file_diff(self.unit_path(unit["name"]), present.content, unit["content"]))
        if self.check:
            return
        try:
            for folder in steps.directories:
                os.makedirs(folder, mode=0o755, exist_ok=True)
            if steps.write_env:
                os.makedirs(self.config_dir, mode=0o755, exist_ok=True)
                write_atomically(self.env_path(unit["name"]), env, 0o600)
            if steps.write_unit:
                # A mask is a link to /dev/null in the file's place; whoever masked the unit meant it.
                path = self.unit_path(unit["name"])
                if os.path.islink(path):
                    found = "%s is a link to %s" % (path, os.readlink(path))
                    raise UnitsError("found %s; needed a file. Fix: systemctl unmask %s" % (found, unit["name"]))
                write_atomically(path, unit["content"], 0o644)
        except OSError as exc:
            where = exc.filename or self.config_dir
            raise UnitsError("found %s: %s; needed to write there. Fix: run as root" % (where, exc.strerror))

    def _apply(self, plan: Sequence[tuple[str, Steps]], removed: bool) -> None:
        acting = [n for n, s in plan if s.action]
        restart = [n for n, s in plan if s.action == "restart"]
        if restart:
            # All old engines first, then the new ones: a new one may get the cards of another old one. And before
            # systemd reads the new files, because the old ones know what their container is called.
            self.systemd("stop", *restart, timeout=self._stop_timeout)
        if acting:
            self._remove_containers(acting)
        if removed or any(s.reload for _n, s in plan):
            self.systemd("daemon-reload", timeout=120)
        enable = [n for n, s in plan if s.enable]
        if enable:
            self.systemd("enable", "--quiet", *enable)
        if acting:
            # Neither an earlier loop of crashes nor a number of starts by hand stands in the way of this start.
            self._run(["systemctl", "reset-failed", *acting], timeout=30)
            self.systemd("start", *acting, timeout=self._stop_timeout)

    # - stopped and absent -

    def stopped(self, names: Optional[Sequence[str]], *, disable: bool = False) -> list[dict[str, Any]]:
        """Stop units (all of ours when ``names`` is None), and keep their files."""
        chosen = [u["name"] for u in deployed(self.unit_dir)] if names is None else list(names)
        report: list[dict[str, Any]] = []
        stop, off = [], []
        for name, present in self.look(chosen).items():
            if present.active not in ("inactive", "failed") or present.container:
                stop.append(name)
            if disable and present.enabled:
                off.append(name)
            words = ["stop"] * (name in stop) + ["disable"] * (name in off)
            report.append({"name": name, "changed": bool(words), "steps": words, "reason": None})
        if stop and not self.check:
            self.systemd("stop", *stop, timeout=self._stop_timeout)
            self._remove_containers(stop)
        if off and not self.check:
            self.systemd("disable", "--quiet", *off)
        return report

    def absent(self, names: Optional[Sequence[str]]) -> list[str]:
        """Remove units (all of ours when ``names`` is None) with everything that is only theirs."""
        if names is None:
            removed = self._remove_others([])
        else:
            removed = self._remove([n for n in names if self._traces(n)])
        if removed and not self.check:
            self._run(["systemctl", "daemon-reload"], timeout=120)
        return removed

    def _traces(self, name: str) -> bool:
        paths = (self.unit_path(name), self.env_path(name))
        return any(os.path.lexists(p) for p in paths) or bool(self._links([name]))

    def _remove_others(self, wanted: Sequence[str]) -> list[str]:
        """Remove whatever is ours and not wanted: units, variables, links and containers that lost their unit."""
        names = {u["name"] for u in deployed(self.unit_dir)}
        for path in glob.glob(os.path.join(glob.escape(self.config_dir), "vllm-*@*.env")):
            names.add(os.path.basename(path)[: -len(".env")] + ".service")
        for path in self._links():
            if not os.path.exists(path):
                names.add(os.path.basename(path))
        for container in self._containers():
            owner = container["labels"].get(docker.LABEL_UNIT)
            if owner and docker.is_managed(container["labels"]):
                names.add(owner)
        return self._remove(sorted(n for n in names if n not in wanted and _UNIT.match(n)))

    def _links(self, names: Optional[Iterable[str]] = None) -> list[str]:
        """The links by which targets want our units."""
        pattern = os.path.join(glob.escape(self.unit_dir), "*.wants", "vllm-*@*.service")
        links = [p for p in glob.glob(pattern) + _dangling(pattern) if os.path.islink(p)]
        return sorted({p for p in links if names is None or os.path.basename(p) in names})

    def _remove(self, names: Sequence[str]) -> list[str]:
        about = {u["name"]: u for u in deployed(self.unit_dir)}
        for name in names:
            unit_file, env_file = self.unit_path(name), self.env_path(name)
            for path, secret in ((env_file, True), (unit_file, False)):
                text = _read(path) if os.path.isfile(path) else None
                if text is not None:
                    self.diff.append(file_diff(path, text, None, secret=secret))
            if self.check:
                continue
            state = self.systemd.show([name]).get(name, {})
            if state.get("ActiveState", "inactive") not in ("inactive", "failed"):
                self.systemd("stop", name, timeout=self._stop_timeout)
            self._remove_containers([name])
            for link in self._links([name]):
                remove(link)
            for path in (*temporaries(env_file), *temporaries(unit_file), env_file):
                remove(path)
            self._remove_directory(about.get(name, {}))
            # Last, because it is what the next run finds the rest by.
            if name in about:
                remove(unit_file)
            self._run(["systemctl", "reset-failed", name], timeout=30)
        return list(names)

    def _remove_containers(self, names: Sequence[str]) -> None:
        """Remove the containers that these units, which do not run, left behind."""
        for container in self._containers():
            if container["labels"].get(docker.LABEL_UNIT) in names:
                self._run(["docker", "rm", "--force", container["id"]], timeout=120)

    def _remove_directory(self, unit: Mapping[str, Any]) -> None:
        folder, container = unit.get("directory") or "", unit.get("container_name") or ""
        ours = container and folder.endswith("/replicas/" + container) and ".." not in folder
        if ours and os.path.isdir(folder) and not os.path.islink(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _dangling(pattern: str) -> list[str]:
    # glob leaves out links whose target is gone.
    found = []
    for folder in glob.glob(os.path.dirname(pattern)):
        with os.scandir(folder) as entries:
            found += [e.path for e in entries if e.is_symlink() and _UNIT.match(e.name)]
    return found
