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
from ansible_collections.ascend.fleet.plugins.module_utils._serving import (
    access,
    plan,
    support,
    unit_file,
    unit_steps,
    watchdog,
)
from ansible_collections.ascend.fleet.plugins.module_utils._serving import container as _container
from ansible_collections.ascend.fleet.plugins.module_utils._serving import units as _units
from ansible_collections.ascend.fleet.plugins.module_utils._serving.deployed import UnitsError, deployed
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import ServingError, Settings

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


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
        self.sub: dict[str, str] = {}
        self.restarts: dict[str, int] = {}
        self.containers: dict[str, dict] = {}
        self.starts: list[str] = []
        self.commands: list[list[str]] = []
        self.die_at: int | None = None
        self.table = ""  # what nftables has loaded
        self.has_docker = True
        self.has_systemd = True
        self.version = 257
        self.images = {"image"}
        self.waits_for_chips = self.waits_for_docker = False
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
        if argv[0] == "/sbin/nft":
            done = (0, self.table, "") if self.table else (1, "", "Error: No such file or directory\n")
            return Completed(tuple(argv), *done, False)
        if not self.has_docker:
            return Completed(tuple(argv), 127, "", "not found", False)
        return self.docker(argv)

    def systemctl(self, argv):
        names = [a for a in argv if a.endswith((".service", ".timer"))]
        out = ""
        if argv[1] == "--version":
            out = "systemd %d (%d.1)\n" % (self.version, self.version)
        elif argv[1] == "show":
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
        elif argv[1] == "start" and (self.waits_for_chips or self.waits_for_docker):
            for name in names:
                self.active[name] = "activating" if self.waits_for_chips else "inactive"
            return Completed(tuple(argv), None, "", "", True)
        elif argv[1] in ("restart", "reload"):
            for name in names:
                self.active[name] = "active"
                self.load_table(name)
        elif argv[1] == "start":
            for name in names:
                if self.active.get(name) != "active":
                    self.start(name)
        elif argv[1] == "stop":
            for name in names:
                self.active[name] = "inactive"
                self.table = "" if name == access.SERVICE else self.table
                for key in [k for k, c in self.containers.items() if c["unit"] == name]:
                    del self.containers[key]
        return Completed(tuple(argv), 0, out, "", False)

    def load_table(self, name):
        if name == access.SERVICE:
            self.table = (self.config_dir / access.RULES).read_text()

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
        self.load_table(name)
        if not name.startswith("vllm-"):
            return
        config = text.split("ascend.fleet.config=")[1].split()[0]
        container = text.split("--name=")[1].split()[0]
        self.containers[container] = {"unit": name, "config": config, "state": "running", "managed": "true"}

    def show(self, name):
        stale = name in self.loaded and self.loaded[name] != self.text(name)
        values = {
            "Id": name,
            "LoadState": "loaded" if self.text(name) else "not-found",
            "ActiveState": self.active.get(name, "inactive"),
            "SubState": self.sub.get(name, "running" if self.active.get(name) == "active" else "dead"),
            "NRestarts": str(self.restarts.get(name, 0)),
            "UnitFileState": "enabled" if self.link(name).is_symlink() else "disabled",
            "NeedDaemonReload": "yes" if stale else "no",
        }
        return "".join("%s=%s\n" % pair for pair in values.items())

    def docker(self, argv):
        if "ps" in argv:
            return Completed(tuple(argv), 0, "\n".join(self.containers), "", False)
        if argv[1] == "image":
            if argv[-1] in self.images:
                return Completed(tuple(argv), 0, json.dumps([{"Id": argv[-1]}]), "", False)
            return Completed(tuple(argv), 1, "[]", "Error: No such image: %s" % argv[-1], False)
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

    def stepping(path, text, mode, **more):
        found.step()
        write(path, text, mode, **more)

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
        "image": "image",
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
            delay_argv=support.delay_argv(name),
        ),
    }


