#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the environment of the real engine into a simulated host, where containers mount it from.

  give_env.py --fleet NAME --host HOST

A host that has this very environment is left alone. A copy that was interrupted is begun again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import build_env
import build_rootfs
from fleetsim import machine
from fleetsim.home import Home
from fleetsim.shell import FleetError

# The mark is written last and removed first: it stands for a whole copy.
_UNPACK = 'set -e; rm -f "$1/.given"; mkdir -p "$1"; tar -x -C "$1" --overwrite; echo "$2" >"$1/.given"'


def give(fleet: str, host: str, environment: Path) -> bool:
    """Copy the environment into the host; False when it is there already."""
    container = Home(fleet).known_container(host)
    docker = machine.Docker()
    if docker.text("exec", container, "cat", build_rootfs.MOUNT + "/.given", check=False) == environment.name:
        return False
    command = [docker.binary, "exec", "-i", container, "sh", "-c", _UNPACK, "sh", build_rootfs.MOUNT, environment.name]
    pack = subprocess.Popen(["tar", "-c", "-C", str(environment), "."], stdout=subprocess.PIPE)
    try:
        taken = subprocess.run(command, stdin=pack.stdout, check=False)
    finally:
        if pack.stdout is not None:
            pack.stdout.close()
        packed = pack.wait()
    if packed or taken.returncode:
        raise FleetError("the environment was not copied (tar %d, docker %d)" % (packed, taken.returncode), "try again")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fleet", required=True)
    parser.add_argument("--host", required=True)
    options = parser.parse_args(arguments)
    try:
        environment = build_env.ensure(machine.cache_home(), os.environ)
        given = give(options.fleet, options.host, environment)
    except build_env.CannotBuild as exc:
        print("real-engine: skipped: %s" % exc, file=sys.stderr)
        return build_env.SKIP
    except (build_env.BuildFailed, FleetError) as exc:
        print("real-engine: failed: %s" % exc, file=sys.stderr)
        return 1
    print("%s: %s%s" % (options.host, build_rootfs.MOUNT, "" if given else " is already there"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
