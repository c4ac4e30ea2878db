#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bench_report
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Print what a benchmark has measured on all hosts of the play, and keep it
description:
  - Prints one table for each workload and set of conditions, in the form of the benchmark client's own table, with the
    table of the release beside the replicas' results. A column that was measured under other conditions is marked
    C(o.c.).
  - Findings follow, each with its ID and its fix. A replica that is worse than the median of all replicas under equal
    conditions is named with its chips, or its host where all replicas of the host are slow.
  - In check mode it prints what would be measured, how long that takes, and what it is compared with.
  - Writes the report and the results of each host to the controller, in the schema of the results on the hosts.
  - Runs on the controller alone. Use it with C(run_once).
options:
  variable:
    description: >-
      Name of the host variable with C(plan) of M(ascend.fleet.vllm_bench_info), C(measurements) of
      M(ascend.fleet.vllm_bench), and C(problem) where something went wrong.
    type: str
    default: vllm_bench_result
  title:
    description: Words for the heading.
    type: str
    default: ''
  folder:
    description: >-
      A folder on the controller; each run gets one of its own in it. Empty means C(reports/benchmark) beside the
      inventory.
    type: str
    default: ''
  tolerances:
    description: By how much a number may be worse than the fleet's median, as for M(ascend.fleet.vllm_bench).
    type: dict
    default: {}
attributes:
  check_mode:
    description: Changes no host. In check mode the plan is printed, and no file is written.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
seealso:
  - module: ascend.fleet.vllm_bench
  - module: ascend.fleet.vllm_bench_info
"""

EXAMPLES = r"""
- name: Print what all hosts have measured
  ascend.fleet.bench_report:
  run_once: true
"""

RETURN = r"""
report:
  description: The report; empty in check mode.
  returned: success
  type: dict
  contains:
    schema:
      description: The version of its form.
      type: int
      sample: 1
    run:
      description: The name of the run.
      type: str
      sample: 20261129T184000Z
    kind:
      description: V(full) or V(quick).
      type: str
      sample: full
    hosts:
      description: The verdict on each host.
      type: dict
      sample: {a2-1: as before}
    not_measured:
      description: Hosts without results, with C(host) and C(reason).
      type: list
      elements: dict
      sample: []
    measurements:
      description: The results, as M(ascend.fleet.vllm_bench) returns them, each with its C(verdict).
      type: list
      elements: dict
      sample: []
    findings:
      description: What is wrong.
      type: list
      elements: dict
      sample:
        - id: PERF-002
          severity: error
          title: The replica is slower than the fleet
          host: a3-1
          replica: 2
          workload: text_2048_output_2048
          message: >-
            The replica is slower than the fleet: found Median TPOT (ms) 72.10, 30 % more than 55.40 (its chips:
            /dev/davinci8, /dev/davinci9); needed the median of 4 replicas under equal conditions
          found: Median TPOT (ms) 72.10, 30 % more than 55.40
          needed: the median of 4 replicas under equal conditions
          fix: look at its chips with npu-smi
    notes:
      description: What is worth knowing, a line each.
      type: list
      elements: str
      sample: []
plans:
  description: In check mode, the plan of each host.
  returned: success
  type: dict
  sample: {}
slow:
  description: Hosts with a finding that is an error.
  returned: success
  type: list
  elements: str
  sample: [a3-1]
folder:
  description: Where reports lie on the controller; null where there is no inventory file to lie beside.
  returned: when not in check mode
  type: str
  sample: /srv/fleet/reports/benchmark
"""
