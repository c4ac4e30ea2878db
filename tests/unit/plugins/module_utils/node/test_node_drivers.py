# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of driver and firmware reads of a host."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ansible_collections.ascend.fleet.plugins.module_utils._driver import host as driver_host
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import deployment, state

sys.path.insert(0, str(Path(__file__).resolve().parent))

from node_machine import Machine

KERNELS = {
    "running": "5.10",
    "newest": "6.6",
    "installed": [{"version": "5.10", "has_driver_module": True}, {"version": "6.6", "has_driver_module": False}],
}


def test_headers_are_looked_for_where_the_kernel_has_a_folder(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.file("/lib/modules/6.6/modules.dep")
    machine.file("/lib/modules/6.6/build/Makefile")
    found = driver_host._with_headers(machine.host(), KERNELS)
    assert [kernel["headers"] for kernel in found["installed"]] == [None, True]
    machine.file("/lib/modules/5.10/modules.dep")
    found = driver_host._with_headers(machine.host(), KERNELS)
    assert [kernel["headers"] for kernel in found["installed"]] == [False, True]


def test_the_bmc_is_asked_of_ipmitool(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert driver_host.bmc_address(machine.host()) == ""
    machine.program("/usr/bin/ipmitool")
    machine.answers["ipmitool lan print"] = (1, "", "Could not open device")
    assert driver_host.bmc_address(machine.host()) == ""
    words = "IP Address Source       : Static Address\nIP Address              : %s\nSubnet Mask : 255.255.255.0\n"
    machine.answers["ipmitool lan print"] = (0, words % "0.0.0.0", "")
    machine.answers["ipmitool lan print 8"] = (0, words % "192.0.2.110", "")
    assert driver_host.bmc_address(machine.host()) == "192.0.2.110"


def test_who_has_the_ids_of_the_installer(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nops:x:1000:1001::/home/ops:/bin/sh\n")
    machine.file("/etc/group", "root:x:0:\nops:x:1001:\n")
    assert driver_host.ids(machine.host()) == {"uid": "ops", "gid": ""}


def test_the_releases_that_must_run_on_a_driver(tmp_path: Path) -> None:
    folder = str(tmp_path)
    unit = {
        "name": "vllm-m@0.service", "replica": 0, "container_name": "c", "config_hash": "h", "image": "i",
        "content": "t", "environment": {}, "directories": [], "url": "http://127.0.0.1:8010", "served_model_name": "m",
    }  # fmt: skip
    kept = deployment.Deployment.of({"release": "r_v1", "cann": {"version": "8.5.0"}}, [unit], {"KEY": "hidden"})
    deployment.keep(kept, folder)
    about = {"release": "r_v1", "digest": kept.digest, "since": "2026-11-30T06:15:00Z"}
    known = state.empty()
    known["last_good"] = about
    known["previous_good"] = {**about, "release": "r_v0", "digest": "0" * 64}
    known["replicas"] = {"vllm-m@0.service": {**about, "out_seconds": None, "start_seconds": None}}
    state.write(known, folder)
    found = driver_host.releases(folder)
    assert found == [
        {"name": "r_v1", "role": "running and last good", "cann": "8.5.0"},
        {"name": "r_v0", "role": "good before that", "cann": ""},
    ]
    assert "hidden" not in json.dumps(found)


def test_nothing_is_known_of_a_host_that_has_served_nothing(tmp_path: Path) -> None:
    assert driver_host.releases(str(tmp_path)) == []
    assert driver_host.read_packages([{"path": "x.run", "file": ""}]) == []
