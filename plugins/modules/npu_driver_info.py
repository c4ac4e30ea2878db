#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a change of driver and firmware asks of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: npu_driver_info
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: What is installed, what runs, and what the packages of driver and firmware say of themselves
description:
  - Reads in one call what P(ascend.fleet.driver_plan#filter) needs. That is the node as M(ascend.fleet.npu_info) has
    it, whether modules can be built for each kernel, the address of the BMC, what the host remembers of changes of its
    driver, and the releases that run here or that a rollback goes back to.
  - Reads packages (C(.run)) without running them. Name, header and archive of a package must agree.
  - With O(wanted) it also says whether the host is wholly on these versions and otherwise as O(before).
options:
  root:
    description: Where packages lie. The free space of that file system is measured.
    type: path
    default: /var/lib/ascend-fleet
  packages:
    description:
      - Packages to read, as P(ascend.fleet.driver_packages#filter) returns them. C(file) is where one lies, C(path) its
        name in the release.
    type: list
    elements: dict
    default: []
  wanted:
    description: The versions that must run, by C(driver) and C(firmware). An empty version is no demand.
    type: dict
  before:
    description: What the host was like before, as the plan has it. Empty means that it is not compared.
    type: dict
    default: {}
  wait:
    description:
      - With O(wanted), for how many seconds is looked again until the host is as wanted. A driver may come up long
        after ssh does.
    type: float
    default: 0
  poll:
    description: How many seconds lie between two looks.
    type: float
    default: 5
  timeout:
    description: Deadline of each command on the host, in seconds.
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
    description: Linux servers.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.npu_driver
  - plugin: ascend.fleet.driver_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read what a change of the driver needs
  ascend.fleet.npu_driver_info:
    packages: "{{ (release | ascend.fleet.driver_packages(generation='a2', architecture='aarch64')).packages }}"
  register: about

- name: See whether the host has come back as wanted
  ascend.fleet.npu_driver_info:
    wanted: {driver: 25.5.0, firmware: 25.5.0}
    before: "{{ plan.before }}"
    wait: 300
  register: about
  failed_when: not about.verdict.good
"""

RETURN = r"""
node:
  description: Of the node as RV(ascend.fleet.npu_info#module:node) what a change of the driver needs.
  returned: success
  type: dict
  sample: {hostname: npu-01, architecture: aarch64, kernel: 5.10.0-216.0.0.115.oe2203sp4.aarch64}
packages:
  description: What each package that is there says of itself, or the C(problem) of one that is not whole.
  returned: success
  type: list
  elements: dict
  sample:
    - path: Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.run
      file: /srv/packages/Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.run
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      size_bytes: 268435456
      kind: driver
      product: Ascend-hdk-910b
      generation: a2
      architecture: aarch64
      version: 25.5.0
      package_version: 25.5.0
      release_version: 25.5.0
      label: Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64
      firmware_ranges: [["7.0.0", "7.8.99"]]
state:
  description:
    - What the host remembers of changes of its driver. C(change) is the one that is open, null where none is. As long
      as one is, the host is in maintenance. C(history) tells of the last ones, the newest last.
  returned: success
  type: dict
  sample: {schema: 1, change: null, history: []}
releases:
  description: The releases that run here, are last good or were good before, with their CANN where it is kept.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: qwen3_5_27b_v0, role: running and last good, cann: 8.5.0}
boot_id:
  description: What tells this boot from others.
  returned: success
  type: str
  sample: 0b7e3c0a-7a0e-4a53-9d7e-1f0c6f1b2a11
bmc:
  description: The address of the BMC, as C(ipmitool) tells it. Empty where it does not.
  returned: success
  type: str
  sample: 192.0.2.110
ids:
  description: Who has the ids 1000, which the driver's installer wants for its user and group. Empty is nobody.
  returned: success
  type: dict
  sample: {uid: HwHiAiUser, gid: HwHiAiUser}
verdict:
  description:
    - Whether the host is as wanted. C(problems) say what is not and what to look at, C(notes) what is told beside.
      C(again) is true where another reboot may put it right.
  returned: when O(wanted) is given
  type: dict
  sample: {good: true, problems: [], notes: [], again: false}
"""

import time
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._driver import compare
from ..module_utils._driver import host as driver_host
from ..module_utils._node.host import Host
from ..module_utils._upgrade.state import StateError


def verdict_of(about: dict[str, Any], params: dict[str, Any]) -> Optional[dict[str, Any]]:
    """Whether the host is as wanted; None where that is not asked."""
    if params["wanted"] is None:
        return None
    wanted = {str(kind): str(version or "") for kind, version in params["wanted"].items()}
    found = compare.judge(params["before"], about["node"], wanted)
    return {"good": found.good, "problems": found.problems, "notes": found.notes, "again": found.again}


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Read it, again and again until the host is as wanted or the time is over. StateError."""
    until = time.monotonic() + params["wait"]
    while True:
        about = driver_host.look(Host(timeout=params["timeout"]), root=params["root"])
        verdict = verdict_of(about, params)
        if verdict is None or verdict["good"] or time.monotonic() >= until:
            return about if verdict is None else {**about, "verdict": verdict}
        time.sleep(params["poll"])


def main() -> None:
    """Read it."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/var/lib/ascend-fleet"},
            "packages": {"type": "list", "elements": "dict", "default": []},
            "wanted": {"type": "dict"},
            "before": {"type": "dict", "default": {}},
            "wait": {"type": "float", "default": 0},
            "poll": {"type": "float", "default": 5},
            "timeout": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    try:
        about = look(module.params)
    except StateError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, packages=driver_host.read_packages(module.params["packages"]), **about)


if __name__ == "__main__":
    main()
