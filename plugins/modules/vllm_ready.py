#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for replicas."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_ready
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Wait until replicas serve, or until they are idle
description:
  - Waits for all replicas of a host at once, with one deadline. A replica is ready when its unit runs, C(/health)
    answers, C(/v1/models) names the model, and a question for one token is answered. An engine may hang behind a server
    whose C(/health) is well.
  - While it waits it follows each replica's journal, knows the stage of the start, and prints a line for each step
    forward where the variable C(fleet_progress) wants lines.
  - A systemd that does not answer is unknown, neither ready nor idle. When that lasts for two minutes the wait fails.
  - It fails at once when a unit ends or is restarted, and when a log has been silent for too long. The message then
    gives the meaning of what the log shows and how to mend it, where that is known, and the last lines of the log.
  - Of an engine that hangs, the evidence is saved on the host below C(/var/lib/ascend-fleet/evidence) (journal, CANN's
    last lines, processes, C(npu-smi info), and stacks where C(py-spy) is installed), and the message names the folder.
  - Replicas that are ready are not waited for.
options:
  replicas:
    description: The replicas to wait for. By default every replica that this collection deployed on the host.
    type: list
    elements: dict
    suboptions:
      unit:
        description: The systemd unit.
        type: str
        required: true
      url:
        description: Where it serves.
        type: str
        required: true
      served_model_name:
        description: The name under which it must serve its model.
        type: str
  numbers:
    description: >-
      Of the replicas that this collection deployed on the host, only those of these numbers. Empty means all.
    type: list
    elements: int
    default: []
  state:
    description: V(ready) waits until all serve; V(idle) waits until none has a request running or waiting.
    type: str
    choices: [ready, idle]
    default: ready
  timeout:
    description: The deadline for all replicas together, in seconds. A start may also wait for its chips meanwhile.
    type: float
    default: 2700
  silence_timeout:
    description: How many seconds a log may be without a new line.
    type: float
    default: 600
  max_restarts:
    description: How often systemd may have restarted a unit before it counts as failed.
    type: int
    default: 0
  first_token_timeout:
    description:
      - How many seconds a replica that is healthy may take for its first token, which may be minutes after a start.
        With V(0) it is not asked, nor is a replica without C(served_model_name).
    type: float
    default: 300
  api_key:
    description: The key of the service, if it has one.
    type: str
    default: ''
  progress:
    description:
      - File on the host into which to write how far the replicas are. The action plugin sets it, and prints a line for
        each step forward, as the variable C(fleet_progress) says.
    type: path
  check_settled:
    description:
      - Look once and return, with RV(settled) saying whether there is anything to wait for. The action plugin uses it.
    type: bool
    default: false
attributes:
  action:
    description: >-
      The controller prints how far the replicas are. The wait itself runs detached on the host, so that a connection
      that is lost for a few minutes does not end it.
    support: full
  async:
    description: Runs detached in any case.
    support: full
  check_mode:
    description: Looks once, does not wait, and asks for no token.
    support: full
  diff_mode:
    description: Never changes anything.
    support: none
  platform:
    description: Needs systemd.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_units
  - module: ascend.fleet.vllm_probe
"""

EXAMPLES = r"""
- name: Wait until every replica of the host serves
  ascend.fleet.vllm_ready:

- name: Wait until no request is left before the host is stopped
  ascend.fleet.vllm_ready:
    state: idle
    timeout: 300
"""

RETURN = r"""
replicas:
  description: What was found.
  returned: always
  type: list
  elements: dict
  sample:
    - unit: vllm-qwen3.5@0.service
      url: http://127.0.0.1:8010
      ready: true
      stage: ready
      percent: null
      text: ready
      seconds: 187.4
      start_seconds: 189.0
      causes: []
elapsed:
  description: Seconds since the wait began.
  returned: success
  type: float
  sample: 187.4
finished:
  description: Whether there is nothing left to wait for.
  returned: always
  type: bool
  sample: true
