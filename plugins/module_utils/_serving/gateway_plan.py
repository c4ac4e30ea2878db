# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which replicas stand behind a gateway: one pool for each served model, with its own port.

What a host serves is known where it was read in this run. Of a host that was not, the gateway keeps the servers that
it has; only a host that the inventory does not name any more loses them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Mapping, Sequence

from .._release.ports import GATEWAY_PORT
from .plan import plan_layout, serve_options
from .settings import ServingError, Settings

#: Names of pools and of servers at the gateway begin and are made so, for everybody who speaks to it.
POOL_PREFIX = "vllm-"
_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")


def pool_name(model: str) -> str:
    """``vllm-qwen3.5``"""
    return POOL_PREFIX + model


def server_name(host: str, replica: int) -> str:
    """``a2-1:0``"""
    return "%s:%d" % (host, replica)


@dataclass(frozen=True, order=True)
class Server:
    """One replica. ``maxconn`` is how many requests it takes at a time; 0: no limit is known.

    ``agent_port``: where the watchdog of its host says whether it has taken the replica out; 0: it takes none out.
    """

    host: str
    replica: int
    address: str
    port: int
    maxconn: int = 0
    agent_port: int = 0

    @property
    def name(self) -> str:
        """``a2-1:0``"""
        return server_name(self.host, self.replica)


@dataclass(frozen=True)
class Pool:
    """All replicas that serve one model, and the port where clients ask for it."""

    model: str
    port: int
    servers: tuple[Server, ...] = ()
    #: What the gateway presents to the replicas.
    api_key: str = ""

    @property
    def name(self) -> str:
        """``vllm-qwen3.5``"""
        return pool_name(self.model)


@dataclass(frozen=True)
class HostPart:
    """What one NPU host contributes.

    ``known``: whether its node was read in this run. Where it was not, ``servers`` are those of a healthy host of its
    generation, for a gateway that has none of this host yet.
    """

    host: str
    model: str
    port: int = GATEWAY_PORT
    api_key: str = ""
    servers: tuple[Server, ...] = ()
    known: bool = True


@dataclass(frozen=True)
class GatewayPlan:
    """The pools, and the hosts that were not asked: whose deployed servers stay, and whose are assumed."""

    pools: tuple[Pool, ...]
    kept: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def host_servers(
    host: str, address: str, node: Mapping[str, Any], release: Mapping[str, Any], settings: Settings
) -> tuple[Server, ...]:
    """The replicas of ``release`` on the host, as the planner of the units lays them out. ServingError, SlotError."""
    limit = serve_options(release, settings).get("max-num-seqs")
    maxconn = int(limit) if isinstance(limit, (int, str)) and str(limit).isdigit() else 0
    layout = plan_layout(node, release, settings)
    agent = agent_port(settings)
    return tuple(Server(host, entry["replica"], address, entry["port"], maxconn, agent) for entry in layout)


def agent_port(settings: Settings) -> int:
    """Where the watchdog's agent of a host listens; 0 where there is none."""
    return settings.watchdog_port if settings.watchdog == "restart" else 0


def conflicts(parts: Sequence[HostPart]) -> list[str]:
    """What keeps these hosts from standing behind one gateway: found, needed and the fix, one text for each."""
    found = []
    for part in parts:
        if not _NAME.match(part.host):
            found.append(
                "found the host name %r; needed letters, digits, `.`, `_` and `-`, as servers at the gateway bear it. "
                "Fix: rename the host" % part.host
            )
        if not _NAME.match(part.model):
            found.append(
                "found the served model name %r; needed letters, digits, `.`, `_` and `-`. Fix: correct "
                "serve.served_model_name in the release" % part.model
            )
    for model in sorted({part.model for part in parts}):
        of_model = [part for part in parts if part.model == model]
        by_port = _grouped((part.port, part.host) for part in of_model)
        if len(by_port) > 1:
            found.append(
                "found the model %s on the ports %s; needed one port for each model. Fix: set one vllm_gateway_port "
                "for all hosts that serve it" % (model, _listed(by_port))
            )
        by_key = _grouped((part.api_key, part.host) for part in of_model)
        if len(by_key) > 1:
            hosts = " and ".join(sorted(hosts[0] for hosts in by_key.values()))
            found.append(
                "found different values of vllm_serve_api_key on hosts that serve %s, such as %s; needed one, as a "
                "client does not know who answers. Fix: set it for all of them in the same group_vars" % (model, hosts)
            )
    by_model = _grouped((part.port, part.model) for part in parts)
    for port, models in sorted(by_model.items()):
        models = list(dict.fromkeys(models))
        if len(models) > 1:
            found.append(
                "found port %d of the gateway for the models %s; needed a port for each served model. Fix: set "
                "another vllm_gateway_port in the group_vars of the hosts that serve %s, such as %d"
                % (port, " and ".join(models), models[-1], _free(port, by_model))
            )
    return found


