# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``vllm serve``: the start of an engine stage by stage, its service, its end."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from typing import Any

from . import VERSION, device, options, server, troubles
from .checks import (
    DEFAULT_POSITIONS,
    check_config,
    check_environment,
    check_working_directory,
    model_config,
    shards_of,
)
from .core import Cores
from .engine import Engine
from .failures import ENGINE_FRAMES, MAIN_FRAMES, SITE, Failed
from .flaws import FlawError, Flaws
from .log import Log
from .plan import Plan
from .process import Pace, set_process_name, signal_all

STARTED = time.time()
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
    except FlawError as error:
        log.error("flaws.py", str(error))
        return 2
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
    flaws = Flaws(os.environ, namespace.port)
    pace.wait(2)
    time.sleep(troubles.start_delay(namespace.port, node.state) + flaws.start_seconds)
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
    return serve_requests(namespace, plan, cores, listener, log, flaws)


def serve_requests(
    namespace: argparse.Namespace, plan: Plan, cores: Cores, listener: socket.socket, log: Log, flaws: Flaws
) -> int:
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
    found = troubles.Troubles(namespace.port, STARTED)
    found.refresh()
    engine = Engine(namespace, plan.fault, plan.pace.speed, found, flaws)
    httpd = server.start(listener, engine, log)
    log.uvicorn("Application startup complete.")
    # Not an Event: a handler that sets it while this thread waits for it waits for its own lock.
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: asked.append(got))
    last = time.monotonic()
    while not asked:
        time.sleep(0.2)
        found.refresh()
        if engine.poisoned.is_set():
            signal_all(cores.pids)
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
