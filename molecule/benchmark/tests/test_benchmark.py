# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of a fleet whose engines really are asked: an operator's runs, one after the other.

`make test` has those of every day; `make benchmark` has all of them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import pytest
import yaml

from tests.fleet_helpers import ROOT, fleet, playbook, playbook_command

GUIDE = yaml.safe_load((ROOT / "playbooks/releases/qwen3_5_27b_v0.yml").read_text(encoding="utf-8"))
REPLICAS = {"a2-1": 2, "a3-1": 4}
PICTURE, TEXT = "picture_short", "text_short"
#: The engine gives a token every 20 ms, as a real one does. The first one comes so soon here that its time is noise.
PACE, USUAL_PACE = "0.02", "0.0025"
OPTIONS = {"vllm_bench_tolerances": {"median_ttft_ms": 20, "output_throughput": 0.15}}
SLOW = "8012,1.3"
thorough = pytest.mark.skipif(os.environ.get("ASCEND_BENCHMARK_RUNS") != "all", reason="`make benchmark` runs it")


@pytest.fixture(scope="module")
def inventory(request, tmp_path_factory):
    """A site that serves a release of its own: the guide's two workloads, with fewer and shorter requests."""
    source = request.config.getoption("ansible_inventory")
    folder = tmp_path_factory.mktemp("site")
    (folder / "releases" / "files").mkdir(parents=True)
    (folder / "group_vars").mkdir()
    for path in ("hosts.yml", "group_vars/all.yml", "group_vars/atlas_a2.yml", "group_vars/atlas_a3.yml"):
        (folder / path).write_text((ROOT / source / path).read_text())
    release = json.loads(json.dumps(GUIDE))
    release["release"] = "mine"
    for workload, name in zip(release["benchmark"]["workloads"], (PICTURE, TEXT)):
        workload["name"] = name
        workload["options"].update(
            {"num-prompts": 16, "max-concurrency": 8, "random-input-len": 64, "random-output-len": 96}
        )
        del workload["baseline"]
    picture = GUIDE["smoke"]["questions"][1]["picture"]
    (folder / "releases" / picture).write_bytes((ROOT / "playbooks/releases" / picture).read_bytes())
    (folder / "releases" / "mine.yml").write_text(yaml.safe_dump(release, allow_unicode=True, sort_keys=False))
    variables = folder / "group_vars" / "all.yml"
    settings = {**yaml.safe_load(variables.read_text()), **OPTIONS, "fleet_release": "mine"}
    variables.write_text(yaml.safe_dump(settings))
    pace(PACE)
    try:
        status, output = playbook(str(folder), "site.yml")
        assert status == 0, output
        yield folder
    finally:
        pace(USUAL_PACE)


def pace(seconds):
    for host in REPLICAS:
        on(host, f"ascend-sim set token-seconds {seconds}")


def on(host, command):
    """Run a shell command on a host."""
    return fleet("exec", host, "--", "sh", "-c", command)


def options_of(variables):
    return ["-e", json.dumps(variables)] if variables else []


def benchmark(inventory, *more, check=False, **variables):
    """Run the playbook; its exit status and its output."""
    words = [*options_of(variables), *(["--check"] if check else []), *more]
    return playbook(str(inventory), "playbooks/benchmark.yml", *words)


def nothing_is_left(*hosts):
    """No client runs, every replica is in traffic, and none is marked."""
    for host in hosts or REPLICAS:
        assert on(host, "docker ps --all --quiet --filter label=ascend.fleet.bench") == ""
        assert on(host, "ls /var/lib/ascend-fleet/changing 2>/dev/null || true") == ""
        state = on(host, "echo 'show servers state' | socat - /run/ascend-fleet-gateway/admin.sock")
        rows = [line.split() for line in state.splitlines() if re.match(r"\d+ vllm-", line)]
        assert len(rows) == REPLICAS[host], state
        # The sixth and seventh columns: operational state 2 is running, administrative state 0 is ready.
        assert {tuple(row[5:7]) for row in rows} == {("2", "0")}, state


def report(inventory):
    """The last report on the controller."""
    folders = sorted((inventory / "reports" / "benchmark").iterdir())
    return json.loads((folders[-1] / "report.json").read_text()), folders[-1]


def refused(inventory, *words, host="a2-1", **variables):
    status, output = benchmark(inventory, "--limit", f"{host},localhost", **variables)
    assert status not in (0, 250), output
    assert "Traceback" not in output, output
    flat = re.sub(r"\s+", " ", output)
    for word in words:
        assert word in flat, output
    nothing_is_left(host)
    return output


