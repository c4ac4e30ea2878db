#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The change of a host's replicas: its plan, and which of them are being changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_change
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Plan in which order the replicas of a host are changed
description:
  - Tells what becomes of every replica of a host. It is kept, started, replaced or removed, each with the reason.
  - Puts the replicas that are not kept in steps, so that never more of those in service are out than
    O(max_unavailable). Replicas that need chips, ports or container names of each other are taken together, and the
    step says so.
  - With O(state=planned) nothing is changed. Everything is validated as M(ascend.fleet.vllm_units) does before it acts.
  - V(begun) and V(done) keep the marks of replicas that are being changed. What an earlier run has begun and not ended
    has a step of its own in the plan, and comes before others are taken out.
options:
  state:
    description:
      - V(planned) returns the plan.
      - V(begun) notes that the replicas in O(names) are being changed.
      - V(done) forgets it.
    type: str
    choices: [planned, begun, done]
    default: planned
  units:
    description:
      - The wanted units, as P(ascend.fleet.vllm_replicas#filter) returns them.
      - Without them the plan is to restart the replicas as they are deployed.
    type: list
    elements: dict
  secrets:
    description: Variables for every unit that must not be shown anywhere.
    type: dict
    default: {}
  restart:
    description:
      - Without O(units), the numbers of the replicas to restart. Leaving it out means all of them.
    type: list
    elements: int
  answers:
    description:
      - Instead of O(restart), the answers of M(ascend.fleet.vllm_probe). The replicas with a wrong one are restarted.
    type: list
    elements: dict
  reason:
    description: Why replicas are restarted or marked. It stands in the plan and in the marks.
    type: str
    default: asked for
  max_unavailable:
    description:
      - How many replicas of the host may be out at a time, or a percentage of them, which is rounded down. It is at
        least one.
    type: str
    default: '1'
  traffic:
    description:
      - The servers of the host as M(ascend.fleet.vllm_traffic) returns them. What an operator has taken out of traffic
        counts as out, and stays out.
    type: list
    elements: dict
    default: []
  by_hand:
    description:
      - With O(units), containers that were started by hand, as P(ascend.fleet.started_by_hand#filter) returns them.
        Those that stand in the way are taken over. Replicas on free chips are started beside them first, then they are
        stopped and renamed, and the other replicas take their place.
    type: list
    elements: dict
    default: []
  beside:
    description: Whether replicas are started beside a container that was started by hand. The driver may refuse it.
    type: bool
    default: true
  start_seconds:
    description: How many seconds a start may take at most. An outage that cannot be avoided is told with it.
    type: int
    default: 2700
  show:
    description: Whether a line is printed for each replica and each step of a plan that changes something.
    type: bool
    default: true
  names:
    description: The units to mark, or to unmark.
    type: list
    elements: str
    default: []
  ready:
    description:
      - With O(state=done), C(replicas) as M(ascend.fleet.vllm_ready) returns them. How long each has taken to start
        stands in RV(times) then.
    type: list
    elements: dict
    default: []
attributes:
  action:
    description: The controller prints the plan, a line for each replica and each step.
    support: full
  async:
    description: Not supported by its action.
    support: none
  check_mode:
    description: A plan changes nothing in any mode. Marks are not written.
    support: full
  diff_mode:
    description: The reasons stand in the plan. M(ascend.fleet.vllm_units) shows what differs.
    support: none
  platform:
    description: Needs systemd and docker.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_units
  - module: ascend.fleet.vllm_traffic
"""

EXAMPLES = r"""
- name: See what becomes of the replicas
  ascend.fleet.vllm_change:
    units: "{{ plan.units }}"
    secrets: "{{ plan.secrets }}"
    max_unavailable: "50%"

- name: Plan a restart of replica 1
  ascend.fleet.vllm_change:
    restart: [1]

- name: Note that replica 1 is being changed
  ascend.fleet.vllm_change:
    state: begun
    names: [vllm-qwen3.5@1.service]
"""

RETURN = r"""
plan:
  description: What becomes of the replicas, and in which steps.
  returned: when O(state=planned)
  type: dict
  contains:
    replicas:
      description: Every replica with what becomes of it and why.
      type: list
      elements: dict
      sample:
        - unit: vllm-qwen3.5@0.service
          replica: 0
          action: replace
          reason: its container runs another configuration
          in_service: true
    steps:
      description: >-
        What each step takes out, stops, removes, starts, proves and puts back; the containers that it takes over; the
        chips that must be free before; whether a replica is new, gone, or on another port afterwards; and whether
        replicas start beside a privileged container, which the driver may refuse.
      type: list
      elements: dict
      sample:
        - number: 1
          text: replace vllm-qwen3.5@0
          note: ''
          out: [0]
          stop: [vllm-qwen3.5@0.service]
          remove: []
          start: [vllm-qwen3.5@0.service]
          prove:
            - {unit: vllm-qwen3.5@0.service, url: "http://127.0.0.1:8010", served_model_name: qwen3.5}
          back: [0]
          chips: [0, 1, 2, 3]
          moved: false
          take: []
          standing_in: []
          beside: false
    rolling:
      description: Whether the steps are taken one after the other. Where nothing is in service, all starts at once.
      type: bool
      sample: true
    max_unavailable:
      description: How many replicas may be out.
      type: int
      sample: 1
    in_service:
      description: How many replicas are in service now.
      type: int
      sample: 2
    out_at_once:
      description: The most replicas in service that any step takes out.
      type: int
      sample: 1
    least_in_service:
      description: How many replicas are in service at the worst moment. What a step has started serves in the next one.
      type: int
      sample: 1
    outages:
      description: Why clients find nobody meanwhile, or are refused.
      type: list
      elements: str
      sample: []
    kept:
      description: The units that are neither started nor stopped.
      type: list
      elements: str
      sample: [vllm-qwen3.5@1.service]
    kept_replicas:
      description: The replicas that go on without a step, as M(ascend.fleet.vllm_ready) takes them.
      type: list
      elements: dict
      sample:
        - {unit: vllm-qwen3.5@1.service, url: "http://127.0.0.1:8011", served_model_name: qwen3.5}
    unproven_replicas:
      description: Likewise, those that an earlier run has begun to change and not ended.
      type: list
      elements: dict
      sample: []
    unproven_numbers:
      description: The numbers of these.
      type: list
      elements: int
      sample: []
    starting:
      description: The units that are started or replaced, and those that an earlier run has begun to change.
      type: list
      elements: str
      sample: [vllm-qwen3.5@0.service]
    starting_replicas:
      description: These, as M(ascend.fleet.vllm_ready) takes them.
      type: list
      elements: dict
      sample:
        - {unit: vllm-qwen3.5@0.service, url: "http://127.0.0.1:8010", served_model_name: qwen3.5}
    starting_numbers:
      description: The numbers of these.
      type: list
      elements: int
      sample: [0]
    marked:
      description: The units that are marked as being changed.
      type: list
      elements: str
      sample: []
    served_model_names:
      description: The models that the host serves, or is to serve.
      type: list
      elements: str
      sample: [qwen3.5]
lease:
  description: >-
    Who holds the fleet for a change, as RV(ascend.fleet.fleet_state_info#module:lease); null where nobody does.
    M(ascend.fleet.fleet_waves) refuses to change the host beside somebody else's.
  returned: when O(state=planned)
  type: dict
  sample: null
times:
  description:
    - By unit, for how many seconds it was marked as being changed (C(out_seconds)), and how long its engine took to
      start (C(start_seconds)). What is not known is left out.
  returned: when O(state=done)
  type: dict
  sample:
    vllm-qwen3.5@1.service: {out_seconds: 412.0, start_seconds: 371.5}
names:
  description: The units that were marked or unmarked.
  returned: when O(state=begun) or O(state=done)
  type: list
  elements: str
  sample: [vllm-qwen3.5@1.service]
"""

import time
from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host import by_hand
from ..module_utils._host.systemd import SystemdError
from ..module_utils._serving import change_plan, changes, takeover
from ..module_utils._serving import units as _units
from ..module_utils._serving.deployed import UNIT_NAME, UnitsError, deployed
from ..module_utils._serving.plan import endpoints
from ..module_utils._serving.settings import ServingError
from ..module_utils._upgrade import lease

#: Where a replica serves, beside its unit.
_ENDPOINT = ("url", "served_model_name")


def plan(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """The plan as data."""
    host = _units.Host(check=check)
    present = deployed()
    marked = changes.marked()
    traffic = changes.Known.read(params["traffic"], marked)
    known = changes.Changes(traffic)
    wanted = params["units"]
    taken: list[dict[str, Any]] = []
    takes: list[change_plan.Change] = []
    outages: list[str] = []
    if wanted is None:
        about = host.look([str(u["name"]) for u in present])
        numbers = params["restart"]
        if params["answers"] is not None:
            numbers = changes.wrong_replicas(params["answers"], present)
        found = known.restart(present, about, numbers, params["reason"])
        count = len(present)
    else:
        secrets = {k: str(v) for k, v in params["secrets"].items()}
        names = {str(u["container_name"]) for u in wanted}
        taken = [c for c in params["by_hand"] if by_hand.concerns(c, names)]
        leaving = {str(c["name"]) for c in taken}
        whole = host.plan(wanted, secrets, start=True, enable=True, exclusive=True, leaving=leaving)
        found = known.wanted(whole, {str(u["name"]): u for u in present})
        outages = changes.key_outages(whole, found)
        takes = [takeover.change_of(c, wanted, traffic, beside=params["beside"]) for c in taken]
        found += takes
        count = len(wanted)
    limit = change_plan.limit_of(params["max_unavailable"], count)
    described = change_plan.describe(found, change_plan.steps_of(found, limit), limit)
    described_by = {str(u["name"]): u for u in [*present, *(wanted or [])]}
    for step in described["steps"]:
        step["prove"] = _endpoints(step["prove"], described_by)
        ports = {str(u["name"]): u["port"] for u in present}
        step["moved"] = bool(step["remove"]) or any(ports.get(n) != described_by[n]["port"] for n in step["start"])
        step["chips"] = sorted({chip for name in step["start"] for chip in described_by[name].get("indices") or ()})
    _add_takeover(described, taken, wanted or [])
    described["outages"] = outages + [
        takeover.outage(c, wanted, params["start_seconds"])
        for c, change in zip(taken, takes)
        if change.in_service and not takeover.is_behind_gateway(c, wanted, params["traffic"])
    ]
    described["kept"] = [c.unit for c in found if c.action == change_plan.KEEP]
    described["kept_replicas"] = _endpoints([c.unit for c in found if not c.touched], described_by)
    described["unproven_replicas"] = _endpoints(described.pop("unproven"), described_by)
    described["unproven_numbers"] = sorted(c.replica for c in found if c.unproven and c.replica is not None)
    described["starting_replicas"] = _endpoints(described["starting"], described_by)
    starting = set(described["starting"])
    described["starting_numbers"] = sorted(c.replica for c in found if c.unit in starting and c.replica is not None)
    described["marked"] = marked
    described["served_model_names"] = sorted({str(u["served_model_name"]) for u in wanted or present})
    return described


def _add_takeover(described: dict[str, Any], taken: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """Add to each step the containers that it takes over, and what stands in for replicas of later steps."""
    left = {"container %s" % c["name"]: c for c in taken}
    for step in described["steps"]:
        step["take"] = [left.pop(name) for name in step["take"]]
        step["standing_in"] = endpoints(takeover.standing_in(list(left.values()), wanted))
        step["beside"] = bool(step["start"]) and any(c["live"] and c["privileged"] for c in left.values())


def _endpoints(names: list[str], about: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Where these units serve, as the modules that ask them take it."""
    return [dict({key: about[name][key] for key in _ENDPOINT}, unit=name) for name in names]


def times_of(names: list[str], ready: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How long each of these units was being changed, and how long its engine took to start."""
    found: dict[str, dict[str, float]] = {
        name: {"out_seconds": round(seconds, 1)}
        for name, seconds in changes.seconds_out(names, datetime.now(timezone.utc)).items()
    }
    for replica in ready:
        name = str(replica.get("unit"))
        if name in names and replica.get("start_seconds") is not None:
            found.setdefault(name, {})["start_seconds"] = round(float(replica["start_seconds"]), 1)
    return found


def main() -> None:
    """Plan, or keep the marks."""
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["planned", "begun", "done"], "default": "planned"},
            "units": {"type": "list", "elements": "dict"},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "restart": {"type": "list", "elements": "int"},
            "answers": {"type": "list", "elements": "dict"},
            "reason": {"default": "asked for"},
            "max_unavailable": {"default": "1"},
            "traffic": {"type": "list", "elements": "dict", "default": []},
            "by_hand": {"type": "list", "elements": "dict", "default": []},
            "beside": {"type": "bool", "default": True},
            "start_seconds": {"type": "int", "default": 2700},
            "show": {"type": "bool", "default": True},
            "names": {"type": "list", "elements": "str", "default": []},
            "ready": {"type": "list", "elements": "dict", "default": []},
        },
        mutually_exclusive=[("units", "restart", "answers")],
        supports_check_mode=True,
    )
    params = module.params
    state, names = params["state"], params["names"]
    strange = [name for name in names if not UNIT_NAME.match(name) or "/" in name]
    if strange:
        module.fail_json(msg="found the unit name %s; needed vllm-MODEL@NUMBER.service" % ", ".join(strange))
    times: dict[str, dict[str, float]] = {}
    try:
        if state == "planned":
            held = lease.described(lease.read(), time.time())
            module.exit_json(changed=False, plan=plan(params, check=module.check_mode), lease=held)
        if state == "done":
            times = times_of(names, params["ready"])
        if module.check_mode:
            noted = set(changes.marked())
            touched = [name for name in names if (name in noted) == (state == "done")]
        elif state == "begun":
            since = datetime.now(timezone.utc).isoformat(timespec="seconds")
            touched = changes.mark(names, {"reason": params["reason"], "since": since})
        else:
            touched = changes.unmark(names)
    except (UnitsError, SystemdError, ServingError, lease.LeaseError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=bool(touched), names=touched, **({"times": times} if state == "done" else {}))


if __name__ == "__main__":
    main()
