# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet is made of, as data: host specifications, addresses, capabilities, hashes. No side effects here."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .shell import FleetError

CAP_SYS_RESOURCE = 24
GENERATIONS = ("a2", "a3")
# What Docker and Debian call an architecture, by what `uname -m` calls it.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ALIASES = {"amd64": "x86_64", "arm64": "aarch64", "x86_64": "x86_64", "aarch64": "aarch64"}
# The first address is the bridge's; the origin is always the second, hosts begin at the eleventh.
ORIGIN_OFFSET = 2
HOST_OFFSET = 11
SPARE_OFFSET = 252  # no host's: for what floats between hosts

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?\Z")
_GROUP = re.compile(r"[a-z][a-z0-9_]*\Z")
_SIZE = re.compile(r"[1-9][0-9]*[kmg]\Z")
_KEYS = ("generation", "driver", "architecture", "capture", "os", "disk", "groups")


def other_architecture(architecture: str) -> str:
    return "aarch64" if architecture == "x86_64" else "x86_64"


@dataclass(frozen=True)
class HostSpec:
    """One simulated server. ``generation`` is None for a machine without NPUs (a gateway, a monitor)."""

    name: str
    generation: str | None
    driver: str = "25.2.0"
    architecture: str = ""  # empty: the machine's own
    capture: str | None = None  # a captured `npu-smi info` to reproduce
    os: str = ""  # Debian release; empty: the machine's own
    disk: str | None = None  # size of a limited filesystem on /var/lib/ascend-fleet, such as 512m
    groups: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        return content_hash([json.dumps(asdict(self), sort_keys=True)])


@dataclass(frozen=True)
class Placement:
    """Where a fleet lives on its network."""

    subnet: str
    hosts: Mapping[str, str] = field(default_factory=dict)

    @property
    def gateway(self) -> str:
        return address_at(self.subnet, 1)

    @property
    def origin(self) -> str:
        return address_at(self.subnet, ORIGIN_OFFSET)

    @property
    def spare(self) -> str:
        """With the prefix of the network: ``172.30.0.252/24``."""
        return "%s/%s" % (address_at(self.subnet, SPARE_OFFSET), self.subnet.rpartition("/")[2])


def check_name(what: str, name: str) -> str:
    if not _NAME.match(name):
        raise FleetError(
            "%s name %r: needed are lower-case letters, digits and inner hyphens, 42 at most" % (what, name),
            "choose a name such as a2-1",
        )
    return name


def parse_host(text: str, machine_architecture: str) -> HostSpec:
    """``NAME:key=value,key=value`` as given to --host."""
    name, _, rest = text.partition(":")
    check_name("host", name)
    values: dict[str, str] = {}
    for part in filter(None, (word.strip() for word in rest.split(","))):
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS or not value:
            raise FleetError(
                "--host %s: %r is not understood" % (text, part),
                "give NAME:KEY=VALUE,... with keys %s" % ", ".join(_KEYS),
            )
        values[key] = value
    groups = tuple(filter(None, values.get("groups", "").split("+")))
    for group in groups:
        if not _GROUP.match(group):
            raise FleetError("--host %s: %r is no inventory group's name" % (text, group), "use letters, digits, _")
    prefix = name.split("-", 1)[0]
    told = values.get("generation", prefix if prefix in GENERATIONS else "none" if groups else "")
    if not told:
        fix = "add generation=a2 or a3, or groups=... for one without NPUs"
        raise FleetError("--host %s: no generation" % text, fix)
    if told not in (*GENERATIONS, "none"):
        raise FleetError("--host %s: generation %r is unknown" % (text, told), "use a2, a3 or none")
    generation = None if told == "none" else told
    architecture = values.get("architecture", machine_architecture)
    if architecture not in ALIASES:
        raise FleetError("--host %s: architecture %r is unknown" % (text, architecture), "use aarch64 or x86_64")
    disk = values.get("disk")
    if disk is not None and not _SIZE.match(disk):
        raise FleetError("--host %s: disk %r is no size" % (text, disk), "give a size such as 512m or 2g")
    return HostSpec(
        name=name,
        generation=generation,
        driver=values.get("driver", "25.2.0"),
        architecture=ALIASES[architecture],
        capture=values.get("capture"),
        os=values.get("os", ""),
        disk=disk,
        groups=groups,
    )


