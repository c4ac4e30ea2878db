# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: every host of the play is in the report, whatever became of it."""

from __future__ import annotations

import json
from unittest.mock import MagicMock

import pytest
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
    monkeypatch.setattr(plugin, "Display", lambda: MagicMock(display=lambda line, **_more: lines.append(line)))
    return lines


def run(hostvars, alive=None, check_mode=False, **args):
    task = MagicMock(async_val=0, args=args, check_mode=check_mode, diff=False)
    task.action = "ascend.fleet.preflight_report"
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
