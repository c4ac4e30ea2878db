# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway of this host: what is there, what is to be done, and doing it.

Decided by what the running HAProxy says that it has loaded, not by what this run has written: a run that was killed
half-way is completed by the next one, and a gateway that runs as wanted is not touched.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from typing import Callable, Mapping, Optional, Sequence

from .._base import command
from .._base.files import read_text, write_atomically
from .._host.haproxy import Haproxy, HaproxyError
from .._host.systemd import Systemd
from . import gateway_config as config
from .gateway_plan import GatewayPlan, HostPart, Pool, merge
from .gateway_unit import PROGRAM, UNIT, UNIT_DIR, unit_text
from .settings import ServingError

_SEARCH = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin")
_LEAST_VERSION = (2, 4)
_VERSION = re.compile(r"HAProxy version (\d+)\.(\d+)|HA-Proxy version (\d+)\.(\d+)")
_RUNS = ("active", "reloading")
_LOAD_SECONDS = 30.0


@dataclass(frozen=True)
class Wanted:
    """What is wanted of the gateway. ``keys``: the SHA-256 of each key by its name. ``program``: gateway_state.py.

    ``may_be_empty``: whether it may stand before no replica at all, as when the last ones have just been removed.
    """

    parts: Sequence[HostPart]
    front: config.Front
    keys: Mapping[str, str] = field(default_factory=dict)
    certificate: str = ""
    program: str = ""
    may_be_empty: bool = False


@dataclass(frozen=True)
class Present:
    """What is on the host. ``loaded`` and ``keys`` are what the running HAProxy says; None where none runs."""

    files: Mapping[str, Optional[str]]
    active: str
    enabled: bool
    need_reload: bool
    loaded: Optional[str] = None
    keys: Optional[Mapping[str, str]] = None


@dataclass(frozen=True)
class Todo:
    """What is to be done. ``action``: start, restart, reload, keys (at run time), or None."""

    files: Mapping[str, str]
    write: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    reload_systemd: bool = False
    enable: bool = False
    action: Optional[str] = None
    reason: str = ""
    hash: str = ""

    @property
    def steps(self) -> list[str]:
        """The steps in words, in their order."""
        words = ["write %s" % path for path in self.write] + ["remove %s" % path for path in self.remove]
        words += ["reload systemd"] if self.reload_systemd else []
        words += ["enable"] if self.enable else []
        names = {"keys": "tell the running gateway its keys"}
        return words + ([names.get(self.action, self.action)] if self.action else [])


