# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds the service on its host: proxies, a firewall, services that meddle, and what the watchdog has seen."""

from __future__ import annotations

import json
import re
import time
from typing import Any, Optional
from urllib.parse import urlsplit

from .._host.systemd import Systemd, SystemdError, short_name
from .host import Host

#: Services of the distribution that change what serving relies on.
SERVICES: tuple[str, ...] = ("irqbalance", "firewalld", "ufw")
#: Docker's client runs as root, and hands the proxies of this file to every container that it starts.
DOCKER_CLIENT = "/root/.docker/config.json"
_DOCKER_DAEMON = "/etc/docker/daemon.json"
_DROP_INS = ("/etc/systemd/system/docker.service.d", "/usr/lib/systemd/system/docker.service.d")
_WATCHDOG = "/run/ascend-fleet/watchdog.json"
# It looks every half minute, and a look may take minutes.
_WATCHDOG_SECONDS = 1200
_PORTS = re.compile(r"(\d+)(?:[-:](\d+))?(?:/tcp)?\Z")


def virtual_machine(host: Host, container: Optional[str]) -> Optional[str]:
    """The kind of virtual machine, such as ``kvm``; None on bare metal, in a container, or where no program tells."""
    if container or not host.which("systemd-detect-virt"):
        return None
    said = host.run(["systemd-detect-virt", "--vm"]).stdout.strip()
    return said if said and said != "none" else None


def read_services(host: Host) -> dict[str, Optional[str]]:
    """The state of each of SERVICES, ``active`` or another of systemd's words; None where it is not installed."""
    found: dict[str, Optional[str]] = dict.fromkeys(SERVICES)
    if not host.which("systemctl"):
        return found
    units = ["%s.service" % name for name in SERVICES]
    try:
        shown = Systemd(host.run, host.timeout).matching(units, ("LoadState", "ActiveState"))
    except SystemdError as exc:
        host.problem("services", str(exc))
        return found
    for unit, values in shown.items():
        name = short_name(unit)
        if name in found and values.get("LoadState") not in (None, "not-found"):
            found[name] = values.get("ActiveState")
    return found


def read_firewall(host: Host, services: dict[str, Optional[str]]) -> dict[str, Any]:
    """The firewall that is on, and the TCP ports that it leaves open (pairs of first and last); None where not known.

    Rules that were written by hand (nftables, iptables) are not looked at.
    """
    if services.get("firewalld") == "active":
        done = host.run(["firewall-cmd", "--list-all-zones"])
        if done.ok:
            return {"name": "firewalld", "open_ports": firewalld_ports(done.stdout)}
        host.problem("firewalld", done.describe())
        return {"name": "firewalld", "open_ports": None}
    if host.which("ufw") and services.get("ufw") == "active":
        done = host.run(["ufw", "status", "verbose"])
        if not done.ok:
            host.problem("ufw", done.describe())
            return {"name": "ufw", "open_ports": None}
        # The unit is active also where the firewall itself is switched off.
        if re.search(r"^Status: active\s*$", done.stdout, re.MULTILINE):
            return {"name": "ufw", "open_ports": ufw_ports(done.stdout)}
    return {"name": None, "open_ports": None}


def firewalld_ports(text: str) -> list[list[int]]:
    """The open TCP ports of the zones that are in use, from ``firewall-cmd --list-all-zones``."""
    found: list[list[int]] = []
    active = False
    for line in text.splitlines():
        if line and not line[0].isspace():
            active = bool(re.search(r"\((?:.*\b)?active\b", line))
        key, _colon, value = line.strip().partition(":")
        if not active:
            continue
        if key == "target" and value.strip() == "ACCEPT":
            found.append([1, 65535])
        if key == "ports":
            found += [p for p in map(_port_range, value.split()) if p]
    return found


