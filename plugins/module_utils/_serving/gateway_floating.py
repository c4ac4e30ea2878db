# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One address that one of several gateways has at any time: keepalived's configuration, in a service of our own.

No gateway takes the address from another one that is well: each move cuts the streams of clients.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Optional

from .._host.service import Service
from .gateway_config import FOLDER, MARK, PLACES
from .gateway_unit import DOWN, PROGRAM
from .settings import ServingError

NAME = "ascend-fleet-floating"
CONFIG = FOLDER + "/keepalived.conf"
#: It sets addresses and sends raw packets; it writes nothing but its own runtime folder.
_SANDBOX = (
    "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID CAP_DAC_OVERRIDE "
    "CAP_KILL",
    "RuntimeDirectory=%s" % NAME,
    "RuntimeDirectoryMode=0700",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET",
    "RestrictNamespaces=yes",
    "LockPersonality=yes",
)
_ADDRESS = re.compile(r"\d+:\s+(?P<interface>[^\s@]+)(?:@\S+)?\s+inet6?\s+(?P<address>[0-9A-Fa-f.:]+/\d+)")


@dataclass(frozen=True)
class Floating:
    """The address with its prefix, where it is, and who else may have it. ``interface`` empty: found by the network."""

    address: str
    interface: str = ""
    router_id: int = 51
    own: str = ""
    peers: tuple[str, ...] = ()
    priority: int = 100


def interface_of(floating: Floating, addresses: str) -> str:
    """The interface for the address, by what ``ip -o addr`` says. ServingError where there is none, or several."""
    if floating.interface:
        return floating.interface
    wanted = ipaddress.ip_interface(floating.address)
    found = []
    for line in addresses.splitlines():
        match = _ADDRESS.match(line)
        if match:
            there = ipaddress.ip_interface(match.group("address"))
            # A gateway that has the address by now is found by its own one.
            if there.version == wanted.version and wanted.ip in there.network and there.ip != wanted.ip:
                found.append(match.group("interface"))
    found = list(dict.fromkeys(found))
    if len(found) != 1:
        raise ServingError(
            "found %s with an address in the network of %s; needed one interface for vllm_gateway_floating_address. "
            "Fix: set vllm_gateway_floating_interface, or another address"
            % ("the interfaces " + ", ".join(found) if found else "no interface", floating.address)
        )
    return found[0]


def keepalived_text(floating: Floating, interface: str, python: str) -> str:
    """keepalived's configuration."""
    lines = [
        MARK,
        "global_defs {",
        "    vrrp_version 3",
        "    enable_script_security",
        "    script_user root",
        "}",
        "vrrp_script gateway {",
        '    script "%s %s check %s"' % (python, PROGRAM, PLACES.socket),
        # For a HAProxy that hangs; one that has ended says so in the file below. Slow, so that a busy host, where a
        # program takes seconds to start, does not give the address away.
        "    interval 5",
        "    timeout 10",
        "    fall 3",
        "    rise 1",
        "}",
        "vrrp_track_file gateway_ended {",
        '    file "%s"' % DOWN,
        "}",
        "vrrp_instance gateway {",
        "    state BACKUP",
        "    nopreempt",
        "    interface %s" % interface,
        "    virtual_router_id %d" % floating.router_id,
        "    priority %d" % floating.priority,
        "    advert_int 0.5",
    ]
    if _are_addresses(floating):
        lines += ["    unicast_src_ip %s" % floating.own, "    unicast_peer {"]
        lines += ["        %s" % peer for peer in floating.peers]
        lines.append("    }")
    lines += ["    virtual_ipaddress {", "        %s" % floating.address, "    }"]
    lines += ["    track_script {", "        gateway", "    }"]
    lines += ["    track_file {", "        gateway_ended", "    }", "}"]
    return "\n".join(lines) + "\n"


def _are_addresses(floating: Floating) -> bool:
    """Whether the gateways know each other by address; by name, they find each other by multicast."""
    try:
        return bool(floating.peers) and all(ipaddress.ip_address(a) for a in (floating.own, *floating.peers))
    except ValueError:
        return False


def service(floating: Floating, addresses: str, *, keepalived: Optional[str], python: str) -> Service:
    """The service that has the address. ``addresses``: what ``ip -o addr`` says. Raises ServingError."""
    if keepalived is None:
        raise ServingError(
            "found no keepalived; needed it for vllm_gateway_floating_address. Fix: install the package keepalived, or "
            "let the role do it (vllm_gateway_floating_packages)"
        )
    text = keepalived_text(floating, interface_of(floating, addresses), python)
    run = "/run/%s" % NAME
    return Service(
        name=NAME,
        description="Floating address %s of the gateways (keepalived)" % floating.address,
        command="%s -n -f %s -p %s/keepalived.pid -r %s/vrrp.pid" % (keepalived, CONFIG, run, run),
        files={CONFIG: text},
        sandbox=_SANDBOX,
    )
