# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of what divides hosts into waves."""

from __future__ import annotations


class ModuleDocFragment:
    """``extends_documentation_fragment: ascend.fleet.waves``"""

    DOCUMENTATION = r"""
options:
  batches:
    description:
      - How many hosts go together, one after the other. A number from 1, or a percentage of the hosts whose replicas
        are replaced, which is rounded down and at least one. The last one holds for all further waves.
    type: list
    elements: str
    default: ['1', 10%, 25%]
  max_unavailable:
    description: How many hosts a wave may have at most, a number or a percentage of the hosts of the play.
    type: str
  group:
    description: The group of all hosts of the fleet. Those that the play leaves out are told.
    type: str
    default: npu_hosts
  accept_outage:
    description: Whether the service of a model may be interrupted. What is measured is a warning then.
    type: bool
    default: false
  canary:
    description:
      - Hosts that are the first waves, in this order, one failure domain after the other. One that is as wanted already
        has no wave. One that is not in O(group) is an error.
    type: list
    elements: str
  with_canary:
    description: Whether the first host of each generation is the canary where O(canary) is not set.
    type: bool
    default: false
  min_available:
    description:
      - How many replicas of a model stay in service at least, a number or a percentage of those that are, rounded up.
        A host that takes out more by itself is an outage, see O(accept_outage).
    type: str
  sample_variable:
    description:
      - The variable of the hosts in which the result of M(ascend.fleet.vllm_metrics_info) is. It also tells what serves
        on hosts that have neither a plan nor are as wanted.
    type: str
    default: __upgrade_sample
"""
