# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``vllm serve``: the processes of an engine, its start stage by stage, its ways to fail, its end."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from . import VERSION, device, options, server
from .log import Log, capture_progress, shard_progress

SITE = "/vllm-workspace/vllm/vllm"
ASCEND_SITE = "/vllm-workspace/vllm-ascend/vllm_ascend"
DEFAULT_HEADS = 24
DEFAULT_POSITIONS = 262144
SMALLEST_SHM = 1 << 30
GRAPH_SIZES = 19
Frame = tuple[str, int, str, str]

MAIN_FRAMES: list[Frame] = [
    ("/usr/local/python3.11.14/bin/vllm", 7, "<module>", "sys.exit(main())"),
    (f"{SITE}/entrypoints/cli/main.py", 73, "main", "args.dispatch_function(args)"),
    (f"{SITE}/entrypoints/cli/serve.py", 111, "cmd", "uvloop.run(run_server(args))"),
]
ENGINE_FRAMES: list[Frame] = [
    *MAIN_FRAMES,
    (
        f"{SITE}/entrypoints/openai/api_server.py",
        457,
        "run_server",
        "await run_server_worker(listen_address, sock, args, **uvicorn_kwargs)",
    ),
    (f"{SITE}/entrypoints/openai/api_server.py", 96, "build_async_engine_client", "async with ..."),
]
CONFIG_FRAMES: list[Frame] = [
    *ENGINE_FRAMES,
    (f"{SITE}/engine/arg_utils.py", 1389, "create_engine_config", "config = VllmConfig("),
]


class Failed(Exception):
    """The server cannot start: frames and last line of the traceback."""

    def __init__(self, error: str, frames: list[Frame], status: int = 1) -> None:
        super().__init__(error)
        self.error, self.frames, self.status = error, frames, status


class Pace:
    """Durations, divided by the speed that was asked for."""

    def __init__(self, speed: float) -> None:
        self.speed = speed

    def wait(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)


def set_process_name(name: str) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(15, name.encode()[:15], 0, 0, 0)


def die_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


# ------------------------------------------------------------------------------------------------ before the engine


def check_environment(node: device.Node) -> None:
    """What importing torch_npu and vllm needs; without it not even the options are parsed."""
    libraries = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]
    if not os.environ.get("ASCEND_TOOLKIT_HOME") or not any("Ascend" in path for path in libraries):
        raise Failed(
            "RuntimeError: Failed to infer device type, please set the environment variable "
            "`VLLM_LOGGING_LEVEL=DEBUG` to turn on verbose logging to help debug the issue.",
            [*MAIN_FRAMES[:2], (f"{SITE}/config/device.py", 55, "__post_init__", "raise RuntimeError(")],
        )
    if not node.libraries:
        raise Failed(
            "ImportError: libascend_hal.so: cannot open shared object file: No such file or directory",
            [
                (
                    "/usr/local/python3.11.14/lib/python3.11/site-packages/torch_npu/__init__.py",
                    21,
                    "<module>",
                    "import torch_npu.npu",
                )
            ],
        )
    if not os.environ.get("ATB_HOME_PATH"):
        raise Failed(
            "ImportError: libatb.so: cannot open shared object file: No such file or directory",
            [(f"{ASCEND_SITE}/utils.py", 31, "<module>", "import torch_npu")],
        )


def check_working_directory() -> None:
    """Python finds the source tree of the working directory instead of the installed package."""
    if os.path.isdir(os.path.join(os.getcwd(), "vllm", "vllm")):
        raise Failed(
            "ModuleNotFoundError: No module named 'vllm.benchmarks.latency'",
            [
                ("/usr/local/python3.11.14/bin/vllm", 4, "<module>", "from vllm.entrypoints.cli.main import main"),
                (
                    f"{SITE}/entrypoints/cli/benchmark/latency.py",
                    5,
                    "<module>",
                    "from vllm.benchmarks.latency import add_cli_args, main",
                ),
            ],
        )


