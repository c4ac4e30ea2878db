#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_status
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Print all replicas of the play as one table
description:
  - Prints a line for each replica with its release, image, health, requests, memory and age, and whether requests go to
    it, or who keeps it out and why.
  - What is not known is shown as unknown. Hosts and gateways that did not answer are named below the table.
  - Runs on the controller alone. Use it with C(run_once).
options:
  node_variable:
    description: Name of the host variable with the registered result of M(ascend.fleet.vllm_status_info).
    type: str
    required: true
  shared_variable:
    description: >-
      Name of the host variable with the registered result of M(ascend.fleet.vllm_traffic), of a task that loops over
      the gateways of all hosts.
    type: str
    required: true
  own_variable:
    description: >-
      Name of the host variable with the registered result of M(ascend.fleet.vllm_traffic) on the host itself, where it
      has a gateway of its own or the driver is V(external).
    type: str
    required: true
  drift_variable:
    description: >-
      Name of the host variable with the registered result of M(ascend.fleet.npu_info). With it, the drift of every host
      is worked out as M(ascend.fleet.drift_report) does, shown in lines below the table, and in RV(report) as C(drift).
    type: str
  query:
    description: >-
      A JMESPath expression. Just what it selects from RV(report) is printed, in place of the table. Needs the Python
      library C(jmespath) on the controller.
    type: str
    default: ''
  title:
    description: Words for the heading.
    type: str
    default: ''
  json_path:
    description: File on the controller to write the table to as JSON. Check mode writes none.
    type: path
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Prints the table and writes no file.
    support: full
  diff_mode:
    description: Changes nothing on hosts.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
seealso:
  - module: ascend.fleet.vllm_status_info
  - module: ascend.fleet.vllm_traffic
  - module: ascend.fleet.drift_report
"""

EXAMPLES = r"""
- name: Read the replicas
  ascend.fleet.vllm_status_info:
  register: node

- name: Ask the gateways
  ascend.fleet.vllm_traffic:
    state: query
  delegate_to: "{{ item }}"
  loop: "{{ groups['gateways'] }}"
  run_once: true
  register: shared

- name: Show them
  ascend.fleet.vllm_status:
    node_variable: node
    shared_variable: shared
    own_variable: own
    json_path: "{{ playbook_dir }}/status.json"
  run_once: true
"""

RETURN = r"""
selected:
  description: What O(query) has selected.
  returned: when O(query) is given
  type: raw
  sample: ["a2-1:0"]
report:
  description: The table as data. Null is unknown.
  returned: success
  type: dict
  contains:
    replicas:
      description: >-
        What M(ascend.fleet.vllm_status_info) returned of each replica, with C(host), C(name), C(traffic),
        C(traffic_text) and C(gateways).
      type: list
      elements: dict
    not_read:
      description: Hosts that could not be read, each with C(host) and C(reason).
      type: list
      elements: dict
    empty:
      description: Hosts without a replica.
      type: list
      elements: str
    drift:
      description: The drift of all hosts, as RV(ascend.fleet.drift_report#module:report). Only with O(drift_variable).
      type: dict
    problems:
      description: What else could not be read, a line each.
      type: list
      elements: str
  sample:
    replicas:
      - host: a2-1
        name: "a2-1:0"
        replica: 0
        release: qwen3_5_27b_v0
        health: healthy
        running: 3
        waiting: 0
        traffic: out
        traffic_text: "out, operator alice: exchange of a fan (since 2026-11-24T21:58:23Z)"
    not_read: []
    empty: []
    problems: []
"""
