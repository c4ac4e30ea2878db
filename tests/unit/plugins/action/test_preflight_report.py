# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: every host of the play is in the report, whatever became of it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.ascend.fleet.plugins.action import preflight_report as plugin

FINDING = {
    "id": "SYS-001",
    "severity": "error",
    "area": "system",
    "title": "Not root",
    "message": "Not root: found user id 1; needed user id 0",
    "found": "user id 1",
    "needed": "user id 0",
    "fix": "become",
    "ignored": False,
}
NODE = {"architecture": "aarch64", "pci": [{"id": "19e5:d802"}], "versions": {"driver": {"version": "25.2.0"}}}


class Broken(dict):
    """Variables that cannot be templated."""

    def get(self, key, default=None):
        raise ValueError("undefined variable")


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin._tables, "Display", lambda: MagicMock(display=lambda line, **_more: lines.append(line)))
    return lines


def run(hostvars, alive=None, check_mode=False, strategy="linear", **args):
    task = MagicMock(async_val=0, args=args, check_mode=check_mode, diff=False)
    task.action = "ascend.fleet.preflight_report"
    task.get_play.return_value.strategy = strategy
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    names = list(hostvars)
    variables = {"hostvars": hostvars, "ansible_play_hosts_all": names}
    variables["ansible_play_hosts"] = names if alive is None else alive
    return action.run(task_vars=variables)


def good(*findings):
    return {"npu_preflight_findings": list(findings), "npu_preflight_node": NODE}


def test_all_hosts_are_in_one_report(shown):
    result = run({"h1": good(FINDING), "h2": good()}, title="for r")
    assert result["changed"] is False
    assert result["report"]["hosts"]["h1"]["errors"] == 1
    assert result["report"]["hosts"]["h2"]["about"] == "a2 aarch64 driver 25.2.0"
    assert "PREFLIGHT for r: 2 hosts, 1 ready, 1 with errors" in shown
    assert sum("SYS-001" in line for line in shown) == 1


def test_a_host_that_died_hides_nobody_else(shown):
    # h1 was unreachable: what a former run left in its variables does not count.
    result = run({"h1": good(), "h2": good(FINDING), "h3": {}, "h4": Broken()}, alive=["h2", "h3", "h4"])
    assert result["report"]["not_checked"] == ["h1", "h3", "h4"]
    assert result["report"]["hosts"]["h2"]["errors"] == 1
    assert "npu_preflight_findings" in result["report"]["hosts"]["h3"]["reason"]
    assert "undefined variable" in result["report"]["hosts"]["h4"]["reason"]
    assert any("h1: unreachable" in line for line in shown)


def test_files(shown, tmp_path):
    run({"h1": good(FINDING)}, json_path=str(tmp_path / "new" / "r.json"), junit_path=str(tmp_path / "r.xml"))
    assert json.loads((tmp_path / "new" / "r.json").read_text())["errors"] == 1
    assert "<failure" in (tmp_path / "r.xml").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "r.xml"]


def test_check_mode_writes_no_file(shown, tmp_path):
    run({"h1": good()}, check_mode=True, json_path=str(tmp_path / "r.json"))
    assert list(tmp_path.iterdir()) == []
    assert shown


