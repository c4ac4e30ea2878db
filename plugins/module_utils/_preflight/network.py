# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the network: ports of the service, HCCL's ports, the cards' own network."""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping

from .._node.network import listener_words
from .._npu import slots
from .check import ERROR, WARNING, Check, Found, check
from .facts import Facts
from .words import numbers

#: The unit of the gateway, which the wing of serving writes.
GATEWAY_UNIT = "ascend-fleet-gateway.service"


@check(
    "NET-001",
    ERROR,
    "A port of the service is taken",
    what="Somebody else listens on a port that a replica needs; our own units do not count.",
    fix="stop what listens there, or set another vllm_serve_first_port (serve.port in the release)",
    needs=("network",),
)
def _port_taken(f: Facts) -> Iterator[Found]:
    known = f.by_hand_names  # a finding of their own
    for replica in f.replicas:
        for entry in f.node.get("ports") or []:
            if entry["port"] != replica["port"] or entry.get("managed") or entry.get("container") in known:
                continue
            yield Found(
                "port %d taken by %s" % (replica["port"], listener_words(entry)),
                "it free for %s" % replica["unit"],
                "stop %s, or set another vllm_serve_first_port (serve.port in the release)" % listener_words(entry),
            )
            break


@check(
    "NET-002",
    WARNING,
    "The parameter network is not configured",
    what="/etc/hccn.conf is missing, or a link to a file that is missing. One host alone can serve without it; engines "
    "across hosts cannot.",
    fix="configure the cards' network: `hccn_tool -i N -ip -s address A netmask M` for each, which writes the file",
    needs=("network",),
)
def _hccn_missing(f: Facts) -> Iterator[Found]:
    kind = (f.node.get("hccn") or {}).get("kind")
    if kind == "missing":
        yield Found("no /etc/hccn.conf", "the cards' addresses in it")
    elif kind == "dangling":
        yield Found(
            "/etc/hccn.conf, a link to a file that does not exist",
            "the cards' addresses in it",
            "remove the link (`rm /etc/hccn.conf`) and configure the cards' network: `hccn_tool -i N -ip -s address A "
            "netmask M` for each, which writes the file",
        )


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
    down = [port["index"] for port in f.card_ports if port["status"] != "UP"]
    # With no link up at all the network is not in use.
    if down and len(down) < len(f.card_ports) and not f.spans_hosts:
        yield Found("the link of davinci%s down" % numbers(down), "links like those of the other cards")


@check(
    "NET-006",
    ERROR,
    "A link that engines across hosts need is down",
    what="The release runs one engine on several hosts, which talk over the cards' own network ports.",
    fix="check the optical module and the switch port; `hccn_tool -i N -optical -g`, `hccn_tool -i N -link_stat -g`",
    needs=("network", "npu"),
)
def _needed_link_down(f: Facts) -> Iterator[Found]:
    down = [port["index"] for port in f.card_ports if port["status"] != "UP"]
    if f.spans_hosts and down:
        yield Found("the link of davinci%s down" % numbers(down), "every link up")


@check(
    "NET-007",
    ERROR,
    "An address that engines across hosts need is missing",
    what="The release runs one engine on several hosts: every card needs an address in their network.",
    fix="`hccn_tool -i N -ip -s address A netmask M` for each of these cards",
    needs=("network", "npu"),
)
def _needed_address_missing(f: Facts) -> Iterator[Found]:
    without = [port["index"] for port in f.card_ports if not (port.get("ip") or {}).get("address")]
    if f.spans_hosts and without:
        yield Found("no address for davinci%s" % numbers(without), "one for every card")


@check(
    "NET-008",
    ERROR,
    "TLS between the cards is not the same everywhere",
    what="The release runs one engine on several hosts. Cards of which some have TLS on and others off do not connect.",
    fix="set one state on every card of every host: `hccn_tool -i N -tls -s enable 0` (or 1)",
    needs=("network", "npu"),
)
def _tls_differs(f: Facts) -> Iterator[Found]:
    found = tls_states(f.node)
    own = ["%s for davinci%s" % ("on" if on else "off", numbers(found[on])) for on in (True, False) if on in found]
    if f.spans_hosts and own and len(f.fleet_tls | set(found)) > 1:
        others = "" if len(own) > 1 else ", and the other way round on other hosts"
        yield Found("TLS " + ", ".join(own) + others, "the same on every card of every host")


def tls_states(node: Mapping[str, Any]) -> dict[bool, list[int]]:
    """The chips with TLS on (true) and off (false); chips of which it is not known are left out."""
    found: dict[bool, list[int]] = {}
    for port in (node.get("hccn") or {}).get("links") or []:
        if port.get("tls"):
            found.setdefault(bool(port["tls"]["enabled"]), []).append(port["index"])
    return found


