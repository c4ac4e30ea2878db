#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a constant load on a serving fleet and tell what it has noticed; see README.md beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from serving_load.cli import main

if __name__ == "__main__":
    sys.exit(main())
