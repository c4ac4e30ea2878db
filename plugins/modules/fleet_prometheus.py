#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have Prometheus watch the fleet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_prometheus
short_description: Have Prometheus watch the fleet of the inventory
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Writes what Prometheus is to ask, the alert rules and dashboards for Grafana, from the variables of all hosts, and
    has C(promtool) check them before they are put in place.
  - With O(runs=true) a Prometheus in a unit of its own (C(ascend-fleet-prometheus)) reads them, with a user that exists
    only while it runs. It is reloaded or restarted by what it has read, not by what this run has changed.
  - An action plugin puts the arguments together. From a play it has only O(state) and O(when_missing).
options:
  state:
    description: V(absent) removes it. What Prometheus has recorded stays.
    type: str
    choices: [present, absent]
    default: present
  when_missing:
    description: What to do where a program is not installed. V(report) does nothing and names it in RV(missing).
    type: str
    choices: [fail, report]
    default: fail
  folder:
    description: Where the files lie. Set by the action.
    type: path
    default: /etc/ascend-fleet/monitoring
  files:
    description: Texts by their names below the folder. Set by the action.
    type: dict
    default: {}
  runs:
    description: Whether a Prometheus of ours reads them. Set by the action.
    type: bool
    default: true
  address:
    description: Address and port where it answers. Set by the action.
    type: str
    default: 127.0.0.1:9090
  retention_days:
    description: How long it keeps what it has recorded. Set by the action.
    type: int
    default: 30
  notes:
    description: What is left out, and why. Set by the action.
    type: list
    elements: str
    default: []
attributes:
  action:
    description: The controller puts the arguments together.
    support: full
  check_mode:
    description: Says what would be done. The files are checked all the same, where promtool is installed.
    support: full
  diff_mode:
    description: Shows configuration and rules before and after, without the dashboards.
    support: full
  platform:
    description: Needs systemd.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.fleet_collector
"""

EXAMPLES = r"""
- name: Have Prometheus watch the fleet
  ascend.fleet.fleet_prometheus:

- name: Take it off this host
  ascend.fleet.fleet_prometheus:
    state: absent
"""

RETURN = r"""
steps:
  description: What was done, in this order. In check mode, what would be done.
  returned: success
  type: list
  elements: str
  sample: [write /etc/ascend-fleet/monitoring/rules.yml, reload]
reason:
  description: Why Prometheus was started, restarted or reloaded. Empty where it was not.
  returned: success
  type: str
  sample: it was inactive
missing:
  description: >-
    Programs that are needed and not installed. With O(when_missing=report) nothing was done where there is one.
  returned: success
  type: list
  elements: str
  sample: [prometheus, promtool]
notes:
  description: What is left out of the configuration, and why.
  returned: success
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.files import read_text
from ..module_utils._host.systemd import Systemd, SystemdError
from ..module_utils._monitoring import server

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "when_missing": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
    "folder": {"type": "path", "default": "/etc/ascend-fleet/monitoring"},
    "files": {"type": "dict", "default": {}},
    "runs": {"type": "bool", "default": True},
    "address": {"type": "str", "default": "127.0.0.1:9090"},
    "retention_days": {"type": "int", "default": 30},
    "notes": {"type": "list", "elements": "str", "default": []},
}


def wanted_of(params: dict[str, Any]) -> server.Wanted:
    """What is wanted, from the arguments."""
    return server.Wanted(
        folder=params["folder"],
        files={str(name): str(text) for name, text in params["files"].items()},
        runs=params["runs"],
        address=params["address"],
        retention_days=params["retention_days"],
    )


def diff_of(todo: server.Todo) -> list[dict[str, str]]:
    """Show what is written; dashboards are long, and the collection's own."""
    return [
        {"before_header": path, "after_header": path, "before": read_text(path) or "", "after": text}
        for path, text in sorted(todo.write.items())
        if not path.endswith(".json")
    ]


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    host = server.PrometheusHost(Systemd(timeout=120))
    wanted = wanted_of(params)
    missing: list[str] = []
    try:
        if params["state"] == "absent":
            todo = host.absent(wanted.folder)
        else:
            missing = host.missing(wanted)
            if missing and not module.check_mode:
                if params["when_missing"] == "report":
                    module.exit_json(changed=False, steps=[], reason="", missing=missing, notes=params["notes"])
                raise server.ServerError(
                    "found no program %s; needed it for Prometheus on this host. Fix: set fleet_monitoring_packages to "
                    "packages that have it, or fleet_monitoring_prometheus to files" % " and no ".join(missing)
                )
            host.check(wanted)
            todo = host.plan(wanted)
        diff = diff_of(todo)
        if not module.check_mode:
            host.carry_out(todo)
    except (server.ServerError, SystemdError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or server.NAME, exc.strerror or exc))
    module.exit_json(
        changed=bool(todo.steps),
        steps=todo.steps,
        reason=todo.plan.reason,
        missing=missing,
        notes=params["notes"],
        diff=diff,
    )


if __name__ == "__main__":
    main()
