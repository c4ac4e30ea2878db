# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The acceptance suite: what must be true of every NPU host, and of every gateway, after site.yml.

Asked over ssh with host keys checked.

Run it against any inventory:  pytest tests/testinfra --ansible-inventory=inventories/mysite
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, eq=False)
class Node:
    """One host of npu_hosts or of gateways: its name, its inventory variables and its testinfra connection."""

    name: str
    variables: dict[str, Any]
    host: Any


#: The group of the hosts of each fixture.
GROUPS = {"node": "npu_hosts", "gateway": "gateways"}


@functools.lru_cache(maxsize=2)
def read_inventory(path: str, group: str) -> dict[str, dict[str, Any]]:
    """The variables of every host of a group, as ansible-inventory sees them."""
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "--list", "-i", path]
    env = dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    data = json.loads(done.stdout)

    def members(group: str) -> set[str]:
        entry = data.get(group, {})
        return set(entry.get("hosts", ())).union(*(members(child) for child in entry.get("children", ())))

    return {host: data["_meta"]["hostvars"].get(host, {}) for host in sorted(members(group))}


def connect(name: str, variables: dict[str, Any]) -> Any:
    """A testinfra host over paramiko that refuses a host whose key is not known."""
    address = variables.get("ansible_host", name)
    user = variables.get("ansible_user", "root")
    host = testinfra.get_host(f"paramiko://{user}@{address}:{variables.get('ansible_port', 22)}", sudo=user != "root")
    client = paramiko.SSHClient()
    client.load_system_host_keys()
    pinned = re.search(r"UserKnownHostsFile=(\S+)", variables.get("ansible_ssh_common_args", ""))
    if pinned:
        client.load_host_keys(pinned.group(1).strip("'\""))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    key = variables.get("ansible_ssh_private_key_file")
    client.connect(address, port=int(variables.get("ansible_port", 22)), username=user, key_filename=key, timeout=30)
    # testinfra's own client accepts any host key; this one does not.
    host.backend.__dict__["client"] = client
    return host


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs once per host."""
    for fixture in GROUPS.keys() & set(metafunc.fixturenames):
        path = metafunc.config.getoption("ansible_inventory")
        if not path:
            raise pytest.UsageError("say which fleet: --ansible-inventory=inventories/mysite")
        hosts = sorted(read_inventory(path, GROUPS[fixture]))
        metafunc.parametrize(fixture, hosts, indirect=True, scope="session")


def under_test(request: pytest.FixtureRequest, fixture: str) -> Node:
    """The host of this name, with a connection."""
    variables = read_inventory(request.config.getoption("ansible_inventory"), GROUPS[fixture])[request.param]
    return Node(request.param, variables, connect(request.param, variables))


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Node:
    """The NPU host under test."""
    return under_test(request, "node")


@pytest.fixture(scope="session")
def gateway(request: pytest.FixtureRequest) -> Node:
    """The gateway under test. Where the fleet has none, its tests are skipped."""
    return under_test(request, "gateway")
