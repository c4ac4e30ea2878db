#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have one address in front of the replicas."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_gateway
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Have one address in front of the replicas
description:
  - Has a HAProxy of its own run on this host, in the unit C(ascend-fleet-gateway.service), with a pool and a port for
    every served model. The distribution's C(haproxy.service) and its configuration are left alone.
  - An action plugin puts the arguments together from the variables of the role C(vllm_gateway), of every NPU host, and
    what was read of these hosts in this run. From a play it has the options O(state), O(gateway), O(served), O(gone),
    O(deployed_only) and O(when_missing) alone.
  - Of an NPU host of the inventory that was not read in this run, the gateway keeps the servers that it has. Where it
    has none, those of a healthy host of the generation are assumed; their checks decide.
  - Everything is checked first, the configuration by HAProxy itself; only then is anything written. Whether HAProxy is
    reloaded is decided by what the running process says it has loaded. A reload ends no request. Keys are added and
    revoked without one.
options:
  state:
    description: Whether the gateway is to be on this host.
    type: str
    choices: [present, absent]
    default: present
  gateway:
    description: >-
      The inventory's name of this gateway, where the task runs for another host and is delegated. Read by the action.
    type: str
  served:
    description: >-
      NPU hosts that serve as planned by now, although the role C(vllm_serve) has not ended on them. Read by the action.
    type: list
    elements: str
    default: []
  gone:
    description: >-
      NPU hosts that serve no more, although the inventory still names them. The gateway loses their servers. Read by
      the action.
    type: list
    elements: str
    default: []
  deployed_only:
    description: Whether nothing is done where no gateway has been deployed on this host.
    type: bool
    default: false
  when_missing:
    description: >-
      Whether a program that is not installed is a failure, or is reported in RV(missing) with nothing done. Read by the
      action.
    type: str
    choices: [fail, report]
    default: fail
  parts:
    description: What each NPU host contributes. Set by the action.
    type: list
    elements: dict
    default: []
  replica_keys:
    description: What the gateway presents to the replicas of a model, by its name. Set by the action.
    type: dict
    default: {}
  front:
    description: What the gateway is to its clients. Set by the action.
    type: dict
    default: {}
  keys:
    description: The SHA-256 of each API key by its name. Set by the action.
    type: dict
    default: {}
  certificate:
    description: Certificate, chain and key. Set by the action.
    type: str
    default: ""
  floating:
    description: The address that one of the gateways has at any time; empty where none is wanted. Set by the action.
    type: dict
    default: {}
  program:
    description: The program that keeps the servers' states. Set by the action.
    type: str
    default: ""
attributes:
  action:
    description: The controller puts the arguments together.
    support: full
  check_mode:
    description: Says what would be done. The configuration is checked by HAProxy all the same, where it is installed.
    support: full
  diff_mode:
    description: Shows configuration and unit before and after. Keys and certificates are not shown.
    support: full
  platform:
    description: Needs systemd.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: Have the gateway run as the inventory says
  ascend.fleet.vllm_gateway:

- name: Take the gateway off this host
  ascend.fleet.vllm_gateway:
    state: absent
"""

RETURN = r"""
steps:
  description: What was done, in this order. In check mode, what would be done.
  returned: success
  type: list
  elements: str
  sample: [write /etc/ascend-fleet/gateway/haproxy.cfg, reload]
reason:
  description: Why HAProxy was started, reloaded or told its keys. Empty where it was not.
  returned: success
  type: str
  sample: it has not loaded this configuration
pools:
  description: Every served model with its port and its servers.
  returned: success
  type: list
  elements: dict
  sample:
    - model: qwen3.5
      backend: vllm-qwen3.5
      port: 8000
      servers:
        - {name: "a2-1:0", host: a2-1, replica: 0, address: 192.0.2.11, port: 8010, maxconn: 128}
missing:
  description: >-
    Programs that are needed and not installed. With O(when_missing=report) nothing was done where there is one.
  returned: success
  type: list
  elements: str
  sample: [haproxy]
kept:
  description: NPU hosts that were not read in this run, whose servers are those that the gateway had.
  returned: success
  type: list
  elements: str
  sample: [a2-2]
out:
  description: The replicas that somebody keeps out of traffic, a sentence for each with who, why and since when.
  returned: success
  type: list
  elements: str
  sample: ["a2-1:0 is out of traffic since 2026-11-24T21:58:23Z, by alice (operator): exchange of a fan"]
assumed:
  description: NPU hosts that were not read in this run, of which the gateway had no server.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os
