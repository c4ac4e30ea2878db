# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service is restarted when what runs has not read what is wanted, whoever wrote that, and whenever."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base import command
from ansible_collections.ascend.fleet.plugins.module_utils._host import service as _service
from ansible_collections.ascend.fleet.plugins.module_utils._host.service import Service, ServiceHost
from ansible_collections.ascend.fleet.plugins.module_utils._host.systemd import Systemd


class Killed(BaseException):
    pass


class Host:
    """systemd with one unit, whose process reads its files when it starts, and HUP's files when it is told to."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = base
        self.units, self.run_dir = base / "units", base / "run"
        self.units.mkdir()
        self.configuration, self.key, self.listing = base / "etc" / "web.conf", base / "key", base / "listing"
        self.key.write_text("key")
        self.listing.write_text("one")
        monkeypatch.setattr(_service, "RUNTIME_DIR", str(self.run_dir))
        self.active, self.enabled = "inactive", False
        self.loaded = ""  # the unit's text as systemd has read it
        self.has_read: list[str] = []
        self.done: list[str] = []
        self.killed_before = ""

    def service(self, text: str = "port 1\n", command_line: str = "/usr/sbin/web") -> Service:
        return Service(
            "web", "A server", command_line, {str(self.configuration): text}, [str(self.key)], [str(self.listing)]
        )

    def __call__(self, argv: list[str], **options: Any) -> command.Completed:
        verb, text = argv[1], ""
        if verb != "show":
            if verb == self.killed_before:
                raise Killed
            self.done.append(verb)
        path = self.units / "web.service"
        if verb == "show":
            pending = path.exists() and path.read_text() != self.loaded
            text = "Id=web.service\nActiveState=%s\nUnitFileState=%s\nNeedDaemonReload=%s\n" % (
                self.active,
                "enabled" if self.enabled else "disabled",
                "yes" if pending and self.loaded else "no",
            )
        elif verb == "daemon-reload":
            self.loaded = path.read_text() if path.exists() else ""
        elif verb in ("enable", "disable"):
            self.enabled = verb == "enable"
        elif verb in ("stop", "reset-failed"):
            self.active = "inactive"
        elif verb in ("start", "restart"):
            self.loaded = self.loaded or path.read_text()  # a unit that it does not know yet
            self.execute("ExecStartPre")
            self.active = "active"
            self.has_read = [self.configuration.read_text(), self.key.read_text(), self.listing.read_text()]
        elif verb == "reload":
            self.execute("ExecReload")
            self.has_read[2] = self.listing.read_text()
        else:
            raise AssertionError(argv)
        return command.Completed(tuple(argv), 0, text, "", False)

    def execute(self, key: str) -> None:
        """Run a unit's shell command as systemd does: quoted once, with $$ and %% for $ and %."""
        for line in self.loaded.splitlines():
            if line.startswith(key + "=+"):
                shell = line.partition("-c ")[2][1:-1].replace('\\"', '"').replace("\\\\", "\\")
                subprocess.run(["/bin/sh", "-c", shell.replace("$$", "$").replace("%%", "%")], check=True)

    def ensure(self, service: Service) -> list[str]:
        """What the module does; returns the steps."""
        host = ServiceHost(Systemd(run=self), str(self.units), str(self.run_dir))
        plan = host.plan(service, host.present(service))
        host.carry_out(service, plan)
        return plan.steps


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_the_first_run_starts_it_and_the_second_does_nothing(host: Host) -> None:
    assert host.ensure(host.service())[-2:] == ["enable", "start"]
    assert host.has_read == ["port 1\n", "key", "one"]
    host.done.clear()
    assert host.ensure(host.service()) == []
    assert host.done == []


