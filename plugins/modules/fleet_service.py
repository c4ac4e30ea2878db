#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_service
short_description: Have a small service run with the configuration that is wanted
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Writes a service's configuration and systemd unit, enables and starts it. It runs with a user that exists only while
    it runs, without capabilities, and may write nothing.
  - Whether it is restarted is decided by what the running process has read, not by what this run has changed. A run
    that was killed between writing and restarting is thus completed by the next one.
  - For the mirror's server and tracker, of the role C(artifact_mirror).
options:
  name:
    description: Name of the unit, without C(.service).
    type: str
    required: true
  description:
    description: What the unit says it is.
    type: str
    required: true
  command:
    description: Command of the service. It must stay in the foreground.
    type: str
    required: true
  files:
    description: Text of configuration files by their absolute paths, mode 0644. A change restarts the service.
    type: dict
    default: {}
  reads:
    description:
      - Other files that the service reads when it starts, such as a certificate. A change restarts the service.
    type: list
    elements: path
    default: []
  rereads:
    description: Files that the service reads again when it gets the signal HUP. A change sends it.
    type: list
    elements: path
    default: []
  settings:
    description: More lines for the section C(Service) of the unit.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Shows the unit and the configuration before and after.
    support: full
  platform:
    description: Needs systemd.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: Serve a folder
  ascend.fleet.fleet_service:
    name: ascend-fleet-mirror
    description: Artifact mirror of ascend.fleet
    command: /usr/sbin/nginx -c /etc/ascend-fleet/mirror-nginx.conf
    files:
      /etc/ascend-fleet/mirror-nginx.conf: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
"""

RETURN = r"""
steps:
  description: What was done, in this order. In check mode, what would be done.
  returned: always
  type: list
  elements: str
  sample: [write /etc/ascend-fleet/mirror-nginx.conf, restart]
reason:
  description: Why it was started, restarted or told to read again. Empty where it was not.
  returned: always
  type: str
  sample: it has not read /etc/ascend-fleet/mirror-nginx.conf as it is
"""

import os
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host import service as _service
from ..module_utils._host.systemd import Systemd, SystemdError

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str", "required": True},
    "command": {"type": "str", "required": True},
    "files": {"type": "dict", "default": {}},
    "reads": {"type": "list", "elements": "path", "default": []},
    "rereads": {"type": "list", "elements": "path", "default": []},
    "settings": {"type": "list", "elements": "str", "default": []},
}


def diff_of(service: _service.Service, present: _service.Present, plan: _service.Plan) -> list[dict[str, str]]:
    """Show what is written."""
    texts: list[tuple[str, Optional[str], str]] = [
        (path, present.files[path], service.files[path]) for path in plan.write
    ]
    if plan.write_unit:
        path = os.path.join(_service.UNIT_DIR, service.unit)
        texts.append((path, present.unit, _service.unit_text(service)))
    return [
        {"before_header": path, "after_header": path, "before": before or "", "after": after}
        for path, before, after in texts
    ]


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    service = _service.Service(
        name=params["name"],
        description=params["description"],
        command=params["command"],
        files={str(path): str(text) for path, text in params["files"].items()},
        reads=params["reads"],
        rereads=params["rereads"],
        settings=params["settings"],
    )
    host = _service.ServiceHost(Systemd(timeout=120))
    try:
        present = host.present(service)
        plan = host.plan(service, present)
        if not module.check_mode:
            host.carry_out(service, plan)
    except SystemdError as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or service.unit, exc.strerror or exc))
    module.exit_json(
        changed=bool(plan.steps), steps=plan.steps, reason=plan.reason, diff=diff_of(service, present, plan)
    )


if __name__ == "__main__":
    main()
