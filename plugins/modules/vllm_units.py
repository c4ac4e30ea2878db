#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The serving units of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_units
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Keep the systemd units that serve a model as they should be
description:
  - Writes the units and environment files that P(ascend.fleet.vllm_replicas#filter) plans, enables and starts them, and
    restarts a unit whose container runs another configuration.
  - What runs is told by a label of the container, not by what an earlier run remembers. A run that was killed at any
    point is completed by the next one.
  - Everything is validated before anything is changed. Names must be free, paths writable, images loaded, and docker
    and systemd must answer. A docker or a systemd that does not answer is an error, not a host without units.
  - Where only the text around the engine's command differs, as after an upgrade of this collection, the unit is
    rewritten and the engine is not restarted. The step is then called C(write unit text).
  - Units, environment files, links and containers of this collection that are not wanted any more are removed, with
    their caches and logs. Whatever does not bear this collection's mark is left alone.
  - Starting returns as soon as the container runs, or after a minute when a unit still waits for its
    chips. Use M(ascend.fleet.vllm_ready) to wait until it serves.
options:
  units:
    description:
      - The wanted units, as P(ascend.fleet.vllm_replicas#filter) returns them.
      - With O(state=started), O(state=stopped) and O(state=absent) only their C(name) matters. With the last two,
        leaving this and O(only) out means every unit of this collection.
    type: list
    elements: dict
  secrets:
    description: Variables for every unit that must not be shown anywhere.
    type: dict
    default: {}
  only:
    description:
      - Names of those of O(units) to bring about now. The others are left alone, and nothing is removed.
    type: list
    elements: str
  state:
    description:
      - V(present) means running as wanted.
      - V(configured) writes and enables without starting or restarting anything.
      - V(started) starts units as they are deployed.
      - V(stopped) keeps the files.
      - V(absent) removes units, environment files, containers, caches and logs.
    type: str
    choices: [present, configured, started, stopped, absent]
    default: present
  enabled:
    description:
      - Whether the units start with the host. With O(state=stopped), V(false) also keeps them from starting at boot.
    type: bool
    default: true
  exclusive:
    description: Whether units of this collection that are not in O(units) are removed.
    type: bool
    default: true
  stop_timeout:
    description: How many seconds stopping may take, and starting where docker has to be started first.
    type: int
    default: 600
attributes:
  action:
    description: The controller prints a line for every unit that is changed or removed, with the steps and the reason.
    support: full
  async:
    description: Not supported by its action.
    support: none
  check_mode:
    description: Tells what it would do without doing it, also on a host without docker. Systemd must answer.
    support: full
  diff_mode:
    description: Shows the text of units and of environment files, in which values of secrets are hidden.
    support: full
  platform:
    description: Needs systemd and docker.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_ready
"""

EXAMPLES = r"""
- name: Serve the release
  ascend.fleet.vllm_units:
    units: "{{ plan.units }}"
    secrets: "{{ plan.secrets }}"

- name: Bring about one replica and leave the others alone
  ascend.fleet.vllm_units:
    units: "{{ plan.units }}"
    secrets: "{{ plan.secrets }}"
    only: [vllm-qwen3.5@1.service]

- name: Stop every replica, also for the next boot
  ascend.fleet.vllm_units:
    state: stopped
    enabled: false

- name: Remove every replica
  ascend.fleet.vllm_units:
    state: absent
"""

RETURN = r"""
units:
  description: What was done with each wanted unit (in check mode, what would be done).
  returned: always
  type: list
  elements: dict
  sample:
    - name: vllm-qwen3.5@0.service
      container_name: vllm-qwen3.5-0
      changed: true
      steps: [write unit, reload systemd, restart]
      reason: its container runs another configuration
removed:
  description: Units that were removed.
  returned: always
  type: list
  elements: str
  sample: [vllm-qwen3.5@2.service]
support_files:
  description:
    - Files that all units use and that were written, or with O(state=absent) removed. They hold what a unit waits for
      before it starts, and what it says in the journal when it has failed for good.
  returned: always
  type: list
  elements: str
  sample: [/etc/ascend-fleet/wait-for-chips.sh]
"""

from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.systemd import SystemdError
from ..module_utils._serving import units as _units
from ..module_utils._serving.deployed import UnitsError
from ..module_utils._serving.settings import ServingError

NEEDED = ("name", "content", "environment", "config_hash", "container_name", "directories", "image")


def chosen(
    units: Optional[list[dict[str, Any]]], only: Optional[list[str]], state: str
) -> Optional[list[dict[str, Any]]]:
    """The units that are meant; where only names matter, names are enough."""
    if only is None:
        return units
    if state in ("present", "configured"):
        return [unit for unit in units or [] if unit.get("name") in only]
    return [{"name": name} for name in only]


def main() -> None:
    """Bring the units about."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "dict"},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "only": {"type": "list", "elements": "str"},
            "state": {"choices": ["present", "configured", "started", "stopped", "absent"], "default": "present"},
            "enabled": {"type": "bool", "default": True},
            "exclusive": {"type": "bool", "default": True},
            "stop_timeout": {"type": "int", "default": 600},
        },
        required_if=[("state", "present", ["units"]), ("state", "configured", ["units"])],
        supports_check_mode=True,
    )
    params = module.params
    units, state = chosen(params["units"], params["only"], params["state"]), params["state"]
    needed = NEEDED if state in ("present", "configured") else ("name",)
    for index, unit in enumerate(units or []):
        missing = [key for key in needed if key not in unit]
        if missing:
            module.fail_json(msg="units[%d]: found no %s; needed: %s" % (index, ", ".join(missing), ", ".join(needed)))
    host = _units.Host(check=module.check_mode, stop_timeout=params["stop_timeout"])
    names = None if units is None else [u["name"] for u in units]
    report: list[dict[str, Any]] = []
    removed: list[str] = []
    support: list[str] = []
    try:
        if state in ("present", "configured"):
            secrets = {k: str(v) for k, v in params["secrets"].items()}
            report, removed, support = host.present(
                units or [],
                secrets,
                start=state == "present",
                enable=params["enabled"],
                exclusive=params["exclusive"] and params["only"] is None,
            )
        elif state == "started":
            report = host.started(names or [])
        elif state == "stopped":
            report = host.stopped(names, disable=not params["enabled"])
        else:
            removed, support = host.absent(names)
    except (UnitsError, SystemdError, ServingError) as exc:
        module.fail_json(msg=str(exc), diff=host.diff)
    changed = bool(removed or support) or any(u["changed"] for u in report)
    module.exit_json(changed=changed, units=report, removed=removed, support_files=support, diff=host.diff)


if __name__ == "__main__":
    main()
