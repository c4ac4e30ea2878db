# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node, read from a tree of files and recorded commands, and joined."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base import command as _command
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._node import (
    collect,
)
from ansible_collections.ascend.fleet.plugins.module_utils._node.host import Host
from ansible_collections.ascend.fleet.plugins.module_utils._preflight import findings

sys.path.insert(0, str(Path(__file__).resolve().parent))

from node_machine import A2, BOARD, Machine


def test_an_a2_host(a2: Machine) -> None:
    node = collect.collect(a2.host())
    assert node["problems"] == []
    assert node["npu_smi"]["error"] is None
    assert (node["npu_smi"]["driver_version"], node["npu_smi"]["process_table"]) == ("25.2.0", True)
    assert [d["index"] for d in node["devices"]] == list(range(8))
    assert all(d["node_present"] and d["pci_present"] for d in node["devices"])
    first = node["devices"][0]
    assert (first["numa_node"], first["logic_id"], first["cpu_affinity"]) == (3, 0, "144-167")
    assert (first["board_firmware_version"], first["node"]) == ("7.8.0.6.201", "/dev/davinci0")
    assert node["devices"][1]["numa_node"] is None
    assert [p["id"] for p in node["pci"]] == ["19e5:d802"] * 8
    assert {p["address"]: p["driver"] for p in node["pci"]}["0000:c1:00.0"] == "devdrv_device_driver"
    assert [n["name"] for n in node["device_nodes"]][-3:] == ["davinci_manager", "devmm_svm", "hisi_hdc"]
    assert node["device_nodes"][0]["mode"] == "0660"
    assert (node["device_nodes"][0]["owner"], node["device_nodes"][0]["major"]) == ("HwHiAiUser", 236)
    assert node["versions"]["driver"]["version"] == "25.2.0"
    assert node["versions"]["firmware"]["package_version"] == "25.2.0"
    assert [(c["version"], c["architecture"]) for c in node["versions"]["cann"]] == [("8.5.0", "aarch64")]
    assert node["memory"]["total_bytes"] == 1024 * 1024
    assert node["tuning"]["sysctl"] == {
        "kernel.numa_balancing": 1,
        "vm.swappiness": 60,
        "net.ipv4.ip_local_port_range": "32768 60999",
    }
    assert node["hccn"]["present"]
    assert [a["index"] for a in node["hccn"]["addresses"]] == [0, 7]
    assert len(node["hccn"]["links"]) == 8
    assert node["users"]["HwHiAiUser"] == {"uid": 1001, "gid": 1002, "group": "HwHiAiUser"}
    assert node["disk"][0]["free_bytes"] == 600
    assert node["docker"]["root_free_bytes"] == 600
    assert [(u["name"], u["active"], u["main_pid"]) for u in node["systemd"]["units"]] == [
        ("vllm-qwen3.5@0.service", "active", 4242),
        ("vllm-qwen3.5@1.service", "failed", None),
    ]
    json.dumps(node)


def test_what_tunes_the_host(a2: Machine) -> None:
    node = collect.collect(a2.host())
    assert node["memory"]["hugepages"] == {"size_bytes": 2 << 20, "total": 64, "free": 60}
    assert node["tuning"]["transparent_hugepage"] == "madvise"
    assert node["tuning"]["sysctl"]["kernel.numa_balancing"] == 1
    assert node["tuning"]["cpu_governors"] == ["performance"]
    assert node["tuning"]["cgroup_version"] == "2"
    assert node["shm"] == {"size_bytes": 1000, "free_bytes": 600}


def test_an_empty_machine_is_described_without_a_traceback(machine: Machine) -> None:
    machine.answers.clear()
    node = collect.collect(machine.host())
    assert node["npu_smi"]["error_kind"] == "missing"
    assert node["docker"]["installed"] is False
    assert node["devices"] == node["pci"] == node["device_nodes"] == node["ports"] == []
    assert node["versions"] == {"driver": None, "firmware": None, "cann": [], "install_info": None}
    assert node["disk"][0]["free_bytes"] is None
    assert node["systemd"]["state"] is None
    json.dumps(node)


def test_a_subset_asks_for_nothing_else(a2: Machine) -> None:
    node = collect.collect(a2.host(), gather_subset=["npu"])
    assert {c.split()[0] for c in a2.calls} == {"npu-smi", "lspci"}
    assert not any("board" in c or "topo" in c for c in a2.calls)
    assert node["gathered"] == ["npu"]
    assert len(node["devices"]) == 8


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["min"], set()),
        (["min", "disk"], {"disk"}),
        (["all"], set(collect.SUBSETS)),
        ([], set(collect.SUBSETS)),
        (["!board"], set(collect.SUBSETS) - {"board"}),
        (["npu", "docker"], {"npu", "docker"}),
        (["all", "!npu", "!disk"], set(collect.SUBSETS) - {"npu", "disk"}),
    ],
)
def test_subsets(wanted: list[str], expected: set[str]) -> None:
    assert collect.subsets(wanted) == expected


