# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which TCP ports of a host this collection uses for what, and which of them are wanted twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection, Mapping, Sequence

from .._npu.slots import HCCL_PORTS
from .problems import Problem
from .value_checks import as_ports

#: Clients ask the gateway there, unless a variable says another port.
GATEWAY_PORT = 8000
#: Gateways ask there what the watchdog of a host has taken out of traffic, unless a variable says another port.
WATCHDOG_PORT = 8406
_WATCHDOG = "vllm_serve_watchdog_port"
#: Ports of the gateway, the mirror, its tracker and of hosts that share, unless variables say others.
_DEFAULTS = {
    "vllm_gateway_port": ("the gateway", str(GATEWAY_PORT)),
    "vllm_gateway_metrics_address": ("the gateway's metrics", "127.0.0.1:8405"),
    _WATCHDOG: ("the watchdog's agent", str(WATCHDOG_PORT)),
    "artifact_mirror_port": ("the mirror", "8008"),
    "artifact_mirror_tracker_port": ("the mirror's tracker", "6969"),
    "model_artifacts_swarm_ports": ("sharing between hosts", "6881-6889"),
}


@dataclass(frozen=True)
class Claim:
    """Ports that something listens on, from the first to the last, and the variable that moves them."""

    purpose: str
    variable: str
    first: int
    last: int

    def text(self) -> str:
        """``port 8010 (replica 0)``"""
        ports = "port %d" % self.first if self.first == self.last else "ports %d-%d" % (self.first, self.last)
        return "%s (%s)" % (ports, self.purpose)


def claims(values: Mapping[str, Any], layout: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """Everything that listens on a host: the replicas of ``layout`` (as the planner returns it), and what is beside.

    ``values`` are the host's variables. The ports of gateway and mirror are kept free on every host, as hosts of either
    kind can be added at any time.
    """
    found = []
    for entry in layout:
        replica = "replica %d" % entry["replica"]
        found.append(Claim(replica, "vllm_serve_first_port", entry["port"], entry["port"]))
        base = entry["hccl_if_base_port"]
        found.append(Claim("HCCL of " + replica, "", base, base + HCCL_PORTS - 1))
        found.append(Claim("torch's master of " + replica, "", entry["master_port"], entry["master_port"]))
    for variable, (purpose, default) in _DEFAULTS.items():
        if variable == _WATCHDOG and values.get("vllm_serve_watchdog") != "restart":
            continue  # it has no agent then
        # An address and its port, or the port alone.
        ports = as_ports(str(values.get(variable) or default).rpartition(":")[2])
        if ports:  # one that is no port is a mistake of its own
            found.append(Claim(purpose, variable, *ports))
    return found


def overlaps(wanted: Sequence[Claim], chosen: Collection[str] = ()) -> list[Problem]:
    """One problem for every two claims that share a port; those that no variable moves do not meet each other.

    It is a problem with that variable of the two which the operator has ``chosen``.
    """
    problems = []
    for index, one in enumerate(wanted):
        for other in wanted[index + 1 :]:
            movable = [claim.variable for claim in (one, other) if claim.variable]
            if movable and one.first <= other.last and other.first <= one.last:
                variable = next((v for v in movable if v in chosen), movable[0])
                problems.append(Problem(variable, "%s and %s" % (one.text(), other.text()), "a port for each"))
    return problems