def model_config(model: str) -> dict[str, Any]:
    """config.json of the model, or what vLLM says where there is none."""
    frames = [*ENGINE_FRAMES, (f"{SITE}/engine/arg_utils.py", 1142, "create_model_config", "return ModelConfig(")]
    if not os.path.isdir(model):
        if model.startswith("/") or model.count("/") > 1:
            raise Failed(
                "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or "
                f"'namespace/repo_name': '{model}'. Use `repo_type` argument if needed.",
                [
                    *frames,
                    (f"{SITE}/transformers_utils/repo_utils.py", 301, "get_model_path", "return snapshot_download("),
                ],
            )
        raise Failed(
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the "
            f"cached files.\nCheck your internet connection or see how to run the library in offline mode at "
            f"'https://huggingface.co/docs/transformers/installation#offline-mode'. (model: {model})",
            [
                *frames,
                (f"{SITE}/transformers_utils/config.py", 623, "get_config", "raise ValueError(error_message) from e"),
            ],
        )
    try:
        with open(os.path.join(model, "config.json"), encoding="utf-8") as stream:
            return dict(json.load(stream))
    except FileNotFoundError:
        raise Failed(
            "ValueError: Could not detect config format for no supported file found. With config_format 'auto', ensure "
            "your model has either config.json (HF format) or params.json (Mistral format). Otherwise please specify "
            "your_custom_config_format in engine args for customized config parser.",
            frames,
        ) from None
    except ValueError as error:
        raise Failed(
            f"OSError: It looks like the config file at '{model}/config.json' is not a valid JSON file. ({error})",
            frames,
        ) from None


def validation_error(
    name: str,
    problem: str,
    kind: str = "value_error",
    value: str = "ArgsKwargs((), {...})",
    value_type: str = "ArgsKwargs",
    where: str = "",
) -> str:
    head = f"{where}\n" if where else ""
    return (
        f"pydantic_core._pydantic_core.ValidationError: 1 validation error for {name}\n{head}"
        f"  {problem} [type={kind}, input_value={value}, input_type={value_type}]\n"
        f"    For further information visit https://errors.pydantic.dev/2.14/v/{kind}"
    )


def check_config(namespace: argparse.Namespace, config: dict[str, Any]) -> None:
    """What create_engine_config() refuses."""
    text = config.get("text_config") or config
    positions = int(text.get("max_position_embeddings", DEFAULT_POSITIONS))
    heads = int(text.get("num_attention_heads", DEFAULT_HEADS))
    length = namespace.max_model_len
    if length is not None and length > positions and os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") != "1":
        raise Failed(
            validation_error(
                "ModelConfig",
                f"Value error, User-specified max_model_len ({length}) is greater than the derived max_model_len "
                f"(max_position_embeddings={float(positions)} or model_max_length=None in model's config.json). "
                "To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. "
                "VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution.",
            ),
            CONFIG_FRAMES,
        )
    utilization = namespace.gpu_memory_utilization
    if not 0 < utilization <= 1:
        word, kind = (
            ("less than or equal to 1", "less_than_equal") if utilization > 1 else ("greater than 0", "greater_than")
        )
        raise Failed(
            validation_error(
                "CacheConfig", f"Input should be {word}", kind, repr(utilization), "float", "gpu_memory_utilization"
            ),
            CONFIG_FRAMES,
        )
    batched, sequences = namespace.max_num_batched_tokens, namespace.max_num_seqs
    if batched is not None and sequences is not None and batched < sequences:
        raise Failed(
            validation_error(
                "SchedulerConfig",
                f"Value error, max_num_batched_tokens ({batched}) must be greater than or equal to "
                f"max_num_seqs ({sequences}).",
            ),
            CONFIG_FRAMES,
        )
    if namespace.quantization == "ascend" and not os.path.exists(
        os.path.join(str(namespace.model_tag or namespace.model), "quant_model_description.json")
    ):
        raise Failed(
            "ValueError: Could not find quant_model_description.json in the model directory; "
            "it is needed by --quantization ascend.",
            CONFIG_FRAMES,
        )
    size = namespace.tensor_parallel_size
    if heads % size:
        raise Failed(
            validation_error(
                "VllmConfig",
                f"Value error, Total number of attention heads ({heads}) must be divisible by tensor parallel "
                f"size ({size}).",
            ),
            CONFIG_FRAMES,
        )
    if not isinstance(namespace.additional_config, dict):
        given = namespace.additional_config
        raise Failed(
            "pydantic_core._pydantic_core.ValidationError: 2 validation errors for VllmConfig\n"
            "additional_config.dict[any,any]\n"
            f"  Input should be a valid dictionary [type=dict_type, input_value={given!r}, "
            f"input_type={type(given).__name__}]\n"
            "    For further information visit https://errors.pydantic.dev/2.14/v/dict_type\n"
            "additional_config.is-instance[SupportsHash]\n"
            f"  Input should be an instance of SupportsHash [type=is_instance_of, input_value={given!r}, "
            f"input_type={type(given).__name__}]\n"
            "    For further information visit https://errors.pydantic.dev/2.14/v/is_instance_of",
            CONFIG_FRAMES,
        )


