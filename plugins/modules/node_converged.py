#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in one call whether a host is as its release wants it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_converged
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Say in one call whether a host is as its release wants it
description:
  - Asks what the roles C(model_artifacts), C(vllm_image) and C(vllm_serve) would ask of a host, one after the other and
    in one call, which are the recorded files, the loaded image and its recorded contents, units, containers and their
    configuration, and whether every replica is ready.
  - On a host of which RV(converged) is true none of these roles has anything to do, so C(site.yml) leaves them out.
    Anything else, and anything that cannot be told, is a reason to run them; nothing is decided here but that.
  - A host on which everything is as wanted, but not recorded as its last good deployment yet, is not converged. The
    roles find nothing to do there, and C(site.yml) records it with M(ascend.fleet.fleet_state).
  - An action plugin puts the arguments together from the variables of those roles, and from what C(npu_preflight) has
    read in this run; where it has not run, the module reads the node itself. From a play it has no options.
options:
  release:
    description: The release with its lock. Set by the action.
    type: dict
    default: {}
  serve_release:
    description: The release that C(vllm_serve) is given, where it is another one. Set by the action.
    type: dict
  artifacts:
    description: >-
      C(generation), C(architecture), C(root) and C(origin) of the role C(model_artifacts). Set by the action.
    type: dict
    default: {}
  images:
    description: >-
      The folder of the C(records), whether to C(verify) and with C(threads), of the role C(vllm_image). Set by the
      action.
    type: dict
    default: {}
  node:
    description: What the plans need of the node, as M(ascend.fleet.npu_info) returns it. Set by the action.
    type: dict
  settings:
    description: The settings of the role C(vllm_serve) without those that must not be shown. Set by the action.
    type: dict
    default: {}
  api_key:
    description: The API key of the replicas. Set by the action.
    type: str
    default: ""
  secrets:
    description: Variables of the replicas whose values must not be shown. Set by the action.
    type: dict
    default: {}
attributes:
  action:
    description: The controller puts the arguments together.
    support: full
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Needs systemd and docker for a host to be converged.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.lfs_artifact
  - module: ascend.fleet.image_load
  - module: ascend.fleet.vllm_units
  - module: ascend.fleet.vllm_ready
  - module: ascend.fleet.fleet_state
"""

EXAMPLES = r"""
- name: See whether anything is to be done on the host
  ascend.fleet.node_converged:
  register: state

- name: Do it
  ansible.builtin.include_role:
    name: "{{ item }}"
  loop: [ascend.fleet.model_artifacts, ascend.fleet.vllm_image, ascend.fleet.vllm_serve]
  when: not state.converged
"""

RETURN = r"""
converged:
  description: Whether the host is as wanted.
  returned: always
  type: bool
  sample: false
reasons:
  description: >-
    Why it is not, or why that cannot be told. The first part of the host that is not as wanted is the last that was
    looked at.
  returned: always
  type: list
  elements: str
  sample: ["vllm-qwen3.5@1.service: restart (its container runs another configuration)"]
image_id:
  description: Docker's ID of the image.
  returned: when the image is loaded
  type: str
  sample: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
weights:
  description: The folder of the weights.
  returned: when the weights are complete
  type: str
  sample: /var/lib/ascend-fleet/models/Qwen-AI--Qwen3.5-27B
replicas:
  description: Where the replicas serve.
  returned: when the host is converged
  type: list
  elements: dict
  sample:
    - {unit: vllm-qwen3.5@0.service, replica: 0, url: "http://127.0.0.1:8010", port: 8010, indices: [0, 1, 2, 3]}
