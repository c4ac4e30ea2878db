#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_decommission
short_description: List what this collection has on a host, and remove it
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Finds what is of this collection on a host, wherever it lies. These are units and containers of replicas, the
    gateway and the mirror with their configuration, images, image archives and weights, and what replicas have left.
  - Beside O(own_roots) and O(roots), folders with data are those that deployed units and a deployed mirror name. They
    are noted in C(decommission.json) in O(configuration) before anything is removed, so that a run that was interrupted
    is continued.
  - Below a folder that is not one of O(own_roots), only what bears this collection's mark is removed. These are folders
    that M(ascend.fleet.lfs_artifact) has filled, a mirror's store, and records of images.
  - For C(playbooks/decommission.yml). List and removal go by one plan.
options:
  state:
    description:
      - V(planned) returns the plan of what goes and what stays, and changes nothing.
      - V(absent) removes what O(what) says.
    type: str
    choices: [planned, absent]
    default: absent
  what:
    description:
      - V(units) stops and removes all replicas with their containers, and the watchdog.
      - V(mirror) stops and removes the server and the tracker of a mirror.
      - V(images) removes, by their IDs, all images that this collection has loaded, of whatever release, and their
        records. An image that a container of somebody else uses stays.
      - V(sharing) ends transfers to and from other hosts.
      - V(artifacts) removes image archives and weights, and what a mirror holds.
      - V(service) removes what replicas have left, the monitoring, what ended jobs of this collection have left in
        O(async_dir), and O(configuration).
      - V(gateway) is of the plan alone. M(ascend.fleet.vllm_gateway) removes it.
      - Without it, O(run_tags), O(skip_tags), O(images) and O(artifacts) decide.
    type: list
    elements: str
    choices: [units, gateway, mirror, images, sharing, artifacts, service]
  images:
    description: Whether images go, where O(what) does not say it.
    type: bool
    default: false
  artifacts:
    description: Whether image archives and weights go, where O(what) does not say it.
    type: bool
    default: false
  run_tags:
    description: The tags of the run, where O(what) does not say what goes.
    type: list
    elements: str
    default: [all]
  skip_tags:
    description: The tags that the run leaves out.
    type: list
    elements: str
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
  stop_timeout:
    description: How many seconds an engine may take to stop.
    type: int
    default: 600
  async_dir:
    description: Folder of asynchronous jobs. Set by the action, from Ansible's own option of this name.
    type: path
    default: ~/.ansible_async
attributes:
  action:
    description: The controller says where asynchronous jobs leave their files.
    support: full
  async:
    description: Not supported by its action.
    support: none
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
seealso:
  - module: ascend.fleet.decommission_report
  - module: ascend.fleet.vllm_gateway
"""

EXAMPLES = r"""
- name: See what would go
  ascend.fleet.fleet_decommission:
    state: planned
    own_roots: [/var/lib/ascend-fleet]
  register: plan

- name: Remove image archives and weights
  ascend.fleet.fleet_decommission:
    what: [artifacts]
    own_roots: [/var/lib/ascend-fleet]
    roots: [/srv/models]
"""

RETURN = r"""
plan:
  description: What goes and what stays.
  returned: success
  type: dict
  contains:
    phases:
      description: What is removed at all, as in O(what).
      type: list
      elements: str
      sample: [units, gateway, mirror, sharing, service]
    replicas:
      description: The deployed replicas, where units are removed.
      type: list
      elements: dict
      sample: [{unit: vllm-qwen3.5@0.service, replica: 0}]
    removed:
      description: What goes, in this order.
      type: list
      elements: dict
      sample:
        - {phase: units, kind: unit, name: vllm-qwen3.5@0.service, detail: port 8010, size_bytes: null}
    kept:
      description: What stays, each with the reason.
      type: list
      elements: dict
      sample:
        - phase: artifacts
          kind: folder
          name: /srv/models/models/Qwen3.5-27B
          detail: ""
          size_bytes: 55607885824
          reason: -e decommission_artifacts=true removes it too
roots:
  description: The folders that were searched.
  returned: success
  type: list
  elements: str
  sample: [/srv/models, /var/lib/ascend-fleet]
