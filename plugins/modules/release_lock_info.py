#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs modules on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_lock_info
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Say what a host holds of a release, or what its sources have
description:
  - For each entry that the lock of a release lacks, returns commit, files, SHA-256 and size that the host has in place
    and verified, and the ID of the image that docker has loaded from the archive.
  - What the host does not hold is asked of its sources where O(ask) says so. The pointers of git-lfs have hash and
    size, so no large file is downloaded.
  - Nothing is changed.
options:
  open:
    description: The entries to look for, RV(ascend.fleet.release_lock#module:open).
    type: list
    elements: dict
    required: true
  ask:
    description: Those of O(open) that sources are asked for. By default none.
    type: list
    elements: dict
    default: []
  renew:
    description: Do not look at what the host holds, and ask what revisions are now. The origin comes before mirrors.
    type: bool
    default: false
  generations:
    description: The generations whose images the host may hold.
    type: list
    elements: str
    default: []
  root:
    description: Folder of archives and weights on the host.
    type: str
    required: true
  origin:
    description: Base URL that replaces scheme and host of the release's repositories. Empty, they are kept.
    type: str
    default: ''
  image_records:
    description: Folder in which is remembered what archives hold.
    type: str
    default: /var/lib/ascend-fleet/images
  sources:
    description: As in M(ascend.fleet.lfs_artifact).
    type: list
    elements: str
    default: []
  origin_fallback:
    description: As in M(ascend.fleet.lfs_artifact).
    type: bool
    default: true
  ca_path:
    description: As in M(ascend.fleet.lfs_artifact).
    type: str
  sources_ca_path:
    description: As in M(ascend.fleet.lfs_artifact).
    type: str
  token_file:
    description: As in M(ascend.fleet.lfs_artifact).
    type: str
  token_user:
    description: As in M(ascend.fleet.lfs_artifact).
    type: str
    default: oauth2
attributes:
  check_mode:
    description: Changes nothing, so check mode is a normal run.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  platform:
    description: Linux.
    platforms: linux
    support: full
seealso:
  - module: ascend.fleet.release_lock
"""

EXAMPLES = r"""
- name: Ask the host for what is open
  ascend.fleet.release_lock_info:
    open: [{release: qwen3_5_27b_v0, entry: model}]
    ask: [{release: qwen3_5_27b_v0, entry: model}]
    root: /var/lib/ascend-fleet
"""

RETURN = r"""
answers:
  description: What was found. RV(answers[].asked) says that a source was asked, because the host does not hold it.
  returned: success
  type: list
  elements: dict
  contains:
    release:
      description: The release.
      type: str
      returned: always
      sample: qwen3_5_27b_v0
    entry:
      description: The entry of its lock.
      type: str
      returned: always
      sample: image a2/any
    asked:
      description: Whether a source said it.
      type: bool
      returned: always
      sample: true
    commit:
      description: The commit.
      type: str
      returned: always
      sample: 3f1c2a9d5b7e40c6a8d1f2e3b4c5d6e7f8091a2b
    files:
      description: The files of the request.
      type: list
      elements: dict
      returned: always
      sample:
        - path: vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar
          sha256: 4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
          size_bytes: 21474836480
    image_id:
      description: The ID of the image that was loaded from the archive, empty where that is not known.
      type: str
      returned: always
      sample: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
obstacles:
  description: Why sources did not say what they were asked for.
  returned: success
  type: list
  elements: str
  sample: ['weights Qwen3.5-27B: git is not installed yet, so what would be downloaded cannot be told']
generations:
  description: The option of the same name.
  returned: always
  type: list
  elements: str
  sample: [a2]
architecture:
  description: The host's architecture, as C(uname -m) says it.
  returned: success
  type: str
  sample: aarch64
"""
