# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of the table: every host of the play is in it, whatever became of it."""

from __future__ import annotations

import json
from unittest.mock import MagicMock

import pytest
from ansible_collections.ascend.fleet.plugins.action import smoke_report as plugin

ANSWER = {
    "url": "http://127.0.0.1:8010",
    "replica": 0,
    "release": "r",
    "question": "hello",
    "words": "Hi",
    "problems": [],
}


class Broken(dict):
    """Variables that cannot be templated."""

    def get(self, key, default=None):
        raise ValueError("undefined variable")


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin._tables, "Display", lambda: MagicMock(display=lambda line, **_more: lines.append(line)))
    return lines


def run(hostvars, alive=None, batch=None, check_mode=False, **args):
    task = MagicMock(async_val=0, args=args, check_mode=check_mode, diff=False)
    task.action = "ascend.fleet.smoke_report"
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    names = list(hostvars)
    return action.run(
        task_vars={
            "hostvars": hostvars,
            "ansible_play_hosts_all": names,
            "ansible_play_hosts": names if alive is None else alive,
            "ansible_play_batch": names if batch is None else batch,
            "groups": {"all": names},
        }
    )


def test_all_hosts_are_in_one_table(shown):
    hosts = {
        "h1": {"vllm_smoke_result": {"answers": [ANSWER], "problems": []}, "ansible_host": "192.0.2.1"},
        "h2": {"vllm_smoke_result": {"failed": True, "msg": "found no replica", "answers": []}},
        "h3": {"vllm_smoke_result": {"unreachable": True, "msg": "no route"}},
        "h4": {},
        "h5": Broken(),
        "h6": {},
        "h7": {},
    }
    alive = ["h1", "h4", "h5", "h7"]
    result = run(hosts, alive=alive, batch=["h1", "h4", "h5"])
    report = result["report"]
    assert result["changed"] is False
    assert report["replicas"][0]["address"] == "192.0.2.1:8010"
    assert {m["host"]: m["reason"] for m in report["not_asked"]} == {
        "h2": "found no replica",
        "h3": "unreachable: no route",
        "h4": "its replicas were not asked in this run",
        "h5": "its answers cannot be read: undefined variable",
        "h6": "it failed or was unreachable before (see above)",
    }
    assert sum("h1:0" in line for line in shown) == 1


def test_the_table_as_json(shown, tmp_path):
    hosts = {"h1": {"vllm_smoke_result": {"answers": [ANSWER]}}}
    path = tmp_path / "new" / "smoke.json"
    run(hosts, check_mode=True, json_path=str(path))
    assert not path.exists()
    run(hosts, json_path=str(path))
    assert json.loads(path.read_text())["replicas"][0]["questions"][0]["words"] == "Hi"
    (tmp_path / "file").write_text("")
    result = run(hosts, json_path=str(tmp_path / "file" / "smoke.json"))
    assert result["failed"]
    assert "fleet_smoke_json" in result["msg"]


def test_it_ends_with_the_addresses_for_clients(shown):
    pools = [{"model": "qwen3.5", "port": 8000}]
    gateway = {"vllm_gateway_result": {"pools": pools}, "ansible_host": "192.0.2.7"}
    floating = {**gateway, "vllm_gateway_floating_address": "192.0.2.9/24", "vllm_gateway_certificate": "c.pem"}
    answers = {"vllm_smoke_result": {"answers": [ANSWER]}}
    report = run({"h1": answers, "gw-1": gateway, "gw-2": floating, "gw-3": floating, "h5": Broken()})["report"]
    assert [c["url"] for c in report["clients"]] == ["http://192.0.2.7:8000/v1", "https://192.0.2.9:8000/v1"]
    assert shown[-2:] == [
        "Clients ask http://192.0.2.7:8000/v1 (model qwen3.5)",
        "Clients ask https://192.0.2.9:8000/v1 (model qwen3.5)",
    ]
    shown.clear()
    run({"h1": answers, **{"gw-%d" % n: {**gateway, "ansible_host": "192.0.2.%d" % n} for n in range(9)}})
    assert shown[-1] == "and 5 more addresses, one of each gateway"
