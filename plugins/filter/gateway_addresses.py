# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of gateways to the addresses from which they ask the replicas."""

from __future__ import annotations

DOCUMENTATION = r"""
name: gateway_addresses
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: The addresses from which gateways ask the replicas
description:
  - Of each gateway its C(vllm_gateway_host_address), or else C(ansible_host), or else its name.
  - With C(vllm_serve_access=gateways) the replicas' own ports are open to them.
options:
  _input:
    description: The names of the gateways.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who may ask the replicas
  ansible.builtin.debug:
    msg: "{{ groups['gateways'] | ascend.fleet.gateway_addresses(hostvars) }}"
"""

RETURN = r"""
_value:
  description: An address or a name for each gateway.
  type: list
  elements: str
  sample: [192.0.2.21, 192.0.2.22]
"""

from typing import Any, Callable

from ..plugin_utils._gateway import gateway_addresses


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"gateway_addresses": gateway_addresses}
