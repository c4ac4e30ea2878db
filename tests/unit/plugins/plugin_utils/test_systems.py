# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Package names and paths of the operating systems that Ascend servers run."""

from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.ascend.fleet.plugins.filter import system_packages as plugin
from ansible_collections.ascend.fleet.plugins.module_utils._node.system import parse_os_release
from ansible_collections.ascend.fleet.plugins.plugin_utils import _systems

# /etc/os-release as the systems ship it, as far as it matters
SYSTEMS = {
    "debian 12": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
    "debian 13": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n',
    "ubuntu 22.04": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\n',
    "openeuler 22.03": 'NAME="openEuler"\nVERSION="22.03 (LTS-SP4)"\nID="openEuler"\nVERSION_ID="22.03"\n',
    "openeuler 24.03": 'NAME="openEuler"\nID="openEuler"\nVERSION_ID="24.03"\n',
    "kylin server": 'NAME="Kylin Linux Advanced Server"\nVERSION="V10 (Lance)"\nID="kylin"\nVERSION_ID="V10"\n',
    "kylin desktop": 'NAME="Kylin"\nID=kylin\nID_LIKE=debian\nVERSION_ID="v10"\n',
    "uos server": 'PRETTY_NAME="UnionTech OS Server 20"\nID=uos\nVERSION_ID=20\n',
    "uos d": 'PRETTY_NAME="UnionTech OS Server 20"\nID=uos\nID_LIKE=debian\nVERSION_ID=20\n',
    "ctyunos": 'ID="ctyunos"\nID_LIKE="openEuler"\nVERSION_ID="23.01"\n',
    "bclinux": 'ID="bclinux"\nVERSION_ID="21.10"\n',
    "centos": 'ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="8"\n',
    "unknown": 'ID="plan9"\nVERSION_ID="4"\n',
    "nothing": "",
    "hostile": 'ID="../../../../etc/passwd"\nVERSION_ID="../x"\n',
}


def system(name):
    return parse_os_release(SYSTEMS[name])


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("debian 13", ["default", "family-debian", "debian", "debian-debian", "debian-13"]),
        (
            "ubuntu 22.04",
            ["default", "family-debian", "debian", "ubuntu", "ubuntu-debian", "ubuntu-22", "ubuntu-22.04"],
        ),
        ("openeuler 22.03", ["default", "family-rpm", "openeuler", "openeuler-rpm", "openeuler-22", "openeuler-22.03"]),
        ("kylin server", ["default", "family-rpm", "kylin", "kylin-rpm", "kylin-v10"]),
        ("kylin desktop", ["default", "family-debian", "debian", "kylin", "kylin-debian", "kylin-v10"]),
        ("nothing", ["default"]),
    ],
)
def test_layers(name, layers):
    assert _systems.layers(system(name)) == layers


@pytest.mark.parametrize(
    ("name", "docker", "install", "ca_update"),
    [
        ("debian 12", ["docker.io"], "apt-get install", "update-ca-certificates"),
        ("debian 13", ["docker.io", "docker-cli"], "apt-get install", "update-ca-certificates"),
        ("ubuntu 22.04", ["docker.io"], "apt-get install", "update-ca-certificates"),
        ("openeuler 22.03", ["docker-engine"], "dnf install", "update-ca-trust"),
        ("openeuler 24.03", ["docker-engine"], "dnf install", "update-ca-trust"),
        ("kylin server", ["docker-engine"], "dnf install", "update-ca-trust"),
        ("kylin desktop", ["docker.io"], "apt-get install", "update-ca-certificates"),
        ("uos server", ["docker-engine"], "dnf install", "update-ca-trust"),
        ("uos d", ["docker.io"], "apt-get install", "update-ca-certificates"),
        ("ctyunos", ["docker-engine"], "dnf install", "update-ca-trust"),
        ("bclinux", ["docker-engine"], "dnf install", "update-ca-trust"),
        ("centos", ["docker-ce"], "dnf install", "update-ca-trust"),
        ("unknown", ["docker"], "install the packages", "update-ca-certificates"),
        ("nothing", ["docker"], "install the packages", "update-ca-certificates"),
        ("hostile", ["docker"], "install the packages", "update-ca-certificates"),
    ],
)
def test_values(name, docker, install, ca_update):
    found = _systems.values(system(name))
    assert found["packages"]["docker"] == docker
    assert found["packages"]["git-lfs"] == ["git-lfs"]
    assert (found["install"], found["ca_update"]) == (install, ca_update)


def test_every_layer_says_only_what_the_default_knows():
    files = {p.stem: yaml.safe_load(p.read_text()) for p in _systems.FOLDER.glob("*.yml")}
    default = files["default"]
    for name, layer in files.items():
        assert set(layer) <= set(default), name
        assert set(layer.get("packages", {})) <= set(default["packages"]), name
    reachable = {layer for text in SYSTEMS for layer in _systems.layers(system(text))}
    assert set(files) <= reachable


def test_values_of_one_host_do_not_leak_into_another():
    first = _systems.values(system("debian 13"))
    first["packages"]["git"] = ["broken"]
    assert _systems.values(system("debian 13"))["packages"]["git"] == ["git"]


def test_the_filter():
    packages = plugin.FilterModule().filters()["system_packages"]
    assert packages(["git", "git-lfs"], system("debian 12")) == ["git", "git-lfs"]
    assert packages(["docker", "my-own", "docker"], system("debian 13")) == ["docker.io", "docker-cli", "my-own"]
    with pytest.raises(AnsibleFilterError, match="list of names"):
        packages("git", system("debian 12"))
    with pytest.raises(AnsibleFilterError, match=r"node\.os"):
        packages(["git"], None)