import re
import shutil
import sys
import time
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base import command
from ..module_utils._base.files import write_atomically
from ..module_utils._base.locks import awaited_lock
from ..module_utils._host.haproxy import DRAIN_RECORDS, Haproxy, HaproxyError
from ..module_utils._host.service import UNIT_DIR, Service, ServiceHost
from ..module_utils._host.service import Plan as ServicePlan
from ..module_utils._host.systemd import Systemd, SystemdError
from ..module_utils._node.host import Host
from ..module_utils._node.network import listener_words, read_ports
from ..module_utils._node.processes import scan_processes
from ..module_utils._serving import gateway_config, gateway_floating, gateway_host, gateway_plan, traffic
from ..module_utils._serving.deployed import read_text
from ..module_utils._serving.gateway_floating import Floating
from ..module_utils._serving.gateway_unit import UNIT
from ..module_utils._serving.settings import ServingError

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "gateway": {"type": "str"},
    "served": {"type": "list", "elements": "str", "default": []},
    "gone": {"type": "list", "elements": "str", "default": []},
    "deployed_only": {"type": "bool", "default": False},
    "when_missing": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
    "parts": {"type": "list", "elements": "dict", "default": []},
    "replica_keys": {"type": "dict", "default": {}, "no_log": True},
    "front": {"type": "dict", "default": {}},
    "keys": {"type": "dict", "default": {}, "no_log": True},
    "certificate": {"type": "str", "default": "", "no_log": True},
    "floating": {"type": "dict", "default": {}},
    "program": {"type": "str", "default": ""},
}
#: One run at a time; it outlives none.
LOCK = "/run/ascend-fleet-gateway.lock"
LOCK_SECONDS = 120.0
_PROGRAM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin"
_SECRET_LINES = re.compile(r'"Bearer (?:\\.|[^"\\\n])*"')
_EVERYWHERE = ("*", "0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


def missing_programs(host: gateway_host.GatewayHost, floating: dict[str, Any]) -> list[str]:
    """The programs that the gateway needs and that are not installed."""
    keepalived = shutil.which("keepalived", path=_PROGRAM_FOLDERS) if floating else "not needed"
    return [name for name, path in (("haproxy", host.haproxy()), ("keepalived", keepalived)) if path is None]


def front_of(data: dict[str, Any]) -> gateway_config.Front:
    """What the gateway is to its clients, from plain data."""
    known = dict(data)
    known["paths"] = tuple(known.get("paths") or ())
    return gateway_config.Front(**known)


def wanted_of(params: dict[str, Any]) -> gateway_host.Wanted:
    """What is wanted, from the arguments."""
    return gateway_host.Wanted(
        parts=[gateway_plan.part_from(part, params["replica_keys"]) for part in params["parts"]],
        front=front_of(params["front"]),
        keys={str(name): str(digest) for name, digest in params["keys"].items()},
        certificate=params["certificate"],
        program=params["program"],
        may_be_empty=bool(params["gone"]),
    )


def taken_port(
    listeners: Sequence[dict[str, Any]], ports: dict[int, str], address: str, unit: str = UNIT
) -> Optional[str]:
    """What is wrong where somebody else listens on a port that the gateway needs."""
    for entry in listeners:
        if entry["port"] not in ports or entry["unit"] == unit:
            continue
        if entry["address"] != address and address not in _EVERYWHERE and entry["address"] not in _EVERYWHERE:
            continue
        holder = listener_words(entry)
        return (
            "found port %d taken by %s; needed it free for the gateway. Nothing was changed. Fix: stop %s, or set "
            "another %s" % (entry["port"], holder, holder, ports[entry["port"]])
        )
    return None


def listeners_on(ports: Sequence[int]) -> list[dict[str, Any]]:
    """Who listens on these ports of this host."""
    host = Host()
    return read_ports(host, ports, scan_processes(host, set()), [])


def diff_of(present: gateway_host.Present, todo: gateway_host.Todo, hidden: Sequence[str]) -> list[dict[str, str]]:
    """Show what is written; of secret files only that they change."""
    found = []
    for path in todo.write:
        before, after = present.files.get(path) or "", todo.files[path]
        if path in hidden:
            before, after = "a file that is not shown\n" if before else "", "another file that is not shown\n"
        found.append(
            {
                "before_header": path,
                "after_header": path,
                "before": _SECRET_LINES.sub('"Bearer ***"', before),
                "after": _SECRET_LINES.sub('"Bearer ***"', after),
            }
        )
    return found


@contextmanager
def locked(path: str = LOCK, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Let one run at a time change the gateway: each reads what the one before it has written."""
    with awaited_lock(path, seconds) as held:
        if not held:
            raise ServingError(
                "found another run at work on this gateway for %d s; needed it to end. Fix: run this again" % seconds
            )
        yield


class FloatingAddress:
    """The address that one of several gateways has; looked at as a whole before anything is done."""

    def __init__(self, systemd: Systemd, data: dict[str, Any], *, check: bool) -> None:
        self._systemd = systemd
        self._host = ServiceHost(systemd)
        self._service: Optional[Service] = None
        self._plan = ServicePlan()
        self.steps: list[str] = []
        self.diff: list[dict[str, str]] = []
        if data:
            self._want(Floating(**{**data, "peers": tuple(data["peers"])}), check=check)
        elif os.path.exists(os.path.join(UNIT_DIR, gateway_floating.NAME + ".service")):
            self.steps = ["give the floating address up"]

    def _want(self, floating: Floating, *, check: bool) -> None:
        program = shutil.which("keepalived", path=_PROGRAM_FOLDERS)
        if program is None and check:
            self.steps = ["install keepalived and start it"]
            return
        other = self._systemd.show(["keepalived.service"])["keepalived.service"]
        if other.get("ActiveState") in ("active", "activating"):
            raise ServingError(
                "found keepalived.service running; needed no keepalived beside that of the gateways. Fix: stop and "
                'disable it, or set vllm_gateway_floating_address to "" and have that keepalived hold the address'
            )
        said = command.run(["ip", "-o", "addr", "show"], timeout=30)
        if not said.ok:
            raise ServingError("found: %s; needed the host's addresses. Fix: install iproute2" % said.describe())
        service = gateway_floating.service(floating, said.stdout, keepalived=program, python=sys.executable)
        present = self._host.present(service)
        self._service, self._plan = service, self._host.plan(service, present)
        self.steps = ["%s (floating address)" % step for step in self._plan.steps]
        for path in self._plan.write:
            before, after = present.files.get(path) or "", service.files[path]
            self.diff.append({"before_header": path, "after_header": path, "before": before, "after": after})

    def carry_out(self) -> None:
        """Do it."""
        if self._service is not None:
            self._host.carry_out(self._service, self._plan)
        elif self.steps:
            self._host.remove(gateway_floating.NAME, [gateway_floating.CONFIG])


def bring_about(
    host: gateway_host.GatewayHost,
    wanted: gateway_host.Wanted,
    places: gateway_config.Places,
    floating: FloatingAddress,
    *,
    check: bool,
) -> dict[str, Any]:
    """Have the gateway be as wanted; return the result."""
    present = host.present()
    pools, todo = host.plan(wanted, present)
    if host.haproxy() or not check:  # in check mode the package may still be missing
        host.check(wanted, pools)
    if todo.action in ("start", "restart", "reload"):
        ports = gateway_config.ports_of(pools.pools, wanted.front)
        taken = taken_port(listeners_on(sorted(ports)), ports, wanted.front.address)
        if taken:
            raise ServingError(taken)
    if not check:
        host.carry_out(todo)
        floating.carry_out()
    steps = todo.steps + floating.steps
    return {
        "changed": bool(steps),
        "steps": steps,
        "reason": todo.reason,
        "pools": gateway_plan.describe(pools.pools),
        "kept": list(pools.kept),
        "assumed": list(pools.assumed),
        "diff": diff_of(present, todo, (places.keys, places.certificate)) + floating.diff,
    }


def forget_hosts(hosts: Sequence[str], path: str = DRAIN_RECORDS) -> None:
    """Forget what a change has noted of hosts that serve no more: they must not come back drained by nobody."""
    with awaited_lock(path + ".lock", LOCK_SECONDS) as held:
        if not held:
            raise ServingError(
                "found %s.lock held by another process for %d s; needed it. Fix: run this again" % (path, LOCK_SECONDS)
            )
        records = traffic.parse_records(read_text(path) or "", path)
        kept = traffic.without_hosts(records, hosts)
        if kept != records:
            write_atomically(path, traffic.dump_records(kept), 0o600)


def kept_out(runtime: Haproxy, records_path: str = DRAIN_RECORDS) -> list[str]:
    """What somebody keeps out of traffic, a sentence for each replica. A change puts its own back by itself."""
    records = traffic.parse_records(read_text(records_path) or "", records_path)
    decisions = traffic.decide(runtime.servers(), records, traffic.Request("query"), now=time.time())
    entries = [traffic.entry(decision) for decision in decisions]
    return [traffic.out_text(e) for e in entries if e["admin_state"] != "ready" and e["owner"] != "change"]


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    places = gateway_config.PLACES
    systemd = Systemd(timeout=120)
    runtime = Haproxy(places.socket)
    host = gateway_host.GatewayHost(systemd, runtime, python=sys.executable)
    out: list[str] = []
    try:
        with locked():
            wants_floating = params["floating"] if params["state"] == "present" else {}
            missing = missing_programs(host, wants_floating) if params["state"] == "present" else []
            absent = params["deployed_only"] and not os.path.exists(places.config)
            if absent or (missing and params["when_missing"] == "report" and not module.check_mode):
                module.exit_json(
                    changed=False, steps=[], reason="", pools=[], missing=missing, kept=[], assumed=[], out=[]
                )
            floating = FloatingAddress(systemd, wants_floating, check=module.check_mode)
            if params["state"] == "absent":
                if not module.check_mode:
                    floating.carry_out()
                steps = floating.steps + host.absent(check=module.check_mode)
                found = {"changed": bool(steps), "steps": steps, "reason": "", "pools": [], "kept": [], "assumed": []}
            else:
                found = bring_about(host, wanted_of(params), places, floating, check=module.check_mode)
                if params["gone"] and not module.check_mode:
                    forget_hosts(params["gone"])
                if not module.check_mode or not found["changed"]:  # it may not run yet
                    out = kept_out(runtime)
    except (ServingError, SystemdError, HaproxyError, traffic.TrafficError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or UNIT, exc.strerror or exc))
    for sentence in out:
        module.warn("%s. It stays so; undrain.yml puts it back" % sentence)
    module.exit_json(missing=missing, out=out, **found)


if __name__ == "__main__":
    main()
