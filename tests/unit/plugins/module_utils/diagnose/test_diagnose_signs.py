# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every failure that has a name is found in a log that shows it, with cause, fix and lines; a healthy host has none.

Logs of whole starts were recorded from vLLM 0.32 on a CPU (fixtures/vllm). Ascend's own lines are as people have posted
them; `va` is vllm-project/vllm-ascend, the number that of the thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose import signs, sources
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose.host_signatures import (
    HOST_SIGNATURES,
    KERNEL_SIGNATURES,
)
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose.take import LEFT_OUT, Source, Taken
from ansible_collections.ascend.fleet.plugins.module_utils._serving import log
from ansible_collections.ascend.fleet.plugins.module_utils._serving.signatures import SIGNATURES

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
UNIT = "vllm-qwen3.5@0.service"
NOW = 1796047200.0  # 2026-11-30T14:00:00Z
ENDED = {UNIT: {"ActiveState": "failed", "SubState": "failed"}}
SERVES = {UNIT: {"ActiveState": "active", "SubState": "running"}}


def recorded(name: str) -> list[str]:
    return log.split_lines((FIXTURES / "vllm" / name).read_text(encoding="utf-8"))


def journal(lines: list[str], minute: int = 58) -> str:
    """As `journalctl --output=short-iso` prints them."""
    return "".join(
        "2026-11-30T13:%02d:%02d+0000 a2-1 docker[4711]: %s\n" % (minute, n % 60, x) for n, x in enumerate(lines)
    )


def taken(kind: str, text: str, **more: Any) -> Taken:
    return Taken(Source("a/%s.txt" % kind, kind, signs=kind, unit=UNIT), state="collected", text=text, **more)


def find(kind: str, text: str, states: dict[str, dict[str, str]], **more: Any) -> list[signs.Sign]:
    return signs.find([taken(kind, text, **more)], states, NOW)


# What an engine's journal shows: signature, and the lines.
ENGINE: list[tuple[str, str, str]] = [
    ("card_held", "va#2698", "RuntimeError: Initialize failed, error code is 507008"),
    ("card_held", "va#632", "dcmi model initialized failed, because the device is used. ret is -8020"),
    ("card_held", "va#6942", "dcmi module initialize failed. ret is -8005"),
    (
        "driver_mismatch",
        "va#3190",
        "RuntimeError: Initialize:torch_npu/csrc/core/npu/npu_sys_ctrl.cpp, error code is 507033",
    ),
    ("driver_mismatch", "va#5468", "E39011: [PID: 118] 2026-11-30 The driver of the device does not start"),
    ("driver_mismatch", "field", "[ERROR] TDT(118,python3):2026-11-30-13:58:08 TsdOpen failed, devId=0, tdt error=31"),
    ("stream_resources", "va#11990", "RuntimeError: rtStreamCreateWithFlagsImpl, error code is 207008"),
    ("stream_resources", "va FAQ 17", "EL0009: [PID: 118] The stream resources are not enough"),
    ("stream_resources", "va FAQ 17", "RuntimeError: capture failed, error code is 207005"),
    ("tensor_parallel_kernel", "va#7310", "RuntimeError: EE1003: The argument of op CausalConv1d is invalid"),
    (
        "hccl_port",
        "va#405",
        "EJ0003: Failed to bind the IP port. Reason: The IP address and port have been bound already.",
    ),
    ("hccl_port", "va#11968", "EI0019: [PID: 118] The port is in use"),
    (
        "environment_not_sourced",
        "va#302",
        "OSError: libatb.so: cannot open shared object file: No such file or directory",
    ),
    ("environment_not_sourced", "va FAQ 6", "RuntimeError: Failed to infer device type"),
    (
        "engine_died",
        "va#3513",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
    ),
    ("shared_memory", "va#3513", "OSError: [Errno 28] No space left on device: '/psm_1d2e3f'"),
    ("working_directory", "va#725", "ModuleNotFoundError: No module named 'vllm.benchmarks.latency'"),
    ("slow_weights", "va#6847", "TimeoutError: Timed out waiting for engines to send initial message on input socket."),
    ("threads_refused", "va FAQ 20", "RuntimeError: can't start new thread"),
    (
        "hccl_init",
        "va#397",
        "RuntimeError: HCCL function error: HcclCommInitRootInfo(numRanks, &rootInfo), error code is 7",
    ),
    ("hccl_init", "va#486", "[ERROR] 2026-11-30-13:58:37 (PID:118, Device:1) ERR02200 DIST call hccl api failed."),
    (
        "hccl_connect",
        "va#3196",
        "[rank1]: EI0006: [PID: 129] 2026-11-30-13:58:20 Getting socket times out. Reason: Remote",
    ),
    ("hccl_connect", "va#11542", "EI0009: [PID: 222] 2026-11-30-13:58:48 Transport init error. Reason: x"),
    ("hccl_exec_timeout", "va#10591", "EI0002: [PID: 222] The wait execution of the Notify register times out."),
    (
        "hccl_exec_timeout",
        "va#16646",
        "hccl fftsplus task timeout occurred during task execution, stream_id:9, timeout=1836s.",
    ),
    ("kernel_fault", "va#6018", "RuntimeError: AclrtSynchronizeStreamWithTimeout(stream), error code is 507011"),
    ("kernel_fault", "va#2997", "RuntimeError: AclrtSynchronizeStreamWithTimeout(stream), error code is 507015"),
    ("kernel_fault", "va#11896", "RuntimeError: NPU function error: AclrtSynchronizeStream, error code is 507035"),
    ("kernel_fault", "va#11092", "EZ9999: The error from device(chipId:2), there is an exception of aivec error"),
    ("npu_error", "va#7651", "EZ9999: Inner Error!"),
    ("npu_error", "va#10979", "[ERROR] 2026-11-30-13:58:37 (PID:118, Device:0) ERR00100 PTA call acl api failed."),
    ("device_lost", "va#8186", "Device[0] lost heartbeat.[FUNC:SyncTask][FILE:direct_hwts_engine.cc][LINE:407]"),
    (
        "driver_libraries",
        "gpustack#3284",
        "ImportError: libascend_hal.so: cannot open shared object file: No such file",
    ),
    (
        "driver_libraries",
        "mind-cluster",
        "/lib64/libc.so.6: version `GLIBC_2.38' not found (required by libdrvdsmi_host.so)",
    ),
    ("triton_conflict", "va#7359", "RuntimeError: 0 active drivers ([]). There should only be one."),
    (
        "proxy",
        "397B docs",
        "requests.exceptions.ProxyError: Cannot connect to proxy., Tunnel connection failed: 403 Forbidden",
    ),
    ("folder_not_writable", "va#2748", "Path /vllm-workspace for [ge.debugDir] is invalid, result: Permission denied"),
    ("weights_damaged", "va#955", "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge"),
    (
        "device_memory",
        "va FAQ 12",
        "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB (NPU 0; 60.97 GiB total)",
    ),
    (
        "device_missing",
        "field",
        'docker: error gathering device information while adding custom device "/dev/davinci3": no such file.',
    ),
]


