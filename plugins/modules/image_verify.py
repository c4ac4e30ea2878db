#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_verify
short_description: Compare what is inside a serving image with what a release says
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Runs the image's own Python once, in a container without network and without devices, and reads the versions of the
    Python packages, of CANN, and the generation that vllm-ascend was built for.
  - Every difference is listed at once, with what was found and what is needed.
  - What was found is remembered under the image's ID, so that the same image is not run a second time.
options:
  image:
    description:
      - ID of the image in docker, or a tag. An ID is better, as a tag can move.
    type: str
    required: true
  components:
    description:
      - Versions of Python packages, by name. A version without a local part (C(+cpu)) fits one with any.
    type: dict
    default: {}
  reported_components:
    description:
      - Packages whose versions are shown and compared with nothing.
    type: list
    elements: str
    default: []
  cann_version:
    description:
      - The version of CANN. Without it, CANN is shown and compared with nothing.
    type: str
  generation:
    description:
      - The generation that vllm-ascend must have been built for. Without it, any.
    type: str
    choices: [a2, a3]
  architecture:
    description:
      - The machine the image must run as. Without it, the host's.
    type: str
    choices: [aarch64, x86_64]
  record:
    description:
      - Folder in which to remember what an image holds.
    type: path
  timeout:
    description:
      - Seconds for the container. The first start of a large image reads much of it from the disk.
    type: int
    default: 300
attributes:
  check_mode:
    description: >-
      Compares what is remembered of the image. No container is started; where nothing is remembered, RV(known) is
      V(false).
    support: full
  diff_mode:
    description: Nothing is changed, so there is nothing to show.
    support: none
  platform:
    description: Linux.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: Verify the serving image
  ascend.fleet.image_verify:
    image: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
    components:
      torch: 2.9.0+cpu
      torch_npu: 2.9.0
    reported_components: [transformers]
    cann_version: 8.5.0
    generation: a2
    record: /var/lib/ascend-fleet/images
"""

RETURN = r"""
image_id:
  description: The image's ID.
  returned: when docker has the image
  type: str
  sample: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
known:
  description: Whether the image's contents are known. V(false) only in check mode, before the image was run once.
  returned: always
  type: bool
  sample: true
remembered:
  description: Whether the contents were remembered from an earlier run.
  returned: always
  type: bool
  sample: false
contents:
  description: What the image holds.
  returned: when it is known
  type: dict
  contains:
    python:
      description: Version of Python.
      type: str
      sample: 3.11.13
    machine:
      description: The machine the image runs as.
      type: str
      sample: aarch64
    components:
      description: Versions of the packages asked for, null where one is not installed.
      type: dict
      sample: {torch: 2.9.0+cpu, torch_npu: 2.9.0, transformers: 4.57.6}
    cann:
      description: The installations of CANN.
      type: list
      elements: dict
      sample:
        - version: 8.5.0
          architecture: aarch64
          path: /usr/local/Ascend/ascend-toolkit/latest/aarch64-linux/ascend_toolkit_install.info
    device_type:
      description: The generation vllm-ascend was built for.
      type: str
      sample: a2
"""

import json
import os
import re
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base import command
from ..module_utils._base.files import write_atomically
from ..module_utils._images import contents as _image_contents
from ..module_utils._images import store
from ..module_utils._images.archive import machine_of

ARGUMENTS: dict[str, Any] = {
    "image": {"type": "str", "required": True},
    "components": {"type": "dict", "default": {}},
    "reported_components": {"type": "list", "elements": "str", "default": []},
    "cann_version": {"type": "str"},
    "generation": {"type": "str", "choices": ["a2", "a3"]},
    "architecture": {"type": "str", "choices": ["aarch64", "x86_64"]},
    "record": {"type": "path"},
    "timeout": {"type": "int", "default": 300},
}


class VerifyError(Exception):
    """The image cannot be verified, or is not what it should be."""


def record_file(folder: str, image_id: str) -> str:
    """Return the file in which the contents of an image are remembered."""
    return os.path.join(folder, re.sub(r"[^0-9a-f]", "", image_id.split(":")[-1])[:64] + ".json")


def recall(name: str, image_id: str, packages: list[str]) -> Optional[dict[str, Any]]:
    """Return what is remembered, if it answers everything that is asked for."""
    try:
        with open(name, encoding="utf-8") as handle:
            data = json.load(handle)
        contents = data["contents"]
        if data["version"] == 1 and data["image_id"] == image_id and set(packages) <= set(contents["components"]):
            return dict(contents)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing usable is remembered: the image is run
    return None


def remember(name: str, image_id: str, contents: dict[str, Any]) -> None:
    """Write down what an image holds."""
    os.makedirs(os.path.dirname(name), mode=0o755, exist_ok=True)
    data = {"version": 1, "image_id": image_id, "contents": contents}
    write_atomically(name, json.dumps(data, indent=1, sort_keys=True))


def read_contents(image_id: str, packages: list[str], timeout: float) -> dict[str, Any]:
    """Run the image and return what it holds."""
    container = "ascend-fleet-verify-%d" % os.getpid()
    done = command.run(_image_contents.argv(image_id, packages, container), timeout=timeout)
    if done.timed_out:
        # The deadline ended docker's client, not the container.
        command.run(["docker", "rm", "--force", container], timeout=60)
        raise VerifyError("the image %s did not answer within %d seconds. Raise timeout." % (image_id, timeout))
    if not done.ok:
        said = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        hint = ""
        if "exec format error" in said:
            hint = " It is for another architecture than this host."
        elif "executable file not found" in said:
            hint = " It has no python3 on its PATH, so it is no serving image."
        raise VerifyError("the image %s does not run (status %s): %s.%s" % (image_id, done.exit_status, said, hint))
    try:
        contents: dict[str, Any] = _image_contents.parse_contents(done.stdout)
    except _image_contents.ContentsError as exc:
        raise VerifyError("the image %s: %s" % (image_id, exc)) from exc
    return contents


def verify(params: dict[str, Any], check: bool) -> dict[str, Any]:
    """Return the module's result."""
    packages = sorted({*params["components"], *params["reported_components"]})
    inspected = store.ImageStore().image(params["image"])
    if inspected is None:
        if check:
            return {"known": False, "remembered": False, "msg": "docker does not have %s yet" % params["image"]}
        raise VerifyError("docker has no image %s. Load it first." % params["image"])
    image_id = str(inspected["Id"])
    result: dict[str, Any] = {"image_id": image_id, "known": True, "remembered": True}
    name = record_file(params["record"], image_id) if params["record"] else None
    contents = recall(name, image_id, packages) if name else None
    if contents is None:
        result["remembered"] = False
        if check:
            return dict(result, known=False, msg="%s was not run yet, so what it holds is not known" % image_id)
        contents = read_contents(image_id, packages, params["timeout"])
        if name:
            remember(name, image_id, contents)
    problems = _image_contents.problems_of(
        contents,
        components={str(k): str(v) for k, v in params["components"].items()},
        cann=params["cann_version"],
        generation=params["generation"],
        machine=params["architecture"] or machine_of(os.uname().machine),
    )
    if problems:
        raise VerifyError(
            "the image %s (%s) is not what the release says: %s. Load the release's own image, or correct the release."
            % (", ".join(inspected.get("RepoTags") or []) or "without a tag", image_id, "; ".join(problems))
        )
    return dict(result, contents=contents, msg="%s holds what the release says" % params["image"])


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = verify(module.params, module.check_mode)
    except (VerifyError, store.ImageError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or module.params["record"], exc.strerror or exc))
    # Remembering what an image holds changes nothing that anyone else sees.
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
