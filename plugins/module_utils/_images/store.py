# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the image of an archive into docker, once, and under its tag."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Optional, Sequence

from .._base import progress as _progress
from .._base.disk import disk_problem
from .._base.files import write_atomically
from .._host.docker import Docker, DockerError, has_pinned_ids
from . import archive, records
from .archive import ArchivedImage

_ROOM = 512 * 1000 * 1000


class ImageError(Exception):
    """The image cannot be had; the message says what was found, what is needed and what to do."""


@dataclass
class Outcome:
    """What was found and done."""

    known: bool = True
    loaded: bool = False
    tagged: bool = False
    unread: bool = False  # the cache does not know the archive
    unrecorded: bool = False  # there was no record of the image
    image_id: Optional[str] = None
    config_digest: Optional[str] = None
    architecture: Optional[str] = None
    tags: list[str] = field(default_factory=list)
    tag: str = ""
    tag_before: Optional[str] = None
    message: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, done."""
        return self.loaded or self.tagged


@dataclass(frozen=True)
class Wanted:
    """What is asked for. ``cache``: file that remembers what the archive holds; ``record``: folder of the records."""

    path: str
    machine: str
    tag: Optional[str] = None
    image_id: Optional[str] = None
    timeout: float = 3600.0
    cache: Optional[str] = None
    record: Optional[str] = None
    progress: Optional[str] = None


def ensure(wanted: Wanted, docker: Docker, *, check: bool) -> Outcome:
    """Have the archive's image in docker under its tag; with ``check`` only say what would be done.

    Where docker has the image by the ID that is asked for, the archive is not looked at, and need not be there.
    """
    progress = _progress.Progress(None if check else wanted.progress)
    try:
        return _ensure(wanted, docker, progress, check=check)
    finally:
        progress.close()


def _ensure(wanted: Wanted, docker: Docker, progress: _progress.Progress, *, check: bool) -> Outcome:
    outcome = Outcome()
    held = held_by_id(wanted, docker)
    if held is not None:
        _check_machine(wanted, str(held.get("Architecture") or ""), "image %s, which docker has," % wanted.image_id)
        outcome.config_digest = wanted.image_id
        outcome.architecture = wanted.machine
        outcome.tag = wanted.tag or ""
        holder = docker.inspect_image(outcome.tag)
        outcome.tag_before = str(holder["id"]) if holder else None
        return _settle(wanted, docker, held, holder, outcome, check=check)
    if check and not os.path.exists(wanted.path):
        outcome.known, outcome.loaded, outcome.tag = False, True, wanted.tag or ""
        outcome.message = "%s is not there yet, so what it holds cannot be told" % wanted.path
        return outcome
    # A compressed archive is decompressed to be read, which takes minutes.
    with progress.watching("read", lambda: read_so_far(wanted.path), _size(wanted.path)):
        images, outcome.unread = _read(wanted, check=check)
    image = archive.choose(images, wanted.tag or "", wanted.path, wanted.machine)
    _check_identity(wanted, image)
    outcome.config_digest = image.config_digest
    outcome.architecture = image.machine
    outcome.tag = wanted.tag or (image.tags[0] if image.tags else "")
    if not outcome.tag:
        raise ImageError("%s names no tag for its image, and none was asked for. Set tag." % wanted.path)
    info = docker.info()
    present = docker.raw_images()
    found = _find(present, image)
    holder = docker.inspect_image(outcome.tag)
    outcome.tag_before = str(holder["id"]) if holder else None
    if found is None:
        outcome.loaded = True
        outcome.image_id = image.config_digest
        outcome.tags = sorted({*image.tags, outcome.tag})
        _check_disk(wanted, image, info, present)
        if check:
            outcome.message = "%s would be loaded as %s" % (image.config_digest, outcome.tag)
            return outcome
        with progress.watching("load", lambda: read_so_far(wanted.path), _size(wanted.path)):
            said = _load(wanted, docker)
        found = _find(docker.raw_images(), image)
        if found is None:
            raise ImageError(
                "docker loaded %s, but does not have the image of it: needed %s, docker said: %s"
                % (wanted.path, image.config_digest, " ".join(said.split()) or "nothing")
            )
        holder = docker.inspect_image(outcome.tag)
    return _settle(wanted, docker, found, holder, outcome, check=check)


def held_by_id(wanted: Wanted, docker: Docker) -> Optional[dict[str, Any]]:
    """The image as docker inspects it, where docker has it by the ID that is asked for; None: the archive is needed.

    That ID is the hash of the image's configuration, which names its layers by their hashes. Without a tag asked for,
    the archive says which one it is.
    """
    if not wanted.image_id or not wanted.tag:
        return None
    found = [image for image in docker.raw_images([wanted.image_id]) if image.get("Id") == wanted.image_id]
    return found[0] if found and has_pinned_ids(docker.info()) else None


def _settle(
    wanted: Wanted,
    docker: Docker,
    found: dict[str, Any],
    holder: Optional[dict[str, Any]],
    outcome: Outcome,
    *,
    check: bool,
) -> Outcome:
    """Record the image that docker has, and give it its tag. ``holder`` is the image that has the tag."""
    outcome.image_id = str(found["Id"])
    if wanted.record and not records.has_record(wanted.record, outcome.image_id):
        outcome.unrecorded = True
        if not check:
            records.write_record(wanted.record, outcome.image_id)
    if holder is None or holder["id"] != outcome.image_id:
        outcome.tagged = True
        if not check:
            docker.tag(outcome.image_id, outcome.tag)
            holder = docker.inspect_image(outcome.tag)
            if holder is None or holder["id"] != outcome.image_id:
                raise ImageError("docker does not show %s under the tag %s" % (outcome.image_id, outcome.tag))
    outcome.tags = sorted({str(t) for t in found.get("RepoTags") or []} | {outcome.tag})
    outcome.message = "%s is %s" % (outcome.tag, outcome.image_id)
    return outcome


def _load(wanted: Wanted, docker: Docker) -> str:
    started = time.monotonic()
    try:
        said: str = docker.load(wanted.path, timeout=wanted.timeout)
    except DockerError as exc:
        if exc.timed_out:
            raise ImageError(
                "docker did not load %s within %d seconds. Fix: raise timeout, or look at the host's disk; "
                "running again begins the load anew" % (wanted.path, wanted.timeout)
            ) from exc
        if exc.completed is None:
            raise
        words = "docker could not load %s (after %d seconds): %s" % (wanted.path, time.monotonic() - started, exc)
        if "invalid tar header" in str(exc):
            # Seen on Kylin, with archives whose checksum is right.
            words += (
                ". The archive is as it was published, so docker cannot unpack it here, which Kylin's docker is known "
                "for. Fix: upgrade docker, or load the archive on a host of another distribution, `docker save` the "
                "image there, and use that archive"
            )
        raise ImageError(words) from exc
    return said


def _size(path: str) -> Optional[int]:
    try:
        return os.path.getsize(path)
    except OSError:
        return None  # reading it says why


def _find(present: Sequence[dict[str, Any]], image: ArchivedImage) -> Optional[dict[str, Any]]:
    same = [inspected for inspected in present if image.is_image(inspected)]
    exact = [inspected for inspected in same if inspected.get("Id") == image.config_digest]
    return exact[0] if exact else same[0] if same else None


def _check_machine(wanted: Wanted, architecture: str, which: str) -> None:
    machine = archive.machine_of(architecture)
    if machine != wanted.machine:
        raise ImageError(
            "the %s is for %s (%s), this host is %s. "
            "Choose the archive for %s in the release; an image of another architecture cannot run here."
            % (which, machine, architecture, wanted.machine, wanted.machine)
        )


def _check_identity(wanted: Wanted, image: ArchivedImage) -> None:
    _check_machine(wanted, image.architecture, "image in %s" % wanted.path)
    if wanted.image_id and wanted.image_id not in (image.config_digest, *image.manifest_digests):
        raise ImageError(
            "the image in %s is not the pinned one: found %s, needed %s. The archive was replaced at its origin, "
            "or the pin in the release is wrong." % (wanted.path, image.config_digest, wanted.image_id)
        )


def _check_disk(wanted: Wanted, image: ArchivedImage, info: dict[str, Any], present: Sequence[dict[str, Any]]) -> None:
    """Docker unpacks the archive into a folder of its own first, and then every layer it does not have."""
    root = info.get("root_dir")
    if not root or not os.path.isdir(root):
        return
    status = os.statvfs(root)
    problem = disk_problem(
        needed=2 * image.layer_bytes + _ROOM,
        free=status.f_bavail * status.f_frsize,
        place=root,
        mount=root,
        what="loading %s (twice its layers: docker unpacks the archive before it takes the layers from it)"
        % os.path.basename(wanted.path),
    )
    known = {layer for inspected in present for layer in (inspected.get("RootFS") or {}).get("Layers") or ()}
    if problem and not known.issuperset(image.diff_ids):
        raise ImageError(problem)


# --- remembering what a compressed archive holds --------------------------------------------------------------------


def read_so_far(path: str, root: str = "/proc") -> int:
    """Return how far the process that has ``path`` open for reading has come: docker's client does not tell."""
    furthest = 0
    wanted = os.path.realpath(path)
    for pid in os.listdir(root):
        folder = os.path.join(root, pid, "fd")
        if not pid.isdigit():
            continue
        try:
            for number in os.listdir(folder):
                if os.readlink(os.path.join(folder, number)) == wanted:
                    with open(os.path.join(root, pid, "fdinfo", number), encoding="ascii") as handle:
                        furthest = max(furthest, int(handle.readline().split()[1]))
        except (OSError, ValueError, IndexError):
            continue  # it ended, or is not ours to look at
    return furthest