@check(
    "NET-009",
    ERROR,
    "The network that engines across hosts need cannot be read",
    what="The release runs one engine on several hosts, and hccn_tool does not say how the cards' ports are.",
    fix="run `hccn_tool -i N -link -g` on the host as root; install the driver package again if the tool is missing",
    needs=("network", "npu"),
)
def _card_network_unknown(f: Facts) -> Iterator[Found]:
    known = {port["index"] for port in f.card_ports if port.get("tls")}
    unknown = [d["index"] for d in f.devices if d["index"] is not None and d["index"] not in known]
    if f.spans_hosts and unknown:
        yield Found("no whole answer for davinci%s" % numbers(unknown), "link, address and TLS of every card")


@check(
    "NET-010",
    ERROR,
    "The gateway's port is taken",
    what="Somebody else listens where the gateway on this host answers clients; our own gateway does not count.",
    fix="stop what listens there, or set another vllm_gateway_port",
    needs=("network",),
)
def _gateway_port_taken(f: Facts) -> Iterator[Found]:
    port = (f.plan or {}).get("gateway_port")
    for entry in f.node.get("ports") or []:
        if entry["port"] == port and entry.get("unit") != GATEWAY_UNIT:
            listener = listener_words(entry)
            fix = "stop %s, or set another vllm_gateway_port" % listener
            yield Found("port %d taken by %s" % (port, listener), "it free for the gateway", fix)
            break


@check(
    "NET-013",
    WARNING,
    "Containers get a proxy for their own host",
    what="Docker's client hands the proxies of its configuration to every container. Without exceptions, programs in "
    "it ask the proxy for 127.0.0.1 and for other hosts of the site. Our units add the exceptions for 127.0.0.1 and "
    "localhost; what else is asked directly belongs into the file.",
    fix='add "noProxy": "localhost,127.0.0.1,::1" and the site\'s networks to `proxies.default` in the file',
    needs=("docker",),
)
def _proxies(f: Facts) -> Iterator[Found]:
    for proxy in f.node.get("proxies") or []:
        excepted = {word.strip() for word in proxy["no_proxy"].split(",")}
        if proxy["containers"] and not ({"127.0.0.1", "127.0.0.0/8", "*"} & excepted):
            address = proxy["http"] or proxy["https"]
            yield Found(
                "the proxy %s in %s without an exception for 127.0.0.1" % (address, proxy["where"]),
                "127.0.0.1 and localhost in its noProxy",
            )


@check(
    "NET-011",
    WARNING,
    "A firewall closes the ports of the replicas",
    what="A firewall is on and does not open them. Clients or gateways on other hosts then get no answer, while "
    "everything on the host itself is well. Where all clients come through a gateway on this host, ignore it.",
    fix="open the ports to those who may ask",
    needs=("system", "network"),
)
def _firewall(f: Facts) -> Iterator[Found]:
    firewall = f.node.get("firewall") or {}
    name, open_ports = firewall.get("name"), firewall.get("open_ports")
    if not name or open_ports is None:
        return
    closed = [int(r["port"]) for r in f.replicas if not any(a <= int(r["port"]) <= b for a, b in open_ports)]
    if closed:
        first, last = min(closed), max(closed)
        span = str(first) if first == last else "%d%s%d" % (first, "-" if name == "firewalld" else ":", last)
        commands = {
            "firewalld": "`firewall-cmd --permanent --add-port=%s/tcp && firewall-cmd --reload`" % span,
            "ufw": "`ufw allow %s/tcp`, better only from those who may ask: `ufw allow from NETWORK to any port %s "
            "proto tcp`" % (span, span),
        }
        yield Found("%s on, ports %s closed" % (name, numbers(closed)), "them open", commands[name])


@check(
    "NET-012",
    ERROR,
    "Drivers differ between hosts of one engine",
    what="The release runs one engine on several hosts, whose drivers must be the same.",
    fix="install the release's driver on every host",
    needs=("versions",),
)
def _drivers_differ(f: Facts) -> Iterator[Found]:
    own = str(f.version("driver").get("version") or "")
    others = sorted(f.fleet_drivers - {own})
    if f.spans_hosts and own and others:
        yield Found("driver %s here, %s on others" % (own, ", ".join(others)), "one version")


@check(
    "NET-014",
    ERROR,
    "nft is missing",
    what="The replicas' own ports are to be closed to all but the gateways (`vllm_serve_access: gateways`), which a "
    "table of nftables does.",
    fix="install nftables, or set vllm_serve_access: open",
    needs=("system",),
)
def _nft_missing(f: Facts) -> Iterator[Found]:
    if (f.plan or {}).get("closes_ports") and not (f.node.get("programs") or {}).get("nft"):
        yield Found("no nft", "nftables", f.install("nftables"))


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
    _needed_link_down,
    _needed_address_missing,
    _tls_differs,
    _card_network_unknown,
    _gateway_port_taken,
    _proxies,
    _firewall,
    _drivers_differ,
    _nft_missing,
)
