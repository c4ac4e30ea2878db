# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet_state, fleet_state_info and fleet_lease as Ansible calls them, on one host."""

from __future__ import annotations

import contextlib
import io
import json
import os

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._driver import record
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import deployment, lease, state
from ansible_collections.ascend.fleet.plugins.modules import (
    fleet_lease,
    fleet_state,
    fleet_state_info,
    vllm_status_info,
)

CHANGE = "20261130T061500Z-upgrade"


def unit(number=0, config="a"):
    return {
        "name": "vllm-m@%d.service" % number, "replica": number, "container_name": "vllm-m-%d" % number,
        "config_hash": config * 64, "image": "sha256:1", "content": "text", "environment": {}, "directories": [],
        "url": "http://127.0.0.1:%d" % (8010 + number), "served_model_name": "m", "port": 8010 + number,
        "release": "r_v0", "indices": [number],
    }  # fmt: skip


def wanted(name="r_v0", config="a"):
    return {"release": {"release": name}, "units": [unit(config=config)], "secrets": {"VLLM_API_KEY": "key-of-m"}}


class Host:
    """The folder of a host, and the units that are deployed."""

    def __init__(self, folder):
        self.folder = folder
        self.deployed = [unit()]

    def call(self, module, check=False, **arguments):
        out = io.StringIO()
        given = patch_module_args({**arguments, "_ansible_check_mode": check})
        with given, contextlib.redirect_stdout(out), pytest.raises(SystemExit):
            module.main()
        return json.loads(out.getvalue())

    def record(self, word, check=False, **arguments):
        return self.call(fleet_state, check, state=word, by="alice@ctl", **arguments)

    def about(self, **arguments):
        return self.call(fleet_state_info, **arguments)

    def lease(self, word="taken", check=False, holder="alice", **arguments):
        known = {"holder": holder, "controller": "ctl", "change": CHANGE, "process": {}}
        return self.call(fleet_lease, check, state=word, **{**known, **arguments})

    def files(self):
        return sorted(
            os.path.relpath(os.path.join(place, name), self.folder)
            for place, _folders, names in os.walk(self.folder)
            for name in names
        )


@pytest.fixture
def host(monkeypatch, tmp_path):
    found = Host(str(tmp_path / "ascend-fleet"))
    for module in (deployment, state, lease, record):
        for function in vars(module).values():
            defaults = getattr(function, "__defaults__", None)
            if defaults and deployment.FOLDER in defaults:
                changed = tuple(found.folder if value == deployment.FOLDER else value for value in defaults)
                monkeypatch.setattr(function, "__defaults__", changed)
    wrapped = state.folder_lock.__wrapped__
    monkeypatch.setattr(wrapped, "__defaults__", (found.folder, 0.2))
    monkeypatch.setattr(fleet_state_info, "deployed", lambda: found.deployed)
    return found


def test_an_empty_host_has_an_empty_state(host):
    found = host.about()
    assert found["state"] == state.empty()
    assert (found["lease"], found["kept"], found["runs_last_good"], found["rollback_to"]) == (None, [], None, None)
    assert host.files() == []


def test_what_serves_is_recorded_once(host):
    found = host.record("good", **wanted())
    assert found["changed"], found
    assert len(found["digest"]) == 64
    assert host.files() == ["deployments/%s.json" % found["digest"], "state.json"]
    assert found["state"]["last_good"]["digest"] == found["digest"]
    assert "key-of-m" not in json.dumps(found)
    assert '"last_good": null' in found["diff"]["before"]
    again = host.record("good", **wanted())
    assert (again["changed"], again["diff"]["before"]) == (False, again["diff"]["after"])
    about = host.about(deployment="last_good")
    assert (about["runs_last_good"], about["rollback_to"]) == (True, None)
    assert about["deployment"]["units"] == [unit()]
    assert about["deployment"]["release"] == {"release": "r_v0"}
    assert about["deployment"]["replicas"][0]["unit"] == "vllm-m@0.service"
    assert about["deployment"]["endpoints"][0]["port"] == 8010


def test_a_deployment_that_is_damaged_is_kept_anew(host):
    digest = host.record("good", **wanted())["digest"]
    path = deployment.path_of(digest, host.folder)
    with open(path, "w", encoding="utf-8") as handle:
        handle.write("{")
    assert "it is not JSON" in host.about()["problems"][0]
    assert host.about()["runs_last_good"] is None
    assert "it is not JSON" in host.about(deployment="last_good")["msg"]
    assert host.record("good", **wanted())["changed"]
    assert host.about()["problems"] == []