def is_quickly_read(wanted: Wanted, docker: Docker) -> bool:
    """Whether comparing takes no decompressing of the archive."""
    if held_by_id(wanted, docker) is not None:
        return True  # the archive is not looked at
    try:
        if _recall(wanted) is not None:
            return True  # not even opened
        with open(wanted.path, "rb") as handle:
            return bool(archive.compression_of(handle.read(8)) == "none")
    except (OSError, ImageError):
        return True  # the error is quick


def _read(wanted: Wanted, *, check: bool) -> tuple[list[ArchivedImage], bool]:
    """Read the archive, and whether the cache did not know it; a file that it knows is not read again."""
    signature = _signature(wanted)
    known = _recall(wanted)
    if known is not None:
        return known, False
    images: list[ArchivedImage] = archive.read_archive(wanted.path)
    if wanted.cache and not check:
        known_now = json.dumps({"signature": signature, "images": [asdict(image) for image in images]})
        write_atomically(wanted.cache, known_now, folder_mode=0o755)
    return images, bool(wanted.cache)


def _signature(wanted: Wanted) -> list[Any]:
    try:
        status = os.stat(wanted.path)
    except OSError as exc:
        message = "the archive %s cannot be read: %s" % (wanted.path, exc.strerror)
        if wanted.image_id:
            message += (
                ". It is needed, as docker does not have the image %s. Fix: run again; the role model_artifacts brings "
                "the archive" % wanted.image_id
            )
        raise ImageError(message) from exc
    return [wanted.path, status.st_size, status.st_mtime_ns, status.st_ino]


def _recall(wanted: Wanted) -> Optional[list[ArchivedImage]]:
    if not wanted.cache:
        return None
    try:
        with open(wanted.cache, encoding="utf-8") as handle:
            data = json.load(handle)
        if data["signature"] == _signature(wanted):
            return [_restore(entry) for entry in data["images"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no cache, or not one of ours: the archive is read
    return None


def _restore(entry: dict[str, Any]) -> ArchivedImage:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    return ArchivedImage(**fields)
