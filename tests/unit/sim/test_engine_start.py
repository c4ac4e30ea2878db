# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the engine starts, fails and ends like the real one."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from engine_lab import Lab, Served, gauge


def test_stages_of_a_start_in_order(served: Served) -> None:
    markers = [
        "version 0.16.0rc2.dev55+g65bb4942b.empty",
        "non-default args: {'model_tag': ",
        "Resolved architecture: Qwen3_5ForConditionalGeneration",
        "Initializing a V1 LLM engine",
        "Starting to load model",
        "\rLoading safetensors checkpoint shards:   0% Completed | 0/3 [",
        "\rLoading safetensors checkpoint shards: 100% Completed | 3/3 [",
        "Loading weights took",
        "\rCapturing CUDA graphs (decode, FULL):   0%|          | 0/19 [",
        "Graph capturing finished in",
        "KV cache size",
        "init engine (profile, create kv cache, warmup model) took",
        "Starting vLLM API server 0 on http://0.0.0.0:",
        "Route: /v1/chat/completions, Methods: POST",
        "INFO:     Application startup complete.",
    ]
    log = served.log
    places = [log.index(marker) for marker in markers]
    assert places == sorted(places)
    assert f"(APIServer pid={served.process.pid}) INFO " in log
    assert "(EngineCore_DP0 pid=" in log
    assert "(Worker_TP3 pid=" in log


def test_each_worker_holds_the_memory_of_its_card(served: Served) -> None:
    core = served.children()[0]
    workers = Path(f"/proc/{core}/task/{core}/children").read_text().split()
    held = []
    for worker in workers:
        names = [os.readlink(path) for path in Path(f"/proc/{worker}/fd").iterdir()]
        held += [name.split(" ")[0] for name in names if "ascend-hbm" in name]
        assert Path(f"/proc/{worker}/comm").read_text().startswith("VLLM::Worker_TP")
    expected = [f"/memfd:ascend-hbm:{n}:{int(65536 * 0.9) - idle}" for n, idle in enumerate((3407, 3398, 3400, 3400))]
    assert sorted(held) == expected


@pytest.mark.parametrize(
    ("more", "env", "status", "words"),
    [
        (["--tensor-parallel-size", "5"], {}, 1, "attention heads (24) must be divisible by tensor parallel size (5)"),
        (["--tensor-parallel-size", "12"], {}, 1, "valid device range is [0, 8)"),
        (["--tensor-parallel-size", "8"], {}, 1, "EE1003"),
        (["--gpu-memory-utilization", "1.94"], {}, 1, "Input should be less than or equal to 1"),
        (["--max-model-len", "300000"], {}, 1, "is greater than the derived max_model_len"),
        (["--additional-config", "{bad"], {}, 1, "2 validation errors for VllmConfig"),
        (["--no-such-flag"], {}, 2, "vllm: error: unrecognized arguments: --no-such-flag"),
        ([], {"ASCEND_TOOLKIT_HOME": ""}, 1, "RuntimeError: Failed to infer device type"),
        ([], {"ATB_HOME_PATH": ""}, 1, "ImportError: libatb.so: cannot open shared object file"),
        ([], {"ASCEND_SIM_ENGINE_FAULT": "507033"}, 1, "TsdOpen failed"),
        ([], {"ASCEND_SIM_ENGINE_FAULT": "507008"}, 1, "because the device is used"),
        ([], {"ASCEND_SIM_ENGINE_FAULT": "207008"}, 1, "EL0009"),
        ([], {"ASCEND_SIM_ENGINE_FAULT": "die-at-load"}, 1, "Failed core proc(s): {'EngineCore_DP0': -9}"),
    ],
)
def test_starts_that_fail(lab: Lab, more: list[str], env: dict[str, str], status: int, words: str) -> None:
    found, log = lab.fails(*more, **env)
    assert found == status, log
    assert words in log
    assert "Application startup complete." not in log


def test_no_model(lab: Lab) -> None:
    status, log = lab.fails(model="/data/nothing")
    assert status == 1
    assert "HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/data/nothing'" in log


def test_an_empty_weight_path_asks_for_another_model(lab: Lab) -> None:
    status, log = lab.fails(model="")
    assert status == 1
    assert "model   Qwen/Qwen3-0.6B" in log
    assert "We couldn't connect to 'https://huggingface.co'" in log


def test_a_pointer_instead_of_weights(lab: Lab) -> None:
    (lab.model / lab.shards[1]).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    status, log = lab.fails()
    assert status == 1
    assert "SafetensorError: Error while deserializing header" in log


def test_a_missing_manager_node(lab: Lab) -> None:
    lab.sim("break", "manager-node", "devmm_svm")
    status, log = lab.fails()
    assert status == 1
    assert "507033" in log


def test_a_port_that_is_taken(lab: Lab) -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", lab.port))
        listener.listen()
        status, log = lab.fails()
    assert status == 1
    assert "OSError: [Errno 98] Address already in use" in log


def test_the_working_directory_with_the_source_tree(lab: Lab) -> None:
    (lab.root / "workspace" / "vllm" / "vllm").mkdir(parents=True)
    status, log = lab.fails(cwd=str(lab.root / "workspace"))
    assert status == 1
    assert "No module named 'vllm.benchmarks" in log


def test_a_card_that_another_process_holds(lab: Lab) -> None:
    lab.sim("break", "process-held", "2")
    try:
        status, log = lab.fails()
        assert status == 1
        assert "507008" in log
        assert "ret is -8020" in log
    finally:
        lab.sim("mend")


def test_a_base_port_that_another_engine_uses(lab: Lab) -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", int(lab.env["HCCL_IF_BASE_PORT"]) + 2))
        listener.listen()
        status, log = lab.fails()
    assert status == 1
    assert "EJ0003" in log


def test_sigterm_aborts_requests_in_flight_and_ends_with_0(lab: Lab) -> None:
    with lab.serving(ASCEND_SIM_SPEED="100") as served:
        answers: list[tuple[int, str]] = []
        body = {"prompt": "hi", "max_tokens": 30000, "ignore_eos": True}
        thread = threading.Thread(target=lambda: answers.append(served.ask("POST", "/v1/completions", body)))
        thread.start()
        while gauge(served, "num_requests_running") < 1:
            time.sleep(0.02)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(10) == 0
        thread.join()
        assert answers[0][0] == 500
        assert "Application shutdown complete." in served.log


def test_a_dead_engine_ends_the_server_with_0(lab: Lab) -> None:
    with lab.serving() as served:
        os.kill(served.children()[0], signal.SIGKILL)
        assert served.process.wait(6) == 0
        assert "EngineDeadError" in served.log


def test_garbled_answers(lab: Lab) -> None:
    lab.sim("break", "engine", "garbled")
    with lab.serving("--api-key", "secret") as served:
        body = {"prompt": "介绍一下你自己,用中文回答", "max_tokens": 200}
        assert served.ask("POST", "/v1/completions", body)[0] == 401
        status, text = served.ask("POST", "/v1/completions", body, Authorization="Bearer secret")
        assert status == 200
        assert "通义千问" not in text
        assert served.ask("GET", "/health")[0] == 200