def test_an_upgrade_and_back(host):
    old = host.record("good", **wanted())["digest"]
    begun = host.record("begun", change=CHANGE, kind="upgrade", **wanted("r_v1", "b"))
    assert (begun["changed"], begun["goes_on"], begun["state"]["change"]["step"]) == (True, False, "staged")
    new = begun["digest"]
    assert host.about()["kept"] == sorted([old, new])
    again = host.record("begun", change="c2", kind="upgrade", **wanted("r_v1", "b"))
    assert (again["goes_on"], again["state"]["change"]["id"]) == (True, "c2")
    assert host.record("step", change="c2", step="baking")["state"]["change"]["step"] == "baking"
    assert not host.record("step", change="c2", step="baking")["changed"]
    assert host.about()["rollback_to"]["digest"] == old
    # The kept deployment is enough to go by: neither release nor units are given.
    done = host.record("good", change="c2", deployment=new, replicas={"vllm-m@0.service": {"start_seconds": 9.5}})
    assert done["state"]["replicas"]["vllm-m@0.service"]["start_seconds"] == 9.5
    assert done["state"]["previous_good"]["digest"] == old
    host.deployed = [unit(config="b")]
    about = host.about(deployment="rollback_to")
    assert (about["runs_last_good"], about["deployment"]["digest"]) == (True, old)
    assert about["deployment"]["secrets"] == {"VLLM_API_KEY": "key-of-m"}
    host.record("begun", change="c3", kind="rollback", deployment=old)
    back = host.record("good", change="c3", deployment=old)
    assert (back["state"]["last_good"]["digest"], back["state"]["previous_good"]) == (old, None)
    assert host.about()["runs_last_good"] is False
    host.deployed = [unit()]
    assert (
        "found no deployment recorded on this host as good before what serves now"
        in host.about(deployment="rollback_to")["msg"]
    )


def test_a_change_that_failed_is_told(host):
    host.record("good", **wanted())
    host.record("begun", change=CHANGE, kind="upgrade", **wanted("r_v1", "b"))
    found = host.record("ended", change=CHANGE, outcome="failed", why="not ready")
    assert (found["state"]["change"], found["state"]["history"][-1]["why"]) == (None, "not ready")
    assert not host.record("ended", change=CHANGE, outcome="failed", why="not ready")["changed"]


def test_check_mode_writes_nothing(host):
    found = host.record("good", check=True, **wanted())
    assert (found["changed"], found["state"]["last_good"]["release"]) == (True, "r_v0")
    assert host.lease(check=True)["changed"]
    assert host.files() == []
    host.record("good", **wanted())
    assert not host.record("good", check=True, **wanted())["changed"]


def test_what_nothing_needs_is_removed(host):
    digests = [host.record("good", **wanted("r_v%d" % n))["digest"] for n in range(7)]
    about = host.about()
    assert len(about["kept"]) == deployment.KEPT
    assert set(digests[-2:]) <= set(about["kept"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"state": "begun", "change": CHANGE}, "release, deployment"),
        ({"state": "begun", "change": "../x", "deployment": "0" * 64}, "found the change '../x'"),
        ({"state": "step", "change": CHANGE}, "step"),
        ({"state": "step", "change": CHANGE, "step": "baking"}, "found no change under way"),
        ({"state": "ended", "change": CHANGE}, "outcome"),
        ({"state": "good", "release": {"release": "r"}}, "units"),
        ({"state": "good", "release": {"release": "r"}, "units": [{}]}, "units[0] has no name"),
        ({"state": "good", "deployment": "0" * 64}, "found no "),
        ({"state": "good", "deployment": "0" * 64, "release": {}, "units": []}, "mutually exclusive"),
    ],
)
def test_bad_input_records_nothing(host, arguments, words):
    found = host.call(fleet_state, **arguments)
    assert found["failed"]
    assert words in found["msg"]
    assert host.files() == []


def test_a_damaged_state_is_never_overwritten(host):
    host.record("good", **wanted())
    path = os.path.join(host.folder, "state.json")
    with open(path, "w", encoding="utf-8") as handle:
        handle.write("{}")
    assert "its schema is None" in host.record("good", **wanted())["msg"]
    assert "its schema is None" in host.about()["msg"]
    with open(path, encoding="utf-8") as handle:
        assert handle.read() == "{}"


