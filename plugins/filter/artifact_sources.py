# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirrors a host asks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: artifact_sources
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Say which mirrors a host asks, in which order
description:
  - Hosts are spread over the mirrors, each beginning with another one. A host that is a mirror itself takes from its
    own folder first.
  - A mirror's URL is its variable C(artifact_mirror_url), or else made of C(ansible_host) and C(artifact_mirror_port),
    with V(https) where it has an C(artifact_mirror_certificate).
options:
  _input:
    description: Names of the mirrors, the hosts of the group C(artifact_mirrors).
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
  host:
    description: Name of the host that asks.
    type: str
    required: true
  hosts:
    description: Names of all hosts that ask, over which to spread.
    type: list
    elements: str
    default: []
  earlier:
    description: >-
      Only the mirrors that stand before O(host) in the group, which are filled before it. That is for mirrors.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show where this host downloads from
  ansible.builtin.debug:
    msg: "{{ groups['artifact_mirrors'] | ascend.fleet.artifact_sources(hostvars, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: URLs and folders, as O(ascend.fleet.lfs_artifact#module:sources) takes them.
  type: list
  elements: str
  sample: ["http://192.0.2.5:8008"]
"""

from typing import Any, Callable, Mapping, Optional, Sequence

from ..module_utils._artifacts import mirrors as _mirrors
from ..module_utils._base.native import to_native_types
from ..plugin_utils._mirror_variables import mirrors_of


def artifact_sources(
    names: Sequence[str],
    hostvars: Mapping[str, Any],
    host: str,
    hosts: Optional[Sequence[str]] = None,
    earlier: bool = False,
) -> list[str]:
    """See DOCUMENTATION."""
    mirrors = mirrors_of(names, hostvars)
    found: list[str] = (
        _mirrors.earlier(mirrors, to_native_types(host))
        if earlier
        else _mirrors.sources(mirrors, to_native_types(host), to_native_types(list(hosts or [])))
    )
    return found


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"artifact_sources": artifact_sources}
