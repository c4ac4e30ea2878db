# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data of this collection go wherever they lie; what is beside them stays."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import host_data
from ansible_collections.ascend.fleet.plugins.module_utils._base import command
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import Docker
from ansible_collections.ascend.fleet.plugins.module_utils._images import records
from ansible_collections.ascend.fleet.plugins.modules import fleet_decommission

IDS = ["sha256:" + digit * 64 for digit in "1234567"]
Run = Callable[..., dict[str, Any]]


class Host:
    """A root of our own, one that variables name, one that only a unit names, and docker."""

    def __init__(self, base: Path) -> None:
        self.own, self.named, self.of_unit = base / "own", base / "named", base / "unit"
        self.configuration = base / "etc" / "ascend-fleet"
        self.units: list[dict[str, Any]] = []
        self.images = list(IDS)
        self.containers: list[dict[str, Any]] = []
        self.absent = False
        self.warnings: list[str] = []
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
        weights = str(self.of_unit / "models" / "M")
        self.units = [{"weights": weights, "directory": str(self.own / "replicas" / "r"), "image": IDS[3]}]

    def __call__(self, argv: list[str], **options: Any) -> command.Completed:
        if self.absent:
            return command.Completed(tuple(argv), 127, "", "docker: No such file or directory", False)
        text = ""
        if argv[1:3] == ["image", "ls"]:
            text = "\n".join(json.dumps({"ID": i, "Repository": "<none>", "Tag": "<none>"}) for i in self.images)
        elif argv[1] == "ps":
            text = " ".join(str(n) for n in range(len(self.containers)))
        elif argv[1:3] == ["container", "inspect"]:
            text = json.dumps(self.containers)
        elif argv[1:3] == ["image", "rm"]:
            self.images.remove(argv[-1])
        else:
            raise AssertionError(argv)
        return command.Completed(tuple(argv), 0, text, "", False)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fleet_decommission, "Docker", lambda **options: Docker(run=host, **options))
    monkeypatch.setattr(fleet_decommission._units, "deployed", lambda: host.units)
    # Ansible keeps warnings for the whole process.
    monkeypatch.setattr(fleet_decommission.AnsibleModule, "warn", lambda self, text: host.warnings.append(text))
    return host


@pytest.fixture
def run(host: Host, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*what: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        arguments = {
            "what": list(what),
            "own_roots": [str(host.own)],
            "roots": ["", str(host.named)],
            "configuration": str(host.configuration),
            **arguments,
            "_ansible_check_mode": check,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            fleet_decommission.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return run


def test_artifacts_go_wherever_variables_and_units_say_they_are(host: Host, run: Run) -> None:
    host.deploy()
    foreseen = run("artifacts", check=True)
    assert (host.of_unit / "models" / "M").exists()
    assert run(state="noted")["changed"]
    assert not run(state="noted")["changed"]
    host.units = []  # removed; then the run was interrupted
    done = run("artifacts")
    assert set(foreseen["removed"]) <= set(done["removed"])
    assert {str(host.named / "models" / "M"), str(host.of_unit / "models" / "M")} <= set(done["removed"])
    assert not host.of_unit.exists()
    assert [p.name for p in (host.named / "models").iterdir()] == ["theirs"]
    assert [p.name for p in host.own.iterdir()] == ["replicas"]
    assert not run("artifacts")["changed"]


def test_the_configuration_with_its_note_goes_last(host: Host, run: Run) -> None:
    host.deploy()
    run(state="noted")
    host.units = []
    done = run("service")
    assert done["removed"][-1] == str(host.configuration)
    assert not host.configuration.exists()
    assert not (host.own / "replicas").exists()
    assert (host.own / "models" / "M").exists()
    assert not run("service")["changed"]


def test_all_images_of_the_collection_go_by_their_ids(host: Host, run: Run) -> None:
    recorded, of_a_former_release, in_an_archive, of_unit, used, theirs, other = IDS
    host.deploy()
    records.write_record(str(host.own / "images"), recorded)
    records.write_record(str(host.named / "images"), of_a_former_release)
    records.write_record(str(host.own / "images"), used)
    remembered = {"signature": [], "images": [{"config_digest": in_an_archive, "manifest_digests": []}]}
    (host.own / "images" / "a.tar.json").write_text(json.dumps(remembered))
    host.containers = [
        {"Image": used, "Name": "/somebody", "Config": {}},
        {"Image": recorded, "Name": "/vllm-0", "Config": {"Labels": {"ascend.fleet.managed": "true"}}},
    ]
    foreseen = run("images", check=True)
    assert host.images == IDS
    done = run("images")
    assert foreseen["removed"] == done["removed"] == sorted([recorded, of_a_former_release, in_an_archive, of_unit])
    assert host.images == [used, theirs, other]
    assert "found the container somebody" in host.warnings[-1]
    assert records.has_record(str(host.own / "images"), used), "forgotten although it is there"
    host.containers = []
    run("images")
    assert host.images == [theirs, other]
    assert not (host.own / "images").exists()
    assert not (host.named / "images").exists()
    host.units = []
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
    left = tmp_path / "home" / ".ansible_async" / "ascend-fleet-1"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    assert str(left) not in run(what=["artifacts"])["removed"]
    assert str(left) in run(what=["service"])["removed"]
    assert not left.exists()