def shards_of(model: str) -> list[str]:
    """The files of weights that the index names, or those that lie there."""
    index = os.path.join(model, "model.safetensors.index.json")
    with contextlib.suppress(OSError, ValueError), open(index, encoding="utf-8") as stream:
        return sorted(set(json.load(stream)["weight_map"].values()))
    with contextlib.suppress(OSError):
        return sorted(name for name in os.listdir(model) if name.endswith(".safetensors"))
    return []


def open_port(namespace: argparse.Namespace) -> socket.socket:
    host = namespace.host or "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, namespace.port))
    except OSError as error:
        raise Failed(
            f"OSError: [Errno {error.errno}] {os.strerror(error.errno or 0)}",
            [
                *MAIN_FRAMES,
                (
                    f"{SITE}/entrypoints/openai/api_server.py",
                    420,
                    "setup_server",
                    "sock = create_server_socket(sock_addr)",
                ),
                (f"{SITE}/entrypoints/openai/api_server.py", 383, "create_server_socket", "sock.bind(addr)"),
            ],
        ) from None
    return listener


# ------------------------------------------------------------------------------------------------------ the worker


ENGINE_ERRORS = {
    "507033": (
        "RuntimeError: SetPrecisionMode:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:156 NPU function error: "
        "aclrtSetDevice, error code is 507033\n"
        "[ERROR] 2026-01-01-00:00:00 (PID:{pid}, Device:{rank}, RankID:-1) ERR00100 PTA call acl api failed\n"
        "[Error]: The Ascend device fails to be started.\n"
        "        Rectify the fault based on the error information in the ascend log.\n"
        "E39011: [PID: {pid}] TsdOpen failed. devId={rank}, tdt error={code}, deviceErrCode=0.\n"
        "        TraceBack (most recent call last):\n"
        "        TsdOpen failed. devId={rank}, tdt error={code}[FUNC:PrintfTsdError][FILE:runtime.cc][LINE:2876]\n"
        "        open device {rank} failed, runtime result = 507033."
    ),
    "507008": (
        "RuntimeError: exchangeDevice:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:320 NPU function error: "
        "aclrtSetDevice, error code is 507008\n"
        "[ERROR] 2026-01-01-00:00:00 (PID:{pid}, Device:{rank}, RankID:-1) ERR00100 PTA call acl api failed\n"
        "[Error]: Failed to obtain the SOC version.\n"
        "        drvDeviceOpen failed, because the device is used. deviceId={rank}, ret is -8020"
    ),
    "207008": (
        "RuntimeError: capture_end:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:152 NPU function error: "
        "aclmdlRICaptureEnd, error code is 207008\n"
        "[ERROR] 2026-01-01-00:00:00 (PID:{pid}, Device:{rank}, RankID:-1) ERR00100 PTA call acl api failed\n"
        "[Error]: Insufficient stream resources.\n"
        "EL0009: [PID: {pid}] The stream resources are exhausted."
    ),
    "EE1003": (
        "RuntimeError: npu_causal_conv1d:csrc/torch_binding.cpp:846 NPU function error: call aclnnCausalConv1d failed, "
        "error code is 561002\n"
        "EE1003: [PID: {pid}] The argument is invalid. Reason: CausalConv1d dim must be aligned."
    ),
    "EJ0003": (
        "RuntimeError: createHCCLComm:torch_npu/csrc/distributed/ProcessGroupHCCL.cpp:2163 HCCL function error: "
        "hcclCommInitRootInfoConfig, error code is 7\n"
        "EJ0003: [PID: {pid}] Failed to bind the IP port. Reason: The IP address and port have been bound already. "
        "[{address}:{port}]"
    ),
}
ENGINE_FRAME: list[Frame] = [
    (f"{SITE}/v1/executor/multiproc_executor.py", 742, "worker_main", "worker = WorkerProc(*args, **kwargs)"),
    (f"{ASCEND_SITE}/worker/worker.py", 233, "init_device", "device = self._init_device()"),
]