digest:
  description: What identifies the wanted deployment, as RV(ascend.fleet.fleet_state#module:digest).
  returned: when the replicas could be planned
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
last_good:
  description: The deployment that is recorded as last good on the host, null where none is.
  returned: when the state of the host could be read
  type: dict
  sample:
    release: qwen3_5_27b_v0
    digest: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
    since: "2026-11-01T20:11:03Z"
change:
  description: The change that is open on the host, as in RV(ascend.fleet.fleet_state#module:state); null where none is.
  returned: when the state of the host could be read
  type: dict
  sample: null
"""

import os
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._artifacts.manifest import content_id
from ..module_utils._artifacts.plan import SelectionError, artifact_plan
from ..module_utils._artifacts.repository import Repository
from ..module_utils._artifacts.request import Request
from ..module_utils._host.docker import Docker, DockerError, pinned_ids
from ..module_utils._host.systemd import SystemdError
from ..module_utils._images import store, verify
from ..module_utils._images.archive import ArchiveError, machine_of
from ..module_utils._node import collect
from ..module_utils._node.host import Host
from ..module_utils._serving import changes as changing
from ..module_utils._serving import plan, ready, units
from ..module_utils._serving.deployed import UnitsError
from ..module_utils._serving.settings import Settings
from ..module_utils._upgrade import deployment, state

#: What none of the questions may raise: the roles ask them again and say what is wrong in their own words.
UNKNOWN = (
    ArtifactError,
    SelectionError,
    ArchiveError,
    store.ImageError,
    verify.VerifyError,
    DockerError,
    SystemdError,
    UnitsError,
    state.StateError,
    deployment.DeploymentError,
    ValueError,
    OSError,
)

#: What of a request identifies it and where it lies; from where it comes is of no consequence once it is there.
IDENTITY = (
    "repository",
    "identity",
    "revision",
    "commit",
    "dest",
    "former_dest",
    "paths",
    "exclude",
    "checksums",
    "layout",
)
#: What the plans need of a node, and how long each of its tools may take.
SUBSETS = ("npu", "topology", "versions", "docker", "system")
NODE_SECONDS = 30.0


class NotConverged(Exception):
    """The host is not as wanted; the message says what is not."""


def node_of(known: Optional[dict[str, Any]]) -> dict[str, Any]:
    """What the plans need of the node, read here where nobody has read it in this run."""
    return collect.collect(Host(timeout=NODE_SECONDS), gather_subset=SUBSETS) if known is None else known


def downloads(params: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What the role model_artifacts would download here. NotConverged where the lock has no ID of the image yet."""
    given = params["artifacts"]
    planned = artifact_plan(
        params["release"],
        generation=given["generation"],
        architecture=given["architecture"] or node.get("architecture"),
        root=given["root"],
        origin=given["origin"],
        loaded=pinned_ids(node.get("docker") or {}),
    )
    if not planned["image"].get("image_id"):
        raise NotConverged("the lock has no ID of the image yet, which the role vllm_image adds")
    return planned


def artifacts(requests: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Folder and content of each request; NotConverged when one is not complete."""
    found = []
    for whole in requests:
        given = {name: whole[name] for name in IDENTITY if whole.get(name) is not None}
        request = Request(**{**given, "paths": tuple(given["paths"]), "exclude": tuple(given["exclude"])})
        outcome = Repository(request).is_settled()
        if not outcome.settled:
            raise NotConverged("%s of %s is not complete in %s" % (request.path, request.revision, request.dest))
        found.append((outcome.dest, content_id({w.path: w.oid for w in outcome.files})))
    return found


def image(planned: dict[str, Any], params: dict[str, Any], docker: Docker) -> str:
    """Docker's ID of the image; NotConverged when it is not loaded, tagged, recorded and verified."""
    entry, path, settings = planned["image"], planned["image_archive"], params["images"]
    records, machine = settings["records"], machine_of(os.uname().machine)
    cache = os.path.join(records, os.path.basename(path) + ".json")
    loading = store.Wanted(
        path=path, tag=entry["tag"], image_id=entry["image_id"], cache=cache, record=records, machine=machine
    )
    if not store.is_quickly_read(loading, docker):
        raise NotConverged("what %s holds is not known yet" % loading.path)
    outcome = store.ensure(loading, docker, check=True)
    if outcome.changed or outcome.unread or outcome.unrecorded or not outcome.image_id:
        raise NotConverged("image: %s" % outcome.message)
    if settings["verify"]:
        checked = verify.verify(
            verify.Wanted(
                image=outcome.image_id,
                machine=machine,
                record=records,
                components=entry["components"],
                reported_components=entry["reported_components"],
                cann=params["release"]["cann"]["version"],
                generation=entry["generation"],
                threads=settings["threads"],
            ),
            docker,
            check=True,
        )
        if checked.contents is None:
            raise NotConverged("image: %s" % checked.message)
    return outcome.image_id


def wanted(
    params: dict[str, Any], node: dict[str, Any], release: dict[str, Any], **brought: str
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The planned replicas and their secrets, with image and weights as they were brought unless others are set."""
    chosen = {**brought, **params["settings"]}
    chosen["environment"] = {**chosen.get("environment", {}), **params["secrets"]}
    settings = Settings(api_key=params["api_key"], **chosen)
    planned = plan.plan_replicas(node, release, settings)
    return planned, planned[0]["secrets"] if planned else {}


def replicas(planned: list[dict[str, Any]], secrets: dict[str, str], api_key: str) -> list[dict[str, Any]]:
    """Where the planned replicas serve; NotConverged when a unit is not as wanted or a replica is not ready."""
    host = units.Host(check=True)
    report, removed, support = host.present(planned, secrets)
    begun = changing.marked()
    if begun:
        raise NotConverged("%s: an earlier run began to change it and did not end" % ", ".join(begun))
    changes = ["%s: %s (%s)" % (u["name"], ", ".join(u["steps"]), u["reason"]) for u in report if u["changed"]]
    changes += ["%s: remove" % name for name in removed] + ["%s: write" % name for name in support]
    if changes:
        raise NotConverged("; ".join(changes))
    watches = [ready.Watch(u["name"], u["url"], u["served_model_name"]) for u in planned]
    watcher = ready.Watcher(watches, timeout=0, silence_timeout=600, api_key=api_key)
    watcher.wait(watcher.look_ready, once=True)
    late = ["%s: %s" % (w.unit, w.text()) for w in watcher.watches if not w.ready]
    if late:
        raise NotConverged("; ".join(late))
    return plan.endpoints(planned)


def recorded(found: dict[str, Any], digest: str) -> None:
    """NotConverged when this deployment is not the last good one of a state, or is not kept."""
    change = found["change"]
    if change:
        raise NotConverged(
            "%s (%s to %s) has not come to its end: %s since %s"
            % (change["id"], change["kind"], change["release"], change["step"], change["since"])
        )
    if not state.is_recorded(found, digest) or not deployment.is_kept(digest):
        raise NotConverged("its deployment is not recorded as last good yet")


def main() -> None:
    """Ask the questions in the order of the roles; the first that is not answered as wanted ends it."""
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "dict", "default": {}},
            "serve_release": {"type": "dict"},
            "artifacts": {"type": "dict", "default": {}},
            "images": {"type": "dict", "default": {}},
            "node": {"type": "dict"},
            "settings": {"type": "dict", "default": {}},
            "api_key": {"type": "str", "default": "", "no_log": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    result: dict[str, Any] = {"changed": False, "converged": False, "reasons": []}
    try:
        found = state.read()
        result.update(last_good=found["last_good"], change=found["change"])
        node = node_of(params["node"])
        brings = downloads(params, node)
        weights, content = artifacts(brings["requests"])[-1]
        result["weights"] = weights
        result["image_id"] = image(brings, params, Docker())
        release = params["serve_release"] or params["release"]
        brought = {"image": result["image_id"], "weights": weights, "weights_content": content}
        planned, secrets = wanted(params, node, release, **brought)
        result["digest"] = deployment.digest_of(deployment.sha256_of(release), planned, secrets)
        served = replicas(planned, secrets, params["api_key"])
        recorded(found, result["digest"])
        result.update(replicas=served, converged=True)
    except (NotConverged, *UNKNOWN) as exc:
        result["reasons"].append(str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
