#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the switch to another release may not begin. Its action does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_gate
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Say why the switch to another release may not begin
description:
  - Looks at what the plays have left in the variables of all hosts of the play, and fails with all reasons at once, in
    words with fixes, before any service is touched.
  - Reasons are hosts that have failed before or could not be reached; errors of the preflight against the release;
    hosts on which image, weights or plan are missing, or are of another lock; a lock that is not the same for all
    hosts; a generation of the fleet without an image; a host whose replicas are replaced and that has no last good
    deployment to go back to; somebody else's change; gateways that do not answer; waves that interrupt a service, or a
    canary that is not in the fleet; a load that the replicas that stay do not carry.
  - Where every host serves the release already, there is nothing to do, and it says so.
  - Hosts whose variable C(fleet_maintenance) says that they are left alone are left out and named.
  - The load is what M(ascend.fleet.vllm_metrics_info) has measured. Where O(min_available) is set, that decides, and
    what was measured is a warning. Hosts of the group C(gateways) need a measurement as well, or they count as not
    reached.
  - Use it with C(run_once).
extends_documentation_fragment:
  - ascend.fleet.on_controller
  - ascend.fleet.waves
options:
  release:
    description: The name of the release to which the hosts are switched.
    type: str
    required: true
  change:
    description: The ID of this change. A lease of this change is its own.
    type: str
    default: ''
  holder:
    description: Who makes it, such as V(alice@controller). A lease of the same holder is no obstacle.
    type: str
    default: ''
  variable:
    description: The variable of the hosts in which the result of M(ascend.fleet.vllm_change) is.
    type: str
    default: __vllm_serve_change
  converged_variable:
    description: The variable in which the result of M(ascend.fleet.node_converged) is.
    type: str
    default: __site_state
  state_variable:
    description: The variable in which the result of M(ascend.fleet.fleet_state_info) is.
    type: str
    default: __upgrade_state
  lease_variable:
    description: The variable in which the result of M(ascend.fleet.fleet_lease) is. What has failed is a reason.
    type: str
    default: __upgrade_lease
attributes:
  check_mode:
    description: Returns the same; reasons are warnings then. That nothing is staged is no reason.
    support: full
seealso:
  - module: ascend.fleet.fleet_waves
  - module: ascend.fleet.upgrade_report
"""

EXAMPLES = r"""
- name: See whether the switch may begin
  ascend.fleet.fleet_gate:
    release: "{{ fleet_release }}"
    with_canary: true
  run_once: true
  register: gate
"""

RETURN = r"""
nothing_to_do:
  description: Whether every host serves the release already.
  returned: always
  type: bool
  sample: false
reasons:
  description: Why the switch may not begin, a paragraph each. Empty where it may.
  returned: always
  type: list
  elements: str
  sample:
    - >-
      a2-3: found no deployment that is recorded as good, so that nothing is there to go back to; needed a last good
      deployment on every host whose replicas are replaced. Fix: run site.yml once with the release that serves there
      now: it records that, and restarts nothing
notes:
  description: What was measured, where O(min_available) decides.
  returned: always
  type: list
  elements: str
  sample: []
changing:
  description: The hosts that are changed.
  returned: always
  type: list
  elements: str
  sample: [a2-1, a2-2]
as_wanted:
  description: The hosts that serve the release already.
  returned: always
  type: list
  elements: str
  sample: []
set_aside:
  description: The hosts that are left alone, and why.
  returned: always
  type: dict
  sample: {a2-4: "exchange of a fan (until 2026-12-01)"}
"""
