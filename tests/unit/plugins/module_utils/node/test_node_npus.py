# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a node's NPUs: npu-smi, device nodes, network ports."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._node import (
    collect,
    devices,
)
from ansible_collections.ascend.fleet.plugins.module_utils._npu import smi as _npu_smi

sys.path.insert(0, str(Path(__file__).resolve().parent))

from node_machine import A2, A3, ALARM, FIXTURES, Machine


def cut_behind(npus: int) -> str:
    """The table of the A2 host, cut at the border below so many NPUs."""
    border = next(line for line in A2.splitlines() if line.startswith("+==="))
    return border.join(A2.split(border)[: npus + 1]) + border + "\n"


def test_the_physical_id_of_the_mapping_is_taken_where_the_table_has_none() -> None:
    chips_read = _npu_smi.parse_info(A2)["devices"][:2]
    chips = [{"npu_id": n, "chip_id": 0, "logic_id": n, "phy_id": n + 1} for n in range(2)]
    nodes = [{"index": n} for n in (1, 2)]
    joined = devices.join_devices(chips_read, chips=chips, device_nodes=nodes)
    assert [(d["phy_id"], d["logic_id"], d["index"]) for d in joined] == [(1, 0, 1), (2, 1, 2)]


def test_a_hung_npu_smi_is_asked_once(a2: Machine) -> None:
    a2.answers["npu-smi info"] = (None, "", "")
    node = collect.collect(a2.host())
    assert node["npu_smi"]["timed_out"]
    assert node["npu_smi"]["error_kind"] == "hung"
    assert "7 s" in node["npu_smi"]["error"]
    assert [c for c in a2.calls if c.startswith("npu-smi")] == ["npu-smi info"]


def test_a_folder_in_the_place_of_npu_smi(machine: Machine) -> None:
    (machine.root / "usr/local/sbin/npu-smi").mkdir(parents=True)
    node = collect.collect(machine.host())
    assert node["npu_smi"]["error_kind"] == "directory"
    assert node["npu_smi"]["directories"] == ["/usr/local/sbin/npu-smi"]


def test_a_folder_beside_a_good_npu_smi(a2: Machine) -> None:
    (a2.root / "usr/local/bin/npu-smi").mkdir(parents=True)
    node = collect.collect(a2.host())
    assert node["npu_smi"]["error"] is None
    assert node["npu_smi"]["directories"] == ["/usr/local/bin/npu-smi"]


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("dcmi-8005-ret4", 187, -8005), ("dcmi-8020-device-is-used", 172, -8020), ("board-type-9005", 211, -9005)],
)
def test_npu_smis_own_errors(a2: Machine, name: str, status: int, code: int) -> None:
    words = (FIXTURES / "errors" / (name + ".txt")).read_text(encoding="utf-8")
    a2.answers["npu-smi info"] = (status, words, "")
    smi = collect.collect(a2.host())["npu_smi"]
    assert (smi["error_kind"], smi["error_code"], smi["exit_status"]) == ("tool", code, status)
    assert str(code) in smi["error"]
    assert smi["error_fix"]


def test_the_loaders_words_stand_on_stderr(a2: Machine) -> None:
    words = (FIXTURES / "errors/lib-libdrvdsmi_host.txt").read_text(encoding="utf-8")
    a2.answers["npu-smi info"] = (127, "", words)
    smi = collect.collect(a2.host())["npu_smi"]
    assert "libdrvdsmi_host.so" in smi["error"]
    assert smi["raw"] == words


@pytest.mark.parametrize("name", ["910b2-24.1.0-cut-midrow", "a3-24.1.rc3.7-cut", "310p3duo-24.1.rc3-cut-midcard"])
def test_a_truncated_table_gives_no_device(a2: Machine, name: str) -> None:
    a2.answers["npu-smi info"] = (0, (FIXTURES / "info" / (name + ".txt")).read_text(encoding="utf-8"), "")
    node = collect.collect(a2.host())
    assert node["npu_smi"]["error_kind"] == "truncated"
    assert node["devices"] == []


def test_what_the_sub_commands_refuse_is_a_problem_not_a_failure(a2: Machine) -> None:
    for words in ("npu-smi info -m", "npu-smi info -t topo", "npu-smi info -t board"):
        a2.answers[words] = (1, "Error parameter of -t\n", "")
    node = collect.collect(a2.host())
    assert [d["index"] for d in node["devices"]] == list(range(8))
    assert {p["subject"] for p in node["problems"]} >= {"npu-smi info -m", "npu-smi info -t topo"}


