#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Write what is known of all hosts as one page and as JSON
description:
  - Puts together what former tasks have registered on the hosts of the play, compares it with the report of the last
    run, and writes C(report.html) and C(report.json).
  - The page needs nothing else, neither a network nor a server. It shows text from hosts as text.
  - What differs from the release and the fleet, as M(ascend.fleet.drift_report) finds it, is among the findings.
  - A host that could not be read stands in the report with the reason. So do hosts of the group C(npu_hosts) that
    C(--limit) has left out. What is not known is null.
  - Runs on the controller alone. Use it with C(run_once).
options:
  about_variable:
    description: Name of the host variable with the registered result of M(ascend.fleet.npu_info).
    type: str
    required: true
  preflight_variable:
    description: Name of the host variable with the registered result of M(ascend.fleet.preflight_report).
    type: str
    required: true
  state_variable:
    description: >-
      Name of the host variable with the registered result of M(ascend.fleet.fleet_state_info), with its C(benchmarks).
    type: str
    required: true
  node_variable:
    description: Name of the host variable with the registered result of M(ascend.fleet.vllm_status_info).
    type: str
    required: true
  shared_variable:
    description: As of M(ascend.fleet.vllm_status).
    type: str
    required: true
  own_variable:
    description: As of M(ascend.fleet.vllm_status).
    type: str
    required: true
  folder:
    description:
      - Folder on the controller. The report lies in C(fleet) in it, readable by its owner and group.
      - Empty, C(reports/fleet) beside the inventory. Where the inventory is no file, nothing is written.
    type: str
    default: ''
  title:
    description: Words for the heading; by default the names of the releases.
    type: str
    default: ''
  query:
    description: >-
      A JMESPath expression over the report. Just what it selects is printed; the files are written all the same.
    type: str
    default: ''
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Returns the report and says how the fleet is; writes no file.
    support: full
  diff_mode:
    description: Changes nothing on hosts.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
seealso:
  - module: ascend.fleet.npu_info
  - module: ascend.fleet.preflight_report
  - module: ascend.fleet.drift_report
  - module: ascend.fleet.vllm_status
  - module: ascend.fleet.fleet_state_info
"""

EXAMPLES = r"""
- name: Write the report
  ascend.fleet.fleet_report:
    about_variable: about
    preflight_variable: preflight
    state_variable: state
    node_variable: node
    shared_variable: shared
    own_variable: own
    folder: /srv/reports
  run_once: true
"""

RETURN = r"""
selected:
  description: What O(query) has selected.
  returned: when a query was given
  type: raw
  sample: 0
files:
  description: The files that were written. Empty in check mode.
  returned: success
  type: list
  elements: str
  sample: [/srv/reports/fleet/report.html, /srv/reports/fleet/report.json]
