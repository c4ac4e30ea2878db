# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm_bench_info and vllm_bench as Ansible calls them, on a host with two replicas."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._bench import client, engine, history
from ansible_collections.ascend.fleet.plugins.module_utils._bench.client import Client, ClientError
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import DockerError
from ansible_collections.ascend.fleet.plugins.modules import vllm_bench, vllm_bench_info
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

WHOLE = _releases.by_name("qwen3_5_27b_v0", {})
RELEASE = {name: WHOLE[name] for name in ("release", "images", "serve", "benchmark")}
TEXT = "text_2048_output_2048"
IMAGE, OLD = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def call(module, check=False, **arguments):
    """Run a module's main() and return its result."""
    out = io.StringIO()
    given = patch_module_args({**arguments, "_ansible_check_mode": check})
    with given, contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        module.main()
    return json.loads(out.getvalue())


def info(check=False, **arguments):
    return call(vllm_bench_info, check, **{"host": "a2-1", "release": RELEASE, **arguments})


def unit(number):
    return {
        "name": "vllm-qwen3.5@%d.service" % number,
        "replica": number,
        "url": "http://127.0.0.1:%d" % (8010 + number),
        "container_name": "vllm-qwen3.5-%d" % number,
    }


def found_engine(number):
    return {
        **{k: v for k, v in unit(number).items() if k != "name"},
        "unit": "vllm-qwen3.5@%d.service" % number,
        "port": 8010 + number,
        "served_model_name": "qwen3.5",
        "release": "qwen3_5_27b_v0",
        "weights": "/models",
        "indices": [number],
        "image_id": IMAGE,
        "chip": "910B3",
        "tensor_parallel_size": 4,
        "serve_options": {},
        "environment": {},
        "binds": [],
    }


@pytest.fixture
def host(monkeypatch):
    """What the modules see; entries of the mapping change it."""
    options = {o for w in RELEASE["benchmark"]["workloads"] for o in w["options"]}
    options |= {"num-warmups", "metric-percentiles", "seed", "temperature", "random-range-ratio"}
    seen = {
        "units": [unit(0), unit(1)],
        "marks": {},
        "health": None,
        "tokenizer": None,
        "records": [],
        "known": Client(IMAGE, "0.16", frozenset(options)),
        "images": {IMAGE, OLD},
        "asked": [],
    }

    def read(units, _devices, _docker):
        return [found_engine(u["replica"]) for u in units], []

    def ask(image_id, _binds, _docker, _options):
        seen["asked"].append(image_id)
        failure = seen.get("known")
        if isinstance(failure, Exception):
            raise failure
        return Client(image_id, "0.16", frozenset(options))

    def known(image_id):
        found = seen["known"]
        return found if isinstance(found, Client) and found.image_id == image_id else None

    monkeypatch.setattr(vllm_bench_info, "deployed", lambda: seen["units"])
    monkeypatch.setattr(vllm_bench_info, "collect", lambda *_a, **_o: {"devices": []})
    monkeypatch.setattr(engine, "read", read)
    monkeypatch.setattr(engine, "marks", lambda: seen["marks"])
    monkeypatch.setattr(engine, "health_problem", lambda _engine: seen["health"])
    monkeypatch.setattr(engine, "tokenizer_problem", lambda _folder: seen["tokenizer"])
    monkeypatch.setattr(engine, "known_client", known)
    monkeypatch.setattr(engine, "ask_client", ask)
    monkeypatch.setattr(history, "read", lambda: (seen["records"], []))
    monkeypatch.setattr(
        vllm_bench_info.Docker, "inspect_image", lambda _self, ref: {"id": ref} if ref in seen["images"] else None
    )
    return seen


def test_the_plan_of_a_host(host):
    found = info(workloads=[TEXT])
    assert found["plan"]["groups"] == [[0], [1]]
    assert [r["workload"] for r in found["plan"]["runs"]] == [TEXT, TEXT]
    assert found["plan"]["left_out"] == {"replicas": [], "units": []}
    assert not found["changed"]
    assert host["asked"] == []


@pytest.mark.parametrize(
    ("arguments", "changed", "words"),
    [
        ({"workloads": ["txet"]}, {}, ["found the workload txet"]),
        ({"replicas": [7]}, {}, ["found no replica 7 on this host, but 0, 1"]),
        ({"workloads": ["txet"], "replicas": [7]}, {}, ["found the workload txet", "found no replica 7"]),
        ({}, {"units": []}, ["found no replica on this host"]),
        ({}, {"health": "found connection refused"}, ["found connection refused"]),
        ({}, {"tokenizer": "found no tokenizer in /models"}, ["found no tokenizer in /models"]),
        ({}, {"health": "found it down", "tokenizer": "found none"}, ["found it down", "found none"]),
        ({"client_image": "nothing:here"}, {}, ["found no image nothing:here in docker"]),
        ({}, {"known": ClientError("found no benchmark client in the image x")}, ["found no benchmark client"]),
        ({}, {"marks": {"vllm-qwen3.5@1.service": "replace it"}}, ["being changed (replace it)"]),
        ({"repeats": 0}, {}, ["found repeats: 0; needed 1 or more"]),
    ],
)
def test_everything_that_is_wrong_is_told_at_once(arguments, changed, words, host):
    host.update(changed)
    found = info(**arguments)
    assert found["failed"]
    for word in words:
        assert word in found["msg"]


