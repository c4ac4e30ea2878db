# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node and a release to the containers that were started by hand as in the guide."""

from __future__ import annotations

DOCUMENTATION = r"""
name: started_by_hand
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Containers that were started by hand as in the guide
description:
  - Finds the containers of a node that were started as the guide does, with the image of the release, a shell, the
    host's network and the NPUs, whether C(vllm serve) runs in them or not.
  - Says of those that only look like it why they are not.
options:
  _input:
    description: The node, as M(ascend.fleet.npu_info) returns it, at least with the subsets V(npu) and V(docker).
    type: dict
    required: true
  release:
    description: The release, as P(ascend.fleet.release#lookup) returns it.
    type: dict
    required: true
  generation:
    description: The host's generation; without it the PCI bus tells.
    type: str
    choices: [a2, a3]
"""

EXAMPLES = r"""
- name: Show what was started by hand
  ansible.builtin.debug:
    msg: "{{ npu.node | ascend.fleet.started_by_hand(lookup('ascend.fleet.release', fleet_release)) }}"
"""

RETURN = r"""
_value:
  description: C(containers), and in C(others) those that look like it, with the C(reasons) why they are not.
  type: dict
  sample:
    containers:
      - name: qwen3.5
        id: 9f0c3a
        image: vllm-ascend:qwen3_5-v0-a2
        image_id: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
        state: running
        live: true
        comes_back: false
        privileged: true
        engines: [{pid: 4242, port: 8010, weights: /data/Qwen3.5-27B}]
        pids: [4242]
        ports: [8010]
        indices: [0, 1, 2, 3]
        weights: /data/Qwen3.5-27B
        folders: [/data/Qwen3.5-27B, /data/Qwen3.5-397B-A17B-w8a8-mtp]
    others: []
"""

from typing import Any, Callable, Mapping, Optional

from ..module_utils._base.native import to_native_types
from ..module_utils._host import by_hand
from ..module_utils._npu.hardware import generation_of_pci


def started_by_hand(
    node: Mapping[str, Any], release: Mapping[str, Any], generation: Optional[str] = None
) -> dict[str, Any]:
    """The filter ``ascend.fleet.started_by_hand``."""
    found = to_native_types(node)
    chosen = to_native_types(generation) or generation_of_pci(list(found.get("pci") or []))
    result: dict[str, Any] = by_hand.started_by_hand(found, to_native_types(release), chosen)
    return result


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"started_by_hand": started_by_hand}