def test_a_name_that_is_no_deployment_is_refused(host):
    assert "found the deployment '../../etc'" in host.about(deployment="../../etc")["msg"]
    assert "found no deployment recorded on this host as last good" in host.about(deployment="last_good")["msg"]


def test_a_second_operator_is_refused_until_the_first_gives_back(host):
    found = host.lease(what="upgrade to r_v1")
    assert (found["changed"], found["taken_from"]) == (True, None)
    assert not host.lease()["changed"]
    assert host.about()["lease"]["owner"] == "alice@ctl"
    refused = host.lease(holder="bob", change="c2")
    assert "alice@ctl holds the fleet for %s (upgrade to r_v1)" % CHANGE in refused["msg"]
    assert not host.lease("released", holder="bob", change="c2")["changed"]
    assert not host.lease("renewed")["changed"]
    assert host.lease("released", check=True)["changed"]
    assert host.lease("released")["lease"] is None
    assert host.lease(holder="bob", change="c2")["changed"]
    assert "needed the lease of %s by alice@ctl" % CHANGE in host.lease("renewed")["msg"]


def test_a_stale_lease_is_taken_over_by_name(host, monkeypatch):
    host.lease()
    now = fleet_lease.time.time() + lease.ALIVE_SECONDS
    monkeypatch.setattr(fleet_lease.time, "time", lambda: now)
    assert "fleet_lease_take_over=alice@ctl" in host.lease(holder="bob", change="c2")["msg"]
    found = host.lease(holder="bob", change="c2", take_over="alice@ctl")
    assert found["taken_from"]["holder"] == "alice"
    assert host.about()["lease"]["holder"] == "bob"


def test_the_status_of_a_host_shows_what_is_recorded(host, monkeypatch):
    monkeypatch.setattr(vllm_status_info, "deployed", list)
    host.record("good", **wanted())
    host.lease()
    found = host.call(vllm_status_info)
    assert found["recorded"]["last_good"]["release"] == "r_v0"
    assert found["recorded"]["lease"]["alive"] is True
    assert set(found["recorded"]) == {"change", "last_good", "previous_good", "replicas", "lease", "driver"}
    assert found["recorded"]["driver"] is None
    assert found["problems"] == []
    with open(os.path.join(host.folder, "lease.json"), "w", encoding="utf-8") as handle:
        handle.write("{")
    found = host.call(vllm_status_info)
    assert found["recorded"] is None
    assert "lease.json damaged" in found["problems"][0]


def test_the_status_of_a_host_shows_that_it_is_in_maintenance_for_its_driver(host, monkeypatch):
    monkeypatch.setattr(vllm_status_info, "deployed", list)
    opened = record.begin(
        record.empty(), change="C-driver", by="alice@ctl", now=1.0, release="r", wanted={"driver": "25.5.0"}, found={},
        installs=[], before={},
    )  # fmt: skip
    os.makedirs(host.folder)
    record.write(opened, host.folder)
    found = host.call(vllm_status_info)["recorded"]["driver"]
    assert (found["id"], found["step"], found["wanted"]) == ("C-driver", "preparing", {"driver": "25.5.0"})
    assert "before" not in found


def test_a_lease_needs_a_holder_and_a_change(host):
    assert "found no holder" in host.lease(holder="")["msg"]
    assert "found the change" in host.lease(change="a b")["msg"]


def test_benchmarks_are_returned_where_they_are_asked_for(host, monkeypatch):
    assert "benchmarks" not in host.about()
    monkeypatch.setattr(fleet_state_info.history, "read", lambda: ([], ["x.json was left out: it is not JSON"]))
    found = host.about(benchmarks=True)
    assert (found["benchmarks"], found["problems"]) == ([], ["x.json was left out: it is not JSON"])


def test_benchmarks_that_cannot_be_read_are_not_taken_for_none(host, monkeypatch):
    def read():
        raise fleet_state_info.history.HistoryError("found x.json unreadable")

    monkeypatch.setattr(fleet_state_info.history, "read", read)
    found = host.about(benchmarks=True)
    assert (found["benchmarks"], found["problems"]) == (None, ["found x.json unreadable"])
