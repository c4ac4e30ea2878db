#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_bake
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Judge a new release by its traffic, beside the old one over the same minutes
description:
  - Compares what hosts of the new release and hosts of the old one have done between two samples that
    M(ascend.fleet.vllm_metrics_info) has taken of each, within each generation of hardware.
  - The share of failed requests, restarts and stalls of the new release decide. Times and preemptions are shown, and
    decide where O(limits) has one for them.
  - It is V(bad) where the new release fails. It is V(inconclusive) where something could not be measured, or there were
    too few requests; that is no sign against the new release.
  - Prints one table. Runs on the controller alone. Use it with C(run_once).
extends_documentation_fragment:
  - ascend.fleet.on_controller
options:
  new:
    description: The hosts that run the new release, with all of their replicas.
    type: list
    elements: str
    required: true
  old:
    description: Hosts that run the old release. Without one of a generation its limit alone decides.
    type: list
    elements: str
    default: []
  gateways:
    description: >-
      The hosts with the gateways that all replicas share, whose samples tell which requests failed for their clients.
      Hosts of O(new) and O(old) with a gateway of their own need not be named.
    type: list
    elements: str
    default: []
  minutes:
    description: How long the bake was to last, with its extension. 0 means that nothing is judged.
    type: float
    required: true
  extended:
    description: Whether the bake was extended already.
    type: bool
    default: false
  canary:
    description: Whether the new hosts are the canary. After a good one, few requests do not stop later waves.
    type: bool
    default: false
  wave:
    description: Which bake of the upgrade this is, for its report.
    type: int
    default: 1
  promote:
    description: Whether an operator says that an inconclusive bake goes on. A bad one does not.
    type: bool
    default: false
  limits:
    description: The section C(upgrade) of the new release. What it does not say has the defaults of releases.
    type: dict
    default: {}
  before:
    description: >-
      The variable of the hosts with their first samples. It may also hold the result of a loop over the hosts' names,
      at any host of the play.
    type: str
    default: __upgrade_bake_before
  after:
    description: The variable of the hosts with their second samples.
    type: str
    default: __upgrade_bake_after
  title:
    description: Words for the heading.
    type: str
    default: ''
attributes:
  bypass_host_loop:
    description: Looks at many hosts, and is meant for C(run_once).
    support: none
  check_mode:
    description: Changes nothing in any mode.
    support: full
seealso:
  - module: ascend.fleet.vllm_metrics_info
  - module: ascend.fleet.fleet_waves
"""

EXAMPLES = r"""
- name: Judge the wave
  ascend.fleet.fleet_bake:
    new: [a2-1]
    old: [a2-2, a2-3]
    gateways: "{{ groups['gateways'] }}"
    minutes: 10
    canary: true
    limits: "{{ lookup('ascend.fleet.release', fleet_release).upgrade }}"
  run_once: true
  register: bake

- name: Stop
  ansible.builtin.fail:
    msg: "{{ bake.question or bake.reasons | join('; ') }}"
  when: not bake.go_on
"""

RETURN = r"""
hosts:
  description: The hosts of the new release.
  returned: success
  type: list
  elements: str
  sample: [a2-1]
wave:
  description: As O(wave).
  returned: success
  type: int
  sample: 1
stop:
  description: >-
    Why the upgrade stops after this bake; empty where it goes on. C(kind) is V(bad) where what was changed goes back,
    and V(asks) where an operator is asked.
  returned: success
  type: dict
  sample: {}
verdict:
  description: V(good), V(bad) or V(inconclusive).
  returned: success
  type: str
  sample: good
go_on:
  description: Whether the upgrade goes on. Also after an inconclusive bake, where O(promote) or the rules say so.
  returned: success
  type: bool
  sample: true
extend_minutes:
  description: How many minutes longer to bake, keeping the first samples; 0 where it is not to be extended.
  returned: success
  type: float
  sample: 0.0
question:
  description: What an operator is asked where the upgrade stops though nothing is bad; empty otherwise.
  returned: success
  type: str
  sample: ""
reasons:
  description: Why it is not good, a line each.
  returned: success
  type: list
  elements: str
  sample: []
problems:
  description: What could not be measured, a line each. It is not held against the new release.
  returned: success
  type: list
  elements: str
  sample: []
notes:
  description: What else is worth knowing, a line each.
  returned: success
  type: list
  elements: str
  sample: ["gateway gw-1: it was reloaded or restarted, and what it counted before that is not known"]
figures:
  description: One entry for the new and one for the old release of each generation. Null is unknown.
  returned: success
  type: list
  elements: dict
  contains:
    generation:
      description: The generation of the hosts.
      type: str
    cohort:
      description: V(new) or V(old).
      type: str
    hosts:
      description: Their names.
      type: list
      elements: str
    replicas:
      description: How many replicas they have.
      type: int
    unread:
      description: How many hosts or replicas could not be read.
      type: int
    minutes:
      description: How far the samples lie apart.
      type: float
    requests:
      description: How many requests ended.
      type: int
    failed:
      description: How many of them failed.
      type: int
    error_share:
      description: The share of the requests that failed; null without a request.
      type: float
    answers_5xx:
      description: Answers with a status from 500 on.
      type: int
    broken:
      description: Answers that the replica did not end, as the gateway saw it.
      type: int
    engine_errors:
      description: Requests that ended with an error in the engine.
      type: int
    engine_aborts:
      description: Requests that were aborted in the engine, those of clients that left among them.
      type: int
    client_aborts:
      description: Clients that left, as the gateway saw it.
      type: int
    refused:
      description: Connections that a replica did not take, and that were tried elsewhere.
      type: int
    restarts:
      description: How often engines were restarted.
      type: int
    stalled:
      description: Replicas that stall.
      type: list
      elements: str
    preemptions:
      description: How often engines have put a running request back.
      type: int
    ttft_observations:
      description: For how many requests the time to the first token is known.
      type: int
    ttft_p95_seconds:
      description: The time to the first token that 95 of 100 requests do not exceed.
      type: float
    inter_token_observations:
      description: How many times between two tokens are known.
      type: int
    inter_token_p95_seconds:
      description: The time between two tokens that 95 of 100 do not exceed.
      type: float
  sample:
    - generation: a2
      cohort: new
      hosts: [a2-1]
      replicas: 2
      unread: 0
      minutes: 10.0
      requests: 412
      failed: 0
      error_share: 0.0
      answers_5xx: 0
      broken: 0
      engine_errors: 0
      engine_aborts: 3
      client_aborts: 3
      refused: 0
      restarts: 0
      stalled: []
      preemptions: 0
      ttft_observations: 409
      ttft_p95_seconds: 2.31
      inter_token_observations: 104300
      inter_token_p95_seconds: 0.071
"""
