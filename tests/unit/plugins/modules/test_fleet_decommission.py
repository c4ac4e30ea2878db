# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data of this collection go wherever they lie; what is beside them stays."""

from __future__ import annotations

import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import host_data
from ansible_collections.ascend.fleet.plugins.module_utils._base import command
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import Docker
from ansible_collections.ascend.fleet.plugins.module_utils._host.haproxy import Haproxy
from ansible_collections.ascend.fleet.plugins.module_utils._host.systemd import Systemd
from ansible_collections.ascend.fleet.plugins.module_utils._images import records
from ansible_collections.ascend.fleet.plugins.module_utils._serving import units as _units
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_config import Places
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_host import GatewayHost
from ansible_collections.ascend.fleet.plugins.module_utils._serving.unit_file import MARK
from ansible_collections.ascend.fleet.plugins.modules import fleet_decommission

IDS = ["sha256:" + digit * 64 for digit in "1234567"]
UNIT = "vllm-m@0.service"
Run = Callable[..., dict[str, Any]]


class Host:
    """A root of our own, one that variables name, one that only a unit names, and docker."""

    def __init__(self, base: Path) -> None:
        self.own, self.named, self.of_unit = base / "own", base / "named", base / "unit"
        self.configuration = base / "etc" / "ascend-fleet"
        self.images = list(IDS)
        self.containers: list[dict[str, Any]] = []
        self.absent = False
        self.running: list[str] = []
        self.unit_dir = base / "systemd"
        self.unit_dir.mkdir()
        for root in (self.own, self.named, self.of_unit):
            self.folder(root / "models" / "M")
        (self.named / "models" / "theirs").mkdir()
        (self.named / "models" / "theirs" / "weights").write_text("x")
        (self.own / "replicas" / "r").mkdir(parents=True)

    @staticmethod
    def folder(path: Path) -> None:
        (path / ".git" / "ascend-fleet").mkdir(parents=True)
        (path / "weights").write_text("x")

    def deploy(self) -> None:
        """A unit of ours with its variables; its weights lie where no variable says so."""
        about = {"Replica": 0, "ServedModelName": "m", "Port": 8010, "Container": "vllm-m-0", "Image": IDS[3]}
        about.update(Weights=self.of_unit / "models" / "M", Directory=self.own / "replicas" / "vllm-m-0")
        lines = "".join("%s=%s\n" % pair for pair in about.items())
        (self.unit_dir / UNIT).write_text("%s\n[X-AscendFleet]\n%s" % (MARK, lines))
        self.configuration.mkdir(parents=True, exist_ok=True)
        (self.configuration / "vllm-m@0.env").write_text("KEY=secret\n")
        self.running.append(UNIT)

    def tools(self, params: dict[str, Any]) -> fleet_decommission.Tools:
        systemd = Systemd(run=self)

        def units(check: bool) -> _units.Host:
            places = {"unit_dir": str(self.unit_dir), "config_dir": str(self.configuration)}
            return _units.Host(run=self, check=check, **places)

        places = Places(*(str(self.configuration.parent / name) for name in ("gateway", "socket", "var/servers.state")))
        gateway = GatewayHost(systemd, Haproxy(""), python="", places=places, unit_dir=str(self.unit_dir))
        return fleet_decommission.Tools(Docker(run=self), systemd, gateway, units, str(self.unit_dir))

    def systemctl(self, argv: list[str]) -> str:
        if argv[1] == "show":
            states = {n: "active" if n in self.running else "inactive" for n in argv[argv.index("--") + 1 :]}
            return "\n\n".join("Id=%s\nActiveState=%s" % pair for pair in states.items())
        if argv[1] == "list-units":
            patterns = argv[argv.index("--") + 1 :]
            return "".join("%s loaded\n" % n for n in self.running if any(fnmatch(n, p) for p in patterns))
        if argv[1] == "stop":
            self.running = [name for name in self.running if name not in argv[2:]]
        return ""

    def __call__(self, argv: list[str], **options: Any) -> command.Completed:
        if argv[0] == "systemctl":
            return command.Completed(tuple(argv), 0, self.systemctl(argv), "", False)
        if self.absent:
            return command.Completed(tuple(argv), 127, "", "docker: No such file or directory", False)
        text = ""
        if self.images is None:
            return command.Completed(tuple(argv), 1, "", "Cannot connect to the Docker daemon", False)
        if argv[1:3] == ["image", "ls"]:
            text = "\n".join(json.dumps({"ID": i, "Repository": "<none>", "Tag": "<none>"}) for i in self.images)
        elif argv[1] == "ps":
            text = " ".join(str(n) for n in range(len(self.containers)))
        elif argv[1:3] == ["container", "inspect"]:
            text = json.dumps(self.containers)
        elif argv[1:3] == ["image", "inspect"]:
            text = json.dumps([{"Id": i, "RepoTags": ["vllm:" + i[-1]], "Size": 1024} for i in argv[3:]])
        elif argv[1] == "rm":
            self.containers = [c for c in self.containers if c["Id"] != argv[-1]]
        elif argv[1:3] == ["image", "rm"]:
            self.images.remove(argv[-1])
        else:
            raise AssertionError(argv)
        return command.Completed(tuple(argv), 0, text, "", False)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fleet_decommission, "tools_of", host.tools)
    return host


