#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_prune
short_description: Remove old revisions of weights, image archives or images, never what is in use
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Removes all but the latest revisions. Revisions of a repository or a model are folders whose names differ behind
    C(@), and different requests within a folder, such as two archives of one repository; another model is no revision.
    Of images those count that M(ascend.fleet.image_load) or M(ascend.fleet.image_verify) have recorded.
  - Within a folder those files go, with their C(git-lfs) objects, that no remaining request names.
  - The age of a revision is that of its last use. What is O(current) together counts as one revision, the latest, and
    an image that serves as the next one. Both are remembered, so that the image from which a host comes is kept for a
    rollback.
  - What a container in any state, or a unit of this collection, names is in use and stays. Where docker does not
    answer, nothing is removed.
  - What the host's last good deployment, the one before it and those of a change that is open name stays too, whatever
    O(keep) says, so that a rollback needs no download. Where that cannot be read, nothing is removed, and a warning
    says why.
  - Folders and images that are not of this collection's making are not looked at. What another run works on is left
    for the next time.
options:
  root:
    description: Folder on the host for archives, weights and records.
    type: path
    required: true
  what:
    description:
      - Whether folders of weights and archives are pruned, docker's images, or the folders of a mirror.
      - Of a mirror, the folder C(store) in O(root) loses what no remaining request asks for. A mirror needs no docker.
    type: str
    choices: [revisions, images, mirror]
    required: true
  keep:
    description: How many of each are kept, what is in use included. V(0) keeps everything.
    type: int
    required: true
  current:
    description:
      - Folders, requests (RV(ascend.fleet.lfs_artifact#module:request)) or image IDs that stay, as they were just
        brought and nothing runs on them yet.
      - All of a folder stays when none of its requests is named.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Says what would be removed.
    support: full
  diff_mode:
    description: Lists what is there before and after.
    support: full
  platform:
    description: Linux.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: Keep two revisions of every model and archive
  ascend.fleet.artifact_prune:
    root: /var/lib/ascend-fleet
    what: revisions
    keep: 2
    current:
      - /var/lib/ascend-fleet/models/Qwen3.5-27B
      - "{{ image_archive.request }}"
"""

RETURN = r"""
removed:
  description: Folders, files or image IDs that were removed.
  returned: always
  type: list
  elements: str
  sample: [/var/lib/ascend-fleet/models/Qwen3.5-27B@v1]
freed_bytes:
  description: How large that was. 0 for images, whose layers may be shared.
  returned: always
  type: int
  sample: 53800000000
"""

import os
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts import mirrors, prune
from ..module_utils._host.docker import Docker, DockerError
from ..module_utils._images.prune import prune_images
from ..module_utils._images.usage import Usage
from ..module_utils._upgrade import deployment, state

ARGUMENTS: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "what": {"type": "str", "choices": ["revisions", "images", "mirror"], "required": True},
    "keep": {"type": "int", "required": True},
    "current": {"type": "list", "elements": "str", "default": []},
}
DOCKER_SECONDS = 120


def kept_text() -> str:
    """What the deployments that must be kept name. StateError and DeploymentError where that is not known."""
    return deployment.in_use_text(state.needed(state.read()))


def remove_old(params: dict[str, Any], in_use: Callable[[], str], docker: Docker, check: bool) -> prune.Pruned:
    """Remove old images, or old revisions of weights and archives."""
    root = params["root"].rstrip("/")
    if params["what"] == "images":
        removal = prune_images(
            os.path.join(root, "images"), params["keep"], params["current"], in_use, docker, check=check
        )
        return prune.Pruned(before=removal.before, removed=removal.removed)
    mirror = mirrors.Mirror("", "", root) if params["what"] == "mirror" else None
    return prune.prune(
        root,
        params["keep"],
        params["current"],
        in_use,
        check=check,
        store=mirrors.store_of(mirror) if mirror else None,
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    docker = Docker(timeout=DOCKER_SECONDS)
    usage = Usage(docker, docker_required=params["what"] != "mirror")
    try:
        kept = kept_text()
    except (state.StateError, deployment.DeploymentError) as exc:
        module.warn("nothing was removed, as it is not known what a rollback needs: %s" % exc)
        module.exit_json(changed=False, removed=[], freed_bytes=0, diff={"before": "", "after": ""})
    try:
        pruned = remove_old(params, lambda: "%s\n%s" % (usage.text(), kept), docker, module.check_mode)
    except DockerError as exc:
        module.fail_json(msg="docker does not say what is in use: %s. Nothing was removed. Fix: start docker" % exc)
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or params["root"], exc.strerror or exc))
    for note in pruned.notes:
        module.warn(note)
    module.exit_json(
        changed=bool(pruned.removed),
        removed=pruned.removed,
        freed_bytes=pruned.freed,
        diff={
            "before": "".join("%s\n" % name for name in pruned.before),
            "after": "".join("%s\n" % name for name in pruned.before if name not in pruned.removed),
        },
    )


if __name__ == "__main__":
    main()
