# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of docker: daemon, mounts, names and images."""

from __future__ import annotations

from typing import Iterator

from .._base.versions import compare
from .._host import by_hand as _by_hand
from .._host import docker as _docker
from .._npu import hardware as _hardware
from .check import ERROR, WARNING, Check, Found, check
from .facts import Facts

# Its default seccomp profile is the first to know clone3, with which the image's C library starts threads.
MIN_DOCKER = "20.10.10"


@check(
    "DKR-001",
    ERROR,
    "Docker is not installed",
    what="The engine runs in a docker container.",
    fix="install docker from the distribution's repository (docker-ce, docker.io or docker-engine) and start it",
    needs=("docker",),
)
def _docker_missing(f: Facts) -> Iterator[Found]:
    if not f.docker.get("installed"):
        yield Found("no program `docker`", "docker %s or later" % MIN_DOCKER, f.install("docker") + ", and start it")


@check(
    "DKR-002",
    ERROR,
    "The docker daemon does not answer",
    what="Docker is installed, and its daemon is down, hangs or refuses.",
    fix="`systemctl status docker`, `journalctl -u docker -n 50`, then `systemctl enable --now docker`",
    needs=("docker",),
)
def _docker_down(f: Facts) -> Iterator[Found]:
    if f.docker.get("installed") and not f.docker.get("running"):
        yield Found("%s" % (f.docker.get("error") or "no answer"), "a running daemon")


@check(
    "DKR-003",
    ERROR,
    "Docker could not list its containers or images",
    what="The daemon runs and does not answer everything: it hangs, or its store is damaged.",
    fix="`journalctl -u docker -n 100`; restart docker while nothing is served",
    needs=("docker",),
)
def _docker_partial(f: Facts) -> Iterator[Found]:
    if f.docker.get("running") and f.docker.get("error"):
        yield Found("%s" % f.docker["error"], "the list of containers and images")


@check(
    "DKR-004",
    WARNING,
    "Docker is old",
    what="Below %s its own seccomp profile refuses how this image starts threads (`can't start new thread`, `Operation "
    "not permitted`) unless the container is privileged. Distributions carry the fix under older numbers: the role "
    "vllm_image tries it with the loaded image." % MIN_DOCKER,
    fix="upgrade docker while the host serves nothing",
    needs=("docker",),
)
def _docker_old(f: Facts) -> Iterator[Found]:
    version = f.docker.get("server_version")
    if f.docker.get("engine") == "docker" and version and compare(version, MIN_DOCKER) < 0:
        yield Found("docker %s" % version, "%s or later" % MIN_DOCKER)


@check(
    "DKR-005",
    ERROR,
    "podman stands in docker's place",
    what="The program `docker` is podman (podman-docker): restarts, labels and image ids differ.",
    fix="remove podman-docker and install docker",
    needs=("docker",),
)
def _podman(f: Facts) -> Iterator[Found]:
    if f.docker.get("engine") == "podman":
        yield Found("podman %s" % f.docker.get("server_version"), "docker")


@check(
    "DKR-006",
    WARNING,
    "Ascend Docker Runtime is the default runtime",
    what="With it, `--device` alone may show no card; our units set ASCEND_VISIBLE_DEVICES too. Other "
    "containers must as well.",
    fix="nothing for our units; for your own containers set ASCEND_VISIBLE_DEVICES, or make runc the default runtime",
    needs=("docker",),
)
def _ascend_runtime(f: Facts) -> Iterator[Found]:
    runtime = f.docker.get("default_runtime")
    if runtime and "ascend" in runtime:
        yield Found("default runtime `%s`" % runtime, "runc, or ASCEND_VISIBLE_DEVICES in every container")


@check(
    "DKR-007",
    WARNING,
    "Docker's storage driver is slow",
    what="devicemapper and vfs copy whole layers: loading an image of 20 GB takes many times its space and time.",
    fix="set `storage-driver: overlay2` in /etc/docker/daemon.json (existing images must be loaded again)",
    needs=("docker",),
)
def _storage_driver(f: Facts) -> Iterator[Found]:
    driver = f.docker.get("storage_driver")
    if driver in ("devicemapper", "vfs", "aufs"):
        yield Found("storage driver %s" % driver, "overlay2")


