# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of the images that this collection has brought to a host: one file for each image ID.

A record says what the image holds, once that is known. The time of its file is the time of the image's last use.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any, Iterable, Optional, Sequence

from .._base.files import write_atomically

_VERSION = 1
_NAME = re.compile(r"[0-9a-f]{64}\.json\Z")


@dataclass(frozen=True)
class Record:
    """One image of this collection: its ID, and when it was last used, in seconds since 1970."""

    image_id: str
    used_at: float


def record_path(folder: str, image_id: str) -> str:
    """Return the file of an image's record."""
    return os.path.join(folder, re.sub(r"[^0-9a-f]", "", image_id.split(":")[-1])[:64] + ".json")


def has_record(folder: str, image_id: str) -> bool:
    """Whether the image is known to be one of this collection."""
    return os.path.exists(record_path(folder, image_id))


def recall_contents(folder: str, image_id: str, packages: Iterable[str]) -> Optional[dict[str, Any]]:
    """Return what the image holds, if the record answers everything that is asked for, and None otherwise."""
    try:
        with open(record_path(folder, image_id), encoding="utf-8") as handle:
            data = json.load(handle)
        contents = data["contents"]
        is_of_image = data["version"] == _VERSION and data["image_id"] == image_id
        if is_of_image and set(packages) <= set(contents["components"]):
            return dict(contents)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing usable is recorded: the image is run
    return None


def write_record(folder: str, image_id: str, contents: Optional[dict[str, Any]] = None) -> None:
    """Record an image, with what it holds where that is known."""
    os.makedirs(folder, mode=0o755, exist_ok=True)
    data: dict[str, Any] = {"version": _VERSION, "image_id": image_id}
    if contents is not None:
        data["contents"] = contents
    write_atomically(record_path(folder, image_id), json.dumps(data, indent=1, sort_keys=True))


def recorded(folder: str) -> list[Record]:
    """Return every recorded image. No folder: none. One that cannot be read is an OSError."""
    found = []
    for name in _names(folder):
        if _NAME.match(name):
            status = os.stat(os.path.join(folder, name))
            found.append(Record("sha256:" + name[:64], status.st_mtime))
    return found


def read_from_archives(folder: str) -> set[str]:
    """Return the IDs that images of the archives that were read here may have in docker.

    They are in the files in which image_load remembers what an archive holds. An image that was loaded by a version
    of this collection that kept no record of it is found by them.
    """
    found: set[str] = set()
    for name in _names(folder):
        if not name.endswith(".json") or _NAME.match(name):
            continue
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as handle:
                for image in json.load(handle)["images"]:
                    found.update([str(image["config_digest"]), *map(str, image["manifest_digests"])])
        except (ValueError, KeyError, TypeError):
            continue  # not one of ours
    return found


def set_used(folder: str, image_id: str, used_at: float) -> None:
    """Set the time of an image's last use."""
    os.utime(record_path(folder, image_id), (used_at, used_at))


def remove_records(folder: str, image_ids: Sequence[str]) -> None:
    """Forget images that are gone."""
    for image_id in image_ids:
        try:
            os.unlink(record_path(folder, image_id))
        except FileNotFoundError:
            pass


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
