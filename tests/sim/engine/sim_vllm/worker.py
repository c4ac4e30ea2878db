# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker process: one card, from opening the device to holding its memory; its ways to fail."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any, NoReturn

from . import device
from .failures import ENGINE_ERRORS, ENGINE_FRAME
from .log import Log, capture_progress, shard_progress
from .plan import Plan
from .process import die_with_parent, set_process_name

GRAPH_SIZES = 19


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
        if plan.fault == "507008":
            self.fail("507008")
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
