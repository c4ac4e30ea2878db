# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drift_report
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Compare all hosts of the play with their releases and with each other
description:
  - Compares what M(ascend.fleet.npu_info) returned of every host with what the release that its variable
    C(fleet_release) names makes of it, lock and all, and with the majority of the hosts of its generation. The
    planner that writes the units is asked, with the host's settings C(vllm_serve_*) and C(model_artifacts_*) and the
    defaults of these roles.
  - Applies the site's own checks (C(npu_preflight_site_checks)) too. Findings in C(npu_preflight_ignore) are shown as
    ignored.
  - Prints a table of hosts and areas, then every finding once, with what was found, what is needed, how it is mended
    and on which hosts it stands. Hosts that were not read are named as not checked.
  - Secrets are compared by a hash and never shown.
  - Runs on the controller alone. Use it with C(run_once). Refused in a play whose strategy is neither C(linear) nor
    C(debug), as the hosts are then not at the same task.
options:
  result_variable:
    description: Name of the host variable with the registered result of M(ascend.fleet.npu_info).
    type: str
  report:
    description: A report that a former call returned. It is shown and written as it is, and no host is looked at.
    type: dict
  after_stop:
    description:
      - Whether a report in which a host is RV(stopped) is neither printed nor written. It is left to a later call with
        O(report), after these hosts have failed, since Ansible prints several lines for each of them.
    type: bool
    default: false
  show:
    description: Whether the report is printed.
    type: bool
    default: true
  title:
    description: Words for the heading.
    type: str
    default: ''
  query:
    description:
      - A JMESPath expression. Just what it selects from RV(report) is printed, in place of the table. Needs the Python
        library C(jmespath) on the controller.
    type: str
    default: ''
  json_path:
    description: File on the controller to write RV(report) to as JSON. Check mode writes none.
    type: path
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Changes no host. In check mode the report is printed and returned, and no file is written.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
seealso:
  - module: ascend.fleet.npu_info
  - module: ascend.fleet.preflight_report
"""

EXAMPLES = r"""
- name: Read what runs
  ascend.fleet.npu_info:
  register: about

- name: Compare all hosts with their releases and with each other
  ascend.fleet.drift_report:
    result_variable: about
    json_path: "{{ playbook_dir }}/drift.json"
  run_once: true
"""

RETURN = r"""
stopped:
  description:
    - The hosts that have an error or were not checked, and those with a warning whose variable
      C(npu_preflight_fail_on) is V(warning).
  returned: when no report was given
  type: list
  elements: str
  sample: [a2-02]
selected:
  description: What O(query) has selected.
  returned: when O(query) is given and the report is shown
  type: raw
  sample: [DRF-022]
report:
  description: The report, in the form of RV(ascend.fleet.preflight_report#module:report), with areas of its own.
  returned: success
  type: dict
  sample:
    errors: 1
    warnings: 0
    worst: error
    not_checked: []
    hosts:
      a2-02:
        checked: true
        reason: null
        about: a2 aarch64 qwen3_5_27b_v0
        errors: 1
        warnings: 0
        ignored: 0
        areas: {containers: {errors: 1, warnings: 0, ignored: 0}}
        worst: error
        text: "a2-02 has drifted, 1 error: …"
        summary: "a2-02 has 1 error: DRF-022 The image is not the release's. Details …"
    findings:
      - id: DRF-022
        severity: error
        area: containers
        title: The image is not the release's
        message: >-
          The image is not the release's: found vllm-qwen3.5@0: sha256:1f0c2d4e6a7b; needed sha256:4bcff63911fc
        found: "vllm-qwen3.5@0: sha256:1f0c2d4e6a7b"
        needed: sha256:4bcff63911fc
        fix: run site.yml on the host, which brings it back; if it is meant, change the release or the variables
        ignored: false
        hosts: [a2-02]
"""
