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
  threads:
    description:
      - Whether a program in the image must be able to start a thread in a container without privileges. Docker before
        20.10.10 with an image of a newer glibc cannot. For privileged containers it does not matter.
    type: bool
    default: true
  record:
    description:
      - Folder in which to record what an image holds.
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
    thread_error:
      description: What stood against starting a thread; null where one ran.
      type: str
      sample: null
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.docker import Docker, DockerError
from ..module_utils._images.archive import machine_of
from ..module_utils._images.verify import VerifyError, Wanted, verify

ARGUMENTS: dict[str, Any] = {
    "image": {"type": "str", "required": True},
    "components": {"type": "dict", "default": {}},
    "reported_components": {"type": "list", "elements": "str", "default": []},
    "cann_version": {"type": "str"},
    "generation": {"type": "str", "choices": ["a2", "a3"]},
    "architecture": {"type": "str", "choices": ["aarch64", "x86_64"]},
    "threads": {"type": "bool", "default": True},
    "record": {"type": "path"},
    "timeout": {"type": "int", "default": 300},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    wanted = Wanted(
        image=params["image"],
        machine=params["architecture"] or machine_of(os.uname().machine),
        components=params["components"],
        reported_components=params["reported_components"],
        cann=params["cann_version"],
        generation=params["generation"],
        threads=params["threads"],
        record=params["record"],
        timeout=params["timeout"],
    )
    try:
        verified = verify(wanted, Docker(timeout=60), check=module.check_mode)
    except VerifyError as exc:
        module.fail_json(msg=str(exc))
    except DockerError as exc:
        module.fail_json(msg="docker does not answer: %s. Fix: install it, or start it: systemctl start docker" % exc)
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or params["record"], exc.strerror or exc))
    result: dict[str, Any] = {
        "known": verified.contents is not None,
        "remembered": verified.remembered,
        "msg": verified.message,
    }
    if verified.image_id is not None:
        result["image_id"] = verified.image_id
    if verified.contents is not None:
        result["contents"] = verified.contents
    # Recording what an image holds changes nothing that anyone else sees.
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