@check(
    "DKR-008",
    ERROR,
    "A file that containers mount is missing",
    what="A serving container mounts the driver's files from the host.",
    fix="install the driver package again (`--full --install-for-all`)",
    needs=("versions",),
)
def _mounts_missing(f: Facts) -> Iterator[Found]:
    mounts = f.node.get("mounts") or {}
    # hccn.conf is a finding of its own, and without the driver the others are only a consequence.
    missing = [p for p, kind in mounts.items() if kind == "missing" and p != "/etc/hccn.conf"]
    if missing and f.version("driver"):
        yield Found("no %s" % ", no ".join(missing), "what the driver package installs")


@check(
    "DKR-009",
    ERROR,
    "A folder stands where containers mount a file",
    what="Docker makes a folder where the source of a mount is missing; the real file cannot be installed "
    "there any more.",
    fix="remove the container that mounts it, remove the empty folder with rmdir, install the driver again",
    needs=("versions",),
)
def _mounts_wrong(f: Facts) -> Iterator[Found]:
    for path, kind in (f.node.get("mounts") or {}).items():
        wanted = _hardware.MOUNT_SOURCES.get(path)
        if wanted == "file" and kind == "directory":
            yield Found(
                "the folder %s" % path,
                "a file",
                "remove the container that mounts it, then `rmdir %s`, and put the real file there" % path,
            )


@check(
    "DKR-010",
    ERROR,
    "A foreign container has the name of ours",
    what="Our unit would fail with a name conflict, or replace somebody's container.",
    fix="rename the container with `docker rename`",
    needs=("docker",),
)
def _name_clash(f: Facts) -> Iterator[Found]:
    names = {replica["container_name"] for replica in f.replicas} - f.by_hand_names
    for container in f.docker.get("containers") or []:
        if container["name"] in names and not _docker.is_managed(container.get("labels")):
            yield Found(
                "container `%s` (image %s)" % (container["name"], container["image"]),
                "a free name",
                "`docker rename %s %s-old`, or remove it" % (container["name"], container["name"]),
            )


@check(
    "DKR-011",
    WARNING,
    "The image's tag belongs to another image",
    what="The release pins an image id, and the tag on the host is of another image.",
    fix="nothing: loading the release's archive moves the tag; containers of the other image keep running",
    needs=("docker",),
)
def _other_image(f: Facts) -> Iterator[Found]:
    for image in f.images if f.has_pinned_ids else ():
        for loaded in f.docker.get("images") or []:
            if image.get("image_id") and image.get("tag") in loaded["tags"] and loaded["id"] != image["image_id"]:
                yield Found("%s is %s" % (image["tag"], loaded["id"][:19]), "%s" % str(image["image_id"])[:19])


@check(
    "DKR-012",
    WARNING,
    "A container of ours was killed for memory",
    what="The kernel's OOM killer ended an engine.",
    fix="look at `dmesg | grep -i oom`; give the host more memory, or serve fewer replicas",
    needs=("docker",),
)
def _oom(f: Facts) -> Iterator[Found]:
    killed = [
        c["name"]
        for c in f.docker.get("containers") or []
        if c.get("oom_killed") and _docker.is_managed(c.get("labels"))
    ]
    if killed:
        yield Found("%s killed by the OOM killer" % ", ".join(killed), "enough memory")


@check(
    "DKR-013",
    ERROR,
    "A container was started by hand as in the guide",
    what="It serves, or was started to serve, what this collection would serve here. Its cards, port and name are "
    "needed for the replicas. It is taken over: image and weights are used on, replicas take its place, and it is "
    "stopped and renamed, never removed.",
    fix="`ansible-playbook playbooks/takeover.yml`; `--check` shows the plan",
    needs=("docker", "npu"),
)
def _started_by_hand(f: Facts) -> Iterator[Found]:
    for container in f.by_hand:
        yield Found(
            "container `%s` (image %s): %s" % (container["name"], container["image"], _by_hand.words(container)),
            "replicas of this collection in its place",
        )


CHECKS: tuple[Check, ...] = (
    _docker_missing,
    _docker_down,
    _docker_partial,
    _docker_old,
    _podman,
    _ascend_runtime,
    _storage_driver,
    _mounts_missing,
    _mounts_wrong,
    _name_clash,
    _other_image,
    _oom,
    _started_by_hand,
)
