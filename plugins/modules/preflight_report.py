#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_report
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Check all hosts of the play and print their findings as one report
description:
  - With O(check), works out the findings of every host of the play from what M(ascend.fleet.npu_info) returned for it,
    the release that its variable C(fleet_release) names, and its settings C(npu_preflight_*), C(vllm_serve_*) and
    C(model_artifacts_*), with the defaults of these roles. Without, takes the findings from a variable of each host.
  - Prints a table of hosts and areas, then every finding once, with what was found, what is needed, how it is mended
    and on
    which hosts it stands. Ignored findings are printed last, as ignored.
  - Hosts of the play that were unreachable or failed before their checks are named as not checked; they hide nobody
    else's
    findings.
  - Runs on the controller alone. Use it with C(run_once). Refused in a play whose strategy is neither C(linear) nor
    C(debug), as the hosts are then not at the same task.
options:
  variable:
    description: Name of the host variable with the findings, as P(ascend.fleet.preflight_findings#filter) returns them.
    type: str
    default: npu_preflight_findings
  node_variable:
    description: Name of the host variable with the node, as M(ascend.fleet.npu_info) returns it.
    type: str
    default: npu_preflight_node
  result_variable:
    description:
      - Name of the host variable with the registered result of M(ascend.fleet.npu_info). A host whose result holds no
        node is reported as not checked, with the reason that the result gives, whatever its findings are.
      - Empty, only the findings are looked at.
    type: str
    default: ''
  check:
    description:
      - Whether to work out the findings here, for all hosts at once. Needs O(result_variable); O(variable) and
        O(node_variable) are not looked at. A host whose settings or release cannot be used is reported as not checked.
    type: bool
    default: false
  report:
    description:
      - A report that a former call of this module returned. It is shown and written as it is, and no host is looked at.
    type: dict
  show:
    description: Whether to print the report. Without, it is only returned.
    type: bool
    default: true
  after_stop:
    description:
      - With O(check), whether a report in which a host is RV(stopped) is neither printed nor written. It is left to a
        later call with O(report), after these hosts have failed, since Ansible prints several lines for each of them.
    type: bool
    default: false
  title:
    description: Words for the heading.
    type: str
    default: ''
  json_path:
    description: A file on the controller for the report as JSON. Not written in check mode.
    type: path
  junit_path:
    description: A file on the controller for the report as JUnit XML, one suite per host. Not written in check mode.
    type: path
attributes:
  check_mode:
    description: Changes no host. In check mode the report is printed and returned, and no file is written.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
seealso:
  - plugin: ascend.fleet.preflight_findings
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Print one report for all hosts
  ascend.fleet.preflight_report:
    result_variable: about
    check: true
    title: "{{ fleet_release }}"
    junit_path: reports/preflight.xml
  run_once: true
"""

RETURN = r"""
findings:
  description:
    - By host, its findings as P(ascend.fleet.preflight_findings#filter) returns them. Hosts that were not checked are
      not in it.
  returned: when a host was checked and no report was given
  type: dict
  sample: {a2-01: []}
stopped:
  description:
    - The hosts that are not ready. Those with an error or not checked, and those with a warning whose variable
      C(npu_preflight_fail_on) is V(warning).
  returned: when O(check)
  type: list
  elements: str
  sample: [a2-02, a2-03]
report:
  description: The report.
  returned: success
  type: dict
  contains:
    errors:
      description: How many errors there are, over all hosts, without ignored ones.
      type: int
      sample: 1
    warnings:
      description: How many warnings there are, likewise.
      type: int
      sample: 0
    worst:
      description: The worst of the fleet, V(not checked), V(error), V(warning) or V(ok).
      type: str
      sample: error
    not_checked:
      description: Hosts that could not be checked.
      type: list
      elements: str
      sample: [a2-03]
    hosts:
      description:
        - By host, what it has in each area. C(text) is its errors with their fixes, C(summary) its errors (or else
          warnings) in a line, both empty where it has none; C(worst) is as for the fleet.
      type: dict
      sample:
        a2-01:
          checked: true
          reason: null
          about: a2 aarch64 driver 25.2.0
          errors: 0
          warnings: 0
          ignored: 0
          areas: {driver: {errors: 0, warnings: 0, ignored: 0}}
          worst: ok
          text: ''
          summary: ''
    findings:
      description: Every finding once, with the hosts that have it.
      type: list
      elements: dict
      sample:
        - id: DRV-006
          severity: error
          area: driver
          title: The running driver is not the installed one
          message: >-
            The running driver is not the installed one: found driver 25.0.0 running, 25.2.0 installed; needed the
            same of
            both
          found: driver 25.0.0 running, 25.2.0 installed
          needed: the same of both
          fix: reboot the host
          ignored: false
          hosts: [a2-02]
"""
