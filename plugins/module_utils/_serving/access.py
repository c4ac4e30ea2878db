# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches the replicas' own ports: a table of nftables of our own, and the unit that loads it.

No other table is touched, and what it lets pass another one may still refuse. It is loaded at once and as a whole, so a
change leaves no gap. Engines are not concerned: nothing here restarts one.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import shutil
import socket
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Mapping, Optional, Sequence

from .._base import command
from .._base.files import remove
from .._host.systemd import Systemd
from .deployed import UnitsError
from .unit_file import MARK

MODES = ("open", "gateways")
TABLE = "ascend_fleet"
SERVICE = "ascend-fleet-access.service"
RULES = "access.nft"
_SEARCH = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin")
_NO_TABLE = re.compile(r"No such file or directory")

# nftables.service empties everything when it starts, stops or reloads; ours comes back with it.
_UNIT_TEXT = """%(mark)s changes here are overwritten.
[Unit]
Description=Close the ports of the replicas to all but those who may ask
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Before=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%(nft)s -f %(rules)s
ExecReload=%(nft)s -f %(rules)s
ExecStop=-%(nft)s delete table inet %(table)s

[Install]
WantedBy=multi-user.target
"""

# The first two lines make it the same whether the table is there or not. The empty chain tells what is loaded.
_RULES_TEXT = """%(mark)s changes here are overwritten.
table inet %(table)s
delete table inet %(table)s
table inet %(table)s {
    chain %(chain)s {
    }
    chain input {
        type filter hook input priority filter; policy accept;
        tcp dport != { %(ports)s } accept
        iif "lo" accept
%(accepted)s        drop
    }
}
"""


@dataclass(frozen=True)
class Wanted:
    """What is wanted. ``sources``: names or addresses, or networks, of those who may ask beside this host itself."""

    mode: str = "open"
    ports: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass
