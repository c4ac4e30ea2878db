#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which replicas are deployed on this host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_replicas_info
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: The replicas that are deployed on this host
description:
  - Reads the units that this collection has written on the host, whatever the inventory wants now. Nothing is changed.
  - Whether a replica runs and is well is not asked.
options: {}
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Reads systemd units.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.vllm_gateway
"""

EXAMPLES = r"""
- name: Read which replicas are deployed
  ascend.fleet.vllm_replicas_info:
  register: deployed
"""

RETURN = r"""
replicas:
  description: Every deployed replica.
  returned: success
  type: list
  elements: dict
  sample:
    - name: vllm-qwen3.5@0.service
      replica: 0
      served_model_name: qwen3.5
      release: qwen3_5_27b_v0
      port: 8010
      url: http://127.0.0.1:8010
      container_name: vllm-qwen3.5-0
      config_hash: 6f1c0e5d
      image: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
      weights: /var/lib/ascend-fleet/models/Qwen3.5-27B
      indices: [0, 1, 2, 3]
      directory: /var/lib/ascend-fleet/replicas/vllm-qwen3.5-0
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._serving.deployed import UnitsError, deployed


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        replicas = deployed()
    except UnitsError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, replicas=replicas)


if __name__ == "__main__":
    main()
