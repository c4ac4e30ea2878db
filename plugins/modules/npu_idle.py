#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until chips are free."""

from __future__ import annotations

DOCUMENTATION = r"""
module: npu_idle
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Wait until chips are free
description:
  - Waits until the HBM in use of every named chip is at the level of an idle chip. An engine that has ended can hold
    its HBM for a while, and another one that starts meanwhile fails.
  - After the deadline it fails and names who holds each chip.
options:
  chips:
    description: The numbers N of the chips' nodes C(/dev/davinciN).
    type: list
    elements: int
    required: true
  timeout:
    description: How many seconds to wait.
    type: float
    default: 300
  poll:
    description: How many seconds lie between two looks.
    type: float
    default: 2
attributes:
  check_mode:
    description: Looks once and does not wait; chips in use are no failure then.
    support: full
  diff_mode:
    description: Never changes anything.
    support: none
  platform:
    description: Needs npu-smi.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.npu_info
"""

EXAMPLES = r"""
- name: Wait until the chips of a stopped replica are free
  ascend.fleet.npu_idle:
    chips: [0, 1, 2, 3]
"""

RETURN = r"""
busy:
  description: The chips that are not free, each with who holds it.
  returned: always
  type: list
  elements: str
  sample: ["/dev/davinci3: 61440 MB in use, held by container other (pid 4711)"]
elapsed:
  description: Seconds since the wait began.
  returned: always
  type: float
  sample: 2.4
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._node import collect
from ..module_utils._node.host import Host
from ..module_utils._npu.hardware import RESET_SCOPE
from ..module_utils._npu.idle import busy_chips


def main() -> None:
    """Wait."""
    module = AnsibleModule(
        argument_spec={
            "chips": {"type": "list", "elements": "int", "required": True},
            "timeout": {"type": "float", "default": 300},
            "poll": {"type": "float", "default": 2},
        },
        supports_check_mode=True,
    )
    params = module.params
    began = time.monotonic()
    while True:
        # Without a chip there is nothing to ask for.
        devices = (
            collect.collect(Host(timeout=30), gather_subset=["npu", "docker"])["devices"] if params["chips"] else []
        )
        busy = busy_chips(devices, params["chips"])
        elapsed = round(time.monotonic() - began, 1)
        if not busy or module.check_mode:
            module.exit_json(changed=False, busy=busy, elapsed=elapsed)
        if elapsed >= params["timeout"]:
            module.fail_json(
                msg="found chips in use after %d s: %s; needed them free for the next engine. Fix: stop the holder; "
                "where none shows, see `npu-smi info` and dmesg, drain and stop every replica of the host, and reset "
                "the chip with `npu-smi set -t reset` or reboot (%s)" % (elapsed, "; ".join(busy), RESET_SCOPE),
                busy=busy,
                elapsed=elapsed,
            )
        time.sleep(params["poll"])


if __name__ == "__main__":
    main()
