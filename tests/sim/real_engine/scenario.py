#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the molecule scenario real_engine, or say why this machine cannot.

  scenario.py [SUBCOMMAND]        a subcommand of molecule, default: test

Exit status 77 and the reason as the last line where the environment cannot be had; molecule's own otherwise.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import build_env

SKIPPED = 77


def main() -> int:
    """Build what the scenario needs, then become molecule."""
    try:
        build_env.ensure(build_env.cache_root(os.environ), os.environ)
    except build_env.CannotBuild as exc:
        print("real_engine skipped: %s" % exc)
        return SKIPPED
    except build_env.BuildFailed as exc:
        print("real_engine failed: %s" % exc)
        return 1
    os.environ["ASCEND_SIM_TEST_FLEET"] = "real"  # not the shared fleet
    program = HERE.parents[1] / "tools" / "molecule.py"
    return os.execv(sys.executable, [sys.executable, str(program), "real_engine", *sys.argv[1:2]])


if __name__ == "__main__":
    sys.exit(main())
