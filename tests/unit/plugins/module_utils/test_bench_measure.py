# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the client: its container never stays, and every way to end without a result is told."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._base.locks import exclusive_lock
from ansible_collections.ascend.fleet.plugins.module_utils._bench import history, measure
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import Docker, DockerError

UNIT = "vllm-qwen3.5@0.service"
NUMBERS = {"completed": 4, "failed": 0, "duration": 2.0, "output_throughput": 100.0, "num_prompts": 4}


def run_of(**changed):
    own = {
        "replica": 0,
        "unit": UNIT,
        "port": 8010,
        "served_model_name": "qwen3.5",
        "weights": "/models/qwen",
        "indices": [0],
        "release": "r",
        "binds": ["/models/qwen:/models/qwen:ro"],
        "workload": "text",
        "kind": "full",
        "options": {"num-prompts": 4},
        "repeats": 1,
        "client": {"image_id": "sha256:1", "version": "0.16"},
        "conditions": {},
        "key": "k",
        "becomes_baseline": True,
        "references": [],
    }
    own.update(changed)
    return own


class Host:
    """A docker whose containers do what ``client`` says; it notes every command."""

    def __init__(self, client):
        self.client = client
        self.argvs: list[list[str]] = []
        self.keys: list[str] = []

    def __call__(self, argv, *, timeout, stderr_path=None, **_options):
        self.argvs.append(list(argv))
        if argv[1] != "run":
            return Completed(tuple(argv), 0, "", "", False)
        if "--env-file" in argv:
            path = argv[argv.index("--env-file") + 1]
            assert os.stat(path).st_mode & 0o077 == 0
            with open(path, encoding="utf-8") as file:
                self.keys.append(file.read())
        if stderr_path:
            with open(stderr_path, "w", encoding="utf-8") as file:
                file.write("\r 50%| | 2/4 [00:01<00:01]")
        return self.client(list(argv), timeout)

    @property
    def removed(self):
        return [argv[-1] for argv in self.argvs if argv[1:3] == ["rm", "--force"]]


def option(argv, name):
    return argv[argv.index(name) + 1]


def works(argv, _timeout, **numbers):
    path = os.path.join(option(argv, "--result-dir"), option(argv, "--result-filename"))
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**NUMBERS, **numbers}, file)
    return Completed(tuple(argv), 0, "the table\n", "", False)


def measuring(host, tmp_path, **settings):
    chosen = measure.Settings("a2-1", "20261129T184000Z", folder=str(tmp_path), **settings)
    return measure.Measuring(Docker(run=host), chosen)


def test_a_result_is_measured_and_stored(tmp_path):
    host = Host(works)
    live = measure.Live(UNIT)
    [found] = measuring(host, tmp_path, api_key="geheim").replica([run_of(repeats=2)], live)
    assert found["problem"] is None
    assert found["metrics"]["output_throughput"] == 100.0
    assert found["spread"]["output_throughput"] == 0
    assert len(found["repeats"]) == 2
    assert found["baseline"]
    assert history.read(str(tmp_path)) == ([found], [])
    assert live.finished
    assert live.report()["done"] == 2
    argv = next(a for a in host.argvs if a[1] == "run")
    assert "sha256:1" in argv
    assert argv[argv.index("sha256:1") + 1 :][:3] == ["vllm", "bench", "serve"]
    assert option(argv, "-w") == "/"
    assert "--device" not in " ".join(argv)
    assert host.keys == ["OPENAI_API_KEY=geheim\n"] * 2
    assert "geheim" not in json.dumps([host.argvs, found])
    folder = tmp_path / "20261129T184000Z"
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        ["vllm-qwen3.5@0-text.json"]
        + [f"vllm-qwen3.5@0-text-{n}.client.{end}" for n in (1, 2) for end in ("json", "log", "err")]
    )


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (lambda argv, _t: Completed(tuple(argv), 0, "", "", False), "found no result file though"),
        (lambda argv, _t: Completed(tuple(argv), 1, "", "boom", False), "status 1"),
        (lambda argv, _t: Completed(tuple(argv), None, "", "", True), "did not end within its deadline"),
        (lambda argv, t: works(argv, t, completed=0, failed=4), "found 0 of 4 requests completed and 4 failed"),
        (lambda argv, _t: Completed(tuple(argv), 125, "", "no such image", False), "needed the client to run"),
    ],
)
def test_what_has_no_result_says_why(client, words, tmp_path):
    host = Host(client)
    results = measuring(host, tmp_path).replica([run_of(), run_of(workload="second")], measure.Live(UNIT))
    assert [words in r["problem"] for r in results] == [True, True]
    assert [(r["metrics"], r["baseline"]) for r in results] == [({}, False)] * 2
    assert len(history.read(str(tmp_path))[0]) == 2


def test_what_a_killed_run_has_left_is_removed_before(tmp_path):
    host = Host(works)
    measuring(host, tmp_path).replica([run_of()], measure.Live(UNIT))
    assert [a[1] for a in host.argvs] == ["rm", "run"]
    assert host.removed == ["ascend-fleet-bench-qwen3.5-0"]


def test_a_container_that_does_not_end_is_removed(tmp_path):
    host = Host(lambda argv, _t: Completed(tuple(argv), None, "", "", True))
    measuring(host, tmp_path).replica([run_of()], measure.Live(UNIT))
    assert host.argvs[-1][1:3] == ["rm", "--force"]


