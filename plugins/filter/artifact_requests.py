# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mirror or a bundle holds."""

from __future__ import annotations

DOCUMENTATION = r"""
name: artifact_requests
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Say what hosts will ask a mirror for
description:
  - Everything that hosts of the named generations download for the releases, each thing once, as arguments of
    M(ascend.fleet.lfs_artifact).
options:
  _input:
    description: Releases, as the lookup P(ascend.fleet.release#lookup) returns them.
    type: list
    elements: dict
    required: true
  generations:
    description: The hosts' generations.
    type: list
    elements: str
    required: true
  architectures:
    description: The hosts' architectures as C(uname -m) says them. None named, all that the releases have.
    type: list
    elements: str
    default: []
  root:
    description: Folder for everything.
    type: path
    required: true
  origin:
    description: Base URL that replaces scheme and host of the releases' repositories; empty to keep them.
    type: str
    default: ''
  options:
    description: >-
      Further arguments of M(ascend.fleet.lfs_artifact) for each request. Those that are empty are left out, so that the
      module's defaults hold.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what a mirror would hold
  ansible.builtin.debug:
    msg: "{{ [lookup('ascend.fleet.release', fleet_release)]
      | ascend.fleet.artifact_requests(['a2', 'a3'], root='/srv/mirror') }}"
"""

RETURN = r"""
_value:
  description: >-
    For each thing its C(name), and C(repository), C(identity), C(revision), C(commit), C(dest), C(paths), C(exclude),
    C(checksums) and C(layout); for weights also C(former_dest), where version 0.1 kept them.
  type: list
  elements: dict
  sample:
    - name: weights Qwen3.5-27B
      repository: https://modelers.cn/Qwen-AI/Qwen3.5-27B.git
      dest: /srv/mirror/models/Qwen-AI--Qwen3.5-27B
"""

from typing import Any, Callable, Mapping, Optional, Sequence

from ansible.errors import AnsibleFilterError

from ..module_utils._artifacts import mirrors
from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._base.native import to_native_types


def artifact_requests(
    releases: Any,
    generations: Sequence[str],
    architectures: Optional[Sequence[str]] = None,
    root: str = mirrors.DEFAULT_ROOT,
    origin: str = "",
    options: Optional[Mapping[str, Any]] = None,
) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    try:
        found: list[dict[str, Any]] = mirrors.requests(
            to_native_types(list(releases)),
            to_native_types(list(generations)),
            to_native_types(list(architectures or [])),
            root=to_native_types(root),
            origin=to_native_types(origin) or "",
            options=to_native_types(options) or {},
        )
    except ArtifactError as exc:
        raise AnsibleFilterError("artifact_requests: %s" % exc) from exc
    return found


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"artifact_requests": artifact_requests}
