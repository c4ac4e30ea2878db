# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many bytes a host still has to download for a release."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

_WILDCARDS = frozenset("*?[")


def wanted_requests(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a host asks for by its ``artifact_plan``: ``folder``, ``revision`` and ``paths`` of image and weights.

    An image archive that is not needed, as docker has the image, is ``left_out`` with its ``bytes``, 0 where they are
    not known. The weights have also ``former_folder``, where version 0.1 kept them, and ``repository``, which has to be
    its; ``commit``, to which the lock holds them (else empty), and ``commit_folder``, where they lie when ``folder``
    holds another one.
    """
    image = plan["image"]
    left_out = {"left_out": True, "bytes": int(image.get("size_bytes") or 0)} if plan["left_out"] else {}
    return [
        {"folder": plan["image_folder"], "revision": image["revision"], "paths": [image["path"]], **left_out},
        {
            "folder": plan["weights"],
            "former_folder": plan["former_weights"],
            "commit_folder": plan["commit_weights"],
            "commit": plan["model"]["commit"],
            "repository": plan["model"]["identity"],
            "revision": plan["model"]["revision"],
            "paths": list(plan["model"]["include"]),
        },
    ]


def _folder_of(wanted: Mapping[str, Any], present: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entry of ``present`` for the folder of a request: its own, or else the one that version 0.1 gave it.

    The latter where it belongs to the same repository, or does not say to which: the download decides then.
    """
    own = [entry for entry in present if entry["folder"] in (wanted["folder"], wanted.get("commit_folder") or None)]
    former = [entry for entry in present if entry["folder"] == wanted.get("former_folder")]
    return own or [entry for entry in former if entry.get("repository") in (None, wanted.get("repository"))]


def completed_request(wanted: Mapping[str, Any], present: Sequence[Mapping[str, Any]]) -> Optional[Mapping[str, Any]]:
    """The completed request of ``present`` (see ``present_artifacts``) that is the wanted one; None: not completed.

    A folder belongs to one repository, and within it the revision and the named files tell requests apart.
    """
    for folder in _folder_of(wanted, present):
        for request in folder["requests"]:
            names = {path for path in wanted["paths"] if not _WILDCARDS & set(path)}
            revised = wanted["revision"] in (request["revision"], request["commit"])
            if revised and _same_commit(wanted, request) and names <= set(request["files"]):
                found: Mapping[str, Any] = request
                return found
    return None


def _same_commit(wanted: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    return not wanted.get("commit") or wanted["commit"] == request["commit"]


def learn_sizes(
    wanted: Sequence[Mapping[str, Any]], present: Sequence[Mapping[str, Any]], sizes: dict[Any, int]
) -> None:
    """Note in ``sizes`` how large the wanted requests are that this host has completed: others need as much."""
    for request in wanted:
        done = completed_request(request, present)
        if done is not None:
            sizes[_identity(request)] = max(done["bytes"], sizes.get(_identity(request), 0))


def bytes_to_download(
    wanted: Sequence[Mapping[str, Any]],
    present: Sequence[Mapping[str, Any]],
    configured: int,
    sizes: Mapping[Any, int],
) -> int:
    """How many bytes of the wanted requests are still to come.

    Where every size that matters is known (``sizes``), their sum less what an interrupted download has left; else
    ``configured``, the bytes that all wanted requests take together, less what of them is there or left out. Other
    revisions in the same folders never count as there: they stay until the wanted one is complete.
    """
    known: Optional[int] = 0
    there = 0
    for request in wanted:
        done = completed_request(request, present)
        if done is not None:
            there += done["bytes"]
            continue
        if request.get("left_out"):
            there += sizes.get(_identity(request), request["bytes"])
            continue
        left = sum(_left_by_interruption(folder) for folder in _folder_of(request, present))
        there += left
        size = sizes.get(_identity(request))
        known = None if known is None or size is None else known + max(0, size - left)
    return max(0, configured - there) if known is None else known


def _left_by_interruption(folder: Mapping[str, Any]) -> int:
    """What lies in a folder beyond its completed requests."""
    return max(0, int(folder["bytes"]) - sum(int(r["bytes"]) for r in folder["requests"]))


def _identity(request: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """What two hosts' requests have in common when they ask for the same; folders may lie elsewhere."""
    folder = str(request["folder"]).rstrip("/").rsplit("/", 1)[-1]
    return folder, str(request.get("commit") or request["revision"]), tuple(request["paths"])
