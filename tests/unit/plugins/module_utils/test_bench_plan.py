# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, with which client, and against what; and the results that a host keeps."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._bench import conditions, history, plan, workloads
from ansible_collections.ascend.fleet.plugins.module_utils._bench.client import Client
from ansible_collections.ascend.fleet.plugins.module_utils._bench.workloads import WorkloadError
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

RELEASE = _releases.by_name("qwen3_5_27b_v0", {})
VERSION = RELEASE["images"][0]["components"]["vllm"]
IMAGE = "sha256:" + "a" * 64
CLIENT = Client(
    IMAGE,
    VERSION,
    frozenset(
        o for w in [*RELEASE["benchmark"]["workloads"], *workloads.quick_workloads(RELEASE)] for o in w["options"]
    )
    | {"metric-percentiles", "num-warmups"},
)
TEXT = "text_2048_output_2048"


def engine(replica=0, **changed):
    own = {
        "unit": "vllm-qwen3.5@%d.service" % replica,
        "replica": replica,
        "port": 8010 + replica,
        "url": "http://127.0.0.1:%d" % (8010 + replica),
        "served_model_name": "qwen3.5",
        "release": "qwen3_5_27b_v0",
        "weights": "/models/qwen",
        "indices": [0, 1, 2, 3],
        "image_id": IMAGE,
        "client_image": IMAGE,
        "chip": "910B3",
        "tensor_parallel_size": 4,
        "serve_options": conditions.release_options(RELEASE["serve"]["options"]),
        "environment": {**RELEASE["serve"]["environment"], "HF_HUB_OFFLINE": "1"},
        "binds": [],
    }
    own.update(changed)
    return own


def wanted(kind="full", names=None, **options):
    return plan.Wanted(host="a2-1", kind=kind, workloads=workloads.choose(RELEASE, kind, names), **options)


def planned(engines=None, records=(), clients=None, release=RELEASE, **options):
    chosen = wanted(**options)
    return plan.plan(chosen, engines or [engine()], {IMAGE: CLIENT} if clients is None else clients, records, release)


def record(run, name=TEXT, finished="2026-11-29T18:40:00+00:00", **changed):
    """A stored result of a run of a plan."""
    own = {
        "schema": 1,
        "run": name_of(finished),
        "host": "a2-1",
        **{k: run[k] for k in ("replica", "unit", "kind", "workload", "key", "conditions", "client")},
        "metrics": {"completed": 150.0, "output_throughput": 800.0},
        "spread": {},
        "repeats": [{"completed": 150}],
        "seconds": 400.0,
        "finished": finished,
        "problem": None,
        "baseline": run["becomes_baseline"],
    }
    own.update(changed)
    return own


def name_of(finished):
    return finished.replace("-", "").replace(":", "")[:15] + "Z"


class TestWorkloads:
    def test_the_quick_ones(self):
        latency, load = workloads.quick_workloads(RELEASE)
        assert (latency["options"]["max-concurrency"], latency["options"]["num-prompts"]) == (1, 16)
        assert load["options"]["max-concurrency"] == 50
        assert (load["options"]["random-input-len"], load["options"]["random-output-len"]) == (1024, 256)
        for point in (latency, load):
            options = point["options"]
            assert options["num-warmups"] >= options["max-concurrency"]
            assert (options["seed"], options["temperature"], options["ignore-eos"]) == (0, 0, True)

    @pytest.mark.parametrize(("limit", "expected"), [(128, 50), (8, 8), (None, 50)])
    def test_concurrency_of_a_release_without_workloads(self, limit, expected):
        release = {"release": "x", "serve": {"options": {"max-num-seqs": limit}}, "benchmark": {}}
        assert workloads.concurrency_of(release) == expected

    def test_all_or_those_that_are_named(self):
        assert [w["name"] for w in workloads.choose(RELEASE, "full", None)] == [
            "picture_1024_text_1024_output_2048",
            TEXT,
        ]
        assert [w["name"] for w in workloads.choose(RELEASE, "full", [TEXT, TEXT])] == [TEXT]
        assert [w["name"] for w in workloads.choose(RELEASE, "quick", ["quick_load"])] == ["quick_load"]

    @pytest.mark.parametrize(
        ("release", "names", "words"),
        [
            (RELEASE, ["txet"], "found the workload txet; needed some of picture_1024"),
            (RELEASE, [], r"found the workload \(none\)"),
            ({"release": "mine", "serve": {}}, None, "found no workload in the release mine"),
        ],
    )
    def test_a_workload_that_is_not_there(self, release, names, words):
        with pytest.raises(WorkloadError, match=words):
            workloads.choose(release, "full", names)

    def test_what_a_client_cannot_do(self):
        text = workloads.choose(RELEASE, "full", [TEXT])[0]
        old = Client(IMAGE, "0.9", CLIENT.options - {"metric-percentiles", "num-warmups"})
        options, notes = workloads.options_for(text, old, warm_ups=5, percentiles=[50, 95])
        assert options == text["options"]
        assert len(notes) == 2
        options, notes = workloads.options_for(text, CLIENT, warm_ups=5, percentiles=[50, 95])
        assert (options["num-warmups"], options["metric-percentiles"], notes) == (5, "50,95", [])
        with pytest.raises(WorkloadError, match="found the option --ignore-eos in the workload text"):
            workloads.options_for(text, Client(IMAGE, "0.9", CLIENT.options - {"ignore-eos"}))


