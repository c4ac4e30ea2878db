# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units on a host whose systemd and docker are a few lines of memory, and which can die at any command."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._host import systemd
from ansible_collections.ascend.fleet.plugins.module_utils._serving import container as _container
from ansible_collections.ascend.fleet.plugins.module_utils._serving import plan, unit_file
from ansible_collections.ascend.fleet.plugins.module_utils._serving import units as _units


class Killed(BaseException):
    """The run dies here, as with kill -9."""


class Machine:
    """systemd and docker as far as units need them. ``die_at`` kills the run before that many commands were done."""

    def __init__(self, root: Path) -> None:
        self.unit_dir = root / "systemd"
        self.config_dir = root / "config"
        self.unit_dir.mkdir()
        self.active: dict[str, str] = {}
        self.loaded: dict[str, str] = {}
        self.containers: dict[str, dict] = {}
        self.starts: list[str] = []
        self.commands: list[list[str]] = []
        self.die_at: int | None = None
        self.has_docker = True
        self.has_systemd = True
        self.fails: dict[str, str] = {}

    def step(self):
        if self.die_at is not None:
            if self.die_at == 0:
                raise Killed
            self.die_at -= 1

    def run(self, argv, *, timeout, **_more):
        self.step()
        self.commands.append(list(argv))
        words = " ".join(argv)
        for pattern, error in self.fails.items():
            if pattern in words:
                return Completed(tuple(argv), 1, "", error, False)
        if argv[0] == "systemctl":
            if not self.has_systemd:
                return Completed(tuple(argv), 127, "", "not found", False)
            return self.systemctl(argv)
        if not self.has_docker:
            return Completed(tuple(argv), 127, "", "not found", False)
        return self.docker(argv)

    def systemctl(self, argv):
        names = [a for a in argv if a.endswith(".service")]
        out = ""
        if argv[1] == "show":
            out = "\n".join(self.show(n) for n in names)
        elif argv[1] == "daemon-reload":
            for name in list(self.loaded):
                self.loaded[name] = self.text(name)
        elif argv[1] == "enable":
            wants = self.unit_dir / "multi-user.target.wants"
            wants.mkdir(exist_ok=True)
            for name in names:
                if not (wants / name).is_symlink():
                    (wants / name).symlink_to(self.unit_dir / name)
        elif argv[1] == "disable":
            for name in names:
                self.link(name).unlink()
        elif argv[1] == "start":
            for name in names:
                if self.active.get(name) != "active":
                    self.start(name)
        elif argv[1] == "stop":
            for name in names:
                self.active[name] = "inactive"
                for key in [k for k, c in self.containers.items() if c["unit"] == name]:
                    del self.containers[key]
        return Completed(tuple(argv), 0, out, "", False)

    def link(self, name):
        return self.unit_dir / "multi-user.target.wants" / name

    def text(self, name):
        path = self.unit_dir / name
        return path.read_text() if path.exists() else ""

    def start(self, name):
        self.loaded.setdefault(name, self.text(name))
        self.active[name] = "active"
        self.starts.append(name)
        text = self.loaded[name]
        config = text.split("ascend.fleet.config=")[1].split()[0]
        container = text.split("--name=")[1].split()[0]
        self.containers[container] = {"unit": name, "config": config, "state": "running", "managed": "true"}

    def show(self, name):
        stale = name in self.loaded and self.loaded[name] != self.text(name)
        values = {
            "Id": name,
            "LoadState": "loaded" if self.text(name) else "not-found",
            "ActiveState": self.active.get(name, "inactive"),
            "SubState": "running" if self.active.get(name) == "active" else "dead",
            "UnitFileState": "enabled" if self.link(name).is_symlink() else "disabled",
            "NeedDaemonReload": "yes" if stale else "no",
        }
        return "".join("%s=%s\n" % pair for pair in values.items())

    def docker(self, argv):
        if "ps" in argv:
            return Completed(tuple(argv), 0, "\n".join(self.containers), "", False)
        if "inspect" in argv:
            found = [
                {
                    "Id": name,
                    "Name": "/" + name,
                    "State": {"Status": c["state"]},
                    "Config": {
                        "Image": "image",
                        "Labels": {
                            "ascend.fleet.managed": c["managed"],
                            "ascend.fleet.unit": c["unit"],
                            "ascend.fleet.config": c["config"],
                        },
                    },
                }
                for name, c in self.containers.items()
                if name in argv
            ]
            return Completed(tuple(argv), 0, json.dumps(found), "", False)
        if "rm" in argv:
            self.containers.pop(argv[-1], None)
        return Completed(tuple(argv), 0, "", "", False)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    found = Machine(tmp_path)
    # A write to disk is a step of a run like any other.
    write = _units.write_atomically

    def stepping(path, text, mode):
        found.step()
        write(path, text, mode)

    monkeypatch.setattr(_units, "write_atomically", stepping)
    return found


