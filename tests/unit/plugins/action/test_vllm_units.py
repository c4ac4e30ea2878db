# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is listed of changed units."""

from __future__ import annotations

from types import SimpleNamespace

from ansible.plugins.action import ActionBase
from ansible_collections.ascend.fleet.plugins.action import vllm_units as action

UNITS = [
    {"name": "vllm-qwen3.5@0.service", "steps": ["write unit text", "reload systemd"], "reason": None},
    {"name": "vllm-qwen3.5@1.service", "steps": ["restart"], "reason": "its container runs another configuration"},
    {"name": "vllm-qwen3.5@2.service", "steps": [], "reason": None},
]


def test_every_change_is_listed_and_nothing_else(monkeypatch):
    result = {"changed": True, "units": UNITS, "removed": ["vllm-old@0.service"]}
    found = action.ActionModule.__new__(action.ActionModule)
    found._task = SimpleNamespace(args={"units": []})
    found._execute_module = lambda module_name, module_args, task_vars: result
    said = []
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(action.display, "display", said.append)
    assert found.run(None, {"inventory_hostname": "a2-1"}) is result
    assert said == [
        "a2-1  vllm-qwen3.5@0  write unit text, reload systemd",
        "a2-1  vllm-qwen3.5@1  restart (its container runs another configuration)",
        "a2-1  vllm-old@0  removed",
    ]


def test_a_result_without_units_lists_nothing():
    assert action.lines({"failed": True, "msg": "found no systemd"}) == []