@pytest.mark.parametrize(("name", "_source", "line"), ENGINE, ids=["%s-%s" % row[:2] for row in ENGINE])
def test_a_failed_start(name: str, _source: str, line: str) -> None:
    before = recorded("serve-guide-tp4-0.32.log")[:40]
    text = journal([*before, "(Worker_TP0 pid=201) ERROR 11-30 13:58:20 [multiproc.py:1] " + line, "container ended"])
    [sign] = find(sources.FAILURE, text, ENDED)
    assert (sign.name, sign.unit, sign.is_now) == (name, UNIT, True)
    assert sign.meaning
    assert sign.fix
    assert any(line in shown for shown in sign.lines)
    assert line in text.splitlines()[sign.line - 1]
    assert sign.at == text.splitlines()[sign.line - 1][:24]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("fail-badflag-0.32.log", "unknown_option"),
        ("fail-badjson-0.32.log", "invalid_configuration"),
        ("fail-badtls-0.32.log", "tls_file"),
        ("fail-badutil-0.32.log", "invalid_configuration"),
        ("fail-kvbig-0.32.log", "device_memory"),
        ("fail-mbt-0.32.log", "batch_too_small"),
        ("fail-nomodel-0.32.log", "no_model"),
        ("fail-portbusy-0.32.log", "port_taken"),
        ("fail-toolong-0.32.log", "too_long"),
        ("fail-tp4-0.32.log", "heads_not_divisible"),
        ("engine-dead-0.32.log", "engine_died"),
        ("sig-enginekill-0.32.log", "engine_died"),
    ],
)
def test_recorded_failures(file: str, name: str) -> None:
    found = find(sources.FAILURE, journal(recorded(file)), ENDED)
    assert [sign.name for sign in found] == [name]
    assert found[0].lines