def run(machine, units, secrets=None, **more):
    report, removed, _support = host(machine).present(units, secrets or {}, **more)
    return [r["steps"] for r in report], removed


def as_wanted(machine, units):
    for wanted in units:
        name = wanted["name"]
        assert machine.text(name) == unit_file.for_systemd(wanted["content"], machine.version)
        assert machine.active[name] == "active"
        assert machine.containers[wanted["container_name"]]["config"] == wanted["config_hash"]
        assert machine.link(name).is_symlink()
        env = machine.config_dir / (name[: -len(".service")] + ".env")
        assert stat.S_IMODE(env.stat().st_mode) == 0o600
        assert stat.S_IMODE((machine.unit_dir / name).stat().st_mode) == 0o644
        assert all(os.path.isdir(d) for d in wanted["directories"])
    names = {u["name"] for u in units}
    assert {p.name for p in machine.unit_dir.glob("vllm-*.service")} == names
    for path, text in support.support_files(str(machine.unit_dir), str(machine.config_dir)).items():
        assert Path(path).read_text() == text
        assert stat.S_IMODE(Path(path).stat().st_mode) == support.support_mode(path)
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
        assert run(machine, [changed])[0] == [["write unit text", "reload systemd"]]
        assert len(machine.starts) == 1

    @pytest.mark.parametrize("state", ["inactive", "failed"])
    def test_what_stopped_is_started(self, machine, state):
        run(machine, [unit(machine)])
        machine.active[unit(machine)["name"]] = state
        machine.containers.clear()
        assert run(machine, [unit(machine)])[0] == [["start"]]
        assert ["systemctl", "reset-failed", unit(machine)["name"]] in machine.commands
        as_wanted(machine, [unit(machine)])

    def test_a_first_start_is_left_to_whoever_waits_for_it(self, machine):
        run(machine, [unit(machine)])
        machine.active[unit(machine)["name"]] = "activating"
        machine.containers.clear()
        assert run(machine, [unit(machine)])[0] == [[]]

    @pytest.mark.parametrize(("sub", "restarts"), [("auto-restart", 1), ("start-pre", 3)])
    def test_a_unit_that_waits_for_its_next_start_is_started_now(self, machine, sub, restarts):
        run(machine, [unit(machine)])
        name = unit(machine)["name"]
        machine.active[name], machine.sub[name], machine.restarts[name] = "activating", sub, restarts
        machine.containers.clear()
        report, _removed, _support = host(machine).present([unit(machine)], {})
        assert (report[0]["steps"], report[0]["reason"]) == (["restart"], "it had ended and waited for its next start")
        as_wanted(machine, [unit(machine)])

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
        assert host(machine).absent(None)[0] == [unit(machine)["name"]]
        assert (machine.unit_dir / "vllm-own@0.service").exists()
        assert "jupyter" in machine.containers

    def test_a_strangers_container_under_our_name_is_named_not_removed(self, machine):
        machine.containers["vllm-qwen3.5-0"] = {"unit": "", "config": "", "state": "running", "managed": ""}
        with pytest.raises(UnitsError, match=r"vllm-qwen3\.5-0 \(image image, running\)"):
            run(machine, [unit(machine)])
        assert "vllm-qwen3.5-0" in machine.containers
        assert not list(machine.unit_dir.glob("*.service"))

    def test_a_masked_unit_is_respected(self, machine):
        (machine.unit_dir / unit(machine)["name"]).symlink_to("/dev/null")
        with pytest.raises(UnitsError, match="systemctl unmask"):
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
        for check in (False, True):
            with pytest.raises(systemd.NoSystemd, match="needed systemd"):
                host(machine, check=check).present([unit(machine)], {})


