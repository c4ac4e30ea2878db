#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose_report
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Write the first page of a diagnosis of the fleet
description:
  - Puts together what M(ascend.fleet.node_diagnose) has found on all hosts of the play. The signs of known failures
    come first, each with cause, fix and the lines that show it, then the state of every host and what is missing.
  - Writes it as C(diagnose.md) and C(diagnose.json), and prints it in short.
  - Runs on the controller alone. Use it with C(run_once).
options:
  state:
    description:
      - V(begun) names the folder of a new diagnosis, and makes it.
      - V(written) writes the page into O(folder).
    type: str
    choices: [begun, written]
    default: written
  reports:
    description: Folder of all reports. Empty is C(reports) beside the inventory.
    type: str
    default: ''
  folder:
    description: The folder of this diagnosis, as O(state=begun) returns it.
    type: str
    default: ''
  variable:
    description: Name of the host variable with the registered result of M(ascend.fleet.node_diagnose).
    type: str
    default: ''
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Prints the page, and writes nothing.
    support: full
  diff_mode:
    description: Changes nothing on hosts.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
seealso:
  - module: ascend.fleet.node_diagnose
"""

EXAMPLES = r"""
- name: Name the folder
  ascend.fleet.diagnose_report:
    state: begun
    reports: /srv/reports
  run_once: true
  register: begun

- name: Collect
  ascend.fleet.node_diagnose:
    dest: "{{ begun.folder }}"
  register: diagnosis

- name: Write the first page
  ascend.fleet.diagnose_report:
    folder: "{{ begun.folder }}"
    variable: diagnosis
  run_once: true
"""

RETURN = r"""
folder:
  description: The folder of this diagnosis.
  returned: when O(state=begun)
  type: str
  sample: /srv/reports/diagnose-20261130T141206Z
files:
  description: The files of the page. None in check mode.
  returned: when O(state=written)
  type: list
  elements: str
  sample:
    - /srv/reports/diagnose-20261130T141206Z/diagnose.md
    - /srv/reports/diagnose-20261130T141206Z/diagnose.json
page:
  description: The page as data.
  returned: when O(state=written)
  type: dict
  contains:
    at:
      description: When it was made.
      type: str
    signs:
      description: >-
        Each kind of sign once, with C(name), C(meaning), C(fix), C(is_now), and its C(places), which are host, unit,
        source and lines.
      type: list
      elements: dict
    hosts:
      description: Every host with its C(facts), C(signs), what is C(incomplete), and its C(bundle).
      type: list
      elements: dict
    absent:
      description: Hosts without a bundle, each with C(host) and C(reason).
      type: list
      elements: dict
  sample:
    schema: 1
    at: "2026-11-30T14:13:00Z"
    signs:
      - name: stream_resources
        meaning: the card ran out of stream resources while graphs were captured
        fix: fewer cudagraph-capture-sizes, cudagraph_mode FULL_DECODE_ONLY, or a newer driver and CANN
        is_now: true
        places:
          - host: a2-1
            unit: vllm-qwen3.5@0.service
            at: "2026-11-30T13:58:11+0000"
            source: replicas/vllm-qwen3.5@0/failure.txt
            line: 812
            lines: ["RuntimeError: rtStreamCreateWithFlagsImpl, error code is 207008"]
            is_now: true
    hosts:
      - host: a2-1
        facts: {hostname: a2-1, chips: 8}
        signs: [stream_resources]
        incomplete: [{name: chips_report, state: left out, reason: msnpureport is not installed}]
        problems: []
        redacted: 14
        seconds: 41.2
        bundle: a2-1.tar.gz
        size: 482113
        sha256: 4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
    absent:
      - {host: a2-2, reason: "unreachable: no route to host"}
"""
