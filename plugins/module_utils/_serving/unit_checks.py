# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before anything of the wanted units is changed on a host."""

from __future__ import annotations

import os
from typing import Any, Collection, Iterable, Mapping, Optional, Sequence

from .._host import docker
from .deployed import UNIT_NAME
from .unit_reader import UnitReader


def problems(
    units: Sequence[Mapping[str, Any]], reader: UnitReader, *, images: bool, leaving: Collection[str] = ()
) -> list[str]:
    """Everything that stands in the way of the wanted units, each as `found …; needed …. Fix: …`.

    images: whether docker must have the units' images. leaving: containers that will have given up their names.
    """
    found = _names(units)
    found += _foreign_containers(units, reader, leaving)
    found += _masked(units, reader)
    if units:
        found += _paths(units, reader)
    if images:
        wanted = sorted({str(u["image"]) for u in units if u.get("image")})
        found += [
            "found no image %s in docker; needed it loaded. Fix: run the role vllm_image" % image
            for image in wanted
            if reader.image_missing(image)
        ]
    return found


def _names(units: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [
        "found the unit name %s; needed vllm-MODEL@NUMBER.service. Fix: take the units as vllm_replicas plans them"
        % u["name"]
        for u in units
        if not UNIT_NAME.match(str(u["name"]))
    ]
    for key, words in (("name", "unit name"), ("container_name", "container name")):
        values = [str(u[key]) for u in units]
        for value in sorted({v for v in values if values.count(v) > 1}):
            fix = "take the units as vllm_replicas plans them"
            found.append("found the %s %s twice; needed one unit each. Fix: %s" % (words, value, fix))
    return found


def _foreign_containers(units: Sequence[Mapping[str, Any]], reader: UnitReader, leaving: Collection[str]) -> list[str]:
    """A container of the same name that is not ours would be removed by the unit; only its owner may decide that."""
    names = {u["container_name"] for u in units}.difference(leaving)
    foreign = [
        "%s (image %s, %s)" % (c["name"], c["image"], c["state"])
        for c in (reader.containers() if names else [])
        if c["name"] in names and not docker.is_managed(c["labels"])
    ]
    if not foreign:
        return []
    return [
        "found containers under our units' names that this collection did not start: %s; needed these names free. "
        "Fix: docker stop and docker rm (or docker rename) them" % ", ".join(foreign)
    ]


def _masked(units: Sequence[Mapping[str, Any]], reader: UnitReader) -> list[str]:
    found = []
    for unit in units:
        # A mask is a link to /dev/null in the file's place; whoever masked the unit meant it.
        path = reader.unit_path(str(unit["name"]))
        if os.path.islink(path):
            link = "%s is a link to %s" % (path, os.readlink(path))
            found.append("found %s; needed a file. Fix: systemctl unmask %s" % (link, unit["name"]))
    return found


def _paths(units: Sequence[Mapping[str, Any]], reader: UnitReader) -> list[str]:
    folders = [reader.unit_dir, reader.config_dir, *(str(d) for u in units for d in u["directories"])]
    return [p for p in (_not_writable(folder) for folder in _unique(folders)) if p]


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _not_writable(folder: str) -> Optional[str]:
    """Why a folder cannot be made or written in; None where it can."""
    there = folder
    while not os.path.lexists(there) and os.path.dirname(there) != there:
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        return "found %s, which is no folder; needed the folder %s. Fix: move it away" % (there, folder)
    if not os.access(there, os.W_OK | os.X_OK):
        return "found %s not writable; needed to write in %s. Fix: run as root; see `findmnt -T %s`" % (
            there,
            folder,
            there,
        )
    return None
