# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the network: ports of the service, HCCL's ports, the cards' own network."""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping

from .._npu import slots
from .check import ERROR, WARNING, Check, Found, check
from .facts import Facts
from .words import numbers


@check(
    "NET-001",
    ERROR,
    "A port of the service is taken",
    what="Somebody else listens on a port that a replica needs; our own units do not count.",
    fix="stop what listens there, or set another vllm_serve_first_port (serve.port in the release)",
    needs=("network",),
)
def _port_taken(f: Facts) -> Iterator[Found]:
    for replica in f.replicas:
        for entry in f.node.get("ports") or []:
            if entry["port"] != replica["port"] or entry.get("managed"):
                continue
            yield Found(
                "port %d taken by %s" % (replica["port"], _listener(entry)),
                "it free for %s" % replica["unit"],
                "stop %s, or set another vllm_serve_first_port (serve.port in the release)" % _listener(entry),
            )
            break


def _listener(entry: Mapping[str, Any]) -> str:
    if entry.get("container"):
        return "container `%s`" % entry["container"]
    if entry.get("unit"):
        return "systemd unit `%s`" % entry["unit"]
    return "process %s (%s)" % (entry["pid"], entry["process"]) if entry.get("pid") else "an unknown process"


@check(
    "NET-002",
    WARNING,
    "The parameter network is not configured",
    what="/etc/hccn.conf is missing. One host alone can serve without it; engines across hosts cannot.",
    fix="configure the cards' network: `hccn_tool -i N -ip -s address A netmask M` for each, which writes the file",
    needs=("network",),
)
def _hccn_missing(f: Facts) -> Iterator[Found]:
    if (f.node.get("hccn") or {}).get("kind") == "missing":
        yield Found("no /etc/hccn.conf", "the cards' addresses in it")


@check(
    "NET-003",
    WARNING,
    "Some cards have no address",
    what="/etc/hccn.conf names some of the cards only.",
    fix="`hccn_tool -i N -ip -s address A netmask M` for the cards that are left out",
    needs=("network", "npu"),
)
def _hccn_partial(f: Facts) -> Iterator[Found]:
    given = {a["index"] for a in (f.node.get("hccn") or {}).get("addresses") or []}
    left = [d["index"] for d in f.devices if d["index"] is not None and d["index"] not in given]
    if given and left:
        yield Found("no address for davinci%s" % numbers(left), "one for each of %d chips" % len(f.devices))


@check(
    "NET-004",
    WARNING,
    "HCCL's ports may be taken by others",
    what="The kernel gives ports of the range that HCCL listens on to outgoing connections: an engine then "
    "fails with EJ0003.",
    fix="`sysctl -w net.ipv4.ip_local_reserved_ports=61000-61255`, and the same line in /etc/sysctl.d/",
    needs=("system",),
)
def _hccl_ports(f: Facts) -> Iterator[Found]:
    words = str(f.tuning("net.ipv4.ip_local_port_range") or "").split()
    if len(words) != 2 or not all(w.isdigit() for w in words):
        return
    first, last = int(words[0]), int(words[1])
    starts = [int(r["hccl_if_base_port"]) for r in f.replicas] or [slots.FIRST_HCCL_PORT]
    wanted = sorted({port for start in starts for port in range(start, start + slots.HCCL_PORTS)})
    reserved = _port_set(str(f.tuning("net.ipv4.ip_local_reserved_ports") or ""))
    exposed = [p for p in wanted if first <= p <= last and p not in reserved]
    if exposed:
        yield Found(
            "ports %s open to outgoing connections" % numbers(exposed),
            "them reserved",
            "`sysctl -w net.ipv4.ip_local_reserved_ports=%s` (beside what is reserved already)" % numbers(wanted),
        )


@check(
    "NET-005",
    WARNING,
    "A card's network port is down",
    what="The link of a card's own network port is down. One host serves without it; engines across hosts do not.",
    fix="check the optical module and the switch port; `hccn_tool -i N -optical -g`, `hccn_tool -i N -link_stat -g`",
    needs=("network", "npu"),
)
def _link_down(f: Facts) -> Iterator[Found]:
    links = (f.node.get("hccn") or {}).get("links") or []
    down = [link["index"] for link in links if link["status"] != "UP"]
    # With no link up at all the network is not in use.
    if down and len(down) < len(links):
        yield Found("the link of davinci%s down" % numbers(down), "links like those of the other cards")


def _port_set(text: str) -> set[int]:
    ports: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        ports.update(range(int(first), int(last or first) + 1))
    return ports


CHECKS: tuple[Check, ...] = (
    _port_taken,
    _hccn_missing,
    _hccn_partial,
    _hccl_ports,
    _link_down,
)
