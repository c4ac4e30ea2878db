# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other commands of npu-smi: blocks of keys and values, the mapping, the topology."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu.errors import NpuSmiError
from ansible_collections.ascend.fleet.plugins.module_utils._npu.smi_commands import (
    parse_blocks,
    parse_command,
    parse_mapping,
    parse_topo,
)

SUB = Path(__file__).resolve().parents[2] / "fixtures" / "npu_smi" / "sub"


def text_of(name: str) -> str:
    return (SUB / (name + ".txt")).read_text(encoding="utf-8")


def block(npu_id: Any, chip_id: Any, values: dict[str, str], mcu: bool = False) -> dict[str, Any]:
    return {"npu_id": npu_id, "chip_id": chip_id, "mcu": mcu, "values": values}


# --- blocks: whole results --------------------------------------------------------------------------------------------

WHOLE: dict[str, list[dict[str, Any]]] = {
    # Chip ID stands before its values, the MCU's name too
    "common-i1-910b1-with-mcu": [
        block(1, None, {"Chip Count": "1"}),
        block(
            1,
            0,
            {
                "Memory Usage Rate(%)": "0",
                "HBM Usage Rate(%)": "4",
                "Aicore Usage Rate(%)": "0",
                "Aicore Freq(MHZ)": "1800",
                "Aicore curFreq(MHZ)": "800",
                "Aicore Count": "24",
                "Temperature(C)": "46",
                "NPU Real-time Power(W)": "93.4",
            },
        ),
        block(1, None, {"Temperature(C)": "38"}, mcu=True),
    ],
    "common-i0-910-with-mcu": [
        block(0, None, {"Chip Count": "1"}),
        block(
            0,
            0,
            {
                "Memory Usage Rate(%)": "6",
                "HBM Usage Rate(%)": "0",
                "Aicore Usage Rate(%)": "0",
                "Aicore Freq(MHZ)": "1000",
                "Aicore curFreq(MHZ)": "1000",
                "Aicore Count": "32",
                "Temperature(C)": "46",
                "NPU Real-time Power(W)": "69.0",
            },
        ),
        block(0, None, {"Temperature(C)": "48", "NPU Real-time Power(W)": "45.2"}, mcu=True),
    ],
    "common-i1-310pduo-2chips-mcu": [
        block(1, None, {"Chip Count": "2"}),
        block(
            1,
            0,
            {
                "Memory Usage Rate(%)": "3",
                "Aicore Usage Rate(%)": "0",
                "Aicore Freq(MHZ)": "1080",
                "Aicore curFreq(MHZ)": "960",
                "Temperature(C)": "60",
            },
        ),
        block(
            1,
            1,
            {
                "Memory Usage Rate(%)": "3",
                "Aicore Usage Rate(%)": "0",
                "Aicore Freq(MHZ)": "1080",
                "Aicore curFreq(MHZ)": "960",
                "Temperature(C)": "59",
            },
        ),
        block(1, None, {"Temperature(C)": "48", "NPU Real-time Power(W)": "45.2"}, mcu=True),
    ],
    # Chip ID, and the MCU's name, stand behind their values
    "temp-i0-910b-25.5.1-mcu": [
        block(0, None, {"Chip Count": "1"}),
        block(0, 0, {"NPU Temperature (C)": "39"}),
        block(0, None, {"LM75A_TE (C)": "36", "LM75B_TE (C)": "36"}, mcu=True),
    ],
    "health-2944-310pduo-mcu": [
        block(2944, None, {"Chip Count": "2"}),
        block(2944, 0, {"Health": "OK"}),
        block(2944, 1, {"Health": "OK"}),
        block(2944, None, {"Health": "OK"}, mcu=True),
    ],
    # no chip at all
    "health-i0-c0-ok-910a": [
        block(None, None, {"Health Status": "OK", "Error Code": "NA", "Error Information": "NA"}),
    ],
    "health-i0-c0-alarm-multi-error": [
        block(
            None,
            None,
            {
                "Health Status": "Alarm",
                "Error Code": "A4025021 8C03A000 8C084E00",
                "Error Information": "ascend_monitor adda heart beat lost error\n"
                "node type=process-manager, sensor type=General Software, event state=The process start failed or exit "
                "abnormally\n"
                "node type=adda, sensor type=Heartbeat Sensor, event state=Heartbeat Lost.",
            },
        ),
    ],
    "health-i0-c0-310b4-alarm-wrapped": [
        block(
            None,
            None,
            {
                "Health Status": "Alarm",
                "Error Code": "80E3A203",
                "Error Information": "node type=LPM, sensor type=Chip Hardware,\n"
                "event state=The function of obtaining the current is abnormal",
            },
        ),
    ],
    "info-l-950pr-x2": [
        block(None, None, {"Total Count": "2"}),
        block(0, None, {"Product Name": "A310-50-C00MM304A1", "Serial Number": "serial-0"}),
        block(3, None, {"Product Name": "A310-50-C00MM304A1", "Serial Number": "serial-3"}),
    ],
    "info-l-310p-it21": [
        block(None, None, {"Total Count": "1"}),
        block(8, None, {"Product Name": "IT21PDDA01", "Serial Number": "033VNY10MB000071", "Chip Count": "1"}),
    ],
    "a5-info-l": [
        block(None, None, {"Total Count": "1"}),
        block(0, None, {"Product Name": "A5 PCIe Card", "Serial Number": "IT23HMDA0502FAA"}),
    ],
    "info-l-910b4-x8": [
        block(None, None, {"Total Count": "8"}),
        *[block(npu, None, {"Chip Count": "1"}) for npu in range(8)],
    ],
    "info-l-910b-x8-25.5.1": [
        block(None, None, {"Total Count": "8"}),
        *[block(npu, None, {"Chip Count": "1"}) for npu in range(8)],
    ],
    "board-i0-c0-910a-23.0.5": [
        block(
            0,
            0,
            {
                "Chip Type": "Ascend",
                "Chip Name": "910A",
                "Chip Version": "V1",
                "Board ID": "0x02",
                "PCB ID": "NA",
                "BOM ID": "1",
                "VDie ID": "42C711D4 20B03704 4A10C8D4 14CC040A D2102003",
                "NDie ID": "27216594 20401010 4E10C8D4 14CC040A A4102003",
                "Chip Position ID": "0",
                "PCIe Bus Info": "0000:61:00.0",
                "Firmware Version": "7.1.0.7.220",
            },
        ),
    ],
    "a5-phyid-remap": [block(0, 0, {"Chip Phy-ID": "0", "Slot ID": "0"})],
    "a5-proc-mem": [
        block(0, None, {"Process id": "395864", "Process name": "power_test", "Process memory(MB)": "5118"}),
    ],
    "a5-sys-time": [block(None, None, {"System Time(local)": "Thu Apr  9 10:03:04 2026"})],
    "a5-flash": [
        block(0, None, {"Flash Count": "1", "Flash ID": "1730504", "Manufacturer ID": "0xC2", "Capacity(MB)": "64"}),
    ],
    "a5-sensors": [
        block(
            None,
            None,
            {
                "Soc Max Temperature (C)": "67",
                "SFP Temperature (C)": "NA",
                "NDIE Temperature (C)": "65",
                "HBM Temperature (C)": "63",
            },
        ),
    ],
    "a5-upgrade-b-vrd": [
        block(
            None,
            None,
            {
                **({"VRD Count": "6"} if name == "AIC_D0" else {}),
                "VRD Name": name,
                "Current Version": "4",
                "Target Version": "4",
                "Remaining Upgrade Count": "255",
            },
        )
        for name in ("AIC_D0", "BUS_D0", "1V2PFM", "AIC_D1", "BUS_D1", "0V5PFM")
    ],
    "a5-temp": [block(0, None, {"Temperature (C)": "53"})],
    "a5-power": [block(0, None, {"NPU Real-time Power(W)": "296.5"})],
    "a5-volt": [block(0, None, {"Voltage(V)": "0.72"})],
    "a5-health": [block(0, None, {"Health": "OK", "Error Code": "NA", "Error Information": "NA"})],
    "a5-ecc-enable": [block(None, None, {"HBM ECC-Enable Status": "True"})],
    "a5-key-manage": [block(None, None, {"service auto startup": "Disable", "service running status": "Stop"})],
    "a5-sio-info": [block(None, None, {"TX Error Count": "0", "RX Error Count": "0"})],
    "a5-sys-log-info": [
        block(
            None,
            None,
            {
                "Current syslog dump config recover mode": "disable",
                "Current syslog dump config gear": "NA",
                "Current syslog dump config path": "NA",
            },
        ),
    ],
    "a5-tls-cert": [
        block(
            None,
            None,
            {
                "Alarm status": "0",
                "Start time": "Fri Aug  1 12:09:19 2025",
                "End time": "Mon Jul 30 12:09:19 2035",
                "Common name": "CC2CF66480E095F3116BC392A67A7B05144301E3",
            },
        ),
    ],
    "a5-current-fault-event": [
        block(
            None,
            None,
            {
                "Fault Event Count": "1",
                "Fault Event Information": "event id=0x81AF8000, severity=2, node type ex=215, node id=0, "
                "sub node type ex=0, sub node id=0",
            },
        ),
    ],
    "a5-clear-ecc-info": [block(None, None, {"Status": "OK", "Message": "Clear ecc-info successfully."})],
    "a5-set-clear-ecc-info": [
        block(None, None, {"Status": "OK", "Message": "Set chip clear-ecc-info successfully"}),
    ],
    "upgrade-b-mcu": [block(None, None, {"Version": "23.3.13"})],
    "upgrade-b-mcu-25.50.10": [block(None, None, {"Version": "25.50.10"})],
    "vnpu-mode": [block(None, None, {"vnpu-mode": "docker"})],
    "vnpu-cfg-recover": [block(None, None, {"VNPU config recover mode": "Enable"})],
    "set-create-vnpu": [block(None, None, {"Status": "OK", "Message": "Create vnpu success"})],
    "set-destroy-vnpu": [block(None, None, {"Status": "OK", "Message": "Destroy vnpu 100 success"})],
    "set-vnpu-cfg-recover": [
        block(None, None, {"Status": "OK", "Message": "The VNPU config recover mode Enable is set successfully."}),
    ],
}


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_blocks(name: str) -> None:
    assert parse_blocks(text_of(name)) == {"blocks": WHOLE[name], "warnings": []}


