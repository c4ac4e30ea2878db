#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the change of driver and firmware is on a host, and whether the host is in maintenance."""

from __future__ import annotations

DOCUMENTATION = r"""
module: npu_driver_state
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Record how far the change of a host's driver is, and keep it in maintenance meanwhile
description:
  - Keeps C(/var/lib/ascend-fleet/driver.json), from which a later run goes on, also across a reboot and from another
    controller. As long as a change is open there, the host is in maintenance.
  - Stops services that ask C(npu-smi) for as long as the host is in maintenance, and starts those again that ran.
  - Every call can be repeated. A record that cannot be read is an error, never an empty one.
options:
  state:
    description:
      - V(begun) opens a change. The open one with the same versions goes on under the new O(change), with everything
        that it has noted. One with other versions ends as stopped, and what was before it stays what the host is
        compared with.
      - V(quiet) stops and disables the O(pollers) that run, and notes them and the O(units).
      - V(step) notes how far it is.
      - V(failed) notes why it cannot go on. The host stays in maintenance.
      - V(serving) enables the noted units again, and enables and starts the noted pollers.
      - V(ended) ends change and maintenance.
    type: str
    choices: [begun, quiet, step, failed, serving, ended]
    required: true
  change:
    description: The name of the change, such as C(20261130T061500Z-driver).
    type: str
    required: true
  by:
    description: Who makes it, and where. The action sets it.
    type: str
    default: ''
  plan:
    description: With O(state=begun), the plan of the host, as P(ascend.fleet.driver_plan#filter) returns it.
    type: dict
  release:
    description: With O(state=begun), the name of the release that wants these versions.
    type: str
    default: ''
  step:
    description: With O(state=step), how far it is.
    type: str
    choices: [preparing, installing, rebooting, verifying, serving]
  rebooted:
    description: With O(state=step), whether a reboot comes now. It is counted, and the boot before it is noted.
    type: bool
    default: false
  pollers:
    description: With O(state=quiet), names of units that may be there and that ask C(npu-smi).
    type: list
    elements: str
    default: []
  units:
    description: With O(state=quiet), names of the serving units that do not start with the host until O(state=serving).
    type: list
    elements: str
    default: []
  why:
    description: With O(state=failed) and O(state=ended), why.
    type: str
    default: ''
  replicas:
    description: With O(state=ended), by unit how long it was out (C(out_seconds)).
    type: dict
    default: {}
attributes:
  action:
    description: The controller says who makes the change.
    support: full
  async:
    description: Not supported by its action.
    support: none
  check_mode:
    description: Says what would be recorded. Nothing is written, stopped or started.
    support: full
  diff_mode:
    description: Shows the record before and after.
    support: full
  platform:
    description: Needs systemd.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.npu_driver
"""

EXAMPLES = r"""
- name: Take the host into maintenance
  ascend.fleet.npu_driver_state:
    state: begun
    change: 20261130T061500Z-driver
    release: qwen3_5_27b_v1
    plan: "{{ plan }}"

- name: End the maintenance
  ascend.fleet.npu_driver_state:
    state: ended
    change: 20261130T061500Z-driver
"""

RETURN = r"""
state:
  description: The record as it is now. In check mode, as it would be.
  returned: success
  type: dict
  sample: {schema: 1, change: null, history: []}
run:
  description: What names the open change on the host, however many runs it takes. Empty where none is open.
  returned: success
  type: str
  sample: 20261130T061500Z
boot_id:
  description: What tells this boot from others.
  returned: success
  type: str
  sample: 0b7e3c0a-7a0e-4a53-9d7e-1f0c6f1b2a11
goes_on:
  description: Whether a change that was open goes on.
  returned: when O(state=begun)
  type: bool
  sample: false
"""

import time
from contextlib import nullcontext
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.record_result import result_of
from ..module_utils._driver import pollers, record
from ..module_utils._driver.host import BOOT_ID
from ..module_utils._host.systemd import Systemd, SystemdError
from ..module_utils._node.host import Host
from ..module_utils._upgrade import state as fleet_state

