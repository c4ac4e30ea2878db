#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts go back together. Its action does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback_plan
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Choose the hosts that go back together
description:
  - A rollback undoes one change, the newest one of the hosts of the play. Those that it has not reached serve what the
    others go back to. They are left alone and named, so that none goes back one release too far.
  - Where something is deployed that was never recorded as good, it is newer than every change that is recorded. Then
    only the hosts with it go back.
  - Hosts under maintenance, and hosts that were not reached, are left alone and named.
  - Use it with C(run_once).
extends_documentation_fragment:
  - ascend.fleet.on_controller
options:
  release:
    description: The release that is left. By default it is that of the newest change.
    type: str
    default: ''
  changed:
    description:
      - Where a run takes back what it has itself changed, these hosts. Those on which an earlier run has left the same
        change open go with them.
    type: list
    elements: str
  state_variable:
    description: The variable of the hosts in which the result of M(ascend.fleet.fleet_state_info) is.
    type: str
    default: __upgrade_state
  lease_variable:
    description: >-
      The variable of the hosts in which the result of M(ascend.fleet.fleet_lease) is. One that has failed is an error.
    type: str
    default: __upgrade_lease
attributes:
  check_mode:
    description: Returns the same.
    support: full
seealso:
  - module: ascend.fleet.fleet_state_info
"""

EXAMPLES = r"""
- name: Choose the hosts that go back
  ascend.fleet.rollback_plan:
  run_once: true
  register: back
"""

RETURN = r"""
hosts:
  description: The hosts that go back, in the order of the play.
  returned: always
  type: list
  elements: str
  sample: [a2-1, a2-2]
targets:
  description: The release that each of them goes back to, without O(changed).
  returned: always
  type: dict
  sample: {a2-1: qwen3_5_27b_v0, a2-2: qwen3_5_27b_v0}
left:
  description: The release that is left. Empty where it was never recorded as good.
  returned: always
  type: str
  sample: qwen3_5_27b_v1
aside:
  description: The other hosts, and why they do not go back.
  returned: always
  type: dict
  sample: {a3-1: "it serves qwen3_5_27b_v0, which the change to qwen3_5_27b_v1 has not reached"}
release:
  description: The releases that hosts go back to, in words.
  returned: always
  type: str
  sample: qwen3_5_27b_v0
fleet:
  description: The hosts of the play whose state was read.
  returned: always
  type: list
  elements: str
  sample: [a2-1, a2-2, a3-1]
notes:
  description: >-
    With O(changed), what stays on the release that is left, because an earlier run has found it good there.
  returned: always
  type: list
  elements: str
  sample: []
"""
