# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter ascend.fleet.system_packages: the packages of a host's operating system."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: system_packages
short_description: The names that packages have on a host's operating system
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Turns C(git), C(git-lfs), C(docker) and C(pciutils) into the packages of openEuler, Ubuntu, Debian, Kylin, UOS and
    their relatives. Another name is taken for a package's own and kept.
  - Values are layered, from what holds everywhere over the family and the system to its version.
positional: system
options:
  _input:
    description: Names of programs or packages.
    type: list
    elements: str
    required: true
  system:
    description: >-
      The operating system, as M(ascend.fleet.npu_info) returns it in RV(ascend.fleet.npu_info#module:node.os).
    type: dict
    required: true
seealso:
  - module: ascend.fleet.npu_info
"""

EXAMPLES = r"""
---
- name: Read what the host is
  ascend.fleet.npu_info:
    gather_subset: [min]
  register: about

- name: Install docker
  ansible.builtin.package:
    name: "{{ ['docker'] | ascend.fleet.system_packages(about.node.os) }}"
"""

RETURN = r"""
---
_value:
  description: Names of packages, each once.
  type: list
  elements: str
  sample: [docker.io, docker-cli]
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._base.native import to_native_types
from ..plugin_utils import _systems


def system_packages(value: Any, system: Any) -> list[str]:
    """The filter ``ascend.fleet.system_packages``."""
    wanted, known = to_native_types(value), to_native_types(system)
    if not isinstance(wanted, list) or not all(isinstance(w, str) for w in wanted):
        raise AnsibleFilterError("system_packages: found %r; needed a list of names" % (wanted,))
    if not isinstance(known, dict):
        raise AnsibleFilterError("system_packages: needed the key `node.os` of what ascend.fleet.npu_info returns")
    return _systems.packages(known, wanted)


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"system_packages": system_packages}
