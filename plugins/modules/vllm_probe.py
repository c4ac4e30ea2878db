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
  - Answers are streamed, with a deadline to the first token and one between two tokens. A replica that lets one of them
    pass is asked no further question, as each would wait as long again.
  - All replicas are asked at once, each one question after the other. Where the variable C(fleet_progress) wants lines,
    and answers take longer than some seconds, lines say what is waited for.
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
        description: How long the whole answer may take.
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
      replica:
        description: Its number; only for people.
        type: int
      release:
        description: Its release; only for people.
        type: str
  served_model_name:
    description: The name to ask for. By default the one that each replica was deployed with.
    type: str
  api_key:
    description: The key of the service, if it has one.
    type: str
    default: ''
  first_token_timeout:
    description:
      - How many seconds may pass until the first token of an answer. The first request after a start may take minutes,
        and a busy engine lets a request wait.
    type: float
    default: 300
  token_timeout:
    description: How many seconds may pass between two tokens of an answer.
    type: float
    default: 60
  fail_on_problems:
    description: Whether a wrong answer is a failure. Without, what is wrong stands in RV(problems) alone.
    type: bool
    default: true
  progress:
    description:
      - File on the host into which to write what is waited for. The action plugin sets it, and prints lines, as the
        variable C(fleet_progress) says.
    type: path
  check_settled:
    description:
      - Ask for some seconds only and return, with RV(settled) saying whether all answers have come. The action plugin
        uses it.
    type: bool
    default: false
attributes:
  action:
    description: >-
      The controller prints what is waited for. Questions that take longer than some seconds are asked by a detached job
      on the host, so that a connection that is lost for a few minutes does not end them.
    support: full
  async:
    description: Runs detached in any case.
    support: full
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
  description:
    - One record for each replica and question that was asked. C(words) are the first words of the answer. The rate is
      that after the first token. C(tokens) is the server's own count where it gives one.
  returned: always
  type: list
  elements: dict
  sample:
    - unit: vllm-qwen3.5@0.service
      url: http://127.0.0.1:8010
      replica: 0
      release: qwen3_5_27b_v0
      question: read_a_picture
      endpoint: /v1/chat/completions
      status: 200
      model: qwen3.5
      text: The text in the picture is "TONGYI Qwen".
      words: The text in the picture is "TONGYI Qwen".
      finish_reason: stop
      usage: {prompt_tokens: 93, completion_tokens: 12, total_tokens: 105}
      seconds: 1.9
      first_token_seconds: 1.4
      tokens: 12
      tokens_per_second: 22.4
      given_up: false
      problems: []
problems:
  description: Everything that is wrong, a line each. Empty when every answer is as it must be.
  returned: success
  type: list
  elements: str
  sample: []
settled:
  description: Whether all answers came within some seconds.
  returned: success
  type: bool
  sample: true
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.detached import remove_leftovers
from ..module_utils._base.progress import write_report
from ..module_utils._host.systemd import Systemd
from ..module_utils._serving import probe
from ..module_utils._serving.deployed import UnitsError, deployed

#: So long answers are waited for before the action goes on with a detached job.
PATIENCE_SECONDS = 6.0
REPORT_SECONDS = 1.0


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
                "options": {
                    "unit": {},
                    "url": {"required": True},
                    "served_model_name": {},
                    "replica": {"type": "int"},
                    "release": {},
                },
            },
            "served_model_name": {},
            "api_key": {"no_log": True, "default": ""},
            "first_token_timeout": {"type": "float", "default": probe.FIRST_TOKEN_SECONDS},
            "token_timeout": {"type": "float", "default": probe.TOKEN_SECONDS},
            "fail_on_problems": {"type": "bool", "default": True},
            "progress": {"type": "path"},
            "check_settled": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    settling = params["check_settled"]
    if settling:
        remove_leftovers(params["progress"])
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
    for option in ("first_token_timeout", "token_timeout"):
        if params[option] <= 0:
            module.fail_json(msg="found %s: %g; needed more than 0" % (option, params[option]), answers=[])
    asking = probe.Asking(
        api_key=params["api_key"],
        first_token=params["first_token_timeout"],
        token=params["token_timeout"],
        patience=PATIENCE_SECONDS if settling else None,
        unit_state=lambda unit: Systemd().show([unit])[unit],
    )
    questions = params["questions"]
    answers = ask_replicas(replicas, questions, name, asking, None if settling else params["progress"])
    settled = not any(a["given_up"] for a in answers)
    problems = probe.problems(answers)
    # In check mode what was deployed by an earlier run may well be stopped: that is for the real run to mend.
    if problems and settled and params["fail_on_problems"] and not module.check_mode:
        module.fail_json(msg=probe.report(answers), answers=answers, problems=problems)
    module.exit_json(changed=False, answers=answers, problems=problems, settled=settled)


def ask_replicas(
    replicas: list[dict[str, Any]],
    questions: list[dict[str, Any]],
    name: Any,
    asking: probe.Asking,
    progress: Any,
) -> list[dict[str, Any]]:
    """The records of all replicas, which are asked at once; how far they are is written to the file ``progress``."""
    live = [probe.Live(r.get("unit") or "", r["url"], began=time.monotonic()) for r in replicas]

    def ask_one(replica: dict[str, Any], own: probe.Live) -> list[dict[str, Any]]:
        # One after the other, because answers share the card; replicas have cards of their own.
        return probe.ask_all(replica, questions, name or replica["served_model_name"], asking, own)

    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(REPORT_SECONDS):
            write_report(progress, [one.report(time.monotonic()) for one in live])

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    with ThreadPoolExecutor(max_workers=max(len(replicas), 1)) as pool:
        answers = [record for records in pool.map(ask_one, replicas, live) for record in records]
    ended.set()
    teller.join(timeout=10)
    return answers


if __name__ == "__main__":
    main()
