# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the releases of the scenario beside its inventory: the shipped one, with other packages of driver and firmware.

usage: releases.py INVENTORY_FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).resolve().parents[2] / "playbooks" / "releases"
#: The one that the fleet serves all the time; hosts have its driver at first.
BASE = "driver_base"


def write_release(
    inventory: Path, name: str, version: str = "", packages: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
) -> Path:
    """Write a release that wants this version of driver and firmware, by these packages; the file."""
    folder = inventory / "releases"
    folder.mkdir(exist_ok=True)
    if not (folder / "files").exists():
        (folder / "files").symlink_to(SHIPPED / "files")
    found: dict[str, Any] = yaml.safe_load((SHIPPED / "qwen3_5_27b_v0.yml").read_text(encoding="utf-8"))
    found["release"] = name
    found["serve"]["silence_timeout_seconds"] = 30
    if version:
        found["driver"]["version"] = version
        found["firmware"]["package_version"] = version
    for kind, entries in (packages or {}).items():
        found[kind]["packages"] = [dict(entry) for entry in entries]
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(found, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def main() -> int:
    """Write the one that the fleet serves; the others come with their packages."""
    write_release(Path(sys.argv[1]), BASE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
