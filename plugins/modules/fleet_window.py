#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the next wave may begin. Its action does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_window
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Tell whether the next wave of hosts may begin
description:
  - A wave that would not end in time does not begin. How long it takes is told by the changes that the state of the
    hosts remembers. A replica takes as long as it did last time; one without a history, as long as the middle of its
    host's, and then of the hosts of its generation.
  - Where nothing tells how long it takes, it may begin as long as the time is not over.
  - Use it with C(run_once) at the beginning of each batch of a play with C(serial).
options:
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
attributes:
  action:
    description: Runs on the controller and needs no connection.
    support: full
  bypass_host_loop:
    description: Looks at all hosts of the batch, and is meant for C(run_once).
    support: none
  check_mode:
    description: Returns the same.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
seealso:
  - module: ascend.fleet.fleet_waves
"""

EXAMPLES = r"""
- name: See whether the time suffices for the wave
  ascend.fleet.fleet_window:
    until: "{{ hostvars['localhost']['__fleet_waves'].until }}"
    bake_minutes: 2
  run_once: true
  register: window

- name: Leave it for another time
  ansible.builtin.meta: end_batch
  when: not window.open
"""

RETURN = r"""
open:
  description: Whether the wave may begin.
  returned: success
  type: bool
  sample: true
why:
  description: Why it may not; empty where it may.
  returned: success
  type: str
  sample: ""
expected_seconds:
  description: How long it is expected to take with the wait behind it; null where nothing tells.
  returned: success
  type: float
  sample: 960.0
"""
