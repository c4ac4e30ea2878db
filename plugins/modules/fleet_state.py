#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a host: how far a change is, and what serves well."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_state
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Record how far the change of a host is, and which deployment is its last good one
description:
  - Keeps C(/var/lib/ascend-fleet/state.json), which tells a later run, also from another controller, what is being
    changed, how far that is, and what a rollback goes back to.
  - A deployment is a release with its lock, the units that serve it on the host, and their secrets. It is kept by
    content in C(/var/lib/ascend-fleet/deployments) and readable by root alone, so that a rollback needs neither files
    of the controller nor a network.
  - Every call can be repeated. What is recorded already is left as it is.
  - A state that cannot be read, or that is of a newer schema, is an error. An older one is brought forward.
options:
  state:
    description:
      - V(begun) keeps the deployment and opens a change. A change of the same O(kind) to the same deployment that is
        open goes on under the new O(change). Another one that is open ends as stopped.
      - V(step) notes how far the change is.
      - V(good) keeps the deployment and records it as last good, with its replicas. The change ends, and the history
        tells of it. What was last good before is kept beside it, but not after a rollback.
      - V(ended) ends the change otherwise. Last good stays.
      - Each also removes kept deployments that nothing needs. Last good, the one before it, what runs and what a change
        names always stay.
    type: str
    choices: [begun, step, good, ended]
    required: true
  change:
    description:
      - The name of the change, such as C(20261130T061500Z-upgrade).
      - With O(state=good) it may be left out, where no change was begun.
    type: str
    default: ''
  kind:
    description: What kind of change it is, where it begins or was not begun.
    type: str
    choices: [upgrade, rollback, site]
    default: site
  release:
    description: The release, as P(ascend.fleet.release#lookup) returns it.
    type: dict
  units:
    description: The units, as P(ascend.fleet.vllm_replicas#filter) returns them.
    type: list
    elements: dict
  secrets:
    description: Variables for every unit that must not be shown anywhere.
    type: dict
    default: {}
  deployment:
    description: >-
      Instead of O(release), O(units) and O(secrets), the digest of a deployment that the host has kept.
    type: str
  step:
    description: >-
      How far the change is. With O(state=begun), where it begins; by default V(staged), or where the change that goes
      on stood.
    type: str
    choices: [staged, switching, baking, rolling_back]
  outcome:
    description: How the change ended, with O(state=ended).
    type: str
    choices: [rolled_back, stopped, failed]
  why:
    description: Why it ended so.
    type: str
    default: ''
  replicas:
    description:
      - What was measured, by unit. C(out_seconds) is how long the replica was out of traffic, C(start_seconds) how long
        its engine took to start. Other figures are only told in the history.
      - With O(state=step), these replicas have shown that they serve what the change brings.
    type: dict
    default: {}
  by:
    description: Who makes the change, and where. Set by the action, as user and name of the controller.
    type: str
    default: ''
attributes:
  action:
    description: The controller says who makes the change.
    support: full
  async:
    description: Not supported by its action.
    support: none
  check_mode:
    description: Says what would be recorded. Nothing is written.
    support: full
  diff_mode:
    description: Shows the state before and after. Deployments are not shown.
    support: full
  platform:
    description: Linux.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.fleet_state_info
  - module: ascend.fleet.fleet_lease
"""

EXAMPLES = r"""
- name: Begin an upgrade of the host
  ascend.fleet.fleet_state:
    state: begun
    kind: upgrade
    change: 20261130T061500Z-upgrade
    release: "{{ lookup('ascend.fleet.release', fleet_release) }}"
    units: "{{ plan.units }}"
    secrets: "{{ plan.secrets }}"

- name: Note that the new release proves itself in traffic
  ascend.fleet.fleet_state:
    state: step
    change: 20261130T061500Z-upgrade
    step: baking

- name: Record it as last good
  ascend.fleet.fleet_state:
    state: good
    change: 20261130T061500Z-upgrade
    release: "{{ lookup('ascend.fleet.release', fleet_release) }}"
    units: "{{ plan.units }}"
    secrets: "{{ plan.secrets }}"
    replicas:
      vllm-qwen3.5@0.service: {out_seconds: 412.0, start_seconds: 371.5}
"""

RETURN = r"""
state:
  description: The state as it is now. In check mode, as it would be.
  returned: success
  type: dict
  contains:
    schema:
      description: The schema of the file.
      type: int
      sample: 1
    change:
      description: The change that is open, null where none is.
      type: dict
      sample: null
    last_good:
      description: The deployment that has passed everything, null where none has.
      type: dict
      sample:
        release: qwen3_5_27b_v1
        digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        since: "2026-11-30T06:55:12Z"
    previous_good:
      description: What was last good before, null where there is none or the host was rolled back.
      type: dict
      sample:
        release: qwen3_5_27b_v0
        digest: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
        since: "2026-11-01T20:11:03Z"
    replicas:
      description: What each replica was last proven to serve, by unit. Seconds are null where nobody has measured them.
      type: dict
      sample:
        vllm-qwen3.5@0.service:
          release: qwen3_5_27b_v1
          digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
          since: "2026-11-30T06:55:12Z"
          out_seconds: 412.0
          start_seconds: 371.5
    history:
      description: The last 20 changes, the newest last.
      type: list
      elements: dict
      sample:
        - id: 20261130T061500Z-upgrade
          kind: upgrade
          release: qwen3_5_27b_v1
          digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
          from_release: qwen3_5_27b_v0
          from_digest: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
          began: "2026-11-30T06:15:00Z"
          ended: "2026-11-30T06:55:12Z"
          by: alice@controller
          outcome: good
          why: ""
          replicas:
            vllm-qwen3.5@0.service: {out_seconds: 412.0, start_seconds: 371.5}
digest:
  description: What identifies the deployment.
  returned: when a deployment was given
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
goes_on:
  description: Whether a change that was open goes on.
  returned: when O(state=begun)
  type: bool
  sample: false
removed:
  description: The digests of kept deployments that were removed.
  returned: success
  type: list
  elements: str
  sample: []
"""

import time
from contextlib import nullcontext
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.record_result import result_of
from ..module_utils._upgrade import deployment, state

ARGUMENTS: dict[str, Any] = {
    "state": {"choices": ["begun", "step", "good", "ended"], "required": True},
    "change": {"default": ""},
    "kind": {"choices": list(state.KINDS), "default": "site"},
    "release": {"type": "dict"},
    "units": {"type": "list", "elements": "dict"},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "deployment": {},
    "step": {"choices": list(state.STEPS)},
    "outcome": {"choices": [word for word in state.OUTCOMES if word != state.GOOD]},
    "why": {"default": ""},
    "replicas": {"type": "dict", "default": {}},
    "by": {"default": ""},
}


def given(params: dict[str, Any]) -> Optional[deployment.Deployment]:
    """The deployment that the task names; None where it names none. DeploymentError."""
    if params["deployment"] is not None:
        return deployment.read(params["deployment"])
    if params["release"] is None:
        return None
    return deployment.Deployment.of(params["release"], params["units"], params["secrets"])


def next_state(
    params: dict[str, Any], found: dict[str, Any], wanted: Optional[deployment.Deployment], now: float
) -> dict[str, Any]:
    """The state once it is recorded. StateError where it does not allow that."""
    change, measured = params["change"], params["replicas"]
    if params["state"] == "step":
        return state.take_step(found, change=change, step=params["step"], now=now, proven=measured)
    if params["state"] == "ended":
        return state.end(found, change=change, outcome=params["outcome"], why=params["why"], now=now, measured=measured)
    if wanted is None:
        raise deployment.DeploymentError("found no deployment; needed release and units, or the digest of a kept one")
    target = state.Target(wanted.name, wanted.digest)
    if params["state"] == "begun":
        return state.begin(
            found, target, change=change, kind=params["kind"], by=params["by"], now=now, step=params["step"] or ""
        )
    return state.record_good(
        found,
        target,
        wanted.unit_names,
        by=params["by"],
        now=now,
        change=change,
        kind=params["kind"],
        measured=measured,
    )


def record(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Record it; returns the module's result."""
    wanted = given(params)
    with nullcontext() if check else state.folder_lock():
        before = state.read()
        after = next_state(params, before, wanted, time.time())
        kept = False
        removed: list[str] = []
        if wanted is not None:
            # First what the state names, then the state, then what it names no more.
            kept = not deployment.is_kept(wanted.digest) if check else deployment.keep(wanted)
        if not check:
            if after != before:
                state.write(after)
            removed = deployment.prune(state.needed(after))
    result = result_of(state.path_of(), before, after, state.dump, begins=params["state"] == "begun")
    result.update(changed=result["changed"] or kept or bool(removed), removed=removed)
    if wanted is not None:
        result["digest"] = wanted.digest
    return result


def main() -> None:
    """Record how far a change is."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[
            ("state", "begun", ["change"]),
            ("state", "begun", ["release", "deployment"], True),
            ("state", "step", ["change", "step"]),
            ("state", "good", ["release", "deployment"], True),
            ("state", "ended", ["change", "outcome"]),
        ],
        required_by={"release": ["units"]},
        mutually_exclusive=[("release", "deployment")],
        supports_check_mode=True,
    )
    params = module.params
    needs_change = params["state"] != "good"
    if (params["change"] or needs_change) and not state.CHANGE_ID.match(params["change"]):
        module.fail_json(
            msg="found the change %r; needed a name of letters, digits, dots, dashes and underscores, such as "
            "20261130T061500Z-upgrade" % params["change"]
        )
    try:
        result = record(params, check=module.check_mode)
    except (state.StateError, deployment.DeploymentError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
