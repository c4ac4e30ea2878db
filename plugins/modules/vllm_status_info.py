#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the replicas of a host are doing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_status_info
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: What the replicas of a host are doing, in one call
description:
  - Reads the deployed units, their containers, what each engine says of its health and its requests, the memory of
    its chips, and what is recorded of changes of the host.
  - What cannot be read is null, and RV(problems) says why. It is never a failure, and never an empty answer.
options:
  timeout:
    description: Deadline of each external command, in seconds.
    type: float
    default: 30
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Needs systemd.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_status
  - module: ascend.fleet.npu_info
  - module: ascend.fleet.fleet_state_info
"""

EXAMPLES = r"""
- name: Read the replicas of the host
  ascend.fleet.vllm_status_info:
  register: state
"""

RETURN = r"""
replicas:
  description: The replicas that this collection has deployed on the host.
  returned: success
  type: list
  elements: dict
  contains:
    replica:
      description: Its number on the host.
      type: int
    unit:
      description: Its systemd unit.
      type: str
    served_model_name:
      description: The name of its model.
      type: str
    release:
      description: The release of its unit.
      type: str
    port:
      description: Where it serves.
      type: int
    indices:
      description: Its chips, N of C(/dev/davinciN).
      type: list
      elements: int
    image_id:
      description: The image of the running container. Null when none runs or docker does not tell.
      type: str
    age_seconds:
      description: How long that container runs.
      type: int
    outdated:
      description: Whether that container has another configuration than its unit.
      type: bool
    active_state:
      description: What systemd says of the unit.
      type: str
    restarts:
      description: How often systemd has restarted it by itself.
      type: int
    health:
      description: >-
        V(healthy), V(starting), the state of a unit that is not active, what C(/health) answered, or V(unknown).
      type: str
    running:
      description: How many requests it works on.
      type: int
    waiting:
      description: How many requests wait in it.
      type: int
    hbm_used_mb:
      description: Memory in use on its chips together.
      type: int
    hbm_total_mb:
      description: Memory of its chips together.
      type: int
  sample:
    - replica: 0
      unit: vllm-qwen3.5@0.service
      served_model_name: qwen3.5
      release: qwen3_5_27b_v0
      port: 8010
      indices: [0, 1, 2, 3]
      image_id: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
      age_seconds: 5400
      outdated: false
      active_state: active
      restarts: 0
      health: healthy
      running: 3
      waiting: 0
      hbm_used_mb: 236912
      hbm_total_mb: 262144
recorded:
  description: >-
    What the state of the host says. C(change) is the change that is open, C(last_good) and C(previous_good) are the
    deployments that a rollback goes back to, C(replicas) what each was last proven to serve, and C(lease) who holds the
    fleet, as M(ascend.fleet.fleet_state_info) returns them. C(driver) is the change of driver and firmware that is
    open, in which the host is in maintenance. Null where it cannot be read.
  returned: success
  type: dict
  sample:
    change: null
    last_good:
      release: qwen3_5_27b_v0
      digest: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
      since: "2026-11-01T20:11:03Z"
    previous_good: null
    replicas: {}
    lease: null
    driver:
      id: 20261130T061500Z-driver
      by: alice@controller
      since: "2026-11-30T06:21:40Z"
      step: installing
      wanted: {driver: 25.5.0, firmware: 7.8.0.5.201}
      why: ""
problems:
  description: What could not be read, a line each.
  returned: success
  type: list
  elements: str
  sample: []
"""

import time
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._driver import record
from ..module_utils._node.collect import collect
from ..module_utils._node.host import Host
from ..module_utils._serving.deployed import UnitsError, deployed
from ..module_utils._serving.replica_state import Reader
from ..module_utils._upgrade import lease, state

#: What of a state is shown; the history is long.
_SHOWN = ("change", "last_good", "previous_good", "replicas")
_SHOWN_OF_DRIVER = ("id", "by", "since", "step", "wanted", "why")


def recorded(problems: list[str]) -> Optional[dict[str, Any]]:
    """What the state of the host says; None with a problem where it cannot be read."""
    try:
        found, driver = state.read(), record.read()["change"]
        return {
            **{name: found[name] for name in _SHOWN},
            "lease": lease.described(lease.read(), time.time()),
            "driver": driver and {name: driver[name] for name in _SHOWN_OF_DRIVER},
        }
    except (state.StateError, lease.LeaseError) as exc:
        problems.append(str(exc))
        return None


def main() -> None:
    """Read the replicas."""
    module = AnsibleModule(
        argument_spec={"timeout": {"type": "float", "default": 30.0}},
        supports_check_mode=True,
    )
    if module.params["timeout"] <= 0:
        module.fail_json(msg="timeout is %s, it must be more than 0 seconds" % module.params["timeout"])
    try:
        units = deployed()
    except UnitsError as exc:
        module.fail_json(msg=str(exc))
    reader = Reader()
    node = collect(Host(timeout=module.params["timeout"]), gather_subset=["npu"]) if units else {}
    replicas = reader.read(units, node.get("devices") or [])
    error = (node.get("npu_smi") or {}).get("error")
    problems = ["npu-smi: %s" % error] if error else []
    known = recorded(problems)
    module.exit_json(changed=False, replicas=replicas, recorded=known, problems=problems + reader.problems)


if __name__ == "__main__":
    main()
