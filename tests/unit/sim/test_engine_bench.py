# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``vllm bench serve`` of the stand-in of the engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from engine_lab import ENGINE, Served, free_port


def bench(served: Served, *more: str, cwd: Path) -> tuple[int, str]:
    argv = ["bench", "serve", "--model", "qwen3.5", "--host", "127.0.0.1", "--port", str(served.lab.port)]
    done = subprocess.run(
        [sys.executable, str(ENGINE / "vllm"), *argv, "--tokenizer", str(served.lab.model), "--ignore-eos", *more],
        env=served.lab.env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_benchmark_is_saved_under_the_client_s_names(served: Served, tmp_path: Path) -> None:
    options = ["--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--dataset-name", "random-mm"]
    options += ["--random-input-len", "16", "--random-output-len", "8", "--num-prompts", "6", "--max-concurrency", "2"]
    options += ["--random-mm-bucket-config", "{(1024, 1024, 1): 1.0}", "--save-result", "--result-dir", "./out"]
    status, text = bench(served, *options, "--random-mm-limit-mm-per-prompt", '{"image": 1, "video": 0}', cwd=tmp_path)
    assert status == 0
    assert "============ Serving Benchmark Result ============\n" in text
    assert "Successful requests:                     6         \n" in text
    [path] = (tmp_path / "out").iterdir()
    assert path.name.startswith("openai-chat-infqps-concurrency2-qwen3.5-2")
    result = json.loads(path.read_text())
    assert (result["completed"], result["failed"]) == (6, 0)
    assert (result["total_input_tokens"], result["total_output_tokens"]) == (96, 48)
    assert result["mean_ttft_ms"] > 0


def test_a_benchmark_without_save_result_writes_nothing(served: Served, tmp_path: Path) -> None:
    status, _output = bench(served, "--num-prompts=2", "--random-output-len", "4", "--result-dir=./out", cwd=tmp_path)
    assert status == 0
    assert list(tmp_path.iterdir()) == []


def test_a_benchmark_of_nothing_but_failures_ends_with_0(served: Served, tmp_path: Path) -> None:
    status, text = bench(served, "--num-prompts", "3", "--port", str(free_port()), cwd=tmp_path)
    assert status == 0
    assert "Failed requests:                         3         \n" in text
