# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: the plan in check mode, the report at the end, and the files of both."""

from __future__ import annotations

import json
from unittest.mock import MagicMock

import pytest
from ansible_collections.ascend.fleet.plugins.action import upgrade_report as plugin

UNIT = "vllm-m@0.service"


class Play:
    """The variables of each host, as the play sees them."""

    def __init__(self, hostvars):
        self._hostvars = hostvars

    def of(self, host, more=None):
        units = [{"name": UNIT, "docker_argv": ["run", "--n", "2"], "secrets": {"K": "hidden-too"}}]
        node = (more or {}).get("__vllm_serve_known")
        plan = {"__vllm_serve_plan": {"units": units, "secrets": {"KEY": "hidden"}}} if node else {}
        return {"fleet_release": "new", **plan, **self._hostvars[host]}


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin._tables, "Display", lambda: MagicMock(display=lambda line, **_more: lines.append(line)))
    return lines


def run(monkeypatch, hosts, check_mode=False, diff=False, variables=None, alive=None, gateways=None, **args):
    hostvars = {**hosts, **(gateways or {})}
    monkeypatch.setattr(plugin, "PlayVariables", lambda *_a, **_k: Play(hostvars))
    monkeypatch.setattr(plugin, "reader", lambda *_a: lambda name, _variables: {"release": name, "serve": {}})
    task = MagicMock(async_val=0, args={"release": "new", **args}, check_mode=check_mode, diff=diff)
    task.action = "ascend.fleet.upgrade_report"
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    names = list(hosts)
    return action.run(
        task_vars={
            "hostvars": hostvars,
            "ansible_play_hosts_all": names,
            "ansible_play_hosts": names if alive is None else alive,
            "groups": {"gateways": list(gateways or {})},
            **(variables or {}),
        }
    )


def state(release="old", seconds=840.0, **more):
    kept = {"release": {"release": release, "serve": {}}, "units": [{"name": UNIT, "docker_argv": ["run", "--n", "1"]}]}
    replicas = {UNIT: {"release": release, "out_seconds": seconds}}
    return {
        "__upgrade_state": {
            "state": {"last_good": {"release": release, "digest": "d"}, "replicas": replicas, "history": []},
            "deployment": {**kept, "secrets": {"KEY": "hidden"}},
        },
        **more,
    }


def planned(**more):
    replicas = [{"unit": UNIT, "replica": 0, "action": "replace", "reason": "r", "in_service": True}]
    steps = [{"stop": [UNIT], "start": [UNIT], "out": [0]}]
    plan = {"plan": {"rolling": True, "replicas": replicas, "steps": steps, "outages": []}}
    fetched = {
        "results": [
            {"missing_bytes": 5_000_000_000, "known": True, "item": {"name": "weights", "sources": ["http://m"]}}
        ]
    }
    own = {"__vllm_serve_change": plan, "artifact_fetch_result": fetched, "npu_generation": "a2"}
    return state(**{**own, "__npu_preflight_about": {"node": {"devices": []}}, **more})


WAVES = {"hosts": ["h1"], "sizes": [1], "canary": ["h1"], "at_once": [], "outages": [], "left": []}


def test_check_mode_shows_the_plan_and_writes_nothing_unasked(shown, monkeypatch, tmp_path):
    hosts = {"h1": planned(), "h2": state(__site_state={"converged": True, "replicas": []}), "h3": {}}
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    known = {"ansible_inventory_sources": [str(inventory)]}
    result = run(monkeypatch, hosts, check_mode=True, diff=True, waves=WAVES, variables=known)
    first, second, third = result["plan"]["hosts"]
    assert (first["wave"], first["expected_seconds"], first["download_bytes"]) == (1, 840.0, 5_000_000_000)
    assert first["downloads"] == [{"what": "weights", "bytes": 5_000_000_000, "source": "http://m"}]
    assert first["argv"] == [{"unit": UNIT, "diff": ["---n 1", "+--n 2"]}]
    assert (first["release_before"], first["release_after"], second["action"]) == ("old", "new", "as wanted")
    assert (third["action"], third["why"]) == ("unknown", "no plan was made for it in this run")
    assert shown[1] == "PLAN for new: hosts to change: 1, as wanted: 1, unknown: 1, to download: 5.0 GB"
    assert any("---n 1" in line for line in shown)
    assert not (tmp_path / "reports").exists()


