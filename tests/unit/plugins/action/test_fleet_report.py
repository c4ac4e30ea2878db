# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: what hosts have registered becomes one report, in two files; nobody is left out."""

from __future__ import annotations

import json
import stat
from unittest.mock import MagicMock

import pytest
from ansible_collections.ascend.fleet.plugins.action import fleet_report as plugin

OPTIONS = {
    "about_variable": "about",
    "preflight_variable": "preflight",
    "state_variable": "recorded",
    "node_variable": "node",
    "shared_variable": "shared",
    "own_variable": "own",
}
NODE = {"hostname": "n", "versions": {"driver": {"version": "25.2.0"}}, "devices": [], "problems": []}
FINDING = {"id": "DRV-006", "severity": "error", "title": "t", "found": "f", "needed": "n", "fix": "x",
           "ignored": False, "hosts": ["h1"]}  # fmt: skip
PREFLIGHT = {"report": {"hosts": {"h1": {"checked": True}}, "findings": [FINDING]}}


class Variables(dict):
    """The variables of a host."""

    def registered(self, name):
        return self.get(name)


class Play:
    """The variables of each host, as the play sees them."""

    def __init__(self, hostvars):
        self._hostvars = hostvars

    def of(self, host):
        found = self._hostvars[host]
        if isinstance(found, Exception):
            raise found
        known = {"fleet_release": "r", "vllm_gateway_traffic": "none", "vllm_gateway_placement": "none"}
        return Variables({**known, "preflight": PREFLIGHT, **found})


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin._tables, "Display", lambda: MagicMock(display=lambda line, **_more: lines.append(line)))
    return lines


def run(monkeypatch, hosts, check_mode=False, alive=None, others=(), variables=None, drift=(), **args):
    monkeypatch.setattr(plugin, "PlayVariables", lambda *_a, **_k: Play(hosts))
    release = {"release": "r", "images": [], "model": {"name": "m", "revision": "c0" * 20, "commit": ""}}
    monkeypatch.setattr(plugin._drift_report, "gather", lambda *_a: ({"findings": list(drift)}, []))
    monkeypatch.setattr(plugin, "reader", lambda *_a: lambda _name, _variables: release)
    task = MagicMock(async_val=0, args={**OPTIONS, **args}, check_mode=check_mode, diff=False)
    task.action = "ascend.fleet.fleet_report"
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    names = list(hosts)
    return action.run(
        task_vars={
            "ansible_play_hosts_all": names,
            "ansible_play_hosts": names if alive is None else alive,
            "groups": {"npu_hosts": [*names, *others]},
            **(variables or {}),
        }
    )


def host(**more):
    state = {"state": {"last_good": None, "previous_good": None, "change": None, "history": []}, "benchmarks": [],
             "problems": []}  # fmt: skip
    replicas = [{"replica": 0, "unit": "vllm-m@0.service", "health": "healthy"}]
    return {"about": {"node": NODE}, "recorded": state, "node": {"replicas": replicas, "problems": []}, **more}


def states(result):
    return {row["host"]: (row["state"], row["reason"]) for row in result["report"]["hosts"]}


def test_two_files_for_their_owner_and_group_and_a_few_lines(shown, monkeypatch, tmp_path):
    result = run(monkeypatch, {"h1": host(), "h2": host()}, folder=str(tmp_path / "new"))
    assert not result.get("failed"), result
    assert not result["changed"]
    page, data = (tmp_path / "new" / "fleet" / name for name in ("report.html", "report.json"))
    assert result["files"] == [str(page), str(data)]
    assert json.loads(data.read_text(encoding="utf-8")) == result["report"]
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (page, data)} == {0o640}
    assert states(result) == {"h1": ("error", ""), "h2": ("ok", "")}
    assert shown[1].startswith("REPORT r: 2 hosts, 0 unreachable, 2 of 2 replicas serving, 0 of 0 chips well, 1 errors")
    assert shown[2] == "not compared with an earlier report: there is no earlier report"
    assert shown[-1] == str(data)


def test_the_next_report_says_what_has_changed(shown, monkeypatch, tmp_path):
    run(monkeypatch, {"h1": host()}, folder=str(tmp_path))
    newer = host(about={"node": {**NODE, "versions": {"driver": {"version": "25.5.0"}}}})
    result = run(monkeypatch, {"h1": newer}, folder=str(tmp_path))
    [entry] = result["report"]["since"]["entries"]
    assert (entry["subject"], entry["before"], entry["after"]) == ("driver", "25.2.0", "25.5.0")
    assert any(line.startswith("1 changes since the report of ") for line in shown)


