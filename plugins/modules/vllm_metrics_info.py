#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engines and the gateway of a host have counted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_metrics_info
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: What the engines and the gateway of a host have counted, in one call
description:
  - Takes a sample of the host. For every deployed replica it reads C(/metrics), what systemd says of its unit, and what
    the watchdog says of it. Where a gateway runs on the host, it reads what that has counted for each of its servers.
  - Two samples tell what happened between them; M(ascend.fleet.fleet_bake) compares them. No Prometheus is needed.
  - What cannot be read has a C(problem) that says why, and its numbers are null. That is no failure, and never an empty
    answer.
options:
  timeout:
    description: Deadline of each question, in seconds.
    type: float
    default: 10
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Needs systemd where replicas are deployed.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.fleet_bake
  - module: ascend.fleet.vllm_status_info
"""

EXAMPLES = r"""
- name: Take the first sample
  ascend.fleet.vllm_metrics_info:
  register: __upgrade_bake_before

- name: Let the new release serve
  ansible.builtin.pause:
    minutes: 10
  run_once: true

- name: Take the second sample
  ascend.fleet.vllm_metrics_info:
  register: __upgrade_bake_after
"""

RETURN = r"""
at:
  description: When it was taken, in seconds since 1970, by the host's own clock.
  returned: success
  type: float
  sample: 1795331100.203
replicas:
  description: The replicas that this collection has deployed on the host. Null is unknown.
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
    active_state:
      description: What systemd says of the unit.
      type: str
    restarts:
      description: How often systemd has restarted it by itself.
      type: int
    invocation:
      description: What systemd calls this run of the unit.
      type: str
    started:
      description: When the process that counts has started, in seconds since 1970.
      type: float
    running:
      description: How many requests it works on.
      type: float
    waiting:
      description: How many requests wait in it.
      type: float
    kv_cache_usage:
      description: How full its cache is; 1 is full.
      type: float
    finished:
      description: How many requests have ended, by the engine's reason.
      type: dict
    generation_tokens:
      description: How many tokens it has given.
      type: float
    preemptions:
      description: How often it has put a running request back.
      type: float
    answers_5xx:
      description: How many requests its own server has answered with a status from 500 on.
      type: float
    histograms:
      description: >-
        C(ttft), the time to the first token, and C(inter_token), the time between two: how many were at most so long,
        by that time in seconds.
      type: dict
    watchdog:
      description: What the watchdog says of it as it runs now; null where it has not looked.
      type: dict
    problem:
      description: Why its counters could not be read; empty where they were.
      type: str
  sample:
    - replica: 0
      unit: vllm-qwen3.5@0.service
      served_model_name: qwen3.5
      release: qwen3_5_27b_v0
      port: 8010
      active_state: active
      restarts: 0
      invocation: 6d1fa1a4b65e4a52b0ae0a23ff1f4f5e
      started: 1795331026.76
      running: 3.0
      waiting: 0.0
      kv_cache_usage: 0.12
      finished: {stop: 240.0, length: 31.0, abort: 2.0, error: 0.0}
      generation_tokens: 81210.0
      preemptions: 0.0
      answers_5xx: 0.0
      histograms:
        ttft: {"0.5": 200.0, "1.0": 260.0, "+Inf": 273.0}
        inter_token: {"0.05": 70000.0, "0.1": 80000.0, "+Inf": 81000.0}
      watchdog: {state: busy, reason: "", since: "", out: ""}
      problem: ""
gateway:
  description: >-
    What the gateway of this host has counted by C(BACKEND/SERVER) since its process C(pid) began; null where none is
    installed. C(response_errors) are answers that did not come or could not be read, C(server_aborts) answers that the
    server did not end (one that is reset counts as both), C(client_aborts) clients that left, C(refused) connections
    that were not taken and tried elsewhere.
  returned: success
  type: dict
  sample:
    pid: 4711
    uptime_seconds: 86400
    servers:
      vllm-qwen3.5/a2-1:0:
        answers: 271
        answers_5xx: 0
        response_errors: 0
        server_aborts: 0
        client_aborts: 2
        refused: 0
    problem: ""
problems:
  description: What could not be read, a line each.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._serving.deployed import UnitsError, deployed
from ..module_utils._upgrade.sampler import Sampler


def main() -> None:
    """Take a sample."""
    module = AnsibleModule(
        argument_spec={"timeout": {"type": "float", "default": 10.0}},
        supports_check_mode=True,
    )
    timeout = module.params["timeout"]
    if timeout <= 0:
        module.fail_json(msg="found timeout: %s; needed more than 0 seconds" % timeout)
    try:
        units = deployed()
    except UnitsError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **Sampler(timeout=timeout).take(units))


if __name__ == "__main__":
    main()