def test_secrets_are_neither_shown_nor_returned_nor_kept(shown, monkeypatch, tmp_path):
    result = run(monkeypatch, {"h1": planned()}, check_mode=True, diff=True, folder=str(tmp_path))
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.*"))
    assert "hidden" not in json.dumps(result) + kept + "".join(shown)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["plan.json", "plan.md"]


def test_what_cannot_be_told_is_unknown(shown, monkeypatch):
    own = planned(artifact_fetch_result={"results": [{"known": False}]}, __npu_preflight_about={})
    own["__upgrade_state"].pop("deployment")
    own["__upgrade_state"]["state"]["replicas"] = {}
    row = run(monkeypatch, {"h1": own}, check_mode=True, waves=WAVES)["plan"]["hosts"][0]
    assert (row["downloads"], row["expected_seconds"], row["argv"]) == (None, None, None)
    assert row["release_before"] == "old"


def test_a_rollback_shows_the_deployment_that_hosts_go_back_to(shown, monkeypatch):
    target = {
        "release": {"release": "older", "serve": {}},
        "units": [{"name": UNIT, "docker_argv": ["run", "--n", "0"]}],
    }
    own = planned(target={"deployment": target})
    row = run(monkeypatch, {"h1": own}, check_mode=True, kind="rollback", wanted_variable="target")["plan"]["hosts"][0]
    assert (row["release_after"], row["argv"][0]["diff"]) == ("older", ["---n 1", "+--n 0"])


def counted(pid=1, at=0.0, **counts):
    zero = dict.fromkeys(plugin.samples.SERVER_COUNTS, 0)
    gateway = {
        "pid": pid,
        "uptime_seconds": int(at) + 100,
        "servers": {"vllm-m/h1:0": {**zero, **counts}},
        "problem": "",
    }
    return {"at": at, "replicas": [], "gateway": gateway, "problems": []}


def changed(outcome="good", why="", **about):
    replicas = {UNIT: {"out_seconds": 700.0, "start_seconds": 600.0, **about}}
    return planned(__upgrade_outcome={"outcome": outcome, "why": why, "replicas": replicas})


def test_the_report_is_kept_beside_the_inventory(shown, monkeypatch, tmp_path):
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    gateways = {
        "gw": {
            "__upgrade_sample": counted(answers=10),
            "__upgrade_sample_after": counted(at=60.0, answers=250, server_aborts=1),
        }
    }
    result = run(
        monkeypatch,
        {"h1": changed(), "h2": state("new", __site_state={"converged": True, "replicas": []})},
        change="C1",
        waves=WAVES,
        gateways=gateways,
        variables={"ansible_inventory_sources": [str(inventory)]},
    )
    folder = tmp_path / "reports" / "upgrade" / "C1"
    assert result["files"] == [str(folder / "report.json"), str(folder / "report.md")]
    assert json.loads((folder / "report.json").read_text()) == result["report"]
    report = result["report"]
    assert (report["outcome"], report["from_release"], report["releases"]) == ("good", "old", {"new": ["h1:0", "h2:0"]})
    assert (report["failed_requests"]["answers"], report["failed_requests"]["broken"]) == (240, 1)
    assert report["hosts"][0]["replicas"][0]["failed_requests"] == 1
    assert shown[1].startswith("UPGRADE C1 to new: good")


def test_a_host_that_was_taken_back_serves_its_last_good_release(shown, monkeypatch):
    report = run(monkeypatch, {"h1": changed("rolled_back", "3 % failed")})["report"]
    assert (report["outcome"], report["releases"]) == ("rolled_back", {"old": ["h1:0"]})
    report = run(monkeypatch, {"h1": changed("stopped", "it was killed")})["report"]
    assert report["mixed"] == ["h1: its replicas serve unknown on h1:0"]
    report = run(monkeypatch, {"h1": changed("stopped", "it was killed", release="new")})["report"]
    assert report["releases"] == {"new": ["h1:0"]}