# --- blocks: a look into long ones ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "index", "key", "count", "values"),
    [
        (
            "board-2944-310pduo",
            0,
            (2944, None),
            19,
            {"Slot ID": "NA", "PCIe Bus Info": "0000:0C:00.0", "Chip Count": "2", "Chip Fault": "0"},
        ),
        (
            "board-i0-910a-23.0.5",
            0,
            (0, None),
            14,
            {"Software Version": "23.0.5", "Firmware Version": "7.1.0.7.220", "Chip Count": "1"},
        ),
        (
            "board-i0-910b-25.5.1",
            0,
            (0, None),
            18,
            {"Product Name": "IT21HMDC_Bin5", "PCI Device ID": "0xD802", "PCIe Bus Info": "0000:C1:00.0"},
        ),
        ("board-i0-910b2c-25.5.2", 0, (0, None), 12, {"Software Version": "25.5.2", "Slot ID": "0"}),
        (
            "board-i0-950pr-25.7.rc1.6-annotated",
            0,
            (0, None),
            15,
            {"Chip Name": "Ascend950PR", "Firmware Version": "9.0.0.105.229", "NPU Name": "9579"},
        ),
        (
            "board-i1-c0-310p-dieid",
            0,
            (1, 0),
            8,
            {"Die ID": "409921D4 2140A100 E54BDDD4 07CC040A 9B00301F", "Chip Name": "xxx"},
        ),
        (
            "a5-board-i0",
            0,
            (0, None),
            24,
            {"Main Board ID": "0x68(1P)", "DDie ID": "870408E3 2120D518 77936EE6 80B40A0A D4100003"},
        ),
        ("a5-common", 0, (0, None), 8, {"Temperature(C)": "65", "NPU Real-time Power(W)": "298.6"}),
        ("a5-ecc", 0, (0, None), 8, {"HBM Single Bit Next-Isolated Pages Count": "0"}),
        ("a5-memory", 0, (0, None), 6, {"HBM Capacity(MB)": "131072", "HBM Manufacturer ID": "0x5A"}),
        ("a5-usages", 0, (0, None), 14, {"Ctrlcpu Usage Rate(%)": "40", "NPU Utilization(%)": "0"}),
        ("common-i0-910a", 1, (0, 0), 8, {"Temperature(C)": "41", "NPU Real-time Power(W)": "71.7"}),
        ("ecc-i1-910", 1, (1, 0), 12, {"HBM Double Bit Isolated Pages Count": "0"}),
        ("usages-i0-910a-23.0.5", 1, (0, 0), 11, {"DDR Capacity(MB)": "13553", "HBM Capacity(MB)": "31129"}),
        ("usages-i0-910b-25.5.1", 1, (0, 0), 14, {"HBM Usage Rate(%)": "5", "Aicube Usage Rate(%)": "0"}),
        ("usages-i0-910b1-23.0.rc2", 1, (0, 0), 12, {"HBM Usage Rate(%)": "4", "HBM Bandwidth Usage Rate(%)": "0"}),
        ("usages-i1-310pduo-2chips", 1, (1, 0), 14, {"DDR Capacity(MB)": "44280", "Ctrlcpu Usage Rate(%)": "2"}),
        ("usages-i1-310pduo-2chips", 2, (1, 1), 14, {"DDR Capacity(MB)": "43693", "Ctrlcpu Usage Rate(%)": "3"}),
    ],
)
def test_long_blocks(name: str, index: int, key: tuple[Any, Any], count: int, values: dict[str, str]) -> None:
    found = parse_blocks(text_of(name))
    one = found["blocks"][index]
    assert found["warnings"] == []
    assert len(found["blocks"]) == (3 if "2chips" in name else index + 1)
    assert (one["npu_id"], one["chip_id"]) == key
    assert one["mcu"] is False
    assert len(one["values"]) == count
    assert {name: one["values"][name] for name in values} == values


