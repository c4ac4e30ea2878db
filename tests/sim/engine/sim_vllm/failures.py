# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an engine cannot start: tracebacks and errors in the words of vLLM, torch_npu and CANN."""

from __future__ import annotations

Frame = tuple[str, int, str, str]

SITE = "/vllm-workspace/vllm/vllm"
ASCEND_SITE = "/vllm-workspace/vllm-ascend/vllm_ascend"
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
