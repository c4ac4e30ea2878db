# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the releases of the scenario beside its inventory: the shipped one with the changes of releases/declared.yml.

usage: releases.py INVENTORY_FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parents[1] / "playbooks" / "releases"
SHIPPED_RELEASE = "qwen3_5_27b_v0"
#: The one that the fleet runs at first.
BASE_RELEASE = "upgrade_base"
FINGERPRINT = "ASCEND_SIM_FINGERPRINT"
#: What an entry of releases/declared.yml says that is no part of a release.
_WORDS = ("new_images", "generations")


def merged(base: Any, change: Any) -> Any:
    """``base`` with ``change`` in it: mappings are merged, everything else is replaced."""
    if not (isinstance(base, Mapping) and isinstance(change, Mapping)):
        return change
    return {**base, **{key: merged(base[key], value) if key in base else value for key, value in change.items()}}


def declared() -> dict[str, Any]:
    """releases/declared.yml."""
    found: dict[str, Any] = yaml.safe_load((HERE / "releases" / "declared.yml").read_text(encoding="utf-8"))
    return found


def wants_new_images() -> list[str]:
    """The releases that need images of their own, made from the shipped ones."""
    return [name for name, change in declared()["releases"].items() if change.get("new_images")]


def release(name: str, images: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """A release in full. ``images`` take the place of the shipped ones."""
    data = declared()
    change = data["releases"][name]
    base = yaml.safe_load((SHIPPED / f"{SHIPPED_RELEASE}.yml").read_text(encoding="utf-8"))
    own = {key: value for key, value in change.items() if key not in _WORDS}
    found: dict[str, Any] = merged(merged(base, data["all"]), own)
    chosen = [dict(image) for image in images or base["images"]]
    wanted = change.get("generations") or [image["generation"] for image in chosen]
    found["release"] = name
    found["images"] = [image for image in chosen if image["generation"] in wanted]
    found["serve"]["environment"] = {**found["serve"]["environment"], FINGERPRINT: name}
    return found


def write(inventory: Path, name: str, images: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """Write a release into ``releases/`` beside the inventory; the file."""
    folder = inventory / "releases"
    folder.mkdir(exist_ok=True)
    if not (folder / "files").exists():
        (folder / "files").symlink_to(SHIPPED / "files")
    path = folder / f"{name}.yml"
    text = yaml.safe_dump(release(name, images), allow_unicode=True, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    return path


def main() -> int:
    """Write all but those with images of their own: these come when the images are in the origin."""
    inventory = Path(sys.argv[1])
    for name in declared()["releases"]:
        if name not in wants_new_images():
            write(inventory, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
