# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the engine starts, serves, fails and ends like the real one."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
ENGINE = ROOT / "tests" / "sim" / "engine"
SILICON = ROOT / "tests" / "sim" / "silicon" / "ascend_sim.py"
sys.path.insert(0, str(ENGINE))

from sim_vllm import picture


def free_port(count: int = 1) -> int:
    """A port with free ones behind it."""
    for _attempt in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port + count > 65000:
            continue
        with contextlib.ExitStack() as stack:
            try:
                for number in range(count):
                    stack.enter_context(socket.socket()).bind(("0.0.0.0", port + number))
            except OSError:
                continue
            return port
    raise RuntimeError("no free ports")


class Lab:
    """A host below a folder with weights of three shards."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.model = root / "weights"
        self.model.mkdir()
        config = {
            "architectures": ["Qwen3_5ForConditionalGeneration"],
            "text_config": {"num_attention_heads": 24, "max_position_embeddings": 262144},
        }
        (self.model / "config.json").write_text(json.dumps(config))
        self.shards = [f"model-{number}-of-3.safetensors" for number in (1, 2, 3)]
        index = {"weight_map": {f"layer.{number}": name for number, name in enumerate(self.shards)}}
        (self.model / "model.safetensors.index.json").write_text(json.dumps(index))
        for name in self.shards:
            (self.model / name).write_bytes(b"weights")
        (root / "proc").mkdir()
        self.env = {
            **os.environ,
            "ASCEND_SIM_ROOT": str(root),
            "ASCEND_SIM_PROC": str(root / "proc"),
            "ASCEND_SIM_SPEED": "200",
            "ASCEND_SIM_ANY_SHM": "1",
            "ASCEND_TOOLKIT_HOME": "/usr/local/Ascend/cann-8.5.0",
            "ATB_HOME_PATH": "/usr/local/Ascend/nnal/atb/latest/atb/cxx_abi_1",
            "LD_LIBRARY_PATH": "/usr/local/Ascend/cann-8.5.0/aarch64-linux/lib64",
            "HCCL_IF_BASE_PORT": str(free_port(8)),
        }
        self.env.pop("VLLM_API_KEY", None)
        self.sim("install", "--generation", "a2")
        self.port = free_port()

    def sim(self, *argv: str) -> None:
        env = {name: value for name, value in self.env.items() if name != "LD_LIBRARY_PATH"}
        subprocess.run([sys.executable, str(SILICON), *argv], env=env, check=True, timeout=30)

    def argv(self, *more: str, model: str | None = None) -> list[str]:
        options = ["--served-model-name", "qwen3.5", "--port", str(self.port), "--max-model-len", "32768"]
        where = [str(self.model)] if model is None else [model] if model else []
        if "--tensor-parallel-size" not in more:
            options += ["--tensor-parallel-size", "4"]
        return [sys.executable, str(ENGINE / "vllm"), "serve", *where, *options, *more]

    def fails(self, *more: str, model: str | None = None, cwd: str = "/", **env: str) -> tuple[int, str]:
        done = subprocess.run(
            self.argv(*more, model=model),
            env={**self.env, **env},
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    @contextlib.contextmanager
    def serving(self, *more: str, **env: str) -> Iterator[Served]:
        with open(self.root / "log", "wb") as log:
            process = subprocess.Popen(
                # It ends with us: where every test has a process of its own (ansible-test), nobody ends a fixture.
                ["setpriv", "--pdeathsig", "KILL", *self.argv(*more)],
                env={**self.env, **env},
                cwd="/",
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        served = Served(self, process)
        try:
            served.wait()
            yield served
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Served:
    def __init__(self, lab: Lab, process: subprocess.Popen[bytes]) -> None:
        self.lab, self.process = lab, process

    @property
    def log(self) -> str:
        return (self.lab.root / "log").read_bytes().decode()

    def wait(self) -> None:
        deadline = time.monotonic() + 40
        while "Application startup complete." not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.lab.port, timeout=30)
        with contextlib.closing(connection):
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            given = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, data, {**given, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def chat(self, *content: Any, **more: Any) -> tuple[int, Any]:
        body = {"model": "qwen3.5", "messages": [{"role": "user", "content": list(content)}], **more}
        status, text = self.ask("POST", "/v1/chat/completions", body)
        return status, json.loads(text)

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    lab = Lab(tmp_path_factory.mktemp("served"))
    media = lab.root / "media"
    media.mkdir()
    (media / "a.png").write_bytes(picture.draw_text("from a file"))
    with lab.serving("--allowed-local-media-path", str(media), "--max-num-seqs", "2") as server:
        yield server


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def picture_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


# ----------------------------------------------------------------------------------------------------------- starting


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


# ------------------------------------------------------------------------------------------------------------ serving


def test_health_version_and_models(served: Served) -> None:
    assert served.ask("GET", "/health") == (200, "")
    assert served.ask("GET", "/ping") == (200, "")
    assert json.loads(served.ask("GET", "/version")[1]) == {"version": "0.16.0rc2.dev55+g65bb4942b.empty"}
    models = json.loads(served.ask("GET", "/v1/models")[1])
    assert [(model["id"], model["max_model_len"]) for model in models["data"]] == [("qwen3.5", 32768)]


def test_the_guide_s_first_question(served: Served) -> None:
    body = {"model": "qwen3.5", "prompt": "介绍一下你自己,用中文回答", "max_tokens": 200, "temperature": 0}
    status, text = served.ask("POST", "/v1/completions", body)
    answer = json.loads(text)
    assert status == 200
    assert "通义千问" in answer["choices"][0]["text"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] <= 200


def test_max_tokens_cuts_the_answer(served: Served) -> None:
    body = {"model": "qwen3.5", "prompt": "Please introduce yourself", "max_tokens": 4}
    answer = json.loads(served.ask("POST", "/v1/completions", body)[1])
    assert answer["choices"][0]["text"] == "Hello! I am"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4


def test_ignore_eos_gives_exactly_as_many_tokens(served: Served) -> None:
    body = {"prompt": "hi", "max_tokens": 300, "ignore_eos": True}
    assert json.loads(served.ask("POST", "/v1/completions", body)[1])["usage"]["completion_tokens"] == 300


def test_the_guide_s_picture_question(served: Served) -> None:
    data = (ROOT / "playbooks" / "releases" / "files" / "tongyi_qwen.png").read_bytes()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    status, answer = served.chat(picture_part(url), text_part("What is the text in the illustrate?"))
    assert status == 200
    assert "TONGYI Qwen" in answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["message"]["content"].index("</think>") > 0


def test_a_picture_from_the_allowed_folder(served: Served) -> None:
    status, answer = served.chat(picture_part(f"file://{served.lab.root}/media/a.png"), text_part("What text?"))
    assert status == 200
    assert "from a file" in answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "must be a subpath of `--allowed-local-media-path"),
        ("http://127.0.0.1:9/qwen.png", "Cannot connect to host 127.0.0.1:9 ssl:default [Connection refused]"),
        ("data:image/png;base64,aGFsbG8=", "cannot identify image file"),
        ("ftp://x/y", "The URL must be either a HTTP, data or file URL."),
    ],
)
def test_pictures_that_cannot_be_had(served: Served, url: str, words: str) -> None:
    status, answer = served.chat(picture_part(url), text_part("What text?"))
    assert status == 400
    assert words in answer["error"]["message"]
    assert answer["error"]["type"] == "BadRequestError"


def test_streaming(served: Served) -> None:
    body = {
        "messages": [{"role": "user", "content": "who are you"}],
        "stream": True,
        "max_tokens": 7,
        "stream_options": {"include_usage": True},
    }
    status, text = served.ask("POST", "/v1/chat/completions", body)
    events = [line[6:] for line in text.split("\n\n") if line]
    assert status == 200
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(chunks) == 1 + 7 + 1
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"]["completion_tokens"] == 7


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/v1/completions", {"model": "x", "prompt": "a"}, 404, "The model `x` does not exist."),
        ("POST", "/v1/completions", {"model": "qwen3.5"}, 400, "Field required"),
        ("POST", "/v1/completions", b"{", 400, "JSON decode error"),
        ("POST", "/v1/completions", {"prompt": "a", "max_tokens": 40000}, 400, "is too large: 40000"),
        ("POST", "/v1/completions", {"prompt": "a", "max_tokens": "x"}, 400, "valid integer"),
        ("GET", "/v1/completions", None, 405, "Method Not Allowed"),
        ("GET", "/nothing", None, 404, "Not Found"),
    ],
)
def test_errors(served: Served, method: str, path: str, body: Any, status: int, words: str) -> None:
    found, text = served.ask(method, path, body)
    assert found == status
    assert words in text


def gauge(served: Served, name: str) -> float:
    for line in served.ask("GET", "/metrics")[1].splitlines():
        if line.startswith(f"vllm:{name}{{"):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(name)


def test_running_and_waiting_are_live(served: Served) -> None:
    body = {"prompt": "hi", "max_tokens": 30000, "ignore_eos": True}
    threads = [threading.Thread(target=served.ask, args=("POST", "/v1/completions", body)) for _thread in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while gauge(served, "num_requests_running") < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gauge(served, "num_requests_running") == 2
    assert gauge(served, "num_requests_waiting") == 1
    for thread in threads:
        thread.join()
    assert gauge(served, "num_requests_running") == 0
    assert gauge(served, "generation_tokens_total") >= 90000


# -------------------------------------------------------------------------------------------------------------- ending


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


# ----------------------------------------------------------------------------------------------------- vllm bench serve


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