class GatewayHost:
    """The gateway of this host. Raises ServingError, SystemdError, HaproxyError and OSError."""

    def __init__(
        self,
        systemd: Systemd,
        runtime: Haproxy,
        *,
        python: str,
        places: config.Places = config.PLACES,
        unit_dir: str = UNIT_DIR,
        program: str = PROGRAM,
        run: Callable[..., command.Completed] = command.run,
        search: Sequence[str] = _SEARCH,
    ) -> None:
        self._systemd = systemd
        self._runtime = runtime
        self._python = python
        self._places = places
        self._unit_path = os.path.join(unit_dir, UNIT)
        self._program = program
        self._run = run
        self._search = search

    # - what is there -

    def haproxy(self) -> Optional[str]:
        """Where HAProxy lies; None where it is not installed."""
        return shutil.which("haproxy", path=os.pathsep.join([*self._search, os.environ.get("PATH", "")]))

    def present(self) -> Present:
        """Look at what is there."""
        state = self._systemd.show([UNIT])[UNIT]
        active = state.get("ActiveState", "inactive")
        loaded: Optional[str] = None
        keys: Optional[Mapping[str, str]] = None
        deployed = read_text(self._places.config, "surrogateescape")
        if active in _RUNS:
            loaded = config.running_hash(_description(self._runtime))
            if self._places.keys in (deployed or ""):
                keys = self._running_keys()
        paths = (self._places.config, self._places.keys, self._places.certificate, self._program, self._unit_path)
        return Present(
            files={path: read_text(path, "surrogateescape") for path in paths},
            active=active,
            enabled=state.get("UnitFileState") == "enabled",
            need_reload=state.get("NeedDaemonReload") == "yes",
            loaded=loaded,
            keys=keys,
        )

    def _running_keys(self) -> Optional[dict[str, str]]:
        try:
            return config.parse_keys(self._runtime.ask("show map %s" % self._places.keys, secret=True))
        except HaproxyError as exc:
            if not exc.listening:
                raise
            return None  # it runs with a configuration that has no keys

    def deployed(self, present: Present) -> list[Pool]:
        """The pools of the configuration that lies on the host."""
        return config.parse_pools(present.files[self._places.config] or "")

    # - what is to be done -

    def plan(self, wanted: Wanted, present: Present) -> tuple[GatewayPlan, Todo]:
        """The pools, and what brings them about. ServingError for what cannot be."""
        pools = merge(wanted.parts, self.deployed(present))
        if not wanted.may_be_empty and not any(pool.servers for pool in pools.pools):
            raise ServingError(
                "found no replica that the gateway could stand before; needed one at least. Fix: put NPU hosts into "
                "the group npu_hosts"
            )
        text = config.config_text(pools.pools, wanted.front, self._places, files_hash=_files_hash(wanted))
        files = {self._program: wanted.program, self._places.config: text}
        if wanted.front.has_keys:
            files[self._places.keys] = config.keys_text(wanted.keys)
        if wanted.certificate:
            files[self._places.certificate] = wanted.certificate
        files[self._unit_path] = unit_text(self.haproxy() or "/usr/sbin/haproxy", self._python, self._places)
        # The configuration comes last: until then, what starts by chance starts with what it names.
        order = sorted(files, key=lambda path: path == self._places.config)
        write = tuple(path for path in order if present.files.get(path) != files[path])
        wanted_hash = config.running_hash(text)
        action, reason = _action(wanted, present, wanted_hash)
        return pools, Todo(
            files=files,
            write=write,
            remove=tuple(
                p for p in (self._places.keys, self._places.certificate) if present.files[p] and p not in files
            ),
            reload_systemd=self._unit_path in write or present.need_reload,
            enable=not present.enabled,
            action=action,
            reason=reason,
            hash=wanted_hash,
        )

    def check(self, wanted: Wanted, pools: GatewayPlan) -> None:
        """Have HAProxy itself check the configuration, in a folder that goes again. ServingError with its words."""
        program = self.haproxy()
        if program is None:
            raise ServingError(
                "found no haproxy; needed it on the gateway. Fix: install the package haproxy, or let the role do it "
                "(vllm_gateway_packages)"
            )
        self._check_version(program, wanted.front)
        with tempfile.TemporaryDirectory(prefix="ascend-fleet-gateway-") as folder:
            places = config.Places(folder, folder + "/admin.sock", folder + "/servers.state")
            text = config.config_text(pools.pools, wanted.front, places)
            files = {places.config: text, places.state: "", places.keys: config.keys_text(wanted.keys)}
            if wanted.certificate:
                files[places.certificate] = wanted.certificate
            for path, content in files.items():
                write_atomically(path, content, 0o600, durable=False)
            done = self._run([program, "-c", "-f", places.config], timeout=60)
        if not done.ok:
            said = [line for line in (done.stdout + done.stderr).splitlines() if "[ALERT]" in line]
            words = "; ".join(re.sub(r"^\[ALERT\]\s*\(\d+\)\s*:\s*", "", line) for line in said) or done.describe()
            raise ServingError(
                "found a configuration that HAProxy refuses: %s; needed one that it takes. Nothing was changed. Fix: "
                "correct the variable of vllm_gateway that is named; a certificate must belong to its key"
                % words.replace(folder, self._places.folder)
            )

    def _check_version(self, program: str, front: config.Front) -> None:
        done = self._run([program, "-vv"], timeout=30)
        found = _VERSION.search(done.stdout)
        if not done.ok or not found:
            raise ServingError("found: %s; needed HAProxy's version. Fix: repair the package" % done.describe())
        version = tuple(int(n) for n in found.groups() if n is not None)
        if version < _LEAST_VERSION:
            raise ServingError(
                "found HAProxy %d.%d; needed %d.%d or later. Fix: install a later haproxy on this host, or put another "
                "host into the group gateways" % (*version, *_LEAST_VERSION)
            )
        if front.metrics_address and "rometheus" not in done.stdout and "PROMEX" not in done.stdout:
            raise ServingError(
                "found a HAProxy without its Prometheus exporter; needed one for vllm_gateway_metrics_address. Fix: "
                'set it to "", or install a haproxy that is built with USE_PROMEX'
            )

    # - doing it -

    def carry_out(self, todo: Todo) -> None:
        """Do it. Every step can be repeated after a kill: what runs is compared again by the next run."""
        os.makedirs(self._places.folder, mode=0o700, exist_ok=True)
        os.makedirs(os.path.dirname(self._places.state), mode=0o700, exist_ok=True)
        for path in todo.write:
            write_atomically(path, todo.files[path], 0o644 if path == self._unit_path else 0o600)
        if todo.reload_systemd:
            self._systemd.reload()
        if todo.enable:
            self._systemd.enable([UNIT])
        if todo.action == "start":
            self._systemd.reset_failed([UNIT])
            self._systemd.start([UNIT])
        elif todo.action == "restart":
            self._systemd.restart([UNIT])
        elif todo.action == "reload":
            self._systemd.reload_units([UNIT])
        elif todo.action == "keys":
            self._commit_keys(todo.files[self._places.keys])
        if todo.action in ("start", "restart", "reload"):
            self._wait_until_loaded(todo.hash)
        for path in todo.remove:
            os.unlink(path)

    def _commit_keys(self, text: str) -> None:
        """All keys at once: a client never meets a half of them."""
        said = self._runtime.ask("prepare map %s" % self._places.keys)
        version = re.search(r"New version created: (\d+)", said)
        if not version:
            raise ServingError("found %r for `prepare map`; needed a new version. Fix: run this again" % said)
        at = "@%s %s" % (version.group(1), self._places.keys)
        if text:
            self._runtime.do("add map %s" % at, text, secret=True)
        self._runtime.do("commit map %s" % at)

    def _wait_until_loaded(self, wanted: str) -> None:
        until = time.monotonic() + _LOAD_SECONDS
        found = ""
        while time.monotonic() < until:
            try:
                found = config.running_hash(_description(self._runtime))
            except HaproxyError as exc:
                found = str(exc)  # between two processes nobody may answer
            if found == wanted:
                return
            time.sleep(0.2)
        raise ServingError(
            "found that HAProxy has not loaded its configuration after %d s (it says: %s); needed it running with it. "
            "The former process goes on where there was one. Fix: see `journalctl -u %s -n 50`"
            % (_LOAD_SECONDS, found or "nothing", UNIT)
        )

    def absent(self, *, check: bool) -> list[str]:
        """Take the gateway off this host; return what was done."""
        state = self._systemd.show([UNIT])[UNIT]
        folders = [f for f in (self._places.folder, os.path.dirname(self._places.state)) if os.path.isdir(f)]
        steps = []
        if state.get("ActiveState") not in ("inactive", "failed", None):
            steps.append("stop")
        if os.path.exists(self._unit_path):
            steps.append("remove %s" % self._unit_path)
        steps += ["remove %s" % folder for folder in folders]
        if check:
            return steps
        if "stop" in steps:
            self._systemd.stop([UNIT], timeout=60)
        if os.path.exists(self._unit_path):
            if state.get("UnitFileState") == "enabled":
                self._systemd.disable([UNIT])
            os.unlink(self._unit_path)
            self._systemd.reload()
        for folder in folders:
            shutil.rmtree(folder)
        return steps


def _action(wanted: Wanted, present: Present, wanted_hash: str) -> tuple[Optional[str], str]:
    if present.active == "activating":
        return "restart", "it ends again and again"
    if present.active not in _RUNS:
        return "start", "it was %s" % present.active
    if present.loaded != wanted_hash:
        return "reload", "it has not loaded this configuration"
    if wanted.front.has_keys and present.keys != {name: digest.upper() for name, digest in wanted.keys.items()}:
        return "keys", "it knows other keys"
    return None, ""


def _files_hash(wanted: Wanted) -> str:
    """What a reload reads beside the configuration. Keys are not of it: the running process is told of them."""
    return hashlib.sha256(wanted.certificate.encode()).hexdigest() if wanted.certificate else ""


def _description(runtime: Haproxy) -> str:
    found = {name.lower(): value for name, value in runtime.info().items()}
    return found.get("description", "")