class TestValidatedBeforeAnythingChanges:
    """Whatever is wrong with the wanted units, what runs goes on, and everything wrong is told at once."""

    @pytest.fixture(autouse=True)
    def old(self, machine):
        run(machine, [unit(machine, n, model="old") for n in range(2)])
        machine.commands.clear()

    def unchanged(self, machine):
        assert machine.active == dict.fromkeys(("vllm-old@0.service", "vllm-old@1.service"), "active")
        as_wanted(machine, [unit(machine, n, model="old") for n in range(2)])
        verbs = {c[1] for c in machine.commands}
        assert verbs <= {"show", "--version", "ps", "container", "image"}

    def refused(self, machine, units, words, **more):
        with pytest.raises((UnitsError, systemd.SystemdError, ServingError)) as caught:
            run(machine, units, **more)
        for word in words:
            assert word in str(caught.value)
        machine.fails.clear()
        self.unchanged(machine)

    def test_an_image_that_docker_does_not_have(self, machine):
        self.refused(machine, [{**unit(machine), "image": "sha256:1"}], ["found no image sha256:1", "vllm_image"])

    def test_a_name_that_is_taken(self, machine):
        machine.containers["vllm-qwen3.5-0"] = {"unit": "", "config": "", "state": "running", "managed": ""}
        with pytest.raises(UnitsError, match=r"vllm-qwen3\.5-0 \(image image, running\)"):
            run(machine, [unit(machine)])
        assert list(machine.active.values()) == ["active", "active"]

    def test_a_mask(self, machine):
        (machine.unit_dir / unit(machine)["name"]).symlink_to("/dev/null")
        with pytest.raises(UnitsError, match="systemctl unmask"):
            run(machine, [unit(machine)])
        assert list(machine.active.values()) == ["active", "active"]

    def test_a_path_that_cannot_be_made(self, machine, tmp_path):
        (tmp_path / "file").write_text("")
        wanted = {**unit(machine), "directories": [str(tmp_path / "file" / "cache")]}
        self.refused(machine, [wanted], ["file, which is no folder"])

    def test_a_secret_with_a_line_break(self, machine):
        self.refused(machine, [unit(machine)], ["line break in the value of KEY"], secrets={"KEY": "a\nb"})

    def test_names_that_stand_twice(self, machine):
        self.refused(machine, [unit(machine), unit(machine)], ["the unit name vllm-qwen3.5@0.service twice"])

    def test_everything_at_once(self, machine, tmp_path):
        (tmp_path / "file").write_text("")
        wanted = {**unit(machine), "image": "sha256:1", "directories": [str(tmp_path / "file" / "cache")]}
        self.refused(machine, [wanted], ["found no image sha256:1", "which is no folder"])

    @pytest.mark.parametrize(
        "query", ["docker ps", "docker container inspect", "systemctl show", "systemctl --version"]
    )
    def test_a_query_that_fails(self, machine, query):
        machine.fails[query] = "no answer"
        self.refused(machine, [unit(machine)], ["`%s" % query, "no answer"])

    @pytest.mark.parametrize("query", ["docker ps", "docker container inspect", "systemctl show"])
    @pytest.mark.parametrize("act", ["absent", "stopped"])
    def test_what_is_unknown_is_neither_removed_nor_stopped(self, machine, query, act):
        machine.fails[query] = "no answer"
        with pytest.raises((UnitsError, systemd.SystemdError), match="no answer"):
            getattr(host(machine), act)(None)
        machine.fails.clear()
        self.unchanged(machine)


class TestKilledAnywhere:
    """A run that dies before any of its commands or writes is completed by the next, and a third has nothing to do."""

    @pytest.mark.parametrize("die_at", range(50))
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

    @pytest.mark.parametrize("die_at", range(30))
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
        assert host(machine).absent(None) == ([], [])