report:
  description: The report as C(report.json) has it. Null is unknown.
  returned: success
  type: dict
  contains:
    schema:
      description: Version of what the report looks like. Fields may be added in it, and keep their meaning.
      type: int
      sample: 1
    kind:
      description: What this is.
      type: str
      sample: ascend.fleet report
    made:
      description: When, by the clock of the controller.
      type: str
      sample: "2026-11-30T06:15:00Z"
    title:
      description: O(title).
      type: str
      sample: qwen3_5_27b_v0
    summary:
      description: What is counted over the fleet. HBM is in MB.
      type: dict
      sample:
        hosts: 1
        states: {ok: 1, warning: 0, error: 0, unreachable: 0, not asked: 0}
        chips: 8
        chips_well: 8
        chips_used: {ours: 8, others: 0, free: 0, unknown: 0}
        hbm_used_mb: 473824
        hbm_total_mb: 524288
        replicas: 2
        replicas_serving: 2
        running: 3
        waiting: 0
        errors: 0
        warnings: 0
    hosts:
      description: >-
        Each host, also those that were not read. C(state) is V(ok), V(warning), V(error), V(unreachable) or
        V(not asked).
      type: list
      elements: dict
      sample:
        - host: a2-1
          state: ok
          reason: ""
          hostname: npu-01
          generation: a2
          architecture: aarch64
          os: openEuler 22.03 (LTS-SP4)
          kernel: 5.10.0-216.0.0.115.oe2203sp4.aarch64
          boot_time: 1789000000
          driver: 25.2.0
          firmware: 7.8.0.7.220
          cann: 8.5.0
          docker: 24.0.7
          release: qwen3_5_27b_v0
          last_good: qwen3_5_27b_v0
          previous_good: ""
          change: null
          npu_smi_error: null
          chips: 8
          chips_well: 8
          temperature_celsius: 51
          hbm_used_mb: 473824
          hbm_total_mb: 524288
          errors: 0
          warnings: 0
    chips:
      description: Each chip. C(use) is V(free), V(ours), V(others) or V(unknown).
      type: list
      elements: dict
      sample:
        - host: a2-1
          npu: 0
          chip: 0
          index: 0
          model: 910B3
          health: OK
          temperature_celsius: 51
          power_watts: 180.2
          utilization_percent: 40
          hbm_used_mb: 59228
          hbm_total_mb: 65536
          well: true
          use: ours
          users: vllm-qwen3.5-0
          error_codes: ""
    replicas:
      description: >-
        Each replica, with fields of M(ascend.fleet.vllm_status). C(serving) is whether it is healthy and gets requests.
      type: list
      elements: dict
      sample:
        - host: a2-1
          name: "a2-1:0"
          replica: 0
          unit: vllm-qwen3.5@0.service
          release: qwen3_5_27b_v0
          health: healthy
          traffic: in
          serving: true
    versions:
      description: What runs where, by generation; C(most) marks the most frequent one.
      type: list
      elements: dict
      sample:
        - {generation: a2, subject: driver, value: 25.2.0, most: true, hosts: [a2-1]}
    findings:
      description: The findings of the preflight and of the benchmarks that hosts keep, each once with its hosts.
      type: list
      elements: dict
      sample:
        - id: DRV-006
          severity: error
          title: The running driver is not the installed one
          found: driver 25.0.0 running, 25.2.0 installed
          needed: the same of both
          fix: reboot the host
          ignored: false
          hosts: [a2-2]
    releases:
      description: The releases that hosts are to serve. C(open) names what neither release nor lock pins.
      type: list
      elements: dict
      sample:
        - release: qwen3_5_27b_v0
          description: Qwen3.5-27B, BF16
          driver: 25.2.0
          firmware: 25.2.0
          cann: 8.5.0
          model: Qwen3.5-27B
          model_commit: null
          images: []
          open: [model]
          hosts: [a2-1]
    changes:
      description: What hosts remember of their changes, newest first.
      type: list
      elements: dict
      sample:
        - id: 20261130T061500Z-upgrade
          kind: upgrade
          release: qwen3_5_27b_v1
          from_release: qwen3_5_27b_v0
          by: alice@controller
          began: "2026-11-30T06:15:00Z"
          ended: "2026-11-30T07:02:11Z"
          outcomes:
            - {outcome: good, why: "", hosts: [a2-1]}
    benchmarks:
      description: The newest result of each replica and workload, with what it was compared with.
      type: list
      elements: dict
      sample:
        - host: a2-1
          unit: vllm-qwen3.5@0.service
          replica: 0
          workload: text_2048_output_2048
          kind: full
          run: 20261129T184000Z
          finished: "2026-11-29T18:47:05+00:00"
          baseline: false
          problem: ""
          with: its own baseline (run 20261101T201103Z)
          outcome: same
          reason: ""
          trend: [1210.0, 1198.0]
          output_throughput: 1198.0
          output_throughput_reference: 1210.0
          worse: ""
    metrics:
      description: The numbers of benchmarks that are judged.
      type: list
      elements: dict
      sample:
        - {metric: output_throughput, better: higher, tolerance: 0.1}
    problems:
      description: What could not be read beside that, a line each.
      type: list
      elements: str
      sample: []
    since:
      description: >-
        What has changed since the report of the time C(made), each change once with its hosts. C(made) is null where
        there is none to compare with, and C(problem) says why.
      type: dict
      sample:
        made: "2026-11-29T06:15:00Z"
        problem: ""
        entries:
          - {what: version, subject: driver, before: 25.0.0, after: 25.2.0, hosts: [a2-1]}
"""
