#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify what runs, and warm it up."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_verify
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Verify that what runs is what its unit says, and warm it up
description:
  - Compares the running container of each replica with its unit, by the configuration in its label and by docker's
    ID of its image. A replica that answers may be an old engine.
  - Asks each replica for its version at C(/version), and for a few answers of one token. The first requests of an
    engine are slow, and no client should wait for them.
  - Everything that is wrong is told at once.
options:
  replicas:
    description: The replicas. By default every replica that this collection deployed on the host.
    type: list
    elements: dict
    suboptions:
      unit:
        description: The systemd unit.
        type: str
        required: true
      url:
        description: Not used. What the unit itself says holds.
        type: str
      served_model_name:
        description: Likewise.
        type: str
  warm_up_requests:
    description: How often each replica is asked for one token; 0 does not ask.
    type: int
    default: 3
  timeout:
    description: How many seconds each answer may take.
    type: float
    default: 300
  api_key:
    description: The key of the service, if it has one.
    type: str
    default: ''
attributes:
  check_mode:
    description: Verifies and asks as well, because it changes nothing; what is wrong is no failure then.
    support: full
  diff_mode:
    description: Never changes anything.
    support: none
  platform:
    description: Needs docker.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_ready
  - module: ascend.fleet.vllm_probe
"""

EXAMPLES = r"""
- name: Verify every replica and warm it up
  ascend.fleet.vllm_verify:

- name: Only verify one
  ascend.fleet.vllm_verify:
    replicas:
      - unit: vllm-qwen3.5@0.service
    warm_up_requests: 0
"""

RETURN = r"""
replicas:
  description: What was found of each replica.
  returned: always
  type: list
  elements: dict
  sample:
    - unit: vllm-qwen3.5@0.service
      url: http://127.0.0.1:8010
      version: 0.16.0rc2.dev55+g65bb4942b.empty
      seconds: [2.1, 0.08, 0.07]
      problems: []
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.docker import Docker, DockerError
from ..module_utils._serving import proof
from ..module_utils._serving.deployed import UnitsError, deployed


def look(unit: dict[str, Any], containers: list[dict[str, Any]], docker: Docker, params: dict[str, Any]) -> Any:
    """What is found of one replica."""
    image = docker.inspect_image(unit["image"]) if unit["image"] else None
    problem = proof.container_problem(unit, containers, image["id"] if image else None)
    found = {"unit": unit["name"], "url": unit["url"], "version": None, "seconds": [], "problems": []}
    if problem:
        # The answers of another engine tell nothing.
        return dict(found, problems=[problem])
    version, untold = proof.version_of(unit["url"])
    seconds, cold = proof.warm_up(
        unit["url"],
        unit["served_model_name"],
        params["warm_up_requests"],
        timeout=params["timeout"],
        api_key=params["api_key"],
    )
    problems = ["%s: %s" % (unit["name"], p) for p in (untold, cold) if p]
    return dict(found, version=version, seconds=seconds, problems=problems)


def main() -> None:
    """Verify, and warm up."""
    module = AnsibleModule(
        argument_spec={
            "replicas": {
                "type": "list",
                "elements": "dict",
                "options": {"unit": {"required": True}, "url": {}, "served_model_name": {}},
            },
            "warm_up_requests": {"type": "int", "default": 3},
            "timeout": {"type": "float", "default": 300},
            "api_key": {"no_log": True, "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        there = {str(u["name"]): u for u in deployed() if u["url"]}
        names = list(there) if params["replicas"] is None else [r["unit"] for r in params["replicas"]]
        missing = [name for name in names if name not in there]
        if missing:
            words = "found no unit %s; needed it deployed. Fix: run site.yml" % ", ".join(missing)
            module.fail_json(msg=words, replicas=[])
        docker = Docker()
        containers = docker.containers() if names else []
        with ThreadPoolExecutor(max_workers=max(len(names), 1)) as pool:
            replicas = list(pool.map(lambda name: look(there[name], containers, docker, params), names))
    except (UnitsError, DockerError) as exc:
        module.fail_json(msg="found: %s; needed to know what runs" % exc, replicas=[])
    problems = [problem for replica in replicas for problem in replica["problems"]]
    if problems and not module.check_mode:
        module.fail_json(msg="\n".join(problems), replicas=replicas)
    module.exit_json(changed=False, replicas=replicas)


if __name__ == "__main__":
    main()