def test_a_sub_command_that_hangs_is_not_asked_for_every_card(a2: Machine) -> None:
    a2.answers["npu-smi info -t board"] = (None, "", "")
    collect.collect(a2.host())
    assert len([c for c in a2.calls if "-t board" in c]) == 1


def test_the_faults_of_an_unhealthy_chip(a2: Machine) -> None:
    a2.answers["npu-smi info"] = (
        0,
        A2.replace("| 2     910B3               | OK   ", "| 2     910B3               | Alarm"),
        "",
    )
    a2.answers["npu-smi info -t health"] = (0, ALARM, "")
    node = collect.collect(a2.host())
    assert node["devices"][2]["health"] == "Alarm"
    assert node["devices"][2]["error_codes"] == ["A4025021", "8C03A000", "8C084E00"]
    assert "heart beat" in node["devices"][2]["error_information"]
    assert [c for c in a2.calls if "-t health" in c] == ["npu-smi info -t health -i 2 -c 0"]


@pytest.mark.parametrize(
    ("position", "logic", "phy", "nodes", "expected"),
    [
        (0, None, None, [0, 1, 2], 0),  # by position
        (2, 5, None, [0, 1, 2, 3, 4, 5], 5),  # by logic id
        (2, 2, 11, [0, 11], 11),  # Phy-ID wins
        (0, 0, None, [1, 2, 3, 4], 1),  # nodes from 1 on, as on some 310P hosts
        (3, 3, None, [0, 1, 2], 3),  # a node is missing: its chip still has a name
        (0, None, None, [], 0),
    ],
)
def test_device_index(position: int, logic: Any, phy: Any, nodes: list[int], expected: int) -> None:
    assert devices.device_index(position, logic, phy, nodes) == expected


def test_a3_dies_have_the_node_of_their_phy_id() -> None:
    chips_read = _npu_smi.parse_info(A3)["devices"]
    joined = devices.join_devices(chips_read, device_nodes=[{"index": n} for n in (0, 1, 3)])
    assert [(d["index"], d["node_present"]) for d in joined] == [(0, True), (1, True), (2, False), (3, True)]


@pytest.mark.parametrize("status", [-9, -15])
def test_a_table_whose_tool_was_killed_is_truncated(a2: Machine, status: int) -> None:
    a2.answers["npu-smi info"] = (status, A2, "")
    node = collect.collect(a2.host())
    assert (node["npu_smi"]["error_kind"], node["devices"]) == ("truncated", [])
    assert "signal %d" % -status in node["npu_smi"]["error"]


def test_a_table_cut_between_two_npus_is_told_by_the_map_of_chips(a2: Machine) -> None:
    five = cut_behind(5)
    assert len(_npu_smi.parse_info(five)["devices"]) == 5
    a2.answers["npu-smi info"] = (0, five, "")
    node = collect.collect(a2.host())
    assert (node["npu_smi"]["error_kind"], node["devices"], node["processes"]) == ("truncated", [], [])
    assert "has 5 chips; `npu-smi info -m` also has NPU 5 chip 0" in node["npu_smi"]["error"]


@pytest.mark.parametrize(
    ("nodes", "on_the_bus", "words"),
    [
        (8, 8, "has 5 chips; the host has 8 device nodes of NPUs and 8 NPUs on the PCI bus"),
        (8, 0, "has 5 chips; the host has 8 device nodes"),
        (5, 8, "5 device nodes of NPUs and 8 NPUs on the PCI bus"),
        (0, 0, "has 5 chips; whether these are all is not known"),
        (5, 5, None),
    ],
)
def test_where_there_is_no_map_of_chips_nodes_and_bus_tell_whether_the_table_is_whole(
    a2: Machine, nodes: int, on_the_bus: int, words: Any
) -> None:
    a2.answers["npu-smi info"] = (0, cut_behind(5), "")
    a2.answers["npu-smi info -m"] = (1, "Error parameter of -m\n", "")
    a2.answers["lspci"] = (0, "\n".join(a2.answers["lspci"][1].splitlines()[:on_the_bus]), "")
    for number in range(nodes, 8):
        (a2.root / ("dev/davinci%d" % number)).unlink()
    node = collect.collect(a2.host())
    if words is None:
        assert (node["npu_smi"]["error"], len(node["devices"])) == (None, 5)
        return
    assert (node["npu_smi"]["error_kind"], node["devices"], node["processes"]) == ("truncated", [], [])
    assert words in node["npu_smi"]["error"]