def test_comment_stays_part_of_the_value() -> None:
    values = parse_blocks(text_of("board-i0-950pr-25.7.rc1.6-annotated"))["blocks"][0]["values"]
    assert values["Main Board ID"].startswith("0x68(1P)          # 1P = ")


@pytest.mark.parametrize("name", [n for n in sorted(WHOLE) if any(b["mcu"] for b in WHOLE[n])])
def test_values_of_the_mcu_stay_apart_without_blank_lines_too(name: str) -> None:
    text = "\n".join(line for line in text_of(name).splitlines() if line.strip())
    assert parse_blocks(text)["blocks"] == WHOLE[name]


@pytest.mark.parametrize("name", [n for n in sorted(WHOLE) if any(b["mcu"] for b in WHOLE[n])])
def test_blank_lines_after_every_line_mean_nothing(name: str) -> None:
    lines = [line for line in text_of(name).splitlines() if line.strip()]
    assert parse_blocks("\n\n".join(lines)) == {"blocks": WHOLE[name], "warnings": []}


def test_progress_text_is_told_and_nothing_is_overwritten() -> None:
    found = parse_blocks(text_of("upgrade-t-mcu"))
    assert [b["values"].get("Status") for b in found["blocks"]] == ["start to upgrade", "OK", None]
    assert found["blocks"][2]["values"] == {"Message": "need active mcu"}
    assert sum("unreadable" in warning for warning in found["warnings"]) == 3
    assert len(found["warnings"]) == 5


