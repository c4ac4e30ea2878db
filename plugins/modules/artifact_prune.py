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
    Of images those count that M(ascend.fleet.image_verify) has recorded.
  - Within a folder those files go, with their C(git-lfs) objects, that no remaining request names.
  - What is O(current) together counts as one revision, the latest. That is remembered, so that one that is used again
    is not taken for the oldest.
  - What a container in any state, or a unit of this collection, names is in use and stays. Where docker does not
    answer, nothing is removed.
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
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts import mirrors, prune

ARGUMENTS: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "what": {"type": "str", "choices": ["revisions", "images", "mirror"], "required": True},
    "keep": {"type": "int", "required": True},
    "current": {"type": "list", "elements": "str", "default": []},
}


def prune_images(params: dict[str, Any], check: bool) -> prune.Pruned:
    """Remove old images."""
    host = prune.Host()
    pruned = prune.Pruned()
    if params["keep"] > 0:
        found = prune.images(os.path.join(params["root"], "images"), host.images())
        pruned.before = [image.name for image in found]
        gone = prune.superfluous(found, params["keep"], params["current"])
        if gone:
            needs = host.needs()
            in_use = [r.name for r in found if r.name in params["current"] or prune.mentions(needs, r.name)]
            gone = prune.superfluous(found, params["keep"], in_use)
        for image in gone:
            pruned.removed.append(image.name)
            if not check:
                host.remove_image(image.name)
    return pruned


def prune_folders(params: dict[str, Any], check: bool) -> prune.Pruned:
    """Remove old revisions of weights and archives."""
    mirror = params["what"] == "mirror"
    return prune.prune(
        params["root"].rstrip("/"),
        params["keep"],
        params["current"],
        prune.Host(without_docker=mirror).needs,
        check=check,
        store=mirrors.store_of(mirrors.mirror_of("", {"artifact_mirror_root": params["root"]})) if mirror else None,
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    work = prune_images if params["what"] == "images" else prune_folders
    try:
        pruned = work(params, module.check_mode)
    except prune.PruneError as exc:
        module.fail_json(msg=str(exc))
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