def test_a_process_table_tells_that_the_table_of_chips_is_whole(a2: Machine) -> None:
    a2.answers["npu-smi info"] = (0, cut_behind(5) + A2[A2.index("+---", A2.index("0000:42:00.0")) :], "")
    a2.answers["npu-smi info -m"] = (1, "Error parameter of -m\n", "")
    node = collect.collect(a2.host())
    assert (node["npu_smi"]["error"], len(node["devices"]), len(node["pci"])) == (None, 5, 8)


@pytest.mark.parametrize("rows", range(1, 8))
def test_an_npu_without_a_row_in_the_process_table_is_told(a2: Machine, rows: int) -> None:
    begin, _header, table = A2.partition("Process memory(MB)")
    border = next(line for line in A2.splitlines() if line.startswith("+==="))
    text = begin + _header + border.join(table.split(border)[: rows + 1]) + border + "\n"
    a2.answers["npu-smi info"] = (0, text, "")
    (warning,) = collect.collect(a2.host())["npu_smi"]["warnings"]
    unnamed = ", ".join(str(npu) for npu in range(rows, 8))
    assert "no row of NPU %s, whose processes are unknown" % unnamed in warning


def test_every_chips_port_is_read(a2: Machine) -> None:
    links = collect.collect(a2.host())["hccn"]["links"]
    assert [link["index"] for link in links] == list(range(8))
    assert (links[0]["status"], links[0]["health"], links[0]["tls"]["enabled"]) == ("UP", "Success", False)
    assert (links[7]["ip"]["address"], links[7]["ip"]["netmask"]) == ("29.1.112.213", "255.255.0.0")


def test_a_chip_that_hangs_is_asked_once_and_the_others_are_read(a2: Machine) -> None:
    a2.answers["hccn_tool -i 2 -link -g"] = (None, "", "")
    node = collect.collect(a2.host())
    assert [link["index"] for link in node["hccn"]["links"]] == [0, 1, 3, 4, 5, 6, 7]
    assert [c for c in a2.calls if c.startswith("hccn_tool -i 2 ")] == ["hccn_tool -i 2 -link -g"]
    (problem,) = node["problems"]
    assert problem["subject"] == "hccn_tool -link -g"
    assert "-i 2 -link -g` did not end within its deadline (davinci2)" in problem["message"]


def test_where_chips_hang_the_others_are_not_waited_for(a2: Machine) -> None:
    for index in range(8):
        a2.answers["hccn_tool -i %d -link -g" % index] = (None, "", "")
    node = collect.collect(a2.host(), gather_subset=["npu", "network"])
    assert node["hccn"]["links"] == []
    assert len([c for c in a2.calls if c.startswith("hccn_tool")]) == 2
    assert node["problems"][-1]["message"] == "davinci2, 3, 4, 5, 6, 7 not asked, because davinci0, 1 did not answer"


def test_the_same_refusal_of_several_chips_is_one_problem(a2: Machine) -> None:
    for index in (1, 5):
        a2.answers["hccn_tool -i %d -tls -g" % index] = (1, "hccn tool is busy, please try again.\n", "")
    node = collect.collect(a2.host())
    assert [link["tls"] is None for link in node["hccn"]["links"]] == [n in (1, 5) for n in range(8)]
    (problem,) = node["problems"]
    assert problem["message"].endswith("is busy, please try again. (davinci1, 5)")


def test_the_virtual_port_is_asked_where_the_chip_has_no_other(a2: Machine) -> None:
    a2.answers["hccn_tool -i 0 -ip -g"] = (1, "Cmd execute failed!\n", "")
    a2.answers["hccn_tool -i 0 -vnic -g"] = (0, (FIXTURES / "files/a5-hccn-vnic.txt").read_text(encoding="utf-8"), "")
    node = collect.collect(a2.host())
    assert node["hccn"]["links"][0]["ip"]["address"] == "192.168.2.199"
    assert node["problems"] == []


def test_a_link_to_nothing_in_the_place_of_hccn_conf(a2: Machine) -> None:
    (a2.root / "etc/hccn.conf").unlink()
    a2.link("/etc/hccn.conf", "/nonexistent/hccn.conf")
    node = collect.collect(a2.host())
    assert (node["hccn"]["kind"], node["hccn"]["present"], node["hccn"]["addresses"]) == ("dangling", False, [])
    assert node["mounts"]["/etc/hccn.conf"] == "dangling"


def test_without_hccn_tool_nothing_is_asked(a2: Machine) -> None:
    (a2.root / "usr/local/Ascend/driver/tools/hccn_tool").unlink()
    node = collect.collect(a2.host())
    assert (node["hccn"]["links"], node["problems"]) == ([], [])
    assert len(node["hccn"]["addresses"]) == 2
