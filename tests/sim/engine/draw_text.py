#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw a text into a PNG file that the stand-in of the engine can read: ``draw_text.py TEXT OUT.png``."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from sim_vllm import picture


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", help="letters, digits, blanks and .,!?-:/ ; a line break starts a new line")
    parser.add_argument("out", metavar="OUT.png")
    parser.add_argument("--scale", type=int, default=8, help="pixels to a dot of the font (default: 8)")
    options = parser.parse_args()
    data = picture.draw_text(options.text, scale=options.scale)
    with open(options.out, "wb") as stream:
        stream.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
