# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's core: it starts the workers and dies with them; and the cores as the API server sees them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import NoReturn

from . import VERSION
from .failures import SITE
from .log import Log
from .plan import Plan
from .process import die_with_parent, set_process_name, signal_all
from .worker import run_worker

SMALLEST_SHM = 1 << 30


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
        signal_all(workers)
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
            signal_all(workers)
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
        signal_all(workers)
        os._exit(1)


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
        signal_all(self.pids, signal.SIGTERM)
        deadline = time.monotonic() + 3
        while self.pids and time.monotonic() < deadline:
            self.dead()
            time.sleep(0.02)
        signal_all(self.pids)
