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
  - Reads the inventory's groups, the variables of every host of C(npu_hosts) and C(artifact_mirrors), and every release
    that is named, and lists all mistakes at once in its failure message, each with the hosts it concerns, what was
    found and where it is set, what is needed and what to do.
  - Looks for values that no variable may have, variables and groups whose name is close to one of the collection's,
    templates that fail, two names with one address, replicas that do not fit on a host of the generation, and ports
    that are wanted twice.
  - Runs on the controller alone; no connection is opened.
  - Templates are evaluated as the host would. Left alone are those that only the host at run time knows (facts, results
    of roles) and those with lookups that may have side effects or ask a server.
  - A variable of your own whose name is close to one of the collection's is accepted when another variable's template
    uses it, or when C(fleet_ignore_variables) lists it.
options:
  role:
    description:
      - Check only the variables of this role, for the host at hand, as the role would use them. For roles that are used
        alone.
    type: str
    choices:
      - artifact_fetch
      - artifact_mirror
      - fleet_monitoring
      - model_artifacts
      - npu_driver
      - npu_preflight
      - vllm_bench
      - vllm_gateway
      - vllm_image
      - vllm_serve
      - vllm_smoke
  releases:
    description:
      - Whether the releases that hosts name are read and checked. A rollback needs none, as the hosts have kept theirs.
    type: bool
    default: true
    version_added: 0.2.0
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

- name: Check the variables of one role
  ascend.fleet.fleet_validate:
    role: vllm_serve
"""

RETURN = r"""
hosts:
  description: The hosts of C(npu_hosts).
  returned: success, without O(role)
  type: list
  elements: str
  sample: [a2-01, a3-01]
releases:
  description: The names of the releases that these hosts use; each was read and is valid.
  returned: success, without O(role)
  type: list
  elements: str
  sample: [qwen3_5_27b_v0]
"""