@pytest.fixture
def run(host: Host, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*what: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        arguments = {
            "what": list(what),
            "async_dir": "~/.ansible_async",
            "own_roots": [str(host.own)],
            "roots": ["", str(host.named)],
            "configuration": str(host.configuration),
            **arguments,
            "_ansible_check_mode": check,
        }
        arguments = {name: value for name, value in arguments.items() if value is not None}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            fleet_decommission.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return run


def test_artifacts_go_wherever_variables_and_units_say_they_are(host: Host, run: Run) -> None:
    host.deploy()
    foreseen = run("artifacts", check=True)
    assert (host.of_unit / "models" / "M").exists()
    assert run("units")["changed"]  # then the run was interrupted
    done = run("artifacts")
    assert set(foreseen["removed"]) <= set(done["removed"])
    assert {str(host.named / "models" / "M"), str(host.of_unit / "models" / "M")} <= set(done["removed"])
    assert not host.of_unit.exists()
    assert [p.name for p in (host.named / "models").iterdir()] == ["theirs"]
    assert [p.name for p in host.own.iterdir()] == ["replicas"]
    assert not run("artifacts")["changed"]
    assert run("service")["changed"]


def test_the_configuration_with_its_note_goes_last(host: Host, run: Run) -> None:
    host.deploy()
    run("units")
    assert (host.configuration / fleet_decommission.NOTE).exists()
    done = run("service")
    assert done["removed"][-1] == str(host.configuration)
    assert not host.configuration.exists()
    assert not (host.own / "replicas").exists()
    assert (host.own / "models" / "M").exists()
    assert not run("service")["changed"]


def test_state_lease_and_kept_deployments_go_with_the_service_alone(host: Host, run: Run) -> None:
    kept = host.own / "deployments" / ("0" * 64 + ".json")
    kept.parent.mkdir()
    files = [kept, host.own / "state.json", host.own / "lease.json"]
    for path in files:
        path.write_text("{}")
    run("artifacts")
    assert all(path.exists() for path in files)
    done = run("service")
    assert {str(kept.parent), str(files[1]), str(files[2])} <= set(done["removed"])
    assert not any(path.exists() for path in files)


def test_all_images_of_the_collection_go_by_their_ids(host: Host, run: Run) -> None:
    recorded, of_a_former_release, in_an_archive, of_unit, used, theirs, other = IDS
    host.deploy()
    records.write_record(str(host.own / "images"), recorded)
    records.write_record(str(host.named / "images"), of_a_former_release)
    records.write_record(str(host.own / "images"), used)
    remembered = {"signature": [], "images": [{"config_digest": in_an_archive, "manifest_digests": []}]}
    (host.own / "images" / "a.tar.json").write_text(json.dumps(remembered))
    host.containers = [
        {"Id": "1", "Image": used, "Name": "/somebody", "Config": {}},
        {"Id": "2", "Image": recorded, "Name": "/vllm-0", "Config": {"Labels": {"ascend.fleet.managed": "true"}}},
    ]
    foreseen = run("images", check=True)
    assert host.images == IDS
    done = run("images")
    assert foreseen["removed"] == done["removed"] == sorted([recorded, of_a_former_release, in_an_archive, of_unit])
    assert host.images == [used, theirs, other]
    kept = {entry["name"]: entry["reason"] for entry in done["plan"]["kept"]}
    assert kept[used] == "the container somebody uses it"
    assert kept["somebody"] == "not of this collection"
    assert records.has_record(str(host.own / "images"), used), "forgotten although it is there"
    host.containers = []
    run("images")
    assert host.images == [theirs, other]
    assert not (host.own / "images").exists()
    assert not (host.named / "images").exists()
    assert not run("images")["changed"]


def test_images_that_stay_keep_their_records(host: Host, run: Run) -> None:
    records.write_record(str(host.own / "images"), IDS[0])
    run("artifacts", "service")
    assert run("images")["removed"][0] == IDS[0]


def test_a_host_without_docker_has_no_images(host: Host, run: Run) -> None:
    host.absent = True
    assert not run("images")["changed"]


def test_a_mirror_s_store_goes_where_the_deployed_server_has_it(host: Host, run: Run, tmp_path: Path) -> None:
    root = tmp_path / "mirror"
    for name in ("store/objects/ab", "store/manifests", "store/shared", "mine"):
        (root / name).mkdir(parents=True)
    host.configuration.mkdir(parents=True)
    (host.configuration / "mirror-nginx.conf").write_text("http {\n    root %s/store;\n}\n" % root)
    run("artifacts", own_roots=[], roots=[])
    assert [p.name for p in root.iterdir()] == ["mine"]


def test_a_note_that_is_damaged_is_an_error(host: Host, run: Run) -> None:
    host.configuration.mkdir(parents=True)
    (host.configuration / fleet_decommission.NOTE).write_text("{")
    result = run("artifacts")
    assert result["failed"]
    assert "Fix:" in result["msg"]
    assert (host.own / "models" / "M").exists()


@pytest.mark.parametrize("root", ["/", "/var", "relative/folder"])
def test_a_root_that_holds_a_whole_system_is_refused(run: Run, host: Host, root: str) -> None:
    result = run("artifacts", roots=[root])
    assert result["failed"]
    assert "needed an absolute path to a folder of its own" in result["msg"]
    assert (host.own / "models" / "M").exists()


def test_paths_of_other_shapes_name_no_root() -> None:
    units = [{"weights": "/srv/weights/M", "directory": None, "image": None}, {"weights": "models/M"}]
    assert host_data.places_of_units(units) == host_data.Places()


def test_what_ended_jobs_have_left_goes_with_the_service(host: Host, run: Run, tmp_path: Path) -> None:
    for given, base in (({}, tmp_path / "home" / ".ansible_async"), ({"async_dir": "~/jobs"}, tmp_path / "home/jobs")):
        left = base / "ascend-fleet-1"
        left.mkdir(parents=True)
        os.utime(left, (0, 0))
        assert str(left) not in run("artifacts", **given)["removed"]
        assert str(left) in run("service", **given)["removed"]
        assert not left.exists()


def test_units_go_with_their_containers_and_secrets_and_are_listed_before(host: Host, run: Run) -> None:
    host.deploy()
    host.running.append("ascend-fleet-seed-models-7.service")
    labels = {"ascend.fleet.managed": "true", "ascend.fleet.unit": UNIT}
    host.containers = [{"Id": "1", "Name": "/vllm-m-0", "Image": IDS[3], "Config": {"Labels": labels}}]
    plan = run(state="planned", what=None)["plan"]
    assert UNIT in host.running, "a plan changes nothing"
    assert plan["replicas"] == [{"unit": UNIT, "replica": 0}]
    named = [(e["phase"], e["kind"], e["name"]) for e in plan["removed"]]
    assert named[:3] == [
        ("units", "unit", UNIT),
        ("units", "secrets", str(host.configuration / "vllm-m@0.env")),
        ("units", "container", "vllm-m-0"),
    ]
    assert ("sharing", "transfer", "ascend-fleet-seed-models-7.service") in named
    kept = {entry["name"]: entry for entry in plan["kept"]}
    assert kept[IDS[3]]["reason"] == "-e decommission_images=true removes it too"
    assert kept[IDS[3]]["size_bytes"] == 1024
    weights = kept[str(host.of_unit / "models" / "M")]
    assert weights["size_bytes"] > 0
    assert weights["reason"] == "-e decommission_artifacts=true removes it too"
    assert str(host.named / "models" / "theirs") in kept
    done = run("units", "sharing")
    assert {name for _phase, _kind, name in named if _phase in ("units", "sharing")} <= set(done["removed"])
    assert host.running == []
    assert host.containers == []
    assert not (host.unit_dir / UNIT).exists()
    assert run(state="planned", what=None)["plan"]["replicas"] == []


def test_tags_decide_what_goes(host: Host, run: Run) -> None:
    host.deploy()
    assert run(state="planned", what=None, run_tags=["artifacts"])["plan"]["phases"] == ["mirror", "sharing"]
    every = run(state="planned", what=None, skip_tags=["serve"], images=True, artifacts=True)["plan"]["phases"]
    assert every == ["mirror", "images", "artifacts"]
    assert run(state="planned", what=None, run_tags=["nonsense"])["plan"]["removed"] == []


def test_a_mirror_is_stopped_and_keeps_its_configuration_where_it_stays(host: Host, run: Run) -> None:
    host.configuration.mkdir(parents=True)
    nginx = host.configuration / "mirror-nginx.conf"
    nginx.write_text("http {}\n")
    unit = host.unit_dir / "ascend-fleet-mirror.service"
    unit.write_text("[Unit]\n")
    host.running.append(unit.name)
    run("service")
    assert nginx.exists()
    done = run("mirror", "service")
    assert [str(unit), str(nginx)] == [name for name in done["removed"] if name in (str(unit), str(nginx))]
    assert host.running == []
    assert not unit.exists()
    assert not host.configuration.exists()
    assert not run("mirror", "service")["changed"]


def test_a_docker_that_does_not_answer_is_an_error(host: Host, run: Run) -> None:
    host.deploy()
    host.images = None  # type: ignore[assignment]
    result = run(state="planned", what=None)
    assert result["failed"]
    assert "docker" in result["msg"]