removed:
  description: Units, files, folders and image IDs that were removed. In check mode, that would be.
  returned: success
  type: list
  elements: str
  sample: [/srv/models/models/Qwen3.5-27B]
"""

import glob
import os
import sys
from dataclasses import dataclass
from typing import Any, Callable, Iterator

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts import host_data
from ..module_utils._base import detached
from ..module_utils._base.files import read_text
from ..module_utils._host.docker import LABEL_UNIT, Docker, DockerError, is_managed
from ..module_utils._host.haproxy import Haproxy
from ..module_utils._host.service import UNIT_DIR, ServiceHost
from ..module_utils._host.systemd import Systemd, SystemdError
from ..module_utils._images.prune import images_of_this_collection
from ..module_utils._monitoring.removal import MonitoringRemoval
from ..module_utils._serving import gateway_floating, removal_plan
from ..module_utils._serving import units as _units
from ..module_utils._serving.deployed import UnitsError, deployed
from ..module_utils._serving.gateway_config import PLACES
from ..module_utils._serving.gateway_host import GatewayHost
from ..module_utils._serving.gateway_unit import UNIT
from ..module_utils._serving.removal_plan import PHASES, Foreign, Thing

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["planned", "absent"], "default": "absent"},
    "what": {"type": "list", "elements": "str", "choices": list(PHASES)},
    "images": {"type": "bool", "default": False},
    "artifacts": {"type": "bool", "default": False},
    "run_tags": {"type": "list", "elements": "str", "default": ["all"]},
    "skip_tags": {"type": "list", "elements": "str", "default": []},
    "own_roots": {"type": "list", "elements": "path", "default": []},
    "roots": {"type": "list", "elements": "str", "default": []},
    "configuration": {"type": "path", "default": "/etc/ascend-fleet"},
    "stop_timeout": {"type": "int", "default": 600},
    "async_dir": {"type": "path", "default": "~/.ansible_async"},
}
NOTE = "decommission.json"
MIRROR_SERVICES: dict[str, tuple[str, ...]] = {
    "ascend-fleet-mirror": ("mirror-nginx.conf",),
    "ascend-fleet-tracker": (),
}
SHARING_UNITS = ("ascend-fleet-swarm-*.service", "ascend-fleet-seed-*.service")


@dataclass
class Tools:
    """What speaks to the host."""

    docker: Docker
    systemd: Systemd
    gateway: GatewayHost
    #: The units, to be looked at (true) or to be changed.
    units: Callable[[bool], _units.Host]
    unit_dir: str = UNIT_DIR


def tools_of(params: dict[str, Any]) -> Tools:
    """The tools of this host."""
    systemd = Systemd(timeout=120)

    def units(check: bool) -> _units.Host:
        return _units.Host(config_dir=params["configuration"], check=check, stop_timeout=params["stop_timeout"])

    return Tools(
        Docker(timeout=60), systemd, GatewayHost(systemd, Haproxy(PLACES.socket), python=sys.executable), units
    )


class Removal:
    """What is of this collection on this host: looked at as a whole, then removed phase by phase."""

    def __init__(self, params: dict[str, Any], tools: Tools) -> None:
        self._tools = tools
        self._configuration = params["configuration"]
        self._async_dir = params["async_dir"]
        self.deployed = deployed(tools.unit_dir)
        self.places = find(params, self.deployed)
        self.own = {os.path.normpath(root) for root in params["own_roots"]}
        named = {os.path.normpath(root) for root in (*params["roots"], *self.places.roots) if root}
        self.roots = sorted(self.own | named)
        host_data.check_roots(self.roots)
        self.containers = self._look_at(tools.docker.containers)
        self._monitoring = MonitoringRemoval(tools.systemd, tools.unit_dir)

    def plan(self, phases: list[str]) -> dict[str, Any]:
        """What goes and what stays."""
        things = [*self._units(), *self._gateway(), *self._services(), *self._images(), *self._data()]
        things += self._configured(phases)
        replicas = [{"unit": u["name"], "replica": u["replica"]} for u in self.deployed]
        return removal_plan.plan(things, self._foreign(), phases, replicas)

    # - looking -

    @staticmethod
    def _look_at(query: Callable[[], list[Any]]) -> list[Any]:
        """Docker's answer; none where docker is not installed. One that fails raises."""
        try:
            return query()
        except DockerError as exc:
            if exc.installed:
                raise
            return []

    def _units(self) -> Iterator[Thing]:
        names, support = self._tools.units(True).absent(None)
        ports = {u["name"]: u["port"] for u in self.deployed}
        for name in names:
            port = ports.get(name)
            yield Thing("units", "unit", name, "port %d" % port if port is not None else "")
            secrets = os.path.join(self._configuration, name[: -len(".service")] + ".env")
            if os.path.lexists(secrets):
                yield Thing("units", "secrets", secrets)
            for container in self.containers:
                if container["labels"].get(LABEL_UNIT) == name:
                    yield Thing("units", "container", container["name"], container["state"])
        for path in support:
            kind = "watchdog" if "watchdog" in os.path.basename(path) else "file"
            yield Thing("units", kind, path)

    def _gateway(self) -> Iterator[Thing]:
        floating = ServiceHost(self._tools.systemd, self._tools.unit_dir)
        steps = floating.to_remove(gateway_floating.NAME, [gateway_floating.CONFIG])
        for step in [*steps, *self._tools.gateway.absent(check=True)]:
            step = "stop %s" % UNIT if step == "stop" else step
            yield Thing("gateway", "gateway", step, "with its API keys" if step.endswith(PLACES.folder) else "")

    def _services(self) -> Iterator[Thing]:
        host = ServiceHost(self._tools.systemd, self._tools.unit_dir)
        for name, files in MIRROR_SERVICES.items():
            for step in host.to_remove(name, self._paths(files)):
                yield Thing("mirror", "mirror", step)
        for step in self._monitoring.steps:
            yield Thing("service", "monitoring", step)
        for unit in self._tools.systemd.loaded(SHARING_UNITS):
            yield Thing("sharing", "transfer", unit)

    def _images(self) -> Iterator[Thing]:
        folders = [os.path.join(root, "images") for root in self.roots]
        found = self._look_at(lambda: images_of_this_collection(folders, self.places.images, self._tools.docker))
        users = {c["image_id"]: c["name"] for c in self.containers if not is_managed(c["labels"])}
        about = {i["id"]: i for i in self._tools.docker.inspect_images(found)} if found else {}
        for image_id in found:
            image = about.get(image_id) or {}
            used_by = "the container %s" % users[image_id] if image_id in users else ""
            tags = ", ".join(image.get("tags") or ())
            yield Thing("images", "image", image_id, tags, image.get("size_bytes"), used_by)
        if not set(found) & set(users):
            for root in self.roots:
                for path in host_data.image_records_below(root, own=root in self.own):
                    yield Thing("images", "record", path)

    def _data(self) -> Iterator[Thing]:
        below = (("artifacts", host_data.artifacts_below), ("service", host_data.service_data_below))
        for phase, paths_below in below:
            for root in self.roots:
                for path in paths_below(root, own=root in self.own):
                    yield Thing(phase, "folder" if os.path.isdir(path) else "file", path, "", host_data.size_of(path))
        for path in detached.leftovers(self._async_dir):
            yield Thing("service", "leftover", path)

    def _configured(self, phases: list[str]) -> Iterator[Thing]:
        """The folder of the configuration, which holds the note: the last. What goes on keeps its own in it."""
        needed = {"gateway": (os.path.basename(PLACES.folder),), "mirror": sum(MIRROR_SERVICES.values(), ())}
        kept = {name for phase, names in needed.items() if phase not in phases for name in names}
        there = set(os.listdir(self._configuration)) if os.path.isdir(self._configuration) else set()
        if there & kept:
            for name in sorted(there - kept - {NOTE}):
                yield Thing("service", "file", os.path.join(self._configuration, name), "configuration")
        elif os.path.isdir(self._configuration):
            yield Thing("service", "folder", self._configuration, "configuration")

    def _foreign(self) -> Iterator[Foreign]:
        for container in self.containers:
            if not is_managed(container["labels"]):
                yield Foreign("container", container["name"], "not of this collection")
        ours = {unit["name"] for unit in self.deployed}
        for path in sorted(glob.glob(os.path.join(glob.escape(self._tools.unit_dir), "vllm-*@*.service"))):
            if os.path.basename(path) not in ours:
                yield Foreign("unit", path, "not written by this collection")
        for root in self.roots:
            for path in host_data.foreign_below(root, own=root in self.own):
                yield Foreign("folder" if os.path.isdir(path) else "file", path, "without this collection's mark")

    def _paths(self, files: tuple[str, ...]) -> list[str]:
        return [os.path.join(self._configuration, name) for name in files]

    # - removing -

    def note(self, *, check: bool) -> bool:
        """Note where data lie, before what names it goes; return whether that is news."""
        path = os.path.join(self._configuration, NOTE)
        known = bool(self.places.roots or self.places.images)
        if not known or host_data.read_places(path) == self.places:
            return False
        if not check:
            host_data.write_places(path, self.places)
        return True

    def carry_out(self, plan: dict[str, Any]) -> list[str]:
        """Remove what the plan says; return folders that have become empty and went too."""
        for phase in plan["phases"]:
            names = [entry["name"] for entry in plan["removed"] if entry["phase"] == phase]
            if phase == "units":
                self._tools.units(False).absent(None)
            elif phase == "mirror":
                for name, files in MIRROR_SERVICES.items():
                    ServiceHost(self._tools.systemd, self._tools.unit_dir).remove(name, self._paths(files))
            elif phase == "sharing" and names:
                self._tools.systemd.stop(names)
            elif phase == "images":
                images = [e["name"] for e in plan["removed"] if (e["phase"], e["kind"]) == ("images", "image")]
                for image_id in images:
                    self._tools.docker.remove_image(image_id, force=True)
                host_data.remove_paths([name for name in names if name not in images])
            elif phase in ("artifacts", "service"):
                if phase == "service":
                    self._monitoring.carry_out()
                kinds = {e["name"]: e["kind"] for e in plan["removed"] if e["phase"] == phase}
                paths = [name for name in names if name != self._configuration and kinds[name] != "monitoring"]
                host_data.remove_paths(paths)
        gone = [path for root in self.roots for path in host_data.remove_empty(root)]
        if any((e["phase"], e["name"]) == ("service", self._configuration) for e in plan["removed"]):
            host_data.remove_paths([self._configuration])
        return gone


