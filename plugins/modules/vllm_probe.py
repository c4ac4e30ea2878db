#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoke questions."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_probe
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Ask served models smoke questions
description:
  - Asks every replica of a host every question, and judges the answers by their content. A garbled answer is found like
    one that does not come.
  - A question may carry its picture with it, so that neither host nor container needs the internet.
  - Everything that is wrong is told at once. Answers, usage and times are returned as data.
options:
  questions:
    description: The questions, as in the section C(smoke) of a release read by P(ascend.fleet.release#lookup).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the question is called.
        type: str
        required: true
      endpoint:
        description: Where it is asked.
        type: str
        choices: [/v1/completions, /v1/chat/completions]
        required: true
      request:
        description: The body of the request; the model's name is added.
        type: dict
        required: true
      expect:
        description: What the answer must be, as C(pattern), C(min_characters) and C(language) (V(zh) or V(en)).
        type: dict
        default: {}
      picture:
        description: The file that the picture came from; only for people.
        type: str
      picture_data:
        description: A picture as a data URI, put in place of every C(image_url) of the request.
        type: str
      timeout_seconds:
        description: How long the answer may take.
        type: int
        default: 300
  replicas:
    description: The replicas to ask. By default every replica that this collection deployed on the host.
    type: list
    elements: dict
    suboptions:
      unit:
        description: The systemd unit; only for people.
        type: str
      url:
        description: Where it serves.
        type: str
        required: true
      served_model_name:
        description: The name to ask for, if it is not O(served_model_name).
        type: str
  served_model_name:
    description: The name to ask for. By default the one that each replica was deployed with.
    type: str
  api_key:
    description: The key of the service, if it has one.
    type: str
    default: ''
attributes:
  check_mode:
    description: Asks as well, because it changes nothing; a host without replicas is no failure then.
    support: full
  diff_mode:
    description: Never changes anything.
    support: none
  platform:
    description: Needs nothing but Python.
    support: full
    platforms: posix
seealso:
  - module: ascend.fleet.vllm_ready
"""

EXAMPLES = r"""
- name: Ask the questions of the release
  ascend.fleet.vllm_probe:
    questions: "{{ lookup('ascend.fleet.release', fleet_release).smoke.questions }}"
"""

RETURN = r"""
answers:
  description: One record for each replica and question.
  returned: always
  type: list
  elements: dict
  sample:
    - unit: vllm-qwen3.5@0.service
      url: http://127.0.0.1:8010
      question: read_a_picture
      endpoint: /v1/chat/completions
      status: 200
      model: qwen3.5
      text: The text in the picture is "TONGYI Qwen".
      finish_reason: stop
      usage: {prompt_tokens: 93, completion_tokens: 12, total_tokens: 105}
      seconds: 1.9
      problems: []
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.systemd import Systemd
from ..module_utils._serving import probe
from ..module_utils._serving.deployed import UnitsError, deployed


def main() -> None:
    """Ask."""
    module = AnsibleModule(
        argument_spec={
            "questions": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"required": True},
                    "endpoint": {"choices": ["/v1/completions", "/v1/chat/completions"], "required": True},
                    "request": {"type": "dict", "required": True},
                    "expect": {"type": "dict", "default": {}},
                    "picture": {},
                    "picture_data": {},
                    "timeout_seconds": {"type": "int", "default": 300},
                },
            },
            "replicas": {
                "type": "list",
                "elements": "dict",
                "options": {"unit": {}, "url": {"required": True}, "served_model_name": {}},
            },
            "served_model_name": {},
            "api_key": {"no_log": True, "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    replicas = params["replicas"]
    if replicas is None:
        try:
            replicas = [{"unit": u["name"], **u} for u in deployed() if u["url"]]
        except UnitsError as exc:
            module.fail_json(msg=str(exc), answers=[])
    if not replicas and not module.check_mode:
        module.fail_json(
            msg="found no replica on this host; needed one. Fix: run site.yml, which deploys them", answers=[]
        )
    name = params["served_model_name"]
    for replica in replicas:
        replica["url"] = replica["url"].rstrip("/")
        if not (name or replica.get("served_model_name")):
            module.fail_json(msg="found no served_model_name for %s; needed one" % replica["url"], answers=[])

    def unit_state(unit: str) -> dict[str, str]:
        return Systemd().show([unit])[unit]

    def ask_all(replica: dict[str, Any]) -> list[dict[str, Any]]:
        # One after the other, because answers share the card; replicas have cards of their own.
        model = name or replica["served_model_name"]
        questions = params["questions"]
        return probe.ask_all(replica, questions, model, api_key=params["api_key"], unit_state=unit_state)

    with ThreadPoolExecutor(max_workers=max(len(replicas), 1)) as pool:
        answers = [record for records in pool.map(ask_all, replicas) for record in records]
    wrong = probe.report(answers)
    # In check mode what was deployed by an earlier run may well be stopped: that is for the real run to mend.
    if wrong and not module.check_mode:
        module.fail_json(msg=wrong, answers=answers)
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()
