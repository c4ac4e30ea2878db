#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a host: what changes, what was last good, and who holds the fleet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_state_info
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: What is recorded of the changes of a host
description:
  - Reads the state, the lease and the kept deployments of a host, and whether what is deployed is its last good
    deployment.
  - A host of which nothing has been recorded has an empty state. A file that cannot be read is an error.
options:
  deployment:
    description:
      - A kept deployment to return. V(last_good), V(previous_good), V(rollback_to) (what a rollback goes back to), or a
        digest.
      - It holds secrets. Use C(no_log) for the task.
    type: str
  benchmarks:
    description: Whether to return the newest benchmark results that the host keeps.
    type: bool
    default: false
    version_added: 0.2.0
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Linux.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.fleet_state
  - module: ascend.fleet.fleet_lease
"""

EXAMPLES = r"""
- name: Read what is recorded of the host
  ascend.fleet.fleet_state_info:
  register: about

- name: Have what a rollback goes back to
  ascend.fleet.fleet_state_info:
    deployment: rollback_to
  register: back
  no_log: true
"""

RETURN = r"""
state:
  description: The state, as RV(ascend.fleet.fleet_state#module:state).
  returned: success
  type: dict
  sample:
    schema: 1
    change:
      id: 20261130T061500Z-upgrade
      kind: upgrade
      release: qwen3_5_27b_v1
      digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      from_release: qwen3_5_27b_v0
      from_digest: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
      began: "2026-11-30T06:15:00Z"
      by: alice@controller
      step: baking
      since: "2026-11-30T06:31:40Z"
    last_good:
      release: qwen3_5_27b_v0
      digest: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
      since: "2026-11-01T20:11:03Z"
    previous_good: null
    replicas: {}
    history: []
lease:
  description:
    - Who holds the fleet, null where nobody does. C(alive) tells whether it was renewed in the last two hours, C(owner)
      by what name it is taken over.
  returned: success
  type: dict
  sample:
    schema: 1
    holder: alice
    controller: controller
    owner: alice@controller
    change: 20261130T061500Z-upgrade
    what: upgrade to qwen3_5_27b_v1
    since: "2026-11-30T06:15:00Z"
    renewed: "2026-11-30T06:31:40Z"
    process: null
    alive: true
kept:
  description: The digests of the kept deployments.
  returned: success
  type: list
  elements: str
  sample: [60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752]
runs_last_good:
  description: >-
    Whether the deployed units are those of the last good deployment. Null where none is recorded or it cannot be read.
    Whether they serve is not asked.
  returned: success
  type: bool
  sample: true
rollback_to:
  description:
    - What a rollback goes back to, null where there is nothing. It is the target of a rollback that was interrupted;
      the last good deployment where a change is open or something else is deployed; otherwise the one before it.
  returned: success
  type: dict
  sample:
    release: qwen3_5_27b_v0
    digest: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
    since: "2026-11-01T20:11:03Z"
deployment:
  description: The deployment that O(deployment) asks for. C(replicas) are as M(ascend.fleet.vllm_ready) takes them.
  returned: when O(deployment) is given
  type: dict
  sample:
    digest: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
    release: {release: qwen3_5_27b_v0}
    units: [{name: vllm-qwen3.5@0.service}]
    secrets: {}
    replicas:
      - {unit: vllm-qwen3.5@0.service, url: "http://127.0.0.1:8010", served_model_name: qwen3.5}
    endpoints:
      - {unit: vllm-qwen3.5@0.service, replica: 0, url: "http://127.0.0.1:8010", port: 8010, indices: [0, 1, 2, 3]}
benchmarks:
  description:
    - The newest result of each replica, workload and kind that the host keeps, with what it was compared with.
    - C(figures) are the numbers that are judged, C(reference) of one is null where it was compared with nothing.
      C(trend) is the throughput of the last ten results under the same conditions. C(findings) are as
      M(ascend.fleet.bench_report) has them, without those that compare replicas.
    - Null where they cannot be read.
  returned: when O(benchmarks) is true
  type: list
  elements: dict
  sample:
    - unit: vllm-qwen3.5@0.service
      replica: 0
      workload: text_2048_output_2048
      kind: full
      run: 20261129T184000Z
      finished: "2026-11-29T18:47:05Z"
      baseline: true
      problem: ""
      with: ""
      outcome: ""
      reason: ""
      figures:
        - metric: output_throughput
          value: 1210.0
          reference: null
          worse: false
      trend: [1210.0]
      findings: []
problems:
  description: What could not be read beside that, a line each.
  returned: success
  type: list
  elements: str
  sample: []
"""

import re
import time
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._bench import history, summary
from ..module_utils._serving.deployed import UnitsError, deployed
from ..module_utils._serving.plan import endpoints
from ..module_utils._upgrade import deployment, lease, state

WORDS = {
    "last_good": "last good",
    "previous_good": "good before the last one",
    "rollback_to": "good before what serves now",
}
NAMES = tuple(WORDS)
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def about() -> dict[str, Any]:
    """Everything but a deployment. StateError, LeaseError, DeploymentError, UnitsError."""
    found = state.read()
    problems: list[str] = []
    same: Optional[bool] = None
    if found["last_good"]:
        try:
            same = is_deployed(deployment.read(found["last_good"]["digest"]))
        except deployment.DeploymentError as exc:
            problems.append(str(exc))
    return {
        "state": found,
        "lease": lease.described(lease.read(), time.time()),
        "kept": sorted(deployment.kept()),
        "runs_last_good": same,
        "rollback_to": state.rollback_target(found, runs_last_good=bool(same)),
        "problems": problems,
    }


def benchmarks(problems: list[str]) -> Optional[list[dict[str, Any]]]:
    """The newest results of the host; None with a problem where they cannot be read."""
    try:
        records, notes = history.read()
    except history.HistoryError as exc:
        problems.append(str(exc))
        return None
    problems += notes
    return summary.newest(records)


def is_deployed(wanted: deployment.Deployment) -> bool:
    """Whether the units of the host are those of a deployment, with the same configurations."""
    return {str(u["name"]): u["config_hash"] for u in deployed()} == {
        str(u["name"]): u["config_hash"] for u in wanted.units
    }


def asked(name: str, known: dict[str, Any]) -> dict[str, Any]:
    """The deployment of this name or digest. StateError where the state names none."""
    entry = {**known["state"], "rollback_to": known["rollback_to"]}.get(name) if name in NAMES else {"digest": name}
    if not entry:
        raise state.StateError(
            "found no deployment recorded on this host as %s; needed one. Fix: site.yml records what serves after its "
            "questions were answered rightly; until then, and after a rollback, there is nothing to go back to"
            % WORDS[name]
        )
    found = deployment.read(entry["digest"])
    return {
        "digest": found.digest,
        "release": found.release,
        "units": list(found.units),
        "secrets": found.secrets,
        "replicas": found.replicas,
        "endpoints": endpoints(found.units),
    }


def main() -> None:
    """Read it."""
    module = AnsibleModule(
        argument_spec={"deployment": {}, "benchmarks": {"type": "bool", "default": False}}, supports_check_mode=True
    )
    name = module.params["deployment"]
    if name is not None and name not in NAMES and not _DIGEST.match(name):
        module.fail_json(
            msg="found the deployment %r; needed one of %s, or a digest of 64 hexadecimal digits"
            % (name, ", ".join(NAMES))
        )
    try:
        result = about()
        if name is not None:
            result["deployment"] = asked(name, result)
        if module.params["benchmarks"]:
            result["benchmarks"] = benchmarks(result["problems"])
    except (state.StateError, deployment.DeploymentError, lease.LeaseError, UnitsError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
