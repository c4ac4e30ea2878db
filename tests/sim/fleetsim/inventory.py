# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a simulated fleet, as text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from .spec import HostSpec


def ssh_arguments(known_hosts: Path) -> list[str]:
    """Only the fleet's own keys count. ssh takes the path apart at blanks unless it is in double quotes."""
    settings = ('UserKnownHostsFile="%s"' % known_hosts, "StrictHostKeyChecking=yes", "IdentitiesOnly=yes")
    return [word for setting in settings for word in ("-o", setting)]


def render(
    fleet: str,
    hosts: Sequence[HostSpec],
    addresses: Mapping[str, str],
    state: Path,
    origin_url: str | None,
    spare: str | None = None,
) -> str:
    """YAML by hand: strings are JSON strings, which YAML reads as they are."""
    quote = json.dumps
    lines = [
        "---",
        "# Written by tests/sim/fleet up (fleet %s); gone after tests/sim/fleet down." % fleet,
        "all:",
        "  vars:",
        "    ansible_connection: ssh",
        "    ansible_user: root",
        "    ansible_ssh_private_key_file: %s" % quote(str(state / "id_ed25519")),
        "    ansible_ssh_common_args: %s" % quote(shlex.join(ssh_arguments(state / "known_hosts"))),
        "    ansible_python_interpreter: /usr/bin/python3",
    ]
    if origin_url:
        lines.append("    artifact_origin: %s" % quote(origin_url))
    if spare:
        lines.append("    sim_spare_address: %s" % quote(spare))
    groups: dict[str, list[str]] = {}
    for host in hosts:
        for group in host.groups:
            groups.setdefault(group, []).append(host.name)
    lines += ["  children:", "    npu_hosts:", "      children:"]
    for generation in ("a2", "a3"):
        lines.append("        atlas_%s:" % generation)
        lines.append("          hosts:")
        members = [host for host in hosts if host.generation == generation]
        if not members:
            lines[-1] += " {}"
        for host in members:
            lines.append("            %s:" % host.name)
            lines.append("              ansible_host: %s" % quote(addresses[host.name]))
    others = [host for host in hosts if host.generation is None]
    for group, names in sorted(groups.items()):
        lines += ["    %s:" % group, "      hosts:"]
        for name in names:
            lines.append("        %s:" % name)
            if any(host.name == name for host in others):
                lines.append("          ansible_host: %s" % quote(addresses[name]))
    return "\n".join(lines) + "\n"
