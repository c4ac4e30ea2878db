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
    C(@); another model is no revision. Of images those count that M(ascend.fleet.image_verify) has recorded.
  - What a container in any state, or a unit of this collection, names is in use and stays. Where docker does not
    answer, nothing is removed.
  - Folders and images that are not of this collection's making are not looked at.
options:
  root:
    description: Folder on the host for archives, weights and records.
    type: path
    required: true
  what:
    description: Whether folders of weights and archives are pruned, or docker's images.
    type: str
    choices: [revisions, images]
    required: true
  keep:
    description: How many of each are kept, what is in use included. V(0) keeps everything.
    type: int
    required: true
  current:
    description: Folders or image IDs that stay, as they were just brought and nothing runs on them yet.
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
"""

RETURN = r"""
removed:
  description: Folders or image IDs that were removed.
  returned: always
  type: list
  elements: str
  sample: [/var/lib/ascend-fleet/models/Qwen3.5-27B@v1]
freed_bytes:
  description: How large the removed folders were. 0 for images, whose layers may be shared.
  returned: always
  type: int
  sample: 53800000000
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ascend.fleet.plugins.module_utils import _prune

ARGUMENTS: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "what": {"type": "str", "choices": ["revisions", "images"], "required": True},
    "keep": {"type": "int", "required": True},
    "current": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    gone: list[_prune.Revision] = []
    found: list[_prune.Revision] = []
    try:
        host = _prune.Host()
        if params["keep"] > 0:
            if params["what"] == "revisions":
                found = _prune.folders(params["root"])
            else:
                found = _prune.images(os.path.join(params["root"], "images"), host.images())
            # Only now, and only if there is something to decide: asking costs docker commands.
            if _prune.superfluous(found, params["keep"], params["current"]):
                needs = host.needs()
                in_use = [r.name for r in found if r.name in params["current"] or _prune.mentions(needs, r.name)]
                gone = _prune.superfluous(found, params["keep"], in_use)
        if not module.check_mode:
            for revision in gone:
                if params["what"] == "revisions":
                    _prune.remove_folder(revision.name)
                else:
                    host.remove_image(revision.name)
    except _prune.PruneError as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or params["root"], exc.strerror or exc))
    names = [revision.name for revision in gone]
    module.exit_json(
        changed=bool(names),
        removed=names,
        freed_bytes=sum(revision.size for revision in gone),
        diff={
            "before": "".join("%s\n" % r.name for r in found),
            "after": "".join("%s\n" % r.name for r in found if r.name not in names),
        },
    )


if __name__ == "__main__":
    main()
