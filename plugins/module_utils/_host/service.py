# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small service with configuration of its own, and whether the running process has read what lies on disk.

When it starts, the unit writes down which unit it is, and the hashes of the files that are read then.
Comparing these with what is wanted shows a change also when the run that wrote it was killed before the restart.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from dataclasses import dataclass, field
from typing import Mapping, Optional, Sequence

from .._base.files import read_text, remove, write_atomically
from .systemd import Systemd

UNIT_DIR = "/etc/systemd/system"
#: Root's own: in the service's runtime folder it could put a link where root writes.
RUNTIME_DIR = "/run/ascend-fleet-services"
#: Files in its folder of the service's name: hash of the unit's text, of what is read at start, and at a reload.
_UNIT, _READ, _REREAD = "unit.sha256", "read.sha256", "reread.sha256"
_FAILING = "activating"  # it ends again and again, and systemd starts it again and again

_TEXT = """\
# Managed by ascend.fleet: changes here are overwritten. Your own settings: systemctl edit %(name)s
[Unit]
Description=%(description)s
After=network-online.target
Wants=network-online.target

[Service]
%(read)sExecStart=%(command)s
%(settings)sRestart=always
RestartSec=5
%(sandbox)s
[Install]
WantedBy=multi-user.target
"""
#: What a service may do, unless it says otherwise.
_SANDBOX = (
    "# It reads one folder and answers on one port: no user of its own, no capability, nothing that it may write.",
    "DynamicUser=yes",
    "RuntimeDirectory=NAME",
    "CapabilityBoundingSet=",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
)


@dataclass(frozen=True)
class Service:
    """What is wanted. ``files``: configuration by path. ``reads``: files that it reads when it starts, beside these.

    ``rereads``: files that it reads again at a reload, which is the signal HUP. ``settings``: more lines of the unit's
    section Service. ``sandbox``: what it may do, instead of a user of its own that may do nothing but read.
    """

    name: str
    description: str
    command: str
    files: Mapping[str, str] = field(default_factory=dict)
    reads: Sequence[str] = ()
    rereads: Sequence[str] = ()
    settings: Sequence[str] = ()
    sandbox: Sequence[str] = ()

    @property
    def unit(self) -> str:
        """The name of the unit."""
        return self.name + ".service"


def unit_text(service: Service) -> str:
    """Return the text of the service's unit, which holds its own hash."""
    plain = _unit_text(service, "")
    return _unit_text(service, hashlib.sha256(plain.encode()).hexdigest())


def unit_hash(service: Service) -> str:
    """Return the hash that the unit holds and writes down when it starts."""
    return hashlib.sha256(_unit_text(service, "").encode()).hexdigest()


def _unit_text(service: Service, digest: str) -> str:
    folder = "%s/%s" % (RUNTIME_DIR, service.name)
    commands = ["mkdir -p %s" % folder, "echo %s > %s/%s" % (digest, folder, _UNIT)]
    commands += _write_hashes([*sorted(service.files), *service.reads], "%s/%s" % (folder, _READ))
    reread = _write_hashes(service.rereads, "%s/%s" % (folder, _REREAD))
    # As root, for files that only root may read. Written before the files are read: at worst it is restarted once more.
    lines = ["ExecStartPre=+/bin/sh -c %s" % _quoted("; ".join(commands + reread))]
    if reread:
        lines += ["ExecReload=+/bin/sh -c %s" % _quoted("; ".join(reread)), "ExecReload=/bin/kill -HUP $MAINPID"]
    return _TEXT % {
        "name": service.name,
        "description": service.description,
        "command": service.command,
        "read": "".join(line + "\n" for line in lines),
        "sandbox": "".join(line + "\n" for line in service.sandbox or _sandbox(service.name)),
        "settings": "".join(line + "\n" for line in service.settings),
    }


def _sandbox(name: str) -> list[str]:
    return [line.replace("NAME", name) for line in _SANDBOX]


def _write_hashes(paths: Sequence[str], target: str) -> list[str]:
    # A file that is not there has no line, as in `hashes_of`.
    return ["sha256sum -- %s > %s 2>/dev/null || true" % (" ".join(map(shlex.quote, paths)), target)] if paths else []


def _quoted(command: str) -> str:
    """A command as one word of a unit: systemd expands % and $, and reads backslashes within quotes."""
    text = command.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"%s"' % text


def parse_hashes(text: Optional[str]) -> dict[str, str]:
    """Read the output of sha256sum: hash by path. A name with a backslash or newline in it is written escaped."""
    found = {}
    for line in (text or "").splitlines():
        digest, gap, path = line.partition("  ")
        if gap:
            found[path] = digest
    return found