class WorkerFailed(Exception):
    pass


class Worker:
    """One worker: one card."""

    def __init__(self, plan: Plan, data_rank: int, rank: int, say: int) -> None:
        self.plan, self.data_rank, self.rank, self.say = plan, data_rank, rank, say
        prefix = f"Worker_DP{data_rank}_TP{rank}" if plan.data_parallel > 1 else f"Worker_TP{rank}"
        self.log = Log(prefix if plan.tensor_parallel > 1 else "Worker")
        self.position = data_rank * plan.tensor_parallel + rank
        self.held: list[Any] = []

    def fail(self, kind: str, **values: object) -> NoReturn:
        known = {"pid": os.getpid(), "rank": self.position, "code": 4, "address": "127.0.0.1", "port": 0}
        text = ENGINE_ERRORS.get(kind, kind)
        for name, value in {**known, **values}.items():
            text = text.replace(f"{{{name}}}", str(value))
        raise WorkerFailed(text)

    def open_device(self) -> int:
        node, plan = self.plan.node, self.plan
        if node.missing_managers or plan.fault == "507033":
            self.fail("507033")
        if self.position >= len(node.indices):
            self.fail(
                "RuntimeError: exchangeDevice:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:320 "
                "NPU function error: aclrtSetDevice, error code is 107001\n"
                "[ERROR] 2026-01-01-00:00:00 (PID:{pid}, Device:{rank}, RankID:-1) ERR00100 PTA call acl api failed\n"
                "[Error]: Invalid device ID.\n"
                "        Check whether the device ID is valid.\n"
                f"EE1001: [PID: {{pid}}] The argument is invalid.Reason: Set device failed, invalid device, "
                f"set device={self.position}, valid device range is [0, {len(node.indices)})"
            )
        if driver_too_old(str(node.state.get("driver_version", ""))):
            self.fail("507033")
        index = node.indices[self.position]
        try:
            self.held.append(device.claim(index))
        except device.CardBusy:
            self.fail("507008")
        if node.generation and plan.built_for and node.generation != plan.built_for:
            self.fail(
                f"AssertionError: Current device type: AscendDeviceType.{node.generation} does not match the installed "
                f"version's device type: AscendDeviceType.{plan.built_for}, please check your installation package."
            )
        return index

    def open_links(self) -> None:
        """Every rank binds a port of HCCL on the host's network: two engines with one base port clash."""
        if self.plan.fault in ("EJ0003", "hccl"):
            self.fail("EJ0003", port=60000)
        if self.plan.tensor_parallel * self.plan.data_parallel == 1:
            return
        port = int(os.environ.get("HCCL_IF_BASE_PORT", "60000")) + self.position
        listener = socket.socket()
        try:
            listener.bind(("0.0.0.0", port))
            listener.listen(1)
        except OSError:
            self.fail("EJ0003", port=port)
        self.held.append(listener)

    def load(self) -> None:
        plan, started = self.plan, time.monotonic()
        self.log.info("model_runner_v1.py:2295", f"Starting to load model {plan.model}...")
        plan.pace.wait(2)
        total = len(plan.shards)
        step = 3.0
        for done in range(total + 1):
            if self.rank == 0:
                self.log.write(shard_progress(done, total, (time.monotonic() - started) * plan.pace.speed))
            if done == total:
                break
            if done == total // 2 and plan.fault == "silent":
                while True:
                    time.sleep(3600)
            if done == total // 2 and plan.fault == "die-at-load":
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(60)
            self.read_shard(os.path.join(plan.model, plan.shards[done]))
            plan.pace.wait(step * (20 if plan.fault == "slow-load" else 1))
        took = (time.monotonic() - started) * plan.pace.speed
        if self.rank == 0:
            self.log.write("\n")
            self.log.info("default_loader.py:291", f"Loading weights took {took:.2f} seconds")
        self.log.info("model_runner_v1.py:2323", f"Loading model weights took {54.1 / plan.tensor_parallel:.4f} GB")

    def read_shard(self, path: str) -> None:
        try:
            with open(path, "rb") as stream:
                head = stream.read(64)
        except OSError:
            self.fail(f"FileNotFoundError: No such file or directory: {path}")
        if head.startswith(b"version https://git-lfs"):
            self.fail("safetensors_rust.SafetensorError: Error while deserializing header: header too large")

    def capture(self) -> None:
        plan = self.plan
        if plan.eager:
            return
        started = time.monotonic()
        for done in range(GRAPH_SIZES + 1):
            if self.rank == 0:
                end = "\n" if done == GRAPH_SIZES else ""
                self.log.write(
                    capture_progress(done, GRAPH_SIZES, (time.monotonic() - started) * plan.pace.speed) + end
                )
            if done == GRAPH_SIZES // 2 and plan.fault == "207008":
                self.log.write("\n")
                self.fail("207008")
            if done < GRAPH_SIZES:
                plan.pace.wait(0.7)
        took = int((time.monotonic() - started) * plan.pace.speed)
        self.log.info("model_runner_v1.py:2560", f"Graph capturing finished in {took} secs, took 0.32 GiB")

    def run(self) -> None:
        plan = self.plan
        world = plan.tensor_parallel * plan.data_parallel
        index = self.open_device()
        plan.pace.wait(3)
        self.log.info(
            "parallel_state.py:1212",
            f"world_size={world} rank={self.position} local_rank={self.position} "
            "distributed_init_method=tcp://127.0.0.1:41321 backend=hccl",
        )
        self.open_links()
        if self.rank == 0:
            self.log.info(
                "parallel_state.py:1423",
                f"rank 0 in world size {world} is assigned as DP rank "
                f"{self.data_rank}, PP rank 0, PCP rank 0, TP rank 0, EP rank N/A",
            )
        node = plan.node
        idle, total = node.idle_mb(index), node.total_mb(index)
        weights = min(int(54.1 * 1024 / plan.tensor_parallel), total)
        memory = device.hold_memory(index, weights)
        self.load()
        if plan.fault == "EE1003" or plan.tensor_parallel == 8:
            self.fail("EE1003")
        plan.pace.wait(8)
        budget = max(int(total * plan.utilization) - idle, weights)
        whole = device.hold_memory(index, budget)
        os.close(memory)
        self.held.append(whole)
        self.log.info("worker.py:331", f"Available memory: {(budget - weights) << 20}, total memory: {total << 20}")
        self.capture()
        os.write(self.say, b"ready\n")
        while True:
            signal.pause()


