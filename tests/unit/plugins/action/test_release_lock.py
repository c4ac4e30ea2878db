# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions that make and write locks: on which releases, from which answers, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.action import release_lock, release_lock_info
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import names, plan
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.manifest import Manifest, dump_manifest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.tree import Wanted
from ansible_collections.ascend.fleet.plugins.plugin_utils import _locks, _releases

NAME = "qwen3_5_27b_v0"
ONE, TWO = "1" * 40, "2" * 40
SHA, OTHER = "a" * 64, "b" * 64
ID = "sha256:" + "c" * 64
A2 = "image a2/any"
RELEASE = _releases.load(_releases.SHIPPED / (NAME + ".yml"))
PATH = RELEASE["images"][0]["path"]


def answer(entry: str, commit: str = ONE, sha256: str = SHA, asked: bool = False, **more: Any) -> dict[str, Any]:
    path = (
        "config.json"
        if entry == "model"
        else next(i["path"] for i in RELEASE["images"] if entry[6:8] == i["generation"])
    )
    files = [{"path": path, "sha256": sha256, "size_bytes": 2}]
    about = {"release": NAME, "entry": entry, "asked": asked, "commit": commit, "files": files, "image_id": None}
    return {**about, **more}


class Fleet:
    """An inventory with two A2 hosts, and what they have registered."""

    def __init__(self, folder: Path) -> None:
        self.inventory = folder / "inventory"
        self.inventory.mkdir()
        self.groups: dict[str, list[str]] = {"npu_hosts": ["h1", "h2"]}
        self.hosts: dict[str, dict[str, Any]] = {
            name: {"fleet_release": NAME, "npu_generation": "a2"} for name in ("h1", "h2")
        }
        self.variables: dict[str, Any] = {"inventory_dir": str(self.inventory)}
        self.playing = ["h1", "h2"]

    @property
    def file(self) -> Path:
        return self.inventory / "releases" / (NAME + ".lock.yml")

    def says(self, host: str, *answers: dict[str, Any], obstacles: tuple[str, ...] = ()) -> None:
        self.hosts[host]["said"] = {
            "answers": list(answers), "obstacles": list(obstacles), "generations": ["a2"], "architecture": "aarch64"
        }  # fmt: skip

    def run(self, check: bool = False, **arguments: Any) -> dict[str, Any]:
        return run(
            release_lock.ActionModule,
            {"answers_of": ["said"], **arguments},
            check,
            groups=self.groups,
            hostvars=self.hosts,
            ansible_play_hosts_all=self.playing,
            ansible_play_hosts=self.playing,
            **self.variables,
        )


