# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host downloads for a release."""

from __future__ import annotations

DOCUMENTATION = r"""
name: artifact_plan
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Say what a host downloads for a release, from where, and where to
description:
  - Picks the release's image for the host's generation and architecture. One that names the architecture comes before
    one for C(any).
  - Replaces scheme and host of the release's repositories by those of a mirror.
  - Leaves out the archive of an image that docker has already by the ID that the release pins.
  - Fails with what the release has when it has nothing for the host.
options:
  _input:
    description: A release, as the lookup P(ascend.fleet.release#lookup) returns it.
    type: dict
    required: true
  generation:
    description: The host's generation.
    type: str
    choices: [a2, a3]
    required: true
  architecture:
    description: The host's architecture as C(uname -m) says it; empty when it is not known.
    type: str
    default: ''
  root:
    description: Folder on the host for everything.
    type: path
    default: /var/lib/ascend-fleet
  origin:
    description: Base URL that replaces scheme and host of the release's repositories; empty to keep them.
    type: str
    default: ''
  options:
    description: >-
      Further arguments of M(ascend.fleet.lfs_artifact) for each request. Those that are empty are left out, so that the
      module's defaults hold.
    type: dict
    default: {}
  docker:
    description: >-
      What M(ascend.fleet.npu_info) says of docker, C(node.docker). Empty where it is not known; then the image archive
      is needed.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show where the weights will be
  ansible.builtin.debug:
    msg: "{{ (lookup('ascend.fleet.release', fleet_release)
      | ascend.fleet.artifact_plan(generation='a2', origin='http://mirror.example:8080')).weights }}"
"""

RETURN = r"""
_value:
  description: >-
    C(image) and C(model) of the release with their URLs replaced, C(image_folder), C(image_archive), C(image_checksums)
    and C(weights) on the host; C(former_weights), where version 0.1 kept them; and C(commit_weights), where those of
    the lock's commit are when another one is in C(weights).
    C(requests) are the arguments of M(ascend.fleet.lfs_artifact) for the image archive, where it is needed, and for the
    weights, in this order. C(left_out) has the key (RV(ascend.fleet.lfs_artifact#module:request)) of the archive's
    request where it is not needed.
  type: dict
  sample:
    image_archive: /var/lib/ascend-fleet/repositories/Eco-Tech--images/vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar
    weights: /var/lib/ascend-fleet/models/Qwen-AI--Qwen3.5-27B
"""

from typing import Any, Callable, Mapping, Optional

from ansible.errors import AnsibleFilterError

from ..module_utils._artifacts import plan as _release_select
from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._base.native import to_native_types
from ..module_utils._host.docker import pinned_ids


def artifact_plan(
    release: Any,
    generation: str = "",
    architecture: str = "",
    root: str = "/var/lib/ascend-fleet",
    origin: str = "",
    options: Optional[Mapping[str, Any]] = None,
    docker: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """See DOCUMENTATION."""
    try:
        plan: dict[str, Any] = _release_select.artifact_plan(
            to_native_types(release),
            generation=to_native_types(generation),
            architecture=to_native_types(architecture) or None,
            root=to_native_types(root),
            origin=to_native_types(origin) or "",
            options=to_native_types(options) or {},
            loaded=pinned_ids(to_native_types(docker) or {}),
        )
    except (_release_select.SelectionError, ArtifactError) as exc:
        raise AnsibleFilterError("artifact_plan: %s" % exc) from exc
    return plan


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"artifact_plan": artifact_plan}
