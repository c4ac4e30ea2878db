# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ascend-sim``: sets a host up, restores it after a boot, breaks and mends it."""

from __future__ import annotations

import argparse
import json
import sys

from sim_change import changing_state
from sim_faults import FAULTS
from sim_install import command_boot, command_install, command_late_boot
from sim_processes import command_hold, command_listen
from sim_state import faults, live_holders, load_state
from sim_text import LAYOUTS


def command_break(options: argparse.Namespace) -> int:
    with changing_state() as state:
        FAULTS[options.what].apply(state, options.argument)
    return 0


def command_mend(options: argparse.Namespace) -> int:
    with changing_state() as state:
        for name in [options.what] if options.what else list(faults(state)):
            FAULTS[name].undo(state)
    return 0


def command_faults(options: argparse.Namespace) -> int:
    if options.known:
        for name, fault in FAULTS.items():
            sys.stdout.write(f"{name:<18} {fault.description}\n")
        return 0
    state = load_state() or {}
    for name, entry in faults(state).items():
        sys.stdout.write(f"{name} {json.dumps(entry, sort_keys=True)}\n")
    return 0


def command_idle(_options: argparse.Namespace) -> int:
    """Status 1 while a process holds a card: neither driver nor firmware can be installed then."""
    held = live_holders()
    for entry in held:
        sys.stdout.write(f"davinci{entry['index']}: {entry['name']} (pid {entry['pid']}), {entry['memory_mb']} MB\n")
    return 1 if held else 0


def command_set(options: argparse.Namespace) -> int:
    with changing_state() as state:
        if options.name == "speed":
            state.setdefault("engine", {})["speed"] = float(options.value)
        elif options.name == "token-seconds":
            state.setdefault("engine", {})["token_seconds"] = float(options.value)
        elif options.name == "layout":
            if options.value not in LAYOUTS:
                raise SystemExit(f"ascend-sim: no layout {options.value}; there are {', '.join(LAYOUTS)}")
            state["layout"] = options.value
    return 0


def main_ascend_sim(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ascend-sim", description="The silicon of a simulated Ascend server.")
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="set this host up: nodes, version files, tools, state")
    install.add_argument("--generation", choices=("a2", "a3"), default="a2")
    install.add_argument("--architecture", choices=("aarch64", "x86_64"), default="aarch64")
    install.add_argument("--driver", default="25.2.0", metavar="VERSION")
    install.add_argument("--firmware", metavar="VERSION")
    install.add_argument("--capture", metavar="FILE", help="values of a captured host (JSON), not the default ones")
    install.set_defaults(run=command_install)
    boot = commands.add_parser("boot", help="after a boot: load the installed driver, make the device nodes")
    boot.set_defaults(run=command_boot)
    late_boot = commands.add_parser("late-boot", help="make the device nodes so many seconds after docker listens")
    late_boot.add_argument("seconds", type=float)
    late_boot.set_defaults(run=command_late_boot)
    breaking = commands.add_parser("break", help="break something")
    breaking.add_argument("what", choices=tuple(FAULTS), metavar="WHAT")
    breaking.add_argument("argument", nargs="?")
    breaking.set_defaults(run=command_break)
    mending = commands.add_parser("mend", help="mend one thing, or all")
    mending.add_argument("what", nargs="?", choices=tuple(FAULTS), metavar="WHAT")
    mending.set_defaults(run=command_mend)
    listing = commands.add_parser("faults", help="what is broken now")
    listing.add_argument("--known", action="store_true", help="what can be broken")
    listing.set_defaults(run=command_faults)
    idle = commands.add_parser("idle", help="who holds a card; status 1 when somebody does")
    idle.set_defaults(run=command_idle)
    setting = commands.add_parser(
        "set", help="speed of engines (1: as a real one, 10: ten times as fast), seconds between two tokens, layout"
    )
    setting.add_argument("name", choices=("speed", "token-seconds", "layout"))
    setting.add_argument("value")
    setting.set_defaults(run=command_set)
    hold = commands.add_parser("hold", help="hold HBM of a card until killed")
    hold.add_argument("index", type=int)
    hold.add_argument("megabytes", type=int)
    hold.add_argument("--utilization", type=int, default=0)
    hold.add_argument("--name", default="python")
    hold.add_argument("--seconds", type=float, help="let go after so long")
    hold.set_defaults(run=command_hold)
    listen = commands.add_parser("listen", help="listen on a port until killed")
    listen.add_argument("port", type=int)
    listen.add_argument("--tolerate", action="store_true")
    listen.set_defaults(run=command_listen)
    options = parser.parse_args(arguments)
    return int(options.run(options))
