# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all gateways have said, as one result."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vllm_traffic_result
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Put together what M(ascend.fleet.vllm_traffic) has said at several gateways
description:
  - A gateway that could not be reached, or did not do what it was asked, is a problem of its own line. What such a
    gateway keeps out of traffic is unknown.
options:
  _input:
    description: >-
      What a task with the module and a loop over the gateways' names has registered. The task must neither stop at a
      gateway that fails nor at one that cannot be reached.
    type: dict
    required: true
  required:
    description: Whether at least one gateway must have one of the replicas.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Take the host out of traffic
  ascend.fleet.vllm_traffic:
    state: out
    host: "{{ inventory_hostname }}"
  delegate_to: "{{ item }}"
  loop: "{{ groups['gateways'] }}"
  register: told
  ignore_unreachable: true
  failed_when: false

- name: Stop where a gateway does not know of it
  ansible.builtin.fail:
    msg: "{{ (told | ascend.fleet.vllm_traffic_result).problems | join('\n') }}"
  when: (told | ascend.fleet.vllm_traffic_result).problems | length > 0
"""

RETURN = r"""
_value:
  description: >-
    C(driver), C(servers) as the module returns them with the C(gateway) of each, C(notes) for people on gateways
    that hold no request off, whether all of them are C(installed), and C(problems).
  type: dict
  sample:
    driver: haproxy
    servers:
      - gateway: gw-1
        backend: vllm-qwen3.5
        server: a2-1:0
        host: a2-1
        replica: 0
        admin_state: drain
        status: UP
        sessions: 0
        queued: 0
        owner: operator
        drained_by: alice
        reason: exchange of a fan
        since: "2026-11-24T21:58:23Z"
        changed: true
    notes: []
    problems: []
"""

from typing import Any, Callable, Mapping

from ansible.errors import AnsibleFilterError

from ..module_utils._base.native import to_native_types
from ..module_utils._serving import traffic


def vllm_traffic_result(told: Mapping[str, Any], required: bool = False) -> dict[str, Any]:
    """See DOCUMENTATION."""
    answers = to_native_types(told.get("results") if isinstance(told, Mapping) else None)
    if not isinstance(answers, list):
        raise AnsibleFilterError(
            "found no results of a loop; needed what a task has registered that loops over the gateways"
        )
    result, problems = traffic.gather(answers, required=bool(required))
    return {**result, "problems": problems}


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"vllm_traffic_result": vllm_traffic_result}