def parse_hosts(texts: Sequence[str], machine_architecture: str) -> tuple[HostSpec, ...]:
    hosts = tuple(parse_host(text, machine_architecture) for text in texts)
    names = [host.name for host in hosts]
    double = sorted({name for name in names if names.count(name) > 1} | ({"origin"} & set(names)))
    if double:
        raise FleetError(
            "host name given twice or reserved: %s" % ", ".join(double), "give every host a name of its own"
        )
    return hosts


def address_at(subnet: str, offset: int) -> str:
    return str(ipaddress.ip_network(subnet)[offset])


def free_subnet(used: Iterable[str], before: str | None = None) -> str:
    """A private /24 that touches none of the networks already there: the one of before, else the first."""
    taken = []
    for text in used:
        try:
            taken.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue
    first = [before] if before else []
    for text in [*first, *("172.%d.%d.0/24" % (b, c) for b in range(30, 26, -1) for c in range(64))]:
        network = ipaddress.ip_network(text)
        if not any(network.version == other.version and network.overlaps(other) for other in taken):
            return text
    raise FleetError("no private /24 is free for the fleet's network", "take a fleet or a Docker network down")


def place(subnet: str, hosts: Sequence[str], before: Mapping[str, str]) -> dict[str, str]:
    """An address for each host. Those who had one keep it, whatever comes and goes."""
    placed = {name: before[name] for name in hosts if name in before}
    taken = set(placed.values())
    offset = HOST_OFFSET
    for name in hosts:
        if name in placed:
            continue
        while address_at(subnet, offset) in taken:
            offset += 1
            if offset > 250:
                raise FleetError("more hosts than the fleet's network %s has addresses" % subnet, "start fewer hosts")
        placed[name] = address_at(subnet, offset)
        taken.add(placed[name])
    return {name: placed[name] for name in hosts}


def has_capability(status_text: str, number: int) -> bool:
    """Whether the bounding and the effective set of a /proc/PID/status hold a capability."""
    sets = dict(re.findall(r"^(Cap\w+):\s*([0-9a-f]+)$", status_text, re.MULTILINE))
    return all(int(sets.get(name, "0"), 16) >> number & 1 for name in ("CapBnd", "CapEff"))


def container_options(can_raise_limits: bool) -> list[str]:
    """The options of `docker run` under which systemd and a second Docker live in a container.

    Not --privileged: that fails on a machine without CAP_SYS_RESOURCE, and would show the machine's own devices.
    The cgroup namespace is private, so that a host sees its own cgroups at the root, as a real one does; its init
    makes the hierarchy writable (Docker mounts it read-only).
    """
    options = ["--cap-add", "ALL"]
    if not can_raise_limits:
        options += ["--cap-drop", "SYS_RESOURCE"]
    for word in ("seccomp", "apparmor", "systempaths"):
        options += ["--security-opt", "%s=unconfined" % word]
    return [
        *options,
        "--device-cgroup-rule", "a *:* rwm",
        "--cgroupns", "private",
        "--tmpfs", "/run:exec,mode=755",
        "--tmpfs", "/tmp:exec,mode=1777",
        "--volume", "/var/lib/docker",
        "--stop-signal", "SIGRTMIN+3",
        "--restart", "always",
        "--env", "container=docker",
    ]  # fmt: skip


def content_hash(parts: Iterable[str | bytes]) -> str:
    """Twelve hex digits that change when any part does."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()[:12]


def tree_hash(*roots: Path) -> str:
    """The hash of files (names, modes' x bit, bytes) under some folders; what Python leaves behind is not counted."""
    parts: list[str | bytes] = []
    for root in roots:
        base = len(root.parts)
        files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        for path in files:
            if any(part == "__pycache__" or part.startswith(".") for part in path.parts[base:]):
                continue
            parts += [path.relative_to(root).as_posix(), str(bool(path.stat().st_mode & 0o100)), path.read_bytes()]
    return content_hash(parts)
