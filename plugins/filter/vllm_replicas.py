# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node and a release to the units that serve on it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vllm_replicas
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: The systemd units that serve a release on a node
description:
  - Plans the replicas of a release on a node, and writes each one's unit, environment and C(docker run) command.
  - What it returns goes to M(ascend.fleet.vllm_units). Secrets are apart from everything else.
options:
  _input:
    description: The node, as M(ascend.fleet.npu_info) returns it.
    type: dict
    required: true
  release:
    description: The release, as P(ascend.fleet.release#lookup) returns it.
    type: dict
    required: true
  image:
    description: ID or tag of the image.
    type: str
    required: true
  weights:
    description: The folder of the weights on the host.
    type: str
    required: true
  weights_content:
    description: >-
      What identifies the files in that folder, as M(ascend.fleet.lfs_artifact) returns it in RV(ignore:content). Units
      whose engine has read others are restarted. Empty when it is not known.
    type: str
    default: ''
  profile:
    description: Whether containers get no more than they need, or the command is the guide's own.
    type: str
    choices: [least_privilege, guide]
    default: least_privilege
  data_root:
    description: Where caches, logs and media lie. By default the profile's folder.
    type: str
  media_path:
    description: The one folder of which clients may name files. By default C(media) in O(data_root).
    type: str
  options:
    description: Options of C(vllm serve) to replace, to remove (null) or to add.
    type: dict
    default: {}
  environment:
    description: Variables to replace or to add.
    type: dict
    default: {}
  api_key:
    description: The key that clients must present; empty for none.
    type: str
    default: ''
  replicas:
    description: How many replicas; null means as many as fit.
    type: int
  skip_unhealthy:
    description: Whether to leave out chips that are not healthy, instead of refusing to plan.
    type: bool
    default: false
  first_port:
    description: The port of the first replica, if it is not the release's.
    type: int
  docker_options:
    description: More arguments of C(docker run).
    type: list
    elements: str
    default: []
  stop_seconds:
    description: How long a stopping engine may take before it is killed.
    type: int
    default: 60
  chip_wait_seconds:
    description: How long a start waits for device nodes and healthy chips; 0 does not wait.
    type: int
    default: 600
  watchdog:
    description: What is done on the host about an engine that stalls.
    type: str
    choices: [observe, restart, 'off']
    default: 'off'
  watchdog_port:
    description: Where gateways ask what the watchdog has taken out of traffic. Only with O(watchdog=restart).
    type: int
    default: 8406
  access:
    description: >-
      Who reaches the replicas' own ports. With V(gateways) these are the host itself, O(access_gateways) and
      O(access_from).
    type: str
    choices: [open, gateways]
    default: open
  access_from:
    description: Addresses, networks or names of others that may ask there.
    type: list
    elements: str
    default: []
  access_gateways:
    description: Addresses or names of the gateways.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what would run
  ansible.builtin.debug:
    msg: "{{ plan.units | map(attribute='docker_argv') | map('join', ' ') | list }}"
  vars:
    plan: >-
      {{ npu.node | ascend.fleet.vllm_replicas(lookup('ascend.fleet.release', fleet_release),
         image='vllm-ascend:qwen3_5-v0-a2', weights='/var/lib/ascend-fleet/models/Qwen3.5-27B') }}
"""

RETURN = r"""
_value:
  description:
    - The units, the variables that must not be shown, the replicas for M(ascend.fleet.vllm_ready), and what others need
      to know about them.
  type: dict
  sample:
    units:
      - name: vllm-qwen3.5@0.service
        port: 8010
        container_name: vllm-qwen3.5-0
    secrets: {}
    replicas:
      - {unit: vllm-qwen3.5@0.service, url: "http://127.0.0.1:8010", served_model_name: qwen3.5}
    endpoints:
      - {unit: vllm-qwen3.5@0.service, replica: 0, url: "http://127.0.0.1:8010", port: 8010, indices: [0, 1, 2, 3]}
"""

from typing import Any, Callable, Mapping, Optional, Sequence

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean

from ..module_utils._base.native import to_native_types
from ..module_utils._release.ports import WATCHDOG_PORT
from ..module_utils._release.variables import check_values
from ..module_utils._serving import plan
from ..module_utils._serving.settings import Settings


def vllm_replicas(
    node: Mapping[str, Any],
    release: Mapping[str, Any],
    image: str,
    weights: str,
    profile: str = "least_privilege",
    data_root: Optional[str] = None,
    media_path: Optional[str] = None,
    options: Optional[Mapping[str, Any]] = None,
    environment: Optional[Mapping[str, Any]] = None,
    api_key: str = "",
    replicas: Optional[int] = None,
    skip_unhealthy: bool = False,
    first_port: Optional[int] = None,
    docker_options: Optional[Sequence[str]] = None,
    stop_seconds: int = 60,
    weights_content: str = "",
    chip_wait_seconds: int = 600,
    watchdog: str = "off",
    watchdog_port: int = WATCHDOG_PORT,
    access: str = "open",
    access_from: Optional[Sequence[str]] = None,
    access_gateways: Optional[Sequence[str]] = None,
) -> dict[str, Any]:
    """The filter ``ascend.fleet.vllm_replicas``."""
    given = {
        "profile": profile,
        "data_root": data_root,
        "media_path": media_path,
        "options": options,
        "environment": environment,
        "api_key": api_key,
        "replicas": replicas,
        "skip_unhealthy": skip_unhealthy,
        "first_port": first_port,
        "docker_options": docker_options,
        "stop_seconds": stop_seconds,
        "chip_wait_seconds": chip_wait_seconds,
        "watchdog": watchdog,
        "watchdog_port": watchdog_port,
        "access": access,
        "access_from": access_from,
        "access_gateways": access_gateways,
    }
    chosen = {name: to_native_types(value) for name, value in given.items() if value not in (None, "")}
    problems = check_values({"vllm_serve_" + name: value for name, value in chosen.items()})
    if problems:
        raise AnsibleFilterError("vllm_replicas: %s" % "; ".join(problem.text() for problem in problems))
    if "skip_unhealthy" in chosen:
        chosen["skip_unhealthy"] = boolean(chosen["skip_unhealthy"])
    built = {"image": image, "weights": weights, "weights_content": weights_content}
    settings = Settings.of({**to_native_types(built), **chosen})
    try:
        units = plan.plan_replicas(to_native_types(node), to_native_types(release), settings)
    except ValueError as exc:
        raise AnsibleFilterError("vllm_replicas: %s" % exc) from exc
    secrets = units[0]["secrets"] if units else {}
    return {
        "units": [{k: v for k, v in u.items() if k != "secrets"} for u in units],
        "secrets": secrets,
        "replicas": [{"unit": u["name"], "url": u["url"], "served_model_name": u["served_model_name"]} for u in units],
        "endpoints": plan.endpoints(units),
    }


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"vllm_replicas": vllm_replicas}