def test_several_processes_of_a_chip() -> None:
    text = (
        "\tNPU ID                         : 0\n\tChip ID                        : 1\n"
        "\tProcess id:17  Process name:one        Process memory(MB):5\n"
        "\tProcess id:18  Process name:two        Process memory(MB):6\n"
    )
    assert parse_blocks(text) == {
        "blocks": [
            block(0, 1, {"Process id": "17", "Process name": "one", "Process memory(MB)": "5"}),
            block(0, 1, {"Process id": "18", "Process name": "two", "Process memory(MB)": "6"}),
        ],
        "warnings": [],
    }


def test_board_of_an_a3_names_the_npu_before_the_chip() -> None:
    text = (
        "\tNPU ID                         : 3\n\tNPU Name                       : 9382\n"
        "\tChip ID                        : 1\n\tChip Name                      : Ascend910\n"
    )
    assert parse_blocks(text)["blocks"] == [
        block(3, None, {"NPU Name": "9382"}),
        block(3, 1, {"Chip Name": "Ascend910"}),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "usages-i0-910b-25.5.1",
        "usages-i1-310pduo-2chips",
        "temp-i0-910b-25.5.1-mcu",
        "common-i1-910b1-with-mcu",
        "common-i1-310pduo-2chips-mcu",
        "health-2944-310pduo-mcu",
        "info-l-910b4-x8",
    ],
)
def test_any_line_lost_mixes_nothing(name: str) -> None:
    text = text_of(name)
    wanted = {(b["npu_id"], b["chip_id"], b["mcu"]): b["values"] for b in parse_blocks(text)["blocks"]}
    lines = text.splitlines()
    for lost in range(len(lines)):
        found = parse_blocks("\n".join(lines[:lost] + lines[lost + 1 :]))
        for one in found["blocks"]:
            nobodys = one["chip_id"] is None and not one["mcu"]
            if one["npu_id"] is not None and not nobodys:
                truth = wanted[(one["npu_id"], one["chip_id"], one["mcu"])]
                for key, value in one["values"].items():
                    assert truth.get(key) == value or found["warnings"], (lost, key)


