# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Under which conditions something was measured. Only equal conditions are compared; others are shown side by side."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Mapping, Optional, Sequence

from .._serving.argv import option_argv
from .._serving.container import SECRET
from .client import AT_RUN_TIME, REPORTING, parse_serve_argv

#: How a replica was loaded beside the benchmark.
ALONE, AT_ONCE, IN_TRAFFIC = "alone", "all replicas of the host at once", "in traffic"

#: What a full benchmark's result is kept under.
FULL_KEY = (
    "image_id",
    "chip",
    "tensor_parallel_size",
    "serve_options",
    "environment",
    "workload",
    "workload_options",
    "client_version",
    "load",
)
#: What a quick one's is: image and options are what a change changes, and the comparison is to tell what that costs.
QUICK_KEY = ("chip", "tensor_parallel_size", "workload", "workload_options", "client_version", "load")

_WORDS = {
    "image_id": "image",
    "chip": "chip",
    "tensor_parallel_size": "tensor-parallel size",
    "workload": "workload",
    "client_version": "client",
    "load": "load",
}
#: Options of `vllm serve` that say where and under which name it serves, and nothing about its speed.
_NOT_OF_SPEED = (
    "host",
    "port",
    "served-model-name",
    "allowed-local-media-path",
    "api-key",
    "uvicorn-log-level",
    "root-path",
)
#: Variables of one replica, and of the host.
_OF_A_REPLICA = (
    "HCCL_IF_BASE_PORT",
    "MASTER_PORT",
    "VLLM_CACHE_ROOT",
    "HF_HOME",
    "ASCEND_PROCESS_LOG_PATH",
    "ASCEND_VISIBLE_DEVICES",
    "ASCEND_RT_VISIBLE_DEVICES",
    "HOSTNAME",
)


def key(conditions: Mapping[str, Any], names: Sequence[str] = FULL_KEY) -> str:
    """What results under these conditions are kept under."""
    content = {name: conditions.get(name) for name in names}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def workload_options(options: Mapping[str, Any]) -> dict[str, str]:
    """The options of a workload in one form, without those that only change what is written."""
    left_out = (*AT_RUN_TIME, *REPORTING)
    return _texts({name: value for name, value in options.items() if name not in left_out})


def serve_options(argv: Sequence[str]) -> dict[str, str]:
    """The options of a running ``vllm serve`` that concern its speed."""
    return {name: value for name, value in parse_serve_argv(argv).items() if name not in _NOT_OF_SPEED}


def release_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Those of a release in the same form."""
    return {name: value for name, value in _texts(options).items() if name not in _NOT_OF_SPEED}


def tensor_parallel_size(options: Mapping[str, str]) -> int:
    """How many chips one model instance is spread over."""
    text = options.get("tensor-parallel-size", options.get("tp", "1"))
    return int(text) if text.isdigit() else 1


def environment(of_container: Sequence[str], of_image: Sequence[str]) -> dict[str, str]:
    """The variables that an engine was given beside its image's: no secrets, and none that are one replica's alone."""
    found = {}
    for entry in of_container:
        name, _equals, value = entry.partition("=")
        if entry in of_image or name in _OF_A_REPLICA or SECRET.search(name) or name.lower().endswith("_proxy"):
            continue
        found[name] = value
    return found


def differences(
    measured: Mapping[str, Any], reference: Mapping[str, Any], names: Sequence[str] = FULL_KEY
) -> list[str]:
    """In which conditions two results differ, in words. What the reference does not tell is not compared."""
    found: list[str] = []
    for name in names:
        if name not in reference:
            continue
        own, other = measured.get(name), reference[name]
        if own == other:
            continue
        if name in ("serve_options", "environment", "workload_options"):
            found += _entries(own or {}, other or {}, "" if name == "environment" else "--")
        else:
            found.append("%s %s instead of %s" % (_WORDS.get(name, name), _short(own), _short(other)))
    return found


def _entries(own: Mapping[str, str], other: Mapping[str, str], prefix: str) -> list[str]:
    found = []
    for name in dict.fromkeys([*other, *own]):
        if own.get(name) != other.get(name):
            found.append("%s%s %s instead of %s" % (prefix, name, _short(own.get(name)), _short(other.get(name))))
    return found


def _short(value: Optional[Any]) -> str:
    text = "not set" if value is None else str(value)
    if text.startswith("sha256:"):
        return text[7:19]
    return text if len(text) <= 60 else text[:59] + "…"


def _texts(options: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in options.items():
        words = option_argv(name, value)
        if words:
            found[words[0][2:]] = " ".join(words[1:]) or "true"
    return found
