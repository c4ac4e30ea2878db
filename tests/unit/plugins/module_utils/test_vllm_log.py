# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs of real starts and real failures, recorded from vLLM 0.32 on a CPU; Ascend's own lines from public issues."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._serving import log

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "vllm"


def lines(name):
    with open(FIXTURES / name, encoding="utf-8", newline="") as file:
        return log.split_lines(file.read())


class TestProgress:
    def test_a_real_start_passes_the_stages_in_order_and_never_goes_back(self):
        now, seen = log.Progress(), []
        for line in lines("serve-guide-tp4-0.32.log"):
            before, now = now, log.follow([line], now)
            assert log.STAGES.index(now.stage) >= log.STAGES.index(before.stage)
            if now.stage not in seen:
                seen.append(now.stage)
        assert seen == [
            "waiting",
            "configuring",
            "starting_engine",
            "loading_model",
            "loading_weights",
            "weights_loaded",
            "profiling",
            "engine_ready",
            "starting_server",
            "ready",
        ]

    def test_it_does_not_matter_how_the_log_is_cut(self):
        every = lines("serve-guide-tp4-0.32.log")
        for cut in range(0, len(every), 7):
            assert log.follow(every[cut:], log.follow(every[:cut])) == log.follow(every)

    @pytest.mark.parametrize(
        ("line", "stage", "percent"),
        [
            (
                "Loading safetensors checkpoint shards:  42% Completed | 5/12 [00:31<00:44,  6.3s/it]",
                "loading_weights",
                42,
            ),
            ("\rLoading safetensors checkpoint shards: 100% Completed | 12/12 [01:12<00:00]", "loading_weights", 100),
            ("(Worker_TP0 pid=7) Capturing ACL graphs (decode, FULL):  31%|███       | 11/35", "capturing_graphs", 31),
            (
                "(Worker_TP0 pid=7) INFO 11-22 08:20:17 [x.py:1] Loading weights took 81.2 seconds",
                "weights_loaded",
                None,
            ),
            ("(EngineCore pid=9) INFO 11-22 08:20:17 [x.py:1] GPU KV cache size: 1,234 tokens", "profiling", None),
            ("INFO 11-22 08:20:17 [x.py:1] Padding mamba page size by 86.86% to ensure", "waiting", None),
            ("INFO:     Application startup complete.", "ready", None),
        ],
    )
    def test_one_line(self, line, stage, percent):
        assert log.follow(log.split_lines(line)) == log.Progress(stage, percent)

    def test_progress_bars_rewrite_their_line(self):
        shards = "\rLoading safetensors checkpoint shards:  %d%% Completed"
        text = "".join(shards % percent for percent in (0, 25, 50))
        assert log.follow(log.split_lines(text)).percent == 50

    def test_percent_of_slower_workers_does_not_go_back(self):
        now = log.follow(["Capturing graphs:  60%| x", "Capturing graphs:  20%| x"])
        assert now == log.Progress("capturing_graphs", 60)
        assert now.text() == "capturing graphs 60%"