def ufw_ports(text: str) -> list[list[int]]:
    """The open TCP ports in ``ufw status verbose``."""
    if re.search(r"^Default: allow \(incoming\)", text, re.MULTILINE):
        return [[1, 65535]]
    found: list[list[int]] = []
    for line in text.splitlines():
        match = re.match(r"(\S+)\s+(?:\(v6\)\s+)?ALLOW(?: IN)?\s", line)
        if match:
            parts = [_port_range(word) for word in match.group(1).split(",")]
            if match.group(1).endswith("/tcp"):
                parts = [_port_range(word) for word in match.group(1)[: -len("/tcp")].split(",")]
            found += [p for p in parts if p]
    return found


def _port_range(word: str) -> Optional[list[int]]:
    match = _PORTS.match(word)
    return [int(match.group(1)), int(match.group(2) or match.group(1))] if match else None


def read_proxies(host: Host) -> list[dict[str, Any]]:
    """Proxies that docker's client hands to containers, or that its daemon uses itself; without passwords."""
    found = []
    proxies = _json(host, DOCKER_CLIENT).get("proxies")
    for place, values in sorted((proxies if isinstance(proxies, dict) else {}).items()):
        # Proxies of another daemon than the local one concern no container here.
        if isinstance(values, dict) and place in ("default", "unix:///var/run/docker.sock"):
            found.append(
                _proxy(DOCKER_CLIENT, values.get("httpProxy"), values.get("httpsProxy"), values.get("noProxy"), 1)
            )
    own = _json(host, _DOCKER_DAEMON).get("proxies")
    if isinstance(own, dict):
        found.append(_proxy(_DOCKER_DAEMON, own.get("http-proxy"), own.get("https-proxy"), own.get("no-proxy"), 0))
    for folder in _DROP_INS:
        for name in host.names(folder):
            text = (host.read_noted("%s/%s" % (folder, name)) or "") if name.endswith(".conf") else ""
            values = dict(re.findall(r"\b(HTTPS?_PROXY|NO_PROXY|https?_proxy|no_proxy)=([^\s\"']*)", text))
            lower = {key.lower(): value for key, value in values.items()}
            if lower:
                where = "%s/%s" % (folder, name)
                found.append(_proxy(where, lower.get("http_proxy"), lower.get("https_proxy"), lower.get("no_proxy"), 0))
    return [entry for entry in found if entry["http"] or entry["https"]]


def _proxy(where: str, http: Any, https: Any, no_proxy: Any, containers: int) -> dict[str, Any]:
    return {
        "where": where,
        "http": _without_password(http),
        "https": _without_password(https),
        "no_proxy": str(no_proxy or ""),
        "containers": bool(containers),
    }


def _without_password(address: Any) -> Optional[str]:
    if not address:
        return None
    text = str(address)
    netloc = urlsplit(text if "//" in text else "//" + text).netloc
    return text.replace(netloc, netloc.rpartition("@")[2]) if "@" in netloc else text


def _json(host: Host, path: str) -> dict[str, Any]:
    text = host.read_noted(path)
    if not text:
        return {}
    try:
        data = json.loads(text)
    except ValueError as exc:
        host.problem(path, "is not JSON: %s" % exc)
        return {}
    return data if isinstance(data, dict) else {}


def read_watchdog(host: Host, now: Optional[float] = None) -> Optional[dict[str, Any]]:
    """What the watchdog of the serving units saw last; None where none runs, or not any more."""
    data = _json(host, _WATCHDOG)
    memory, at = data.get("memory"), data.get("at")
    if not isinstance(memory, dict) or not isinstance(at, (int, float)):
        return None
    if (time.time() if now is None else now) - at > _WATCHDOG_SECONDS:
        return None
    shown = ("state", "reason", "since", "evidence", "restart")
    replicas = [
        {"unit": unit, **{key: str(values.get(key) or "") for key in shown}}
        for unit, values in sorted(memory.items())
        if isinstance(values, dict)
    ]
    return {"mode": data.get("mode"), "at": data.get("at"), "replicas": replicas}