def driver_too_old(version: str) -> bool:
    """CANN 8.5 needs a driver of the 25 line or newer."""
    head = version.split(".")[0]
    return head.isdigit() and int(head) < 25


def run_worker(plan: Plan, data_rank: int, rank: int, say: int) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    set_process_name(f"VLLM::Worker_TP{rank}")
    worker = Worker(plan, data_rank, rank, say)
    try:
        worker.run()
    except WorkerFailed as error:
        worker.log.logged_traceback(
            "multiproc_executor.py:772", "WorkerProc failed to start.", ENGINE_FRAME, str(error)
        )
    except OSError as error:
        worker.log.logged_traceback(
            "multiproc_executor.py:772", "WorkerProc failed to start.", ENGINE_FRAME, f"{type(error).__name__}: {error}"
        )
    os._exit(1)


# ------------------------------------------------------------------------------------------------- the engine's core


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


def shm_bytes() -> int:
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return found.f_frsize * found.f_blocks


def run_core(plan: Plan, data_rank: int, say: int) -> NoReturn:
    """One EngineCore: starts its workers, reports when they are ready, ends when one of them dies."""
    die_with_parent()
    set_process_name(f"VLLM::EngineCore_DP{data_rank}")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = Log(f"EngineCore_DP{data_rank}")
    log.info(
        "core.py:98",
        f"Initializing a V1 LLM engine (v{VERSION}) with config: model='{plan.model}', "
        f"speculative_config=None, tokenizer='{plan.model}', skip_tokenizer_init=False, tokenizer_mode=auto, "
        f"trust_remote_code=True, dtype=torch.bfloat16, max_seq_len={plan.max_model_len}, load_format=auto, "
        f"tensor_parallel_size={plan.tensor_parallel}, pipeline_parallel_size=1, "
        f"data_parallel_size={plan.data_parallel}, enforce_eager={plan.eager}, device_config=npu, seed=0",
    )
    started = time.monotonic()
    plan.pace.wait(4)
    if os.environ.get("ASCEND_SIM_ANY_SHM") != "1" and shm_bytes() < SMALLEST_SHM:
        os.kill(os.getpid(), signal.SIGBUS)  # no word about it in the log, as in the field
    workers: list[int] = []

    def stop(*_: object) -> None:
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    waiting: list[int] = []
    for rank in range(plan.tensor_parallel):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            os.close(say)
            run_worker(plan, data_rank, rank, write_end)
        os.close(write_end)
        workers.append(pid)
        waiting.append(read_end)
    while waiting:
        readable, _, _ = select.select(waiting, [], [])
        for descriptor in readable:
            if os.read(descriptor, 64):
                waiting.remove(descriptor)
                continue
            log.logged_traceback(
                "core.py:946",
                "EngineCore failed to start.",
                [
                    (
                        f"{SITE}/v1/engine/core.py",
                        937,
                        "run_engine_core",
                        "engine_core = EngineCoreProc(*args, **kwargs)",
                    ),
                    (f"{SITE}/v1/executor/multiproc_executor.py", 640, "wait_for_ready", "raise e from None"),
                ],
                "Exception: WorkerProc initialization failed due to an exception in a background process. "
                "See stack trace for root cause.",
            )
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os._exit(1)
    if data_rank == 0:
        log.info("kv_cache_utils.py:1307", "GPU KV cache size: 1,204,224 tokens")
        log.info(
            "kv_cache_utils.py:1312",
            f"Maximum concurrency for {plan.max_model_len:,} tokens per request: {1204224 / plan.max_model_len:.2f}x",
        )
    took = (time.monotonic() - started) * plan.pace.speed
    log.info("core.py:273", f"init engine (profile, create kv cache, warmup model) took {took:.2f} seconds")
    os.write(say, b"ready\n")
    while True:
        pid, _ = os.waitpid(-1, 0)
        rank = workers.index(pid)
        log.error(
            "multiproc_executor.py:231", f"Worker proc VllmWorker-{rank} died unexpectedly, shutting down executor."
        )
        for other in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)
        os._exit(1)


