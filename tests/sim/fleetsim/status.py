# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a fleet is up, and what is broken."""

from __future__ import annotations

from typing import Any

from .home import Home
from .shell import run
from .spec import Placement


def status(home: Home) -> dict[str, Any]:
    hosts: list[dict[str, Any]] = []
    answers = home.docker.answers()
    addresses = home.memory.get("addresses", {})
    for host in home.hosts():
        name = home.container(host.name)
        entry: dict[str, Any] = {
            "name": host.name, "generation": host.generation, "architecture": host.architecture,
            "address": addresses.get(host.name), "container": name, "running": False, "systemd": None,
            "ssh": False, "docker": None, "faults": [],
        }  # fmt: skip
        found = home.docker.inspect("container", name) if answers else []
        if found and found[0]["State"]["Running"]:
            entry["running"] = True
            entry["systemd"] = home.docker.text("exec", name, "systemctl", "is-system-running", check=False)
            argv = ["ssh", *home.ssh_options(), "root@%s" % entry["address"], "true"]
            entry["ssh"] = run(argv, check=False, timeout=30).returncode == 0
            version = home.docker(
                "exec", name, "docker", "version", "--format", "{{.Server.Version}}", check=False, timeout=30
            )
            entry["docker"] = version.stdout.decode().strip() if version.returncode == 0 else None
            if host.generation:
                faults = home.docker("exec", name, "ascend-sim", "faults", check=False)
                entry["faults"] = faults.stdout.decode().splitlines() if faults.returncode == 0 else []
        hosts.append(entry)
    report: dict[str, Any] = {
        "name": home.name, "docker": answers, "docker_started_here": home.daemon.ours, "hosts": hosts,
        "inventory": home.memory.get("inventory"), "network": home.network, "origin": None,
        "state": str(home.state),
    }  # fmt: skip
    if home.memory.get("origin") and answers:
        found = home.docker.inspect("container", home.container("origin"))
        placement = Placement(home.memory["subnet"])
        report["origin"] = {
            "url": "http://%s:8080" % placement.origin, "https": "https://%s:8443" % placement.origin,
            "ca": str(home.state / "origin-ca.pem"), "running": bool(found and found[0]["State"]["Running"]),
            "container": home.container("origin"), "archives": home.memory.get("archives", {}),
        }  # fmt: skip
    return report