HANGS = {
    "npu-smi": "NPU-003",
    "docker": "DKR-002",
    "hccn_tool": "SYS-016",
    "lspci": "SYS-016",
    "systemctl": "SYS-005",
    "df": "DSK-006",
}


@pytest.mark.parametrize("name", HANGS)
def test_a_hung_command_of_any_kind_is_a_finding_not_a_hang(a2: Machine, name: str) -> None:
    """The command really hangs, with a child of its own, and both refuse to end."""
    hung = a2.root / "hung"
    hung.write_text("#!/bin/sh\ntrap '' TERM INT\nsleep 600 &\nsleep 600\n", encoding="utf-8")
    hung.chmod(0o755)

    def run(argv: Any, **more: Any) -> Completed:
        if os.path.basename(argv[0]) == name:
            return _command.run([str(hung), *argv[1:]], timeout=more["timeout"])
        return a2.run(argv, **more)

    began = time.monotonic()
    node = collect.collect(Host(root=str(a2.root), run=run, timeout=0.4))
    assert time.monotonic() - began < 60
    found = findings.findings(node, {}, generation="a2", required_bytes={"/var/lib/ascend-fleet": 1})
    assert HANGS[name] in {f["id"] for f in found}
    if HANGS[name] == "SYS-016":
        assert any("did not end within its deadline" in f["found"] for f in found if f["id"] == "SYS-016")
    # What the others say is there all the same.
    assert node["versions"]["driver"]["version"] == "25.2.0"
    assert bool(node["devices"]) is (name != "npu-smi")
    assert bool(node["docker"]["containers"]) is (name != "docker")


def test_the_shipped_deadline_reaches_every_command(a2: Machine) -> None:
    deadlines = []

    def run(argv: Any, **more: Any) -> Completed:
        deadlines.append(more["timeout"])
        return a2.run(argv, **more)

    collect.collect(Host(root=str(a2.root), run=run, timeout=7))
    assert len(deadlines) > 20
    assert all(0 < d <= 7 for d in deadlines)


def test_units_that_cannot_be_listed_are_an_error(a2: Machine) -> None:
    a2.answers["systemctl show"] = (1, "", "Failed to connect to bus: No such file or directory")
    node = collect.collect(a2.host())
    assert node["systemd"]["units"] == []
    assert "Failed to connect to bus" in node["systemd"]["error"]
    assert [p["subject"] for p in node["problems"]] == ["systemd"]
    assert "`systemctl show" in node["problems"][0]["message"]


def test_a_folder_that_cannot_be_listed_is_a_problem(a2: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir

    def refuse(path: Any) -> Any:
        if str(path).endswith(("/dev", "/proc/77/fd")):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "listdir", refuse)
    node = collect.collect(a2.host())
    assert node["device_nodes"] == []
    assert {"subject": "/dev", "message": "cannot be read: Permission denied"} in node["problems"]
    assert any("the open files of 1 processes" in p["message"] for p in node["problems"])


def test_binary_garbage_of_the_tool_is_escaped_and_not_a_table(a2: Machine) -> None:
    garbage = bytes(range(256)).decode("utf-8", "replace") + "\x1b[2J\x07"
    a2.answers["npu-smi info"] = (0, garbage, "")
    node = collect.collect(a2.host())
    assert node["npu_smi"]["error_kind"] == "layout"
    assert "not text" in node["npu_smi"]["error"]
    assert "NPU-004" in {f["id"] for f in findings.findings(node, {}, generation="a2")}
    assert all(c.isprintable() or c in "\n\r\t" for c in json.dumps(node, ensure_ascii=False))
    assert "\x1b" not in node["npu_smi"]["raw"]


def test_terminal_escapes_of_any_tool_are_escaped(a2: Machine) -> None:
    evil = "\x1b]0;owned\x07"
    a2.answers["lspci"] = (1, "", evil)
    a2.answers["npu-smi info"] = (0, A2.replace("910B3 ", evil + " ", 1) + evil + "\n", "")
    a2.answers["npu-smi info -t board"] = (0, BOARD.replace("IT21", evil), "")
    a2.answers["docker info"] = (1, json.dumps({"ServerErrors": [evil]}), "")
    a2.file("/proc/77/comm", evil)
    node = collect.collect(a2.host())
    assert all(c.isprintable() or c in "\n\r\t" for c in _strings(node))
    assert node["npu_smi"]["warnings"]


def _strings(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_strings(v) for pair in value.items() for v in pair)
    if isinstance(value, list):
        return "".join(_strings(v) for v in value)
    return value if isinstance(value, str) else ""