# -------------------------------------------------------------------------------------------------- the API server


class Cores:
    """The engine's core processes, as the API server sees them."""

    def __init__(self, plan: Plan) -> None:
        self.pids: dict[int, int] = {}
        self.pipes: dict[int, int] = {}
        for data_rank in range(plan.data_parallel):
            read_end, write_end = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(read_end)
                run_core(plan, data_rank, write_end)
            os.close(write_end)
            self.pids[pid] = data_rank
            self.pipes[read_end] = data_rank

    def wait_until_ready(self, deadline: float | None) -> dict[str, int] | None:
        """None when all are ready, else the names and statuses of those that died; raises TimeoutError."""
        waiting = list(self.pipes)
        while waiting:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select(waiting, [], [], left)
            if not readable:
                raise TimeoutError
            for descriptor in readable:
                if not os.read(descriptor, 64):
                    return self.reap()
                waiting.remove(descriptor)
        return None

    def reap(self) -> dict[str, int]:
        """Statuses of cores that ended; a signal counts negative."""
        died: dict[str, int] = {}
        end = time.monotonic() + 2
        while not died and time.monotonic() < end:
            for pid, data_rank in list(self.pids.items()):
                with contextlib.suppress(ChildProcessError):
                    found, status = os.waitpid(pid, os.WNOHANG)
                    if found:
                        died[f"EngineCore_DP{data_rank}"] = os.waitstatus_to_exitcode(status)
                        del self.pids[pid]
            time.sleep(0.05)
        return died

    def dead(self) -> bool:
        for pid in list(self.pids):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self.pids[pid]
                    return True
        return False

    def stop(self) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 3
        while self.pids and time.monotonic() < deadline:
            self.dead()
            time.sleep(0.02)
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def banner(log: Log, model: str) -> None:
    art = [
        "",
        "       █     █     █▄   ▄█",
        f" ▄▄ ▄█ █     █     █ ▀▄▀ █  version {VERSION}",
        f"  █▄█▀ █     █     █     █  model   {model}",
        "   ▀▀  ▀▀▀▀▀ ▀▀▀▀▀ ▀     ▀",
        "",
    ]
    for line in art:
        log.info("utils.py:293", line)


