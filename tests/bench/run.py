#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurements of docs/performance.md.

usage: run.py [--list] [--write] [NAME ...]

A measurement is a file measurements/NAME.py with ``TITLE`` (a line) and ``measure()``, which returns ``Ratio``s. Both
sides of a ratio are measured in the same run, on the same machine: only the quotient says something elsewhere. Nothing
here fails because a machine is slow. ``--write`` puts the tables into docs/performance.md.

A measurement that this machine cannot make raises ``Impossible`` with the reason.
"""

from __future__ import annotations

import importlib
import re
import signal
import sys
from pathlib import Path
from typing import Any, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "performance.md"
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(ROOT / "tests"))

import conftest  # noqa: F401 - makes the checkout importable as the collection
from ratios import Impossible, Ratio


def names() -> list[str]:
    """The measurements there are."""
    return sorted(p.stem for p in (HERE / "measurements").glob("*.py") if not p.stem.startswith("_"))


def table(ratios: Sequence[Ratio]) -> str:
    """Ratios as a Markdown table."""
    lines = ["| measured | compared with | ratio |", "|---|---|---|"]
    lines += ["| %s | %s | %s |" % (r.measured, r.compared_with, r.words()) for r in ratios]
    return "\n".join(lines)


def write(tables: dict[str, str], page: Path = PAGE) -> None:
    """Replace the tables of the page, each between its two comments."""
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        pattern = re.compile(r"(<!-- bench %s -->\n).*?(<!-- /bench -->)" % re.escape(name), re.DOTALL)
        if not pattern.search(text):
            raise SystemExit("%s has no place `<!-- bench %s -->` … `<!-- /bench -->`" % (page, name))
        text = pattern.sub(lambda match, new=lines: match.group(1) + new + "\n" + match.group(2), text)
    page.write_text(text, encoding="utf-8")


def main(argv: list[str]) -> int:
    """Measure; the exit status is 1 when a measurement broke (not when it was slow)."""
    if "--list" in argv:
        print("\n".join(names()))
        return 0
    wanted = [a for a in argv if not a.startswith("-")] or names()
    if unknown := set(wanted) - set(names()):
        print("unknown: %s; there are: %s" % (", ".join(sorted(unknown)), ", ".join(names())), file=sys.stderr)
        return 2
    # Ended from outside, a measurement still takes down what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tables: dict[str, str] = {}
    broken = 0
    for name in wanted:
        module: Any = importlib.import_module("measurements.%s" % name)
        print("%s: %s" % (name, module.TITLE), flush=True)
        try:
            tables[name] = table(module.measure())
        except Impossible as exc:
            print("not possible here: %s\n" % exc, flush=True)
            continue
        except Exception as exc:
            broken += 1
            print("broken: %s: %s\n" % (type(exc).__name__, exc), flush=True)
            continue
        print(tables[name] + "\n", flush=True)
    if "--write" in argv:
        write(tables)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
