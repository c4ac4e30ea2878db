#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would become of driver and firmware of a fleet, or what has. Its action does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: driver_report
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Show what would become of driver and firmware, or what has
description:
  - With O(plan), one table shows for each host what is installed, what runs and what is wanted, the packages with their
    source, the wave, and how long it is expected to take.
  - Otherwise one table shows what has become of each host. A host that is in maintenance is named with the address of
    its BMC and with what to look at.
  - Use it with C(run_once).
extends_documentation_fragment:
  - ascend.fleet.on_controller
options:
  release:
    description: The name of the release whose versions are wanted.
    type: str
    required: true
  change:
    description: The ID of the change. Reports lie in a folder of this name.
    type: str
    default: ''
  waves:
    description: The waves, as M(ascend.fleet.fleet_waves) has returned them.
    type: dict
    default: {}
  reasons:
    description: Why nothing may begin, as M(ascend.fleet.driver_gate) has returned them.
    type: list
    elements: str
    default: []
  notes:
    description: What else is told.
    type: list
    elements: str
    default: []
  folder:
    description: A folder on the controller for the same as JSON and Markdown. Empty means none.
    type: str
    default: ''
  plan:
    description: Whether the plan is shown instead of what was done.
    type: bool
    default: false
attributes:
  check_mode:
    description: Shows the same. What O(folder) names is written.
    support: full
  diff_mode:
    description: Has no difference to show.
    support: none
seealso:
  - module: ascend.fleet.driver_gate
"""

EXAMPLES = r"""
- name: Show what would be done
  ascend.fleet.driver_report:
    release: "{{ fleet_release }}"
    plan: true
  run_once: true
"""

RETURN = r"""
plan:
  description: The plan, with a row for each host.
  returned: when O(plan)
  type: dict
  sample:
    schema: 1
    release: qwen3_5_27b_v1
    reasons: []
    hosts:
      - name: a2-1
        action: change
        why: ''
        driver: 25.2.0 → 25.5.0
        firmware: 25.2.0 → 25.5.0
        packages:
          - kind: driver
            version: 25.5.0
            path: Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.run
            sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
            source: https://mirror.example.org:8008
        wave: 1
        expected_seconds: 1260.0
        bmc: 192.0.2.110
        warnings: []
report:
  description: What has become of each host.
  returned: when not O(plan)
  type: dict
  sample:
    schema: 1
    release: qwen3_5_27b_v1
    change: 20261130T061500Z-driver
    hosts:
      - name: a2-1
        outcome: good
        why: ''
        before: {driver: 25.2.0, firmware: 25.2.0}
        after: {driver: 25.5.0, firmware: 25.5.0}
        out_seconds: 1212.0
        bmc: 192.0.2.110
    notes: []
in_maintenance:
  description: The hosts that do not serve and are not as wanted.
  returned: when not O(plan)
  type: list
  elements: str
  sample: []
files:
  description: Where the same was written.
  returned: success
  type: list
  elements: str
  sample: []
"""
