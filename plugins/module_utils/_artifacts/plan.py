# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a release concerns one host: its image, and where the host keeps image archive and weights."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional

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


def checksums_of(model: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of a locked model's files, by path; nothing where it is not locked."""
    return {str(path): str(file["sha256"]) for path, file in (model.get("files") or {}).items()}


def artifact_plan(
    release: Mapping[str, Any],
    *,
    generation: str,
    architecture: Optional[str],
    root: str,
    origin: str = "",
) -> dict[str, Any]:
    """Return what a host downloads for a release, from where, and where to.

    ``origin`` replaces scheme and host of the release's repositories; ``root`` is the folder of everything.
    """
    image = select_image(release, generation, architecture)
    model = release["model"]
    image_revision = str(image.get("revision") or "main")
    model_revision = str(model.get("revision") or "main")
    image_url = names.rewrite_origin(str(image["repository"]), origin)
    image_folder = os.path.join(root, "repositories", names.repository_folder(str(image["repository"]), image_revision))
    models = os.path.join(root, "models")
    return {
        "image": dict(
            image,
            repository=image_url,
            identity=names.repository_path(str(image["repository"])),
            revision=image_revision,
            commit=image.get("commit"),
        ),
        "image_folder": image_folder,
        "image_archive": os.path.join(image_folder, str(image["path"])),
        "image_checksums": {str(image["path"]): str(image["sha256"])} if image.get("sha256") else {},
        "model": {
            "name": str(model["name"]),
            "repository": names.rewrite_origin(str(model["repository"]), origin),
            "identity": names.repository_path(str(model["repository"])),
            "revision": model_revision,
            "include": list(model.get("include") or ["*"]),
            "exclude": list(model.get("exclude") or []),
            "commit": model.get("commit"),
            "checksums": checksums_of(model),
        },
        "weights": os.path.join(models, names.repository_folder(str(model["repository"]), model_revision)),
        # Where version 0.1 kept them: used on where it is proven to hold this repository.
        "former_weights": os.path.join(models, names.former_weights_folder(str(model["name"]), model_revision)),
    }
