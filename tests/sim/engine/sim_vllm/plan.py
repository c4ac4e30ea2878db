# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine is started with."""

from __future__ import annotations

import argparse

from . import device
from .checks import DEFAULT_POSITIONS
from .process import Pace


class Plan:
    """What an engine is started with; read once, before any process is forked."""

    def __init__(self, namespace: argparse.Namespace, node: device.Node, fault: str, shards: list[str]) -> None:
        self.node, self.fault, self.shards = node, fault, shards
        self.model = str(namespace.model_tag or namespace.model)
        self.tensor_parallel = int(namespace.tensor_parallel_size)
        self.data_parallel = int(namespace.data_parallel_size)
        self.utilization = float(namespace.gpu_memory_utilization)
        mode = (namespace.compilation_config or {}).get("cudagraph_mode")
        self.eager = bool(namespace.enforce_eager) or mode == "NONE"
        self.pace = Pace(device.speed(node))
        self.built_for = built_for()
        self.max_model_len = int(namespace.max_model_len or DEFAULT_POSITIONS)


def built_for() -> str | None:
    """A2 or A3, baked into the image."""
    try:
        from vllm_ascend import _build_info
    except ImportError:
        return None
    return str(getattr(_build_info, "__device_type__", "")) or None
