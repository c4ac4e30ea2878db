# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching one file with 1, 2, 4 and 8 hosts over limited network cards; ../artifacts.py does the work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from artifacts import WAYS
from ratios import Impossible, Ratio

TITLE = "the same file for 1, 2, 4 and 8 hosts: from the origin, through a mirror, and from each other"
AIM = "aim: at most 1.5 × one host"


def measure() -> list[Ratio]:
    """Each way and number of hosts, as a multiple of one host that fetches from the origin."""
    if os.geteuid() != 0 or not shutil.which("tc"):
        raise Impossible("limiting network cards needs root and tc (package iproute2)")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "artifacts.json"
        script = Path(__file__).resolve().parents[1] / "artifacts.py"
        subprocess.run([sys.executable, str(script), "--json", str(result)], check=True)
        found = json.loads(result.read_text(encoding="utf-8"))
    ratios = []
    for way, by_count in found["ratios"].items():
        for count, value in by_count.items():
            words = "%s host%s, %s" % (count, "" if count == "1" else "s", WAYS[way])
            aim = AIM if count == "8" and way != "naive" else ""
            ratios.append(Ratio(words, "1 host, from the origin", value, 1.0, aim))
    return ratios
