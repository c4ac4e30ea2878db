#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take replicas out of traffic at a gateway, and put them back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_traffic
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Take replicas out of traffic at a gateway, put them back, and say who did it
description:
  - Runs on a gateway. A replica that is out gets no new request; those that it has are not touched.
  - Beside the gateway it notes who drained what, why, and since when. A drain without a note was made by hand on the
    gateway's socket and counts as the operator's.
  - What the watchdog of a host keeps out is no drain. It is returned with the owner C(watchdog) and comes back by
    itself.
  - V(in) undoes only what the same O(owner) has done. What another owner keeps out stays out and is returned as such.
    What the operator drains while a change has it out becomes the operator's.
  - For a change V(in) ends when the gateway's checks are content with the replica and requests go to it, so that the
    next one can be taken out. It fails after two minutes.
  - After a change the state of all servers is saved where the gateway reads it at its next start. A drain that was
    undone by hand is forgotten.
  - A gateway that does not answer is an error. A host on which no gateway was ever installed holds no traffic back,
    and RV(installed) says so.
options:
  state:
    description:
      - V(out) drains, V(in) undoes that, V(query) only tells.
      - V(restore) drains again whatever the notes name. For a gateway that was started without its own state; the unit
        that the role C(vllm_gateway) writes does so by itself.
      - V(idle) waits until no request is left at the replicas, or fails after O(timeout) and names what is left.
    type: str
    choices: [in, out, query, restore, idle]
    required: true
  replicas:
    description:
      - The replicas. An entry is a number (of O(host)), C(HOST:NUMBER), C(HOST) for all of a host, or a mapping with
        C(host) and C(replica).
      - Empty means all of O(host), and without O(host) all that the gateway knows.
    type: list
    elements: raw
    default: []
  host:
    description: The host of the replicas that are given by number, as the inventory names it.
    type: str
    default: ''
  backend:
    description: Only servers of this backend. Empty means of every one.
    type: str
    default: ''
  owner:
    description: For whom this is done.
    type: str
    choices: [change, operator]
    default: operator
  by:
    description: Who does it, for people. Empty means the user of the controller.
    type: str
    default: ''
  reason:
    description: Why, for people.
    type: str
    default: ''
  last:
    description: Whether V(out) may take the last replica out that a backend has in service.
    type: str
    choices: [allow, refuse]
    default: allow
  absent:
    description: What to do about a replica that the gateway does not have.
    type: str
    choices: [fail, ignore]
    default: fail
  driver:
    description:
      - V(haproxy) speaks to the gateway.
      - V(external) only keeps the notes, on the host of the replicas itself. Whatever is in front of them is told by
        somebody else; with check mode this module says beforehand which replicas that must do.
    type: str
    choices: [haproxy, external]
    default: haproxy
  timeout:
    description: How many seconds V(idle) waits.
    type: float
    default: 900
  socket:
    description: The gateway's runtime socket.
    type: path
    default: /run/ascend-fleet-gateway/admin.sock
  config:
    description: The gateway's configuration. Where it does not exist there is no gateway.
    type: path
    default: /etc/ascend-fleet/gateway/haproxy.cfg
  records:
    description:
      - Where the notes are kept.
      - By default C(/var/lib/ascend-fleet/gateway/drains.json), and C(/var/lib/ascend-fleet/traffic/drains.json) with
        the driver V(external).
    type: path
  state_file:
    description: Where the state of the servers is saved.
    type: path
    default: /var/lib/ascend-fleet/gateway/servers.state
  progress:
    description: File into which to write what V(idle) waits for. The action plugin sets it and prints lines.
    type: path
  check_settled:
    description: >-
      Look once and return, with RV(settled) saying whether there is anything to wait for. The action plugin uses it.
    type: bool
    default: false
attributes:
  action:
    description: >-
      With V(idle) the controller prints what is left; the wait itself runs detached on the gateway. With V(out) it
      fills O(by).
    support: full
  async:
    description: V(idle) runs detached in any case.
    support: full
  check_mode:
    description: Changes nothing and returns what would be. V(idle) looks once and does not wait.
    support: full
  diff_mode:
    description: Shows the servers that change.
    support: full
  platform:
    description: Needs HAProxy 2.6 or later, or the driver V(external).
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_ready
  - module: ascend.fleet.vllm_status
"""

EXAMPLES = r"""
- name: Take a host out of traffic at every gateway
  ascend.fleet.vllm_traffic:
    state: out
    host: "{{ inventory_hostname }}"
    reason: exchange of a fan
  delegate_to: "{{ item }}"
  loop: "{{ groups['gateways'] }}"

- name: Put two replicas of it back
  ascend.fleet.vllm_traffic:
    state: in
    replicas: ["a2-1:0", "a2-1:1"]
  delegate_to: gw-1

- name: Drain again what the gateway has forgotten
  ascend.fleet.vllm_traffic:
    state: restore
