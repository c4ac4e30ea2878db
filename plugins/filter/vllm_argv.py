# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ``vllm serve`` from a release."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vllm_argv
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: The command line of vllm serve from a release
description:
  - Renders the section C(serve) of a release as the arguments of C(vllm serve), in the release's order.
  - V(true) is the bare flag, V(false) its C(--no-) form, a mapping is JSON, a list is several values, null is left out.
positional: model
options:
  _input:
    description: The section C(serve) of a release.
    type: dict
    required: true
  model:
    description: The folder of the weights. An empty one is refused, because C(vllm serve) would serve another model.
    type: str
    required: true
  port:
    description: The port, if it is not the release's.
    type: int
  options:
    description: Options to replace in place, to remove (null) or to add at the end.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the command of the second replica
  ansible.builtin.debug:
    msg: "{{ release.serve | ascend.fleet.vllm_argv('/data/models/Qwen3.5-27B', port=8011) | join(' ') }}"
  vars:
    release: "{{ lookup('ascend.fleet.release', 'qwen3_5_27b_v0') }}"
"""

RETURN = r"""
_value:
  description: The arguments, the program first.
  type: list
  elements: str
  sample: [vllm, serve, /data/models/Qwen3.5-27B, --served-model-name, qwen3.5]
"""

from typing import Any, Callable, Mapping, Optional

from ansible.errors import AnsibleFilterError

from ..module_utils._base.native import to_native_types
from ..module_utils._serving.argv import serve_argv


def vllm_argv(
    serve: Mapping[str, Any], model: str, port: Optional[int] = None, options: Optional[Mapping[str, Any]] = None
) -> list[str]:
    """The filter ``ascend.fleet.vllm_argv``."""
    serve = to_native_types(serve)
    if not isinstance(serve, dict) or "served_model_name" not in serve:
        raise AnsibleFilterError("vllm_argv: found %s; needed the section `serve` of a release" % type(serve).__name__)
    try:
        return serve_argv(
            serve,
            to_native_types(model),
            port=None if port is None else int(port),
            options=to_native_types(options) or {},
        )
    except ValueError as exc:
        raise AnsibleFilterError("vllm_argv: %s" % exc) from exc


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"vllm_argv": vllm_argv}