@pytest.mark.parametrize("moment", ["daemon-reload", "enable", "restart", "start"])
@pytest.mark.parametrize("change", ["configuration", "command", "first"])
def test_a_run_that_was_killed_is_completed_by_the_next(host: Host, change: str, moment: str) -> None:
    wanted = host.service()
    if change != "first":
        host.ensure(wanted)
        wanted = host.service("port 2\n") if change == "configuration" else host.service(command_line="/usr/sbin/new")
    host.killed_before = moment
    try:
        host.ensure(wanted)
    except Killed:
        pass
    host.killed_before = ""
    host.ensure(wanted)
    assert host.active == "active"
    assert host.loaded == _service.unit_text(wanted)
    assert host.has_read[0] == wanted.files[str(host.configuration)]
    assert host.enabled
    assert host.ensure(wanted) == []


def test_systemd_started_it_between_the_new_unit_and_its_reload(host: Host) -> None:
    """A crash at a bad moment: the old unit has started the process, and the new configuration lies on disk."""
    host.ensure(host.service())
    wanted = host.service(command_line="/usr/sbin/new")
    host.killed_before = "daemon-reload"
    with pytest.raises(Killed):
        host.ensure(wanted)
    host.killed_before = ""
    host(["systemctl", "restart"])  # with the unit that systemd knows
    host(["systemctl", "daemon-reload"])  # by somebody else
    assert host.ensure(wanted) == ["restart"]


def test_a_file_that_only_root_may_read_is_noticed_when_it_changes(host: Host) -> None:
    host.ensure(host.service())
    host.key.write_text("renewed")
    assert host.ensure(host.service()) == ["restart"]
    assert host.has_read[1] == "renewed"
    host.key.unlink()
    host.key.write_text("renewed")
    os.utime(host.key, (1, 1))
    assert host.ensure(host.service()) == []


@pytest.mark.parametrize("moment", ["", "stop", "disable", "daemon-reload"])
def test_a_service_is_removed_also_by_the_run_after_one_that_was_killed(host: Host, moment: str) -> None:
    host.ensure(host.service())
    services = ServiceHost(Systemd(run=host), str(host.units), str(host.run_dir))
    unit, files = str(host.units / "web.service"), [str(host.configuration)]
    assert services.to_remove("web", files) == ["web.service", unit, *files]
    host.killed_before = moment
    try:
        services.remove("web", files)
    except Killed:
        pass
    host.killed_before = ""
    services.remove("web", files)
    assert services.to_remove("web", files) == []
    assert (host.active, host.enabled) == ("inactive", False)
    host.done.clear()
    services.remove("web", files)
    assert host.done == []


def test_what_is_read_again_at_a_reload_takes_no_restart(host: Host) -> None:
    host.ensure(host.service())
    host.listing.write_text("one two")
    host.killed_before = "reload"
    with pytest.raises(Killed):
        host.ensure(host.service())
    host.killed_before = ""
    assert host.ensure(host.service()) == ["reload"]
    assert host.has_read[2] == "one two"
    assert host.ensure(host.service()) == []


def test_a_service_of_a_former_version_is_restarted_once(host: Host) -> None:
    host.ensure(host.service())
    for left in (host.run_dir / "web").iterdir():
        left.unlink()
    assert host.ensure(host.service()) == ["restart"]
    assert host.ensure(host.service()) == []


def test_a_service_that_fails_again_and_again_is_left_to_systemd(host: Host) -> None:
    host.ensure(host.service())
    host.active = "activating"
    assert host.ensure(host.service()) == []
    assert host.ensure(host.service("port 2\n")) == ["write %s" % host.configuration]
    assert host.ensure(host.service(command_line="/usr/sbin/new"))[-1] == "restart"


def test_a_unit_is_written_for_systemd() -> None:
    service = Service("web", "A server", "/bin/web", {"/etc/a b.conf": ""}, settings=["RuntimeDirectoryMode=0700"])
    text = _service.unit_text(service)
    assert "'/etc/a b.conf'" in text
    assert _service.unit_hash(service) in text
    assert "\nRuntimeDirectoryMode=0700\n" in text
    assert "ExecReload" not in text
    assert _service._quoted('echo "$HOME" 5%') == '"echo \\"$$HOME\\" 5%%"'
