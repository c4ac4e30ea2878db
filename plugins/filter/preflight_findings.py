# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node and a release to findings."""

from __future__ import annotations

DOCUMENTATION = r"""
name: preflight_findings
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Everything that is wrong with a node, measured against a release
description:
  - Applies every check of the catalogue to the data of M(ascend.fleet.npu_info) and returns what they find, errors
    first.
  - Nothing is read from the host, and parts of the node that were not gathered are not checked.
positional: release
options:
  _input:
    description: The node, as M(ascend.fleet.npu_info) returns it.
    type: dict
    required: true
  release:
    description: The release, as P(ascend.fleet.release#lookup) returns it.
    type: dict
    required: true
  generation:
    description:
      - What the inventory says the host is, C(a2) or C(a3). Without it the PCI bus tells.
    type: str
  ignore:
    description: Ids of findings that are accepted on purpose. They are returned with C(ignored) set.
    type: list
    elements: str
    default: []
  replicas:
    description: How many replicas there will be. By default as many as fit.
    type: int
  first_port:
    description: The port of the first replica, if it is not the release's.
    type: int
  options:
    description: Options of C(vllm serve) that replace those of the release. They decide how many chips a replica needs.
    type: dict
    default: {}
  profile:
    description: The profile of the containers. It decides their names.
    type: str
    choices: [least_privilege, guide]
    default: least_privilege
  skip_unhealthy:
    description: Whether chips that are not healthy are left out of the layout.
    type: bool
    default: false
  required_bytes:
    description: >-
      Bytes that are still to be written, by path. The key C(docker) stands for docker's own folder; an image that is
      loaded already needs nothing there.
    type: dict
    default: {}
  memory_bytes:
    description: Main memory that the host should have.
    type: int
    default: 68719476736
  require_host_cann:
    description: Whether CANN must be installed on the host too. Serving uses the one in the image.
    type: bool
    default: false
seealso:
  - module: ascend.fleet.npu_info
  - module: ascend.fleet.preflight_report
"""

EXAMPLES = r"""
- name: Read everything about the node
  ascend.fleet.npu_info:
  register: about

- name: Show what is wrong with it
  ansible.builtin.debug:
    msg: "{{ about.node | ascend.fleet.preflight_findings(release, generation='a2') }}"
  vars:
    release: "{{ lookup('ascend.fleet.release', fleet_release) }}"
"""

RETURN = r"""
_value:
  description:
    - The findings, errors before warnings, ignored ones last. The message names nothing but what was found and
      needed, so
      that hosts with the same trouble have the same message.
  type: list
  elements: dict
  sample:
    - id: DRV-003
      severity: error
      area: driver
      title: The driver does not go with the release's CANN
      message: >-
        The driver does not go with the release's CANN: found driver 24.1.0, incompatible with CANN 8.5.0; needed 25.2.0
      found: driver 24.1.0, incompatible with CANN 8.5.0
      needed: 25.2.0
      fix: upgrade the firmware, then the driver, to 25.2.0, and reboot
      ignored: false
"""

from typing import Any, Callable, Mapping, Optional, Sequence

from ansible.errors import AnsibleFilterError

from ..module_utils._base.native import to_native_types
from ..module_utils._preflight.facts import DEFAULT_MEMORY_BYTES
from ..module_utils._serving.settings import Settings
from ..plugin_utils._preflight_plan import Chosen, findings_of


def preflight_findings(
    node: Mapping[str, Any],
    release: Mapping[str, Any],
    generation: Optional[str] = None,
    ignore: Sequence[str] = (),
    replicas: Any = None,
    first_port: Any = None,
    options: Optional[Mapping[str, Any]] = None,
    profile: str = "least_privilege",
    skip_unhealthy: bool = False,
    required_bytes: Optional[Mapping[str, int]] = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    require_host_cann: bool = False,
) -> list[dict[str, Any]]:
    """The filter ``ascend.fleet.preflight_findings``."""
    node, release = to_native_types(node), to_native_types(release)
    if not isinstance(node, dict) or "npu_smi" not in node:
        raise AnsibleFilterError("preflight_findings: needed the key `node` of what ascend.fleet.npu_info returns")
    if not isinstance(release, dict) or "driver" not in release:
        raise AnsibleFilterError("preflight_findings: needed a release as the lookup ascend.fleet.release returns it")
    ignored = to_native_types(ignore)
    if not isinstance(ignored, list):
        raise AnsibleFilterError("preflight_findings: ignore is %r; needed a list of ids" % (ignored,))
    try:
        given = {"profile": profile, "options": options or {}, "replicas": replicas, "first_port": first_port}
        serving = Settings.of({**to_native_types(given), "skip_unhealthy": bool(skip_unhealthy)})
        chosen = Chosen(
            serving=serving,
            generation=to_native_types(generation) or None,
            ignore=ignored,
            required_bytes={k: int(v) for k, v in to_native_types(required_bytes or {}).items()},
            memory_bytes=int(memory_bytes),
            require_host_cann=bool(require_host_cann),
        )
        return findings_of(node, release, chosen)
    except ValueError as exc:
        raise AnsibleFilterError("preflight_findings: %s" % exc) from exc


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"preflight_findings": preflight_findings}