def test_check_mode_says_what_would_run(inventory):
    status, output = benchmark(inventory, check=True)
    assert status == 0, output
    rows = re.findall(r"^(a\d-1:\d) +(\S+) +1 +unknown +nothing yet", output, re.MULTILINE)
    assert rows == [(f"{h}:{n}", w) for h, count in REPLICAS.items() for n in range(count) for w in (PICTURE, TEXT)]
    assert not (inventory / "reports").exists()
    assert on("a2-1", "ls /var/lib/ascend-fleet/bench 2>/dev/null || true") == ""


def test_both_workloads_on_every_replica(inventory):
    status, output = benchmark(inventory, vllm_bench_fail_on="none")
    assert status == 0, output
    assert output.count("Serving Benchmark Result") == 4  # two workloads on two kinds of chips
    assert output.count("it is the baseline of later ones now") == 12
    found, folder = report(inventory)
    assert len(found["measurements"]) == 12
    # What else the machine does may slow one of the replicas, and that is found.
    assert {finding["id"] for finding in found["findings"]} <= {"PERF-002", "PERF-005"}
    for host in REPLICAS:
        assert f"{host}:0" in output
        kept = json.loads((folder / f"{host}.json").read_text())["measurements"]
        path = f"/var/lib/ascend-fleet/bench/{folder.name}"
        for one in kept:
            assert one["metrics"]["completed"] == 16
            name = f"{one['unit'].removesuffix('.service')}-{one['workload']}"
            stored = json.loads(on(host, f"cat '{path}/{name}.json'"))
            assert stored == one
            assert on(host, f"cat '{path}/{name}-1.client.log'").startswith("vllm bench serve --model qwen3.5 ")
    nothing_is_left()


@thorough
def test_the_guide_s_own_workloads_beside_its_tables(inventory):
    """On one replica of each host, at the engine's usual pace, with the guide's own release."""
    pace(USUAL_PACE)
    try:
        status, output = benchmark(
            inventory, vllm_bench_replicas=[0], vllm_bench_fail_on="none", fleet_release="qwen3_5_27b_v0"
        )
    finally:
        pace(PACE)
    assert status == 0, output
    for workload, tokens in (("picture_1024_text_1024_output_2048", 153600), ("text_2048_output_2048", 307200)):
        assert output.count(f"{workload} on ") == 2, output
        assert re.search(rf"^Total input tokens: +{tokens} +{tokens}$", output, re.MULTILINE), output
    assert re.search(r"^Output token throughput \(tok/s\): +808\.22 +[\d.]+$", output, re.MULTILINE)
    assert "release        a2-1:0" in output


def test_a_slow_replica_is_found_as_regression_and_as_outlier(inventory):
    fleet("break", "a3-1", "engine-slow", SLOW)
    try:
        status, output = benchmark(inventory, vllm_bench_workloads=[TEXT])
    finally:
        fleet("mend", "a3-1", "engine-slow")
    assert status != 0, output
    found, _folder = report(inventory)
    slow = {(f["id"], f["host"], f["replica"]) for f in found["findings"]}
    assert slow == {("PERF-001", "a3-1", 2), ("PERF-002", "a3-1", 2)}, found["findings"]
    assert found["hosts"] == {"a2-1": "as before", "a3-1": "slow"}
    assert re.search(r"a3-1 +: ok=\d+ .* failed=1 ", output)
    assert re.search(r"a2-1 +: ok=\d+ .* failed=0 ", output)
    nothing_is_left()
    status, output = benchmark(inventory, "--limit", "a3-1,localhost", vllm_bench_workloads=[TEXT])
    assert status == 0, output


@thorough
def test_all_replicas_of_a_host_at_once_are_other_conditions(inventory):
    status, output = benchmark(
        inventory, "--limit", "a2-1,localhost", vllm_bench_concurrent=True, vllm_bench_workloads=[TEXT]
    )
    assert status == 0, output
    assert "other conditions: load all replicas of the host at once instead of alone" in output
    nothing_is_left("a2-1")


def test_the_quick_one_tells_same_worse_or_nothing(inventory):
    only = {"vllm_bench_kind": "quick", "vllm_bench_replicas": [0], "vllm_bench_workloads": ["quick_load"]}
    limit = ("--limit", "a2-1,localhost")
    outcomes = []
    for slow in (False, False, True):
        if slow:
            fleet("break", "a2-1", "engine-slow", "8010,1.3")
        try:
            status, output = benchmark(inventory, *limit, **only)
        finally:
            fleet("mend", "a2-1", "engine-slow")
        found, _folder = report(inventory)
        [one] = found["measurements"]
        assert one["seconds"] <= 240
        outcomes.append((status != 0, one["comparisons"][0]["outcome"], one["comparisons"][0]["reason"]))
    assert outcomes == [
        (False, "no comparison", "no former result"),
        (False, "same", ""),
        (True, "worse", ""),
    ], output
    nothing_is_left("a2-1")


