# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices to replicas."""

from __future__ import annotations

DOCUMENTATION = r"""
name: npu_slots
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Divide the chips of a host among replicas
description:
  - Gives each replica as many chips as it needs, and ports of its own.
  - Both dies of one Atlas A3 NPU stay in one replica as long as that is possible. Among equals, near chips on few NUMA
    nodes are preferred, then low numbers.
positional: tensor_parallel_size
options:
  _input:
    description: The devices of a node, as M(ascend.fleet.npu_info) returns them.
    type: list
    elements: dict
    required: true
  tensor_parallel_size:
    description: How many chips one replica needs.
    type: int
    required: true
  first_port:
    description: The port of the first replica; the others follow.
    type: int
    default: 8010
  replicas:
    description: How many replicas; null means as many as fit.
    type: int
  topology:
    description: The topology of the node, as M(ascend.fleet.npu_info) returns it.
    type: dict
  skip_unhealthy:
    description: Leave out chips that are not healthy or have no device node, instead of refusing to plan.
    type: bool
    default: false
  first_hccl_port:
    description: The first C(HCCL_IF_BASE_PORT); those of the other replicas are 64 apart.
    type: int
    default: 61000
"""

EXAMPLES = r"""
- name: Show which chips would serve
  ansible.builtin.debug:
    msg: "{{ node.devices | ascend.fleet.npu_slots(4, topology=node.topology) }}"
  vars:
    node: "{{ hostvars[inventory_hostname].npu.node }}"
"""

RETURN = r"""
_value:
  description: One entry for each replica.
  type: list
  elements: dict
  sample:
    - replica: 0
      indices: [0, 1, 2, 3]
      device_nodes: [/dev/davinci0, /dev/davinci1, /dev/davinci2, /dev/davinci3]
      npus: [0, 1, 2, 3]
      numa_nodes: [6, 0]
      port: 8010
      hccl_if_base_port: 61000
      master_port: 29600
"""

from typing import Any, Callable, Mapping, Optional, Sequence

from ansible.errors import AnsibleFilterError

from ..module_utils._base.native import to_native_types
from ..module_utils._npu import slots


def npu_slots(
    devices: Sequence[Mapping[str, Any]],
    tensor_parallel_size: int,
    first_port: int = slots.FIRST_PORT,
    replicas: Optional[int] = None,
    topology: Optional[Mapping[str, Any]] = None,
    skip_unhealthy: bool = False,
    first_hccl_port: int = slots.FIRST_HCCL_PORT,
) -> list[dict[str, Any]]:
    """The filter ``ascend.fleet.npu_slots``."""
    devices = to_native_types(devices)
    if not isinstance(devices, list) or not all(isinstance(d, dict) and "npu_id" in d for d in devices):
        raise AnsibleFilterError("npu_slots: needed the devices of a node, as ascend.fleet.npu_info returns them")
    try:
        return slots.plan_slots(
            devices,
            int(tensor_parallel_size),
            first_port=int(first_port),
            replicas=None if replicas is None else int(replicas),
            topology=to_native_types(topology),
            skip_unhealthy=bool(skip_unhealthy),
            first_hccl_port=int(first_hccl_port),
        )
    except ValueError as exc:
        raise AnsibleFilterError("npu_slots: %s" % exc) from exc


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"npu_slots": npu_slots}
