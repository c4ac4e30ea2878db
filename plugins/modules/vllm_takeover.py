#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop and rename containers that were started by hand."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_takeover
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Stop and rename containers that were started by hand
description:
  - Waits until the engines in a container have no request left, lets docker not start it again by itself, gives it the
    name C(NAME-before-takeover-YYYYMMDD), ends its engines and stops it. It is never removed.
  - To go back, C(docker rename) gives it its name again and C(docker start) starts it.
  - A container that is stopped and renamed already is left alone.
options:
  containers:
    description: The containers, as a step of M(ascend.fleet.vllm_change) names them in C(take).
    type: list
    elements: dict
    required: true
  timeout:
    description: How many seconds requests may take to end.
    type: float
    default: 900
  cut:
    description:
      - Whether requests that are left then are cut off. Without, the module fails, and the container serves on.
    type: bool
    default: false
  stop_seconds:
    description: How many seconds the engines may take to end, before they are killed with their container.
    type: float
    default: 60
attributes:
  check_mode:
    description: Says what would be stopped and renamed, and does not wait.
    support: full
  diff_mode:
    description: Shows the names.
    support: full
  platform:
    description: Needs docker.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_change
  - plugin: ascend.fleet.started_by_hand
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Stop and rename what was started by hand
  ascend.fleet.vllm_takeover:
    containers: "{{ step.take }}"
"""

RETURN = r"""
msg:
  description: What became of each container, and how it comes back.
  returned: success
  type: str
  sample: >-
    container qwen3.5 is stopped and called qwen3.5-before-takeover-20261129; to go back: docker rename
    qwen3.5-before-takeover-20261129 qwen3.5, and docker start
taken:
  description: >-
    Each container, its new name (none where there is no such container any more) and how many requests were cut off.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: qwen3.5, renamed_to: qwen3.5-before-takeover-20261129, cut: 0, changed: true}
"""

from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.docker import Docker, DockerError
from ..module_utils._serving.deployed import UnitsError
from ..module_utils._serving.takeover import Taker, Waits


def _words(entry: dict[str, Any]) -> str:
    """What became of a container, and how it comes back."""
    if entry["renamed_to"] is None:
        return "container %s is not there any more" % entry["name"]
    return "container %s is stopped and called %s; to go back: docker rename %s %s, and docker start" % (
        entry["name"],
        entry["renamed_to"],
        entry["renamed_to"],
        entry["name"],
    )


def main() -> None:
    """Stop and rename."""
    module = AnsibleModule(
        argument_spec={
            "containers": {"type": "list", "elements": "dict", "required": True},
            "timeout": {"type": "float", "default": 900},
            "cut": {"type": "bool", "default": False},
            "stop_seconds": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    taker = Taker(Docker(), Waits(params["timeout"], params["cut"], params["stop_seconds"]))
    date = datetime.now(timezone.utc).strftime("%Y%m%d")
    taken: list[dict[str, Any]] = []
    try:
        for container in params["containers"]:
            taken.append(taker.take(container, date, check=module.check_mode))
    except DockerError as exc:
        module.fail_json(
            msg="found: %s; needed docker to stop and rename a container. Fix: see `systemctl status docker`" % exc
        )
    except UnitsError as exc:
        module.fail_json(msg=str(exc))
    changed = [t for t in taken if t["changed"]]
    for entry in taken:
        if entry["cut"]:
            module.warn("%d requests of container %s were cut off" % (entry["cut"], entry["name"]))
    module.exit_json(
        changed=bool(changed),
        msg="\n".join(_words(entry) for entry in taken),
        taken=taken,
        diff={
            "before": "".join("%s\n" % t["name"] for t in changed),
            "after": "".join("%s (stopped)\n" % t["renamed_to"] for t in changed),
        },
    )


if __name__ == "__main__":
    main()
