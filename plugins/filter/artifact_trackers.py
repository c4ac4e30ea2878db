# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where hosts find each other."""

from __future__ import annotations

DOCUMENTATION = r"""
name: artifact_trackers
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Say which BitTorrent trackers hosts ask for each other
description:
  - The trackers of the mirrors, in the order of the group, when the hosts are many enough to share.
  - A mirror's tracker is its variable C(artifact_mirror_tracker_url), or else made of C(ansible_host) and
    C(artifact_mirror_tracker_port).
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
  hosts:
    description: Names of all hosts that fetch.
    type: list
    elements: str
    required: true
  least:
    description: From how many hosts on they share. V(0) for never.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Show where hosts find each other
  ansible.builtin.debug:
    msg: "{{ groups['artifact_mirrors'] | ascend.fleet.artifact_trackers(hostvars, groups['npu_hosts'], 5) }}"
"""

RETURN = r"""
_value:
  description: Announce URLs, as O(ascend.fleet.lfs_artifact#module:trackers) takes them. None when nothing is shared.
  type: list
  elements: str
  sample: ["http://192.0.2.5:6969/announce"]
"""

from typing import Any, Callable, Mapping, Sequence

from ..module_utils._artifacts import mirrors
from ..module_utils._base.native import to_native_types
from ..plugin_utils._mirror_variables import mirrors_of


def artifact_trackers(names: Sequence[str], hostvars: Mapping[str, Any], hosts: Sequence[str], least: int) -> list[str]:
    """See DOCUMENTATION."""
    found: list[str] = mirrors.trackers(mirrors_of(names, hostvars), to_native_types(list(hosts)), int(least))
    return found


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"artifact_trackers": artifact_trackers}
