#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: decommission_report
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Print what would be removed from all hosts of the play, and stop unless that is confirmed
description:
  - Takes the plans that M(ascend.fleet.fleet_decommission) returned for the hosts of the play from a variable of each,
    and prints for each host what goes and what stays, with sizes and reasons. A host that could not be read is named.
  - Fails where anything would go and O(confirmed) is false. Nothing is removed in any case.
  - Runs on the controller alone. Use it with C(run_once).
options:
  variable:
    description: Name of the host variable with the registered result.
    type: str
    required: true
  confirmed:
    description: Whether the removal is confirmed.
    type: bool
    default: false
attributes:
  check_mode:
    description: Changes no host. In check mode it prints and does not fail.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
seealso:
  - module: ascend.fleet.fleet_decommission
"""

EXAMPLES = r"""
- name: See what is there
  ascend.fleet.fleet_decommission:
    state: planned
  register: plan

- name: List it, and stop unless it is confirmed
  ascend.fleet.decommission_report:
    variable: plan
    confirmed: "{{ decommission_confirm | default(false) }}"
  run_once: true
"""

RETURN = r"""
hosts:
  description: The hosts from which anything would go.
  returned: always
  type: list
  elements: str
  sample: [a2-1]
"""
