#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan a benchmark."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_bench_info
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: What a benchmark would do on a host, how long it takes, and what it is compared with
description:
  - Reads the deployed replicas, what their containers run, their chips, the client in the image, and former results,
    and returns the plan that M(ascend.fleet.vllm_bench) executes.
  - Everything that keeps a replica from being measured is told at once - a replica that is not there or does not
    serve, a workload that the release does not have, an option that the client does not have, a tokenizer that
    cannot be read.
  - The client of an image is asked once for its version and its options, in a container without cards, and remembered.
options:
  host:
    description: What the inventory calls this host.
    type: str
    required: true
  release:
    description: >-
      The release, as P(ascend.fleet.release#lookup) reads it; C(release), C(images), C(serve) and C(benchmark) of it
      are used.
    type: dict
    required: true
  kind:
    description:
      - V(full) measures the workloads of the release, and compares with the baseline of the same replica under the same
        conditions and with the release's table.
      - V(quick) measures one point of latency and one of load within four minutes, and compares with the last quick
        result of the same replica, whatever image and options it had.
    type: str
    choices: [full, quick]
    default: full
  workloads:
    description: Names of the workloads to measure; by default all of the kind.
    type: list
    elements: str
  replicas:
    description: Numbers of the replicas to measure; by default all of the host.
    type: list
    elements: int
  repeats:
    description: How often each workload is measured. The median counts, and the spread tells the noise.
    type: int
    default: 1
  concurrent:
    description: Whether all replicas of the host are measured at the same time.
    type: bool
    default: false
  traffic:
    description: >-
      V(drain) for replicas that are taken out of traffic while they are measured, V(out) for those that a change has
      taken out, V(serving) for those that stay in it. Results in and out of traffic are not compared.
    type: str
    choices: [drain, out, serving]
    default: drain
  missing:
    description: Whether replicas whose result would be compared with an earlier one already are left out.
    type: bool
    default: false
  client_image:
    description: >-
      The image whose client measures, by ID or tag. By default the replica's own, and with O(kind=quick) the one that
      measured the replica last time, if docker still has it.
    type: str
    default: ''
  renew_baseline:
    description: Whether the results become the baselines of later ones. Without a baseline they do in any case.
    type: bool
    default: false
  warm_ups:
    description: How many requests are asked before those that count, where a workload does not say so itself.
    type: int
    default: 0
  percentiles:
    description: Percentiles of the latencies that the client is asked for, beside those of its table.
    type: list
    elements: int
    default: [95, 99]
  docker_options:
    description: More options of C(docker run) for the client's container.
    type: list
    elements: str
    default: []
  timeout:
    description: Deadline of each external command, in seconds.
    type: float
    default: 30
attributes:
  check_mode:
    description: >-
      Changes nothing. In check mode no image is run - a client that was never asked is taken to know every option, and
      RV(plan.notes) says so.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Needs docker and npu-smi.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_bench
  - module: ascend.fleet.bench_report
"""

EXAMPLES = r"""
- name: Plan the benchmark of the release's workloads
  ascend.fleet.vllm_bench_info:
    host: "{{ inventory_hostname }}"
    release: "{{ lookup('ascend.fleet.release', fleet_release) }}"
  register: bench
"""

RETURN = r"""
plan:
  description: The plan.
  returned: success
  type: dict
  contains:
    host:
      description: O(host).
      type: str
      sample: a2-1
    kind:
      description: O(kind).
      type: str
      sample: full
    groups:
      description: Numbers of the replicas that are measured together, one group after the other.
      type: list
      elements: list
      sample: [[0], [1]]
    runs:
      description: >-
        What is measured, with the options of the client, the conditions, the references, how many seconds it will
        take, and what it is compared with in words.
      type: list
      elements: dict
      sample:
        - replica: 0
          unit: vllm-qwen3.5@0.service
          workload: text_2048_output_2048
          repeats: 1
          seconds: 425.1
          against: its own baseline (run 20261129T184000Z)
          key: 5f0c7c3e1d2b4a69
    seconds:
      description: How many seconds all of it will take; null where a part was never measured.
      type: float
      sample: 850.2
    budget:
      description: How many seconds all workloads of a replica may take together; null where there is no such limit.
      type: int
      sample: 240
    notes:
      description: What is worth knowing, a line each.
      type: list
      elements: str
      sample: []
    units:
      description: The units by number of their replica.
      type: dict
      sample: {"0": vllm-qwen3.5@0.service}
    left_out:
      description: Numbers of replicas that an interrupted benchmark may have left out of traffic, with C(units).
      type: dict
      sample: {replicas: [], units: []}
"""

from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.native import to_native_types
from ..module_utils._bench import client as _client
from ..module_utils._bench import engine, history, workloads
from ..module_utils._bench import plan as _plan
from ..module_utils._host.docker import Docker, DockerError
from ..module_utils._node.collect import collect
from ..module_utils._node.host import Host
from ..module_utils._serving.deployed import UnitsError, deployed


class Planner:
    """Plans for this host."""

    def __init__(self, params: dict[str, Any], *, check: bool) -> None:
        self._params = params
        self._check = check
        self._docker = Docker(timeout=params["timeout"])
        self._release = to_native_types(params["release"])

    def plan(self) -> dict[str, Any]:
        """The plan as data. PlanError with everything that is wrong."""
        params = self._params
        problems: list[str] = []
        chosen: list[dict[str, Any]] = []
        try:
            chosen = workloads.choose(self._release, params["kind"], params["workloads"])
        except workloads.WorkloadError as exc:
            problems.append(str(exc))
        present = deployed()
        try:
            units = _plan.select(present, params["replicas"])
        except _plan.PlanError as exc:
            raise _plan.PlanError([*problems, *exc.problems]) from exc
        marks = engine.marks()
        problems += [
            "%s: found that it is being changed (%s); needed it as it is wanted. Fix: run site.yml to its end first"
            % (unit["name"], marks[unit["name"]])
            for unit in units
            if params["traffic"] != "out" and marks.get(str(unit["name"]), engine.MARK_REASON) != engine.MARK_REASON
        ]
        devices = collect(Host(timeout=params["timeout"]), gather_subset=["npu"]).get("devices") or []
        engines, unread = engine.read(units, devices, self._docker)
        problems += unread
        for found in engines:
            problems += [p for p in (engine.health_problem(found),) if p]
        folders = dict.fromkeys(str(found["weights"] or "") for found in engines)
        problems += [p for p in map(engine.tokenizer_problem, folders) if p]
        if problems:
            raise _plan.PlanError(problems)
        records, notes = history.read()
        clients = self._clients(engines, records, [str(w["name"]) for w in chosen])
        wanted = _plan.Wanted(
            host=params["host"],
            kind=params["kind"],
            workloads=chosen,
            replicas=params["replicas"],
            repeats=params["repeats"],
            at_once=params["concurrent"],
            in_traffic=params["traffic"] == "serving",
            renew=params["renew_baseline"],
            missing=params["missing"],
            warm_ups=params["warm_ups"],
            percentiles=params["percentiles"],
        )
        plan = _plan.plan(wanted, engines, clients, records, self._release)
        plan["notes"] += notes
        left = [unit for unit in present if marks.get(str(unit["name"])) == engine.MARK_REASON]
        plan["left_out"] = {"replicas": [u["replica"] for u in left], "units": [u["name"] for u in left]}
        return plan

    def _clients(
        self, engines: list[dict[str, Any]], records: list[dict[str, Any]], names: list[str]
    ) -> dict[str, _client.Client]:
        """The client for each engine, which gets ``client_image``; by image. One that was not asked yet is asked."""
        clients: dict[str, _client.Client] = {}
        problems: list[str] = []
        for found in engines:
            image_id = self._client_image(found, records, names)
            if image_id is None:
                problems.append(
                    "found no image %s in docker; needed it for its benchmark client. Fix: correct "
                    "vllm_bench_client_image" % self._params["client_image"]
                )
                continue
            found["client_image"] = image_id
            known = clients.get(image_id) or engine.known_client(image_id)
            if known is None and not self._check:
                try:
                    known = engine.ask_client(image_id, found["binds"], self._docker, self._params["docker_options"])
                except _client.ClientError as exc:
                    problems.append(str(exc))
            if known is not None:
                clients[image_id] = known
        if problems:
            raise _plan.PlanError(list(dict.fromkeys(problems)))
        return clients

    def _client_image(self, found: dict[str, Any], records: list[dict[str, Any]], names: list[str]) -> Optional[str]:
        """The ID of the image whose client measures an engine; None where the one that was asked for is not there."""
        wanted = self._params["client_image"]
        if wanted:
            image = self._docker.inspect_image(wanted)
            return str(image["id"]) if image else None
        if self._params["kind"] == workloads.QUICK:
            # One client for both sides of the comparison: the one that measured last time.
            former = [r for r in (history.last_quick(records, found["unit"], name) for name in names) if r]
            last = str(former[0]["client"]["image_id"]) if former else ""
            if last and self._docker.inspect_image(last):
                return last
        return str(found["image_id"])


def main() -> None:
    """Plan."""
    module = AnsibleModule(
        argument_spec={
            "host": {"required": True},
            "release": {"type": "dict", "required": True},
            "kind": {"choices": ["full", "quick"], "default": "full"},
            "workloads": {"type": "list", "elements": "str"},
            "replicas": {"type": "list", "elements": "int"},
            "repeats": {"type": "int", "default": 1},
            "concurrent": {"type": "bool", "default": False},
            "traffic": {"choices": ["drain", "out", "serving"], "default": "drain"},
            "missing": {"type": "bool", "default": False},
            "client_image": {"default": ""},
            "renew_baseline": {"type": "bool", "default": False},
            "warm_ups": {"type": "int", "default": 0},
            "percentiles": {"type": "list", "elements": "int", "default": [95, 99]},
            "docker_options": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 30.0},
        },
        supports_check_mode=True,
    )
    if module.params["repeats"] < 1:
        module.fail_json(msg="found repeats: %d; needed 1 or more" % module.params["repeats"])
    try:
        plan = Planner(module.params, check=module.check_mode).plan()
    except _plan.PlanError as exc:
        module.fail_json(msg=str(exc), problems=exc.problems)
    except (UnitsError, DockerError, history.HistoryError) as exc:
        module.fail_json(msg="found: %s; needed to know what runs and what was measured" % exc)
    module.exit_json(changed=False, plan=plan)


if __name__ == "__main__":
    main()
