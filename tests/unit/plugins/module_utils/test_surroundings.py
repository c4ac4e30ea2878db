# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds the service: read from files and commands, and turned into what units need of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._node import surroundings
from ansible_collections.ascend.fleet.plugins.module_utils._node.host import Host
from ansible_collections.ascend.fleet.plugins.module_utils._serving import container
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import Settings

FIREWALLD = """block
  target: %%REJECT%%
  ports: 1-65535/tcp

public (active)
  target: default
  interfaces: eth0
  services: dhcpv6-client ssh
  ports: 8000/tcp 8010-8013/tcp 53/udp
  forward-ports:

trusted
  target: ACCEPT
"""
UFW = """Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), disabled (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
22/tcp                     ALLOW IN    Anywhere
8010:8013/tcp              ALLOW IN    192.0.2.0/24
8443,9000/tcp              ALLOW IN    Anywhere
53/udp                     ALLOW IN    Anywhere
9100/tcp                   DENY IN     Anywhere
8010:8013/tcp (v6)         ALLOW IN    Anywhere (v6)
"""


class Machine:
    """A tree of files with recorded commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.answers: dict[str, tuple[int, str]] = {}

    def file(self, path: str, text: str, mode: int = 0o644) -> None:
        full = self.root / path.lstrip("/")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text, encoding="utf-8")
        full.chmod(mode)

    def run(self, argv: Any, *, timeout: float, env: Any = None) -> Completed:
        status, out = self.answers.get(os.path.basename(argv[0]), (127, ""))
        return Completed(tuple(argv), status, out, "", False)

    def host(self, **programs: tuple[int, str]) -> Host:
        for name, answer in programs.items():
            name = name.replace("_", "-")
            self.file("/usr/bin/" + name, "", 0o755)
            self.answers[name] = answer
        return Host(root=str(self.root), run=self.run)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", "/usr/bin")
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("status", "said", "container_kind", "found"),
    [(0, "kvm\n", None, "kvm"), (1, "none\n", None, None), (0, "kvm\n", "docker", None), (1, "", None, None)],
)
def test_virtual_machine(machine, status, said, container_kind, found):
    host = machine.host(systemd_detect_virt=(status, said))
    assert surroundings.virtual_machine(host, container_kind) == found


def test_nobody_can_say_whether_it_is_a_virtual_machine(machine):
    assert surroundings.virtual_machine(machine.host(), None) is None


def test_services(machine):
    text = (
        "Id=irqbalance.service\nLoadState=loaded\nActiveState=active\n\n"
        "Id=firewalld.service\nLoadState=not-found\nActiveState=inactive\n\n"
        "Id=ufw.service\nLoadState=masked\nActiveState=inactive\n"
    )
    found = surroundings.read_services(machine.host(systemctl=(0, text)))
    assert found == {"irqbalance": "active", "firewalld": None, "ufw": "inactive"}


def test_services_that_cannot_be_read_are_a_problem(machine):
    host = machine.host(systemctl=(1, ""))
    assert surroundings.read_services(host)["ufw"] is None
    assert host.problems[0]["subject"] == "services"


def test_firewalld(machine):
    host = machine.host(firewall_cmd=(0, FIREWALLD))
    firewall = surroundings.read_firewall(host, {"firewalld": "active"})
    assert firewall == {"name": "firewalld", "open_ports": [[8000, 8000], [8010, 8013]]}
    assert surroundings.read_firewall(host, {"firewalld": "inactive"})["name"] is None


def test_a_zone_that_lets_all_through(machine):
    assert surroundings.firewalld_ports("trusted (default, active)\n  target: ACCEPT\n") == [[1, 65535]]


def test_ufw(machine):
    host = machine.host(ufw=(0, UFW))
    firewall = surroundings.read_firewall(host, {"ufw": "active"})
    assert firewall == {"name": "ufw", "open_ports": [[22, 22], [8010, 8013], [8443, 8443], [9000, 9000], [8010, 8013]]}
    assert surroundings.ufw_ports("Default: allow (incoming), allow (outgoing)\n") == [[1, 65535]]


def test_a_ufw_that_is_switched_off(machine):
    host = machine.host(ufw=(0, "Status: inactive\n"))
    assert surroundings.read_firewall(host, {"ufw": "active"})["name"] is None


@pytest.mark.parametrize(("program", "service"), [("firewall_cmd", "firewalld"), ("ufw", "ufw")])
def test_a_firewall_that_does_not_say_what_it_opens(machine, program, service):
    host = machine.host(**{program: (252, "")})
    assert surroundings.read_firewall(host, {service: "active"}) == {"name": service, "open_ports": None}
    assert host.problems[0]["subject"] == service


def test_proxies(machine):
    given = {"httpProxy": "http://user:secret@proxy.example:3128", "httpsProxy": "", "noProxy": "10.0.0.0/8"}
    other = {"httpProxy": "http://elsewhere.example"}
    config = {"auths": {}, "proxies": {"default": given, "tcp://docker.example:2375": other}}
    machine.file("/root/.docker/config.json", json.dumps(config))
    machine.file("/etc/docker/daemon.json", json.dumps({"proxies": {"https-proxy": "http://d.example"}}))
    machine.file(
        "/etc/systemd/system/docker.service.d/proxy.conf",
        '[Service]\nEnvironment="HTTP_PROXY=http://drop.example:1" "NO_PROXY=localhost,127.0.0.1"\n',
    )
    machine.file("/etc/systemd/system/docker.service.d/other.conf", "[Service]\nLimitNOFILE=1\n")
    host = machine.host()
    found = surroundings.read_proxies(host)
    assert [(p["where"].rsplit("/", 1)[1], p["http"], p["https"], p["no_proxy"], p["containers"]) for p in found] == [
        ("config.json", "http://proxy.example:3128", None, "10.0.0.0/8", True),
        ("daemon.json", None, "http://d.example", "", False),
        ("proxy.conf", "http://drop.example:1", None, "localhost,127.0.0.1", False),
    ]
    assert host.problems == []


def test_a_configuration_that_is_no_json(machine):
    machine.file("/root/.docker/config.json", "{")
    host = machine.host()
    assert surroundings.read_proxies(host) == []
    assert host.problems[0]["subject"] == "/root/.docker/config.json"


def test_what_the_watchdog_saw(machine):
    memory = {"state": "stalled", "reason": "r", "since": "s", "evidence": "/e", "restart": "", "moved": 1.0}
    assert surroundings.read_watchdog(machine.host()) is None
    machine.file("/run/ascend-fleet/watchdog.json", json.dumps({"mode": "observe", "at": 7, "memory": {"u": memory}}))
    assert surroundings.read_watchdog(machine.host()) is None  # it does not run any more
    assert surroundings.read_watchdog(machine.host(), 1000) == {
        "mode": "observe",
        "at": 7,
        "replicas": [{"unit": "u", **{k: v for k, v in memory.items() if k != "moved"}}],
    }


ENTRY = {"hccl_if_base_port": 61000, "master_port": 29500, "indices": [0]}


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [
        ([], None),
        ([{"containers": False, "no_proxy": ""}], None),
        ([{"containers": True, "no_proxy": "10.0.0.0/8, localhost"}], "10.0.0.0/8,localhost,127.0.0.1,::1"),
    ],
)
def test_units_do_not_ask_a_proxy_for_their_own_host(proxies, expected):
    node = {"devices": [{"index": 0}], "proxies": proxies}
    values, _secrets = container.environment(ENTRY, node, {}, Settings(), "/f")
    assert values.get("NO_PROXY") == values.get("no_proxy") == expected
    own = Settings(environment={"no_proxy": "mine"})
    assert container.environment(ENTRY, node, {}, own, "/f")[0]["no_proxy"] == "mine"