def host(machine, **more):
    clock = iter(range(1000000))
    return _units.Host(
        unit_dir=str(machine.unit_dir),
        config_dir=str(machine.config_dir),
        run=machine.run,
        sleep=lambda s: None,
        clock=lambda: next(clock),
        **more,
    )


def unit(machine, number=0, model="qwen3.5", **environment):
    """A wanted unit, written by the same code as in production."""
    name = plan.unit_name(model, number)
    container = plan.container_name(model, number, "least_privilege")
    folder = str(machine.unit_dir.parent / "replicas" / container)
    environment = {"PORT": str(8010 + number), **environment}
    argv = ["/usr/bin/docker", "run", "--name=" + container, "--label"]
    digest = _container.config_hash(argv, environment, {})
    metadata = {
        "ServedModelName": model,
        "Replica": number,
        "Port": 8010 + number,
        "Container": container,
        "Directory": folder,
    }
    return {
        "name": name,
        "container_name": container,
        "environment": environment,
        "config_hash": digest,
        "directories": [folder],
        "content": unit_file.unit_text(
            name,
            description="d",
            container=container,
            docker_argv=[*argv, "ascend.fleet.config=" + digest, "image"],
            metadata=metadata,
            stop_seconds=60,
        ),
    }


def run(machine, units, secrets=None, **more):
    report, removed = host(machine).present(units, secrets or {}, **more)
    return [r["steps"] for r in report], removed


def as_wanted(machine, units):
    for wanted in units:
        name = wanted["name"]
        assert machine.text(name) == wanted["content"]
        assert machine.active[name] == "active"
        assert machine.containers[wanted["container_name"]]["config"] == wanted["config_hash"]
        assert machine.link(name).is_symlink()
        env = machine.config_dir / (name[: -len(".service")] + ".env")
        assert stat.S_IMODE(env.stat().st_mode) == 0o600
        assert stat.S_IMODE((machine.unit_dir / name).stat().st_mode) == 0o644
        assert all(os.path.isdir(d) for d in wanted["directories"])
    names = {u["name"] for u in units}
    assert {p.name for p in machine.unit_dir.glob("vllm-*.service")} == names
    assert {p.name for p in machine.config_dir.glob("*.env")} == {n[: -len(".service")] + ".env" for n in names}
    assert {c["unit"] for c in machine.containers.values()} == names
    assert not [p for p in machine.unit_dir.iterdir() if p.name.startswith(".")]


