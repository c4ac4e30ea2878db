#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The waves in which hosts are changed. Its action does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_waves
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Divide the hosts of a play into the waves in which they are changed
description:
  - Reads the plans that M(ascend.fleet.vllm_change) has made for the hosts of the play, and puts the hosts in order.
    Those
    that lose nothing go first and all at once. Those whose replicas in service are replaced follow in waves.
  - A wave lies in one failure domain, as the variable C(fleet_domain) of the hosts names it, and never takes the last
    replicas of a model out of service.
  - Where there is a canary (O(canary), O(with_canary)), its hosts go before all others, also before those that lose
    nothing.
  - Hosts whose variable C(fleet_maintenance) says that they are left alone are left out and named.
  - Where a change takes the only replicas of a model out, it fails before anything is changed, and says so. With
    O(accept_outage) it warns.
  - Where somebody else holds the fleet for a change (M(ascend.fleet.fleet_lease)), hosts with anything to change are
    refused. In check mode that is a warning.
  - Use it with C(run_once). What it returns is for C(hosts) and C(serial) of the next play, or for a loop over
    RV(groups) in it.
extends_documentation_fragment:
  - ascend.fleet.on_controller
  - ascend.fleet.waves
options:
  variable:
    description: The variable of the hosts in which the result of M(ascend.fleet.vllm_change) is.
    type: str
    required: true
  converged_variable:
    description:
      - The variable in which the result of M(ascend.fleet.node_converged) is, for hosts that have no plan because
        they are
        as wanted. Their replicas serve while others are changed.
    type: str
  until:
    description:
      - The end of the time for changes, such as V("05:00"), which is the next one, or V("2026-12-01T05:00"). A wave
        that is expected to end later is left out with all that follow. Where it is not known how long it takes, it
        stays, and M(ascend.fleet.fleet_wave) decides when its turn comes.
    type: str
  bake_minutes:
    description: How long is waited behind a wave of the canary, and behind others. O(until) has to suffice for it.
    type: list
    elements: float
    default: []
  change:
    description: The ID of this change, where it holds the fleet. A lease of this change is its own.
    type: str
    default: ''
  take_over:
    description: The owner of a lease that is not renewed any more, such as V(alice@controller). It does not count then.
    type: str
    default: ''
  state_variable:
    description:
      - The variable in which the result of M(ascend.fleet.fleet_state_info) is. Its history tells how long hosts take.
    type: str
    default: __upgrade_state
attributes:
  check_mode:
    description: Returns the same. An outage that is not accepted is a warning then.
    support: full
seealso:
  - module: ascend.fleet.vllm_change
"""

EXAMPLES = r"""
- name: Divide the hosts into waves
  ascend.fleet.fleet_waves:
    variable: planned
    batches: [1, "25%"]
  run_once: true
  register: waves
"""

RETURN = r"""
hosts:
  description: The hosts that have a plan, in the order in which they are changed.
  returned: always
  type: list
  elements: str
  sample: [a3-7, a2-1, a2-2, a2-3]
sizes:
  description: How many of them go together.
  returned: always
  type: list
  elements: int
  sample: [1, 1, 2]
groups:
  description: The same, group by group. C(kind) is V(canary), V(at once) or V(wave).
  returned: always
  type: list
  elements: dict
  sample:
    - {kind: at once, hosts: [a3-7]}
    - {kind: wave, hosts: [a2-1]}
    - {kind: wave, hosts: [a2-2, a2-3]}
at_once:
  description: The hosts that lose nothing, but for those of the canary.
  returned: always
  type: list
  elements: str
  sample: [a3-7]
waves:
  description: The canary and the other hosts, wave by wave.
  returned: always
  type: list
  elements: list
  sample: [[a2-1], [a2-2, a2-3]]
outages:
  description: Why the service of a model will be interrupted.
  returned: always
  type: list
  elements: str
  sample: []
canary:
  description: The hosts that go first, so that what is new shows itself on them.
  returned: always
  type: list
  elements: str
  sample: [a2-1]
left:
  description: The hosts whose change does not begin, because O(until) comes before its end.
  returned: always
  type: list
  elements: str
  sample: []
set_aside:
  description: The hosts that are left alone, and why.
  returned: success
  type: dict
  sample: {a2-4: "exchange of a fan (until 2026-12-01)"}
until:
  description: The time that O(until) names, whole; empty where it names none.
  returned: success
  type: str
  sample: "2026-12-01T05:00:00+08:00"
expected_seconds:
  description: How long the change of each host is expected to take; null where nothing tells.
  returned: success
  type: dict
  sample: {a2-1: 840.0, a2-2: null}
"""
