# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host below a folder and an engine that runs on it, for the tests of the stand-in of the engine."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
ENGINE = ROOT / "tests" / "sim" / "engine"
SILICON = ROOT / "tests" / "sim" / "silicon" / "ascend_sim.py"


def free_port(count: int = 1) -> int:
    """A port with free ones behind it, of those that the kernel gives to no connection meanwhile."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _attempt in range(50):
        port = random.randrange(10000, max(lowest, 20000) - count)
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


def gauge(served: Served, name: str) -> float:
    for line in served.ask("GET", "/metrics")[1].splitlines():
        if line.startswith(f"vllm:{name}{{"):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(name)
