# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a node's system: disks, versions, PCI, kernels, docker's packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._node import (
    collect,
    devices,
    disk,
    software,
    system,
)

sys.path.insert(0, str(Path(__file__).resolve().parent))

from node_machine import DF, Machine


def test_a_path_that_does_not_exist_counts_for_its_parent(machine: Machine) -> None:
    machine.answers = {"df": (1, "", "df: x: No such file or directory"), "df -P -T -B1 /": (0, DF, "")}
    machine.answers["df -P -T -B1 /var"] = (1, "", "df: No such file or directory")
    found = disk.read_disk(machine.host(), "/var/lib/ascend-fleet")
    assert (found["exists"], found["mount"], found["free_bytes"]) == (False, "/", 600)
    assert machine.calls == ["df -P -T -B1 " + p for p in ("/var/lib/ascend-fleet", "/var/lib", "/var", "/")]
    assert disk.occupied_bytes(machine.host(), found) == 0


def test_a_dead_mount_is_a_problem(machine: Machine) -> None:
    machine.answers["df"] = (None, "", "")
    host = machine.host()
    assert disk.read_disk(host, "/data")["free_bytes"] is None
    assert [p["subject"] for p in host.problems] == ["/data"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("/dev/sda / ext4 rw,relatime 0 0\n", False),
        ("/dev/sda / ext4 rw 0 0\n/dev/sdb / ext4 ro,x 0 0\n", True),
        ("/dev/sdb /other ext4 ro 0 0\n", None),
    ],
)
def test_mounted_read_only(table: str, expected: Any) -> None:
    assert disk.mounted_read_only(table, "/") is expected


def test_a_folder_in_the_place_of_a_version_file_is_a_problem(machine: Machine) -> None:
    (machine.root / "usr/local/Ascend/driver/version.info").mkdir(parents=True)
    host = machine.host()
    assert software.read_versions(host)["driver"] is None
    assert "is a directory" in host.problems[0]["message"]


def test_the_driver_may_be_installed_elsewhere(machine: Machine) -> None:
    machine.file("/etc/ascend_install.info", "Driver_Install_Path_Param=/opt/Ascend\n")
    machine.file("/opt/Ascend/driver/version.info", "Version=25.2.0\n")
    assert software.read_versions(machine.host())["driver"]["path"] == "/opt/Ascend/driver/version.info"


def test_pci_from_the_kernels_tree_where_there_is_no_lspci(machine: Machine) -> None:
    for address, vendor, device, kind in (
        ("0000:c1:00.0", "0x19e5", "0xd803", "0x120000"),
        ("0000:7d:00.0", "0x19e5", "0xa222", "0x020000"),
        ("0000:01:00.0", "0x8086", "0xd803", "0x120000"),
    ):
        for name, text in (("vendor", vendor), ("device", device), ("class", kind)):
            machine.file("/sys/bus/pci/devices/%s/%s" % (address, name), text + "\n")
    assert [(p["address"], p["id"], p["in_kernel"]) for p in devices.read_pci(machine.host())] == [
        ("0000:c1:00.0", "19e5:d803", True)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID="openEuler"\nVERSION_ID="22.03"\nPRETTY_NAME="openEuler 22.03 (LTS-SP4)"\n', ("openEuler", "22.03", [])),
        ("ID=ubuntu\nVERSION_ID='22.04'\nID_LIKE=debian\n# x=y\n", ("ubuntu", "22.04", ["debian"])),
        ('ID="kylin"\nID_LIKE="rhel fedora"\n', ("kylin", None, ["rhel", "fedora"])),
        ("", (None, None, [])),
    ],
)
def test_os_release(text: str, expected: tuple[Any, Any, Any]) -> None:
    found = system.parse_os_release(text)
    assert (found["id"], found["version_id"], found["like"]) == expected


OLD, NEW = "5.10.0-99.0.0.115.oe2203sp4.aarch64", "5.10.0-216.0.0.115.oe2203sp4.aarch64"


