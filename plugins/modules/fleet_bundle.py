#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_bundle
short_description: Complete a bundle with the collection, its Python packages, checksums and a manifest
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Adds to a folder, in which M(ascend.fleet.lfs_artifact) has published image archives and weights, what else a
    deployment without a network needs. That is the collection as a tarball, C(ansible-core) and what it depends on as
    wheels, C(SHA256SUMS) over everything, and C(bundle.json).
  - The collection depends on no other collection.
  - Runs on the controller, for C(playbooks/bundle.yml).
options:
  path:
    description: The folder of the bundle.
    type: path
    required: true
  collection:
    description: The folder of the collection, a checkout or an installed one.
    type: path
    required: true
  releases:
    description: Names of the releases that the bundle is for.
    type: list
    elements: str
    default: []
  python:
    description:
      - Whether to download C(ansible-core), in the version that runs, with the C(pip) of the Python that runs. The
        wheels are for that Python version and machine.
    type: bool
    default: true
  timeout:
    description: Seconds for building the tarball and for the downloads, each.
    type: int
    default: 1800
attributes:
  check_mode:
    description: >-
      Nothing is written into the bundle. One that is not complete, or whose collection is not the present one, is
      reported as changed.
    support: full
  diff_mode:
    description: Not supported.
    support: none
  platform:
    description: Linux.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: Complete the bundle
  ascend.fleet.fleet_bundle:
    path: /media/disk/bundle
    collection: "{{ playbook_dir | dirname }}"
    releases: [qwen3_5_27b_v0]
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The folder of the bundle.
  returned: always
  type: str
  sample: /media/disk/bundle
files:
  description: How many files it holds, beside the manifest and the checksums.
  returned: always
  type: int
  sample: 31
bytes:
  description: How large they are together.
  returned: always
  type: int
  sample: 74000000000
"""

import platform
import sys
from importlib import metadata
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts import bundle
from ..module_utils._base.progress import human_bytes

ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "collection": {"type": "path", "required": True},
    "releases": {"type": "list", "elements": "str", "default": []},
    "python": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 1800},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    request = bundle.Request(
        path=params["path"].rstrip("/"),
        collection=params["collection"].rstrip("/"),
        releases=tuple(params["releases"]),
        requirement="ansible-core==%s" % core_version(module) if params["python"] else None,
        python=sys.executable,
        python_version=platform.python_version(),
        machine=platform.machine(),
        timeout=params["timeout"],
    )
    try:
        outcome = bundle.ensure(request, check=module.check_mode)
    except bundle.BundleError as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or params["path"], exc.strerror or exc))
    module.exit_json(
        changed=outcome.changed,
        path=request.path,
        files=outcome.files,
        bytes=outcome.size,
        msg="%s holds %d files, %s" % (request.path, outcome.files, human_bytes(outcome.size)),
    )


def core_version(module: AnsibleModule) -> str:
    """The ansible-core of this Python; the one that runs the play when this Python has none."""
    try:
        return metadata.version("ansible-core")
    except metadata.PackageNotFoundError:
        return str(module.ansible_version)


if __name__ == "__main__":
    main()