class Steps:
    """What is to be done beside writing its files. ``action``: start, reload, or None."""

    enable: bool = False
    action: Optional[str] = None
    #: Files of a table that is not wanted.
    surplus: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What changes, for the report."""
        return [*self.surplus, *([SERVICE] if self.action or self.enable else [])]


def wanted_of(units: Sequence[Mapping[str, Any]]) -> Wanted:
    """What the wanted units of a host carry, each of them for all; open where they say nothing."""
    about = (units[0].get("access") if units else None) or {}
    return Wanted(
        mode=str(about.get("mode") or "open"),
        ports=tuple(sorted(int(port) for port in about.get("ports") or ())),
        sources=tuple(str(source) for source in about.get("sources") or ()),
    )


def networks(sources: Sequence[str], resolve: Callable[..., Any] = socket.getaddrinfo) -> list[str]:
    """The sources as networks, in order; a name stands for all its addresses. Raises UnitsError for an unknown name."""
    found: set[Any] = set()
    for source in sources:
        try:
            found.add(ipaddress.ip_network(source.strip("[]"), strict=False))
            continue
        except ValueError:
            pass  # a name
        try:
            answers = resolve(source, None, type=socket.SOCK_STREAM)
        except OSError as exc:
            raise UnitsError(
                "found no address of %s (%s); needed it to let it ask the replicas. Fix: correct its name or "
                "vllm_gateway_host_address, or vllm_serve_access_from where it stands there" % (source, exc)
            ) from exc
        found |= {ipaddress.ip_network(answer[4][0].partition("%")[0]) for answer in answers}
    every = [
        network
        for version in (4, 6)
        for network in ipaddress.collapse_addresses(sorted(n for n in found if n.version == version))
    ]
    return [str(n.network_address) if n.num_addresses == 1 else str(n) for n in every]


def rules_text(ports: Sequence[int], accepted: Sequence[str]) -> str:
    """The table, with a chain whose name is the hash of the rest."""
    plain = _rules_text(ports, accepted, "")
    return _rules_text(ports, accepted, "loaded_" + hashlib.sha256(plain.encode()).hexdigest()[:24])


def _rules_text(ports: Sequence[int], accepted: Sequence[str], chain: str) -> str:
    lines = []
    for family, sources in (
        ("ip", [s for s in accepted if ":" not in s]),
        ("ip6", [s for s in accepted if ":" in s]),
    ):
        if sources:
            lines.append("        %s saddr { %s } accept\n" % (family, ", ".join(sources)))
    return _RULES_TEXT % {
        "mark": MARK,
        "table": TABLE,
        "chain": chain,
        "ports": ", ".join(str(port) for port in ports),
        "accepted": "".join(lines),
    }


def loaded(text: str) -> str:
    """The name of the chain that tells what is loaded, in a text of rules or of ``nft list table``."""
    found = re.search(r"^\s*chain (loaded_[0-9a-f]{24}) \{", text, re.MULTILINE)
    return found.group(1) if found else ""


def program(search: Sequence[str] = _SEARCH) -> str:
    """Where nft lies. Raises UnitsError where it is not installed."""
    found = shutil.which("nft", path=os.pathsep.join([*search, os.environ.get("PATH", "")]))
    if found is None:
        raise UnitsError(
            "found no nft; needed it for vllm_serve_access: gateways. Fix: install the package nftables, or set "
            "vllm_serve_access: open and close the ports with a firewall of your own"
        )
    return found


def files(
    wanted: Wanted, unit_dir: str, config_dir: str, nft: str, resolve: Any = socket.getaddrinfo
) -> dict[str, str]:
    """Path and text of every file; none where the ports are open."""
    if wanted.mode == "open":
        return {}
    rules = os.path.join(config_dir, RULES)
    return {
        rules: rules_text(wanted.ports, networks(wanted.sources, resolve)),
        os.path.join(unit_dir, SERVICE): _UNIT_TEXT % {"mark": MARK, "nft": nft, "rules": rules, "table": TABLE},
    }


def paths(unit_dir: str, config_dir: str) -> list[str]:
    """Where its files lie, whether they are there or not. The unit goes last: the next run finds the rest by it."""
    return [os.path.join(config_dir, RULES), os.path.join(unit_dir, SERVICE)]


def plan(
    wanted: Wanted,
    unit_dir: str,
    config_dir: str,
    systemd: Systemd,
    texts: Mapping[str, str],
    *,
    nft: str = "",
    run: Callable[..., command.Completed] = command.run,
) -> Steps:
    """What is to be done. ``texts``: its files as they are wanted. Raises UnitsError where the kernel does not tell."""
    if wanted.mode == "open":
        return Steps(surplus=[path for path in paths(unit_dir, config_dir) if os.path.lexists(path)])
    state = systemd.show([SERVICE])[SERVICE]
    active = state.get("ActiveState") == "active"
    done = run([nft, "list", "table", "inet", TABLE], timeout=30)
    if not done.ok and not _NO_TABLE.search(done.stderr):
        raise UnitsError(
            "found: %s; needed to know what nftables has loaded. Fix: run as root, on a kernel with nf_tables"
            % done.describe()
        )
    is_loaded = done.ok and loaded(done.stdout) == loaded(texts[os.path.join(config_dir, RULES)])
    action = None if active and is_loaded else "reload" if active else "start"
    return Steps(enable=state.get("UnitFileState") != "enabled", action=action)


def execute(steps: Steps, systemd: Systemd) -> None:
    """Do it, after its files were written and systemd has read them."""
    if steps.enable:
        systemd.enable([SERVICE])
    if steps.action == "reload":
        systemd.reload_units([SERVICE])
    elif steps.action == "start":
        systemd.reset_failed([SERVICE])
        systemd.start([SERVICE])
    if steps.surplus:
        stop(steps.surplus, systemd)
        for path in steps.surplus:
            remove(path)
        systemd.reload()


def stop(present: Collection[str], systemd: Systemd) -> None:
    """Open the ports, where its unit is among the files that are there."""
    if any(os.path.basename(path) == SERVICE for path in present):
        systemd.stop([SERVICE])
        systemd.disable([SERVICE])
