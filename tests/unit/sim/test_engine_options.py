# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the engine parses its command line as the recorded version does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sim" / "engine"))

from sim_vllm import options

GUIDE = [
    "/data/Qwen3.5-27B",
    *("--served-model-name", "qwen3.5", "--host", "0.0.0.0", "--port", "8010"),
    *("--data-parallel-size", "1", "--tensor-parallel-size", "4", "--max-model-len", "32768"),
    *("--max-num-batched-tokens", "16384", "--max-num-seqs", "128", "--gpu-memory-utilization", "0.94"),
    *("--trust-remote-code", "--async-scheduling", "--allowed-local-media-path", "/", "--mm-processor-cache-gb", "0"),
    *("--compilation-config", '{"cudagraph_mode": "FULL_DECODE_ONLY"}'),
    *("--additional-config", '{"enable_cpu_binding":true, "multistream_overlap_shared_expert": true}'),
]


def test_the_guide_s_command_line() -> None:
    found = options.parse_serve(GUIDE)
    assert found.model_tag == "/data/Qwen3.5-27B"
    assert found.model == "Qwen/Qwen3-0.6B"
    assert found.served_model_name == ["qwen3.5"]
    assert (found.host, found.port, found.tensor_parallel_size, found.max_num_seqs) == ("0.0.0.0", 8010, 4, 128)
    assert found.gpu_memory_utilization == 0.94
    assert found.trust_remote_code is True
    assert found.mm_processor_cache_gb == 0.0
    assert found.compilation_config == {"cudagraph_mode": "FULL_DECODE_ONLY"}
    assert found.additional_config == {"enable_cpu_binding": True, "multistream_overlap_shared_expert": True}


def test_an_empty_weight_path_serves_the_default_model() -> None:
    found = options.parse_serve(GUIDE[1:])
    assert found.model_tag is None
    assert found.model == "Qwen/Qwen3-0.6B"


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--tensor-parallel", "4"], "tensor_parallel_size", 4),
        (["--tensor_parallel_size", "4"], "tensor_parallel_size", 4),
        (["-tp", "4"], "tensor_parallel_size", 4),
        (["--tensor-parallel-size=4"], "tensor_parallel_size", 4),
        (["--async-scheduling", "--no-async-scheduling"], "async_scheduling", False),
        (["--no-enable-prefix-caching"], "enable_prefix_caching", False),
        (["--additional-config.enable_cpu_binding", "true"], "additional_config", {"enable_cpu_binding": True}),
        (["--additional-config", "{bad json"], "additional_config", "{bad json"),
        (["--max-model-len", "32k"], "max_model_len", 32000),
        (["--max-model-len", "32K"], "max_model_len", 32768),
        (["--mm-processor-cache-gb", "-2"], "mm_processor_cache_gb", -2.0),
        (["--limit-mm-per-prompt", '{"image": 1}'], "limit_mm_per_prompt", {"image": 1}),
        (["--served-model-name", "a", "b"], "served_model_name", ["a", "b"]),
    ],
)
def test_accepted(arguments: list[str], name: str, value: Any) -> None:
    assert getattr(options.parse_serve(["m", *arguments]), name) == value


@pytest.mark.parametrize(
    ("arguments", "last_line"),
    [
        (["--no-such-flag", "1"], "vllm: error: unrecognized arguments: --no-such-flag 1"),
        (
            ["--tensor-parallel-size", "four"],
            "vllm serve: error: argument --tensor-parallel-size/-tp: invalid int value: 'four'",
        ),
        (["--dtype", "x"], "vllm serve: error: argument --dtype: invalid choice: 'x'"),
        (["--port"], "vllm serve: error: argument --port: expected one argument"),
        (
            ["--limit-mm-per-prompt", "{bad"],
            "vllm serve: error: argument --limit-mm-per-prompt: Value {bad cannot be converted to <function loads",
        ),
        (
            ["--compilation-config", '{"no_such_key": 1}'],
            "    For further information visit https://errors.pydantic.dev/2.14/v/unexpected_keyword_argument",
        ),
    ],
)
def test_refused(arguments: list[str], last_line: str) -> None:
    with pytest.raises(options.Refusal) as refusal:
        options.parse_serve(["m", *arguments])
    assert refusal.value.status == 2
    assert refusal.value.text.startswith("usage: vllm ")
    assert refusal.value.text.rstrip("\n").split("\n")[-1].startswith(last_line)


def test_the_usage_is_the_recorded_one() -> None:
    with pytest.raises(options.Refusal) as refusal:
        options.parse_serve(["m", "--port", "x"])
    lines = refusal.value.text.split("\n")
    assert lines[0] == "usage: vllm serve [-h] [--headless] [--api-server-count API_SERVER_COUNT]"
    assert "                  [--async-scheduling | --no-async-scheduling]" in lines


def test_only_what_differs_from_the_defaults_is_logged() -> None:
    record = options.load_record()
    shown = options.non_default(options.parse_serve(["m", "--port", "8000", "--max-num-seqs", "128"]), record)
    assert shown == {"model_tag": "m", "max_num_seqs": 128, "model": "m"}
