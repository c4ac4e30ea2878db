#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_load
short_description: Have the image of an archive in docker, compared by its ID
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Loads an archive of C(docker save) unless docker has its image already. The archive may be in the OCI layout, and it
    may be plain, or compressed with gzip, zstd, xz or bzip2.
  - The image's ID, architecture and tags are read from the archive without unpacking it, so that an archive for another
    architecture, a wrong one or a cut one is refused before docker gets it.
  - Where docker has the image by O(image_id) already, the archive is not looked at and need not be there. That takes
    O(tag), and docker's own image store; with the containerd image store the archive is always compared.
  - An image is recognised by its ID, which is the hash of its configuration; with the containerd image store, which has
    other IDs, by its manifest or by its layers, architecture and date.
  - A tag that is missing, or that belongs to another image, is set.
options:
  path:
    description: The archive, on the host. It need not be there where docker has the image by O(image_id).
    type: path
    required: true
  tag:
    description:
      - The tag the image must have.
      - Without it, the first one the archive names.
    type: str
  image_id:
    description:
      - The ID the archive's image must have (V(sha256:) and 64 digits). Without it, any.
    type: str
  architecture:
    description:
      - The architecture the image must be for, as C(uname -m) says it.
      - Without it, the host's.
    type: str
    choices: [aarch64, x86_64]
  cache:
    description:
      - File in which to remember what was read from the archive. Worth it for a compressed archive, which otherwise has
        to be decompressed on every run to be compared.
    type: path
  record:
    description:
      - Folder in which to record that the image is one of this collection's, so that M(ascend.fleet.artifact_prune) and
        C(playbooks/decommission.yml) may remove it.
    type: path
  timeout:
    description: Seconds that docker may take to load the archive.
    type: int
    default: 3600
attributes:
  check_mode:
    description: >-
      The archive is read and compared, nothing is loaded or tagged. Where there is no archive yet, RV(known) is
      V(false).
    support: full
  diff_mode:
    description: Shows which image the tag stands for, before and after.
    support: full
extends_documentation_fragment:
  - ascend.fleet.detached
"""

EXAMPLES = r"""
- name: Have the serving image
  ascend.fleet.image_load:
    path: /var/lib/ascend-fleet/repositories/Eco-Tech--images/vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar
    tag: vllm-ascend:qwen3_5-v0-a2
"""

RETURN = r"""
image_id:
  description: The image's ID in docker. In check mode, before it is loaded, the one of the archive.
  returned: when it is known
  type: str
  sample: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
config_digest:
  description: The hash of the image's configuration.
  returned: when it is known
  type: str
  sample: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
architecture:
  description: The image's architecture, as C(uname -m) says it.
  returned: when it is known
  type: str
  sample: aarch64
tag:
  description: The tag that was ensured.
  returned: always
  type: str
  sample: vllm-ascend:qwen3_5-v0-a2
tags:
  description: Every tag of the image.
  returned: always
  type: list
  elements: str
  sample: ['vllm-ascend:qwen3_5-v0-a2']
loaded:
  description: Whether the archive was loaded, or would be.
  returned: always
  type: bool
  sample: true
tagged:
  description: Whether the tag was set, or would be.
  returned: always
  type: bool
  sample: false
settled:
  description: Whether nothing was to be done, not even to remember what was read.
  returned: always
  type: bool
  sample: false
known:
  description: Whether the archive could be read. V(false) only in check mode, before the archive is on the host.
  returned: always
  type: bool
  sample: true
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.detached import remove_leftovers
from ..module_utils._host.docker import Docker, DockerError
from ..module_utils._images import store
from ..module_utils._images.archive import ArchiveError, machine_of

ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "tag": {"type": "str"},
    "image_id": {"type": "str"},
    "architecture": {"type": "str", "choices": ["aarch64", "x86_64"]},
    "cache": {"type": "path"},
    "record": {"type": "path"},
    "timeout": {"type": "int", "default": 3600},
    "progress": {"type": "path"},
    "check_settled": {"type": "bool", "default": False},
}


def result_of(outcome: store.Outcome) -> dict[str, Any]:
    """Turn an outcome into the module's result."""
    after = outcome.image_id or ("the image of the archive" if outcome.changed else None)
    result: dict[str, Any] = {
        "changed": outcome.changed,
        "known": outcome.known,
        "settled": not outcome.changed and not outcome.unread and not outcome.unrecorded,
        "loaded": outcome.loaded,
        "tagged": outcome.tagged,
        "tag": outcome.tag,
        "tags": outcome.tags,
        "msg": outcome.message,
        "diff": {
            "before_header": "docker",
            "after_header": "docker",
            "before": "%s %s\n" % (outcome.tag, outcome.tag_before) if outcome.tag_before else "",
            "after": "%s %s\n" % (outcome.tag, after) if after else "",
        },
    }
    for name in ("image_id", "config_digest", "architecture"):
        if getattr(outcome, name):
            result[name] = getattr(outcome, name)
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    wanted = store.Wanted(
        path=params["path"],
        machine=params["architecture"] or machine_of(os.uname().machine),
        tag=params["tag"],
        image_id=params["image_id"],
        timeout=params["timeout"],
        cache=params["cache"],
        record=params["record"],
        progress=None if params["check_settled"] else params["progress"],
    )
    if module.params["check_settled"]:
        remove_leftovers(params["progress"])
    try:
        docker = Docker(timeout=60)
        if module.params["check_settled"] and not store.is_quickly_read(wanted, docker):
            outcome = store.Outcome(unread=True)
        else:
            check = module.check_mode or module.params["check_settled"]
            outcome = store.ensure(wanted, docker, check=check)
    except (ArchiveError, store.ImageError) as exc:
        module.fail_json(msg=str(exc))
    except DockerError as exc:
        module.fail_json(msg="docker does not answer: %s. Install it, or start it: systemctl start docker" % exc)
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or params["path"], exc.strerror or exc))
    module.exit_json(**result_of(outcome))


if __name__ == "__main__":
    main()
