# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old revisions of weights, archives and images: which are superfluous, and which are in use and stay whatever else."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping, Sequence

from ansible_collections.ascend.fleet.plugins.module_utils import _command


@dataclass(frozen=True)
class Revision:
    """Something that there is in several revisions; those of one ``group`` replace each other."""

    name: str
    group: str
    used_at: float
    size: int = 0


def superfluous(revisions: Sequence[Revision], keep: int, in_use: Iterable[str]) -> list[Revision]:
    """Return what may go: of each group all but the ``keep`` latest, and never what is in use.

    Those in use count among the kept ones. Nothing is superfluous when ``keep`` is 0.
    """
    used = set(in_use)
    groups: dict[str, list[Revision]] = {}
    for revision in revisions:
        groups.setdefault(revision.group, []).append(revision)
    gone = []
    for members in groups.values() if keep > 0 else ():
        members.sort(key=lambda r: (r.name in used, r.used_at, r.name), reverse=True)
        gone += [revision for revision in members[keep:] if revision.name not in used]
    return sorted(gone, key=lambda r: r.name)


def mentions(text: str, path: str) -> bool:
    """Whether a text names a folder or something in it, and not only another one that begins like it."""
    return re.search(re.escape(path.rstrip("/")) + r"(?![A-Za-z0-9._@+-])", text) is not None


def folders(root: str) -> list[Revision]:
    """Return the folders that lfs_artifact has filled below a root; others are not ours."""
    found = []
    for kind in ("models", "repositories"):
        place = os.path.join(root, kind)
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue
        for name in names:
            folder = os.path.join(place, name)
            try:
                used_at = os.stat(os.path.join(folder, ".git", "ascend-fleet", "state.json")).st_mtime
            except OSError:
                continue
            if not os.path.islink(folder):
                group = "%s/%s" % (kind, name.partition("@")[0])
                found.append(Revision(folder, group, used_at, _size_of(folder)))
    return found


def images(records: str, present: Iterable[Mapping[str, Any]]) -> list[Revision]:
    """Return docker's images that were verified here, by the records of that; others are not ours."""
    found = []
    for image in present:
        image_id = str(image.get("id") or "")
        try:
            used_at = os.stat(os.path.join(records, image_id.rpartition(":")[2] + ".json")).st_mtime
        except OSError:
            continue
        found.append(Revision(image_id, "images", used_at, 0))
    return found


def _size_of(folder: str) -> int:
    """How much would be free: bytes with two names count once."""
    seen: dict[tuple[int, int], int] = {}
    for place, _names, files in os.walk(folder):
        for file in files:
            status = os.lstat(os.path.join(place, file))
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


class PruneError(Exception):
    """It cannot be told what is in use, so nothing is removed."""


class Host:
    """What on this host may need a revision: containers in any state, and our units, running or not."""

    def __init__(
        self, units: str = "/etc/systemd/system", run: Callable[..., _command.Completed] = _command.run
    ) -> None:
        self._units = units
        self._run = run

    def docker(self, *words: str) -> str:
        """What a docker command printed."""
        done = self._run(["docker", *words], timeout=120)
        if not done.ok:
            raise PruneError("docker does not say what is in use: %s. Nothing was removed." % done.describe())
        printed: str = done.stdout
        return printed

    def needs(self) -> str:
        """Every text that names what is in use."""
        texts = []
        ids = self.docker("ps", "--all", "--quiet", "--no-trunc").split()
        if ids:
            texts.append(self.docker("container", "inspect", *ids))
        try:
            names = sorted(os.listdir(self._units))
        except OSError:
            names = []
        for name in names:
            if name.startswith("vllm-") and name.endswith(".service"):
                with open(os.path.join(self._units, name), encoding="utf-8", errors="replace") as handle:
                    texts.append(handle.read())
        return "\n".join(texts)

    def images(self) -> list[dict[str, Any]]:
        """Docker's images by their IDs."""
        ids = set(self.docker("image", "ls", "--quiet", "--no-trunc").split())
        return [{"id": image_id} for image_id in sorted(ids)]

    def remove_image(self, image_id: str) -> None:
        """Remove an image with all its tags; docker itself refuses one that a running container uses."""
        self.docker("image", "rm", "--force", image_id)


def remove_folder(folder: str) -> None:
    """Remove a folder; begun once, it is not taken for a whole one again."""
    shutil.rmtree(os.path.join(folder, ".git", "ascend-fleet"), ignore_errors=True)
    shutil.rmtree(folder)