def _grouped(pairs: Any) -> dict[Any, list[Any]]:
    out: dict[Any, list[Any]] = {}
    for key, value in pairs:
        out.setdefault(key, []).append(value)
    return out


def _listed(by_port: Mapping[int, Sequence[str]]) -> str:
    return " and ".join("%d (%s)" % (port, ", ".join(hosts[:3])) for port, hosts in sorted(by_port.items()))


def _free(port: int, taken: Mapping[int, Any]) -> int:
    return next(n for n in range(port + 1, port + 2 + len(taken)) if n not in taken)


def merge(parts: Sequence[HostPart], deployed: Sequence[Pool]) -> GatewayPlan:
    """The pools that the gateway shall have, where it has ``deployed`` now. Raises ServingError for conflicts.

    A host of the inventory that was not read keeps its deployed servers, in the pool of the model that they serve; its
    port and limit come from what is deployed, as only a look at the host could tell others.
    """
    wrong = conflicts(parts)
    if wrong:
        raise ServingError("; ".join(wrong))
    pools: dict[str, Pool] = {}
    for part in parts:
        pools.setdefault(part.model, Pool(part.model, part.port, (), part.api_key))
    kept, assumed = [], []
    for part in parts:
        there = {pool.model: [s for s in pool.servers if s.host == part.host] for pool in deployed}
        if part.known or not any(there.values()):
            pools[part.model] = _with(pools[part.model], part.servers)
            if not part.known:
                assumed.append(part.host)
            continue
        kept.append(part.host)
        for pool in deployed:
            if there[pool.model]:
                # A model that the inventory serves nowhere any more, but which this host may still run.
                pools.setdefault(pool.model, replace(pool, servers=()))
                pools[pool.model] = _with(pools[pool.model], there[pool.model])
    return GatewayPlan(_without_doubles(pools), tuple(kept), tuple(assumed))


def _with(pool: Pool, servers: Sequence[Server]) -> Pool:
    return replace(pool, servers=tuple(sorted((*pool.servers, *servers))))


def _without_doubles(pools: Mapping[str, Pool]) -> tuple[Pool, ...]:
    """The pools in order; two that want one port are an error: one of them belongs to a release of before."""
    by_port: dict[int, str] = {}
    for model, pool in sorted(pools.items()):
        other = by_port.setdefault(pool.port, model)
        if other != model:
            hosts = ", ".join(sorted({server.host for server in pool.servers}))
            raise ServingError(
                "found port %d of the gateway for the models %s and %s (%s was not read in this run and still has what "
                "it served before); needed a port for each. Fix: run without --limit, or set another vllm_gateway_port"
                % (pool.port, other, model, hosts)
            )
    return tuple(pool for _model, pool in sorted(pools.items()))


def part_from(data: Mapping[str, Any], keys: Mapping[str, str]) -> HostPart:
    """A host's part from plain data. ``keys``: those of the replicas by model, which are given apart from the rest."""
    servers = tuple(
        Server(
            str(data["host"]),
            int(s["replica"]),
            str(s["address"]),
            int(s["port"]),
            int(s["maxconn"]),
            int(s.get("agent_port") or 0),
        )
        for s in data["servers"]
    )
    return HostPart(
        host=str(data["host"]),
        model=str(data["model"]),
        port=int(data["port"]),
        api_key=str(keys.get(str(data["model"])) or ""),
        servers=servers,
        known=bool(data["known"]),
    )


def part_data(part: HostPart) -> dict[str, Any]:
    """The plain data of ``part_from``, without the key."""
    return {
        "host": part.host,
        "model": part.model,
        "port": part.port,
        "known": part.known,
        "servers": [
            {
                "replica": s.replica,
                "address": s.address,
                "port": s.port,
                "maxconn": s.maxconn,
                "agent_port": s.agent_port,
            }
            for s in part.servers
        ],
    }


def describe(pools: Sequence[Pool]) -> list[dict[str, Any]]:
    """The pools as plain data for a result; without keys."""
    return [
        {
            "model": pool.model,
            "backend": pool.name,
            "port": pool.port,
            "servers": [
                {
                    "name": s.name,
                    "host": s.host,
                    "replica": s.replica,
                    "address": s.address,
                    "port": s.port,
                    "maxconn": s.maxconn,
                }
                for s in pool.servers
            ],
        }
        for pool in pools
    ]
