# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the disks: space for artifacts and image, kind and state of the file systems."""

from __future__ import annotations

from typing import Iterator, Optional

from .check import ERROR, WARNING, Check, Found, check
from .facts import Facts
from .words import GIB, gib


def _image_is_loaded(f: Facts) -> bool:
    """Whether docker holds the release's image: by its ID where the release pins one, else by its tag."""
    loaded = f.docker.get("images") or []
    ids, tags = {i["id"] for i in loaded}, {t for i in loaded for t in i["tags"]}
    pinned = [i for i in f.images if i.get("image_id") and f.has_pinned_ids]
    return any(i["image_id"] in ids if i in pinned else i.get("tag") in tags for i in f.images)


def _disk_needs(f: Facts) -> Iterator[tuple[str, str, int, int, Optional[str]]]:
    """(path, how it is called, bytes still needed, bytes free, mount) for every path with a requirement."""
    for disk in f.node.get("disk") or []:
        required = f.required_bytes.get(disk["path"])
        if required and disk["free_bytes"] is not None:
            yield disk["path"], disk["path"], required, disk["free_bytes"], disk["mount"]
    docker = f.docker
    required = f.required_bytes.get("docker")
    if required and docker.get("root_free_bytes") is not None and not _image_is_loaded(f):
        yield (
            "docker",
            "docker's folder %s" % docker["root_dir"],
            required,
            docker["root_free_bytes"],
            docker.get("root_mount"),
        )


@check(
    "DSK-001",
    ERROR,
    "Too little space for the artifacts",
    what="What is still to be downloaded of image archive and weights must fit. Completed downloads of the wanted "
    "revisions and the parts of interrupted ones count as there; other revisions do not.",
    fix="free space, mount a larger disk at the path, or set npu_preflight_artifacts_gib to what your release needs",
    needs=("disk",),
)
def _disk_artifacts(f: Facts) -> Iterator[Found]:
    for name, words, missing, free, _mount in _disk_needs(f):
        if name != "docker" and free < missing:
            yield Found("%s free at %s" % (gib(free), words), "%s" % gib(missing))


@check(
    "DSK-002",
    ERROR,
    "Too little space for the image",
    what="Docker unpacks the image into its own folder; an image that is loaded already needs none.",
    fix="`docker system df`, `docker image prune`; or move docker's folder (`data-root` in /etc/docker/daemon.json)",
    needs=("docker", "disk"),
)
def _disk_docker(f: Facts) -> Iterator[Found]:
    for name, words, missing, free, _mount in _disk_needs(f):
        if name == "docker" and free < missing:
            yield Found("%s free in %s" % (gib(free), words), "%s" % gib(missing))


@check(
    "DSK-003",
    ERROR,
    "Too little space for artifacts and image together",
    what="Both lie on one file system: each would fit alone, not both.",
    fix="free space, or give docker's folder a file system of its own",
    needs=("docker", "disk"),
)
def _disk_together(f: Facts) -> Iterator[Found]:
    groups: dict[str, list[tuple[str, int, int]]] = {}
    for _name, words, missing, free, mount in _disk_needs(f):
        groups.setdefault(str(mount), []).append((words, missing, free))
    for mount, needs in groups.items():
        free = min(n[2] for n in needs)
        total = sum(n[1] for n in needs)
        if len(needs) > 1 and free < total and all(n[1] <= n[2] for n in needs):
            yield Found(
                "%s free at %s" % (gib(free), mount), "%s for %s" % (gib(total), " and ".join(n[0] for n in needs))
            )


@check(
    "DSK-004",
    WARNING,
    "A disk is nearly full",
    what="Docker and the journal misbehave on a full disk.",
    fix="free space; `journalctl --vacuum-size=1G`, `docker system df`",
    needs=("disk",),
)
def _disk_full(f: Facts) -> Iterator[Found]:
    seen: dict[str, tuple[Optional[int], Optional[int]]] = {}
    for disk in f.node.get("disk") or []:
        seen[str(disk["mount"])] = (disk["free_bytes"], disk["total_bytes"])
    if f.docker.get("root_mount"):
        seen[str(f.docker["root_mount"])] = (f.docker.get("root_free_bytes"), f.docker.get("root_total_bytes"))
    for mount, (free, total) in seen.items():
        if free is not None and total and free < total * 0.05 and free < 50 * GIB:
            yield Found("less than 5 %% free at %s" % mount, "5 % or more")


@check(
    "DSK-005",
    WARNING,
    "The weights would lie on a slow file system",
    what="From a network file system the shards load slowly (`Timed out waiting for engines`); a tmpfs eats "
    "the memory.",
    fix="mount a local disk at the path, or raise ready_timeout_seconds in the release",
    needs=("disk",),
)
def _disk_kind(f: Facts) -> Iterator[Found]:
    slow = ("nfs", "nfs4", "cifs", "fuse.sshfs", "fuse.glusterfs", "ceph", "tmpfs", "ramfs")
    for disk in f.node.get("disk") or []:
        if disk["filesystem"] in slow:
            yield Found("%s on %s" % (disk["path"], disk["filesystem"]), "a local disk")


@check(
    "DSK-006",
    ERROR,
    "A disk cannot be measured",
    what="The file system does not answer: a dead network mount, or a path that cannot be read.",
    fix="`df PATH` on the host; unmount a dead mount with `umount -l`",
    needs=("disk",),
)
def _disk_unknown(f: Facts) -> Iterator[Found]:
    unknown = [d["path"] for d in f.node.get("disk") or [] if d["free_bytes"] is None]
    if unknown:
        yield Found("no answer for %s" % ", ".join(unknown), "a file system that answers")


@check(
    "DSK-007",
    ERROR,
    "A disk is mounted read-only",
    what="After an I/O error the kernel mounts a file system read-only: nothing can be stored.",
    fix="look at dmesg for the I/O error; repair the file system, then `mount -o remount,rw`",
    needs=("disk",),
)
def _disk_read_only(f: Facts) -> Iterator[Found]:
    wrong = sorted({str(d["mount"]) for d in f.node.get("disk") or [] if d.get("read_only")})
    if wrong:
        yield Found("%s read-only" % ", ".join(wrong), "a writable file system")


CHECKS: tuple[Check, ...] = (
    _disk_artifacts,
    _disk_docker,
    _disk_together,
    _disk_full,
    _disk_kind,
    _disk_unknown,
    _disk_read_only,
)