def find(params: dict[str, Any], units: list[dict[str, Any]]) -> host_data.Places:
    """Return what units, a mirror and a note of an earlier run say."""
    found = host_data.places_of_units(units)
    note = os.path.join(params["configuration"], NOTE)
    try:
        found.add(host_data.read_places(note))
    except ValueError as exc:
        raise host_data.PlacesError(
            "found %s damaged (%s); needed what an earlier run noted. Fix: remove that file, and name the folders in "
            "decommission_roots" % (note, exc)
        ) from exc
    mirror = host_data.root_of_mirror(read_text(os.path.join(params["configuration"], "mirror-nginx.conf")))
    if mirror:
        found.roots.add(mirror)
    return found


def phases_of(params: dict[str, Any]) -> list[str]:
    """What goes at all."""
    if params["what"] is not None:
        return [phase for phase in PHASES if phase in params["what"]]
    return removal_plan.chosen(
        params["run_tags"], params["skip_tags"], images=params["images"], artifacts=params["artifacts"]
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    check = module.check_mode
    changed, removed = False, []
    try:
        removal = Removal(params, tools_of(params))
        plan = removal.plan(phases_of(params))
        if params["state"] == "absent":
            changed = removal.note(check=check)
            removed = [entry["name"] for entry in plan["removed"] if entry["phase"] != "gateway"]
            if not check:
                removed += [path for path in removal.carry_out(plan) if path not in removed]
        elif check:
            removed = [entry["name"] for entry in plan["removed"]]
    except (host_data.PlacesError, UnitsError, SystemdError) as exc:
        module.fail_json(msg=str(exc))
    except DockerError as exc:
        module.fail_json(msg="docker does not say what it has: %s. Fix: systemctl start docker" % exc)
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename, exc.strerror or exc))
    module.exit_json(
        changed=changed or bool(removed),
        plan=plan,
        roots=removal.roots,
        removed=removed,
        diff={"before": "".join("%s\n" % name for name in removed), "after": ""},
    )


if __name__ == "__main__":
    main()
