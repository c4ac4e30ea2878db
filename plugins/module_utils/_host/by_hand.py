# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that were started by hand as in the guide: `docker run … --name=qwen3.5 … bash`, with `vllm serve` in it.

Such a container serves the very release that this collection would serve, so it can be taken over: image and weights
are used on, and a replica of ours takes its place. A container that differs in anything that matters is not taken over.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any, Collection, Iterable, Mapping, Optional, Sequence

from .docker import LIVE_STATES, has_pinned_ids, is_managed

#: What shows that a container uses a chip, and not only that it could.
_EVIDENCE = ("npu-smi", "open")
#: The end of the name of a container that was taken over.
SUFFIX = "-before-takeover-"
_TAKEN = re.compile(re.escape(SUFFIX) + r"\d{8}(-\d+)?\Z")
#: Mounts of the guide that hold the driver and no data.
_SYSTEM = re.compile(r"/(usr|etc|dev|sys|proc|run|var/run)(/|\Z)")


def started_by_hand(
    node: Mapping[str, Any], release: Mapping[str, Any], generation: Optional[str]
) -> dict[str, list[dict[str, Any]]]:
    """``containers`` that were started as in the guide, and ``others`` that look like it, with why they are not.

    ``node`` is what npu_info returns, ``generation`` that of the host. An entry of ``containers`` has ``name``, ``id``,
    ``image``, ``state``, ``live``, ``comes_back`` (docker starts it again by itself), ``engines`` (of `vllm serve`:
    ``pid``, ``port``, ``weights``), ``pids``, ``ports``, ``indices`` (the chips that it uses), ``weights`` (the folder
    on the host) and ``folders`` (where files of the release's repositories may lie on the host).
    """
    images = [i for i in release.get("images") or [] if generation is None or i.get("generation") == generation]
    served = str((release.get("serve") or {}).get("served_model_name") or "")
    ids = _image_ids(node, images)
    found: dict[str, list[dict[str, Any]]] = {"containers": [], "others": []}
    for container in (node.get("docker") or {}).get("containers") or []:
        if is_managed(container.get("labels")) or not served or not _has_npus(container):
            continue
        chips = _chips(node, str(container["name"]))
        same_image = container.get("image_id") in ids
        if not (same_image or container["name"] == served or container.get("engines")):
            continue  # nothing suggests that it is the guide's
        if container["state"] not in LIVE_STATES and _TAKEN.search(str(container["name"])):
            continue  # it was taken over, and stays so that it can be started again
        reasons = [] if same_image else [_other_image(container, images, ids)]
        reasons += _reasons(container, served, chips)
        if reasons:
            found["others"].append({"name": container["name"], "reasons": reasons})
        else:
            found["containers"].append(_describe(container, release, chips))
    return found