class TestDiagnosis:
    @pytest.mark.parametrize(
        ("name", "signature", "cause"),
        [
            ("badflag", "unknown_option", "unrecognized arguments: --no-such-flag"),
            ("badjson", "invalid_configuration", "additional_config"),
            ("badtls", "tls_file", "FileNotFoundError"),
            ("badutil", "invalid_configuration", "gpu_memory_utilization"),
            ("kvbig", "device_memory", "less than requested memory for kv"),
            ("mbt", "batch_too_small", "max_num_batched_tokens (4)"),
            ("nomodel", "no_model", "Repo id must be in the form"),
            ("portbusy", "port_taken", "Address already in use"),
            ("toolong", "too_long", "max_model_len (99999)"),
            ("tp4", "heads_not_divisible", "attention heads (2)"),
        ],
    )
    def test_recorded_failures(self, name, signature, cause):
        diagnosis = log.diagnose(lines("fail-%s-0.32.log" % name))
        assert diagnosis.names == [signature]
        assert cause in " ".join(diagnosis.cause)
        assert "Fix: " in diagnosis.text()

    @pytest.mark.parametrize(
        ("line", "signature"),
        [
            ("dcmi module initialize failed. ret is -8005", "card_held"),
            ("DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3) ret = -8020, device is used", "card_held"),
            ("RuntimeError: ... error code is 507008", "card_held"),
            ("[ERROR] TsdOpen failed, devId=0, tdt error=31", "driver_mismatch"),
            (
                "RuntimeError: Initialize:torch_npu/csrc/core/npu/sys_ctrl/npu_sys_ctrl.cpp, error code is 507033",
                "driver_mismatch",
            ),
            ("E39011: 2025-11-22 failed", "driver_mismatch"),
            ("rtStreamCreateWithFlagsImpl, error code is 207008", "stream_resources"),
            ("EL0009: stream resources exhausted", "stream_resources"),
            ("[ERROR] EE1003: op CausalConv1d", "tensor_parallel_kernel"),
            (
                "EJ0003: Failed to bind the IP port. Reason: The IP address and port have been bound already.",
                "hccl_port",
            ),
            ("EI0019: port clash", "hccl_port"),
            (
                "OSError: libatb.so: cannot open shared object file: No such file or directory",
                "environment_not_sourced",
            ),
            ("RuntimeError: Failed to infer device type", "environment_not_sourced"),
            ("ModuleNotFoundError: No module named 'vllm.benchmarks.latency'", "working_directory"),
            ("TimeoutError: Timed out waiting for engines to send initial message on input socket.", "slow_weights"),
            (
                "docker: Error response from daemon: error gathering device information while adding custom device "
                '"/dev/davinci3": no such file or directory.',
                "device_missing",
            ),
            ("docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "docker_down"),
            (
                'docker: Error response from daemon: Conflict. The container name "/qwen3.5" is already in use',
                "name_taken",
            ),
            ("exec /bin/bash: exec format error", "architecture"),
            ("OSError: [Errno 28] No space left on device: '/psm_1234'", "shared_memory"),
            ("OSError: [Errno 28] No space left on device: '/var/log/x'", "disk_full"),
            ("safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge", "weights_damaged"),
            ("RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB", "device_memory"),
            (
                "[rank1]: EI0006: [PID: 1292363] 2025-04-08-18:07:20.444.436 Getting socket times out. Reason: Remote",
                "hccl_connect",
            ),
            (
                "[PID: 108272] 2026-05-21-21:41:11.284.296 Communication_Error_Get_Socket(EI0006): Getting",
                "hccl_connect",
            ),
            ("EI0009: [PID: 2225827] 2025-09-24-20:59:48.119.066 Transport init error. Reason: x", "hccl_connect"),
            (
                "RuntimeError: create_config:build/x.ts:148 HCCL function error: hcclCommInitRootInfoConfig(numRanks, "
                "&rootInfo, rank, config, &(comm->hcclComm_)), error code is 1",
                "hccl_init",
            ),
            ("[ERROR] 2025-09-03-03:02:37 (PID:7226, Device:1) ERR02200 DIST call hccl api failed.", "hccl_init"),
            (
                "hccl fftsplus task timeout occurred during task execution, stream_id:9, sq_id:9, task_id:51052, stuck "
                "notify num:1, timeout=1836s.",
                "hccl_exec_timeout",
            ),
            (
                "RuntimeError: RunOpApiV2:build/x.ts:256 NPU function error: "
                "c10_npu::acl::AclrtSynchronizeStreamWithTimeout(stream), error code is 507035",
                "kernel_fault",
            ),
            ("[Error]: The vector core execution is abnormal.", "kernel_fault"),
            ("EZ9999: The error from device(chipId:2, dieId:0), there is an exception of aivec error", "kernel_fault"),
            ("[Error]: The aicore execution times out.", "kernel_fault"),
            ("        Device[0] lost heartbeat.[FUNC:SyncTask][FILE:direct_hwts_engine.cc][LINE:407]", "device_lost"),
            ("EZ9999: Inner Error!", "npu_error"),
            ("/lib64/libc.so.6: version `GLIBC_2.38' not found (required by libascend_hal.so)", "driver_libraries"),
            (
                "ImportError: libascend_hal.so: cannot open shared object file: No such file or directory",
                "driver_libraries",
            ),
            ("Path /vllm-workspace for [ge.debugDir] is invalid, Permission denied", "folder_not_writable"),
            ("RuntimeError: 0 active drivers ([]). There should only be one.", "triton_conflict"),
        ],
    )
    def test_signatures_of_the_field(self, line, signature):
        diagnosis = log.diagnose(
            ["starting", line, "RuntimeError: Engine core initialization failed. See root cause above."]
        )
        assert diagnosis.names == [signature]

    @pytest.mark.parametrize(
        "line",
        [
            "INFO 11-22 08:20:17 [x.py:1] checkpoint of 158005 bytes",
            "INFO 11-22 08:20:17 [x.py:1] took 1.8005 seconds, 3.8005 more",
            "INFO: Application startup complete.",
            "WARNING 11-22 07:26:31 [x.py:255] Errors like `OSError: [Errno 28] No space left on device`",
            "INFO 11-22 08:20:17 [x.py:1] non-default args: {'ssl_certfile': 'Address already in use'}",
        ],
    )
    def test_no_false_alarm(self, line):
        diagnosis = log.diagnose([line])
        assert diagnosis.found == ()
        assert diagnosis.cause == ()

    def test_a_healthy_log_betrays_nothing(self):
        assert log.diagnose(lines("serve-guide-tp4-0.32.log")[:168]).found == ()

    @pytest.mark.parametrize("name", ["sig-enginekill-0.32.log", "engine-dead-0.32.log"])
    def test_an_engine_that_died_without_a_known_reason(self, name):
        assert log.diagnose(lines(name)).names == ["engine_died"]

    def test_the_cause_is_the_root_and_not_its_echo(self):
        assert log.diagnose(lines("engine-dead-0.32.log")).cause == ("RuntimeError: Unexpected head dim size, 32",)

    WAITS = (
        "(EngineCore pid=4663) INFO 11-22 08:22:48 [shm_broadcast.py:871] No available shared memory broadcast block "
        "found in 60 seconds. This typically happens when some processes are hanging or doing some time-consuming work"
    )

    def test_workers_that_wait_are_a_cause_only_where_nothing_follows(self):
        assert log.diagnose(["a", self.WAITS]).names == ["workers_wait"]
        assert log.diagnose([self.WAITS, "GPU KV cache size: 1 tokens"]).names == []

    def test_they_are_no_sign_of_life_but_in_stages_that_take_long(self):
        assert log.is_sign_of_life(self.WAITS, "capturing_graphs")
        assert log.is_sign_of_life("anything", "starting_engine")
        assert not log.is_sign_of_life(self.WAITS, "starting_engine")

    def test_an_engine_that_is_not_bound_to_processors_is_noted(self):
        line = "WARNING 11-22 08:22:48 [worker.py:227] Can not get running npu info. in 0"
        (note,) = log.notes(["a", line, line])
        assert note.startswith("found Can not get running npu info. in 0 in the log: vllm-ascend did not bind")
        assert log.notes(lines("serve-guide-tp4-0.32.log")) == []

    def test_an_empty_log(self):
        assert log.diagnose([]).text() == "the log is empty"

    def test_every_signature_says_what_it_means_and_what_to_do(self):
        names = [s.name for s in log.SIGNATURES]
        assert len(names) == len(set(names))
        assert all(s.meaning and s.fix for s in log.SIGNATURES)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_waiting{engine="0"} 2.0\n', (3, 2)),
        (
            'vllm:num_requests_running{engine="0"} 1.0\nvllm:num_requests_running{engine="1"} 4.0\n'
            'vllm:num_requests_waiting{engine="0"} 0.0\nvllm:num_requests_waiting{engine="1"} 1e+01\n',
            (5, 10),
        ),
        ("vllm:num_requests_running 1.0\n", None),
        ("", None),
    ],
)
def test_requests_in_flight(text, wanted):
    assert log.requests_in_flight(text) == wanted


def test_requests_in_recorded_metrics():
    assert log.requests_in_flight((FIXTURES / "metrics-0.32.txt").read_text()) == (0, 0)
