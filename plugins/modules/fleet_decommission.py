#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_decommission
short_description: Remove the data of this collection from a host, wherever they lie
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Finds the folders with data of this collection. Beside O(own_roots) and O(roots) these are those that deployed units
    and a deployed mirror name, and those that O(state=noted) has noted earlier.
  - For C(playbooks/decommission.yml), which notes the places before it removes the units that name them.
  - Below a folder that is not one of O(own_roots), only what bears this collection's mark is removed. These are folders
    that M(ascend.fleet.lfs_artifact) has filled, a mirror's store, and records of images.
options:
  state:
    description:
      - V(noted) writes the places that deployed units name into C(decommission.json) in O(configuration).
      - V(absent) removes what O(what) says.
    type: str
    choices: [noted, absent]
    default: absent
  what:
    description:
      - V(images) removes, by their IDs, all images that this collection has loaded, of whatever release, and their
        records. An image that a container of somebody else uses stays.
      - V(artifacts) removes image archives and weights, and what a mirror holds.
      - V(service) removes what replicas have left, what ended jobs of this collection have left in the user's
        C(~/.ansible_async), and O(configuration).
    type: list
    elements: str
    choices: [images, artifacts, service]
    default: []
  own_roots:
    description: Folders that belong to this collection alone, and are removed as a whole.
    type: list
    elements: path
    default: []
  roots:
    description: Folders in which this collection has data beside those of others. Empty names are left out.
    type: list
    elements: str
    default: []
  configuration:
    description: Folder of the configuration.
    type: path
    default: /etc/ascend-fleet
attributes:
  check_mode:
    description: Says what would be removed. Nothing is noted.
    support: full
  diff_mode:
    description: Lists what would be removed.
    support: full
  platform:
    description: Linux.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: Note where data lie, before the units that name it are removed
  ascend.fleet.fleet_decommission:
    state: noted

- name: Remove image archives and weights
  ascend.fleet.fleet_decommission:
    what: [artifacts]
    own_roots: [/var/lib/ascend-fleet]
    roots: [/srv/models]
"""

RETURN = r"""
roots:
  description: The folders that were searched.
  returned: always
  type: list
  elements: str
  sample: [/srv/models, /var/lib/ascend-fleet]
removed:
  description: Files, folders and image IDs that were removed.
  returned: always
  type: list
  elements: str
  sample: [/srv/models/models/Qwen3.5-27B]
"""

import os
from typing import Any, Callable, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts import host_data
from ..module_utils._base import detached
from ..module_utils._host.docker import Docker, DockerError, is_managed
from ..module_utils._images.prune import images_of_this_collection
from ..module_utils._serving import deployed as _units

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["noted", "absent"], "default": "absent"},
    "what": {"type": "list", "elements": "str", "choices": ["images", "artifacts", "service"], "default": []},
    "own_roots": {"type": "list", "elements": "path", "default": []},
    "roots": {"type": "list", "elements": "str", "default": []},
    "configuration": {"type": "path", "default": "/etc/ascend-fleet"},
}
NOTE = "decommission.json"


class Removal:
    """Removes, or in check mode only says what would be removed."""

    def __init__(self, docker: Docker, check: bool) -> None:
        self._docker = docker
        self._check = check
        self.removed: list[str] = []
        self.notes: list[str] = []

    def paths(self, paths: list[str]) -> None:
        """Remove files and folders."""
        self.removed += paths
        if not self._check:
            host_data.remove_paths(paths)

    def images(self, folders: list[str], named: set[str]) -> bool:
        """Remove all images of this collection; return whether none is left."""
        try:
            found = images_of_this_collection(folders, named, self._docker)
        except DockerError as exc:
            if exc.installed:
                raise
            return True  # without docker there are no images
        users = {c["image_id"]: c["name"] for c in self._docker.containers() if not is_managed(c["labels"])}
        for image_id in found:
            if image_id in users:
                self.notes.append(
                    "found the container %s with the image %s; needed it unused to remove it. Fix: remove the "
                    "container and run this again" % (users[image_id], image_id)
                )
                continue
            self.removed.append(image_id)
            if not self._check:
                self._docker.remove_image(image_id, force=True)
        return not set(found) & set(users)

    def empty_folders(self, root: str) -> None:
        """Remove folders that have become empty."""
        if not self._check:
            self.removed += host_data.remove_empty(root)


def find(params: dict[str, Any], deployed: Callable[[], list[dict[str, Any]]]) -> host_data.Places:
    """Return what units, a mirror and a note of an earlier run say."""
    found = host_data.places_of_units(deployed())
    try:
        found.add(host_data.read_places(os.path.join(params["configuration"], NOTE)))
    except ValueError as exc:
        raise host_data.PlacesError(
            "found %s damaged (%s); needed what an earlier run noted. Fix: remove that file, and name the folders in "
            "decommission_roots" % (os.path.join(params["configuration"], NOTE), exc)
        ) from exc
    mirror = host_data.root_of_mirror(read(os.path.join(params["configuration"], "mirror-nginx.conf")))
    if mirror:
        found.roots.add(mirror)
    return found


def read(path: str) -> Optional[str]:
    """Return a file's text; None when it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def remove(params: dict[str, Any], places: host_data.Places, removal: Removal) -> list[str]:
    """Remove what is asked for; return the roots that were searched."""
    own = {os.path.normpath(root) for root in params["own_roots"]}
    named = {os.path.normpath(root) for root in (*params["roots"], *places.roots) if root}
    roots = sorted(own | named)
    host_data.check_roots(roots)
    if "images" in params["what"]:
        folders = [os.path.join(root, "images") for root in roots]
        if removal.images(folders, places.images):
            for root in roots:
                removal.paths(host_data.image_records_below(root, own=root in own))
    for kind, below in (("artifacts", host_data.artifacts_below), ("service", host_data.service_data_below)):
        for root in roots if kind in params["what"] else ():
            removal.paths(below(root, own=root in own))
    for root in roots if params["what"] else ():
        removal.empty_folders(root)
    if "service" in params["what"]:
        removal.paths(detached.leftovers(detached.async_folder()))
    if "service" in params["what"] and os.path.isdir(params["configuration"]):
        removal.paths([params["configuration"]])  # the last, as it holds the note
    return roots


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    removal = Removal(Docker(timeout=60), module.check_mode)
    changed = False
    try:
        places = find(params, _units.deployed)
        roots = sorted(places.roots)
        if params["state"] == "noted":
            note = os.path.join(params["configuration"], NOTE)
            changed = bool(places.roots or places.images) and host_data.read_places(note) != places
            if changed and not module.check_mode:
                host_data.write_places(note, places)
        else:
            roots = remove(params, places, removal)
    except (host_data.PlacesError, _units.UnitsError) as exc:
        module.fail_json(msg=str(exc))
    except DockerError as exc:
        module.fail_json(msg="docker does not say which images it has: %s. Fix: systemctl start docker" % exc)
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename, exc.strerror or exc))
    for note in removal.notes:
        module.warn(note)
    module.exit_json(
        changed=changed or bool(removal.removed),
        roots=roots,
        removed=removal.removed,
        diff={"before": "".join("%s\n" % name for name in removal.removed), "after": ""},
    )


if __name__ == "__main__":
    main()