class TestPresent:
    def test_from_nothing_then_nothing_more(self, machine):
        units = [unit(machine, 0), unit(machine, 1)]
        steps, _removed = run(machine, units)
        assert steps[0] == ["create folders", "write environment", "write unit", "reload systemd", "enable", "start"]
        as_wanted(machine, units)
        assert run(machine, units) == ([[], []], [])
        assert machine.starts == [u["name"] for u in units]

    def test_a_change_restarts_that_replica_alone(self, machine):
        run(machine, [unit(machine, 0), unit(machine, 1)])
        units = [unit(machine, 0), unit(machine, 1, HCCL_BUFFSIZE="2048")]
        steps, _removed = run(machine, units)
        assert steps == [[], ["write environment", "write unit", "reload systemd", "restart"]]
        as_wanted(machine, units)
        assert run(machine, units) == ([[], []], [])

    def test_a_change_of_times_needs_no_restart(self, machine):
        run(machine, [unit(machine)])
        changed = unit(machine)
        changed["content"] = changed["content"].replace("RestartSec=10", "RestartSec=20")
        assert run(machine, [changed])[0] == [["write unit", "reload systemd"]]
        assert len(machine.starts) == 1

    @pytest.mark.parametrize("state", ["inactive", "failed"])
    def test_what_stopped_is_started(self, machine, state):
        run(machine, [unit(machine)])
        machine.active[unit(machine)["name"]] = state
        machine.containers.clear()
        assert run(machine, [unit(machine)])[0] == [["start"]]
        assert ["systemctl", "reset-failed", unit(machine)["name"]] in machine.commands
        as_wanted(machine, [unit(machine)])

    def test_a_crash_loop_is_left_to_the_one_who_waits(self, machine):
        run(machine, [unit(machine)])
        machine.active[unit(machine)["name"]] = "activating"
        machine.containers.clear()
        assert run(machine, [unit(machine)])[0] == [[]]

    def test_edited_files_are_restored_and_the_engine_restarted(self, machine):
        run(machine, [unit(machine)])
        path = machine.unit_dir / unit(machine)["name"]
        path.write_text(path.read_text().replace("image", "other-image"))
        steps, _removed = run(machine, [unit(machine)])
        assert steps == [["write unit", "reload systemd", "restart"]]
        as_wanted(machine, [unit(machine)])

    def test_permissions_of_the_environment_are_restored(self, machine):
        run(machine, [unit(machine)])
        env = next(machine.config_dir.glob("*.env"))
        env.chmod(0o644)
        assert run(machine, [unit(machine)])[0] == [["write environment"]]
        as_wanted(machine, [unit(machine)])

    def test_stale_replicas_go_before_new_ones_start(self, machine):
        run(machine, [unit(machine, n) for n in range(4)])
        units = [unit(machine, n, TP="8") for n in range(2)]
        machine.commands.clear()
        _steps, removed = run(machine, units)
        assert removed == ["vllm-qwen3.5@2.service", "vllm-qwen3.5@3.service"]
        as_wanted(machine, units)
        verbs = [c[1] for c in machine.commands if c[0] == "systemctl"]
        assert verbs.index("stop") < verbs.index("start")
        assert not (machine.unit_dir.parent / "replicas" / "vllm-qwen3.5-3").exists()

    def test_units_of_another_model_are_removed_only_when_exclusive(self, machine):
        run(machine, [unit(machine, model="old")])
        _steps, removed = run(machine, [unit(machine)], exclusive=False)
        assert removed == []
        assert machine.active["vllm-old@0.service"] == "active"
        _steps, removed = run(machine, [unit(machine)])
        assert removed == ["vllm-old@0.service"]
        as_wanted(machine, [unit(machine)])

    def test_what_is_not_ours_stays(self, machine):
        (machine.unit_dir / "vllm-own@0.service").write_text("[Service]\nExecStart=/bin/true\n")
        machine.containers["jupyter"] = {"unit": "", "config": "", "state": "running", "managed": ""}
        assert run(machine, [unit(machine)])[1] == []
        assert host(machine).absent(None) == [unit(machine)["name"]]
        assert (machine.unit_dir / "vllm-own@0.service").exists()
        assert "jupyter" in machine.containers

    def test_a_strangers_container_under_our_name_is_named_not_removed(self, machine):
        machine.containers["vllm-qwen3.5-0"] = {"unit": "", "config": "", "state": "running", "managed": ""}
        with pytest.raises(_units.UnitsError, match=r"vllm-qwen3\.5-0 \(image image, running\)"):
            run(machine, [unit(machine)])
        assert "vllm-qwen3.5-0" in machine.containers
        assert not list(machine.unit_dir.glob("*.service"))

    def test_a_masked_unit_is_respected(self, machine):
        (machine.unit_dir / unit(machine)["name"]).symlink_to("/dev/null")
        with pytest.raises(_units.UnitsError, match="systemctl unmask"):
            run(machine, [unit(machine)])

    def test_configured_starts_nothing(self, machine):
        steps, _removed = run(machine, [unit(machine)], start=False)
        assert "start" not in steps[0]
        assert machine.starts == []
        assert run(machine, [unit(machine)], start=False)[0] == [[]]
        assert run(machine, [unit(machine)])[0] == [["start"]]

    def test_a_failing_start_says_where_to_look(self, machine):
        machine.fails["systemctl start"] = "A dependency job for vllm-qwen3.5@0.service failed."
        with pytest.raises(systemd.SystemdError) as caught:
            run(machine, [unit(machine)])
        assert "A dependency job" in str(caught.value)
        assert "journalctl -u vllm-qwen3.5@0.service" in str(caught.value)

    def test_without_systemd(self, machine):
        machine.has_systemd = False
        with pytest.raises(_units.UnitsError, match="needed systemd"):
            run(machine, [unit(machine)])


