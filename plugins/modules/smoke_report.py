#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: smoke_report
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Print what all replicas of the play have answered, as one table
description:
  - Takes what M(ascend.fleet.vllm_probe) returned for every host of the play from a variable of the host, and prints
    one table of replicas and questions, with address, release, time to the first token, tokens per second, and the
    first words of the answer. What is wrong follows, numbered, with its fix.
  - Hosts that failed or were unreachable before are named as not asked. Hosts of later batches of a play with
    C(serial) are left out until their turn.
  - Runs on the controller alone. Use it with C(run_once).
options:
  variable:
    description: Name of the host variable with the registered result of M(ascend.fleet.vllm_probe).
    type: str
    default: vllm_smoke_result
  title:
    description: Words for the heading.
    type: str
    default: ''
  json_path:
    description: A file on the controller for the table as JSON. Not written in check mode.
    type: path
attributes:
  check_mode:
    description: Changes no host. In check mode the table is printed and returned, and no file is written.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
seealso:
  - module: ascend.fleet.vllm_probe
"""

EXAMPLES = r"""
- name: Ask every replica the questions
  ascend.fleet.vllm_probe:
    questions: "{{ lookup('ascend.fleet.release', fleet_release).smoke.questions }}"
    fail_on_problems: false
  register: vllm_smoke_result

- name: Print one table for all hosts
  ascend.fleet.smoke_report:
    json_path: reports/smoke.json
  run_once: true
"""

RETURN = r"""
report:
  description: The table.
  returned: success
  type: dict
  contains:
    hosts:
      description: How many hosts were asked.
      type: int
      sample: 1
    good:
      description: How many answers are as they must be.
      type: int
      sample: 1
    wrong:
      description: How many are not, or were not asked for because of the question before.
      type: int
      sample: 0
    clients:
      description: C(url) and C(model) of each address that the gateways of this run have for clients.
      type: list
      elements: dict
      sample: [{url: "https://gw.example.com:8000/v1", model: qwen3.5}]
    not_asked:
      description: Hosts that were not asked, with C(host) and C(reason).
      type: list
      elements: dict
      sample: []
    replicas:
      description: >-
        Every replica with its questions. A question that was not asked has C(asked) false and no times; C(problems) say
        what is wrong with an answer.
      type: list
      elements: dict
      sample:
        - host: a2-01
          replica: 0
          name: a2-01:0
          unit: vllm-qwen3.5@0.service
          address: 192.0.2.11:8010
          release: qwen3_5_27b_v0
          questions:
            - name: read_a_picture
              asked: true
              good: true
              words: The text in the picture is "TONGYI Qwen".
              first_token_seconds: 1.4
              tokens: 12
              tokens_per_second: 22.4
              seconds: 1.9
              problems: []
"""