class TestStart:
    def test_a_unit_that_waits_for_its_chips_is_left_to_whoever_waits_for_it(self, machine):
        machine.waits_for_chips = True
        assert run(machine, [unit(machine)])[0][0][-1] == "start"
        assert machine.active[unit(machine)["name"]] == "activating"

    def test_a_start_that_docker_holds_up_is_waited_for_until_the_deadline(self, machine):
        machine.waits_for_docker = True
        with pytest.raises(systemd.SystemdError, match="did not end within its deadline"):
            host(machine, stop_timeout=5).present([unit(machine)], {})
        assert sum(c[1] == "start" for c in machine.commands) > 1

    @pytest.mark.parametrize(("version", "own"), [(249, False), (252, False), (254, True), (257, True)])
    def test_the_delay_grows_by_systemd_s_own_means_where_it_has_them(self, machine, version, own):
        machine.version = version
        wanted = unit(machine)
        run(machine, [wanted])
        text = machine.text(wanted["name"])
        assert ("\nRestartSteps=5\nRestartMaxDelaySec=300\n" in text) is own
        assert ("\nExecStartPre=-/bin/sh /etc/ascend-fleet/delay-start.sh %s\n" % wanted["name"] in text) is not own
        assert run(machine, [wanted]) == ([[]], [])


class TestFormerVersion:
    """A host that an earlier version of this collection has deployed."""

    RECORD = json.loads((FIXTURES / "former_units" / "plan.json").read_text(encoding="utf-8"))

    @pytest.mark.parametrize("case", RECORD["cases"], ids=lambda c: c["title"])
    def test_is_taken_over_without_a_restart(self, machine, case):
        machine.images.add(case["settings"]["image"])
        for former in case["units"]:
            (machine.unit_dir / former["name"]).write_text(former["content"])
            machine.config_dir.mkdir(exist_ok=True)
            env = machine.config_dir / (former["name"][: -len(".service")] + ".env")
            env.write_text("".join("%s=%s\n" % p for p in {**former["environment"], **former["secrets"]}.items()))
            env.chmod(0o600)
            machine.systemctl(["systemctl", "enable", former["name"]])
            machine.start(former["name"])
        machine.starts.clear()
        units = plan.plan_replicas(case["node"], self.RECORD["release"], Settings(**case["settings"]))
        secrets = units[0]["secrets"]
        units = [{**u, "directories": []} for u in units]
        steps, removed = run(machine, units, secrets)
        assert (steps, removed) == ([["write unit text", "reload systemd"]] * len(units), [])
        assert machine.starts == []
        assert not [c for c in machine.commands if c[1] in ("stop", "restart", "start", "rm")]
        assert run(machine, units, secrets) == ([[]] * len(units), [])


class TestCheckMode:
    def test_changes_nothing_and_tells_the_same(self, machine):
        units = [unit(machine, 0), unit(machine, 1)]
        checking = host(machine, check=True)
        told, _removed, _support = checking.present(units, {})
        assert list(machine.unit_dir.iterdir()) == []
        assert not machine.config_dir.exists()
        assert {c[1] for c in machine.commands if c[0] == "systemctl"} == {"show", "--version"}
        done, _removed, _support = host(machine).present(units, {})
        assert told == done
        assert len(checking.diff) == 9

    def test_on_a_host_without_docker(self, machine):
        machine.has_docker = False
        report, removed, _support = host(machine, check=True).present([unit(machine)], {})
        assert report[0]["changed"]
        assert removed == []

    def test_an_image_that_is_not_loaded_yet(self, machine):
        machine.images = set()
        assert host(machine, check=True).present([unit(machine)], {})[0][0]["changed"]

    def test_tells_what_would_be_removed(self, machine):
        run(machine, [unit(machine)])
        checking = host(machine, check=True)
        assert checking.absent(None)[0] == [unit(machine)["name"]]
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
        text = unit_steps.mask("HF_TOKEN=a\nMY_PASSWORD=b\nHCCL_BUFFSIZE=1024\nAWS_SECRET=c\n")
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
    assert verbs == ["--version", "stop", "daemon-reload", "reset-failed", "start"]


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