def test_missing_chip_is_told() -> None:
    text = text_of("usages-i1-310pduo-2chips")
    found = parse_blocks(text[: text.index("Chip ID                        : 1")])
    assert [b["chip_id"] for b in found["blocks"]] == [None, 0, None]
    assert len(found["warnings"]) == 2
    assert "Chip Count" in found["warnings"][1]


def test_missing_npu_is_told() -> None:
    text = text_of("info-l-910b4-x8")
    found = parse_blocks(text[: text.index("NPU ID                         : 7")])
    assert len(found["blocks"]) == 8
    assert "Total Count" in found["warnings"][0]


def test_last_line_without_a_value_is_told() -> None:
    found = parse_blocks("NPU ID                         : 0\nProduct Name                   :")
    assert found["blocks"] == [block(0, None, {"Product Name": ""})]
    assert len(found["warnings"]) == 1


@pytest.mark.parametrize(
    "name",
    ["a5-help", "a5-info-help", "a5-set-help", "a5-upgrade-help", "info-help-23.0.rc2", "a5-version", "a5-watch-x8"],
)
def test_text_of_another_form_is_an_error_with_its_words(name: str) -> None:
    text = text_of(name)
    with pytest.raises(NpuSmiError) as caught:
        parse_blocks(text)
    assert text.splitlines()[0].strip() in str(caught.value)


@pytest.mark.parametrize("parser", [parse_blocks, parse_mapping, parse_topo])
def test_complaints_of_the_tool(parser: Any) -> None:
    with pytest.raises(NpuSmiError, match="-8005") as caught:
        parser("DrvMngGetConsoleLogLevel failed. (ret=4)\ndcmi module initialize failed. ret is -8005\n")
    assert caught.value.code == -8005
    assert caught.value.fix


# --- info -m ----------------------------------------------------------------------------------------------------------


def chip(npu_id: int, chip_id: int, logic_id: Any, name: str, phy_id: Any = None) -> dict[str, Any]:
    return {
        "npu_id": npu_id,
        "chip_id": chip_id,
        "logic_id": logic_id,
        "phy_id": phy_id,
        "name": name,
        "mcu": name == "Mcu",
    }