@pytest.fixture
def booted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A host that runs OLD, for which the driver has modules, with NEW installed beside it."""
    real = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((real[0], real[1], OLD, real[3], real[4])))
    for version in (OLD, NEW):
        machine.file("/lib/modules/%s/modules.builtin" % version)
        machine.file("/lib/modules/%s/modules.dep" % version, "kernel/drivers/net/e1000.ko.xz: kernel/x.ko\n")
    machine.file("/lib/modules/%s/updates/drv_davinci_intf_host.ko" % OLD)
    machine.file("/lib/modules/5.10.0-1.removed/updates/drv_davinci_intf_host.ko")
    machine.file("/proc/modules", "drv_davinci_intf_host 45056 0 - Live 0x0\n")
    return machine


def test_a_newer_kernel_without_the_drivers_modules(booted: Machine) -> None:
    node = collect.collect(booted.host(), gather_subset=["system"])
    assert node["kernels"] == {
        "running": OLD,
        "installed": [
            {"version": OLD, "has_driver_module": True},
            {"version": NEW, "has_driver_module": False},
        ],
        "newest": NEW,
    }
    assert node["pending"] == [{"package": "kernel", "running": OLD, "installed": NEW}]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("updates/dkms/drv_devmm_host.ko.xz", True),
        ("extra/ascend_event_sched_host.ko", True),
        ("weak-updates/drv_pcie_host.ko", True),
        ("updates/nvidia.ko", False),
    ],
)
def test_where_the_drivers_modules_lie(booted: Machine, place: str, found: bool) -> None:
    booted.file("/lib/modules/%s/%s" % (NEW, place))
    kernels = software.read_kernels(booted.host())
    assert [k["has_driver_module"] for k in kernels["installed"]] == [True, found]


def test_the_list_of_modules_names_the_drivers(booted: Machine) -> None:
    booted.file("/lib/modules/%s/modules.dep" % NEW, "kernel/drivers/davinci/drv_davinci_intf_host.ko: a.ko\n")
    assert software.read_kernels(booted.host())["installed"][1]["has_driver_module"] is True
    (booted.root / ("lib/modules/%s/modules.dep" % NEW)).unlink()
    assert software.read_kernels(booted.host())["installed"][1]["has_driver_module"] is None


def test_modules_that_lie_elsewhere_are_unknown(booted: Machine) -> None:
    (booted.root / ("lib/modules/%s/updates/drv_davinci_intf_host.ko" % OLD)).unlink()
    host = booted.host()
    kernels = software.read_kernels(host)
    assert [k["has_driver_module"] for k in kernels["installed"]] == [None, None]
    assert [p["subject"] for p in host.problems] == ["/lib/modules"]


@pytest.mark.parametrize(
    ("said", "pending"),
    [
        ("Docker version 24.0.7, build afdd53b\n", []),
        ("Docker version 26.1.4, build 5650f9b\n", [{"package": "docker", "running": "24.0.7", "installed": "26.1.4"}]),
    ],
)
def test_an_upgrade_of_docker_that_does_not_run_yet(a2: Machine, said: str, pending: list[dict[str, Any]]) -> None:
    a2.program("/usr/bin/dockerd")
    a2.answers["dockerd --version"] = (0, said, "")
    node = collect.collect(a2.host())
    assert (node["pending"], node["problems"]) == (pending, [])


def test_a_dockerd_that_does_not_tell_its_version_is_a_problem(a2: Machine) -> None:
    a2.program("/usr/bin/dockerd")
    a2.answers["dockerd --version"] = (139, "", "Segmentation fault")
    node = collect.collect(a2.host())
    assert (node["pending"], [p["subject"] for p in node["problems"]]) == ([], ["dockerd"])


def test_packages_that_wait_for_a_reboot(machine: Machine) -> None:
    machine.file("/run/reboot-required.pkgs", "linux-image-6.1.0-28-arm64\nlibc6\nlibc6\n")
    node = collect.collect(machine.host(), gather_subset=["system"])
    assert [p["package"] for p in node["pending"]] == ["libc6", "linux-image-6.1.0-28-arm64"]


def test_the_change_of_a_driver_that_is_open(machine: Machine) -> None:
    def read() -> object:
        return collect.collect(machine.host(), gather_subset=["versions"])["driver_change"]

    path = "/var/lib/ascend-fleet/driver.json"
    assert read() is None
    machine.file(path, '{"schema": 1, "change": null, "history": []}')
    assert read() is None
    machine.file(path, '{"schema": 1, "change": {"id": "x-driver", "step": "verifying", "why": "", "by": "a"}}')
    assert read() == {"id": "x-driver", "step": "verifying", "why": ""}
    machine.file(path, '{"schema": 1, ')
    assert read() == {"id": "", "step": "", "why": path + " is damaged"}