settled:
  description: Whether one look was enough to see that every replica is as wanted.
  returned: success
  type: bool
  sample: false
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.detached import remove_leftovers
from ..module_utils._base.files import write_atomically
from ..module_utils._host.systemd import NoSystemd, SystemdError
from ..module_utils._serving import ready, stuck
from ..module_utils._serving.deployed import UnitsError, deployed
from ..module_utils._serving.first_token import DEFAULT_SECONDS

SHOWN = ("unit", "url", "ready", "stage", "percent", "seconds", "start_seconds", "requests", "line", "causes")


def shown(watcher: ready.Watcher) -> list[dict[str, Any]]:
    """What is returned, and written while the wait goes on, about each replica."""
    return [{"text": w.text(), **{key: getattr(w, key) for key in SHOWN}} for w in watcher.watches]


def add_evidence(watch: ready.Watch) -> None:
    """Save what helps to find the cause while the engine still hangs, and name the folder in the failure."""
    try:
        folder = stuck.save(watch.unit, watch.hangs)
    except (OSError, UnitsError) as exc:
        folder = "(not saved: %s)" % exc
    if folder:
        watch.failure = "%s\nEvidence: %s" % (watch.failure, folder)


def main() -> None:
    """Wait."""
    module = AnsibleModule(
        argument_spec={
            "replicas": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "unit": {"required": True},
                    "url": {"required": True},
                    "served_model_name": {},
                },
            },
            "numbers": {"type": "list", "elements": "int", "default": []},
            "state": {"choices": ["ready", "idle"], "default": "ready"},
            "timeout": {"type": "float", "default": 2700},
            "silence_timeout": {"type": "float", "default": 600},
            "max_restarts": {"type": "int", "default": 0},
            "first_token_timeout": {"type": "float", "default": DEFAULT_SECONDS},
            "api_key": {"no_log": True, "default": ""},
            "progress": {"type": "path"},
            "check_settled": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    settling, idle = params["check_settled"], params["state"] == "idle"
    if settling:
        remove_leftovers(params["progress"])
    replicas = params["replicas"]
    if replicas is None:
        try:
            wanted = params["numbers"]
            replicas = [
                {"unit": u["name"], **u} for u in deployed() if u["url"] and (not wanted or u["replica"] in wanted)
            ]
        except UnitsError as exc:
            module.fail_json(msg=str(exc), replicas=[], finished=True)
    if not replicas and not idle and not module.check_mode:
        module.fail_json(
            msg="found no replica on this host; needed one. Fix: run site.yml, which deploys them",
            replicas=[],
            finished=True,
        )
    watcher = ready.Watcher(
        [ready.Watch(r["unit"], r["url"].rstrip("/"), r.get("served_model_name")) for r in replicas],
        timeout=params["timeout"],
        silence_timeout=params["silence_timeout"],
        api_key=params["api_key"],
        max_restarts=params["max_restarts"],
        first_token_timeout=0 if module.check_mode else params["first_token_timeout"],
    )

    def report() -> None:
        if params["progress"] and not settling:
            try:
                write_atomically(params["progress"], json.dumps(shown(watcher)), durable=False)
            except OSError:
                pass  # the wait goes on when it cannot be told how far it is

    look = watcher.look_idle if idle else watcher.look_ready
    once = module.check_mode or settling
    try:
        watcher.wait(look, once=once, report=report)
    except SystemdError as exc:
        # One look that says nothing decides nothing: the wait itself looks again.
        if not settling or isinstance(exc, NoSystemd):
            module.fail_json(msg=str(exc), replicas=shown(watcher), finished=True)
    for watch in watcher.watches:
        for note in watch.notes:
            module.warn("%s: %s" % (watch.unit, note))
    for watch in watcher.watches:
        if watch.hangs and not module.check_mode:
            add_evidence(watch)
    if watcher.failures and not module.check_mode:
        module.fail_json(msg="\n\n".join(watcher.failures), replicas=shown(watcher), finished=True)
    module.exit_json(
        changed=False,
        replicas=shown(watcher),
        finished=watcher.finished,
        settled=once and watcher.finished,
        elapsed=round(watcher.elapsed, 1),
    )


if __name__ == "__main__":
    main()
