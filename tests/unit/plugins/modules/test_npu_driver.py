# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""npu_driver, npu_driver_state and npu_driver_info as Ansible calls them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._driver import host as driver_host
from ansible_collections.ascend.fleet.plugins.module_utils._driver import installer, package, pollers, record
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import deployment, state
from ansible_collections.ascend.fleet.plugins.modules import npu_driver, npu_driver_info, npu_driver_state

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))

import driver_host as example

CHANGE = "20261130T061500Z-driver"


def call(module, check=False, **arguments):
    out = io.StringIO()
    given = patch_module_args({**arguments, "_ansible_check_mode": check})
    with given, contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        module.main()
    return json.loads(out.getvalue())


def redirect(monkeypatch, folder):
    """Everything that would lie in the folder of the host lies here."""
    for part in (record, state, deployment, driver_host):
        for function in vars(part).values():
            defaults = getattr(function, "__defaults__", None)
            if defaults and deployment.FOLDER in defaults:
                changed = tuple(folder if value == deployment.FOLDER else value for value in defaults)
                monkeypatch.setattr(function, "__defaults__", changed)
    wrapped = state.folder_lock.__wrapped__
    monkeypatch.setattr(wrapped, "__defaults__", (folder, *wrapped.__defaults__[1:]))


@pytest.fixture
def folder(monkeypatch, tmp_path):
    place = str(tmp_path / "ascend-fleet")
    redirect(monkeypatch, place)
    return Path(place)


# - the installer -


@pytest.fixture
def run(monkeypatch, folder, tmp_path):
    """Calls npu_driver; systemd is a process that is left to itself."""
    begun = []

    def execute(argv, *, timeout):
        begun.append(argv)
        words = argv[argv.index("/bin/sh") :]
        subprocess.run(["sh", "-c", 'setsid "$@" < /dev/null > /dev/null 2>&1 &', "sh", *words], check=True)
        return Completed(tuple(argv), 0, "", "", False)

    def make(name):
        return of_class(name, folder=str(folder), execute=execute)

    of_class = installer.Installation
    monkeypatch.setattr(npu_driver.installer, "Installation", make)
    monkeypatch.setattr(npu_driver, "_LOOK_SECONDS", 0.05)

    def read(path):
        return package.Package(path, hashlib.sha256(Path(path).read_bytes()).hexdigest(), 1)

    monkeypatch.setattr(npu_driver.package, "read", read)
    path = tmp_path / "package.run"

    def it(text="exit 0\n", check=False, **more):
        path.write_text("#!/bin/sh\n" + text)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        arguments = {"path": str(path), "sha256": digest, "run": "20261130T061500Z-driver", **more}
        return call(npu_driver, check, **arguments)

    it.begun = begun
    return it


def test_it_is_run_once(run, tmp_path):
    progress = tmp_path / "progress"
    text = 'echo "upgradePercentage:100%"; exit 2\n'
    first = run(text, progress=str(progress))
    assert (first["changed"], first["begun"], first["exit_code"], first["settled"]) == (True, True, 2, True)
    # A job whose result has this key counts as one that has not ended.
    assert "started" not in first
    told = json.loads(progress.read_text())
    assert (told["state"], told["percent"], told["said"]) == ("ended", 100, "upgradePercentage:100%")
    again = run(text, check_settled=True)
    assert (again["changed"], again["settled"], again["exit_code"]) == (False, True, 2)
    assert len(run.begun) == 1


def test_first_it_only_looks(run):
    found = run(check_settled=True)
    assert (found["settled"], found["changed"]) == (False, True)
    assert run(check=True)["changed"] is True
    assert run.begun == []


def test_another_file_than_the_release_names_is_not_run(run):
    found = run(sha256="0" * 64)
    assert found["failed"]
    assert "needed " + "0" * 64 in found["msg"]
    assert run.begun == []


def test_a_failure_stays_one_until_a_person_says_otherwise(run):
    for _time in range(2):
        found = run("echo broken; exit 1\n")
        assert (found["failed"], found["exit_code"]) == (True, 1)
        assert "npu_driver_retry=true" in found["msg"]
        assert "it last said: broken" in found["msg"]
    assert len(run.begun) == 1
    assert run("exit 0\n", retry=True)["exit_code"] == 0
    assert len(run.begun) == 2


def test_a_package_that_is_not_there(run, tmp_path):
    found = call(npu_driver, path=str(tmp_path / "none.run"), sha256="0" * 64, run="x")
    assert found["failed"]


# - the record -


class Systemd:
    """What of systemd the record asks for."""

    def __init__(self, timeout):
        pass