"""

RETURN = r"""
servers:
  description: What was asked for, with what holds afterwards.
  returned: success
  type: list
  elements: dict
  sample:
    - backend: vllm-qwen3.5
      server: a2-1:0
      host: a2-1
      replica: 0
      admin_state: drain
      status: UP
      sessions: 3
      queued: 0
      owner: operator
      drained_by: alice
      reason: exchange of a fan
      since: "2026-11-24T21:58:23Z"
      changed: true
missing:
  description: Replicas that the gateway does not have.
  returned: success
  type: list
  elements: str
  sample: []
installed:
  description: Whether there is a gateway on this host.
  returned: success
  type: bool
  sample: true
settled:
  description: Whether no request is left. Only with O(state=idle).
  returned: success
  type: bool
  sample: true
elapsed:
  description: How many seconds O(state=idle) has waited.
  returned: success
  type: float
  sample: 12.1
"""

import json
import os
import time
from contextlib import contextmanager
from typing import Any, Iterator

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.detached import remove_leftovers
from ..module_utils._base.files import write_atomically
from ..module_utils._base.locks import awaited_lock
from ..module_utils._host import haproxy
from ..module_utils._serving import traffic
from ..module_utils._serving.deployed import UnitsError, deployed, read_text

EXTERNAL_RECORDS = "/var/lib/ascend-fleet/traffic/drains.json"
#: So many servers are named in an error.
SHOWN = 16
_LOCK_SECONDS = 60.0
_POLL_SECONDS = 2.0
#: So long a gateway may take until its checks are content with a replica that a change has put back, and the watchdog
#: has seen it answer.
_IN_SERVICE_SECONDS = 120.0


class Gateway:
    """The gateway of this host: its servers and its notes."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.client = haproxy.Haproxy(params["socket"])
        self.records_path: str = params["records"] or haproxy.DRAIN_RECORDS
        self._config = params["config"]
        self._state_file = params["state_file"]

    def servers(self, records: dict[str, dict[str, str]]) -> list[haproxy.Server]:
        """Every server. HaproxyError where a gateway that is installed does not answer."""
        return self.client.servers()

    def is_installed(self) -> bool:
        """Whether there is a gateway on this host: one that runs, or one that only does not."""
        return os.path.exists(self._config) or os.path.exists(self.client.path)

    def apply(self, decisions: list[traffic.Decision]) -> None:
        """Tell the gateway, and have it remember that over a restart."""
        told = [d for d in decisions if d.command]
        for decision in told:
            self.client.set_state(decision.server.backend, decision.server.name, str(decision.command))
        if told:
            self.client.save_state(self._state_file)

    def wait_in_service(self, request: traffic.Request) -> None:
        """Wait until requests go to what was put back: the next replica would otherwise be out at the same time."""
        until = time.monotonic() + _IN_SERVICE_SECONDS
        while True:
            chosen, _missing = traffic.select(self.client.servers(), request)
            down = [s for s in chosen if s.admin_state == "ready" and not traffic.in_service(s)]
            if not down:
                return
            if time.monotonic() >= until:
                raise traffic.TrafficError(
                    "found %s not in service at this gateway %d s after it was put back; needed its checks of /health "
                    "and of the model's name to succeed. Fix: see whether the gateway reaches that address and port"
                    % (", ".join("%s %s" % (s.name, s.status) for s in down), _IN_SERVICE_SECONDS)
                )
            time.sleep(0.5)