class TestConditions:
    def test_how_something_is_written_makes_no_other_conditions(self):
        assert conditions.workload_options({"ignore-eos": True, "x": None, "n": 1}) == {"ignore-eos": "true", "n": "1"}
        running = ["vllm", "serve", "/m", "--port", "8011", "--max-num-seqs", "128", "--trust-remote-code"]
        assert conditions.serve_options(running) == conditions.release_options(
            {"max-num-seqs": 128, "trust-remote-code": True, "allowed-local-media-path": "/"}
        )

    def test_percentiles_and_folders_are_no_conditions(self):
        assert conditions.workload_options({"metric-percentiles": "50,95", "result-dir": "/x"}) == {}

    def test_secrets_and_what_is_one_replica_s_alone_are_left_out(self):
        of_container = ["PATH=/bin", "HCCL_BUFFSIZE=1024", "VLLM_API_KEY=secret", "MASTER_PORT=1", "no_proxy=x", "A=b"]
        assert conditions.environment(of_container, ["PATH=/bin"]) == {"HCCL_BUFFSIZE": "1024", "A": "b"}

    @pytest.mark.parametrize(("options", "size"), [({}, 1), ({"tensor-parallel-size": "4"}, 4), ({"tp": "2"}, 2)])
    def test_tensor_parallel_size(self, options, size):
        assert conditions.tensor_parallel_size(options) == size


