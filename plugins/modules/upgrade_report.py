#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan and the report of an upgrade or a rollback. Its action does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade_report
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Print what an upgrade or a rollback would do, or has done
description:
  - In check mode, or with O(plan), it prints for each host what changes (versions, options, and with C(--diff) the
    command of each replica), what is downloaded and from where, in which wave, how long that takes by the history of
    this fleet, and whether it can be done without an outage; and the waves as a table.
  - Otherwise it prints for each replica the release that it serves, how long it was out and took to start, the
    benchmark before and after, and the outcome; for each bake the figures of the cohorts; and the requests that failed,
    as the gateways counted them. Hosts that do not serve the release, and hosts whose replicas serve more than one, are
    named.
  - What is not known is shown as unknown.
  - Keeps the same as JSON and as Markdown on the controller.
  - Use it with C(run_once), in a play with all hosts.
extends_documentation_fragment:
  - ascend.fleet.on_controller
options:
  release:
    description: The name of the release that all hosts are to serve afterwards.
    type: str
    required: true
  change:
    description: The ID of the change, which is the name of its folder.
    type: str
    default: ''
  kind:
    description: What it is.
    type: str
    choices: [upgrade, rollback]
    default: upgrade
  began:
    description: When it began.
    type: str
    default: ''
  by:
    description: Who made it.
    type: str
    default: ''
  waves:
    description: What M(ascend.fleet.fleet_waves) has returned.
    type: dict
    default: {}
  bakes:
    description: >-
      What M(ascend.fleet.fleet_bake) has returned after each wave, each with C(wave), the number of the wave, and
      C(hosts).
    type: list
    elements: dict
    default: []
  reasons:
    description: What M(ascend.fleet.fleet_gate) has returned as C(reasons), for the plan.
    type: list
    elements: str
    default: []
  aside:
    description: Hosts that have no part in it, and why. Those under maintenance are known without.
    type: dict
    default: {}
  notes:
    description: What else is worth knowing, for the report.
    type: list
    elements: str
    default: []
  folder:
    description: >-
      A folder on the controller; each change gets one of its own in it. Empty means C(reports/upgrade) beside the
      inventory for the report, and no file for the plan.
    type: str
    default: ''
  plan:
    description: Whether the plan is made, also without check mode.
    type: bool
    default: false
  wanted_variable:
    description: >-
      The variable of the hosts with a result of M(ascend.fleet.fleet_state_info), whose C(deployment) they go to. Empty
      means that the release and the variables of the roles tell.
    type: str
    default: ''
attributes:
  check_mode:
    description: Shows the plan instead of the report. Writes files only where O(folder) is set.
    support: full
  diff_mode:
    description: With it the plan shows the commands of the replicas, before and after.
    support: full
seealso:
  - module: ascend.fleet.fleet_gate
  - module: ascend.fleet.fleet_waves
"""

EXAMPLES = r"""
- name: Report the upgrade
  ascend.fleet.upgrade_report:
    release: "{{ fleet_release }}"
    change: 20261130T061500Z-upgrade
    waves: "{{ hostvars['localhost']['__fleet_waves'] }}"
    folder: "{{ fleet_reports | default('') }}"
  run_once: true
"""

RETURN = r"""
plan:
  description: What would be done. Null is unknown.
  returned: in check mode, or with O(plan)
  type: dict
  contains:
    schema:
      description: The version of its form.
      type: int
      sample: 1
    release:
      description: The release that all hosts are to serve.
      type: str
      sample: qwen3_5_27b_v1
    hosts:
      description: >-
        What becomes of each host. C(action) is V(changes), V(as wanted), V(left alone) or V(unknown), with C(why).
        C(versions) and C(options) hold name, before and after of what differs, C(argv) the differences of the commands;
        they are null where the deployment before or after is not known.
      type: list
      elements: dict
      sample:
        - host: a2-1
          generation: a2
          action: changes
          why: ''
          release_before: qwen3_5_27b_v0
          release_after: qwen3_5_27b_v1
          wave: 1
          downloads: [{what: weights Qwen3.5-27B, bytes: 53800000000, source: "http://mirror.example:8008"}]
          download_bytes: 53800000000
          expected_seconds: 840.0
          without_outage: true
          outages: []
          replicas:
            - {unit: vllm-qwen3.5@0.service, replica: 0, action: replace, reason: another image, in_service: true}
          versions: [{name: vllm, before: 0.14.0, after: 0.16.0}]
          options: [{name: max-num-seqs, before: 32, after: 64}]
          argv: [{unit: vllm-qwen3.5@0.service, diff: ["---max-num-seqs 32", "+--max-num-seqs 64"]}]
    waves:
      description: The hosts that go together, with C(number), C(kind), C(hosts) and C(expected_seconds).
      type: list
      elements: dict
      sample: [{number: 1, kind: canary, hosts: [a2-1], expected_seconds: 840.0}]
    left:
      description: Hosts whose change would not end in time.
      type: list
      elements: str
      sample: []
    outages:
      description: Why the service of a model would be interrupted.
      type: list
      elements: str
      sample: []
    reasons:
      description: Why it would not begin.
      type: list
      elements: str
      sample: []
    download_bytes:
      description: What is downloaded by all hosts together.
      type: int
      sample: 53800000000
    without_outage:
      description: Whether it can be done without an outage.
      type: bool
      sample: true
report:
  description: What was done. Null is unknown.
  returned: when no plan is made
  type: dict
  contains:
    schema:
      description: The version of its form.
      type: int
      sample: 1
    change:
      description: The ID of the change. C(kind), C(release), C(from_release), C(began), C(ended) and C(by) tell more.
      type: str
      sample: 20261130T061500Z-upgrade
    outcome:
      description: V(good), V(rolled_back), V(stopped) or V(failed).
      type: str
      sample: good
    hosts:
      description: >-
        What became of each host, with its C(outcome) and C(why), and of its replicas, with C(release), C(out_seconds),
        C(start_seconds), C(bench), C(requests) and C(failed_requests).
      type: list
      elements: dict
      sample: []
    releases:
      description: The replicas by the release that they serve.
      type: dict
      sample: {qwen3_5_27b_v1: ["a2-1:0", "a2-1:1"]}
    mixed:
      description: Hosts whose replicas serve more than one release, or nobody knows which, a line each.
      type: list
      elements: str
      sample: []
    not_on_it:
      description: Hosts that do not wholly serve the release, with C(outcome) and C(why).
      type: list
      elements: dict
      sample: []
    waves:
      description: The hosts that went together.
      type: list
      elements: dict
      sample: [{number: 1, hosts: [a2-1]}]
    bakes:
      description: What O(bakes) said.
      type: list
      elements: dict
      sample: []
    failed_requests:
      description: >-
        What all gateways have counted from the beginning to the end; null where none has. C(broken) are answers that
        the server did not end, C(failed) these and those with a status from 500 on.
      type: dict
      sample: {answers: 5210, answers_5xx: 0, broken: 0, client_aborts: 3, refused: 0, failed: 0}
    notes:
      description: What else is worth knowing, a line each.
      type: list
      elements: str
      sample: []
files:
  description: The files that were written.
  returned: when files are written
  type: list
  elements: str
  sample: [/srv/fleet/reports/upgrade/20261130T061500Z-upgrade/report.json]
"""
