# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP side: routes, answers, errors and metrics as vLLM's OpenAI-compatible server has them."""

from __future__ import annotations

import argparse
import base64
import binascii
import http.server
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from . import VERSION, answers, picture
from .log import Log

FIRST_TOKEN_SECONDS = 0.4
TOKEN_SECONDS = 0.025
DEFAULT_COMPLETION_TOKENS = 16
DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


class ApiError(Exception):
    """An error that is answered as JSON."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


class EngineDead(Exception):
    """The engine is gone or being stopped while a request is in flight."""


# ---------------------------------------------------------------------------------------------------------- metrics

TOKEN_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
FIRST_BUCKETS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    640.0,
    2560.0,
)
BETWEEN_BUCKETS = (
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
)
REQUEST_BUCKETS = (
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
    480.0,
    960.0,
    1920.0,
    7680.0,
)


class Histogram:
    def __init__(self, name: str, text: str, buckets: tuple[float, ...]) -> None:
        self.name, self.text, self.buckets = name, text, buckets
        self.counts = [0] * (len(buckets) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        place = next((number for number, edge in enumerate(self.buckets) if value <= edge), len(self.buckets))
        self.counts[place] += times
        self.total += value * times

    def render(self, labels: str) -> str:
        lines = [f"# HELP {self.name} {self.text}", f"# TYPE {self.name} histogram"]
        running = 0
        for edge, count in zip((*map(str, map(float, self.buckets)), "+Inf"), self.counts):
            running += count
            lines.append(f'{self.name}_bucket{{engine="0",le="{edge}",{labels}}} {float(running)}')
        lines.append(f'{self.name}_count{{engine="0",{labels}}} {float(running)}')
        lines.append(f'{self.name}_sum{{engine="0",{labels}}} {self.total}')
        return "\n".join(lines) + "\n"


class Metrics:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished = {"stop": 0, "length": 0, "abort": 0, "error": 0}
        self.first = Histogram(
            "vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", FIRST_BUCKETS
        )
        self.between = Histogram(
            "vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", BETWEEN_BUCKETS
        )
        self.request = Histogram(
            "vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", REQUEST_BUCKETS
        )
        self.queue = Histogram(
            "vllm:request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", REQUEST_BUCKETS
        )
        self.prompt = Histogram("vllm:request_prompt_tokens", "Number of prefill tokens processed.", TOKEN_BUCKETS)
        self.generation = Histogram(
            "vllm:request_generation_tokens", "Number of generation tokens processed.", TOKEN_BUCKETS
        )


# ----------------------------------------------------------------------------------------------------------- engine


class Engine:
    """Requests in flight and what they cost; the answers themselves come from ``answers``."""

    def __init__(self, namespace: argparse.Namespace, fault: str, speed: float) -> None:
        self.namespace, self.fault, self.speed = namespace, fault, speed
        self.names: list[str] = namespace.served_model_name or [str(namespace.model_tag or namespace.model)]
        self.root = str(namespace.model_tag or namespace.model)
        self.max_model_len = int(namespace.max_model_len)
        self.max_running = int(namespace.max_num_seqs or 128)
        self.media_path = str(namespace.allowed_local_media_path or "")
        keys = namespace.api_key or ([os.environ["VLLM_API_KEY"]] if os.environ.get("VLLM_API_KEY") else [])
        self.api_keys: list[str] = [keys] if isinstance(keys, str) else list(keys)
        self.created = int(time.time())
        self.stopping, self.dead, self.poisoned = threading.Event(), threading.Event(), threading.Event()
        self.metrics = Metrics()
        self.slots = threading.Condition()
        self.running = self.waiting = self.handlers = self.served = 0
        self.logged_generation = self.logged_prompt = 0

    def ended(self) -> bool:
        return self.stopping.is_set() or self.dead.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the engine lives."""
        end = time.monotonic() + seconds / self.speed
        while True:
            left = end - time.monotonic()
            if self.ended():
                raise EngineDead
            if left <= 0:
                return
            if left < 0.05:
                time.sleep(left)
            else:
                self.stopping.wait(min(left, 0.25))

    def generate(self, pieces: list[str], prompt_tokens: int, reason: str, stream: bool) -> Iterator[str]:
        """The pieces of an answer, at the pace of an engine; all at once unless they are streamed."""
        arrived = time.monotonic()
        finished = "abort"
        with self.slots:
            self.waiting += 1
            while self.running >= self.max_running and not self.ended():
                self.slots.wait(0.2)
            self.waiting -= 1
            self.running += 1
            self.served += 1
        try:
            started = time.monotonic()
            with self.metrics.lock:
                self.metrics.queue.observe(started - arrived)
                self.metrics.prompt_tokens += prompt_tokens
            if self.fault == "hang-request":
                self.pause(86400 * self.speed)
            if self.fault == "die-serving":
                self.poisoned.set()
                self.pause(86400 * self.speed)
            self.pause(FIRST_TOKEN_SECONDS + prompt_tokens * 0.0001)
            first = time.monotonic()
            if stream:
                due = first
                for piece in pieces:
                    yield piece
                    due += TOKEN_SECONDS / self.speed
                    delay = due - time.monotonic()
                    if delay > 0.001 or self.ended():
                        self.pause(delay * self.speed)
            else:
                self.pause(TOKEN_SECONDS * len(pieces))
                yield "".join(pieces)
            done = time.monotonic()
            finished = reason
            with self.metrics.lock:
                self.metrics.generation_tokens += len(pieces)
                self.metrics.first.observe(first - arrived)
                self.metrics.request.observe(done - arrived)
                self.metrics.prompt.observe(prompt_tokens)
                self.metrics.generation.observe(len(pieces))
                if len(pieces) > 1:
                    self.metrics.between.observe((done - first) / (len(pieces) - 1), len(pieces) - 1)
        finally:
            with self.metrics.lock:
                self.metrics.finished[finished] += 1
            with self.slots:
                self.running -= 1
                self.slots.notify()

    def wait_for_handlers(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.handlers and time.monotonic() < deadline:
            time.sleep(0.02)

    def log_statistics(self, log: Log) -> None:
        metrics = self.metrics
        generated, prompts = metrics.generation_tokens, metrics.prompt_tokens
        if generated == self.logged_generation and not self.running:
            return
        log.info(
            "loggers.py:259",
            f"Engine 000: Avg prompt throughput: {(prompts - self.logged_prompt) / 10:.1f} tokens/s, "
            f"Avg generation throughput: {(generated - self.logged_generation) / 10:.1f} tokens/s, "
            f"Running: {self.running} reqs, Waiting: {self.waiting} reqs, "
            f"GPU KV cache usage: {100 * self.cache_usage():.1f}%, Prefix cache hit rate: 0.0%",
        )
        self.logged_generation, self.logged_prompt = generated, prompts

    def cache_usage(self) -> float:
        return min(1.0, self.running * 0.004)

    def render_metrics(self) -> str:
        model = f'model_name="{self.names[0]}"'
        metrics = self.metrics

        def simple(name: str, kind: str, text: str, value: float, extra: str = "") -> str:
            return f'# HELP {name} {text}\n# TYPE {name} {kind}\n{name}{{engine="0",{extra}{model}}} {float(value)}\n'

        with metrics.lock:
            parts = [
                simple(
                    "vllm:num_requests_running", "gauge", "Number of requests in model execution batches.", self.running
                ),
                simple(
                    "vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", self.waiting
                ),
                simple(
                    "vllm:kv_cache_usage_perc",
                    "gauge",
                    "KV-cache usage. 1 means 100 percent usage.",
                    self.cache_usage(),
                ),
                simple("vllm:num_preemptions_total", "counter", "Cumulative number of preemption from the engine.", 0),
                simple(
                    "vllm:prompt_tokens_total", "counter", "Number of prefill tokens processed.", metrics.prompt_tokens
                ),
                simple(
                    "vllm:generation_tokens_total",
                    "counter",
                    "Number of generation tokens processed.",
                    metrics.generation_tokens,
                ),
                "# HELP vllm:request_success_total Count of successfully processed requests.\n"
                "# TYPE vllm:request_success_total counter\n",
            ]
            parts += [
                f'vllm:request_success_total{{engine="0",finished_reason="{reason}",{model}}} {float(count)}\n'
                for reason, count in metrics.finished.items()
            ]
            parts += [
                histogram.render(model)
                for histogram in (
                    metrics.prompt,
                    metrics.generation,
                    metrics.first,
                    metrics.between,
                    metrics.request,
                    metrics.queue,
                )
            ]
        parts.append(
            "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig\n"
            "# TYPE vllm:cache_config_info gauge\n"
            f'vllm:cache_config_info{{block_size="128",cache_dtype="auto",engine="0",'
            f'gpu_memory_utilization="{self.namespace.gpu_memory_utilization}",num_gpu_blocks="9408"}} 1.0\n'
        )
        return "".join(parts)


# --------------------------------------------------------------------------------------------------- media of a request


def load_media(engine: Engine, url: str) -> picture.Picture:
    """The picture that a URL stands for, with vLLM's words where it cannot be had."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "data":
        head, _, body = url.partition(",")
        if not head.endswith(";base64"):
            raise ApiError(400, "Only base64 data URLs are supported for now.")
        try:
            data = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ApiError(400, str(error)) from None
    elif parts.scheme == "file":
        if not engine.media_path:
            raise ApiError(400, "Cannot load local files without `--allowed-local-media-path`.")
        path = os.path.realpath(urllib.request.url2pathname(parts.netloc + parts.path))
        allowed = os.path.realpath(engine.media_path)
        if os.path.commonpath([path, allowed]) != allowed:
            raise ApiError(400, f"The file path {path} must be a subpath of `--allowed-local-media-path {allowed}`.")
        try:
            with open(path, "rb") as stream:
                data = stream.read()
        except OSError as error:
            raise ApiError(400, str(error)) from None
    elif parts.scheme in ("http", "https"):
        data = fetch(engine, url, parts)
    else:
        raise ApiError(400, "The URL must be either a HTTP, data or file URL.")
    try:
        return picture.read_picture(data)
    except picture.UnreadablePicture:
        raise ApiError(
            400, "Failed to load image: cannot identify image file <_io.BytesIO object at 0x7f2c4c0d8e50>"
        ) from None


def fetch(engine: Engine, url: str, parts: urllib.parse.SplitResult) -> bytes:
    domains = engine.namespace.allowed_media_domains
    if domains and parts.hostname not in domains:
        raise ApiError(
            400, f"The URL must be from one of the allowed domains: {domains}. Input URL domain: {parts.hostname}"
        )
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read(64 << 20))
    except urllib.error.HTTPError as error:
        raise ApiError(400, f"{error.code}, message='{error.reason}', url='{url}'") from None
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        said = getattr(reason, "strerror", None) or str(reason)
        raise ApiError(400, f"Cannot connect to host {parts.hostname}:{port} ssl:default [{said}]") from None


# ---------------------------------------------------------------------------------------------------------- requests


def require(body: dict[str, Any], name: str) -> Any:
    if name not in body:
        raise ApiError(
            400,
            "1 validation error:\n  {'type': 'missing', 'loc': ('body', '%s'), 'msg': 'Field required', "
            "'input': %r}" % (name, body),
        )
    return body[name]


def whole_number(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ApiError(
            400,
            "1 validation error:\n  {'type': 'int_type', 'loc': ('body', '%s'), "
            "'msg': 'Input should be a valid integer', 'input': %r}" % (name, value),
        )
    if value < 1:
        raise ApiError(400, f"{name} must be at least 1, got {value}. (parameter={name}, value={value})", param=name)
    return value


def check_model(engine: Engine, body: dict[str, Any]) -> str:
    model = body.get("model") or engine.names[0]
    if model not in engine.names:
        raise ApiError(404, f"The model `{model}` does not exist.", "NotFoundError", "model")
    return str(model)


def budget(engine: Engine, wanted: int | None, prompt_tokens: int, fallback: int | None) -> int:
    room = engine.max_model_len - prompt_tokens
    if room <= 0:
        raise ApiError(
            400,
            f"This model's maximum context length is {engine.max_model_len} tokens. However, your request has "
            f"{prompt_tokens} input tokens. Please reduce the length of the input messages. "
            f"(parameter=input_tokens, value={prompt_tokens})",
            param="input_tokens",
        )
    if wanted is None:
        return min(room, fallback) if fallback else room
    if wanted > room:
        raise ApiError(
            400,
            f"'max_tokens' or 'max_completion_tokens' is too large: {wanted}. This model's maximum context "
            f"length is {engine.max_model_len} tokens and your request has {prompt_tokens} input tokens "
            f"({wanted} > {engine.max_model_len} - {prompt_tokens}). (parameter=max_tokens, value={wanted})",
            param="max_tokens",
        )
    return wanted


def shape(engine: Engine, text: str, tokens: int, body: dict[str, Any]) -> tuple[list[str], str]:
    """The pieces of the answer and why it ends."""
    if engine.fault == "garbled":
        text = answers.garbled(min(tokens, 60))
    elif engine.fault == "empty":
        text = ""
    if body.get("ignore_eos"):
        return answers.lengthened(text or " ", tokens), "length"
    pieces = answers.split_tokens(text) if text else []
    for stop in [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []:
        place = "".join(pieces).find(stop)
        if place >= 0:
            pieces = answers.split_tokens("".join(pieces)[:place])
    if len(pieces) > tokens:
        return pieces[:tokens], "length"
    return pieces, "stop"


def read_messages(engine: Engine, messages: Any) -> tuple[str, str, list[picture.Picture], int]:
    """Question, whole text, pictures and tokens of the pictures of a chat."""
    if not isinstance(messages, list) or not messages:
        raise ApiError(
            400,
            "1 validation error:\n  {'type': 'list_type', 'loc': ('body', 'messages'), "
            "'msg': 'Input should be a valid list', 'input': %r}" % (messages,),
        )
    texts: list[str] = []
    shown: list[picture.Picture] = []
    question = ""
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        said = ""
        for part in parts:
            kind = part.get("type")
            if kind == "text":
                said += str(part.get("text", ""))
            elif kind == "image_url":
                source = part.get("image_url")
                shown.append(load_media(engine, str(source.get("url", "") if isinstance(source, dict) else source)))
            else:
                raise ApiError(400, f"Unknown part type: {kind}")
        texts.append(said)
        if isinstance(message, dict) and message.get("role") == "user":
            question = said
    image_tokens = sum(max(4, (one.width // 32) * (one.height // 32)) + 2 for one in shown)
    return question, "\n".join(texts), shown, image_tokens


THOUGHT = {
    True: "用户提出了一个问题，我来想一想怎样回答。\n</think>\n\n",
    False: "The user asks a question; let me think about how to answer it.\n</think>\n\n",
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    timeout = 75

    # -- plumbing

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.log_access(status)
        self.send_response_only(status)
        self.send_header("date", self.date_time_string())
        self.send_header("server", "uvicorn")
        self.send_header("content-length", str(len(body)))
        if body:
            self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, status: int, value: Any) -> None:
        self.send(status, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())

    def log_access(self, status: int) -> None:
        phrase = HTTPStatus(status).phrase
        if not self.server.engine.namespace.disable_uvicorn_access_log:
            self.server.log.uvicorn(
                f"{self.client_address[0]}:{self.client_address[1]} - "
                f'"{self.command} {self.path} HTTP/1.1" {status} {phrase}'
            )

    def do_GET(self) -> None:
        self.route()

    def do_HEAD(self) -> None:
        self.route()

    def do_POST(self) -> None:
        self.route()

    def route(self) -> None:
        engine = self.server.engine
        path = self.path.split("?")[0]
        length = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(length) if length else b""
        method = getattr(self, ROUTES.get((self.command, path), ""), None)
        if method is None:
            known = any(route == path for _, route in ROUTES)
            self.send_json(405 if known else 404, {"detail": "Method Not Allowed" if known else "Not Found"})
            return
        if engine.api_keys and path.startswith("/v1"):
            given = (self.headers.get("authorization") or "").partition(" ")[2]
            if given not in engine.api_keys:
                self.send_json(401, {"error": "Unauthorized"})
                return
        with engine.slots:
            engine.handlers += 1
        try:
            method(raw)
        except ApiError as error:
            self.send_json(error.status, error.body)
        except EngineDead:
            self.send_json(500, ApiError(500, DEAD, "InternalServerError").body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with engine.slots:
                engine.handlers -= 1

    def body(self, raw: bytes) -> dict[str, Any]:
        kind = (self.headers.get("content-type") or "").split(";")[0].strip().lower()
        if kind and kind != "application/json":
            raise ApiError(415, "Unsupported Media Type: Only 'application/json' is allowed")
        try:
            value = json.loads(raw)
        except ValueError as error:
            place = getattr(error, "pos", 0)
            raise ApiError(
                400,
                "1 validation error:\n  {'type': 'json_invalid', 'loc': ('body', %d), "
                "'msg': 'JSON decode error', 'input': {}, 'ctx': {'error': '%s'}}"
                % (place, getattr(error, "msg", error)),
            ) from None
        if not isinstance(value, dict):
            raise ApiError(
                400,
                "1 validation error:\n  {'type': 'model_attributes_type', 'loc': ('body',), "
                "'msg': 'Input should be a valid dictionary or object to extract fields from'}",
            )
        return value

    # -- routes

    def health(self, _: bytes) -> None:
        self.send(503 if self.server.engine.dead.is_set() else 200, b"")

    def version(self, _: bytes) -> None:
        self.send_json(200, {"version": VERSION})

    def load(self, _: bytes) -> None:
        engine = self.server.engine
        tracked = bool(engine.namespace.enable_server_load_tracking)
        self.send_json(200, {"server_load": engine.running + engine.waiting if tracked else 0})

    def show_metrics(self, _: bytes) -> None:
        self.send(200, self.server.engine.render_metrics().encode(), "text/plain; version=1.0.0; charset=utf-8")

    def models(self, _: bytes) -> None:
        engine = self.server.engine
        self.send_json(
            200,
            {
                "object": "list",
                "data": [
                    {
                        "id": name,
                        "object": "model",
                        "created": engine.created,
                        "owned_by": "vllm",
                        "root": engine.root,
                        "parent": None,
                        "max_model_len": engine.max_model_len,
                        "permission": [],
                    }
                    for name in engine.names
                ],
            },
        )

    def tokenize(self, raw: bytes) -> None:
        body = self.body(raw)
        text = (
            str(body["prompt"]) if "prompt" in body else read_messages(self.server.engine, require(body, "messages"))[1]
        )
        count = answers.count_tokens(text)
        self.send_json(
            200,
            {
                "count": count,
                "max_model_len": self.server.engine.max_model_len,
                "tokens": list(range(100, 100 + count)),
                "token_strs": None,
            },
        )

    def completions(self, raw: bytes) -> None:
        engine, body = self.server.engine, self.body(raw)
        model = check_model(engine, body)
        if self.refused():
            return
        prompt = require(body, "prompt")
        if isinstance(prompt, list) and prompt and all(isinstance(token, int) for token in prompt):
            text, prompt_tokens = "", len(prompt)
        else:
            text = str(prompt[0] if isinstance(prompt, list) and prompt else prompt)
            prompt_tokens = answers.count_tokens(text)
        tokens = budget(engine, whole_number(body, "max_tokens"), prompt_tokens, DEFAULT_COMPLETION_TOKENS)
        pieces, reason = shape(engine, answers.answer(text), tokens, body)
        head = {
            "id": f"cmpl-{uuid.uuid4().hex[:16]}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        if body.get("stream"):
            self.stream(body, head, pieces, reason, prompt_tokens, chat=False)
            return
        said = "".join(engine.generate(pieces, prompt_tokens, reason, stream=False))
        self.send_json(
            200,
            {
                **head,
                "choices": [
                    {
                        "index": 0,
                        "text": said,
                        "logprobs": None,
                        "finish_reason": reason,
                        "stop_reason": None,
                        "token_ids": None,
                        "prompt_logprobs": None,
                        "prompt_token_ids": None,
                    }
                ],
                "service_tier": None,
                "system_fingerprint": None,
                "usage": usage(prompt_tokens, len(pieces)),
                "kv_transfer_params": None,
            },
        )

    def chat(self, raw: bytes) -> None:
        engine, body = self.server.engine, self.body(raw)
        model = check_model(engine, body)
        messages = require(body, "messages")
        if self.refused():
            return
        question, text, shown, image_tokens = read_messages(engine, messages)
        prompt_tokens = answers.count_tokens(text) + 4 * len(messages) + image_tokens
        wanted = whole_number(body, "max_completion_tokens") or whole_number(body, "max_tokens")
        tokens = budget(engine, wanted, prompt_tokens, None)
        answer = answers.answer(question, shown)
        thinking = (body.get("chat_template_kwargs") or {}).get("enable_thinking", True)
        thought = THOUGHT[answers.is_chinese(question)] if thinking else ""
        parsed = bool(engine.namespace.reasoning_parser)
        pieces, reason = shape(engine, answer if parsed else thought + answer, tokens, body)
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex[:16]}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
        }
        if body.get("stream"):
            self.stream(body, {**head, "object": "chat.completion.chunk"}, pieces, reason, prompt_tokens, chat=True)
            return
        said = "".join(engine.generate(pieces, prompt_tokens, reason, stream=False))
        reasoning = thought.split("\n</think>")[0] if parsed and thought else None
        self.send_json(
            200,
            {
                **head,
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": said,
                            "refusal": None,
                            "annotations": None,
                            "audio": None,
                            "function_call": None,
                            "tool_calls": [],
                            "reasoning": reasoning,
                            "reasoning_content": reasoning,
                        },
                        "logprobs": None,
                        "finish_reason": reason,
                        "stop_reason": None,
                        "token_ids": None,
                    }
                ],
                "service_tier": None,
                "system_fingerprint": None,
                "usage": usage(prompt_tokens, len(pieces)),
                "prompt_logprobs": None,
                "prompt_token_ids": None,
                "kv_transfer_params": None,
            },
        )

    def refused(self) -> bool:
        """The failures of a running server that tests ask for."""
        if self.server.engine.fault == "error-500":
            raise ApiError(500, "EngineCore encountered an issue.", "InternalServerError")
        return False

    def stream(
        self, body: dict[str, Any], head: dict[str, Any], pieces: list[str], reason: str, prompt_tokens: int, chat: bool
    ) -> None:
        engine = self.server.engine
        wanted = body.get("stream_options") or {}
        include = bool(wanted.get("include_usage") or engine.namespace.enable_force_include_usage)
        continuous = bool(wanted.get("continuous_usage_stats"))
        began = False

        def event(value: Any) -> None:
            data = json.dumps(value, ensure_ascii=False, separators=(",", ":")) if not isinstance(value, str) else value
            payload = f"data: {data}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(payload), payload))

        def begin() -> None:
            nonlocal began
            began = True
            self.log_access(200)
            self.send_response_only(200)
            self.send_header("date", self.date_time_string())
            self.send_header("server", "uvicorn")
            self.send_header("content-type", "text/event-stream; charset=utf-8")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()

        done = 0
        try:
            for piece in engine.generate(pieces, prompt_tokens, reason, stream=True):
                if not began:
                    begin()
                    if chat:
                        event(
                            {
                                **head,
                                "choices": [
                                    {
                                        "index": 0,
                                        "delta": {"role": "assistant", "content": ""},
                                        "logprobs": None,
                                        "finish_reason": None,
                                    }
                                ],
                                "prompt_token_ids": None,
                            }
                        )
                done += 1
                last = reason if done == len(pieces) else None
                choice: dict[str, Any] = {
                    "index": 0,
                    "logprobs": None,
                    "finish_reason": last,
                    "stop_reason": None,
                    "token_ids": None,
                }
                choice.update({"delta": {"content": piece}} if chat else {"text": piece})
                chunk = {**head, "choices": [choice]}
                if continuous:
                    chunk["usage"] = usage(prompt_tokens, done)
                event(chunk)
        except EngineDead:
            if not began:
                raise
            event(ApiError(500, DEAD, "InternalServerError").body)
        if not began:
            begin()
        if include:
            event({**head, "choices": [], "usage": usage(prompt_tokens, done)})
        event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": None,
    }


ROUTES = {
    ("GET", "/health"): "health",
    ("GET", "/ping"): "health",
    ("POST", "/ping"): "health",
    ("GET", "/version"): "version",
    ("GET", "/load"): "load",
    ("GET", "/metrics"): "show_metrics",
    ("GET", "/v1/models"): "models",
    ("POST", "/tokenize"): "tokenize",
    ("POST", "/v1/completions"): "completions",
    ("POST", "/v1/chat/completions"): "chat",
}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2048
    allow_reuse_address = True

    def __init__(self, listener: socket.socket, engine: Engine, log: Log) -> None:
        self.engine, self.log = engine, log
        self.address_family = listener.family
        super().__init__(listener.getsockname()[:2], Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = listener.getsockname()
        self.server_name, self.server_port = "vllm", int(listener.getsockname()[1])
        self.server_activate()

    def handle_error(self, *_: object) -> None:
        pass


def start(listener: socket.socket, engine: Engine, log: Log) -> Server:
    httpd = Server(listener, engine, log)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return httpd
