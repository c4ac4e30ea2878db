# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages of driver and firmware a host needs, and from where."""

from __future__ import annotations

DOCUMENTATION = r"""
name: driver_packages
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: The packages of driver and firmware of a release for a host
description:
  - Chooses the packages of a release by generation and architecture, firmware first, and says how they are downloaded.
options:
  _input:
    description: The release, as P(ascend.fleet.release#lookup) returns it.
    type: dict
    required: true
  generation:
    description: The generation of the host.
    type: str
    required: true
  architecture:
    description: The architecture of the host, as C(uname -m) says it.
    type: str
    required: true
  folder:
    description: A folder on the host in which the packages lie. Nothing is downloaded then.
    type: str
    default: ''
  root:
    description: The folder of everything that is downloaded.
    type: str
    default: /var/lib/ascend-fleet
  origin:
    description: Replaces scheme and host of the repositories.
    type: str
    default: ''
  options:
    description: More arguments of M(ascend.fleet.lfs_artifact) for each request.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Choose the packages of this host
  ansible.builtin.set_fact:
    chosen: "{{ release | ascend.fleet.driver_packages(generation='a2', architecture='aarch64') }}"
"""

RETURN = r"""
_value:
  description:
    - C(requests) are arguments of M(ascend.fleet.lfs_artifact). C(packages) are the entries of the release with their
      C(kind), and C(file), where each lies on the host. An empty C(file) means that nobody says where it comes from.
  type: dict
  sample:
    requests: []
    packages:
      - kind: driver
        generation: a2
        architecture: aarch64
        path: Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.run
        file: /srv/packages/Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.run
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

from typing import Any, Callable, Mapping, Optional

from ansible.errors import AnsibleFilterError

from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._base.native import to_native_types
from ..module_utils._driver import plan


def driver_packages(
    release: Any,
    generation: str,
    architecture: str,
    folder: str = "",
    root: str = "/var/lib/ascend-fleet",
    origin: str = "",
    options: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """See DOCUMENTATION."""
    try:
        return plan.fetches(
            to_native_types(release),
            generation=str(generation),
            architecture=str(architecture),
            folder=str(folder or ""),
            root=str(root),
            origin=str(origin or ""),
            options=to_native_types(options) or {},
        )
    except ArtifactError as exc:
        raise AnsibleFilterError("driver_packages: %s" % exc) from exc


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"driver_packages": driver_packages}