class TestStarted:
    def test_starts_what_is_deployed_and_writes_nothing(self, machine):
        units = [unit(machine, 0), unit(machine, 1)]
        run(machine, units)
        names = [u["name"] for u in units]
        host(machine).stopped([names[0]])
        writes = machine.text(names[0])
        assert [r["steps"] for r in host(machine, check=True).started(names)] == [["start"], []]
        assert machine.active[names[0]] == "inactive"
        assert [r["steps"] for r in host(machine).started(names)] == [["start"], []]
        assert [r["steps"] for r in host(machine).started(names)] == [[], []]
        assert machine.text(names[0]) == writes
        as_wanted(machine, units)

    def test_what_is_not_deployed_cannot_be_started(self, machine):
        with pytest.raises(_units.UnitsError, match=r"found no unit vllm-m@0\.service"):
            host(machine).started(["vllm-m@0.service"])


def test_deployed_replicas_are_found_by_their_own_words(machine):
    run(machine, [unit(machine, 1), unit(machine, 0)])
    found = deployed(str(machine.unit_dir))
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


class TestWatchdog:
    def units(self, machine, mode):
        return [{**unit(machine, number), "watchdog": mode} for number in range(2)]

    def files(self, machine):
        return watchdog.paths(str(machine.unit_dir), str(machine.config_dir))

    def test_it_comes_with_the_units_and_changes_nothing_the_second_time(self, machine):
        units = self.units(machine, "observe")
        _report, _removed, support = host(machine).present(units, {})
        agents = {path for path in self.files(machine) if "agent" in path}
        assert set(support) & {*self.files(machine), watchdog.TIMER} == {*self.files(machine), watchdog.TIMER} - agents
        assert machine.active[watchdog.TIMER] == "active"
        assert host(machine).present(units, {})[2] == []
        as_wanted(machine, units)

    def test_another_mode_is_another_service_and_no_other_engine(self, machine):
        run(machine, self.units(machine, "observe"))
        steps, _removed = run(machine, self.units(machine, "restart"))
        assert steps == [[], []]
        assert "watchdog.py restart\n" in machine.text(watchdog.SERVICE)
        assert machine.active[watchdog.AGENT + ".service"] == "active"
        assert machine.link(watchdog.AGENT + ".service").is_symlink()
        run(machine, self.units(machine, "observe"))
        assert machine.active[watchdog.AGENT + ".service"] == "inactive"
        assert not machine.text(watchdog.AGENT + ".service")

    def test_a_timer_that_was_stopped_is_started(self, machine):
        units = self.units(machine, "observe")
        run(machine, units)
        machine.active[watchdog.TIMER] = "inactive"
        assert host(machine, check=True).present(units, {})[2] == [watchdog.TIMER]
        assert host(machine).present(units, {})[2] == [watchdog.TIMER]
        assert machine.active[watchdog.TIMER] == "active"

    def test_off(self, machine):
        run(machine, self.units(machine, "observe"))
        units = self.units(machine, "off")
        there = {path for path in self.files(machine) if "agent" not in path}
        assert set(host(machine).present(units, {})[2]) == there
        assert machine.active[watchdog.TIMER] == "inactive"
        assert not [path for path in self.files(machine) if Path(path).exists()]
        assert host(machine).present(units, {})[2] == []

    def test_it_goes_with_the_last_unit(self, machine):
        run(machine, self.units(machine, "observe"))
        host(machine).absent(None)
        assert machine.active[watchdog.TIMER] == "inactive"
        assert not machine.link(watchdog.TIMER).is_symlink()
        assert not [path for path in self.files(machine) if Path(path).exists()]

    def test_a_run_that_dies_anywhere_is_simply_run_again(self, machine):
        units = self.units(machine, "observe")
        for steps in range(60):
            machine.die_at = steps
            try:
                run(machine, units)
            except Killed:
                continue
            break
        machine.die_at = None
        host(machine).present(units, {})
        assert machine.active[watchdog.TIMER] == "active"
        assert host(machine).present(units, {})[2] == []


