# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of a release are watched while another one bakes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: bake_cohort
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Choose the hosts that a new release is compared with
description:
  - The first hosts of each generation, so that the two samples of a bake do not take longer the larger the fleet is.
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts, of which C(npu_generation) is read.
    type: dict
    required: true
  most:
    description: How many of each generation.
    type: int
    default: 16
"""

EXAMPLES = r"""
- name: Sample the hosts of the old release
  ascend.fleet.vllm_metrics_info:
  delegate_to: "{{ item }}"
  loop: "{{ groups['npu_hosts'] | difference(ansible_play_batch) | ascend.fleet.bake_cohort(hostvars) }}"
"""

RETURN = r"""
_value:
  description: The chosen hosts, in their order.
  type: list
  elements: str
  sample: [a2-1, a2-2, a3-1]
"""

from typing import Any, Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError

from ..module_utils._base.native import to_native_types


def bake_cohort(hosts: Sequence[str], hostvars: Mapping[str, Any], most: int = 16) -> list[str]:
    """See DOCUMENTATION."""
    if isinstance(hosts, str) or not isinstance(hosts, Sequence):
        raise AnsibleFilterError("found %s; needed a list of hosts" % type(hosts).__name__)
    chosen: list[str] = []
    count: dict[str, int] = {}
    for host in map(str, hosts):
        generation = str(to_native_types(hostvars[host].get("npu_generation")) or "")
        count[generation] = count.get(generation, 0) + 1
        if count[generation] <= int(most):
            chosen.append(host)
    return chosen


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"bake_cohort": bake_cohort}