class TestPlan:
    def test_one_replica_after_the_other_or_all_at_once(self):
        engines = [engine(0), engine(1)]
        found = planned(engines)
        assert found["groups"] == [[0], [1]]
        assert [(r["replica"], r["workload"]) for r in found["runs"]][::2] == [
            (0, "picture_1024_text_1024_output_2048"),
            (1, "picture_1024_text_1024_output_2048"),
        ]
        assert found["units"] == {"0": "vllm-qwen3.5@0.service", "1": "vllm-qwen3.5@1.service"}
        both = planned(engines, at_once=True)
        assert both["groups"] == [[0, 1]]
        assert both["runs"][0]["conditions"]["load"] == conditions.AT_ONCE
        assert both["seconds"] == found["seconds"] / 2
        assert planned(in_traffic=True)["runs"][0]["conditions"]["load"] == conditions.IN_TRAFFIC

    def test_the_release_s_table_holds_for_an_engine_as_the_release_says(self):
        run = planned(names=[TEXT])["runs"][0]
        assert [r["source"] for r in run["references"]] == [
            "its own baseline",
            "the table of the release qwen3_5_27b_v0",
        ]
        own = {
            "conditions": run["conditions"],
            "metrics": dict(run["references"][1]["reference"]["metrics"]),
            "spread": {},
        }
        outcomes = [(c["outcome"], c["reason"]) for c in plan.judge(own, run, {})]
        assert outcomes == [("no comparison", "no former result"), ("same", "")]
        assert run["against"] == "the table of the release qwen3_5_27b_v0"
        assert run["becomes_baseline"]

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"serve_options": {"max-num-seqs": "64"}}, "--max-num-seqs 64 instead of 128"),
            ({"tensor_parallel_size": 8}, "tensor-parallel size 8 instead of 4"),
            ({"environment": {**RELEASE["serve"]["environment"], "X": "1"}}, "X 1 instead of not set"),
        ],
    )
    def test_the_release_s_table_under_other_conditions(self, changed, words):
        run = planned([engine(**changed)], names=[TEXT])["runs"][0]
        own = {
            "conditions": run["conditions"],
            "metrics": dict(run["references"][1]["reference"]["metrics"]),
            "spread": {},
        }
        found = plan.judge(own, run, {})[1]
        assert found["outcome"] == "no comparison"
        assert words in found["reason"]

    def test_an_image_id_that_the_release_locks_must_be_the_one_that_runs(self):
        locked = copy.deepcopy(RELEASE)
        for image, digit in zip(locked["images"], "bc"):
            image["image_id"] = "sha256:" + digit * 64
        run = planned(names=[TEXT], release=locked)["runs"][0]
        own = {"conditions": run["conditions"], "metrics": {"completed": 150.0, "output_throughput": 1.0}, "spread": {}}
        assert "image aaaaaaaaaaaa instead of bbbbbbbbbbbb" in plan.judge(own, run, {})[1]["reason"]
        locked["images"][1]["image_id"] = IMAGE
        run = planned(names=[TEXT], release=locked)["runs"][0]
        assert plan.judge(own, run, {})[1]["outcome"] == "worse"

    def test_the_own_baseline_of_equal_conditions(self):
        first = planned(names=[TEXT])["runs"][0]
        kept = record(first)
        again = planned(names=[TEXT], records=[kept])["runs"][0]
        assert again["references"][0]["run"] == kept["run"]
        assert not again["becomes_baseline"]
        assert planned(names=[TEXT], records=[kept], renew=True)["runs"][0]["becomes_baseline"]
        assert (again["seconds"], again["against"].split(" (")[0]) == (400.0, "its own baseline")
        other = planned([engine(serve_options={})], names=[TEXT], records=[kept])["runs"][0]
        assert other["becomes_baseline"]
        judged = plan.judge({"conditions": other["conditions"], "metrics": kept["metrics"], "spread": {}}, other, {})
        assert judged[0]["reason"].startswith("other conditions: --")

    def test_how_long_it_takes(self):
        assert planned(names=[TEXT])["seconds"] == pytest.approx(380.09 + 45)
        assert planned(names=[TEXT], repeats=3)["seconds"] == pytest.approx(3 * (380.09 + 45))
        kept = record(planned(names=[TEXT])["runs"][0], repeats=[{}, {}], seconds=500.0)
        assert planned(names=[TEXT], repeats=3, records=[kept])["seconds"] == 750.0
        assert planned(kind="quick")["seconds"] is None

    def test_a_quick_one_is_compared_with_the_last_whatever_the_image(self):
        before = planned(kind="quick", names=["quick_load"])["runs"][0]
        old = record(before, finished="2026-11-29T10:00:00+00:00")
        last = record(before, finished="2026-11-29T12:00:00+00:00")
        newer = engine(image_id="sha256:new", serve_options={}, client_image=IMAGE)
        after = planned([newer], kind="quick", names=["quick_load"], records=[old, last])["runs"][0]
        assert after["references"][0]["run"] == last["run"]
        assert not after["becomes_baseline"]
        own = {"conditions": after["conditions"], "metrics": last["metrics"], "spread": {}}
        assert [c["outcome"] for c in plan.judge(own, after, {})] == ["same"]

    def test_only_those_are_measured_of_which_nothing_is_known(self):
        first = planned(kind="quick", names=["quick_load"])["runs"][0]
        both = [engine(), engine(1)]
        found = planned(both, kind="quick", names=["quick_load"], records=[record(first)], missing=True)
        assert ([r["replica"] for r in found["runs"]], found["groups"]) == ([1], [[1]])
        found = planned(both, kind="quick", records=[record(first)], missing=True)
        assert found["groups"] == [[0], [1]], "the point of latency is not known of replica 0"
        assert len(found["runs"]) == 4
        nothing = planned(kind="quick", names=["quick_load"], records=[record(first)], missing=True)
        assert (nothing["runs"], nothing["groups"], nothing["seconds"]) == ([], [], 0.0)

    def test_every_option_that_the_client_lacks_is_told_at_once(self):
        poor = Client(IMAGE, "0.9", frozenset({"num-prompts"}))
        with pytest.raises(plan.PlanError) as caught:
            planned(clients={IMAGE: poor})
        assert len(caught.value.problems) == 2

    def test_check_mode_plans_without_asking_the_client(self):
        found = planned(clients={})
        assert len(found["runs"]) == 2
        assert "was not asked yet" in found["notes"][0]

    @pytest.mark.parametrize(
        ("replicas", "there", "words"),
        [
            (None, [], "found no replica on this host; needed one"),
            ([0, 3, 7], [engine(0), engine(1)], "found no replica 3, 7 on this host, but 0, 1"),
        ],
    )
    def test_a_replica_that_is_not_there(self, replicas, there, words):
        with pytest.raises(plan.PlanError, match=words):
            plan.select(there, replicas)

    def test_the_chosen_replicas(self):
        assert [u["replica"] for u in plan.select([engine(0), engine(1)], [1])] == [1]


