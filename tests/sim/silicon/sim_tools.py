# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools of a simulated Ascend server that only read its state: npu-smi, lspci and hccn_tool."""

from __future__ import annotations

import os
import signal
import sys

from sim_state import (
    DRIVER_INFO,
    HCCN_CONF,
    USAGE_INFO,
    chip_index,
    current_view,
    faults,
    in_container,
    load_state,
    read_file,
    read_version,
    rooted,
)  # fmt: skip
from sim_text import INFO_HELP, RENDERERS, by_card, render_info, render_list, render_mapping, render_topology

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sim_state import State

MAIN_HELP = """Usage: npu-smi <Command|-h|-v> [Options...]

npu-smi Command:
        -h            This command's help information
        --help        This command's help information
        -v            Show npu-smi version information
        info          Show hardware details
        set           Modify device configuration properties
        clear         Clear device information
        upgrade       Upgrade firmware
"""


class Refused(Exception):
    """What the tool says instead of an answer: text, stream and exit status."""

    def __init__(self, text: str, status: int, stream: str = "stdout") -> None:
        super().__init__(text)
        self.text, self.status, self.stream = text, status, stream


def dcmi_refusal(code: int, text: str) -> Refused:
    """npu-smi's own words are on stdout, its exit status is the code modulo 256."""
    return Refused(text + "\n", code % 256)


def check_driver(state: State | None) -> State:
    """What goes wrong before npu-smi reads its arguments."""

    def library(name: str) -> Refused:
        return Refused(
            f"npu-smi: error while loading shared libraries: {name}: "
            "cannot open shared object file: No such file or directory\n",
            127,
            "stderr",
        )

    # The dynamic loader's work: in a container the libraries are there only if their folders are mounted.
    if state is None or "missing-library" in faults(state):
        raise library("libdrvdsmi_host.so")
    if state.get("libraries", True):
        if not os.path.exists(rooted("/usr/local/Ascend/driver/lib64/driver/libdrvdsmi_host.so")):
            raise library("libdrvdsmi_host.so")
        if not os.path.exists(rooted("/usr/local/dcmi/libdcmi.so")):
            raise library("libdcmi.so")
    broken = faults(state)
    if "dcmi-8005" in broken or not broken.get("late-driver", {"up": True})["up"] or driver_not_loaded(state):
        raise dcmi_refusal(-8005, "dcmi module initialize failed. ret is -8005")
    if "dcmi-8020" in broken:
        raise dcmi_refusal(
            -8020,
            "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\n"
            "dcmi model initialized failed, because the device is used. ret is -8020",
        )
    if "board-9005" in broken:
        raise dcmi_refusal(-9005, "DrvMngGetConsoleLogLevel failed. (ret=4)\nnpu get board type failed. ret is -9005")
    if in_container():
        present = [chip for chip in state["chips"] if os.path.exists(rooted(f"/dev/davinci{chip_index(chip)}"))]
        if not os.path.exists(rooted("/dev/davinci_manager")) or not present:
            raise dcmi_refusal(
                -8005, "DrvMngGetConsoleLogLevel failed. (ret=4)\ndcmi module initialize failed. ret is -8005"
            )
    return state


def driver_not_loaded(state: State) -> bool:
    """Another driver is installed than the one the kernel runs: the host was not rebooted after an upgrade."""
    installed = read_version(DRIVER_INFO, "version")
    return not in_container() and installed is not None and installed != state["driver_version"]


