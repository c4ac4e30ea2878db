# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts have part in a change of the fleet: none where none has anything to do."""

from __future__ import annotations

DOCUMENTATION = r"""
name: upgrade_hosts
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Choose the hosts that have part in a change of the fleet
description:
  - No host, where M(ascend.fleet.node_converged) has found all hosts as they are wanted. Then the one call that has
    told it is all that the hosts are asked.
  - All of them otherwise. Hosts that are as wanted carry the load while others are changed, and are held with them.
  - Hosts that the variable C(fleet_maintenance) leaves alone have no part in it.
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
  converged_variable:
    description: The variable in which the result of M(ascend.fleet.node_converged) is.
    type: str
    default: __site_state
"""

EXAMPLES = r"""
- name: Note who has part in the change
  ansible.builtin.set_fact:
    changing: "{{ ansible_play_hosts_all | ascend.fleet.upgrade_hosts(hostvars) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: All hosts but those under maintenance, or none.
  type: list
  elements: str
  sample: [a2-1, a2-2, a3-1]
"""

from datetime import datetime
from typing import Any, Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError

from ..module_utils._upgrade.window import WindowError
from ..plugin_utils._upgrade_hosts import CONVERGED, Hosts


def upgrade_hosts(hosts: Sequence[str], hostvars: Mapping[str, Any], converged_variable: str = CONVERGED) -> list[str]:
    """See DOCUMENTATION."""
    if isinstance(hosts, str) or not isinstance(hosts, Sequence):
        raise AnsibleFilterError("found %s; needed a list of hosts" % type(hosts).__name__)
    names = [str(host) for host in hosts]
    known = Hosts({"hostvars": hostvars})
    try:
        aside = known.set_aside(names, datetime.now().astimezone())
    except WindowError as exc:
        raise AnsibleFilterError(str(exc)) from exc
    taking_part = [name for name in names if name not in aside]
    done = [name for name in taking_part if known.registered(name, converged_variable).get("converged")]
    return [] if done == taking_part else taking_part


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"upgrade_hosts": upgrade_hosts}
