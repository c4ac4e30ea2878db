# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: every host of the play is compared with its own settings, and nobody's trouble hides another's."""

from __future__ import annotations

import json
from unittest.mock import MagicMock

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.ascend.fleet.plugins.action import drift_report as plugin
from ansible_collections.ascend.fleet.plugins.action import vllm_status as status
from ansible_collections.ascend.fleet.plugins.module_utils._npu.slots import nominal_node
from ansible_collections.ascend.fleet.plugins.plugin_utils import _drift_report, _queries, _releases, _tables

SECRET = "sk-planted-in-the-vault"
INVENTORY = (
    """\
npu_hosts:
  vars: {fleet_release: qwen3_5_27b_v0, npu_generation: a2, vllm_serve_api_key: %s}
  hosts:
    h1: {npu_preflight_ignore: [DRF-002, DRF-032]}
    h2: {npu_preflight_fail_on: warning}
    h3: {vllm_serve_replicas: two}
    h4: {npu_preflight_ignore: [DRF-999]}
    h5: {}
    h6:
      npu_preflight_ignore: [DRF-002, DRF-031, DRF-032]
      npu_preflight_site_checks:
        - {id: SITE-001, title: T, query: node.kernel, expect: {version: '>=5.10'}, fix: upgrade it}
"""
    % SECRET
)


def node(**more):
    return {
        **nominal_node("a2"),
        "architecture": "aarch64",
        "kernel": "4.19.90-2107.6.0",
        "pci": [],
        "npu_smi": {"error": None},
        "docker": {"running": True},
        "versions": {"driver": {"version": "25.2.0"}},
        "serving": {"units": [], "systemd_version": None, "errors": {}},
        "gathered": ["serving"],
        **more,
    }


@pytest.fixture
def shown(monkeypatch):
    lines = []
    screen = MagicMock(display=lambda line, **_more: lines.append(line))
    monkeypatch.setattr(_tables, "Display", lambda: screen)
    monkeypatch.setattr(_queries, "Display", lambda: screen)
    return lines


@pytest.fixture
def compare(tmp_path, shown, monkeypatch):
    """An action over a real play: Ansible's own inventory, variables and templates."""
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    loader = DataLoader()
    inventory = InventoryManager(loader, sources=[str(tmp_path / "hosts.yml")])
    manager = VariableManager(loader, inventory)
    HostVars(inventory, manager, loader)
    for host in inventory.get_hosts():
        manager.set_nonpersistent_facts(host.name, {"about": {"node": node()}})
    manager.set_nonpersistent_facts("h2", {"about": {"node": node(versions={"driver": {"version": "25.3.0"}})}})
    manager.set_nonpersistent_facts("h5", {"about": {"unreachable": True, "msg": "no route"}})
    tasks = [{"name": "check", "ansible.builtin.meta": "noop"}]
    about = {"name": "p", "hosts": "npu_hosts", "gather_facts": False, "tasks": tasks}
    play = Play.load(about, variable_manager=manager, loader=loader)
    task = next(t for block in play.compile() for t in block.block if t.name == "check")
    variables = manager.get_vars(play=play, host=inventory.get_host("h1"), task=task)
    release = _releases.by_name("qwen3_5_27b_v0", {})
    monkeypatch.setattr(_drift_report, "reader", lambda _loader, _templar: lambda _name, _variables: release)

    def run_it(names, module=plugin, check_mode=False, **more):
        action = module.ActionModule(task, MagicMock(), MagicMock(), loader, MagicMock(), MagicMock())
        action._connection._shell.tmpdir = None
        task.args, task.check_mode = more, check_mode
        variables.update(ansible_play_hosts_all=names, ansible_play_hosts=names)
        return action.run(task_vars=variables)

    return run_it


ALL = ["h1", "h2", "h3", "h4", "h5", "h6"]


def test_every_host_is_compared_with_its_own_settings(compare, shown):
    result = compare(ALL, result_variable="about", title="from r")
    hosts = result["report"]["hosts"]
    assert {h: about["worst"] for h, about in hosts.items() if about["checked"]} == {
        "h1": "ok",
        "h2": "error",
        "h6": "error",
    }
    by_id = {f["id"]: f for f in result["report"]["findings"] if not f["ignored"]}
    assert by_id["DRF-002"]["hosts"] == ["h2"]
    assert by_id["SITE-001"]["hosts"] == ["h6"]
    assert result["changed"] is False
    assert any(
        line.startswith("DRIFT from r: 6 hosts, 1 without errors, 2 with errors, 3 not checked") for line in shown
    )


def test_what_cannot_be_compared_is_not_taken_for_well(compare):
    result = compare(ALL, result_variable="about")
    hosts = result["report"]["hosts"]
    assert result["report"]["not_checked"] == ["h3", "h4", "h5"]
    assert "vllm_serve_replicas" in hosts["h3"]["reason"]
    assert "cannot ignore DRF-999" in hosts["h4"]["reason"]
    assert hosts["h5"]["reason"] == "unreachable: no route"
    assert result["stopped"] == ["h2", "h3", "h4", "h5", "h6"]


def test_no_secret_is_in_the_result_or_on_the_screen(compare, shown):
    result = compare(ALL, result_variable="about")
    assert SECRET not in json.dumps(result, default=str)
    assert SECRET not in "\n".join(shown)


def test_the_report_is_left_for_later_and_then_shown_as_it_was(compare, shown, tmp_path):
    path = tmp_path / "new" / "drift.json"
    first = compare(["h2"], result_variable="about", after_stop=True, json_path=str(path))
    assert first["stopped"] == ["h2"]
    assert not shown
    assert not path.exists()
    second = compare(["h2"], report=first["report"], json_path=str(path))
    assert shown
    assert json.loads(path.read_text()) == first["report"] == second["report"]


def test_check_mode_writes_no_file(compare, shown, tmp_path):
    compare(["h1"], check_mode=True, result_variable="about", json_path=str(tmp_path / "drift.json"))
    assert shown
    assert not (tmp_path / "drift.json").exists()


def test_a_query_prints_just_what_it_selects(compare, shown):
    result = compare(["h2"], result_variable="about", query="findings[?severity == 'error'].id")
    assert result["selected"] == ["DRF-002"]
    assert shown == ['[\n "DRF-002"\n]']


def test_a_query_with_a_mistake_fails_with_its_column(compare, shown):
    result = compare(["h2"], result_variable="about", query="findings[")
    assert result["failed"]
    assert "column 10 of fleet_query" in result["msg"]
    assert result["msg"].endswith("findings[\n         ^")
    assert not shown


def test_the_table_of_replicas_shows_drift_where_it_is_asked_for(compare, shown):
    options = {"node_variable": "node", "shared_variable": "shared", "own_variable": "own"}
    plain = compare(["h2"], module=status, **options)
    assert "drift" not in plain["report"]
    assert not any("DRF-" in line for line in shown)
    result = compare(["h2"], module=status, drift_variable="about", **options)
    assert result["report"]["drift"]["hosts"]["h2"]["errors"] == 1
    assert any(line.startswith("DRF-002 h2: found no vllm-qwen3.5@0, vllm-qwen3.5@1") for line in shown)
    del shown[:]
    compare(["h2"], module=status, drift_variable="about", query="drift.worst", **options)
    assert shown == ["error"]