KERNEL = [
    ("out_of_memory", "[Mon Nov 30 13:00:00 2026] Out of memory: Killed process 77 (VLLM::EngineCor) total-vm:1kB"),
    ("out_of_memory", "[Mon Nov 30 13:00:00 2026] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task=python3"),
    ("hung_task", "[Mon Nov 30 13:00:00 2026] INFO: task python3:4711 blocked for more than 120 seconds."),
    (
        "pcie_error",
        "[Mon Nov 30 13:00:00 2026] pcieport 0000:c0:00.0: AER: Uncorrected (Fatal) error received: 0000:c1:00.0",
    ),
    ("driver_fault", "[Mon Nov 30 13:00:00 2026] [ascend] [devdrv] device 3 heartbeat lost"),
    ("disk_errors", "[Mon Nov 30 13:00:00 2026] blk_update_request: I/O error, dev nvme0n1, sector 12345"),
    (
        "machine_check",
        "[Mon Nov 30 13:00:00 2026] {1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 0",
    ),
]
HOST = [
    ("card_held", (FIXTURES / "npu_smi/errors/dcmi-8020-device-is-used.txt").read_text()),
    ("card_held", (FIXTURES / "npu_smi/errors/dcmi-8005-no-prefix.txt").read_text()),
    ("device_unavailable", "dcmi module initialize failed: device is unavailable"),
    (
        "driver_libraries",
        "npu-smi: error while loading shared libraries: libdrvdsmi_host.so: cannot open shared object file",
    ),
    ("npu_smi_is_a_directory", "sh: 1: /usr/local/sbin/npu-smi: Is a directory"),
    ("archive_damaged", 'level=error msg="Error processing tar file: archive/tar: invalid tar header"'),
    ("seccomp_old", "container init caused: error adding seccomp filter rule for syscall clone3"),
    ("exporter_refused", "npu-exporter[1]: check uid or mode failed, path: /usr/local/dcmi"),
    ("exporter_refused", "npu-exporter[1]: get sem errno =13"),
]


@pytest.mark.parametrize(("name", "line"), KERNEL, ids=[row[0] for row in KERNEL])
def test_what_the_kernel_says(name: str, line: str) -> None:
    [sign] = find(sources.KERNEL, "[Mon Nov 30 12:00:00 2026] davinci 0000:c1:00.0: enabled\n" + line + "\n", {})
    assert (sign.name, sign.at) == (name, "Mon Nov 30 13:00:00 2026")
    assert sources._KERNEL_LINES.search(line)  # it is among the lines that are kept


@pytest.mark.parametrize(("name", "text"), HOST, ids=[row[0] for row in HOST])
def test_what_tools_of_the_host_say(name: str, text: str) -> None:
    assert [sign.name for sign in find(sources.HOST, text, {})] == [name]


def test_npu_smi_that_could_not_be_started_is_looked_at_too() -> None:
    words = "unable to start /usr/local/sbin/npu-smi: is a directory"
    one = Taken(Source("npu-smi/info.txt", "npu-smi info", signs=sources.HOST), LEFT_OUT, words)
    assert [sign.name for sign in signs.find([one], {}, NOW)] == ["npu_smi_is_a_directory"]


def test_every_signature_has_a_log_that_shows_it() -> None:
    shown = {row[0] for row in ENGINE + KERNEL + HOST}
    assert {s.name for s in (*KERNEL_SIGNATURES, *HOST_SIGNATURES)} <= shown
    # The rest of an engine's own signatures is shown in test_vllm_log.py, by recorded logs above, or below.
    others = {"chips_not_ready", "docker_down", "image_missing", "name_taken", "architecture", "architecture_unknown"}
    options = {"unknown_option", "heads_not_divisible", "too_long", "batch_too_small", "invalid_configuration"}
    model = {"no_model", "tls_file", "port_taken", "disk_full", "workers_wait"}
    assert {s.name for s in SIGNATURES} <= shown | others | options | model


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "chips_not_ready",
            "found no device node /dev/davinci3 after 600 s; needed all chips of this replica. Fix: see dmesg",
        ),
        (
            "docker_down",
            "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        ),
        ("image_missing", "docker: Error response from daemon: No such image: sha256:4bcf"),
        ("name_taken", 'docker: Error response from daemon: Conflict. The container name "/q" is already in use'),
        ("architecture", "exec /bin/bash: exec format error"),
        ("architecture_unknown", "ValueError: Model architectures ['Qwen3_5'] are not supported for now."),
        ("disk_full", "OSError: [Errno 28] No space left on device: '/var/lib/ascend-fleet/x'"),
    ],
)
def test_starts_that_docker_or_the_host_refused(name: str, line: str) -> None:
    assert [sign.name for sign in find(sources.FAILURE, journal([line]), ENDED)] == [name]