@dataclass(frozen=True)
class Present:
    """What is on the host. Hashes are None where the running process left none, or nothing runs."""

    files: Mapping[str, Optional[str]]
    unit: Optional[str]
    active: str
    enabled: bool
    need_reload: bool
    unit_hash: Optional[str] = None
    read: Optional[Mapping[str, str]] = None
    reread: Optional[Mapping[str, str]] = None


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order, and why the service is started, restarted or told to read again."""

    write: tuple[str, ...] = ()
    write_unit: bool = False
    reload_systemd: bool = False
    enable: bool = False
    action: Optional[str] = None  # start | restart | reload
    reason: str = ""

    @property
    def steps(self) -> list[str]:
        """The steps in words."""
        pairs = (("write the unit", self.write_unit), ("reload systemd", self.reload_systemd), ("enable", self.enable))
        words = ["write %s" % path for path in self.write] + [word for word, needed in pairs if needed]
        return words + ([self.action] if self.action else [])


def plan(service: Service, present: Present, on_disk: Mapping[str, str], rereads_on_disk: Mapping[str, str]) -> Plan:
    """Decide what is to be done, by the hashes of ``service.reads`` and of ``service.rereads`` on disk."""
    write_unit = present.unit != unit_text(service)
    action, reason = _action(service, present, on_disk, rereads_on_disk, write_unit)
    return Plan(
        write=tuple(path for path in sorted(service.files) if present.files.get(path) != service.files[path]),
        write_unit=write_unit,
        reload_systemd=write_unit or present.need_reload,
        enable=not present.enabled,
        action=action,
        reason=reason,
    )


def _action(
    service: Service,
    present: Present,
    on_disk: Mapping[str, str],
    rereads_on_disk: Mapping[str, str],
    write_unit: bool,
) -> tuple[Optional[str], str]:
    if present.active == _FAILING and not write_unit and not present.need_reload:
        return None, ""  # systemd starts it anew with what lies on disk
    if present.active not in ("active", "reloading", _FAILING):
        return "start", "it was %s" % present.active
    if present.unit_hash != unit_hash(service):
        return "restart", "it was started by another unit"
    wanted = dict(on_disk, **{path: _sha256(text.encode()) for path, text in service.files.items()})
    if wanted and dict(present.read or {}) != wanted:
        changed = sorted(p for p in {*wanted, *(present.read or {})} if (present.read or {}).get(p) != wanted.get(p))
        return "restart", "it has not read %s as it is" % ", ".join(changed)
    if service.rereads and dict(present.reread or {}) != dict(rereads_on_disk):
        return "reload", "it has not read %s as it is" % ", ".join(service.rereads)
    return None, ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hashes_of(paths: Sequence[str]) -> dict[str, str]:
    """Return the hashes of files by path; one that is not there has none."""
    found = {}
    for path in paths:
        digest = hashlib.sha256()
        try:
            with open(path, "rb") as handle:
                for chunk in iter(lambda: handle.read(1024 * 1024), b""):
                    digest.update(chunk)
        except FileNotFoundError:
            continue
        found[path] = digest.hexdigest()
    return found


class ServiceHost:
    """The services of this host. Raises SystemdError and OSError."""

    def __init__(self, systemd: Systemd, unit_dir: str = UNIT_DIR, runtime_dir: str = RUNTIME_DIR) -> None:
        self._systemd = systemd
        self._unit_dir = unit_dir
        self._runtime_dir = runtime_dir

    def present(self, service: Service) -> Present:
        """Look at what is there."""
        state = self._systemd.show([service.unit])[service.unit]
        runs = state.get("ActiveState", "inactive")
        folder = os.path.join(self._runtime_dir, service.name)
        read, reread = (read_text(os.path.join(folder, name)) for name in (_READ, _REREAD))
        return Present(
            files={path: read_text(path, "surrogateescape") for path in service.files},
            unit=read_text(os.path.join(self._unit_dir, service.unit), "surrogateescape"),
            active=runs,
            enabled=state.get("UnitFileState") == "enabled",
            need_reload=state.get("NeedDaemonReload") == "yes",
            unit_hash=(read_text(os.path.join(folder, _UNIT)) or "").strip() or None,
            read=None if read is None else parse_hashes(read),
            reread=None if reread is None else parse_hashes(reread),
        )

    def plan(self, service: Service, present: Present) -> Plan:
        """Decide what is to be done."""
        return plan(service, present, hashes_of(service.reads), hashes_of(service.rereads))

    def carry_out(self, service: Service, todo: Plan) -> None:
        """Do it. Every step can be repeated after a kill: what runs is compared again by the next run."""
        for path in todo.write:
            write_atomically(path, service.files[path], 0o644, folder_mode=0o755)
        if todo.write_unit:
            write_atomically(os.path.join(self._unit_dir, service.unit), unit_text(service), 0o644)
        if todo.reload_systemd:
            self._systemd.reload()
        if todo.enable:
            self._systemd.enable([service.unit])
        if todo.action == "start":
            self._systemd.start([service.unit])
        elif todo.action == "restart":
            self._systemd.restart([service.unit])
        elif todo.action == "reload":
            self._systemd.reload_units([service.unit])

    def to_remove(self, name: str, files: Sequence[str] = ()) -> list[str]:
        """What there is of a service: its unit, and these files. Its unit may still be in memory without its file."""
        paths = [os.path.join(self._unit_dir, name + ".service"), *files]
        found = [path for path in paths if os.path.lexists(path)]
        state = self._systemd.show([name + ".service"])[name + ".service"]
        running = state.get("ActiveState", "inactive") not in ("inactive", "failed")
        return [*([name + ".service"] if running else []), *found]

    def remove(self, name: str, files: Sequence[str] = ()) -> None:
        """Stop a service, and remove its unit and these files. What is not there is removed."""
        unit, path = name + ".service", os.path.join(self._unit_dir, name + ".service")
        if not self.to_remove(name, files):
            return
        state = self._systemd.show([unit])[unit]
        if state.get("ActiveState", "inactive") not in ("inactive", "failed"):
            self._systemd.stop([unit], timeout=120)
        if state.get("UnitFileState") == "enabled":
            self._systemd.disable([unit])
        for other in files:
            remove(other)
        remove(path)  # the last: by it the next run finds the rest
        self._systemd.reload()
        self._systemd.reset_failed([unit])
        shutil.rmtree(os.path.join(self._runtime_dir, name), ignore_errors=True)