def test_wrong_input_is_refused_before_anything_is_touched(inventory):
    refused(inventory, "found the workload txet", "text_short", vllm_bench_workloads=["txet"])
    refused(inventory, "found no replica 7 on this host, but 0, 1", vllm_bench_replicas=[7])
    refused(inventory, "found no image nothing:here in docker", vllm_bench_client_image="nothing:here")
    refused(inventory, "vllm_bench_kind", "fast", vllm_bench_kind="fast")


@thorough
def test_a_tokenizer_that_cannot_be_read(inventory):
    weights = on("a2-1", "sed -n 's/^Weights=//p' /etc/systemd/system/vllm-qwen3.5@0.service").strip()
    on("a2-1", f"cd {weights} && mkdir /tmp/kept && mv tokenizer* /tmp/kept/")
    try:
        refused(inventory, f"found no tokenizer in {weights}")
    finally:
        on("a2-1", f"mv /tmp/kept/* {weights}/ && rmdir /tmp/kept")


@thorough
def test_an_image_without_a_client(inventory):
    """The client of such an image is asked for, and its answer is not kept."""
    on(
        "a2-1",
        "id=$(docker create $(docker inspect --format '{{.Image}}' vllm-qwen3.5-0)); "
        "printf '#!/bin/sh\\necho \"vllm: error: invalid choice: bench\" >&2; exit 2\\n' > /tmp/vllm; "
        "chmod 755 /tmp/vllm; docker cp /tmp/vllm $id:/usr/local/python3.11.14/bin/vllm; "
        "docker commit $id without:client; docker rm $id",
    )
    try:
        refused(inventory, "found no benchmark client in the image sha256:", vllm_bench_client_image="without:client")
    finally:
        on("a2-1", "docker image rm without:client")


@thorough
def test_requests_that_all_fail_are_no_result(inventory):
    """The client's exit status is 0 all the same."""
    fleet("break", "a2-1", "engine-errors", "8010,100")
    try:
        refused(
            inventory,
            "PERF-004 a2-1:0",
            "found 0 of 16 requests completed and 16 failed, with exit status 0",
            vllm_bench_replicas=[0],
            vllm_bench_workloads=[TEXT],
        )
    finally:
        fleet("mend", "a2-1", "engine-errors")


@thorough
def test_a_client_that_does_not_end_is_ended(inventory):
    fleet("break", "a2-1", "engine-hang", "8011")
    try:
        refused(
            inventory,
            "PERF-004 a2-1:1",
            "did not end within its deadline",
            vllm_bench_replicas=[1],
            vllm_bench_workloads=[TEXT],
            vllm_bench_timeout_seconds=15,
            vllm_serve_drain_timeout_seconds=60,
        )
    finally:
        fleet("mend", "a2-1", "engine-hang")


def test_a_run_that_is_killed_ends_by_itself_and_the_next_one_puts_the_replica_back(inventory):
    words = ("--limit", "a2-1,localhost", *options_of({"vllm_bench_replicas": [0], "vllm_bench_workloads": [TEXT]}))
    pace("0.5")  # the client would run for more than a minute
    command, env = playbook_command(str(inventory), "playbooks/benchmark.yml", *words)
    try:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        clients = "docker ps --quiet --filter name=ascend-fleet-bench-qwen3.5-0"
        wait_until(lambda: on("a2-1", clients) != "", 120)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: on("a2-1", clients) == "", 120)
    finally:
        pace(PACE)
    stored = on("a2-1", "cat $(ls -td /var/lib/ascend-fleet/bench/2*/ | head -1)vllm-qwen3.5@0-text_short.json")
    assert "the controller has not asked for" in json.loads(stored)["problem"]
    assert "benchmark" in on("a2-1", "cat /var/lib/ascend-fleet/changing/vllm-qwen3.5@0.service")
    status, output = benchmark(
        inventory, "--limit", "a2-1,localhost", vllm_bench_replicas=[1], vllm_bench_workloads=[TEXT]
    )
    assert status == 0, output
    nothing_is_left("a2-1")


def wait_until(holds, seconds):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(1)
