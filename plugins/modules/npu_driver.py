#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the installer of a driver or firmware package to its end."""

from __future__ import annotations

DOCUMENTATION = r"""
module: npu_driver
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Install a package of driver or firmware, once, and never end the installer
description:
  - Runs the installer of a package (C(.run)) as a transient unit of systemd and follows it. Neither a lost connection
    nor the end of the controller matters to it, and no deadline ends it, since a broken flash is worse than a slow one.
  - The package is read before, without running it. Its SHA-256 must be O(sha256).
  - An installer is started once for each O(run). A later call with the same name follows the one that runs, or tells
    how it ended. What it printed and how it ended lies in C(/var/lib/ascend-fleet/driver/RUN).
  - Exit statuses 0 and 2 are success. After any other one, and where nobody knows how it ended, it is started again
    only with O(retry).
  - What was installed runs after a reboot, which is not done here.
options:
  path:
    description: The package on the host.
    type: path
    required: true
  sha256:
    description: What the package must have, 64 hexadecimal digits.
    type: str
    required: true
  run:
    description: What names this installation on the host, such as C(20261130T061500Z-firmware).
    type: str
    required: true
  arguments:
    description: The options of the installer.
    type: list
    elements: str
    default: [--upgrade, --quiet]
  retry:
    description: Whether an installer that failed, or of which nobody knows how it ended, is started anew.
    type: bool
    default: false
  ask_minutes:
    description:
      - After so many minutes, and again after as many, a warning asks that somebody looks. Nothing is ended.
    type: float
    default: 45
attributes:
  action:
    description: >-
      The controller prints what the installer says. The installer runs detached on the host, and goes on when the
      controller or the connection goes away; the next run follows it.
    support: full
  async:
    description: Is refused, as the work runs detached in any case.
    support: none
  check_mode:
    description: The package is read and compared, nothing is installed.
    support: full
  diff_mode:
    description: Has no difference to show.
    support: none
  platform:
    description: Needs systemd.
    support: full
    platforms: linux
extends_documentation_fragment:
  - ascend.fleet.detached
seealso:
  - module: ascend.fleet.npu_driver_info
  - module: ascend.fleet.npu_driver_state
"""

EXAMPLES = r"""
- name: Install the firmware
  ascend.fleet.npu_driver:
    path: /srv/packages/Ascend-hdk-910b-npu-firmware_7.8.0.5.201.run
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    run: 20261130T061500Z-firmware
"""

RETURN = r"""
exit_code:
  description: What the installer ended with. Null in check mode.
  returned: success
  type: int
  sample: 0
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 192.4
begun:
  description: Whether it was started by this call, or would be.
  returned: success
  type: bool
  sample: true
log:
  description: The file on the host with everything that it has printed.
  returned: always
  type: str
  sample: /var/lib/ascend-fleet/driver/20261130T061500Z-firmware/log
tail:
  description: The last lines of it.
  returned: success
  type: str
  sample: Firmware package installed successfully! The new version takes effect after the system is rebooted.
settled:
  description: Whether nothing is left to be done or waited for.
  returned: always
  type: bool
  sample: true
"""

import json
import time
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.detached import remove_leftovers
from ..module_utils._base.files import write_atomically
from ..module_utils._driver import installer, package
from ..module_utils._upgrade.state import StateError

ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "sha256": {"required": True},
    "run": {"required": True},
    "arguments": {"type": "list", "elements": "str", "default": ["--upgrade", "--quiet"]},
    "retry": {"type": "bool", "default": False},
    "ask_minutes": {"type": "float", "default": 45},
    "progress": {"type": "path"},
    "check_settled": {"type": "bool", "default": False},
}
_LOOK_SECONDS = 1.0


def check_package(params: dict[str, Any]) -> package.Package:
    """The package, which is what was asked for. PackageError, OSError."""
    found = package.read(params["path"])
    if found.sha256 != params["sha256"].lower():
        raise package.PackageError(
            "found %s of sha256 %s; needed %s. Fix: fetch it again, or correct the release"
            % (params["path"], found.sha256, params["sha256"])
        )
    return found


def follow(one: installer.Installation, params: dict[str, Any]) -> installer.Look:
    """Look until it has ended, and write how it stands. Nothing here ends it. InstallerError."""
    written: Optional[str] = None
    while True:
        found = one.look()
        text = json.dumps(
            {
                "state": found.state,
                "percent": found.percent,
                "seconds": round(found.seconds),
                "silent": round(found.silent),
                "pid": found.pid,
                "said": next((line for line in reversed(found.tail.splitlines()) if line.strip()), ""),
                "unit": one.unit,
                "log": one.log,
                "ask_seconds": 60 * params["ask_minutes"],
            }
        )
        if params["progress"] and text != written:
            try:
                write_atomically(params["progress"], text, durable=False)
                written = text
            except OSError:
                pass  # the installer goes on when it cannot be told how far it is
        if found.state not in (installer.STARTING, installer.RUNNING):
            return found
        time.sleep(_LOOK_SECONDS)


def main() -> None:
    """Start it where that was not done, and follow it."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if params["check_settled"]:
        remove_leftovers(params["progress"])
    result: dict[str, Any] = {"changed": False, "begun": False, "settled": True, "exit_code": None, "tail": ""}
    try:
        one = installer.Installation(params["run"])
        result["log"] = one.log
        found = one.look()
        begins = found.state == installer.NONE or (params["retry"] and found.state in (installer.ENDED, installer.CUT))
        begins = begins and not found.done
        if begins:
            check_package(params)
        if begins and (module.check_mode or params["check_settled"]):
            module.exit_json(**{**result, "changed": True, "begun": True, "settled": False, "seconds": 0.0})
        if begins:
            about = {"path": params["path"], "sha256": params["sha256"].lower(), "retry": params["retry"]}
            result["begun"] = one.start(params["path"], params["arguments"], about, retry=params["retry"])
            found = one.look()
        if found.state in (installer.STARTING, installer.RUNNING):
            if module.check_mode or params["check_settled"]:
                module.exit_json(**{**result, "settled": False, "tail": found.tail, "seconds": found.seconds})
            found = follow(one, params)
        if not found.done:
            module.fail_json(msg=one.failure(found), **{**result, "exit_code": found.code, "tail": found.tail})
    except (package.PackageError, installer.InstallerError, StateError) as exc:
        module.fail_json(msg=str(exc), **result)
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or params["path"], exc.strerror or exc), **result)
    result.update(changed=result["begun"], exit_code=found.code, seconds=found.seconds, tail=found.tail)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