class TestAccess:
    """Who reaches the ports of the replicas changes without an engine."""

    @pytest.fixture(autouse=True)
    def _nft(self, monkeypatch):
        monkeypatch.setattr(access, "program", lambda: "/sbin/nft")

    def units(self, machine, mode, *sources):
        about = {"mode": mode, "ports": [8010, 8011], "sources": list(sources)}
        return [{**unit(machine, number), "access": about} for number in range(2)]

    def files(self, machine):
        return access.paths(str(machine.unit_dir), str(machine.config_dir))

    def test_closed_changed_and_opened(self, machine):
        run(machine, self.units(machine, "open"))
        starts = list(machine.starts)
        closed = self.units(machine, "gateways", "192.0.2.21")
        assert set(host(machine, check=True).present(closed, {})[2]) == {*self.files(machine), access.SERVICE}
        assert machine.table == ""
        assert set(host(machine).present(closed, {})[2]) == {*self.files(machine), access.SERVICE}
        assert "ip saddr { 192.0.2.21 } accept" in machine.table
        assert machine.link(access.SERVICE).is_symlink()
        assert host(machine).present(closed, {})[2] == []
        more = self.units(machine, "gateways", "192.0.2.21", "192.0.2.30")
        assert host(machine).present(more, {})[2] == [self.files(machine)[0], access.SERVICE]
        assert "192.0.2.30" in machine.table
        assert "nft" not in " ".join(" ".join(argv) for argv in machine.commands if argv[0] == "systemctl")
        opened = self.units(machine, "open")
        assert set(host(machine).present(opened, {})[2]) == set(self.files(machine))
        assert machine.table == ""
        assert host(machine).present(opened, {})[2] == []
        assert [name for name in machine.starts if name.startswith("vllm-")] == [
            name for name in starts if name.startswith("vllm-")
        ]

    def test_a_table_that_somebody_has_removed_comes_back(self, machine):
        units = self.units(machine, "gateways", "192.0.2.21")
        run(machine, units)
        machine.table = ""
        assert host(machine).present(units, {})[2] == [access.SERVICE]
        assert "192.0.2.21" in machine.table

    def test_it_goes_with_the_last_unit(self, machine):
        run(machine, self.units(machine, "gateways", "192.0.2.21"))
        host(machine).absent(["vllm-qwen3.5@0.service"])
        assert machine.table
        host(machine).absent(None)
        assert machine.table == ""
        assert not [path for path in self.files(machine) if Path(path).exists()]
        assert not machine.link(access.SERVICE).is_symlink()

    def test_what_the_kernel_does_not_tell_is_an_error(self, machine):
        machine.fails["nft list"] = "Error: Operation not permitted"
        with pytest.raises(_units.UnitsError, match="Operation not permitted"):
            run(machine, self.units(machine, "gateways", "192.0.2.21"))
        assert machine.starts == []
        assert not Path(self.files(machine)[0]).exists()

    def test_without_nft_nothing_is_done(self, machine, monkeypatch):
        monkeypatch.undo()
        monkeypatch.setattr(access.shutil, "which", lambda name, path=None: None)
        with pytest.raises(_units.UnitsError, match="install the package nftables"):
            run(machine, self.units(machine, "gateways", "192.0.2.21"))
        assert machine.starts == []

    def test_a_run_that_dies_anywhere_is_simply_run_again(self, machine):
        units = self.units(machine, "gateways", "192.0.2.21")
        for steps in range(60):
            machine.die_at = steps
            try:
                run(machine, units)
            except Killed:
                continue
            break
        machine.die_at = None
        host(machine).present(units, {})
        assert "192.0.2.21" in machine.table
        assert host(machine).present(units, {})[2] == []