def test_a_file_that_cannot_be_written_fails_in_words(shown, tmp_path):
    (tmp_path / "folder").mkdir()
    result = run({"h1": good()}, json_path=str(tmp_path / "folder"))
    assert result["failed"]
    assert "folder" in result["msg"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"]


def test_why_a_host_was_not_read_is_told_whatever_it_said_before(shown):
    about = {"node": NODE, "changed": False}
    hostvars = {
        "h1": {**good(FINDING), "about": about},
        "h2": {**good(), "about": {"unreachable": True, "msg": "Failed to connect to the host via ssh:\n no route"}},
        "h3": {**good(), "about": {"module_stderr": "sh: 1: /usr/bin/python3: not found", "msg": ""}},
        "h4": good(),
    }
    report = run(hostvars, result_variable="about")["report"]
    assert report["not_checked"] == ["h2", "h3", "h4"]
    assert report["hosts"]["h2"]["reason"] == "unreachable: Failed to connect to the host via ssh: no route"
    assert report["hosts"]["h3"]["reason"] == "reading it failed: sh: 1: /usr/bin/python3: not found"
    assert report["hosts"]["h1"]["errors"] == 1


def test_a_fleet_of_which_nobody_answers_has_a_report(shown):
    gone = {"about": {"unreachable": True, "msg": "no route"}}
    result = run({"h1": gone, "h2": gone}, result_variable="about", title="for r")
    assert "PREFLIGHT for r: 2 hosts, 0 ready, 2 not checked" in shown
    assert result["report"]["worst"] == "not checked"


def test_a_report_may_be_put_together_in_silence(shown):
    assert run({"h1": good(FINDING)}, show=False)["report"]["errors"] == 1
    assert shown == []


def test_a_report_is_shown_and_written_as_it_was_put_together(shown, tmp_path):
    report = run({"h1": good(FINDING), "h2": good()}, show=False)["report"]
    # By now h1 has failed, and Ansible counts it out.
    result = run({"h1": {}, "h2": {}}, alive=["h2"], report=report, title="for r", junit_path=str(tmp_path / "r.xml"))
    assert result["report"] == report
    assert "PREFLIGHT for r: 2 hosts, 1 ready, 1 with errors" in shown
    assert (tmp_path / "r.xml").read_text().count("<failure") == 1


@pytest.mark.parametrize("strategy", ["linear", "debug", "ansible.builtin.linear"])
def test_a_strategy_that_keeps_hosts_together_is_taken(shown, strategy):
    assert run({"h1": good()}, strategy=strategy)["report"]["worst"] == "ok"


# -- findings worked out here ---------------------------------------------------------------------------------------

INVENTORY = """\
npu_hosts:
  vars: {fleet_release: r, npu_generation: a2}
  hosts:
    h1: {npu_preflight_ignore: [SYS-001]}
    h2: {npu_preflight_memory_gib: "{{ 32 * 2 }}", vllm_serve_first_port: 9000}
    h3: {npu_preflight_ignore: "{{ nothing_of_this_name }}"}
    h4: {npu_preflight_ignore: [NPU-999]}
    h5: {vllm_serve_replicas: two, npu_preflight_fail_on: never}
    h6: {}
"""
RELEASE = {
    "release": "r",
    "driver": {"version": "25.2.0"},
    "images": [],
    "serve": {"served_model_name": "qwen3.5", "port": 8010, "options": {"tensor-parallel-size": 4}},
}


@pytest.fixture
def check(tmp_path, shown, monkeypatch):
    """The action over a real play: Ansible's own inventory, variables and templates."""
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    loader = DataLoader()
    inventory = InventoryManager(loader, sources=[str(tmp_path / "hosts.yml")])
    manager = VariableManager(loader, inventory)
    HostVars(inventory, manager, loader)
    node = {
        "npu_smi": {},
        "gathered": ["network"],
        "effective_uid": 1000,
        "pci": [],
        "ports": [{"port": 9001, "pid": 9, "process": "nginx", "container": None, "unit": None}],
    }
    for host in inventory.get_hosts():
        manager.set_nonpersistent_facts(host.name, {"about": {"node": node}})
    manager.set_nonpersistent_facts("h6", {"about": {"unreachable": True, "msg": "no route"}})
    # Tasks of this kind need no plugin loader; the action gets its own arguments below.
    tasks = [{"name": "check", "ansible.builtin.meta": "noop"}]
    about = {"name": "p", "hosts": "npu_hosts", "gather_facts": False, "tasks": tasks}
    play = Play.load(about, variable_manager=manager, loader=loader)
    task = next(t for block in play.compile() for t in block.block if t.name == "check")
    variables = manager.get_vars(play=play, host=inventory.get_host("h1"), task=task)
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), loader, MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    lookup = MagicMock()
    lookup.run.side_effect = lambda names, variables: [dict(RELEASE)]
    monkeypatch.setattr(plugin.lookup_loader, "get", lambda *_a, **_k: lookup)

    def run_it(names, **more):
        task.args = {"check": True, "result_variable": "about", **more}
        variables.update(ansible_play_hosts_all=names, ansible_play_hosts=names)
        return action.run(task_vars=variables), lookup

    return run_it


@pytest.fixture
def checked(check):
    return check(["h1", "h2", "h3", "h4", "h5", "h6"])


def test_every_host_is_checked_with_its_own_settings(checked):
    result, lookup = checked
    assert set(result["findings"]) == {"h1", "h2"}
    assert [(f["id"], f["ignored"]) for f in result["findings"]["h1"]] == [("SYS-001", True)]
    assert [f["id"] for f in result["findings"]["h2"]] == ["SYS-001", "NET-001"]
    assert result["report"]["not_checked"] == ["h3", "h4", "h5", "h6"]
    assert lookup.run.call_count == 1, "the release of all hosts is read once"


def test_what_cannot_be_used_of_a_hosts_settings_is_said(checked):
    hosts = checked[0]["report"]["hosts"]
    assert "npu_preflight_ignore: " in hosts["h3"]["reason"]
    assert "nothing_of_this_name" in hosts["h3"]["reason"]
    assert "cannot ignore NPU-999" in hosts["h4"]["reason"]
    assert "npu_preflight_fail_on" in hosts["h5"]["reason"]
    assert hosts["h6"]["reason"] == "unreachable: no route"


def test_hosts_that_are_not_ready_are_named(checked):
    result, _lookup = checked
    worst = {host: about["worst"] for host, about in result["report"]["hosts"].items()}
    assert (worst["h1"], worst["h2"]) == ("ok", "error")
    assert result["stopped"] == ["h2", "h3", "h4", "h5", "h6"]


@pytest.mark.parametrize(
    ("worst", "fail_on", "expected"),
    [
        ("ok", "warning", []),
        ("warning", "error", []),
        ("warning", "warning", ["h"]),
        ("error", "error", ["h"]),
        ("not checked", None, ["h"]),
    ],
)
def test_each_host_says_which_severity_stops_it(worst, fail_on, expected):
    settings = {"h": SimpleNamespace(fail_on=fail_on)} if fail_on else {}
    assert plugin.stopped({"hosts": {"h": {"worst": worst}}}, settings) == expected


@pytest.mark.parametrize(("hosts", "printed"), [(["h2"], False), (["h1"], True)])
def test_a_report_is_left_for_later_only_where_hosts_are_stopped(check, shown, hosts, printed):
    result, _lookup = check(hosts, after_stop=True)
    assert bool(result["stopped"]) != printed
    assert bool(shown) == printed
