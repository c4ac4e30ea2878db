# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the simulated fleet."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .fleet import Fleet
from .origin_server import OriginServer
from .shell import FleetError, end_children, say
from .spec import check_name
from .status import status

DESCRIPTION = """A simulated fleet of Ascend servers on this machine (Debian, root). Real: systemd, sshd, Docker, git,
git-lfs. Simulated: the silicon and the engine. See tests/sim/README.md."""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="fleet", description=DESCRIPTION)
    top.add_argument("--name", default="demo", help="name of the fleet (default: demo)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the fleet, or bring it to what is asked")
    up.add_argument(
        "--host", action="append", default=[], metavar="NAME:KEY=VALUE,...",
        help="a host; keys: generation (a2, a3, none), driver, architecture (x86_64, aarch64), capture (JSON file), "
        "os (Debian release), disk (such as 512m), groups (inventory groups, joined with +). "
        "May be repeated. Default: the hosts of the last time, else a2-1 and a3-1",
    )  # fmt: skip
    up.add_argument("--inventory", type=Path, help="where to write the inventory (default: inventories/demo/hosts.yml)")
    up.add_argument("--no-origin", action="store_true", help="hosts only, nothing to download from")

    down = commands.add_parser("down", help="remove the fleet and everything it left on this machine")
    down.add_argument("--cache", action="store_true", help="also the images and files that make the next start fast")

    status = commands.add_parser("status", help="what is up; exit status 1 when something is not")
    status.add_argument("--json", action="store_true", help="as data")

    breaking = commands.add_parser("break", help="break something on a host (without WHAT: what can be broken)")
    breaking.add_argument("host")
    breaking.add_argument("what", nargs="?")
    breaking.add_argument("argument", nargs="?")

    mend = commands.add_parser("mend", help="mend one thing, or all that is broken, on a host")
    mend.add_argument("host")
    mend.add_argument("what", nargs="?")

    execute = commands.add_parser("exec", help="run a command on a host (or on origin); without one: a shell")
    execute.add_argument("host")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")

    add = commands.add_parser("origin-add", help="put a file into a repository of the origin; prints what is there now")
    add.add_argument("repository", help="OWNER/NAME, made when it is not there")
    add.add_argument("path", help="path in the repository")
    add.add_argument("file", type=Path)
    add.add_argument("--plain", action="store_true", help="as an ordinary git file, not as an LFS object")

    limit = commands.add_parser("origin-limit", help="slow each download down to RATE (such as 500k), or `none`")
    limit.add_argument("rate")

    commands.add_parser("origin-log", help="every request the origin has answered")
    return top


def show(report: dict[str, Any]) -> None:
    if not report["hosts"]:
        print("fleet %s is not up: tests/sim/fleet up" % report["name"])
        return
    rows = [("HOST", "GENERATION", "ARCHITECTURE", "ADDRESS", "SYSTEMD", "SSH", "DOCKER", "FAULTS")]
    for host in report["hosts"]:
        rows.append((
            host["name"], host["generation"] or "-", host["architecture"], host["address"] or "-",
            (host["systemd"] or "-") if host["running"] else "not running", "yes" if host["ssh"] else "no",
            host["docker"] or "no", ", ".join(host["faults"]) or "-",
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    if report["origin"]:
        print("origin     %s%s" % (report["origin"]["url"], "" if report["origin"]["running"] else "  (not running)"))
    print("inventory  %s" % report["inventory"])


def healthy(report: dict[str, Any]) -> bool:
    return bool(report["hosts"]) and all(host["running"] and host["ssh"] for host in report["hosts"])


def dispatch(options: argparse.Namespace) -> int:
    fleet = Fleet(check_name("fleet", options.name))
    command = options.command
    if command == "up":
        fleet.up(options.host, options.inventory, not options.no_origin)
    elif command == "down":
        fleet.down(options.cache)
    elif command == "status":
        report = status(fleet)
        print(json.dumps(report, indent=2)) if options.json else show(report)
        return 0 if healthy(report) else 1
    elif command == "break":
        argument = [options.argument] if options.argument else []
        fleet.silicon(options.host, *(["break", options.what, *argument] if options.what else ["faults", "--known"]))
    elif command == "mend":
        fleet.silicon(options.host, "mend", *([options.what] if options.what else []))
    elif command == "exec":
        argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
        fleet.execute(options.host, argv)
    elif command == "origin-add":
        added = OriginServer(fleet).add(options.repository, options.path, options.file, options.plain)
        print(json.dumps(added, indent=2))
    elif command == "origin-limit":
        OriginServer(fleet).limit(options.rate)
    elif command == "origin-log":
        print(OriginServer(fleet).log_of_requests())
    return 0


def _terminated(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return dispatch(options)
    except FleetError as error:
        sys.stdout.flush()
        print("fleet: %s" % error, file=sys.stderr)
        if error.fix:
            print("fleet: to do: %s" % error.fix, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        end_children()
        say("interrupted; nothing is lost: `up` goes on from here, `down` removes what there is")
        return 130
