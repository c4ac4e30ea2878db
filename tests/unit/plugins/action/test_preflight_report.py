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
