#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease of a host: one change of the whole fleet at a time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_lease
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Hold the fleet for one change at a time
description:
  - Keeps C(/var/lib/ascend-fleet/lease.json), which says who changes the whole fleet, from where, since when, and what.
    A second operator is refused with these words.
  - A lease is alive for two hours after it was renewed. A change renews it before and within each wave.
  - A lease that is not alive any more is taken over by the name of its owner (O(take_over)), never silently. The lease
    of a run of the same person at the same controller that was killed is taken over without asking. The action finds on
    the controller whether that process still runs.
  - Times are those of the host.
options:
  state:
    description:
      - V(taken) takes the lease for O(change), or fails.
      - V(renewed) gives a sign of life. It fails where the lease is not this change's any more.
      - V(released) gives it back. A lease that is somebody else's by now is left alone.
      - V(stopping) asks the change that holds the fleet to stop, whosever it is. It learns that when it renews its
        lease. Where nobody holds the fleet, there is nothing to ask.
    type: str
    choices: [taken, renewed, released, stopping]
    default: taken
  change:
    description: The change that holds it, such as C(20261130T061500Z-upgrade). Required, but for O(state=stopping).
    type: str
  what:
    description: What is changed, in words.
    type: str
    default: ''
  take_over:
    description: >-
      The owner of a stale lease that is taken over, as the refusal names it, such as C(alice@controller).
    type: str
    default: ''
  holder:
    description: Who makes the change. Set by the action, as the user who runs Ansible.
    type: str
  controller:
    description: From where. Set by the action, as the name of the controller.
    type: str
  process:
    description: What tells the process of the controller from others. Set by the action.
    type: dict
  gone:
    description: The process of an earlier lease that does not run any more. Set by the action.
    type: dict
attributes:
  action:
    description: The controller says who makes the change, and whether an earlier process of it still runs.
    support: full
  async:
    description: Not supported by its action.
    support: none
  check_mode:
    description: Refuses as otherwise, and writes nothing.
    support: full
  diff_mode:
    description: A lease is no configuration.
    support: none
  platform:
    description: Linux.
    support: full
    platforms: linux
notes:
  - A renewed lease does not count as a change.
seealso:
  - module: ascend.fleet.fleet_state
  - module: ascend.fleet.fleet_state_info
"""

EXAMPLES = r"""
- name: Hold the fleet
  ascend.fleet.fleet_lease:
    change: 20261130T061500Z-upgrade
    what: upgrade to qwen3_5_27b_v1
    take_over: "{{ fleet_lease_take_over | default('') }}"

- name: Give a sign of life
  ascend.fleet.fleet_lease:
    state: renewed
    change: 20261130T061500Z-upgrade

- name: Give it back
  ascend.fleet.fleet_lease:
    state: released
    change: 20261130T061500Z-upgrade
"""

RETURN = r"""
lease:
  description: The lease as it is now, null where nobody holds it. In check mode, as it would be.
  returned: success
  type: dict
  sample:
    schema: 1
    holder: alice
    controller: controller
    change: 20261130T061500Z-upgrade
    what: upgrade to qwen3_5_27b_v1
    since: "2026-11-30T06:15:00Z"
    renewed: "2026-11-30T06:15:00Z"
    stop: {by: bob@laptop, at: "2026-11-30T06:31:02Z"}
    process: {pid: 4242, started: "81234", boot_id: 5f4d, machine: 9c1e, namespace: "pid:[4026531836]"}
taken_from:
  description: The lease of somebody else, or of an earlier run, that was taken over; null where none was.
  returned: when O(state=taken)
  type: dict
  sample: null
asked:
  description: >-
    On failure, the lease of another process of the same person at the same controller, for the action.
  returned: failure
  type: dict
  sample: null
"""

import time
from contextlib import nullcontext
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._upgrade import lease, state


def carry_out(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Take, renew or release; returns the module's result. LeaseError, StateError."""
    claim = lease.Claim(
        params["holder"], params["controller"], params["change"] or "", params["what"], params["process"]
    )
    with nullcontext() if check else state.folder_lock():
        before: Optional[dict[str, Any]] = lease.read()
        now = time.time()
        if params["state"] == "released":
            mine = not lease.is_released(before, claim)
            if mine and not check:
                lease.drop()
            return {"changed": mine, "lease": None if mine else before}
        if params["state"] == "stopping" and before is None:
            return {"changed": False, "lease": None}
        if params["state"] == "stopping" and before is not None:
            after = lease.ask_to_stop(before, claim.owner, now)
        elif params["state"] == "renewed":
            after = lease.renew(before, claim, now)
        else:
            after = lease.take(before, claim, now, take_over=params["take_over"], gone=params["gone"])
        if not check:
            lease.write(after)
    if params["state"] == "renewed":
        return {"changed": False, "lease": after}
    if params["state"] == "stopping":
        return {"changed": after != before, "lease": after}
    again = before is not None and (before["change"], lease.owner_of(before)) == (claim.change, claim.owner)
    return {"changed": not again, "lease": after, "taken_from": None if again else before}


def main() -> None:
    """Hold the fleet."""
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["taken", "renewed", "released", "stopping"], "default": "taken"},
            "change": {},
            "what": {"default": ""},
            "take_over": {"default": ""},
            "holder": {},
            "controller": {},
            "process": {"type": "dict"},
            "gone": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["state"] != "stopping" and not state.CHANGE_ID.match(params["change"] or ""):
        module.fail_json(
            msg="found the change %r; needed a name of letters, digits, dots, dashes and underscores, such as "
            "20261130T061500Z-upgrade" % (params["change"] or "")
        )
    if not params["holder"] or not params["controller"]:
        module.fail_json(
            msg="found no holder and controller; needed both. Fix: call it from a play; its action sets them"
        )
    try:
        result = carry_out(params, check=module.check_mode)
    except lease.LeaseError as exc:
        module.fail_json(msg=str(exc), asked=exc.asked)
    except state.StateError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
