# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one molecule scenario of the checkout.  usage: molecule.py SCENARIO [SUBCOMMAND]"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Replace this process by molecule, called as it must be called from a checkout of any name."""
    scenario, command = sys.argv[1], (sys.argv[2:3] or ["test"])[0]
    binaries = Path(sys.executable).parent
    env = dict(
        os.environ,
        PATH=f"{binaries}{os.pathsep}{os.environ['PATH']}",
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
        ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
        MOLECULE_GLOB=str(ROOT / "molecule" / "*" / "molecule.yml"),
    )
    os.chdir(ROOT)
    argv = [
        str(binaries / "molecule"),
        "--base-config",
        str(ROOT / ".config/molecule/config.yml"),
        command,
        "--scenario-name",
        scenario,
    ]
    os.execve(argv[0], argv, env)


if __name__ == "__main__":
    main()
