#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a change of the fleet goes on. Its action does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_wave
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Tell before and after a wave whether a change of the fleet goes on
description:
  - Before a wave, it stops where a host of the play was lost, and where the wave would not end in time. How long it
    takes is told by the changes that the state of the hosts remembers. A replica takes as long as it did last time; one
    without a history, as long as the middle of its host's, and then of the hosts of its generation. Where nothing
    tells, the wave may begin as long as the time is not over.
  - After a wave, it stops where a host has failed. That a new release does not prove itself decides before all else.
  - Use it with C(run_once).
extends_documentation_fragment:
  - ascend.fleet.on_controller
options:
  state:
    description: Whether the wave begins, or its hosts have been changed.
    type: str
    choices: [begins, ended]
    required: true
  hosts:
    description: The hosts of the wave.
    type: list
    elements: str
    required: true
  stop:
    description: What has stopped the change before, as RV(stop). It stays, but for a release that is bad.
    type: dict
    default: {}
  until:
    description:
      - The end of the time for changes. Give it what M(ascend.fleet.fleet_waves) has returned as C(until), since
        V("05:00") is always the next one. Empty means that there is no end.
    type: str
  bake_minutes:
    description: How long is waited behind the wave, which has to end in time too.
    type: float
    default: 0.0
  variable:
    description: The variable of the hosts in which the result of M(ascend.fleet.vllm_change) is.
    type: str
    default: __vllm_serve_change
  state_variable:
    description: The variable of the hosts in which the result of M(ascend.fleet.fleet_state_info) is.
    type: str
    default: __upgrade_state
  outcome_variable:
    description: The variable of the hosts that tells what became of them, with C(kind) and C(why).
    type: str
    default: __upgrade_outcome
  lease_variable:
    description: >-
      The variable of the hosts in which the result of M(ascend.fleet.fleet_lease) is, which tells whether the change
      was asked to stop. Empty means that this is not looked at.
    type: str
    default: ''
attributes:
  bypass_host_loop:
    description: Looks at all hosts of the wave, and is meant for C(run_once).
    support: none
  check_mode:
    description: Returns the same.
    support: full
seealso:
  - module: ascend.fleet.fleet_waves
"""

EXAMPLES = r"""
- name: See whether the wave may begin
  ascend.fleet.fleet_wave:
    state: begins
    hosts: [a2-1, a3-1]
    until: "{{ hostvars['localhost']['__fleet_waves'].until }}"
    bake_minutes: 2
  run_once: true
  register: wave
"""

RETURN = r"""
stop:
  description:
    - Why the change does not go on; empty where it does. C(kind) is V(bad) where the new release does not prove itself,
      V(lost) where something else has failed, V(stopped) where an operator has asked for it, V(later) where the time
      does not suffice.
  returned: success
  type: dict
  sample:
    kind: later
    why: it is 2026-12-01T04:50+08:00, the wave is expected to take 16 min, and it has to end by 05:00 (fleet_until)
expected_seconds:
  description: How long the wave is expected to take with the wait behind it; null where nothing tells.
  returned: when O(state=begins)
  type: float
  sample: 960.0
"""