def test_docker_that_does_not_answer_is_an_error(host, monkeypatch):
    def fails(*_arguments):
        raise DockerError("the daemon does not answer")

    monkeypatch.setattr(engine, "read", fails)
    assert "the daemon does not answer" in info()["msg"]


def test_a_client_is_asked_once_for_all_replicas_and_not_in_check_mode(host):
    host["known"] = None
    found = info(check=True, workloads=[TEXT])
    assert host["asked"] == []
    assert "was not asked yet" in found["plan"]["notes"][0]
    assert info(workloads=[TEXT])["plan"]["notes"] == []
    assert host["asked"] == [IMAGE]


def test_a_quick_one_takes_the_client_of_the_last(host):
    last = {
        "kind": "quick",
        "unit": "vllm-qwen3.5@0.service",
        "workload": "quick_load",
        "client": {"image_id": OLD, "version": "0.15"},
        "metrics": {"completed": 100},
        "spread": {},
        "conditions": {},
        "problem": None,
        "run": "r",
        "repeats": [{}],
        "seconds": 60.0,
        "baseline": False,
    }
    host["records"] = [last]
    runs = info(kind="quick", workloads=["quick_load"])["plan"]["runs"]
    assert [r["client"]["image_id"] for r in runs] == [OLD, IMAGE]
    host["images"] = {IMAGE}
    runs = info(kind="quick", workloads=["quick_load"])["plan"]["runs"]
    assert [r["client"]["image_id"] for r in runs] == [IMAGE, IMAGE]
    runs = info(kind="quick", workloads=["quick_load"], client_image=IMAGE)["plan"]["runs"]
    assert [r["client"]["image_id"] for r in runs] == [IMAGE, IMAGE]


def test_what_an_interrupted_benchmark_has_left_is_told(host):
    host["marks"] = {"vllm-qwen3.5@1.service": engine.MARK_REASON}
    found = info(replicas=[0])["plan"]
    assert found["left_out"] == {"replicas": [1], "units": ["vllm-qwen3.5@1.service"]}


RUNS = [{"unit": unit(n)["name"], "replica": n, "workload": w} for n in (0, 1) for w in ("a", "b")]


class TestMeasure:
    @pytest.fixture
    def measured(self, monkeypatch):
        seen = {"problem": None, "pruned": 0}

        def replica(_self, runs, live):
            live.finished = True
            return [{"unit": r["unit"], "workload": r["workload"], "problem": seen["problem"]} for r in runs]

        def prune():
            seen["pruned"] += 1

        monkeypatch.setattr(vllm_bench.Measuring, "replica", replica)
        monkeypatch.setattr(history, "prune", prune)
        monkeypatch.setattr(vllm_bench.signal, "signal", lambda *_a: None)
        return seen

    def run(self, check=False, **arguments):
        return call(vllm_bench, check, **{"host": "a2-1", "run": "r", "runs": RUNS, **arguments})

    def test_every_run_of_the_plan_in_order(self, measured):
        found = self.run()
        assert [(m["unit"][-9], m["workload"]) for m in found["measurements"]] == [
            ("0", "a"),
            ("0", "b"),
            ("1", "a"),
            ("1", "b"),
        ]
        assert (found["changed"], found["problems"], measured["pruned"]) == (False, [], 1)

    def test_what_is_missing_is_no_failure_of_the_module(self, measured):
        measured["problem"] = "found no result file"
        found = self.run()
        assert not found.get("failed")
        assert found["problems"][0] == "vllm-qwen3.5@0.service, a: found no result file"

    @pytest.mark.parametrize(("check", "arguments"), [(True, {}), (False, {"runs": []})])
    def test_nothing_is_measured(self, check, arguments, measured):
        assert self.run(check, **arguments)["measurements"] == []
        assert measured["pruned"] == 0

    def test_results_that_cannot_be_stored_are_a_failure(self, measured, monkeypatch):
        def fails(*_arguments):
            raise history.HistoryError("found /x: No space left")

        monkeypatch.setattr(vllm_bench.Measuring, "replica", fails)
        found = self.run()
        assert found["failed"]
        assert "No space left" in found["msg"]


def test_the_probe_is_one_shell_command():
    assert client.PROBE.endswith("exec vllm bench serve --help=all")
