# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing images of this collection from docker: old ones that nothing uses, or all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Collection, Sequence

from .._base.revisions import Revision, later_uses, mentions, superfluous
from .._host.docker import Docker
from . import records


@dataclass
class Removal:
    """The images of this collection that docker had, and those of them that were removed, or would be."""

    before: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def prune_images(
    folder: str, keep: int, current: Collection[str], in_use: Callable[[], str], docker: Docker, *, check: bool
) -> Removal:
    """Remove all but the ``keep`` images that were used last. Never one that is in use or ``current``.

    ``folder`` holds the records, ``in_use`` gives the text that names what is in use. Only recorded images count.
    What serves and what was just brought is noted as used, so that the image from which a host comes is the last that
    goes: a rollback needs it. Raises DockerError; nothing is removed then.
    """
    if keep <= 0:
        return Removal()
    present = {str(image["id"]) for image in docker.images()}
    used_at = {r.image_id: r.used_at for r in records.recorded(folder) if r.image_id in present}
    removal = Removal(before=sorted(used_at))
    if len(used_at) < 2:
        return removal  # asking what is in use costs docker commands
    text = in_use()
    serving = [image_id for image_id in used_at if mentions(text, image_id)]
    for image_id, moment in later_uses(used_at, serving, current).items():
        used_at[image_id] = moment
        if not check:
            records.set_used(folder, image_id, moment)
    images = [Revision(image_id, "images", moment) for image_id, moment in used_at.items()]
    for image in superfluous(images, keep, [*serving, *current]):
        removal.removed.append(image.name)
        if not check:
            docker.remove_image(image.name, force=True)
            records.remove_records(folder, [image.name])
    return removal


def images_of_this_collection(folders: Sequence[str], named: Collection[str], docker: Docker) -> list[str]:
    """Return the IDs of docker's images that this collection has loaded, of whatever release.

    ``folders`` hold records; ``named`` are IDs that its units name.
    """
    ours = set(named)
    for folder in folders:
        ours.update(record.image_id for record in records.recorded(folder))
        ours.update(records.read_from_archives(folder))
    return sorted({str(image["id"]) for image in docker.images()} & ours)
