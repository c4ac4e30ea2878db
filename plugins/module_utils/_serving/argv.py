# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ``vllm serve``, and how many chips it takes."""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional

from .._npu import slots
from .settings import ServingError


def serve_argv(
    serve: Mapping[str, Any],
    model: str,
    *,
    port: Optional[int] = None,
    options: Optional[Mapping[str, Any]] = None,
) -> list[str]:
    """The command line of ``vllm serve`` for the section ``serve`` of a release, in the release's order.

    ``model`` is the folder of the weights. ``options`` replace those of the release in place, null removes one, new
    ones come last. ``port`` replaces the release's.
    """
    if not isinstance(model, str) or not model.strip():
        raise ServingError(
            "found an empty path to the weights; needed the folder of the model. Fix: stage the weights first "
            "(without a path `vllm serve` would silently serve Qwen/Qwen3-0.6B)"
        )
    argv = ["vllm", "serve", model]
    argv += ["--served-model-name", str(serve["served_model_name"])]
    if serve.get("host"):
        argv += ["--host", str(serve["host"])]
    argv += ["--port", str(port if port is not None else serve.get("port", slots.FIRST_PORT))]
    for name, value in merge_options(serve.get("options") or {}, options or {}).items():
        argv += option_argv(name, value)
    return argv


def merge_options(options: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` with ``overrides`` put in their place; null removes."""
    merged = {**options, **overrides}
    return {name: value for name, value in merged.items() if value is not None}


def option_argv(name: str, value: Any) -> list[str]:
    """One option as arguments: true is the bare flag, false its ``--no-`` form, a mapping is JSON, null is nothing."""
    if value is None:
        return []
    if value is True:
        return ["--" + name]
    if value is False:
        return ["--no-" + name]
    if isinstance(value, Mapping):
        return ["--" + name, json.dumps(value, ensure_ascii=False)]
    if isinstance(value, (list, tuple)):
        return ["--" + name, *(str(v) for v in value)]
    return ["--" + name, str(value)]


def chips_per_replica(options: Mapping[str, Any]) -> int:
    """How many chips one `vllm serve` uses."""
    chips = 1
    for name in ("tensor-parallel-size", "pipeline-parallel-size", "prefill-context-parallel-size"):
        chips *= int(options.get(name) or 1)
    local = options.get("data-parallel-size-local")
    return chips * int(local if local is not None else options.get("data-parallel-size") or 1)