def npu_smi(arguments: list[str]) -> str:
    """The text of one npu-smi command."""
    state = check_driver(load_state())
    if "hung" in faults(state):
        while True:
            signal.pause()
    if not arguments or arguments[0] in ("-h", "--help"):
        return MAIN_HELP
    if arguments[0] == "-v":
        return f"npu-smi version: {state['npu_smi_version']}\n"
    if arguments[0] != "info":
        raise Refused(f"Error parameter of {arguments[0]}\n" + MAIN_HELP, 1)
    options = arguments[1:]
    if not options:
        text = render_info(state)
        if "truncated" in faults(state):
            text = text[: len(text) * int(faults(state)["truncated"].get("percent", 45)) // 100]
        return text
    if options[0] in ("-h", "--help"):
        return INFO_HELP
    if options == ["-l"]:
        return render_list(state)
    if options == ["-m"]:
        return render_mapping(state)
    return npu_smi_type(state, options)


def npu_smi_type(state: State, options: list[str]) -> str:
    values: dict[str, str] = {}
    rest = list(options)
    while rest:
        name = rest.pop(0)
        if name not in ("-t", "-i", "-c", "-p") or not rest:
            raise Refused(f"Error parameter of {name}\n{USAGE_INFO}\n", 1)
        values[name] = rest.pop(0)
    if values.get("-t") == "topo":
        return render_topology(state)
    renderer = RENDERERS.get(values.get("-t", ""))
    if renderer is None:
        raise Refused(f"Error parameter of -t\n{USAGE_INFO}\n", 1)
    cards = by_card(current_view(state)[0])
    if not values.get("-i", "").isdigit() or int(values["-i"]) not in cards:
        raise Refused(f"Invalid card id.\nError parameter of -i\n{USAGE_INFO}\n", 1)
    on_card = cards[int(values["-i"])]
    chip = None
    if "-c" in values:
        chip = next((entry for entry in on_card if str(entry["chip_id"]) == values["-c"]), None)
        if chip is None:
            raise Refused(f"Invalid chip id.\nError parameter of -c\n{USAGE_INFO}\n", 1)
    return renderer(state, int(values["-i"]), on_card, chip)


def main_npu_smi(arguments: list[str]) -> int:
    try:
        sys.stdout.write(npu_smi(arguments))
    except Refused as refusal:
        (sys.stderr if refusal.stream == "stderr" else sys.stdout).write(refusal.text)
        return refusal.status
    return 0


# ------------------------------------------------------------------------------------------------ lspci and hccn_tool


def main_lspci(arguments: list[str]) -> int:
    import argparse  # npu-smi does without it, and is called far more often

    parser = argparse.ArgumentParser(prog="lspci", add_help=False)
    parser.add_argument("-D", action="store_true")
    parser.add_argument("-n", action="count", default=0)
    parser.add_argument("-k", action="store_true")
    parser.add_argument("-m", action="count", default=0)
    parser.add_argument("-v", action="count", default=0)
    parser.add_argument("-d", default="")
    parser.add_argument("-s", default="")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        sys.stderr.write(f"lspci: invalid option -- '{unknown[0].lstrip('-')[:1]}'\n")
        return 1
    state = load_state()
    if state is None:
        return 0
    vendor, _, device = state["pci_id"].partition(":")
    wanted_vendor, _, wanted_device = options.d.partition(":")
    if wanted_vendor and int(wanted_vendor, 16) != int(vendor, 16):
        return 0
    if wanted_device and not device.startswith(wanted_device.split(":")[0].lower()):
        return 0
    gone = faults(state).get("pci-lost", {}).get("indices", [])
    addresses = sorted(chip["bus_id"].lower() for chip in state["chips"] if chip_index(chip) not in gone)
    for address in addresses:
        if options.s and options.s.lower() not in address:
            continue
        shown = address if options.D else address.partition(":")[2]
        if options.n:
            sys.stdout.write(f"{shown} 1200: {vendor}:{device} (rev 20)\n")
        else:
            words = "Processing accelerators: Huawei Technologies Co., Ltd. Device"
            sys.stdout.write(f"{shown} {words} {device} (rev 20)\n")
        if options.k:
            sys.stdout.write("\tKernel driver in use: devdrv_device_driver\n")
    return 0


def main_hccn_tool(arguments: list[str]) -> int:
    state = load_state()
    if state is None or "-i" not in arguments:
        sys.stdout.write("hccn_tool: wrong parameter.\n")
        return 1
    index = arguments[arguments.index("-i") + 1] if arguments.index("-i") + 1 < len(arguments) else ""
    if not index.isdigit() or int(index) >= len(state["chips"]):
        sys.stdout.write("hccn_tool: wrong device id.\n")
        return 1
    down = int(index) in faults(state).get("link-down", {}).get("indices", [])
    conf = {key: value for key, _, value in (line.partition("=") for line in (read_file(HCCN_CONF) or "").splitlines())}
    answers = {
        "-link": f"link status: {'DOWN' if down else 'UP'}\n",
        "-net_health": f"net health status: {'Socket failed' if down else 'Success'}\n",
        "-ip": f"ipaddr:{conf.get(f'address_{index}', '')}\nnetmask:{conf.get(f'netmask_{index}', '')}\n",
        "-gateway": f"default gateway:{conf.get(f'gateway_{index}', '')}, Iface:eth{index}\n",
        "-tls": (
            f"dev_id:{index}, tls switch[0](0:disable, 1:enable), tls preconfigured[1](0:non-preset, 1:preset), "
            "tls alarm time threshold[60]days\n"
        ),
        "-fec": "fec mode: rs FEC mode\n",
    }
    for option in arguments:
        if option in answers:
            sys.stdout.write(answers[option])
            return 0
    sys.stdout.write("hccn_tool: wrong parameter.\n")
    return 1


TOOLS: dict[str, Callable[[list[str]], int]] = {
    "npu-smi": main_npu_smi,
    "lspci": main_lspci,
    "hccn_tool": main_hccn_tool,
}


def run(tool: Callable[[list[str]], int]) -> int:
    """A tool on the arguments of this process; its exit status."""
    try:
        return tool(sys.argv[1:])
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


def main() -> int:
    """The tool by whose name the program was started."""
    return run(TOOLS[os.path.basename(sys.argv[0])])
