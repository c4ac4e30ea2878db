# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of npu-smi, written from the state of a simulated host."""

from __future__ import annotations

from sim_state import (
    INSTALL_INFO,
    MAX_PROCESSES_PER_CHIP,
    PROCESS_NAME_LENGTH,
    USAGE_INFO,
    chip_index,
    current_view,
    in_container,
    read_file,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sim_state import Chip, State


class Layout:
    """One layout of the table of ``npu-smi info``: widths of its three cells and of the columns in them."""

    def __init__(
        self,
        cells: tuple[int, int, int],
        columns: tuple[int, int],
        version_column: int,
        values: tuple[int, int, int],
        pair: int,
        hugepages_pair: int,
        processes: tuple[int, ...],
        hbm: bool = True,
        second_column: str = "",
        process_columns: tuple[str, ...] = ("NPU     Chip", "Process id", "Process name", "Process memory(MB)"),
    ) -> None:
        self.cells = cells
        self.columns = columns
        self.version_column = version_column
        self.values = values
        self.pair = pair
        self.hugepages_pair = hugepages_pair
        self.processes = processes
        self.hbm = hbm
        self.second_column = second_column
        self.process_columns = process_columns

    @property
    def width(self) -> int:
        return sum(self.cells) + 2

    def border(self, char: str, cells: bool = True) -> str:
        return "+" + "+".join(char * cell for cell in self.cells) + "+" if cells else "+" + char * self.width + "+"

    def line(self, text: str) -> str:
        return "|" + f" {text}".ljust(self.width) + "|"

    def row(self, first: tuple[str, str], second: str, third: tuple[str, str, str]) -> str:
        left = f" {first[0]:<{self.columns[0]}} {first[1]:<{self.columns[1]}} "
        middle = f" {second:<{self.cells[1] - 2}} "
        right = " " + " ".join(f"{text:<{width}}" for text, width in zip(third, self.values))
        return f"|{left:<{self.cells[0]}}|{middle}|{right:<{self.cells[2]}}|"


FIVE_COLUMNS = ("NPU     Chip", "Process id", "Process name", "Process memory(MB)", "Process id in container")
LAYOUTS: dict[str, Layout] = {
    # 910B*, 910, 23.0.rc2 to 25.5.x: the common one
    "96": Layout((27, 15, 52), (5, 19), 25, (11, 17, 21), 5, 5, (25, 13, 24, 23)),
    # 910B*, A3, 26.0 and 26.1: a fifth process column
    "114": Layout((27, 15, 70), (5, 19), 36, (20, 23, 23), 5, 5, (25, 13, 18, 21, 23), process_columns=FIVE_COLUMNS),
    # first generation 910, 22.0.x
    "91": Layout((22, 15, 52), (5, 14), 26, (11, 17, 21), 5, 5, (20, 13, 24, 23)),
    # 310P, 24.1: no HBM column, a Device column
    "104": Layout((31, 17, 54), (7, 21), 41, (12, 17, 22), 5, 6, (29, 15, 24, 25), hbm=False, second_column="Device"),
}


def pair_text(used: int, total: int, width: int) -> str:
    """``used/ total``: five digits eat the blank in front of the slash."""
    return f"{used:<{width}}/ {total}"


def render_info(state: State) -> str:
    """The table of ``npu-smi info``, from values alone."""
    layout = LAYOUTS[str(state.get("layout", "96"))]
    chips, processes = current_view(state)
    second_column = layout.second_column or ("Phy-ID" if any(chip.get("phy_id") is not None for chip in chips) else "")
    versions = f"npu-smi {state['npu_smi_version']:<{layout.version_column}}Version: {state['driver_version']}"
    lines = [layout.border("-", cells=False), layout.line(versions), layout.border("-")]
    lines.append(layout.row(("NPU", "Name"), "Health", ("Power(W)", "Temp(C)", "Hugepages-Usage(page)")))
    last = ("Memory-Usage(MB)", "HBM-Usage(MB)") if layout.hbm else ("Memory-Usage(MB)", "")
    lines.append(layout.row(("Chip", second_column), "Bus-Id", ("AICore(%)", *last)))
    lines.append(layout.border("="))
    for position, chip in enumerate(chips):
        lines.append(
            layout.row(
                (str(chip["npu_id"]), chip["name"]),
                chip["health"],
                (
                    str(chip["power"]),
                    str(chip["temperature"]),
                    pair_text(chip["hugepages_used"], chip["hugepages_total"], layout.hugepages_pair),
                ),
            )
        )
        second = {"Phy-ID": chip.get("phy_id"), "Device": chip.get("device_id"), "": ""}[second_column]
        memory = pair_text(chip["memory_used"], chip["memory_total"], layout.pair)
        hbm = pair_text(chip["hbm_used"], chip["hbm_total"], layout.pair) if layout.hbm else ""
        third = (str(chip["aicore"]), memory, hbm)
        lines.append(layout.row((str(chip["chip_id"]), str(second)), chip["bus_id"], third))
        same_card = position + 1 < len(chips) and chips[position + 1]["npu_id"] == chip["npu_id"]
        lines.append(layout.border("-", cells=not layout.hbm) if same_card else layout.border("="))
    if state.get("process_table", True):
        lines += render_processes(layout, chips, processes)
    text = "".join(f"{line}\n" for line in lines[: len(lines) - int(state.get("lines_lost", 0))])
    install_info = read_file(INSTALL_INFO)
    if install_info is not None and "Driver_Install_Status=complete" not in install_info and not in_container():
        text += (
            "[WARNING]The driver package may not be completely installed, "
            "which may cause function abnormal. Please reinstall it.\n"
        )
    return text


def render_processes(layout: Layout, chips: list[Chip], processes: list[dict[str, Any]]) -> list[str]:
    def row(texts: tuple[str, ...]) -> str:
        return "|" + "|".join(f" {text:<{width}} " for text, width in zip(texts, layout.processes)) + "|"

    lines = [layout.border("-"), row(layout.process_columns), layout.border("=")]
    for npu_id in dict.fromkeys(chip["npu_id"] for chip in chips):
        printed = 0
        for chip in chips:
            if chip["npu_id"] != npu_id:
                continue
            on_chip = [entry for entry in processes if (entry["npu_id"], entry["chip_id"]) == (npu_id, chip["chip_id"])]
            for entry in on_chip[:MAX_PROCESSES_PER_CHIP]:
                inner = entry.get("container_pid")
                texts = (
                    f"{npu_id!s:<7} {chip['chip_id']}",
                    str(entry["pid"]),
                    entry["name"][:PROCESS_NAME_LENGTH],
                    str(entry["memory_mb"]),
                    "NA" if inner is None else str(inner),
                )
                lines.append(row(texts[: len(layout.processes)]))
                printed += 1
        if not printed:
            lines.append(layout.line(f"No running processes found in NPU {npu_id}"))
        lines.append(layout.border("="))
    return lines


# ------------------------------------------------------------------------------------------------- the sub-commands


def block(*pairs: tuple[str, object]) -> str:
    return "".join(f"\t{key:<30} : {value}\n" for key, value in pairs)


def by_card(chips: list[Chip]) -> dict[int, list[Chip]]:
    cards: dict[int, list[Chip]] = {}
    for chip in chips:
        cards.setdefault(int(chip["npu_id"]), []).append(chip)
    return cards


def percent(used: int, total: int) -> int:
    return used * 100 // total if total else 0


def render_list(state: State) -> str:
    cards = by_card(current_view(state)[0])
    text = block(("Total Count", len(cards)))
    for npu_id, chips in cards.items():
        text += "\n" + block(("NPU ID", npu_id), ("Chip Count", len(chips)))
    return text


def render_mapping(state: State) -> str:
    chips, _ = current_view(state)
    phy = any(chip.get("phy_id") is not None for chip in chips)
    headings = ["NPU ID", "Chip ID", "Chip Logic ID", *(["Chip Phy-ID"] if phy else []), "Chip Name"]
    rows = [headings]
    for npu_id, on_card in by_card(chips).items():
        for chip in on_card:
            name = chip["name"] if chip["name"].startswith("Ascend") else f"Ascend {chip['name']}"
            rows.append(
                [
                    str(npu_id),
                    str(chip["chip_id"]),
                    str(chip["logic_id"]),
                    *([str(chip["phy_id"])] if phy else []),
                    name,
                ]
            )
        if state.get("mcu", True):
            rows.append([str(npu_id), str(len(on_card)), "-", *(["-"] if phy else []), "Mcu"])
    return "".join("\t" + " ".join(f"{text:<30}" for text in row[:-1]) + f" {row[-1]}\n" for row in rows)


def render_board(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    if chip is not None:
        return block(
            ("NPU ID", npu_id),
            ("Chip ID", chip["chip_id"]),
            ("Chip Type", "Ascend"),
            ("Chip Name", chip["name"]),
            ("Chip Version", "V1"),
            ("Board ID", state["board"]["board_id"]),
            ("PCB ID", "NA"),
            ("BOM ID", "1"),
            ("VDie ID", die_id(chip, "V")),
            ("NDie ID", die_id(chip, "N")),
            ("Chip Position ID", chip["chip_id"]),
            ("PCIe Bus Info", chip["bus_id"]),
            ("Firmware Version", state["firmware_version"]),
        )
    board = state["board"]
    names = (("NPU Name", board["npu_name"]),) if board.get("npu_name") else ()
    return block(
        ("NPU ID", npu_id),
        ("Product Name", board["product_name"]),
        ("Model", "NA"),
        *names,
        ("Manufacturer", "Huawei"),
        ("Serial Number", f"{board['serial_prefix']}{npu_id:02d}"),
        ("Software Version", state["driver_version"]),
        ("Firmware Version", state["firmware_version"]),
        ("Compatibility", "OK"),
        ("Board ID", board["board_id"]),
        ("PCB ID", "A"),
        ("BOM ID", "1"),
        ("PCIe Bus Info", on_card[0]["bus_id"]),
        ("Slot ID", npu_id),
        ("Class ID", "NA"),
        ("PCI Vendor ID", "0x19E5"),
        ("PCI Device ID", "0x" + state["pci_id"].split(":")[1].upper()),
        ("Subsystem Vendor ID", "0x19E5"),
        ("Subsystem Device ID", "0x3003"),
        ("Chip Count", len(on_card)),
    )


def die_id(chip: Chip, letter: str) -> str:
    seed = (chip_index(chip) + 1) * (0x01000193 if letter == "V" else 0x0100D1E5)
    return " ".join(f"{(seed * factor) & 0xFFFFFFFF:08X}" for factor in (7, 11, 13, 17, 19))


def render_common(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(
            ("Chip ID", entry["chip_id"]),
            ("Memory Usage Rate(%)", percent(entry["memory_used"], entry["memory_total"])),
            ("HBM Usage Rate(%)", percent(entry["hbm_used"], entry["hbm_total"])),
            ("Aicore Usage Rate(%)", entry["aicore"]),
            ("Aicore Freq(MHZ)", 1800),
            ("Aicore curFreq(MHZ)", 1800 if entry["aicore"] else 800),
            ("Aicore Count", 24),
            ("Temperature(C)", entry["temperature"]),
            ("NPU Real-time Power(W)", entry["power"]),
        )
    if state.get("mcu", True) and chip is None:
        text += "\n" + block(("Chip Name", "mcu"), ("Temperature(C)", 38))
    return text


def render_usages(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(
            ("DDR Capacity(MB)", entry["memory_total"]),
            ("DDR Usage Rate(%)", percent(entry["memory_used"], entry["memory_total"])),
            ("DDR Hugepages Total(page)", entry["hugepages_total"]),
            ("DDR Hugepages Usage Rate(%)", percent(entry["hugepages_used"], entry["hugepages_total"])),
            ("HBM Capacity(MB)", entry["hbm_total"]),
            ("HBM Usage Rate(%)", percent(entry["hbm_used"], entry["hbm_total"])),
            ("Aicore Usage Rate(%)", entry["aicore"]),
            ("Aivector Usage Rate(%)", 0),
            ("Aicpu Usage Rate(%)", 0),
            ("Ctrlcpu Usage Rate(%)", 6),
            ("DDR Bandwidth Usage Rate(%)", 0),
            ("HBM Bandwidth Usage Rate(%)", 0),
            ("NPU Utilization(%)", entry["aicore"]),
            ("Aicube Usage Rate(%)", 0),
            ("Chip ID", entry["chip_id"]),
        )
    return text


ALARM_TEXT = {
    "Warning": ("80E18402", "node type=HBM, sensor type=Memory, event state=Correctable ECC over threshold"),
    "Alarm": (
        "80E3A203",
        "node type=LPM, sensor type=Chip Hardware, event state=The function of obtaining the current is abnormal",
    ),
    "Critical": ("80E01801", "node type=HBM, sensor type=Memory, event state=Uncorrectable ECC"),
}


def render_health(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    if chip is not None:
        code, information = ALARM_TEXT.get(chip["health"], ("NA", "NA"))
        return block(("Health Status", chip["health"]), ("Error Code", code), ("Error Information", information))
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in on_card:
        text += "\n" + block(("Health", entry["health"]), ("Chip ID", entry["chip_id"]))
    if state.get("mcu", True):
        text += "\n" + block(("Health", "OK"), ("Chip Name", "MCU"))
    return text


def render_memory(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(
            ("DDR Capacity(MB)", entry["memory_total"]),
            ("DDR Clock Speed(MHz)", 0),
            ("HBM Capacity(MB)", entry["hbm_total"]),
            ("HBM Clock Speed(MHz)", 1600),
            ("HBM Temperature(C)", entry["temperature"]),
            ("HBM Manufacturer ID", "0x56"),
            ("Chip ID", entry["chip_id"]),
        )
    return text


def render_ecc(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    def wide(*pairs: tuple[str, object]) -> str:
        return "".join(f"{key:<41}: {value}\n" for key, value in pairs)

    text = wide(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        # What a chip in this state reports is an error that ECC could not correct.
        double = {"HBM": int(entry["health"] == "Critical"), "DDR": 0}
        counts: list[tuple[str, object]] = []
        for memory in ("DDR", "HBM"):
            for kind in ("Error Count", "Aggregate Total Err Cnt", "Isolated Pages Count"):
                counts += [(f"{memory} Single Bit {kind}", 0), (f"{memory} Double Bit {kind}", double[memory])]
        text += "\n" + wide(*counts, ("Chip ID", entry["chip_id"]))
    return text


def render_temperature(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(("NPU Temperature (C)", entry["temperature"]), ("Chip ID", entry["chip_id"]))
    if state.get("mcu", True) and chip is None:
        text += "\n" + block(("LM75A_TE (C)", 36), ("LM75B_TE (C)", 36), ("Chip Name", "MCU"))
    return text


def render_power(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    text = block(("NPU ID", npu_id), ("Chip Count", len(on_card)))
    for entry in [chip] if chip else on_card:
        text += "\n" + block(("NPU Real-time Power(W)", entry["power"]), ("Chip ID", entry["chip_id"]))
    return text


def render_process_memory(state: State, npu_id: int, on_card: list[Chip], chip: Chip | None) -> str:
    _, processes = current_view(state)
    text = block(("NPU ID", npu_id))
    for entry in [chip] if chip else on_card:
        for process in processes:
            if (process["npu_id"], process["chip_id"]) == (npu_id, entry["chip_id"]):
                text += (
                    f"\tProcess id:{process['pid']}  Process name:{process['name'][:PROCESS_NAME_LENGTH]:<18}"
                    f" Process memory(MB):{process['memory_mb']}\n"
                )
    return text


LEGEND = """
Legend:

  X    = Self
  SYS  = Path traversing PCIe and NUMA nodes. Nodes are connected through SMP, such as QPI, UPI.
  PHB  = Path traversing PCIe and the PCIe host bridge of a CPU.
  PIX  = Path traversing a single PCIe switch
  PXB  = Path traversing multipul PCIe switches
  HCCS = Connection traversing HCCS.
  NA   = Unknown relationship.
"""


def render_topology(state: State) -> str:
    chips, _ = current_view(state)
    dies = any(chip.get("phy_id") is not None for chip in chips)
    names = [f"Phy-ID{chip['phy_id']}" if dies else f"NPU{chip['logic_id']}" for chip in chips]
    text = "\t" + " " * 11 + "".join(f"{name:<11}" for name in names) + "CPU Affinity\n"
    for row, chip in enumerate(chips):
        links = []
        for column, other in enumerate(chips):
            if row == column:
                links.append("X")
            elif dies and chip["npu_id"] == other["npu_id"]:
                links.append("SIO")
            else:
                links.append("HCCS_SW" if dies else "HCCS")
        text += "\t" + f"{names[row]:<11}" + "".join(f"{link:<11}" for link in links) + f"{chip['cpu_affinity']}\n"
    return text + LEGEND


RENDERERS: dict[str, Callable[[State, int, list[Chip], Chip | None], str]] = {
    "board": render_board,
    "common": render_common,
    "usages": render_usages,
    "health": render_health,
    "memory": render_memory,
    "ecc": render_ecc,
    "temp": render_temperature,
    "power": render_power,
    "proc-mem": render_process_memory,
}

INFO_HELP = (
    USAGE_INFO
    + """

Commands:
       watch          Show all device's status in scrolling format
       proc           Show device's matrix process status in scrolling format
       -h, --help     Show this help text and exit
       -m             Show all device's mapping information
       -l             Show all device's topology information
       -t type        Show information for type
                      type: board, memory, ecc, usages, temp, power, common, health, proc-mem, topo.

Options:
       -i %d          Card ID
       -c %d          Chip ID
       -p %d          Chip Physical ID
"""
)
