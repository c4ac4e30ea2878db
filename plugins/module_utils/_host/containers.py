# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Name a container that docker does not know: which runtime runs it, and what it is called there.

The runtime shows in the control group of its processes. The name is in the runtime's own files, which are read as
they lie; no command of any runtime is called.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Optional

Read = Callable[[str], Optional[str]]
Names = Callable[[str], "list[str]"]

# What a runtime calls a container's control group, just before its id (or a folder above it).
_MARKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("podman", re.compile(r"libpod(?:-conmon)?-|/libpod[_-]?parent|machine\.slice/.*libpod")),
    ("cri-o", re.compile(r"crio-")),
    ("nerdctl", re.compile(r"nerdctl-")),
    ("containerd", re.compile(r"containerd")),
    ("isulad", re.compile(r"isulad?[-/]")),
    ("lxc", re.compile(r"lxc\.payload")),
    ("docker", re.compile(r"docker[-/]")),
    # The kubelet's folders tell nothing of the runtime below them; containerd is the usual one by far.
    ("containerd", re.compile(r"kubepods")),
)

# How each runtime's container is stopped, with its own client.
STOP = {
    "docker": "docker stop %s",
    "podman": "podman stop %s",
    "cri-o": "crictl stop %s",
    "containerd": "crictl stop %s",
    "nerdctl": "nerdctl stop %s",
    "isulad": "isula stop %s",
    "lxc": "lxc-stop -n %s",
}

_CONTAINERD_TASKS = "/run/containerd/io.containerd.runtime.v2.task"
_STORAGE = "/var/lib/containers/storage/overlay-containers/containers.json"
_ISULAD = "/var/lib/isulad/engines"


def runtime_of(cgroup: str, identity: str) -> Optional[str]:
    """The runtime of the container ``identity`` by the text of a process's ``/proc/PID/cgroup``; None: not known."""
    for line in cgroup.splitlines():
        before = line.split(":", 2)[-1].partition(identity)[0]
        if identity not in line:
            continue
        for name, mark in _MARKS:
            if mark.search(before):
                return name
    return None


def describe(identity: str, cgroup: str, read: Read, names: Names) -> dict[str, Optional[str]]:
    """``runtime``, ``name`` and ``image`` of a container, each None where it is not known.

    read: a file's text or None. names: the names in a folder, none where there is no such folder.
    """
    runtime = runtime_of(cgroup, identity)
    found: dict[str, Optional[str]] = {"runtime": runtime, "name": None, "image": None}
    if runtime in ("podman", "cri-o"):
        found.update(_from_storage(identity, read(_STORAGE)))
    elif runtime in ("containerd", "nerdctl"):
        for namespace in names(_CONTAINERD_TASKS):
            text = read("%s/%s/%s/config.json" % (_CONTAINERD_TASKS, namespace, identity))
            if text:
                found.update(_from_annotations(text))
                break
    elif runtime == "isulad":
        for engine in names(_ISULAD):
            text = read("%s/%s/%s/config.v2.json" % (_ISULAD, engine, identity))
            if text:
                found.update(_from_isulad(text))
                break
    return found


def _mapping(text: Optional[str]) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None


def _from_annotations(text: str) -> dict[str, Optional[str]]:
    """From the OCI configuration that containerd keeps of a running container: Kubernetes' names, or nerdctl's."""
    notes = _mapping(text).get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    name = _text(notes.get("io.kubernetes.cri.container-name"))
    pod = _text(notes.get("io.kubernetes.cri.sandbox-name"))
    space = _text(notes.get("io.kubernetes.cri.sandbox-namespace"))
    if name and pod:
        name = "%s/%s/%s" % (space or "?", pod, name)
    return {
        "name": name or _text(notes.get("nerdctl/name")),
        "image": _text(notes.get("io.kubernetes.cri.image-name")),
    }


def _from_storage(identity: str, text: Optional[str]) -> dict[str, Optional[str]]:
    """From the list of containers that podman and CRI-O keep."""
    try:
        entries = json.loads(text or "[]")
    except ValueError:
        entries = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("id") == identity:
            known = entry.get("names")
            more = _mapping(_text(entry.get("metadata")))
            return {
                "name": _text(known[0]) if isinstance(known, list) and known else None,
                "image": _text(more.get("image-name")),
            }
    return {}


def _from_isulad(text: str) -> dict[str, Optional[str]]:
    whole = _mapping(text)
    common = whole.get("CommonConfig")
    common = common if isinstance(common, dict) else {}
    return {"name": (_text(common.get("Name")) or "").lstrip("/") or None, "image": _text(common.get("Image"))}
