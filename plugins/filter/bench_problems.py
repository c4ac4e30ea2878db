# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a measured replica may have requests."""

from __future__ import annotations

DOCUMENTATION = r"""
name: bench_problems
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Say which measured replicas are slower than before, or have no result
description:
  - For a gate behind the role C(vllm_bench). A result that cannot be compared is no problem.
options:
  _input:
    description: The variable C(vllm_bench_result) that the role leaves.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Measure the replicas of the host
  ansible.builtin.include_role:
    name: ascend.fleet.vllm_bench
    tasks_from: measure
  vars:
    vllm_bench_kind: quick

- name: Stop where they are slower than before
  ansible.builtin.assert:
    that: vllm_bench_result | ascend.fleet.bench_problems == []
"""

RETURN = r"""
_value:
  description: A line for each problem, with what to do.
  type: list
  elements: str
  sample:
    - >-
      replica 0, quick_load: The replica is slower than before: found Output token throughput (tok/s) 500.00, 31 % less
      than 722.84; needed its last quick result. Fix: see which of its chips is hot or has errors
"""

from typing import Any, Callable, Mapping

from ansible.errors import AnsibleFilterError

from ..module_utils._base.native import to_native_types
from ..module_utils._bench import findings


def bench_problems(result: Mapping[str, Any]) -> list[str]:
    """See DOCUMENTATION."""
    measurements = to_native_types(result.get("measurements") if isinstance(result, Mapping) else None)
    if not isinstance(measurements, list):
        raise AnsibleFilterError("found no measurements; needed the variable vllm_bench_result of the role vllm_bench")
    return findings.problems(measurements)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"bench_problems": bench_problems}