@pytest.fixture
def note(monkeypatch, folder):
    did = []
    boot = {"id": "boot-1"}
    monkeypatch.setattr(npu_driver_state, "Systemd", Systemd)

    class Host:
        def read(self, path):
            return boot["id"] + "\n"

    monkeypatch.setattr(npu_driver_state, "Host", Host)
    monkeypatch.setattr(pollers, "look", lambda systemd, names, known: known or [{"name": n} for n in names])
    monkeypatch.setattr(pollers, "stop", lambda systemd, noted, check: did.append("stop") or True)
    monkeypatch.setattr(
        pollers, "restore", lambda systemd, noted, units, check: did.append("restore " + ",".join(units)) or True
    )

    def it(word, check=False, change=CHANGE, **more):
        return call(npu_driver_state, check, state=word, change=change, by="alice@ctl", **more)

    it.did, it.boot = did, boot
    return it


PLAN = {
    "wanted": {"driver": "25.5.0"},
    "found": {"driver": "25.2.0"},
    "installs": [],
    "before": {"chips": []},
    "bmc": "192.0.2.1",
}


def test_a_host_goes_into_maintenance_and_out_of_it(note):
    first = note("begun", plan=PLAN, release="r_v1")
    assert (first["changed"], first["goes_on"], first["boot_id"]) == (True, False, "boot-1")
    assert first["state"]["change"]["by"] == "alice@ctl"
    quiet = note("quiet", pollers=["npu-exporter.service"], units=["vllm-m@0.service"])
    assert quiet["state"]["change"]["pollers"] == [{"name": "npu-exporter.service"}]
    stepped = note("step", step="rebooting", rebooted=True)["state"]["change"]
    assert (stepped["reboots"], stepped["boot_id"]) == (1, "boot-1")
    # It was noted and did not come: the next run makes up for it, and counts it once.
    assert note("step", step="rebooting", rebooted=True)["state"]["change"]["reboots"] == 1
    note.boot["id"] = "boot-2"
    assert note("step", step="rebooting", rebooted=True)["state"]["change"]["reboots"] == 2
    failed = note("failed", why="a chip less")
    assert failed["state"]["change"]["why"] == "a chip less"
    again = note("begun", change="later", plan=PLAN, release="r_v1")
    assert (again["goes_on"], again["run"]) == (True, first["run"])
    note("serving", change="later")
    assert note.did == ["stop", "restore vllm-m@0.service"]
    ended = note("ended", change="later", replicas={"vllm-m@0.service": {"out_seconds": 9.0}})
    assert (ended["state"]["change"], ended["run"], len(ended["state"]["history"])) == (None, "", 1)
    assert note("ended", change="later")["changed"] is False


def test_check_mode_writes_nothing(note, folder):
    assert note("begun", check=True, plan=PLAN, release="r")["changed"] is True
    assert not folder.exists()


def test_another_change_is_refused(note):
    note("begun", plan=PLAN, release="r")
    assert "found the change %s" % CHANGE in note("step", change="other", step="installing")["msg"]
    assert "without wanted" in note("begun", plan={}, release="r")["msg"]
    assert "needed a name of letters" in note("failed", change="a b", why="x")["msg"]


# - what is read -


@pytest.fixture
def looks(monkeypatch):
    nodes = []
    monkeypatch.setattr(driver_host, "look", lambda host, root: {"node": nodes.pop(0) if len(nodes) > 1 else nodes[0]})
    monkeypatch.setattr(npu_driver_info.time, "sleep", lambda seconds: None)
    return nodes


WANTED = {"driver": "25.5.0", "firmware": "25.5.0"}


def test_it_waits_until_the_driver_is_up(looks):
    looks += [example.node("25.5.0", chips=0), example.node("25.5.0", chips=7), example.node("25.5.0")]
    before = driver_host_snapshot()
    found = call(npu_driver_info, wanted=WANTED, before=before, wait=60)
    assert found["verdict"] == {"good": True, "problems": [], "notes": [], "again": False}


def driver_host_snapshot():
    return npu_driver_info.compare.snapshot(example.node())


def test_without_time_it_looks_once(looks):
    looks += [example.node("25.5.0", chips=7), example.node("25.5.0")]
    found = call(npu_driver_info, wanted=WANTED, before=driver_host_snapshot())
    assert found["verdict"]["good"] is False
    assert "needed 8 as before" in found["verdict"]["problems"][0]
    assert "verdict" not in call(npu_driver_info)


def test_packages_are_read_and_one_that_is_damaged_is_told(looks, tmp_path):
    looks += [example.node()]
    damaged = tmp_path / "x.run"
    damaged.write_text("nothing")
    asked = [{"file": str(damaged), "path": "x.run"}, {"file": str(tmp_path / "none.run"), "path": "none.run"}]
    [found] = call(npu_driver_info, packages=asked)["packages"]
    assert (found["path"], "no header of Makeself" in found["problem"]) == ("x.run", True)