MAPPINGS: dict[str, list[dict[str, Any]]] = {
    "info-m-310-20.2.0-minid": [chip(215, n, n, "MiniD") for n in range(4)],
    "info-m-310-21.0.4-minid-mcu": [*[chip(6, n, n, "MiniD") for n in range(4)], chip(6, 4, None, "Mcu")],
    "info-m-310pduo-x8-mcu": [
        one
        for at, npu in enumerate((1, 2, 4, 5))
        for one in (
            chip(npu, 0, 2 * at, "Ascend xxx"),
            chip(npu, 1, 2 * at + 1, "Ascend xxx"),
            chip(npu, 2, None, "Mcu"),
        )
    ],
    "info-m-910a-x8-24.1.RC2": [chip(n, 0, n, "Ascend 910A") for n in range(8)],
    "info-m-910a-x8": [chip(n, 0, n, "Ascend 910A") for n in range(8)],
    "info-m-910b4-x8-mcu": [one for n in range(8) for one in (chip(n, 0, n, "Ascend 910B4"), chip(n, 1, None, "Mcu"))],
    "a5-info-m": [chip(0, 0, None, "xxx", 0)],
}


@pytest.mark.parametrize("name", sorted(MAPPINGS))
@pytest.mark.parametrize("shrink", [False, True])
def test_mapping(name: str, shrink: bool) -> None:
    text = text_of(name)
    if shrink:
        text = "\n".join(" ".join(line.split()) for line in text.splitlines())
    assert parse_mapping(text) == {"chips": MAPPINGS[name], "warnings": []}


def test_mapping_of_an_a3_has_physical_ids() -> None:
    text = (
        "\tNPU ID                         Chip ID                        Chip Logic ID                  "
        "Chip Phy-ID                    Chip Name                     \n"
        "\t0                              0                              4                              "
        "9                              Ascend910\n"
        "\t0                              2                              -                              "
        "-                              Mcu                           \n"
    )
    assert parse_mapping(text) == {"chips": [chip(0, 0, 4, "Ascend910", 9), chip(0, 2, None, "Mcu")], "warnings": []}


@pytest.mark.parametrize(
    ("row", "count", "warned"),
    [
        ("7   0   7", 1, 1),
        ("7   x   7   Ascend 910", 1, 1),
        ("-   0   7   Ascend 910", 1, 1),
        ("7   0   y   Ascend 910", 2, 1),
        ("0   0   0   Ascend 910A", 2, 1),
        ("...", 1, 1),
        ("7   0   7   Ascend 910", 2, 0),
    ],
)
def test_rows_of_the_mapping(row: str, count: int, warned: int) -> None:
    lines = text_of("info-m-910a-x8").splitlines()[:2]
    found = parse_mapping("\n".join([*lines, row]))
    assert len(found["chips"]) == count
    assert len(found["warnings"]) == warned
    assert all(row in warning for warning in found["warnings"])
    assert all(one["logic_id"] in (0, 7, None) for one in found["chips"])


def test_mapping_without_rows_or_header() -> None:
    lines = text_of("info-m-910a-x8").splitlines()
    with pytest.raises(NpuSmiError, match="no chips"):
        parse_mapping(lines[0])
    with pytest.raises(NpuSmiError):
        parse_mapping("\n".join(lines[1:]))
    with pytest.raises(NpuSmiError, match="not see a single card"):
        parse_mapping("There is no NPU card on this server.")


# --- info -t topo -----------------------------------------------------------------------------------------------------

EIGHT = ["NPU%d" % n for n in range(8)]


@pytest.mark.parametrize(
    ("name", "link_of", "affinity"),
    [
        (
            "topo-910b1-x8-hccs",
            lambda a, b: "HCCS",
            ["144-167", "0-23", "144-167", "0-23", "96-119", "48-71", "96-119", "48-71"],
        ),
        ("a5-topo-x8-sys", lambda a, b: "SYS", ["0-63,128-191"] * 4 + ["64-127,192-255"] * 4),
        (
            "a5-topo-x8-ub-pairs",
            lambda a, b: "UB" if a // 2 == b // 2 else "SYS",
            ["0-63,128-191"] * 4 + ["64-127,192-255"] * 4,
        ),
        (
            "a5-topo-x8-ub-quads",
            lambda a, b: "UB" if a // 4 == b // 4 else "SYS",
            ["0-63,128-191"] * 4 + ["64-127,192-255"] * 4,
        ),
    ],
)
def test_topo(name: str, link_of: Any, affinity: list[str]) -> None:
    assert parse_topo(text_of(name)) == {
        "devices": EIGHT,
        "links": {EIGHT[a]: {EIGHT[b]: link_of(a, b) for b in range(8) if a != b} for a in range(8)},
        "cpu_affinity": dict(zip(EIGHT, affinity)),
        "warnings": [],
    }


