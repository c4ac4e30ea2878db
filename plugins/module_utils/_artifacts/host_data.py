# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the data of this collection lie on a host, and removing them without touching anything else.

A folder that an operator has named may hold other data too: below such a root only what bears this collection's mark
goes. A root of the collection's own is removed with all it holds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

from .._base.files import remove, write_atomically
from .prune import KINDS, remove_folder, unfinished_removals

#: Parts of a root, by what is removed. The rest of a root of our own goes with the artifacts.
SERVICE = (
    "replicas", "state", "evidence", "bench", "watchdog.json", "changing", "traffic",
    "state.json", "lease.json", "deployments", "findings.json",
)  # fmt: skip
IMAGES, GATEWAY = ("images",), ("gateway",)
_SYSTEM = {"/", "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var"}
_RECORD = re.compile(r"\.json\Z")


class PlacesError(Exception):
    """It is not known, or not safe, where to remove anything; the message says what to do."""


@dataclass
class Places:
    """Roots of data, and images by ID, of which something on a host says that they are this collection's."""

    roots: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)

    def add(self, other: Places) -> None:
        """Take over what others have."""
        self.roots |= other.roots
        self.images |= other.images


def places_of_units(units: Iterable[Mapping[str, Any]]) -> Places:
    """Return what deployed units say: the roots of weights and of replicas' folders, and the images."""
    found = Places()
    for unit in units:
        for path, kind in ((unit.get("weights"), "models"), (unit.get("directory"), "replicas")):
            above, name = os.path.split(os.path.dirname(str(path or "").rstrip("/")))
            if name == kind and os.path.isabs(above):
                found.roots.add(above)
        if unit.get("image"):
            found.images.add(str(unit["image"]))
    return found


def root_of_mirror(configuration: Optional[str]) -> Optional[str]:
    """Return the root that a deployed mirror's nginx configuration serves; None when it names none."""
    said = re.search(r"^\s*root (/.*)/store;$", configuration or "", re.MULTILINE)
    return said[1] if said else None


def read_places(path: str) -> Places:
    """Read what an earlier run has noted; nothing where there is no note. A damaged one is a ValueError."""
    try:
        with open(path, encoding="utf-8") as handle:
            data = json.load(handle)
    except FileNotFoundError:
        return Places()
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return Places({str(r) for r in data.get("roots") or ()}, {str(i) for i in data.get("images") or ()})


def write_places(path: str, places: Places) -> None:
    """Note places, so that a run that is interrupted after the units went still knows them."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    data = {"roots": sorted(places.roots), "images": sorted(places.images)}
    write_atomically(path, json.dumps(data, indent=1) + "\n")


def check_roots(roots: Iterable[str]) -> None:
    """Refuse roots that hold a whole system. Raises PlacesError."""
    for root in roots:
        if not os.path.isabs(root) or root in _SYSTEM:
            raise PlacesError(
                "found %r as a folder of data; needed an absolute path to a folder of its own. Fix: correct the "
                "variable that names it: decommission_roots, model_artifacts_root, vllm_image_root or "
                "vllm_serve_data_root" % root
            )


def artifacts_below(root: str, *, own: bool) -> list[str]:
    """Return what holds artifacts below a root: folders that lfs_artifact has filled, and a mirror's store."""
    if own:
        keep = {*SERVICE, *IMAGES, *GATEWAY}
        return [os.path.join(root, name) for name in _names(root) if name not in keep]
    found = unfinished_removals(root)
    for kind in KINDS:
        place = os.path.join(root, kind)
        found += [os.path.join(place, n) for n in _names(place) if _is_filled_by_us(os.path.join(place, n))]
    store = os.path.join(root, "store")
    found.sort()
    if os.path.isdir(os.path.join(store, "manifests")):
        # The manifests are what a store is known by: they go last, so that a run that was killed is continued.
        found += [os.path.join(store, name) for name in _names(store) if name != "manifests"]
        found += [os.path.join(store, "manifests"), store]
    return found


def service_data_below(root: str, *, own: bool) -> list[str]:
    """Return what replicas have left below a root. Below a foreign one their folders went with the units."""
    return [os.path.join(root, name) for name in SERVICE if own and os.path.lexists(os.path.join(root, name))]


def image_records_below(root: str, *, own: bool) -> list[str]:
    """Return the records of images below a root."""
    place = os.path.join(root, IMAGES[0])
    if own:
        return [place] if os.path.isdir(place) else []
    return [os.path.join(place, name) for name in _names(place) if _is_record(os.path.join(place, name))]


def foreign_below(root: str, *, own: bool) -> list[str]:
    """Return what lies where this collection has weights and archives below a root, and is not its own."""
    found = []
    for kind in () if own else KINDS:
        place = os.path.join(root, kind)
        found += [os.path.join(place, n) for n in _names(place) if not _is_filled_by_us(os.path.join(place, n))]
    unfinished = set(unfinished_removals(root)) if found else set()
    return sorted(path for path in found if path not in unfinished)


def size_of(path: str) -> int:
    """Return how many bytes a file, or a folder with all it holds, takes on disk; a file with two names counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    pending = [path]
    while pending:
        current = pending.pop()
        try:
            about = os.lstat(current)
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            total += about.st_blocks * 512
            if stat.S_ISDIR(about.st_mode):
                pending += [os.path.join(current, name) for name in os.listdir(current)]
        except FileNotFoundError:
            continue  # it has just gone
    return total


def remove_paths(paths: Sequence[str]) -> None:
    """Remove files and folders. Each step can be repeated after a kill."""
    for path in paths:
        if os.path.islink(path) or not os.path.isdir(path):
            remove(path)
        elif _is_filled_by_us(path):
            remove_folder(path)
        else:
            shutil.rmtree(path)


def remove_empty(root: str) -> list[str]:
    """Remove the folders that this collection makes below a root, and the root, where they are empty. No error else."""
    gone = []
    for path in [os.path.join(root, name) for name in (*KINDS, *SERVICE, *IMAGES, "media")] + [root]:
        try:
            os.rmdir(path)
        except OSError:
            continue
        gone.append(path)
    return gone


def _is_filled_by_us(path: str) -> bool:
    return os.path.isdir(os.path.join(path, ".git", "ascend-fleet")) and not os.path.islink(path)


def _is_record(path: str) -> bool:
    """Whether a file is a record of an image, or what is remembered of an archive."""
    try:
        with open(path, encoding="utf-8") as handle:
            data = json.load(handle) if _RECORD.search(path) else None
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and ("image_id" in data or {"signature", "images"} <= set(data))


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