def run(plugin: Any, arguments: dict[str, Any], check: bool = False, **task_vars: Any) -> dict[str, Any]:
    task = MagicMock(async_val=0, args=arguments, check_mode=check, diff=True)
    task.action = plugin.__module__
    action = plugin(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    action._templar.template = lambda value: value
    found: dict[str, Any] = action.run(task_vars=task_vars)
    return found


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def complete(fleet: Fleet) -> None:
    fleet.says("h1", answer(A2), answer("model", TWO))
    assert fleet.run()["changed"]


def test_a_fleet_without_a_lock_is_told_what_is_open_and_nothing_is_written(fleet: Fleet) -> None:
    found = fleet.run(write=False)
    assert [entry["entry"] for entry in found["open"]] == [A2, "model"]
    assert (found["ask"], found["changed"]) == (["h1", "h2"], False)
    assert not list(fleet.inventory.glob("releases/*"))


def test_the_lock_is_made_from_what_a_host_holds_and_then_stays(fleet: Fleet) -> None:
    fleet.says("h1", answer(A2, image_id=ID), answer("model", TWO))
    fleet.says("h2")
    first = fleet.run()
    assert first["changed"]
    lock = yaml.safe_load(fleet.file.read_text())
    assert (lock["images"][0]["commit"], lock["images"][0]["image_id"], lock["model"]["commit"]) == (ONE, ID, TWO)
    assert fleet.file.stat().st_mode & 0o777 == 0o644
    assert first["diff"][0]["after"] == fleet.file.read_text()
    text = fleet.file.read_text()
    fleet.says("h2", answer(A2, TWO, OTHER), answer("model", ONE, OTHER))
    assert not fleet.run()["changed"]
    assert fleet.file.read_text() == text


def test_check_mode_writes_nothing_and_shows_what_it_would_write(fleet: Fleet) -> None:
    fleet.says("h1", answer(A2), answer("model"))
    found = fleet.run(check=True)
    assert found["changed"]
    assert ONE in found["diff"][0]["after"]
    assert not (fleet.inventory / "releases").exists()


def test_hosts_that_differ_make_no_lock(fleet: Fleet) -> None:
    fleet.says("h1", answer(A2), answer("model"))
    fleet.says("h2", answer(A2, TWO, OTHER), answer("model"))
    found = fleet.run()
    assert found["failed"]
    for words in ("commit %s" % ONE, "on h1", "commit %s" % TWO, "on h2", "fleet_relock"):
        assert words in found["msg"]
    assert not fleet.file.exists()


def test_what_hosts_hold_comes_before_what_a_source_says(fleet: Fleet) -> None:
    fleet.says("h1", answer(A2, TWO, OTHER, asked=True), answer("model", TWO, OTHER, asked=True))
    fleet.says("h2", answer(A2), answer("model", asked=True))
    fleet.groups["artifact_mirrors"] = ["h2"]
    fleet.run()
    lock = yaml.safe_load(fleet.file.read_text())
    assert (lock["images"][0]["commit"], lock["model"]["commit"]) == (ONE, ONE)


def test_of_several_that_were_asked_the_first_decides(fleet: Fleet) -> None:
    fleet.says("h1", answer(A2, asked=True), answer("model", asked=True))
    fleet.says("h2", answer(A2, TWO, OTHER, asked=True), answer("model", TWO, OTHER, asked=True))
    assert fleet.run()["changed"]
    assert yaml.safe_load(fleet.file.read_text())["model"]["commit"] == ONE


def test_what_nobody_can_tell_is_an_error_with_what_each_host_said(fleet: Fleet) -> None:
    fleet.says("h1", answer(A2), obstacles=("weights: no route",))
    found = fleet.run()
    assert found["failed"]
    for words in ("model of %s" % NAME, "h1: weights: no route", "fleet_bundle"):
        assert words in found["msg"]
    assert not fleet.file.exists()
    foreseen = fleet.run(check=True)
    assert foreseen["changed"]
    assert "h1: weights: no route" in foreseen["warnings"][0]


def test_renewing_takes_what_is_now_and_keeps_the_id_of_the_same_archive(fleet: Fleet) -> None:
    fleet.says("h1", answer(A2, image_id=ID), answer("model"))
    fleet.run()
    fleet.says("h1", answer(A2, TWO, asked=True), answer("model", TWO, OTHER, asked=True))
    assert [entry["entry"] for entry in fleet.run(renew=True, write=False, answers_of=[])["open"]] == [A2, "model"]
    assert fleet.run(renew=True)["changed"]
    lock = yaml.safe_load(fleet.file.read_text())
    assert (lock["images"][0]["commit"], lock["images"][0]["image_id"], lock["model"]["commit"]) == (TWO, ID, TWO)
    assert not fleet.run(renew=True)["changed"]


def test_renewing_mends_a_damaged_lock(fleet: Fleet) -> None:
    complete(fleet)
    fleet.file.write_text("nonsense: [")
    assert fleet.run()["failed"]
    assert fleet.run(renew=True)["changed"]
    assert not fleet.run().get("failed")


def test_a_generation_that_joins_is_added_at_the_commit_of_the_same_branch(fleet: Fleet) -> None:
    complete(fleet)
    fleet.hosts["h3"] = {"fleet_release": NAME, "npu_generation": "a3"}
    fleet.groups["npu_hosts"].append("h3")
    assert fleet.run(write=False)["open"] == [{"release": NAME, "entry": "image a3/any", "commit": ONE}]


@pytest.mark.parametrize("check", [False, True])
def test_a_place_that_cannot_be_written_is_an_error_before_anything_is_asked(fleet: Fleet, check: bool) -> None:
    (fleet.inventory / "releases").write_text("a file")
    found = fleet.run(write=False, check=check)
    assert found["failed"]
    for words in (str(fleet.file), "needed a folder", "fleet_lock_path"):
        assert words in found["msg"]


def test_a_complete_lock_needs_no_writable_place(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    complete(fleet)
    monkeypatch.setattr(_locks, "check_place", lambda *words, **more: pytest.fail("the place was tried"))
    assert fleet.run(write=False)["open"] == []


def test_a_place_of_its_own_is_absolute(fleet: Fleet, tmp_path: Path) -> None:
    fleet.variables["fleet_lock_path"] = "locks"
    assert "absolute path" in fleet.run(write=False)["msg"]
    fleet.variables["fleet_lock_path"] = str(tmp_path / "locks")
    complete(fleet)
    assert [p.name for p in (tmp_path / "locks").iterdir()] == [NAME + ".lock.yml"]


def test_an_inventory_without_a_file_needs_a_place(fleet: Fleet) -> None:
    fleet.variables = {"ansible_inventory_sources": ["h1,h2,"]}
    assert "fleet_lock_path" in fleet.run(write=False)["msg"]


def test_a_release_that_has_changed_since_is_refused_until_it_is_locked_anew(fleet: Fleet) -> None:
    complete(fleet)
    text = fleet.file.read_text()
    fleet.file.write_text(text.replace("revision: main", "revision: v9"))
    found = fleet.run(write=False)
    assert found["failed"]
    assert 'found "v9"; needed "main", as in the release' in found["msg"]
    assert "fleet_relock=true" in found["msg"]
    assert not fleet.run(write=False, renew=True).get("failed")


class TestArchitectures:
    """A release with an archive for each architecture, of which the hosts have one."""

    @pytest.fixture(autouse=True)
    def release(self, monkeypatch: pytest.MonkeyPatch) -> None:
        other = json.loads(json.dumps(RELEASE))
        other["images"] = [dict(other["images"][0], architecture=a) for a in ("aarch64", "x86_64")]
        monkeypatch.setattr(_releases, "by_name", lambda *words: json.loads(json.dumps(other)))

    @staticmethod
    def opened(fleet: Fleet, **arguments: Any) -> list[str]:
        return [entry["entry"] for entry in fleet.run(write=False, **arguments)["open"]]

    @staticmethod
    def are(fleet: Fleet, architecture: str, *hosts: str) -> None:
        for host in hosts:
            fleet.hosts[host]["said"] = {
                "answers": [], "obstacles": [], "generations": ["a2"], "architecture": architecture
            }  # fmt: skip

    def test_nobody_is_asked_for_what_no_host_runs_and_no_later_run_asks_again(self, fleet: Fleet) -> None:
        assert self.opened(fleet, answers_of=[]) == ["image a2/aarch64", "image a2/x86_64", "model"]
        self.are(fleet, "aarch64", "h1", "h2")
        assert self.opened(fleet) == ["image a2/aarch64", "model"]
        fleet.says("h1", answer("image a2/aarch64"), answer("model"))
        assert fleet.run()["changed"]
        unused = yaml.safe_load(fleet.file.read_text())["unused"]
        assert unused == [{"generation": "a2", "architecture": "x86_64", "hosts": ["h1", "h2"]}]
        assert self.opened(fleet, answers_of=[]) == []
        text = fleet.file.read_text()
        assert not fleet.run()["changed"]
        assert fleet.file.read_text() == text

    def test_a_host_that_joins_opens_it_again_and_gets_it_where_it_needs_it(self, fleet: Fleet) -> None:
        fleet.says("h1", answer("image a2/aarch64"), answer("model"))
        self.are(fleet, "aarch64", "h2")
        fleet.run()
        fleet.hosts["h3"] = {"fleet_release": NAME, "npu_generation": "a2"}
        fleet.groups["npu_hosts"].append("h3")
        fleet.playing.append("h3")
        assert self.opened(fleet, answers_of=[]) == ["image a2/x86_64"]
        self.are(fleet, "x86_64", "h3")
        assert "image a2/x86_64" in fleet.run()["msg"]
        fleet.hosts["h3"]["said"]["answers"] = [answer("image a2/x86_64", asked=True)]
        assert fleet.run()["changed"]
        lock = yaml.safe_load(fleet.file.read_text())
        assert "unused" not in lock
        assert [image["architecture"] for image in lock["images"]] == ["aarch64", "x86_64"]

    def test_with_a_limit_only_the_hosts_of_the_run_count(self, fleet: Fleet) -> None:
        fleet.playing = ["h1"]
        fleet.says("h1", answer("image a2/aarch64"), answer("model"))
        assert fleet.run()["changed"]
        assert self.opened(fleet, answers_of=[]) == []
        fleet.playing = ["h1", "h2"]
        assert self.opened(fleet, answers_of=[]) == ["image a2/x86_64"]
        self.are(fleet, "aarch64", "h2")
        assert fleet.run()["changed"]
        fleet.playing = ["h2"]
        assert self.opened(fleet, answers_of=[]) == []

    def test_a_host_that_says_nothing_leaves_it_open(self, fleet: Fleet) -> None:
        fleet.says("h1", answer("image a2/aarch64"), answer("model"))
        assert fleet.run()["changed"]
        assert "unused" not in yaml.safe_load(fleet.file.read_text())
        assert self.opened(fleet, answers_of=[]) == ["image a2/x86_64"]

    def test_an_archive_that_is_left_out_is_fetched_by_nobody(self, fleet: Fleet) -> None:
        self.are(fleet, "aarch64", "h2")
        fleet.says("h1", answer("image a2/aarch64"), answer("model"))
        fleet.run()
        release = _locks.locked_by_name(NAME, fleet.variables)
        assert plan.artifact_plan(release, generation="a2", architecture="aarch64", root="/r")["image"]["commit"] == ONE
        with pytest.raises(plan.SelectionError, match="below `unused` in the lock"):
            plan.artifact_plan(release, generation="a2", architecture="x86_64", root="/r")


class TestSeveralInventories:
    """`-i` given more than once."""

    @pytest.fixture
    def folders(self, fleet: Fleet, tmp_path: Path) -> list[Path]:
        found = [tmp_path / "first", tmp_path / "second"]
        for folder in found:
            folder.mkdir()
        (found[1] / "hosts.yml").write_text("")
        fleet.variables = {"ansible_inventory_sources": ["a,b,", str(found[0]), str(found[1] / "hosts.yml")]}
        return found

    def test_a_new_lock_lies_beside_the_first_that_is_a_file_or_folder(self, fleet: Fleet, folders: list[Path]) -> None:
        complete(fleet)
        assert [len(list(folder.glob("releases/*.lock.yml"))) for folder in folders] == [1, 0]

    def test_one_that_is_there_is_found_beside_any(self, fleet: Fleet, folders: list[Path]) -> None:
        complete(fleet)
        (folders[0] / "releases").rename(folders[1] / "releases")
        assert fleet.run(write=False, answers_of=[])["open"] == []
        assert _locks.path_of(NAME, fleet.variables) == folders[1] / "releases" / (NAME + ".lock.yml")
        assert _locks.locked_by_name(NAME, fleet.variables)["model"]["commit"] == TWO

    def test_two_that_differ_are_an_error_that_names_them(self, fleet: Fleet, folders: list[Path]) -> None:
        complete(fleet)
        (folders[1] / "releases").mkdir()
        twin = folders[1] / "releases" / (NAME + ".lock.yml")
        twin.symlink_to(folders[0] / "releases" / twin.name)
        assert not fleet.run(write=False).get("failed"), "one file under two names"
        twin.unlink()
        twin.write_text((folders[0] / "releases" / twin.name).read_text())
        assert not fleet.run(write=False).get("failed"), "both say the same"
        twin.write_text(twin.read_text().replace(TWO, "3" * 40))
        found = fleet.run(write=False)
        assert found["failed"]
        assert str(twin) in found["msg"]
        assert "found 2 locks of the release" in found["msg"]
        assert "that differ" in found["msg"]
        assert NAME in _locks.check([RELEASE], fleet.variables)


def test_a_bundle_gives_what_no_host_holds(fleet: Fleet, tmp_path: Path) -> None:
    for part in (RELEASE["images"][0], RELEASE["model"]):
        paths = [part["path"]] if "path" in part else part["include"]
        request = _locks.request_of(RELEASE, A2 if "path" in part else "model", root="/x", origin="")
        key = names.request_key(request["identity"], "main", paths, [])
        files = (Wanted(part.get("path", "config.json"), "", SHA, 2, True),)
        target = tmp_path / "bundle" / "artifacts" / "manifests" / (key + ".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dump_manifest(Manifest("x", "main", TWO, files)))
    found = fleet.run(bundle=str(tmp_path / "bundle"), write=False)
    assert found["open"] == []
    assert fleet.run(bundle=str(tmp_path / "bundle"))["changed"]
    assert yaml.safe_load(fleet.file.read_text())["images"][0]["commit"] == TWO
    fleet.file.unlink()
    assert "the bundle in %s" % (tmp_path / "none") in fleet.run(bundle=str(tmp_path / "none"))["msg"]


def loaded(**changes: Any) -> dict[str, Any]:
    return {"release": NAME, "generation": "a2", "architecture": "any", "config_digest": ID, **changes}


def test_the_image_that_was_loaded_joins_the_lock_once(fleet: Fleet) -> None:
    fleet.hosts["h1"]["image"] = loaded()
    assert not fleet.run(images_of="image")["changed"]  # no lock, nothing to hold
    complete(fleet)
    assert fleet.run(images_of="image", check=True)["changed"]
    assert yaml.safe_load(fleet.file.read_text())["images"][0]["image_id"] is None
    assert fleet.run(images_of="image")["changed"]
    assert yaml.safe_load(fleet.file.read_text())["images"][0]["image_id"] == ID
    assert not fleet.run(images_of="image")["changed"]
    fleet.hosts["h2"]["image"] = loaded(config_digest="sha256:" + "d" * 64)
    assert "h2" in fleet.run(images_of="image")["msg"]


def test_a_lock_is_no_release(fleet: Fleet) -> None:
    complete(fleet)
    assert not [name for name in _releases.names([fleet.file.parent]) if "lock" in name]


ENTRIES = [{"release": NAME, "entry": A2, "commit": None}, {"release": NAME, "entry": "model", "commit": TWO}]


class TestInfo:
    """What one host is asked."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """The modules that are run, with their arguments; answers come from ``replies``."""
        seen: list[dict[str, Any]] = []
        self.replies: dict[str, list[dict[str, Any]]] = {}

        def execute(action: Any, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
            assert action._task.check_mode
            kind = module_name.rpartition(".")[2] + ("" if "refresh" not in module_args else " ask")
            if kind == "lfs_artifact":
                assert (module_args["sources"], module_args["origin_fallback"]) == ([], False)
            seen.append({"kind": kind, **module_args})
            replies = self.replies.get(kind, [])
            return replies.pop(0) if replies else {}

        monkeypatch.setattr(release_lock_info.ActionModule, "_execute_module", execute)
        monkeypatch.setattr(
            release_lock_info.ActionModule, "_low_level_execute_command", lambda *words: {"stdout": "x86_64\n"}
        )
        return seen

    def info(self, **arguments: Any) -> dict[str, Any]:
        options = {"open": ENTRIES, "generations": ["a2"], "root": "/data", **arguments}
        return run(release_lock_info.ActionModule, options, playbook_dir="/nowhere")

    @staticmethod
    def reply(path: str, **more: Any) -> dict[str, Any]:
        return {
            "commit": ONE,
            "settled": True,
            "dest": "/kept",
            "files": [{"path": path, "oid": SHA, "size": 2}],
            **more,
        }

    def test_a_host_says_what_it_holds_and_what_docker_has_loaded(self, asked: list[dict[str, Any]]) -> None:
        self.replies["lfs_artifact"] = [self.reply(PATH), {}]
        self.replies["image_load"] = [{"config_digest": ID, "loaded": False}]
        found = self.info()
        assert found["answers"] == [answer(A2, image_id=ID)]
        assert (found["architecture"], found["obstacles"]) == ("x86_64", [])
        assert [call["kind"] for call in asked] == ["lfs_artifact", "image_load", "lfs_artifact"]
        assert asked[1]["path"] == "/kept/" + PATH

    def test_an_image_that_docker_does_not_have_is_not_what_runs(self, asked: list[dict[str, Any]]) -> None:
        self.replies["lfs_artifact"] = [self.reply(PATH)]
        self.replies["image_load"] = [{"config_digest": ID, "loaded": True}]
        assert self.info()["answers"][0]["image_id"] is None

    def test_a_host_of_another_generation_is_not_searched_for_the_archive(self, asked: list[dict[str, Any]]) -> None:
        self.info(generations=["a3"])
        assert [call["layout"] for call in asked] == ["model"]

    def test_what_is_not_there_is_asked_for_at_the_commit_that_the_branch_has(
        self, asked: list[dict[str, Any]]
    ) -> None:
        self.replies["lfs_artifact ask"] = [
            {"commit": ONE, "files": [{"path": PATH, "oid": SHA, "size": 2}]}, {"msg": "no route"}
        ]  # fmt: skip
        found = self.info(ask=ENTRIES, token_file="/t", sources=["http://m"])
        assert found["answers"] == [answer(A2, asked=True)]
        assert found["obstacles"] == ["weights Qwen3.5-27B: no route"]
        calls = [call for call in asked if call["kind"] == "lfs_artifact ask"]
        assert [call["commit"] for call in calls] == [None, TWO]
        assert {(c["token_file"], tuple(c["sources"]), c["refresh"]) for c in calls} == {("/t", ("http://m",), False)}

    def test_two_files_of_one_branch_are_of_one_commit(self, asked: list[dict[str, Any]]) -> None:
        entries = [{"release": NAME, "entry": "image %s/any" % g} for g in ("a2", "a3")]
        self.replies["lfs_artifact ask"] = [{"commit": ONE, "files": []}, {"commit": ONE, "files": []}]
        self.info(open=entries, ask=entries, generations=[])
        assert [call["commit"] for call in asked] == [None, ONE]

    def test_renewing_asks_the_origin_first_and_looks_at_nothing_on_the_host(self, asked: list[dict[str, Any]]) -> None:
        entries = ENTRIES[:1]
        self.replies["lfs_artifact ask"] = [{"msg": "no route"}, {"commit": TWO, "files": []}]
        found = self.info(open=entries, ask=entries, renew=True, sources=["http://m"])
        assert found["answers"][0]["commit"] == TWO
        assert [(call["sources"], call["refresh"]) for call in asked] == [([], True), (["http://m"], True)]