def platform_lines() -> None:
    log = Log("")
    log.info("__init__.py:44", "Available plugins for group vllm.platform_plugins:")
    log.info("__init__.py:46", "- ascend -> vllm_ascend:register")
    log.info(
        "__init__.py:49",
        "All plugins in this group will be loaded. Set `VLLM_PLUGINS` to control which plugins to load.",
    )
    log.info("__init__.py:239", "Platform plugin ascend is activated")


ROUTES = (
    ("/openapi.json", "GET, HEAD"),
    ("/docs", "GET, HEAD"),
    ("/docs/oauth2-redirect", "GET, HEAD"),
    ("/redoc", "GET, HEAD"),
    ("/scale_elastic_ep", "POST"),
    ("/is_scaling_elastic_ep", "POST"),
    ("/tokenize", "POST"),
    ("/detokenize", "POST"),
    ("/inference/v1/generate", "POST"),
    ("/pause", "POST"),
    ("/resume", "POST"),
    ("/is_paused", "GET"),
    ("/metrics", "GET"),
    ("/health", "GET"),
    ("/load", "GET"),
    ("/v1/models", "GET"),
    ("/version", "GET"),
    ("/v1/responses", "POST"),
    ("/v1/chat/completions", "POST"),
    ("/v1/completions", "POST"),
    ("/v1/messages", "POST"),
    ("/ping", "GET"),
    ("/ping", "POST"),
    ("/invocations", "POST"),
)


def serve(arguments: list[str]) -> int:
    log = Log("APIServer")
    node = device.look()
    fault = device.fault(node)
    pace = Pace(device.speed(node))
    set_process_name("vllm")
    try:
        check_working_directory()
        check_environment(node)
        record = options.load_record()
        platform_lines()
        namespace = options.parse_serve(arguments, record)
        return run(namespace, record, node, fault, pace, log)
    except options.Refusal as refusal:
        sys.stderr.write(refusal.text)
        return refusal.status
    except Failed as failure:
        log.traceback(failure.frames, failure.error)
        return failure.status