class TestKilledAnywhere:
    """A run that dies before any of its commands or writes is completed by the next, and a third has nothing to do."""

    @pytest.mark.parametrize("die_at", range(40))
    @pytest.mark.parametrize("before", ["nothing", "other replicas"])
    def test_present(self, machine, die_at, before):
        if before == "other replicas":
            run(machine, [unit(machine, n, OLD="1") for n in range(3)])
        units = [unit(machine, 0), unit(machine, 1)]
        machine.die_at = die_at
        try:
            run(machine, units)
        except Killed:
            pass
        machine.die_at = None
        run(machine, units)
        as_wanted(machine, units)
        assert run(machine, units) == ([[], []], [])

    @pytest.mark.parametrize("die_at", range(25))
    def test_absent(self, machine, die_at):
        run(machine, [unit(machine, 0), unit(machine, 1)])
        machine.die_at = die_at
        try:
            host(machine).absent(None)
        except Killed:
            pass
        machine.die_at = None
        host(machine).absent(None)
        assert [p for p in machine.unit_dir.rglob("*") if p.name.startswith("vllm-")] == []
        assert list(machine.config_dir.glob("*.env")) == []
        assert machine.containers == {}
        assert list((machine.unit_dir.parent / "replicas").iterdir()) == []
        assert host(machine).absent(None) == []


class TestCheckMode:
    def test_changes_nothing_and_tells_the_same(self, machine):
        units = [unit(machine, 0), unit(machine, 1)]
        checking = host(machine, check=True)
        told, _removed = checking.present(units, {})
        assert list(machine.unit_dir.iterdir()) == []
        assert not machine.config_dir.exists()
        assert all(c[1] == "show" for c in machine.commands if c[0] == "systemctl")
        done, _removed = host(machine).present(units, {})
        assert told == done
        assert len(checking.diff) == 4

    def test_on_a_host_without_docker_and_systemd(self, machine):
        machine.has_docker = machine.has_systemd = False
        report, removed = host(machine, check=True).present([unit(machine)], {})
        assert report[0]["changed"]
        assert removed == []

    def test_tells_what_would_be_removed(self, machine):
        run(machine, [unit(machine)])
        checking = host(machine, check=True)
        assert checking.absent(None) == [unit(machine)["name"]]
        assert {d["after"] for d in checking.diff} == {""}
        as_wanted(machine, [unit(machine)])


