# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading `npu-smi info` of 16 chips: the collection's parser, and TextFSM and TTP with a template of that one table.

All three must give the same values before anything is timed. TextFSM's template and TTP's are compiled beforehand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ratios import Impossible, Ratio

TITLE = "reading the main table of an A3 host (16 chips)"
HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
SILICON = ROOT / "tests" / "sim" / "silicon" / "ascend_sim.py"


def sixteen_chips() -> str:
    """The table of a simulated A3 host."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "ASCEND_SIM_ROOT": folder, "ASCEND_SIM_PROC": folder}
        Path(folder, "bin").mkdir()
        for name in ("ascend-sim", "npu-smi"):
            Path(folder, "bin", name).symlink_to(SILICON)
        sim = [sys.executable, f"{folder}/bin/ascend-sim", "install", "--generation", "a3", "--architecture", "aarch64"]
        subprocess.run([*sim, "--driver", "25.2.0"], env=env, check=True, capture_output=True)
        smi = [sys.executable, f"{folder}/bin/npu-smi", "info"]
        return subprocess.run(smi, env=env, check=True, capture_output=True, text=True).stdout


def measure() -> list[Ratio]:
    """Time the three in one process, in an environment that has TextFSM and TTP."""
    made = subprocess.run(
        ["bash", str(HERE / "bench_venv.sh"), sys.executable], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise Impossible("TextFSM and TTP cannot be installed: %s" % (made.stderr.strip().splitlines() or [""])[-1])
    python = str(ROOT / made.stdout.strip() / "bin" / "python")
    done = subprocess.run(
        [python, str(HERE / "parsers_worker.py")], input=sixteen_chips(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    seconds = json.loads(done.stdout)
    ours = "`npu_smi` filter (every layout, process table, warnings)"
    return [
        Ratio(ours, "TextFSM, a template of this table's chips alone", seconds["ours"], seconds["textfsm"]),
        Ratio(ours, "TTP, a template of this table's chips alone", seconds["ours"], seconds["ttp"]),
        Ratio(ours, "one millisecond", seconds["ours"], 0.001, "aim: below 1 ×"),
    ]