class TestHistory:
    def run(self):
        return planned(names=[TEXT])["runs"][0]

    def test_what_is_written_is_read(self, tmp_path):
        first = record(self.run(), finished="2026-11-29T12:00:00+00:00")
        second = record(self.run(), finished="2026-11-29T10:00:00+00:00")
        for one in (first, second):
            history.write(one, str(tmp_path))
        (tmp_path / first["run"] / "x-1.client.json").write_text("{}")
        history.write_json(str(tmp_path / "clients" / "x.json"), CLIENT.as_data())
        assert history.read(str(tmp_path)) == ([second, first], [])

    def test_what_is_no_result_is_named_and_left_out(self, tmp_path):
        history.write(record(self.run()), str(tmp_path))
        (tmp_path / "old").mkdir()
        for name, text in (("a", "{"), ("b", "[]"), ("c", '{"schema": 2}')):
            (tmp_path / "old" / (name + ".json")).write_text(text)
        found, notes = history.read(str(tmp_path))
        assert len(found) == 1
        assert len(notes) == 3
        assert any("its schema is 2, not 1" in note for note in notes)

    @pytest.mark.parametrize(("name", "value"), [("replica", None), ("metrics", []), ("kind", "x"), ("baseline", 1)])
    def test_a_result_of_another_form_is_not_stored(self, name, value, tmp_path):
        with pytest.raises(history.HistoryError, match=name):
            history.write(record(self.run(), **{name: value}), str(tmp_path))

    def test_the_folder_of_a_host_without_results(self, tmp_path):
        assert history.read(str(tmp_path / "none")) == ([], [])

    def test_pruning_keeps_baselines_and_the_last_quick_results(self, tmp_path):
        quick = planned(kind="quick", names=["quick_load"])["runs"][0]
        base = record(self.run(), finished="2026-11-01T00:00:00+00:00")
        kept = record(quick, finished="2026-11-02T00:00:00+00:00")
        more = [record(self.run(), finished="2026-11-%02dT00:00:00+00:00" % d, baseline=False) for d in range(3, 8)]
        for one in (base, kept, *more):
            history.write(one, str(tmp_path))
        assert history.prune(str(tmp_path), keep=2) == [m["run"] for m in more[:3]]
        assert {r["run"] for r in history.read(str(tmp_path))[0]} == {
            base["run"],
            kept["run"],
            *(m["run"] for m in more[3:]),
        }

    def test_a_result_with_a_problem_is_no_reference(self):
        quick = planned(kind="quick", names=["quick_load"])["runs"][0]
        good, bad = record(quick), record(quick, problem="failed", metrics={}, finished="2026-12-01T00:00:00+00:00")
        assert history.last_quick([good, bad], good["unit"], "quick_load") == good
        assert history.last_quick([bad], bad["unit"], "quick_load") is None

    def test_what_was_worse_is_not_the_measure_of_the_next_one(self):
        run = planned(kind="quick", names=["quick_load"])["runs"][0]
        good = record(run, finished="2026-11-29T10:00:00+00:00")
        worse = record(run, finished="2026-11-29T12:00:00+00:00", comparisons=[{"outcome": "worse"}])
        assert history.last_quick([good, worse], good["unit"], "quick_load") == good
        again = planned(kind="quick", names=["quick_load"], records=[good, worse])["runs"][0]
        assert again["references"][0]["run"] == good["run"]

    def test_the_next_one_is_the_measure_where_that_is_wanted(self):
        run = planned(kind="quick", names=["quick_load"])["runs"][0]
        renewed = planned(kind="quick", names=["quick_load"], records=[record(run)], renew=True)["runs"][0]
        assert renewed["references"][0]["reference"] is None

    def test_a_quick_run_carries_the_floors_of_its_release(self):
        release = copy.deepcopy(RELEASE)
        release["upgrade"]["bench"]["output_throughput"] = 0.8
        assert planned(kind="quick", release=release)["runs"][0]["floors"]["output_throughput"] == 0.8
        del release["upgrade"]
        assert planned(kind="quick", release=release)["runs"][0]["floors"]["output_throughput"] == 0.9
        assert planned(names=[TEXT])["runs"][0]["floors"] is None

    def test_results_are_json(self, tmp_path):
        path = history.write(record(self.run()), str(tmp_path))
        with open(path, encoding="utf-8") as file:
            assert json.load(file)["schema"] == history.SCHEMA