class TestSecrets:
    def test_are_in_the_file_and_in_no_diff(self, machine):
        shown = []
        for key in ("s3cr3t", "an0ther"):
            here = host(machine)
            here.present([unit(machine)], {"VLLM_API_KEY": key})
            shown += here.diff
            env = next(machine.config_dir.glob("*.env"))
            assert "VLLM_API_KEY=%s\n" % key in env.read_text()
        here = host(machine)
        here.absent(None)
        shown += here.diff
        text = json.dumps(shown)
        assert "s3cr3t" not in text
        assert "an0ther" not in text
        assert "VLLM_API_KEY=(hidden)" in text
        assert "a hidden value changed" in text
        assert "PORT=8010" in text

    def test_secret_looking_variables_are_hidden_wherever_they_come_from(self):
        text = _units.mask("HF_TOKEN=a\nMY_PASSWORD=b\nHCCL_BUFFSIZE=1024\nAWS_SECRET=c\n")
        assert text == "HF_TOKEN=(hidden)\nMY_PASSWORD=(hidden)\nHCCL_BUFFSIZE=1024\nAWS_SECRET=(hidden)\n"


def test_the_old_container_goes_whatever_it_is_called(machine):
    run(machine, [unit(machine)])
    # A docker client that was killed: its container lives on under the old name, and holds the cards.
    machine.containers["old-name"] = machine.containers.pop("vllm-qwen3.5-0")
    machine.active[unit(machine)["name"]] = "failed"
    run(machine, [unit(machine)])
    as_wanted(machine, [unit(machine)])


def test_the_old_unit_stops_its_own_container(machine):
    run(machine, [unit(machine)])
    machine.commands.clear()
    run(machine, [unit(machine, A="1")])
    verbs = [c[1] for c in machine.commands if c[0] == "systemctl" and c[1] != "show"]
    assert verbs == ["stop", "daemon-reload", "reset-failed", "start"]


class TestStopped:
    def test_keeps_the_files(self, machine):
        units = [unit(machine, 0), unit(machine, 1)]
        run(machine, units)
        report = host(machine).stopped(None, disable=True)
        assert [r["steps"] for r in report] == [["stop", "disable"]] * 2
        assert machine.containers == {}
        assert [r["steps"] for r in host(machine).stopped(None, disable=True)] == [[]] * 2
        assert len(list(machine.unit_dir.glob("vllm-*.service"))) == 2
        steps, _removed = run(machine, units)
        assert steps == [["enable", "start"]] * 2
        as_wanted(machine, units)

    def test_a_container_that_survived_its_unit_goes_too(self, machine):
        run(machine, [unit(machine)])
        machine.active[unit(machine)["name"]] = "inactive"
        assert host(machine).stopped(None)[0]["steps"] == ["stop"]
        assert machine.containers == {}


def test_deployed_replicas_are_found_by_their_own_words(machine):
    run(machine, [unit(machine, 1), unit(machine, 0)])
    found = _units.deployed(str(machine.unit_dir))
    assert [(u["name"], u["url"], u["served_model_name"]) for u in found] == [
        ("vllm-qwen3.5@0.service", "http://127.0.0.1:8010", "qwen3.5"),
        ("vllm-qwen3.5@1.service", "http://127.0.0.1:8011", "qwen3.5"),
    ]


def test_a_folder_that_is_not_a_replicas_own_is_never_removed(machine):
    wanted = unit(machine)
    precious = machine.unit_dir.parent / "data"
    precious.mkdir()
    wanted["content"] = wanted["content"].replace("Directory=", "Directory=%s #" % precious)
    run(machine, [wanted])
    host(machine).absent(None)
    assert precious.is_dir()


def test_show_is_read_block_by_block():
    text = "Id=a.service\nExecMainStatus=0\n\nId=b.service\nEnvironment=A=b=c\n"
    assert systemd.parse_show(text) == [
        {"Id": "a.service", "ExecMainStatus": "0"},
        {"Id": "b.service", "Environment": "A=b=c"},
    ]
