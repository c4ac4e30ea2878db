# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw what a terminal showed as an SVG picture.

usage: ANSIBLE_FORCE_COLOR=1 ansible-playbook … 2>&1 | picture.py TITLE OUT.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 132


def main() -> None:
    """Read coloured text from standard input, write the picture."""
    title, out = sys.argv[1:3]
    text = sys.stdin.read().replace("\r\n", "\n")
    text = re.sub(r"(\n\s*){3,}", "\n\n", text).strip("\n")
    text = re.sub(r"\*{20,}", lambda stars: "*" * 20, text)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text.from_ansi(text), soft_wrap=False)
    # rich names a font on a web server; a picture must not fetch anything.
    svg = re.sub(r",\s*url\([^)]*\)\s*format\([^)]*\)", "", console.export_svg(title=title))
    Path(out).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
