# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of driver and firmware of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: driver_plan
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Plan the change of driver and firmware of a host
description:
  - Compares what is installed and what runs with what the release wants, and says what has to be installed, in which
    order, and why it must not be. Nothing is changed.
  - Reasons are a host without any driver, a version without a package, a package that is not there, damaged, of another
    sha256, version, architecture or generation, a driver that a release that runs or that a rollback goes back to does
    not run on, versions of driver and firmware that do not go together, a kernel that has neither headers nor modules,
    too little room, a missing user, cards that are not seen, and whoever else holds a card.
options:
  _input:
    description: What M(ascend.fleet.npu_driver_info) has returned.
    type: dict
    required: true
  release:
    description: The release, as P(ascend.fleet.release#lookup) returns it.
    type: dict
    required: true
  generation:
    description: The generation of the host. Without it the PCI bus tells.
    type: str
    default: ''
  disk_gib:
    description: Room in GiB that a package and what it unpacks need.
    type: float
    default: 2
  bmc:
    description: The address of the BMC, where the host does not tell it.
    type: str
    default: ''
  staged:
    description: Whether packages must be on the host by now. Until they are brought, a missing one is no reason.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Plan the change
  ansible.builtin.set_fact:
    plan: "{{ about | ascend.fleet.driver_plan(release, generation=npu_generation) }}"
"""

RETURN = r"""
_value:
  description:
    - C(converged) says that nothing has to be done, C(goes_on) that a change that is open on the host goes on.
      C(installs) are the packages in their order. C(reasons) say why the host must not be changed, each as what was
      found, what is needed, and the fix. C(before) is what the host is compared with afterwards.
  type: dict
  sample:
    converged: false
    goes_on: false
    step: ''
    why: ''
    wanted: {firmware: 25.5.0, driver: 25.5.0}
    found: {firmware: 25.2.0, driver: 25.2.0}
    reasons: []
    warnings: []
    bmc: 192.0.2.110
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._base.native import to_native_types
from ..module_utils._driver import plan
from ..plugin_utils._compatibility import compatibility_table


def driver_plan(
    about: Any, release: Any, generation: str = "", disk_gib: float = 2, bmc: str = "", staged: bool = True
) -> dict[str, Any]:
    """See DOCUMENTATION."""
    read = to_native_types(about)
    missing = [key for key in ("node", "packages", "state", "releases") if key not in read]
    if missing:
        raise AnsibleFilterError("driver_plan: found no %s; needed what npu_driver_info returns" % ", ".join(missing))
    return plan.plan(
        read,
        to_native_types(release),
        generation=str(generation or ""),
        table=compatibility_table(),
        disk_bytes=int(float(disk_gib) * (1 << 30)),
        bmc=str(bmc or ""),
        staged=bool(staged),
    )


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"driver_plan": driver_plan}
