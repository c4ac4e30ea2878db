# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions of the benchmark: lines while it runs, and the report of all hosts of the play."""

from __future__ import annotations

import json
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.ascend.fleet.plugins.action import bench_report as plugin
from ansible_collections.ascend.fleet.plugins.action import vllm_bench


class Broken(dict):
    """Variables that cannot be templated."""

    def get(self, key, default=None):
        raise ValueError("undefined variable")


def measured(host, replica=0, **changed):
    own = {
        "schema": 1,
        "run": "20261129T184000Z",
        "host": host,
        "replica": replica,
        "unit": "vllm-qwen3.5@%d.service" % replica,
        "workload": "text",
        "kind": "full",
        "key": "k",
        "conditions": {"chip": "910B3"},
        "indices": [0],
        "metrics": {"completed": 150, "output_throughput": 800.0},
        "repeats": [{}],
        "spread": {},
        "problem": None,
        "baseline": True,
        "comparisons": [],
    }
    own.update(changed)
    return own


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin._tables, "Display", lambda: MagicMock(display=lambda line, **_more: lines.append(line)))
    return lines


def run(hostvars, alive=None, batch=None, check_mode=False, variables=None, **args):
    task = MagicMock(async_val=0, args=args, check_mode=check_mode, diff=False)
    task.action = "ascend.fleet.bench_report"
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
            **(variables or {}),
        }
    )


def result(*measurements, **more):
    return {
        "vllm_bench_result": {
            "plan": {"runs": [], "seconds": 1.0, "notes": []},
            "measurements": list(measurements),
            **more,
        }
    }


def test_results_are_kept_under_one_schema_beside_the_inventory(shown, tmp_path):
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    found = run(
        {"a2-1": result(measured("a2-1"), measured("a2-1", 1)), "a2-2": result(measured("a2-2"))},
        variables={"ansible_inventory_sources": [str(inventory)]},
    )
    folder = tmp_path / "reports" / "benchmark" / "20261129T184000Z"
    assert sorted(p.name for p in folder.iterdir()) == ["a2-1.json", "a2-2.json", "report.json"]
    kept = json.loads((folder / "a2-1.json").read_text())
    assert kept == {"schema": 1, "host": "a2-1", "measurements": [measured("a2-1"), measured("a2-1", 1)]}
    assert json.loads((folder / "report.json").read_text()) == found["report"]
    assert found["slow"] == []
    assert shown[1] == "BENCHMARK: 3 results of 2 hosts, 0 findings"


def test_the_folder_is_the_operator_s(shown, tmp_path):
    found = run({"a2-1": result(measured("a2-1"))}, folder=str(tmp_path / "kept"))
    assert (tmp_path / "kept" / "20261129T184000Z" / "report.json").exists()
    assert found["folder"] == str(tmp_path / "kept")


def test_a_folder_that_cannot_be_written_is_a_failure(shown, tmp_path):
    (tmp_path / "file").touch()
    found = run({"a2-1": result(measured("a2-1"))}, folder=str(tmp_path / "file"))
    assert found["failed"]
    assert "vllm_bench_reports_path" in found["msg"]


def test_without_an_inventory_file_nothing_is_kept(shown):
    assert run({"a2-1": result(measured("a2-1"))})["folder"] is None


def test_a_slow_replica_fails_its_host_alone(shown):
    hostvars = {
        "a%d" % n: result(measured("a%d" % n, metrics={"completed": 150, "output_throughput": 800.0 / (1 + n // 3)}))
        for n in range(4)
    }
    assert run(hostvars)["slow"] == ["a3"]
    assert run(hostvars, tolerances={"output_throughput": 0.9})["slow"] == []


def test_a_host_that_says_nothing_hides_nobody(shown):
    hostvars = {
        "a1": result(measured("a1")),
        "a2": Broken(),
        "a3": {},
        "a4": {},
        "a5": {"vllm_bench_result": {"problem": "found no replica on this host"}},
        "a6": result(problem="found a gateway that does not answer"),
        "a7": {},
    }
    alive = [h for h in hostvars if h != "a3"]
    report = run(hostvars, alive=alive, batch=[h for h in hostvars if h != "a7"])["report"]
    assert {m["host"]: m["reason"] for m in report["not_measured"]} == {
        "a2": "its results cannot be read: undefined variable",
        "a3": "it failed or was unreachable before (see above)",
        "a4": "it was not asked in this run",
        "a5": "found no replica on this host",
        "a6": "found a gateway that does not answer",
    }
    assert list(report["hosts"]) == ["a1"]


def test_check_mode_shows_the_plans_and_writes_nothing(shown, tmp_path):
    found = run({"a2-1": result()}, check_mode=True, folder=str(tmp_path / "kept"))
    assert list(found["plans"]) == ["a2-1"]
    assert found["report"] == {}
    assert not (tmp_path / "kept").exists()
    assert shown[1] == "BENCHMARK PLAN: 1 host, about 1 s"


class TestLines:
    def line(self, **changed):
        own = {
            "unit": "vllm-qwen3.5@0.service",
            "workload": "text",
            "stage": "starts the client",
            "repeat": 1,
            "repeats": 1,
            "done": 0,
            "total": None,
            "seconds": 5,
            "finished": False,
        }
        own.update(changed)
        return own

    def test_stages_and_tenths(self):
        said = []
        now = [0.0]
        teller = vllm_bench.Teller("a2-1", said.append, lambda: now[0])
        for done in (None, None, 0, 1, 15, 16, 150):
            progress = {} if done is None else {"stage": "measures", "done": done, "total": 150}
            teller.tell([self.line(**progress)])
        assert said == [
            "a2-1  vllm-qwen3.5@0  text  starts the client  (5 s)",
            "a2-1  vllm-qwen3.5@0  text  0/150 requests  0 %  (5 s)",
            "a2-1  vllm-qwen3.5@0  text  15/150 requests  10 %  (5 s)",
            "a2-1  vllm-qwen3.5@0  text  150/150 requests  100 %  (5 s)",
        ]
        now[0] = 31.0
        teller.tell([self.line(stage="measures", done=150, total=150)])
        assert len(said) == 5

    def test_repeats_are_counted_and_the_end_is_silent(self):
        said = []
        teller = vllm_bench.Teller("a2-1", said.append)
        teller.tell(
            [self.line(repeat=2, repeats=3), self.line(unit="b@1.service", finished=True), self.line(workload="")]
        )
        assert said == ["a2-1  vllm-qwen3.5@0  text  2. of 3  starts the client  (5 s)"]


def test_a_worker_whose_controller_was_killed_asks_no_more(monkeypatch):
    task = MagicMock(async_val=0, args={"runs": []}, check_mode=False)
    task.action = "ascend.fleet.vllm_bench"
    action = vllm_bench.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    parents = iter([100, 100, 1])
    monkeypatch.setattr(vllm_bench.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(vllm_bench, "lines_for", lambda *_a: vllm_bench.Lines.NONE)
    told = []

    def follow(_module, _arguments, _task_vars, _limit, on_progress):
        for text in ("[]", "[]"):
            on_progress(text)
            told.append(text)

    monkeypatch.setattr(action, "_run_detached", follow)
    with pytest.raises(AnsibleActionFail, match="ansible-playbook has ended"):
        action.run(task_vars={})
    assert told == ["[]"]


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        ({}, 4200),
        ({"timeout": 100, "runs": [{"unit": "a", "repeats": 3}, {"unit": "a"}, {"unit": "b"}]}, 1000),
    ],
)
def test_how_long_the_host_lets_it_run(arguments, seconds):
    assert vllm_bench.limit_seconds(arguments) == seconds