class External(Gateway):
    """Something that we cannot ask: the replicas are those of this host, and the notes are all that is known."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(params)
        self.records_path = params["records"] or EXTERNAL_RECORDS
        self._host = params["host"]

    def servers(self, records: dict[str, dict[str, str]]) -> list[haproxy.Server]:
        found = []
        for unit in deployed():
            backend, name = "vllm-%s" % unit["served_model_name"], "%s:%s" % (self._host, unit["replica"])
            state = "drain" if "%s/%s" % (backend, name) in records else "ready"
            found.append(haproxy.Server(backend, name, "127.0.0.1", unit["port"], state, True, "unknown"))
        return found

    def is_installed(self) -> bool:
        return True

    def apply(self, decisions: list[traffic.Decision]) -> None:
        """Nothing to tell: the notes follow."""

    def wait_in_service(self, request: traffic.Request) -> None:
        """Nobody to ask."""


def read_records(path: str) -> dict[str, dict[str, str]]:
    """The notes; none where there is no file."""
    return traffic.parse_records(read_text(path) or "", path)


@contextmanager
def locked(path: str, check: bool) -> Iterator[None]:
    """Hold the lock of the notes: several hosts may be taken out at a time. Check mode needs none."""
    if check:
        yield
        return
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with awaited_lock(path + ".lock", _LOCK_SECONDS) as held:
        if not held:
            raise traffic.TrafficError(
                "found %s.lock held by another process for %d s; needed it. Fix: see who holds it with `fuser -v "
                "%s.lock`" % (path, _LOCK_SECONDS, path)
            )
        yield


def change(gateway: Gateway, request: traffic.Request, params: dict[str, Any], check: bool) -> dict[str, Any]:
    """Decide, note, tell, and return what then holds."""
    path = gateway.records_path
    with locked(path, check or request.state == "query"):
        records = read_records(path)
        servers = gateway.servers(records)
        _chosen, missing = traffic.select(servers, request)
        if missing and params["absent"] == "fail" and request.state in ("in", "out"):
            known = ", ".join([s.key for s in servers][:SHOWN]) or "none"
            known += ", …" if len(servers) > SHOWN else ""
            where = "deployed on this host" if params["driver"] == "external" else "at this gateway"
            fix = "run site.yml" if params["driver"] == "external" else "run gateway.yml, which tells it of new ones"
            raise traffic.TrafficError(
                "found no %s %s (there is: %s); needed it. Fix: name one that is there, or %s"
                % (", ".join(missing), where, known, fix)
            )
        decisions = traffic.decide(servers, records, request, now=time.time())
        after = traffic.remaining(records, servers, decisions)
        if request.state != "query" and not check:
            # A note comes before its drain and goes after it: a drain without a note would count as made by hand.
            before = {**records, **after}
            if before != records:
                write_atomically(path, traffic.dump_records(before), 0o600)
            gateway.apply(decisions)
            if after != before:
                write_atomically(path, traffic.dump_records(after), 0o600)
    if request.state == "in" and request.owner == "change" and not check:
        gateway.wait_in_service(request)
    return {
        "changed": any(d.changed for d in decisions),
        "servers": [traffic.entry(d) for d in decisions],
        "missing": missing,
        "diff": {
            "before": traffic.diff_lines(decisions, records, after=False),
            "after": traffic.diff_lines(decisions, records, after=True),
        },
    }


def wait(gateway: Gateway, request: traffic.Request, params: dict[str, Any], once: bool) -> dict[str, Any]:
    """Wait until no request is left at the servers; TrafficError when that takes too long."""
    began = time.monotonic()
    while True:
        records = read_records(gateway.records_path)
        servers, missing = traffic.select(gateway.servers(records), request)
        left = traffic.left(servers)
        elapsed = time.monotonic() - began
        decisions = traffic.decide(servers, records, request, now=0.0)
        if once or not left:
            return {
                "changed": False,
                "servers": [traffic.entry(d) for d in decisions],
                "missing": missing,
                "settled": not left,
                "elapsed": round(elapsed, 1),
            }
        if elapsed >= params["timeout"]:
            raise traffic.TrafficError(
                "found requests left at the gateway after %d s (%s); needed none. Fix: wait longer "
                "(vllm_serve_drain_timeout_seconds), or end them; nothing was stopped"
                % (elapsed, traffic.load_text(left))
            )
        if params["progress"]:
            try:
                told = {"text": traffic.load_text(left), "seconds": round(elapsed, 1)}
                write_atomically(params["progress"], json.dumps(told), durable=False)
            except OSError:
                pass  # the wait goes on when it cannot be told what is left
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """Take out, put back, tell or wait."""
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": list(traffic.STATES), "required": True},
            "replicas": {"type": "list", "elements": "raw", "default": []},
            "host": {"default": ""},
            "backend": {"default": ""},
            "owner": {"choices": ["change", "operator"], "default": "operator"},
            "by": {"default": ""},
            "reason": {"default": ""},
            "last": {"choices": ["allow", "refuse"], "default": "allow"},
            "absent": {"choices": ["fail", "ignore"], "default": "fail"},
            "driver": {"choices": ["haproxy", "external"], "default": "haproxy"},
            "timeout": {"type": "float", "default": 900},
            "socket": {"type": "path", "default": haproxy.ADMIN_SOCKET},
            "config": {"type": "path", "default": "/etc/ascend-fleet/gateway/haproxy.cfg"},
            "records": {"type": "path"},
            "state_file": {"type": "path", "default": haproxy.STATE_FILE},
            "progress": {"type": "path"},
            "check_settled": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
        required_if=[("driver", "external", ("host",))],
    )
    params = module.params
    if params["check_settled"]:
        remove_leftovers(params["progress"])
    gateway = External(params) if params["driver"] == "external" else Gateway(params)
    result: dict[str, Any] = {"installed": True, "servers": [], "missing": [], "changed": False}
    try:
        request = traffic.Request(
            state=params["state"],
            replicas=traffic.parse_replicas(params["replicas"], params["host"]),
            backend=params["backend"],
            owner=params["owner"],
            by=params["by"],
            reason=params["reason"],
            allow_last=params["last"] == "allow",
        )
        if request.state == "idle" and params["driver"] == "external":
            module.fail_json(
                msg="found state idle with the driver external; needed a gateway that can be asked. Fix: wait with "
                "ascend.fleet.vllm_ready, which asks the engines"
            )
        if not gateway.is_installed():
            module.exit_json(**{**result, "installed": False, "settled": True})
        if request.state == "idle":
            once = module.check_mode or params["check_settled"]
            result.update(wait(gateway, request, params, once))
        else:
            result.update(change(gateway, request, params, module.check_mode))
    except (traffic.TrafficError, haproxy.HaproxyError, UnitsError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="found %s: %s; needed to use it. Fix: run this as root" % (exc.filename, exc.strerror))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
