# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one molecule scenario of the checkout.  usage: molecule.py SCENARIO [SUBCOMMAND]"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


# molecule starts `ansible-playbook --version` before each call, only to see whether it can: half of the time that the
# call itself takes to begin. Where the program is there, that is the answer.
PROGRAM = """\
#!/bin/sh
if [ "$*" = --version ] && [ -x "{program}" ]; then echo "{program}"; exit; fi
exec "{program}" "$@"
"""


def main() -> None:
    """Replace this process by molecule, called as it must be called from a checkout of any name."""
    scenario, command = sys.argv[1], (sys.argv[2:3] or ["test"])[0]
    work = ROOT / ".cache" / "molecule" / scenario
    if command == "test":
        shutil.rmtree(work, ignore_errors=True)  # what an interrupted run has noted is no reason to leave out a step
    binaries = Path(sys.executable).parent
    program = work.parent / ".bin" / "ansible-playbook"
    program.parent.mkdir(parents=True, exist_ok=True)
    new = program.with_suffix(f".{os.getpid()}")  # scenarios begin side by side
    new.write_text(PROGRAM.format(program=binaries / program.name))
    new.chmod(0o755)
    new.replace(program)
    env = dict(
        os.environ,
        PATH=os.pathsep.join([str(program.parent), str(binaries), os.environ["PATH"]]),
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
        ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
        MOLECULE_EPHEMERAL_DIRECTORY=str(work),
        MOLECULE_COMMAND_BORDERS="0",
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
