# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a release by its name."""

from __future__ import annotations

DOCUMENTATION = r"""
name: release
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Read and validate a release by its name
description:
  - A release is one YAML file that pins everything that is deployed together, namely driver, firmware and CANN
    versions, images, weights, the options and environment of C(vllm serve), smoke questions, and benchmark workloads
    with their baselines.
  - It is looked for as C(NAME.yml) in C(releases/) beside the inventory, then in C(releases/) beside the playbook, then
    among those that the collection ships. The first file found is taken, so that your own hides a shipped one of the
    same name.
  - What the release leaves open (a branch, a null hash) is filled in from its lock, C(NAME.lock.yml) in C(releases/)
    beside the inventory or in the folder that C(fleet_lock_path) names, where there is one.
  - Every mistake of the file is listed at once, with its place, what was found and what is needed. A key that is not
    known, a key that appears twice, an option that the image's vLLM does not have, and a key of C(additional-config)
    that its vllm-ascend would ignore are mistakes too.
options:
  _terms:
    description: Names of releases.
    required: true
    type: list
    elements: str
  folders:
    description: More folders to look in, before all others.
    type: list
    elements: path
    default: []
seealso:
  - plugin: ascend.fleet.vllm_argv
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show which driver the release needs
  ansible.builtin.debug:
    msg: "{{ lookup('ascend.fleet.release', fleet_release).driver.version }}"
"""

RETURN = r"""
_raw:
  description: >-
    One validated release for each name, complete with defaults. Each image and the model has C(commit), and the model
    C(files), SHA-256 and size by path; both are empty where the release has no lock.
  type: list
  elements: dict
  sample:
    - release: qwen3_5_27b_v0
      driver: {version: 25.2.0}
"""

from typing import Any, Mapping, Optional

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ..module_utils._base.native import to_native_types
from ..module_utils._release.lock import LockError
from ..module_utils._release.problems import ReleaseError
from ..plugin_utils import _locks


class LookupModule(LookupBase):
    """The lookup ``ascend.fleet.release``."""

    def run(self, terms: list[Any], variables: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> list[Any]:
        self.set_options(var_options=variables, direct=kwargs)
        known = _locks.variables_of(variables or {}, self._templar.template)
        extra = to_native_types(self.get_option("folders")) or []
        try:
            return [_locks.locked_by_name(to_native_types(term), known, extra) for term in terms]
        except (ReleaseError, LockError) as exc:
            raise AnsibleError(str(exc)) from exc