class TestWhatIsNow:
    def test_a_former_failure_of_an_engine_that_serves_is_told_last(self) -> None:
        old = taken(sources.FAILURE, journal(["RuntimeError: error code is 507011"]))
        kernel = taken(sources.KERNEL, KERNEL[0][1])
        found = signs.find([old, kernel], SERVES, NOW)
        assert [(s.name, s.is_now) for s in found] == [("out_of_memory", True), ("kernel_fault", False)]

    def test_a_healthy_start_says_nothing(self) -> None:
        text = journal(recorded("serve-guide-tp4-0.32.log")[:168])
        assert find(sources.START, text, SERVES) == []
        assert find(sources.RECENT, text, SERVES) == []

    def test_a_fault_while_it_served(self) -> None:
        lines = [*recorded("serve-guide-tp4-0.32.log")[:168], "hccl fftsplus task timeout occurred, timeout=1836s."]
        assert [s.name for s in find(sources.RECENT, journal(lines), SERVES)] == ["hccl_exec_timeout"]

    def test_what_an_earlier_start_said_is_no_fault_of_this_one(self) -> None:
        lines = ["RuntimeError: error code is 507033", "INFO:     Application startup complete."]
        assert find(sources.RECENT, journal(lines), SERVES) == []

    def test_a_start_that_went_silent(self) -> None:
        # va#11095: Qwen3.5-27B, the start says nothing any more.
        lines = recorded("serve-guide-tp4-0.32.log")[:40]
        [sign] = find(sources.START, journal(lines, minute=30), SERVES)
        assert (sign.name, len(sign.lines)) == ("silent_start", 4)
        assert find(sources.START, journal(lines, minute=59), SERVES) == []

    def test_a_silent_start_that_waits_for_its_workers(self) -> None:
        # va#3717: normal while graphs are captured, a hang where nothing follows.
        waits = "No available shared memory broadcast block found in 60 seconds."
        assert [s.name for s in find(sources.START, journal(["x", waits], 30), SERVES)] == ["workers_wait"]

    def test_an_engine_without_processors_of_its_own(self) -> None:
        # va#6966: it serves, and varies.
        [sign] = find(sources.RECENT, journal(["WARNING 11-22 [worker.py:227] Can not get running npu info."]), SERVES)
        assert sign.name == "serves_worse"
        assert "npu-smi and lscpu" in sign.lines[0]

    def test_an_engine_that_hangs_behind_a_healthy_port(self) -> None:
        # vllm#53157: what the watchdog remembers.
        memory = {UNIT: {"state": "stalled", "reason": "3 requests, no token for 180 s"}, "x": {"state": "busy"}}
        [sign] = signs.stalled({"memory": memory})
        assert (sign.name, sign.unit, sign.lines) == ("stalled", UNIT, ["3 requests, no token for 180 s"])
        assert signs.stalled(None) == signs.stalled({"memory": "x"}) == []

    def test_a_failure_that_nobody_knows_shows_its_root(self) -> None:
        lines = ["a", "ValueError: the moon is full", "RuntimeError: Engine core proc x died", *["more"] * 30]
        [sign] = find(sources.FAILURE, journal(lines[:2] + lines[3:]), ENDED)
        assert (sign.name, sign.lines, sign.line) == ("unknown_failure", ["ValueError: the moon is full"], 2)
        [sign] = find(sources.FAILURE, journal(["one", "two"]), ENDED)
        assert [line[-3:] for line in sign.lines] == ["one", "two"]


class TestPlog:
    ERROR = "[ERROR] HCCL(946748,python3):2026-11-30-13:58:08.123.456 [hccl.cc:288] 9 EI0006 Getting socket times out\n"

    def test_lines_of_errors_alone(self) -> None:
        info = self.ERROR.replace("[ERROR]", "[INFO]").replace("EI0006 Getting socket times out", "HcclCommInitAll")
        [sign] = find(sources.PLOG, info + self.ERROR, SERVES)
        assert (sign.name, sign.at, sign.line, sign.is_now) == ("hccl_connect", "2026-11-30-13:58:08", 2, False)
        assert find(sources.PLOG, info, SERVES) == []

    def test_one_cause_in_many_logs_is_told_once(self) -> None:
        failure = taken(sources.FAILURE, journal(["EI0006: Getting socket times out"]))
        found = signs.find([taken(sources.PLOG, self.ERROR), taken(sources.PLOG, self.ERROR), failure], ENDED, NOW)
        assert [(s.name, s.source) for s in found] == [("hccl_connect", "a/failure.txt")]
