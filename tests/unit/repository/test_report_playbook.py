# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.yml asks and changes nothing: every task that it comes to is one that only reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
INCLUDE, IMPORT = "ansible.builtin.include_role", "ansible.builtin.import_tasks"
#: What runs on hosts, and what runs on the controller alone.
READS = {"ascend.fleet.npu_info", "ascend.fleet.vllm_status_info", "ascend.fleet.fleet_state_info"}
CONTROLLER = {"ascend.fleet.preflight_report", "ascend.fleet.fleet_report"}


def tasks(found: list[dict[str, Any]], role: str = "") -> list[dict[str, Any]]:
    """All tasks, those of included files in their places."""
    every: list[dict[str, Any]] = []
    for task in found:
        if INCLUDE in task:
            name = task[INCLUDE]["name"].rsplit(".", 1)[-1]
            every += tasks(read("roles/%s/tasks/%s.yml" % (name, task[INCLUDE]["tasks_from"])), name)
        elif IMPORT in task:
            every += tasks(read("roles/%s/tasks/%s" % (role, task[IMPORT])), role)
        else:
            every.append(task)
    return every


def read(path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    return found


EVERY = tasks(read("playbooks/report.yml")[1]["tasks"])


def test_every_task_only_reads() -> None:
    asked = {name for task in EVERY for name in task if name.startswith("ascend.fleet.")}
    assert asked == READS | CONTROLLER | {"ascend.fleet.vllm_traffic"}
    states = [task["ascend.fleet.vllm_traffic"]["state"] for task in EVERY if "ascend.fleet.vllm_traffic" in task]
    assert set(states) == {"query"}
    assert not [task for task in EVERY if "register" not in task and "ascend.fleet.fleet_report" not in task]


def test_a_host_that_does_not_answer_stays_in_the_play() -> None:
    for task in EVERY:
        if READS & set(task):
            assert task["ignore_unreachable"] is True, task["name"]
            assert task["failed_when"] is False, task["name"]


def test_the_report_is_given_what_the_tasks_register() -> None:
    registered = {task["register"] for task in EVERY if "register" in task}
    [report] = [task["ascend.fleet.fleet_report"] for task in EVERY if "ascend.fleet.fleet_report" in task]
    assert {value for name, value in report.items() if name.endswith("_variable")} == registered
