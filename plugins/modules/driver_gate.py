#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why driver and firmware must not be changed now. Its action does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: driver_gate
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Say why driver and firmware of a fleet must not be changed now
description:
  - Looks at what the plays have left in the variables of all hosts of the play, and fails with all reasons at once, in
    words with fixes, before any host is touched.
  - Reasons are those of the plan of each host (P(ascend.fleet.driver_plan#filter)); hosts that have failed before or
    could not be reached; somebody else's change; replicas of which no last good deployment is recorded, or that are not
    those of it; gateways that do not answer; waves that interrupt a service, or a canary that is not in the fleet; a
    load that the replicas that stay do not carry.
  - Where nothing has to be done on any host, it says so.
  - Hosts whose variable C(fleet_maintenance) says that they are left alone are left out and named.
  - Use it with C(run_once).
extends_documentation_fragment:
  - ascend.fleet.on_controller
  - ascend.fleet.waves
options:
  release:
    description: The name of the release whose versions are wanted.
    type: str
    required: true
  change:
    description: The ID of this change.
    type: str
    default: ''
  variable:
    description: The variable of the hosts in which the result of M(ascend.fleet.vllm_change) is.
    type: str
    default: __vllm_serve_change
  converged_variable:
    description: >-
      The variable that holds C(converged), and C(replicas) where that is true, for hosts on which nothing has to be
      done.
    type: str
    default: __driver_converged
  state_variable:
    description: >-
      The variable in which the result of M(ascend.fleet.npu_driver_info) is. Its history tells how long a host takes.
    type: str
    default: __npu_driver_about
attributes:
  check_mode:
    description: Returns the same; reasons are warnings then.
    support: full
seealso:
  - module: ascend.fleet.fleet_waves
  - module: ascend.fleet.driver_report
"""

EXAMPLES = r"""
- name: See whether driver and firmware may be changed
  ascend.fleet.driver_gate:
    release: "{{ fleet_release }}"
    with_canary: true
  run_once: true
  register: gate
"""

RETURN = r"""
nothing_to_do:
  description: Whether driver and firmware of every host are as wanted.
  returned: always
  type: bool
  sample: false
reasons:
  description: Why no host may be changed, a paragraph each. Empty where they may.
  returned: always
  type: list
  elements: str
  sample:
    - >-
      a2-3: found the container training, which holds /dev/davinci5; needed no process and no container of others on a
      card while it is flashed. Fix: stop it, or ask whose it is; it is not stopped for you
changing:
  description: The hosts that are changed.
  returned: always
  type: list
  elements: str
  sample: [a2-1, a2-2]
set_aside:
  description: The hosts that are left alone, and why.
  returned: always
  type: dict
  sample: {a2-4: "exchange of a fan (until 2026-12-01)"}
"""
