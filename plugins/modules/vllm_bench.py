#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure replicas."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_bench
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Measure replicas with the image's own benchmark client
description:
  - Runs C(vllm bench serve) of an image against replicas of this host, at their own address, in a container without
    cards. The container is gone when the module ends, however it ends.
  - The client's exit status is judged, and how many requests it counts as completed and failed, because it ends with
    status 0 even when every request has failed.
  - Replicas are measured at the same time, the workloads of each one after the other. Use it once for each group of the
    plan of M(ascend.fleet.vllm_bench_info).
  - Results are stored on the host in C(/var/lib/ascend-fleet/bench), with what the client has written beside them.
  - It takes no replica out of traffic; the role C(vllm_bench) does.
options:
  runs:
    description: What to measure, entries of C(plan.runs) as M(ascend.fleet.vllm_bench_info) returns them.
    type: list
    elements: dict
    required: true
  host:
    description: What the inventory calls this host.
    type: str
    required: true
  run:
    description: The name of the run, under which all hosts store their results.
    type: str
    required: true
  api_key:
    description: The key of the service, if it has one. It reaches the client in a file, never in a command line.
    type: str
    default: ''
  tolerances:
    description: >-
      By how much a number may be worse before that is told, as a share. Names are those of the client's result file,
      such as C(output_throughput) and C(median_tpot_ms).
    type: dict
    default: {}
  docker_options:
    description: More options of C(docker run) for the client's container.
    type: list
    elements: str
    default: []
  timeout:
    description: Deadline of one run of the client, in seconds.
    type: float
    default: 3600
  budget:
    description: Deadline of all workloads of a replica together, in seconds. By default there is none.
    type: float
  progress:
    description:
      - File on the host into which to write how far the measurement is. The action plugin sets it and prints lines.
        Where the controller has not asked for a minute, the measurement is ended.
    type: path
attributes:
  action:
    description: >-
      The controller prints how far each replica is. The measurement runs detached on the host, and ends by itself once
      the controller is gone.
    support: full
  async:
    description: Runs detached in any case.
    support: full
  check_mode:
    description: Measures nothing.
    support: full
  diff_mode:
    description: The service is not changed, and results are no difference.
    support: none
  platform:
    description: Needs docker.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_bench_info
  - module: ascend.fleet.bench_report
"""

EXAMPLES = r"""
- name: Plan
  ascend.fleet.vllm_bench_info:
    host: "{{ inventory_hostname }}"
    release: "{{ lookup('ascend.fleet.release', fleet_release) }}"
  register: bench

- name: Measure replica 0
  ascend.fleet.vllm_bench:
    host: "{{ inventory_hostname }}"
    run: "{{ now(utc=true, fmt='%Y%m%dT%H%M%SZ') }}"
    runs: "{{ bench.plan.runs | selectattr('replica', 'eq', 0) }}"
"""

RETURN = r"""
measurements:
  description:
    - The results, one for each replica and workload, as they are stored. C(metrics) are the medians of the repeats
      under the names of the client's result file. C(problem) says why there is no result.
    - C(comparisons) say what a result was compared with; C(outcome) is V(same), V(worse) or V(no comparison).
    - A quick result that comes near the floor of its release is measured once more by itself, and the mean counts.
      C(again) in a comparison tells that there was no time left for that.
  returned: success
  type: list
  elements: dict
  sample:
    - schema: 1
      run: 20261129T184000Z
      host: a2-1
      replica: 0
      unit: vllm-qwen3.5@0.service
      workload: text_2048_output_2048
      kind: full
      metrics: {completed: 150, failed: 0, output_throughput: 808.2, median_ttft_ms: 13699.5, median_tpot_ms: 55.4}
      spread: {}
      problem: null
      baseline: true
      comparisons:
        - with: its own baseline
          outcome: no comparison
          reason: no former result
          again: false
          figures: []
          differences: []
problems:
  description: Why results are missing, a line each.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.detached import HEARD_NAME, remove_leftovers
from ..module_utils._base.progress import write_report
from ..module_utils._bench import history
from ..module_utils._bench.measure import Live, Measuring, Settings
from ..module_utils._host.docker import Docker, DockerError

_REPORT_SECONDS = 1.0


def measure(measuring: Measuring, runs: list[dict[str, Any]], progress: Optional[str]) -> list[dict[str, Any]]:
    """The results of all runs, replica beside replica."""
    by_unit: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        by_unit.setdefault(str(run["unit"]), []).append(run)
    live = [Live(unit) for unit in by_unit]
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_REPORT_SECONDS):
            write_report(progress, [one.report() for one in live])

    helpers = [threading.Thread(target=tell, daemon=True)]
    helpers.append(threading.Thread(target=measuring.watch, args=(ended,), daemon=True))
    for helper in helpers:
        helper.start()
    try:
        with ThreadPoolExecutor(max_workers=len(by_unit)) as pool:
            return [r for results in pool.map(measuring.replica, by_unit.values(), live) for r in results]
    finally:
        ended.set()
        for helper in helpers:
            helper.join(timeout=10)


def main() -> None:
    """Measure."""
    module = AnsibleModule(
        argument_spec={
            "runs": {"type": "list", "elements": "dict", "required": True},
            "host": {"required": True},
            "run": {"required": True},
            "api_key": {"no_log": True, "default": ""},
            "tolerances": {"type": "dict", "default": {}},
            "docker_options": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 3600},
            "budget": {"type": "float"},
            "progress": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode or not params["runs"]:
        module.exit_json(changed=False, measurements=[], problems=[])
    progress = params["progress"]
    remove_leftovers(progress)
    measuring = Measuring(
        Docker(),
        Settings(
            host=params["host"],
            run=params["run"],
            seconds=params["timeout"],
            budget=params["budget"],
            api_key=params["api_key"],
            docker_options=params["docker_options"],
            tolerances={k: float(v) for k, v in params["tolerances"].items()},
            heard=os.path.join(os.path.dirname(progress), HEARD_NAME) if progress else None,
        ),
    )

    def end(_number: int, _frame: Any) -> None:
        threading.Thread(target=measuring.stop, args=("found that the measurement was ended by a signal",)).start()

    signal.signal(signal.SIGTERM, end)
    try:
        measurements = measure(measuring, params["runs"], progress)
        history.prune()
    except (DockerError, history.HistoryError, OSError) as exc:
        measuring.stop("an error")
        module.fail_json(msg="found: %s; needed to measure and to store the result" % exc)
    problems = ["%s, %s: %s" % (m["unit"], m["workload"], m["problem"]) for m in measurements if m["problem"]]
    module.exit_json(changed=False, measurements=measurements, problems=problems)


if __name__ == "__main__":
    main()
