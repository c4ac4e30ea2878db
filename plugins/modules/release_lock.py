#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_lock
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Hold a fleet to what a release was when it was first resolved
description:
  - A release may leave open what it deploys, with a branch as revision, or without SHA-256 and image ID. Its lock, the
    file C(NAME.lock.yml) in C(releases/) beside the inventory or in the folder that the variable C(fleet_lock_path)
    names, has the commit, SHA-256 and size of each file needed, and the image ID, of every image that the inventory's
    generations need and of the model. P(ascend.fleet.release#lookup) fills them in, so that every host gets the same
    bytes, whenever it is added.
  - Reads and validates the locks of the releases in use, says what is still open, and writes them from what
    M(ascend.fleet.release_lock_info) has found. An entry that is locked stays as it is.
  - An archive for an architecture that no host of the play has is not asked for. The lock remembers under C(unused)
    which hosts do without it, and it is open again for others.
  - With several sources of the inventory, a lock that is there is found beside any of them, and a new one is written
    beside the first that is a file or a folder. Two locks of one release are an error.
  - Hosts that hold different bytes of one release are an error that names hosts and values, and so is a lock that was
    made for another state of the release file.
  - Runs on the controller alone, once for all hosts of the play.
options:
  renew:
    description: Make the locks anew, whatever they hold. An image ID stays where the archive is the same.
    type: bool
    default: false
  answers_of:
    description:
      - Names of the variables in which the hosts of the play have registered results of
        M(ascend.fleet.release_lock_info). A variable that a host does not have is passed over.
    type: list
    elements: str
    default: []
  bundle:
    description: Folder of a bundle on the controller, whose manifests are read for what no host holds.
    type: str
    default: ''
  write:
    description:
      - Write the locks. It is an error when something that a host of the play needs is still open.
      - Without it, only say what is open. A place that cannot be written is an error then, before anything is done.
    type: bool
    default: true
  images_of:
    description:
      - Name of the variable in which the hosts of the play have the image that they loaded, with C(release),
        C(generation), C(architecture) and C(config_digest). Only the image IDs are added to the locks then; where a
        release has no lock, nothing is done.
    type: str
attributes:
  check_mode:
    description: Writes nothing and tells what it would write.
    support: full
  diff_mode:
    description: Shows the lock files before and after.
    support: full
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
seealso:
  - module: ascend.fleet.release_lock_info
  - plugin: ascend.fleet.release
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Read the lock
  ascend.fleet.release_lock:
    write: false
  run_once: true
  register: lock

- name: Ask the host for what is open
  ascend.fleet.release_lock_info:
    open: "{{ lock.open }}"
    ask: "{{ lock.open if inventory_hostname in lock.ask else [] }}"
    generations: ["{{ npu_generation }}"]
    root: /var/lib/ascend-fleet
  register: answers
  when: lock.open | length > 0

- name: Write the lock
  ascend.fleet.release_lock:
    answers_of: [answers]
  run_once: true
"""

RETURN = r"""
open:
  description: >-
    What is needed and not locked. C(commit) is the one that another entry of the same repository and revision is held
    to, if any.
  returned: without O(images_of)
  type: list
  elements: dict
  sample:
    - release: qwen3_5_27b_v0
      entry: image a2/any
      commit: null
ask:
  description: The hosts of the play that shall be asked what a source has, at most three.
  returned: without O(images_of)
  type: list
  elements: str
  sample: [a2-01]
locks:
  description: The lock files of the releases in use.
  returned: without O(images_of)
  type: list
  elements: dict
  sample:
    - release: qwen3_5_27b_v0
      path: /home/ops/inventories/mysite/releases/qwen3_5_27b_v0.lock.yml
"""