def serving_others(containers: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of containers that are not ours and serve a model or were given chips, whatever the release.

    ``containers`` are in docker's own words, as ``Docker.raw_containers`` returns them.
    """
    found = []
    for raw in containers:
        config, host = raw.get("Config") or {}, raw.get("HostConfig") or {}
        if is_managed(config.get("Labels")):
            continue
        words = " ".join(map(str, [raw.get("Path") or "", *(raw.get("Args") or []), config.get("Image") or ""]))
        devices = [str(d.get("PathOnHost")) for d in host.get("Devices") or [] if isinstance(d, dict)]
        if "vllm" in words or any("davinci" in d for d in devices):
            found.append(str(raw.get("Name") or "").lstrip("/"))
    return sorted(filter(None, found))


def concerns(container: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether a container of ``started_by_hand`` stands in the way of replicas of ours that have these names.

    One that is stopped for good, under a name of its own, does not.
    """
    return bool(container["live"] or container["comes_back"] or container["name"] in names)


def words(container: Mapping[str, Any]) -> str:
    """What a container of ``started_by_hand`` does now."""
    if not container["live"]:
        return "it is %s" % container["state"]
    if not container["engines"]:
        return "nothing but a shell runs in it"
    ports = ", ".join(str(port) for port in container["ports"])
    chips = ", ".join("davinci%d" % index for index in container["indices"])
    return "`vllm serve` on port %s%s" % (ports, ", on %s" % chips if chips else "")


def new_name(name: str, date: str, taken: Collection[str]) -> str:
    """What a container that is taken over on this day (YYYYMMDD) is called then; one that is called so stays so."""
    if _TAKEN.search(name):
        return name
    wanted = "%s%s%s" % (name, SUFFIX, date)
    number = 2
    while wanted in taken:
        wanted = "%s%s%s-%d" % (name, SUFFIX, date, number)
        number += 1
    return wanted


def host_path(mounts: Iterable[Mapping[str, str]], path: str) -> Optional[str]:
    """Where a path of a container lies on the host; None where no mount holds it."""
    path = posixpath.normpath(path)
    best: Optional[Mapping[str, str]] = None
    for mount in mounts:
        place = mount["destination"].rstrip("/")
        if (path == place or path.startswith(place + "/")) and (
            best is None or len(place) > len(best["destination"].rstrip("/"))
        ):
            best = mount
    if best is None:
        return None
    rest = path[len(best["destination"].rstrip("/")) :].lstrip("/")
    return posixpath.join(best["source"], rest) if rest else best["source"]


# - how one is told -


def _has_npus(container: Mapping[str, Any]) -> bool:
    return bool(container.get("privileged")) or any("/davinci" in d for d in container.get("devices") or [])


def _chips(node: Mapping[str, Any], name: str) -> list[int]:
    """The chips that processes of a container use."""
    return sorted(
        int(device["index"])
        for device in node.get("devices") or []
        if device.get("index") is not None
        and any(
            h["kind"] == "container" and h["name"] == name and h["how"] in _EVIDENCE
            for h in device.get("holders") or []
        )
    )


def _image_ids(node: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> set[str]:
    """Docker's IDs of the release's images: those that it pins, else those that have its tags on this host."""
    docker = node.get("docker") or {}
    pinned = {str(i["image_id"]) for i in images if i.get("image_id")}
    if pinned and has_pinned_ids(docker):
        return pinned
    tags = {str(i["tag"]) for i in images if i.get("tag")}
    return {str(i["id"]) for i in docker.get("images") or [] if tags & set(i["tags"])}


def _other_image(container: Mapping[str, Any], images: Sequence[Mapping[str, Any]], ids: Collection[str]) -> str:
    """Which image a container has, and which it should have; IDs too, as tags are given again."""
    own, known = str(container.get("image_id") or ""), ", ".join(sorted(i[:19] for i in ids))
    name = str(container["image"])
    tags = ", ".join(sorted({str(i.get("tag")) for i in images})) or "none for this host"
    return "its image is %s, the release's is %s" % (
        name if own.startswith(name) or not own else "%s (%s)" % (name, own[:19]),
        "%s (%s)" % (tags, known) if known else "%s, which is not loaded" % tags,
    )


def _reasons(container: Mapping[str, Any], served: str, chips: Sequence[int]) -> list[str]:
    """What else tells a container from one that was started as in the guide; none where nothing does."""
    engines = container.get("engines") or []
    live = container["state"] in LIVE_STATES
    found = []
    if not container.get("shell"):
        found.append("it runs a program of its own and not a shell")
    if container.get("auto_remove"):
        found.append("it was started with --rm, so that stopping it would remove it")
    if container.get("network_mode") != "host":
        found.append("it has a network of its own, not the host's (--net=host)")
    if container["state"] == "paused":
        found.append("it is paused")
    for engine in engines:
        if served not in engine["served_model_names"]:
            names = ", ".join(engine["served_model_names"]) or "a model without a name"
            found.append("its `vllm serve` on port %d serves %s, the release %s" % (engine["port"], names, served))
    if live and chips and not engines:
        found.append("something else than `vllm serve` uses %s in it" % ", ".join("davinci%d" % c for c in chips))
    return found


def _describe(container: Mapping[str, Any], release: Mapping[str, Any], chips: Sequence[int]) -> dict[str, Any]:
    mounts = container.get("mounts") or []
    engines = [
        {
            "pid": engine["pid"],
            "port": engine["port"],
            "weights": host_path(mounts, str(engine["model"])) if str(engine["model"] or "").startswith("/") else None,
        }
        for engine in container.get("engines") or []
    ]
    weights = next((e["weights"] for e in engines if e["weights"]), None)
    return {
        "name": container["name"],
        "id": container["id"],
        "image": container["image"],
        "image_id": container["image_id"],
        "state": container["state"],
        "live": container["state"] in LIVE_STATES,
        "comes_back": container.get("restart_policy") not in (None, "", "no"),
        "privileged": bool(container.get("privileged")),
        "engines": engines,
        "pids": [engine["pid"] for engine in engines],
        "ports": [engine["port"] for engine in engines],
        "indices": list(chips),
        "weights": weights,
        "folders": _folders(mounts, release, weights),
    }


def _folders(mounts: Iterable[Mapping[str, str]], release: Mapping[str, Any], weights: Optional[str]) -> list[str]:
    """Where files of the release may lie: the folder that is served, and clones below what the container mounts."""
    parts = [release.get("model") or {}, *(release.get("images") or [])]
    clones = [posixpath.basename(str(p.get("repository") or "")) for p in parts]
    names = list(dict.fromkeys(n[: -len(".git")] if n.endswith(".git") else n for n in clones if n))
    data = [m["source"] for m in mounts if not _SYSTEM.match(m["source"])]
    found = [weights] if weights else []
    found += [posixpath.join(place, name) for place in data for name in names]
    return list(dict.fromkeys(found))