ARGUMENTS: dict[str, Any] = {
    "state": {"choices": ["begun", "quiet", "step", "failed", "serving", "ended"], "required": True},
    "change": {"required": True},
    "by": {"default": ""},
    "plan": {"type": "dict"},
    "release": {"default": ""},
    "step": {"choices": list(record.STEPS)},
    "rebooted": {"type": "bool", "default": False},
    "pollers": {"type": "list", "elements": "str", "default": []},
    "units": {"type": "list", "elements": "str", "default": []},
    "why": {"default": ""},
    "replicas": {"type": "dict", "default": {}},
}


def next_record(
    params: dict[str, Any], found: dict[str, Any], boot_id: str, now: float, systemd: Systemd
) -> dict[str, Any]:
    """The record once it is noted. StateError, SystemdError."""
    change, word = params["change"], params["state"]
    if word == "begun":
        plan = params["plan"]
        return record.begin(
            found,
            change=change,
            by=params["by"],
            now=now,
            release=params["release"],
            wanted=plan["wanted"],
            found=plan["found"],
            installs=plan["installs"],
            before=plan["before"],
            bmc=plan.get("bmc") or "",
        )
    if word == "quiet":
        step = (found["change"] or {}).get("step", "")
        known = (found["change"] or {}).get("pollers", [])
        noted = pollers.look(systemd, params["pollers"], known)
        units = sorted({*params["units"], *(found["change"] or {}).get("units", [])})
        return record.take_step(found, change=change, step=step, now=now, pollers=noted, units=units)
    if word == "step":
        more: dict[str, Any] = {}
        known = found["change"] or {}
        # A reboot that was noted and did not come is not counted twice.
        if params["rebooted"] and (known.get("step"), known.get("boot_id")) != (record.REBOOTING, boot_id):
            more = {"boot_id": boot_id, "reboots": known.get("reboots", 0) + 1}
        return record.take_step(found, change=change, step=params["step"], now=now, **more)
    if word == "failed":
        return record.fail(found, change=change, why=params["why"])
    if word == "serving":
        return record.take_step(found, change=change, step=record.SERVING, now=now)
    return record.end(found, change=change, now=now, why=params["why"], measured=params["replicas"])


def note(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Note it; returns the module's result. StateError, SystemdError."""
    boot_id = (Host().read(BOOT_ID) or "").strip()
    systemd = Systemd(timeout=60)
    acted = False
    with nullcontext() if check else fleet_state.folder_lock():
        before = record.read()
        after = next_record(params, before, boot_id, time.time(), systemd)
        # What is stopped is noted before, and what is started is forgotten only with the change.
        if after != before and not check:
            record.write(after)
        change = after["change"]
        if change and params["state"] == "quiet":
            acted = pollers.stop(systemd, change["pollers"], check=check)
        if change and params["state"] == "serving":
            acted = pollers.restore(systemd, change["pollers"], change["units"], check=check)
    result = result_of(record.path_of(), before, after, fleet_state.dump, begins=params["state"] == "begun")
    result.update(changed=acted or result["changed"], boot_id=boot_id)
    result["run"] = record.token(after["change"]) if after["change"] else ""
    return result


def main() -> None:
    """Note it."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[
            ("state", "begun", ["plan", "release"]),
            ("state", "step", ["step"]),
            ("state", "failed", ["why"]),
        ],
        supports_check_mode=True,
    )
    params = module.params
    if not fleet_state.CHANGE_ID.match(params["change"]):
        module.fail_json(
            msg="found the change %r; needed a name of letters, digits, dots, dashes and underscores, such as "
            "20261130T061500Z-driver" % params["change"]
        )
    missing = [key for key in ("wanted", "found", "installs", "before") if key not in (params["plan"] or {})]
    if params["state"] == "begun" and missing:
        module.fail_json(msg="found a plan without %s; needed one of the filter driver_plan" % ", ".join(missing))
    try:
        result = note(params, check=module.check_mode)
    except (fleet_state.StateError, SystemdError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