def test_two_at_a_time_are_refused(tmp_path):
    host = Host(works)
    with exclusive_lock(str(tmp_path / (".%s.lock" % UNIT))) as held:
        assert held
        [found] = measuring(host, tmp_path, wait=0.2).replica([run_of()], measure.Live(UNIT))
    assert "another benchmark measures vllm-qwen3.5@0" in found["problem"]
    assert host.argvs == []


def test_without_time_left_no_client_is_started(tmp_path):
    host = Host(works)
    [found] = measuring(host, tmp_path, budget=0.5).replica([run_of()], measure.Live(UNIT))
    assert "found no time left for text" in found["problem"]
    assert host.argvs == []


def test_once_the_controller_is_gone_the_container_is_ended(tmp_path):
    """The client only ends when its container is removed."""
    heard = tmp_path / "heard"
    heard.touch()
    os.utime(heard, (1, 1))
    gone, started = threading.Event(), threading.Event()

    def client(argv, _timeout):
        started.set()
        assert gone.wait(30)
        return Completed(tuple(argv), 137, "", "", False)

    class Watched(Host):
        def __call__(self, argv, **options):
            done = super().__call__(argv, **options)
            if argv[1] == "rm" and started.is_set():
                gone.set()
            return done

    host = Watched(client)
    own = measuring(host, tmp_path / "results", heard=str(heard))
    ended = threading.Event()
    results: list[dict] = []
    worker = threading.Thread(
        target=lambda: results.extend(own.replica([run_of(), run_of(workload="b")], measure.Live(UNIT)))
    )
    worker.start()
    assert started.wait(30)
    own.watch(ended)
    worker.join(30)
    assert ["the controller has not asked for" in r["problem"] for r in results] == [True, True]
    assert [a[1] for a in host.argvs].count("run") == 1


def test_while_the_controller_asks_nothing_is_ended(tmp_path):
    heard = tmp_path / "heard"
    heard.touch()
    own = measuring(Host(works), tmp_path, heard=str(heard))
    ended = threading.Event()
    watcher = threading.Thread(target=own.watch, args=(ended,))
    watcher.start()
    [found] = own.replica([run_of()], measure.Live(UNIT))
    ended.set()
    watcher.join(30)
    assert found["problem"] is None


def test_how_far_it_is_before_the_bar(tmp_path):
    live = measure.Live(UNIT, workload="text", stage="starts the client", repeats=1, repeat=1)
    report = live.report()
    assert (report["stage"], report["total"], report["finished"]) == ("starts the client", None, False)
    assert report["seconds"] <= time.monotonic()


def test_docker_s_own_failure_is_its_error():
    docker = Docker(run=lambda argv, **_o: Completed(tuple(argv), 125, "", "daemon down", False))
    with pytest.raises(DockerError, match="daemon down"):
        docker.attempt("x", [], "image", timeout=1)


FLOORS = {"output_throughput": 0.90, "output_throughput_again": 0.95, "median_tpot_ms": 1.15, "p95_ttft_ms": 1.25}


def quick(**changed):
    """A quick run whose former result had 100 tokens a second."""
    former = {"metrics": {**NUMBERS, "completed": 8}, "spread": {}, "conditions": {}}
    own = {"source": "its last quick result", "names": [], "reference": former}
    return run_of(kind="quick", options={"num-prompts": 8}, references=[own], floors=FLOORS, **changed)


def speeds(*numbers):
    """A client that gives so many tokens a second, run after run."""
    left = list(numbers)
    return lambda argv, t: works(argv, t, completed=8, output_throughput=left.pop(0))


@pytest.mark.parametrize(
    ("numbers", "outcome", "counted"),
    [
        ((96.0,), "same", 96.0),
        ((95.0,), "same", 95.0),
        ((89.0,), "worse", 89.0),
        ((94.0, 97.0), "same", 95.5),
        ((92.0, 90.0), "same", 91.0),
        ((92.0, 86.0), "worse", 89.0),
        ((92.0, 60.0), "worse", 76.0),
    ],
)
def test_what_is_near_the_release_s_floor_is_measured_once_more(numbers, outcome, counted, tmp_path):
    host = Host(speeds(*numbers))
    [found] = measuring(host, tmp_path).replica([quick()], measure.Live(UNIT))
    [comparison] = found["comparisons"]
    assert (found["problem"], comparison["outcome"], comparison["again"]) == (None, outcome, False)
    assert found["metrics"]["output_throughput"] == counted
    assert len(found["repeats"]) == len(numbers)
    assert history.read(str(tmp_path)) == ([found], [])


def test_a_second_look_in_which_requests_fail_has_no_result(tmp_path):
    def client(argv, t):
        again = any("text-1" in option(a, "--result-filename") for a in host.argvs[:-1] if a[1] == "run")
        return works(argv, t, completed=7, failed=1) if again else works(argv, t, completed=8, output_throughput=92.0)

    host = Host(client)
    [found] = measuring(host, tmp_path).replica([quick()], measure.Live(UNIT))
    assert "found 7 of 8 requests completed" in found["problem"]
    assert (found["metrics"], found["comparisons"][0]["outcome"]) == ({}, "no comparison")


def test_a_second_look_for_which_there_is_no_time_is_wanted_still(tmp_path):
    def client(argv, t):
        time.sleep(0.7)
        return works(argv, t, completed=8, output_throughput=92.0)

    [found] = measuring(Host(client), tmp_path, budget=1.2).replica([quick()], measure.Live(UNIT))
    assert (found["problem"], len(found["repeats"])) == (None, 1)
    assert found["comparisons"][0]["again"] is True
