# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is downloaded for a release: from where, where to, and which image a host needs. The one place that says so."""

from __future__ import annotations

import os
from typing import Any, Collection, Mapping, Optional

from . import names


class SelectionError(Exception):
    """The release has nothing for this host; the message says what it has."""


def select_image(release: Mapping[str, Any], generation: str, architecture: Optional[str]) -> dict[str, Any]:
    """Return the release's image for a host: of its generation, for its architecture before one for ``any``.

    ``architecture`` is what ``uname -m`` says, or None when it is not known yet; then only an image for ``any`` fits.
    """
    images = list(release.get("images") or [])
    same = [image for image in images if image["generation"] == generation]
    for wanted in (architecture, "any"):
        for image in same:
            if wanted is not None and image.get("architecture", "any") == wanted:
                return dict(image)
    raise SelectionError(
        "release %s has no image for generation %s on %s; it has %s. Add one under images, or correct npu_generation."
        % (
            release.get("release", "?"),
            generation,
            architecture or "an architecture that is not known yet",
            ", ".join("%s/%s" % (i["generation"], i.get("architecture", "any")) for i in images) or "none at all",
        )
    )


def image_request(image: Mapping[str, Any], *, root: str, origin: str = "") -> dict[str, Any]:
    """Return the arguments of lfs_artifact that bring an image archive of a release to a host or mirror.

    ``origin`` replaces scheme and host of the repository; ``root`` is the folder of everything. ``name`` is for people.
    """
    url, path = str(image["repository"]), str(image["path"])
    revision = str(image.get("revision") or "main")
    return {
        "name": "image %s" % path.rsplit("/", 1)[-1],
        "repository": names.rewrite_origin(url, origin),
        "identity": names.repository_path(url),
        "revision": revision,
        "dest": os.path.join(root, "repositories", names.repository_folder(url, revision)),
        "paths": [path],
        "exclude": [],
        "checksums": {path: str(image["sha256"])} if image.get("sha256") else {},
        "layout": "files",
        **_held_to(image),
    }


def weights_request(model: Mapping[str, Any], *, root: str, origin: str = "") -> dict[str, Any]:
    """Return the arguments of lfs_artifact that bring the weights of a release, as ``image_request`` does.

    ``former_dest`` is where version 0.1 kept them: used on where it is proven to hold this repository. Where one of the
    two holds another commit than the wanted one, this has a folder of its own (``names.folder_of_commit``).
    """
    url = str(model["repository"])
    revision = str(model.get("revision") or "main")
    models = os.path.join(root, "models")
    return {
        "name": "weights %s" % model["name"],
        "repository": names.rewrite_origin(url, origin),
        "identity": names.repository_path(url),
        "revision": revision,
        "dest": os.path.join(models, names.repository_folder(url, revision)),
        "former_dest": os.path.join(models, names.former_weights_folder(str(model["name"]), revision)),
        "paths": list(model.get("include") or ["*"]),
        "exclude": list(model.get("exclude") or []),
        "checksums": {str(file): str(about["sha256"]) for file, about in (model.get("files") or {}).items()},
        "layout": "model",
        **_held_to(model),
    }


def package_request(package: Mapping[str, Any], *, root: str, origin: str = "") -> dict[str, Any]:
    """Return the arguments of lfs_artifact that bring a package of driver or firmware, as ``image_request`` does."""
    request = image_request({**package, "architecture": "any"}, root=root, origin=origin)
    return {**request, "name": "package %s" % request["paths"][0].rsplit("/", 1)[-1]}


def _held_to(part: Mapping[str, Any]) -> dict[str, str]:
    """The commit that the lock of the release holds a part to, where there is one."""
    return {"commit": str(part["commit"])} if part.get("commit") else {}


def request_key(request: Mapping[str, Any]) -> str:
    """Return what identifies a request on every host, as lfs_artifact returns it."""
    key: str = names.request_key(request["identity"], request["revision"], request["paths"], request["exclude"])
    return key


def with_options(request: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with further arguments of lfs_artifact; those that are empty are left out."""
    return {**request, **{name: value for name, value in options.items() if value not in (None, "", [], {})}}


def artifact_plan(
    release: Mapping[str, Any],
    *,
    generation: str,
    architecture: Optional[str],
    root: str,
    origin: str = "",
    options: Optional[Mapping[str, Any]] = None,
    loaded: Collection[str] = (),
) -> dict[str, Any]:
    """Return what a host downloads for a release, from where, and where to.

    ``origin`` replaces scheme and host of the release's repositories; ``root`` is the folder of everything. ``options``
    are further arguments of lfs_artifact for all requests, which come in the order image archive, weights.

    ``loaded`` are the IDs of the images that docker has. The archive of an image that the release pins by one of them
    is not needed: ``requests`` leaves it out, and ``left_out`` holds the key of its request, so that an archive that is
    there nevertheless counts as used.
    """
    image = select_image(release, generation, architecture)
    if image.pop("unused", False):
        raise SelectionError(
            "found that the lock of release %s leaves out the image for %s/%s, as no host had that architecture when "
            "it was made; needed it on this host. Fix: remove its entry below `unused` in the lock, and run again"
            % (release.get("release", "?"), generation, image["architecture"])
        )
    archive = image_request(image, root=root, origin=origin)
    weights = weights_request(release["model"], root=root, origin=origin)
    is_loaded = bool(image.get("image_id")) and image["image_id"] in loaded
    return {
        "image": {**image, **{name: archive[name] for name in ("repository", "identity", "revision")}},
        "image_folder": archive["dest"],
        "image_archive": os.path.join(archive["dest"], str(image["path"])),
        "image_checksums": archive["checksums"],
        "model": {
            "name": str(release["model"]["name"]),
            **{name: weights[name] for name in ("repository", "identity", "revision")},
            "commit": weights.get("commit", ""),
            "include": weights["paths"],
            "exclude": weights["exclude"],
        },
        "weights": weights["dest"],
        "former_weights": weights["former_dest"],
        "commit_weights": names.folder_of_commit(weights["dest"], weights["commit"]) if "commit" in weights else "",
        "requests": [with_options(r, options or {}) for r in ([weights] if is_loaded else [archive, weights])],
        "left_out": [request_key(archive)] if is_loaded else [],
    }