def run(
    namespace: argparse.Namespace, record: dict[str, Any], node: device.Node, fault: str, pace: Pace, log: Log
) -> int:
    model = str(namespace.model_tag or namespace.model)
    pace.wait(2)
    banner(log, model)
    log.info("utils.py:229", f"non-default args: {options.non_default(namespace, record)}")
    listener = open_port(namespace)
    config = model_config(model)
    architecture = (config.get("architectures") or ["Qwen3_5ForConditionalGeneration"])[0]
    log.info("model.py:529", f"Resolved architecture: {architecture}")
    if namespace.max_model_len is None:
        text = config.get("text_config") or config
        namespace.max_model_len = int(text.get("max_position_embeddings", DEFAULT_POSITIONS))
    check_config(namespace, config)
    log.info("model.py:1549", f"Using max model len {namespace.max_model_len}")
    log.info(
        "scheduler.py:224",
        f"Chunked prefill is enabled with max_num_batched_tokens={namespace.max_num_batched_tokens or 2048}.",
    )
    plan = Plan(namespace, node, fault, shards_of(model))
    if not plan.shards:
        raise Failed(
            f"RuntimeError: Cannot find any model weights with `{model}`",
            [
                *ENGINE_FRAMES,
                (
                    f"{SITE}/model_executor/model_loader/default_loader.py",
                    224,
                    "_prepare_weights",
                    "raise RuntimeError(",
                ),
            ],
        )
    if not plan.eager:
        log.info(
            "platform.py:300",
            "FULL_DECODE_ONLY compilation enabled on NPU. use_inductor not supported - using only ACL Graph mode",
        )
    pace.wait(2)
    if fault == "ignore-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cores = Cores(plan)
    timeout = float(os.environ.get("VLLM_ENGINE_READY_TIMEOUT_S", "600"))
    frames = [*ENGINE_FRAMES, (f"{SITE}/v1/engine/utils.py", 1028, "wait_for_engine_startup", "raise RuntimeError(")]
    try:
        died = cores.wait_until_ready(None if fault == "silent" else time.monotonic() + timeout)
    except TimeoutError:
        cores.stop()
        raise Failed(
            "TimeoutError: Timed out waiting for engines to send initial message on input socket.", frames
        ) from None
    if died is not None:
        cores.stop()
        raise Failed(
            f"RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {died}",
            frames,
        )
    return serve_requests(namespace, plan, cores, listener, log)


def serve_requests(namespace: argparse.Namespace, plan: Plan, cores: Cores, listener: socket.socket, log: Log) -> int:
    log.info("api_server.py:667", "Supported tasks: ['generate']")
    log.info(
        "hf.py:310",
        "Detected the chat template content format to be 'openai'. "
        "You can set `--chat-template-content-format` to override this.",
    )
    plan.pace.wait(1)
    host = namespace.host or "0.0.0.0"
    log.info("api_server.py:946", f"Starting vLLM API server 0 on http://{host}:{namespace.port}")
    log.info("launcher.py:38", "Available routes are:")
    for route, methods in ROUTES:
        log.info("launcher.py:47", f"Route: {route}, Methods: {methods}")
    log.uvicorn(f"Started server process [{os.getpid()}]")
    log.uvicorn("Waiting for application startup.")
    engine = server.Engine(namespace, plan.fault, plan.pace.speed)
    httpd = server.start(listener, engine, log)
    log.uvicorn("Application startup complete.")
    signal.signal(signal.SIGTERM, lambda *_: engine.stopping.set())
    signal.signal(signal.SIGINT, lambda *_: engine.stopping.set())
    last = time.monotonic()
    while not engine.stopping.wait(0.2):
        if engine.poisoned.is_set():
            for pid in list(cores.pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if cores.dead():
            log.logged_traceback(
                "async_llm.py:708",
                "AsyncLLM output_handler failed.",
                [
                    (
                        f"{SITE}/v1/engine/async_llm.py",
                        664,
                        "output_handler",
                        "outputs = await engine_core.get_output_async()",
                    ),
                    (
                        f"{SITE}/v1/engine/core_client.py",
                        894,
                        "get_output_async",
                        "raise self._format_exception(outputs) from None",
                    ),
                ],
                "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. "
                "See stack trace (above) for the root cause.",
            )
            engine.dead.set()
            break
        if time.monotonic() - last >= 10:
            last = time.monotonic()
            engine.log_statistics(log)
    log.info("launcher.py:110", "Shutting down FastAPI HTTP server.")
    engine.stopping.set()
    cores.stop()
    engine.wait_for_handlers(3)
    httpd.shutdown()
    log.uvicorn("Shutting down")
    log.uvicorn("Waiting for application shutdown.")
    log.uvicorn("Application shutdown complete.")
    log.uvicorn(f"Finished server process [{os.getpid()}]")
    return 0
