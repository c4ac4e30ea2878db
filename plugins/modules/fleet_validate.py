#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_validate
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Check inventory, release and variables without touching a host
description:
  - Reads the inventory groups, the variables of every host of C(npu_hosts) and every release that is named, and lists
    all mistakes at once in its failure message, each with the hosts it concerns, what was found, what is needed and
    what to do.
  - Runs on the controller alone; no connection is opened.
  - Values that are templates are left alone, because only the host at run time knows them.
attributes:
  check_mode:
    description: Changes nothing, so check mode is a normal run.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
seealso:
  - plugin: ascend.fleet.release
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Check inventory, release and variables
  ascend.fleet.fleet_validate:
"""

RETURN = r"""
hosts:
  description: The hosts of C(npu_hosts).
  returned: success
  type: list
  elements: str
  sample: [a2-01, a3-01]
releases:
  description: The names of the releases that these hosts use; each was read and is valid.
  returned: success
  type: list
  elements: str
  sample: [qwen3_5_27b_v0]
"""