@pytest.mark.parametrize("text", ["{", '{"kind": "ascend.fleet report", "schema": 1}', "\udcff"])
def test_a_damaged_earlier_report_is_named_and_replaced(shown, monkeypatch, tmp_path, text):
    path = tmp_path / "fleet" / "report.json"
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    result = run(monkeypatch, {"h1": host()}, folder=str(tmp_path))
    assert not result.get("failed")
    assert str(path) in result["report"]["since"]["problem"]
    assert json.loads(path.read_text(encoding="utf-8"))["made"]


def test_what_has_drifted_is_a_finding_once(shown, monkeypatch):
    """Checks of the site are part of both reports."""
    drift = [{**FINDING, "id": "DRF-011"}, {**FINDING, "id": "SITE-001"}]
    report = run(monkeypatch, {"h1": host()}, drift=drift)["report"]
    assert [f["id"] for f in report["findings"]] == ["DRV-006", "DRF-011"]
    assert report["hosts"][0]["errors"] == 2


def test_just_what_a_query_selects_is_printed(shown, monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(plugin._queries, "Display", lambda: MagicMock(display=said.append))
    result = run(monkeypatch, {"h1": host()}, folder=str(tmp_path), query="summary.errors")
    assert (result["selected"], said, shown) == (1, ["1"], [])
    assert (tmp_path / "fleet" / "report.json").exists()
    result = run(monkeypatch, {"h1": host()}, folder=str(tmp_path / "new"), query="hosts[")
    assert result["failed"]
    assert "column 7 of fleet_query" in result["msg"]
    assert not (tmp_path / "new").exists()


def test_check_mode_compares_and_writes_nothing(shown, monkeypatch, tmp_path):
    result = run(monkeypatch, {"h1": host()}, check_mode=True, folder=str(tmp_path / "new"))
    assert (result["files"], list(tmp_path.iterdir())) == ([], [])
    assert states(result) == {"h1": ("error", "")}


def test_the_folder_is_beside_the_inventory_or_nowhere(shown, monkeypatch, tmp_path):
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    result = run(monkeypatch, {"h1": host()}, variables={"ansible_inventory_sources": [str(inventory)]})
    assert result["files"][0] == str(tmp_path / "reports" / "fleet" / "report.html")
    assert run(monkeypatch, {"h1": host()})["files"] == []


def test_a_folder_that_cannot_be_written_is_an_error(shown, monkeypatch, tmp_path):
    (tmp_path / "fleet").write_text("a file")
    result = run(monkeypatch, {"h1": host()}, folder=str(tmp_path))
    assert result["failed"]
    assert "Fix: another folder in fleet_reports" in result["msg"]


@pytest.mark.parametrize(
    ("variables", "state", "reason"),
    [
        ({"about": {"unreachable": True, "msg": "no\nroute"}}, "unreachable", "unreachable: no route"),
        ({"about": {"msg": "python is missing"}}, "unreachable", "python is missing"),
        ({}, "unreachable", "it was not asked"),
        (ValueError("broken {{ template"), "unreachable", "its variables cannot be used: broken {{ template"),
        (host(recorded={"msg": "state.json is damaged"}), "ok", ""),
    ],
)
def test_a_host_that_says_nothing_is_named_and_hides_nobody(shown, monkeypatch, variables, state, reason):
    result = run(monkeypatch, {"h2": variables, "h1": host()}, check_mode=True)
    assert states(result) == {"h2": (state, reason), "h1": ("error", "")}


def test_what_a_host_could_not_say_is_a_problem_of_its_own(shown, monkeypatch):
    broken = host(recorded={"msg": "state.json is damaged"}, about={"node": {**NODE, "problems": [
        {"subject": "lspci", "message": "ended with status 1"}]}})  # fmt: skip
    result = run(monkeypatch, {"h1": broken}, check_mode=True)
    assert result["report"]["problems"] == ["h1: lspci: ended with status 1", "h1: its state: state.json is damaged"]


def test_hosts_that_failed_before_or_were_left_out_stand_in_it(shown, monkeypatch):
    result = run(monkeypatch, {"h1": host(), "h2": host()}, check_mode=True, alive=["h1"], others=["h3"])
    found = states(result)
    assert found["h2"] == ("unreachable", "it failed or was unreachable before (see above)")
    assert found["h3"] == ("not asked", "it was left out by --limit")
    assert any(line.startswith("h2 could not be read: ") for line in shown)