def test_replicas_that_an_interrupted_run_had_brought_there_serve_it_too(shown, monkeypatch):
    own = state(__upgrade_outcome={"outcome": "good", "why": "", "replicas": {}})
    row = run(monkeypatch, {"h1": own})["report"]["hosts"][0]
    assert ({r["release"] for r in row["replicas"]}, row["on_it"]) == ({"new"}, True)


def test_hosts_that_were_not_changed_serve_what_they_served(shown, monkeypatch):
    hosts = {"h1": changed(), "h2": planned(), "h3": planned(), "h4": planned(fleet_maintenance={"reason": "a fan"})}
    report = run(monkeypatch, hosts, waves={**WAVES, "left": ["h3"]}, alive=["h1", "h3", "h4"])["report"]
    assert {row["host"]: row["outcome"] for row in report["hosts"]} == {
        "h1": "good",
        "h2": "failed",
        "h3": "left for another time",
        "h4": "left alone",
    }
    assert report["releases"]["old"] == ["h2:0", "h3:0", "h4:0"]


def test_what_gateways_did_not_count_is_said(shown, monkeypatch):
    gateways = {
        "gw-1": {
            "__upgrade_sample": counted(pid=1, answers=500),
            "__upgrade_sample_after": counted(pid=2, at=60.0, answers=7),
        },
        "gw-2": {"__upgrade_sample": counted()},
        "gw-3": {},
    }
    report = run(monkeypatch, {"h1": changed()}, gateways=gateways)["report"]
    assert report["failed_requests"]["answers"] == 7
    assert [note.partition(":")[0] for note in report["notes"]] == [
        "gateway gw-1 was reloaded or restarted",
        "gateway gw-2 was read only once",
        "gateway gw-3 was not read",
    ]
    assert run(monkeypatch, {"h1": changed()}, gateways={"gw-3": {}})["report"]["failed_requests"] is None


def test_gateways_are_asked_by_a_loop_from_a_host_of_the_play(shown, monkeypatch):
    """So that a run with --limit counts them too."""
    before = {"results": [{"item": "gw-1", **counted(answers=10)}, {"item": "gw-2", "unreachable": True}]}
    after = {"results": [{"item": "gw-1", **counted(at=60.0, answers=250)}, {"item": "gw-2", "failed": True}]}
    host = {**changed(), "__upgrade_samples": before, "__upgrade_samples_after": after}
    report = run(monkeypatch, {"h1": host}, gateways={"gw-1": {}, "gw-2": {}})["report"]
    assert report["failed_requests"]["answers"] == 240
    assert [note.partition(":")[0] for note in report["notes"]] == ["gateway gw-2 was not read"]


def test_a_folder_that_cannot_be_written_is_a_failure(shown, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    result = run(monkeypatch, {"h1": changed()}, folder=str(tmp_path / "file"))
    assert result["failed"]
    assert "fleet_reports" in result["msg"]


def test_a_release_that_the_inventory_does_not_have_is_noted_where_the_fleet_is_on_it(shown, monkeypatch):
    monkeypatch.setattr(plugin, "load_extra_vars", lambda _loader: {"fleet_release": "new"})
    good = {"h1": {"__upgrade_outcome": {"outcome": "good", "kind": "", "why": "", "replicas": {}}}}
    [note] = [n for n in run(monkeypatch, good)["report"]["notes"] if "inventory" in n]
    assert note.startswith("fleet_release: new was given for this run alone")
    back = {"h1": {"__upgrade_outcome": {"outcome": "rolled_back", "kind": "", "why": "x", "replicas": {}}}}
    for hosts, more in ((back, {}), (good, {"kind": "rollback"})):
        assert not [n for n in run(monkeypatch, hosts, **more)["report"]["notes"] if "inventory" in n]
