# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway is touched by what it runs with, and nothing is written before everything was checked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base import command
from ansible_collections.ascend.fleet.plugins.module_utils._host.haproxy import HaproxyError
from ansible_collections.ascend.fleet.plugins.module_utils._serving import gateway_config, gateway_host
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_config import Front, Places
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_host import GatewayHost, Wanted
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_plan import HostPart, Server
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_unit import UNIT
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import ServingError

VERSION = "HAProxy version 2.6.12-1+deb12u4 2026/10/17\nBuilt with the Prometheus exporter as a service\n"
SHA = hashlib.sha256(b"key").hexdigest()


class Machine:
    """systemd, HAProxy's runtime socket and HAProxy's own check, with one gateway that loads what lies on disk."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.places = Places(str(base / "etc"), str(base / "sock"), str(base / "var" / "servers.state"))
        self.active, self.enabled, self.loaded = "inactive", "disabled", ""
        self.keys: dict[str, str] = {}
        self.pending = ""
        self.done: list[str] = []
        self.version, self.refuses = VERSION, ""
        (base / "bin").mkdir()
        (base / "units").mkdir()
        program = base / "bin" / "haproxy"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        self.host = GatewayHost(
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            python="/usr/bin/python3",
            places=self.places,
            unit_dir=str(base / "units"),
            program=str(base / "etc" / "state.py"),
            run=self.run,
            search=[str(base / "bin")],
        )

    # systemd
    def show(self, names):
        return {n: {"Id": n, "ActiveState": self.active, "UnitFileState": self.enabled} for n in names}

    def reload(self):
        self.done.append("daemon-reload")

    def enable(self, _names):
        self.enabled = "enabled"

    def disable(self, _names):
        self.enabled = "disabled"

    def reset_failed(self, _names):
        pass

    def _load(self, word):
        self.done.append(word)
        self.active, self.loaded = "active", Path(self.places.config).read_text(encoding="utf-8")
        if Path(self.places.keys).exists():
            self.keys = gateway_config.parse_keys(Path(self.places.keys).read_text(encoding="utf-8"))

    def start(self, _names):
        self._load("start")

    def restart(self, _names):
        self._load("restart")

    def reload_units(self, _names):
        self._load("reload")

    def stop(self, _names, timeout):
        self.done.append("stop")
        self.active = "inactive"

    # HAProxy
    def info(self):
        return {"Version": "2.6", "description": "ascend.fleet gateway " + gateway_config.running_hash(self.loaded)}

    def ask(self, text, payload="", *, secret=False):
        if text.startswith("show map"):
            return "".join("0x1 %s %s\n" % (digest, name) for name, digest in self.keys.items())
        assert text.startswith("prepare map")
        return "New version created: 4\n"

    def do(self, text, payload="", *, secret=False):
        self.done.append(" ".join(text.split()[:3]))
        if text.startswith("add map @4 "):
            assert secret
            self.pending = payload
        else:
            assert text.startswith("commit map @4 ")
            self.keys = gateway_config.parse_keys(self.pending)

    def run(self, argv, timeout):
        if "-vv" in argv:
            return command.Completed(tuple(argv), 0, self.version, "", False)
        self.done.append("check")
        assert "bind" in Path(argv[-1]).read_text(encoding="utf-8")
        return command.Completed(tuple(argv), 1 if self.refuses else 0, "", self.refuses, False)

    def bring_about(self, wanted):
        present = self.host.present()
        pools, todo = self.host.plan(wanted, present)
        self.host.check(wanted, pools)
        self.host.carry_out(todo)
        return todo


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def wanted(*hosts, keys=None, known=True, **front):
    hosts = hosts or ("a2-1",)
    parts = [HostPart(h, "qwen3.5", 8000, "", (Server(h, 0, h, 8010, 128),), known) for h in hosts]
    front.setdefault("metrics_address", "127.0.0.1:8405")
    settings = Front(paths=("/v1/models",), has_keys=keys is not None, **front)
    return Wanted(parts, settings, keys or {}, "", "# the program\n")


def test_a_host_without_a_gateway_gets_one_and_then_nothing_is_done(machine):
    todo = machine.bring_about(wanted())
    assert todo.action == "start"
    assert todo.steps[-2:] == ["enable", "start"]
    assert machine.done == ["check", "daemon-reload", "start"]
    assert Path(machine.places.config).stat().st_mode & 0o777 == 0o600
    again = machine.bring_about(wanted())
    assert (again.steps, again.reason) == ([], "")


def test_a_change_is_a_reload_and_no_restart(machine):
    machine.bring_about(wanted())
    todo = machine.bring_about(wanted("a2-1", "a2-2"))
    assert (todo.action, todo.reason) == ("reload", "it has not loaded this configuration")
    assert "restart" not in machine.done


def test_a_run_that_was_killed_before_the_reload_is_completed(machine):
    machine.bring_about(wanted())
    present = machine.host.present()
    _pools, todo = machine.host.plan(wanted("a2-2"), present)
    Path(machine.places.config).write_text(todo.files[machine.places.config])
    after = machine.bring_about(wanted("a2-2"))
    assert (after.write, after.action) == ((), "reload")


def test_hosts_that_were_not_asked_keep_their_servers(machine):
    machine.bring_about(wanted("a2-1", "a2-2"))
    pools, todo = machine.host.plan(wanted("a2-1", "a2-2", known=False), machine.host.present())
    assert (todo.steps, pools.kept) == ([], ("a2-1", "a2-2"))


def test_a_host_that_is_gone_loses_its_servers_with_a_reload_and_so_may_the_last_one(machine):
    machine.bring_about(wanted("a2-1", "a2-2"))
    after = wanted("a2-1", "a2-2")
    gone = [replace(part, servers=()) for part in after.parts]
    todo = machine.bring_about(replace(after, parts=[after.parts[0], gone[1]]))
    assert todo.action == "reload"
    assert "a2-2:0" not in Path(machine.places.config).read_text(encoding="utf-8")
    with pytest.raises(ServingError, match="no replica that the gateway could stand before"):
        machine.bring_about(replace(after, parts=gone))
    machine.bring_about(replace(after, parts=gone, may_be_empty=True))
    assert "    server " not in Path(machine.places.config).read_text(encoding="utf-8")


def test_keys_are_added_and_revoked_without_a_reload(machine):
    machine.bring_about(wanted(keys={"team-a": SHA}))
    machine.done.clear()
    other = hashlib.sha256(b"other").hexdigest()
    todo = machine.bring_about(wanted(keys={"team-b": other}))
    assert todo.steps == ["write %s" % machine.places.keys, "tell the running gateway its keys"]
    assert machine.done == ["check", "add map @4", "commit map @4"]
    assert machine.keys == {"team-b": other.upper()}
    assert SHA.upper() not in Path(machine.places.keys).read_text(encoding="utf-8")
    # A run that was killed between file and process is completed.
    machine.keys = {}
    assert machine.bring_about(wanted(keys={"team-b": other})).action == "keys"


def test_keys_that_are_not_wanted_any_more_leave_no_file(machine):
    machine.bring_about(wanted(keys={"team-a": SHA}))
    todo = machine.bring_about(wanted())
    assert "remove %s" % machine.places.keys in todo.steps
    assert not Path(machine.places.keys).exists()


def test_what_haproxy_refuses_is_not_written(machine):
    machine.refuses = "[ALERT]    (12) : config : unable to load certificate from file\n[ALERT] (12) : Fatal errors\n"
    with pytest.raises(ServingError, match=r"HAProxy refuses: config : unable to load.*Nothing was changed"):
        machine.bring_about(wanted())
    assert not Path(machine.places.config).exists()


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("HA-Proxy version 2.2.9-2 2021\n", "found HAProxy 2.2; needed 2.4 or later"),
        ("HAProxy version 2.6.12\n", "without its Prometheus exporter"),
        ("what\n", "needed HAProxy's version"),
    ],
)
def test_an_unfit_haproxy_is_named(machine, version, words):
    machine.version = version
    with pytest.raises(ServingError, match=words):
        machine.bring_about(wanted())


def test_a_host_without_haproxy_is_told_what_to_install(machine, monkeypatch):
    (machine.base / "bin" / "haproxy").unlink()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServingError, match=r"found no haproxy; .*install the package haproxy"):
        machine.bring_about(wanted())


def test_a_gateway_that_ends_again_and_again_is_restarted(machine):
    machine.active = "activating"
    assert machine.bring_about(wanted()).action == "restart"


def test_a_configuration_that_is_not_loaded_is_an_error(machine, monkeypatch):
    monkeypatch.setattr(gateway_host, "_LOAD_SECONDS", 0.3)
    machine.bring_about(wanted())
    monkeypatch.setattr(machine, "_load", lambda word: None)
    with pytest.raises(ServingError, match=r"has not loaded its configuration.*journalctl -u ascend-fleet-gateway"):
        machine.bring_about(wanted("a2-2"))


def test_a_running_gateway_that_does_not_answer_is_an_error(machine, monkeypatch):
    machine.bring_about(wanted())

    def silent():
        raise HaproxyError("no answer", listening=False)

    monkeypatch.setattr(machine, "info", silent)
    with pytest.raises(HaproxyError):
        machine.host.present()


def test_absent_leaves_nothing_and_is_done_once(machine):
    machine.bring_about(wanted(keys={"team-a": SHA}))
    assert machine.host.absent(check=True)[0] == "stop"
    assert Path(machine.places.config).exists()
    machine.host.absent(check=False)
    assert not Path(machine.places.folder).exists()
    assert not (machine.base / "units" / UNIT).exists()
    assert machine.host.absent(check=False) == []