def test_topo_of_an_a3_names_physical_ids() -> None:
    found = parse_topo(
        "           Phy-ID0    Phy-ID1    Phy-ID2    CPU Affinity\n"
        "Phy-ID0    X          SIO        HCCS_SW    0-39\n"
        "Phy-ID1    SIO        X          HCCS_SW    0-39\n"
        "Phy-ID2    HCCS_SW    HCCS_SW    X          40-79\n"
    )
    assert found["links"]["Phy-ID0"] == {"Phy-ID1": "SIO", "Phy-ID2": "HCCS_SW"}
    assert found["cpu_affinity"]["Phy-ID2"] == "40-79"
    assert found["warnings"] == []


@pytest.mark.parametrize("at", range(9))
def test_topo_with_a_line_lost(at: int) -> None:
    lines = text_of("a5-topo-x8-ub-pairs").splitlines()
    wanted = parse_topo("\n".join(lines))
    rest = "\n".join(lines[:at] + lines[at + 1 :])
    if at == 0:
        with pytest.raises(NpuSmiError):
            parse_topo(rest)
        return
    found = parse_topo(rest)
    assert found["warnings"]
    assert found["links"] == {device: links for device, links in wanted["links"].items() if device != EIGHT[at - 1]}


def test_topo_cut_anywhere() -> None:
    text = text_of("a5-topo-x8-ub-quads").split("Legend")[0].rstrip()
    wanted = parse_topo(text)
    for at in range(len(text)):
        try:
            found = parse_topo(text[:at])
        except NpuSmiError:
            continue
        for device, links in found["links"].items():
            assert links == wanted["links"][device] or found["warnings"]
        assert found["warnings"] or found["links"] == wanted["links"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("NPU1       UB         X  ", "NPU1       X          UB "),
        ("NPU1       UB         X  ", "NPU1       SYS        X  "),
        ("NPU1       UB         X  ", "NPU1       UB           "),
        ("NPU1       UB         X  ", "NPU0       UB         X  "),
        ("NPU1       UB         X  ", "NPU9       UB         X  "),
        ("NPU1       UB         X  ", "NPU1       UB 7       X  "),
    ],
)
def test_damaged_row_of_the_topology_is_told(old: str, new: str) -> None:
    text = text_of("a5-topo-x8-ub-pairs")
    assert old in text
    assert parse_topo(text.replace(old, new))["warnings"]


# --- dispatch ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "name", "key"),
    [
        ("info -m", "info-m-910a-x8", "chips"),
        ("npu-smi info -m", "info-m-910a-x8", "chips"),
        ("info -t topo", "topo-910b1-x8-hccs", "links"),
        ("info -l", "info-l-910b4-x8", "blocks"),
        ("info -t board -i 0", "board-i0-910b-25.5.1", "blocks"),
        ("info -t health -i 0 -c 0", "health-i0-c0-ok-910a", "blocks"),
        ("upgrade -b mcu -i 0", "upgrade-b-mcu", "blocks"),
    ],
)
def test_command(command: str, name: str, key: str) -> None:
    assert parse_command(text_of(name), command)[key]


def test_command_info() -> None:
    text = (SUB.parent / "info" / "910b3-x8-25.2.0-1proc.txt").read_text(encoding="utf-8")
    assert len(parse_command(text)["devices"]) == 8
    assert parse_command(text, "npu-smi info") == parse_command(text, "info")


@pytest.mark.parametrize("command", ["", "npu-smi", "-m", "info watch", "info proc", "x -h", "upgrade", "frob -x"])
def test_unknown_command(command: str) -> None:
    with pytest.raises(ValueError, match="npu-smi"):
        parse_command(text_of("info-m-910a-x8"), command)
