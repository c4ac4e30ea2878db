# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``vllm bench serve``: real requests, measured as vLLM's client measures, printed and saved in its forms."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import statistics
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from . import checks, device, options
from .failures import SITE, Failed
from .log import Log, bar, clock

WORDS = ("alpha", "bravo", "delta", "echo", "golf", "hotel", "india", "kilo", "lima", "mike", "oscar", "papa", "romeo")
GREEDY = (
    "WARNING: vllm bench serve no longer sets temperature==0 (greedy) in requests by default. The default will be "
    "determined on the server side and can be model/API specific. For the old behavior, include --temperature=0."
)


@dataclass
class Sample:
    prompt: str
    prompt_tokens: int
    output_tokens: int
    picture: str | None = None


@dataclass
class Outcome:
    success: bool = False
    started: float = 0.0
    latency: float = 0.0
    first: float = 0.0
    between: list[float] = field(default_factory=list)
    output_tokens: int = 0
    prompt_tokens: int = 0
    error: str = ""


def jpeg_of_size(width: int, height: int) -> str:
    """A data URL whose bytes say JPEG and a size; the stand-in of the server reads no more of it."""
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1))
    data = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    data += b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + bytes(64) + b"\xff\xd9"
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def samples(namespace: argparse.Namespace) -> list[Sample]:
    source = random.Random(namespace.seed)
    picture = None
    if namespace.dataset_name == "random-mm":
        height, width, _ = max(namespace.random_mm_bucket_config, key=namespace.random_mm_bucket_config.get)
        if namespace.random_mm_limit_mm_per_prompt.get("image", 1) and namespace.random_mm_base_items_per_request:
            picture = jpeg_of_size(width, height)
    length = namespace.input_len or namespace.random_input_len
    output = namespace.output_len or namespace.random_output_len
    return [
        Sample(" ".join(source.choices(WORDS, k=length)), length, output, picture) for _ in range(namespace.num_prompts)
    ]


def payload(namespace: argparse.Namespace, sample: Sample) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": namespace.served_model_name or namespace.model,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if namespace.backend == "openai-chat":
        content: list[dict[str, Any]] = [{"type": "text", "text": sample.prompt}]
        if sample.picture:
            content.append({"type": "image_url", "image_url": {"url": sample.picture}})
        body["messages"] = [{"role": "user", "content": content}]
        body["max_completion_tokens"] = sample.output_tokens
    else:
        body.update({"prompt": sample.prompt, "repetition_penalty": 1.0, "max_tokens": sample.output_tokens})
    if namespace.ignore_eos:
        body["ignore_eos"] = True
    for name in ("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty"):
        if getattr(namespace, name) is not None:
            body[name] = getattr(namespace, name)
    body.update(json.loads(namespace.extra_body) if namespace.extra_body else {})
    return body


async def ask(host: str, port: int, path: str, body: dict[str, Any], sample: Sample) -> Outcome:
    """One streamed request over its own connection."""
    outcome = Outcome(started=time.perf_counter(), prompt_tokens=sample.prompt_tokens)
    writer = None
    try:
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
        data = json.dumps(body).encode()
        key = os.environ.get("OPENAI_API_KEY")
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n{authorization}"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
            + data
        )
        await writer.drain()
        status = int((await reader.readline()).split()[1])
        while (await reader.readline()).strip():
            pass
        if status != 200:
            outcome.error = (await reader.read()).decode(errors="replace")
            return outcome
        last = outcome.started
        while line := await reader.readline():
            if not line.startswith(b"data: "):
                continue
            text = line[6:].strip()
            if text == b"[DONE]":
                outcome.success = outcome.first > 0
                break
            event = json.loads(text)
            if "error" in event:
                outcome.error = event["error"]["message"]
                break
            now = time.perf_counter()
            if event["choices"]:
                if outcome.first == 0.0:
                    outcome.first = now - outcome.started
                else:
                    outcome.between.append(now - last)
                last = now
            elif event.get("usage"):
                outcome.output_tokens = event["usage"]["completion_tokens"]
        outcome.latency = last - outcome.started
    except (OSError, ValueError, IndexError, asyncio.IncompleteReadError) as error:
        outcome.error = (
            f"aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host {host}:{port} ssl:default "
            f"[Connect call failed ('{host}', {port})]"
            if isinstance(error, ConnectionRefusedError)
            else f"{type(error).__name__}: {error}"
        )
    finally:
        if writer is not None:
            writer.close()
    return outcome


async def run_all(namespace: argparse.Namespace, requests: list[Sample]) -> tuple[list[Outcome], float]:
    slots = asyncio.Semaphore(namespace.max_concurrency or len(requests) or 1)
    done = 0
    started = time.perf_counter()

    async def one(sample: Sample) -> Outcome:
        nonlocal done
        async with slots:
            outcome = await ask(namespace.host, namespace.port, namespace.endpoint, payload(namespace, sample), sample)
        done += 1
        if not namespace.disable_tqdm:
            progress(done, len(requests), time.perf_counter() - started)
        return outcome

    if not namespace.disable_tqdm:
        progress(0, len(requests), 0.0)
    outcomes = await asyncio.gather(*(one(sample) for sample in requests))
    return list(outcomes), time.perf_counter() - started


def warm_up(namespace: argparse.Namespace, sample: Sample) -> None:
    """Ask the first question as often as was asked for; nothing of it is measured or shown by the bar."""
    sys.stdout.write(f"Warming up with {namespace.num_warmups} requests...\n")
    sys.stdout.flush()
    quiet = argparse.Namespace(**{**vars(namespace), "disable_tqdm": True})
    asyncio.run(run_all(quiet, [sample] * namespace.num_warmups))
    sys.stdout.write("Warmup run completed.\n")


def progress(done: int, total: int, elapsed: float) -> None:
    timing = "00:00<?, ?it/s"
    if done and elapsed:
        each = elapsed / done
        rate = f"{each:5.2f}s/it" if each > 1 else f"{1 / each:5.2f}it/s"
        timing = f"{clock(elapsed)}<{clock(each * (total - done))}, {rate}"
    percent = 100 * done // total if total else 100
    sys.stderr.write(f"\r{percent:3d}%|{bar(done / total if total else 1.0)}| {done}/{total} [{timing}]")
    sys.stderr.flush()


def percentile(ordered: list[float], percent: float) -> float:
    """A percentile of sorted values, interpolated."""
    place = percent / 100 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(name: str, values: list[float], percents: list[float]) -> dict[str, float]:
    """Mean, median, standard deviation and percentiles in milliseconds, under vLLM's names."""
    ordered = sorted(values) or [0.0]
    return {
        f"mean_{name}_ms": statistics.fmean(ordered) * 1000,
        f"median_{name}_ms": statistics.median(ordered) * 1000,
        f"std_{name}_ms": statistics.pstdev(ordered) * 1000,
        **{f"p{percent:g}_{name}_ms": percentile(ordered, percent) * 1000 for percent in percents},
    }


def measure(outcomes: list[Outcome], duration: float, percents: list[float]) -> dict[str, Any]:
    good = [outcome for outcome in outcomes if outcome.success]
    inputs = sum(outcome.prompt_tokens for outcome in good)
    outputs = sum(outcome.output_tokens for outcome in good)
    per_second: dict[int, int] = {}
    active: dict[int, int] = {}
    begin = min((outcome.started for outcome in good), default=0.0)
    for outcome in good:
        at = outcome.started - begin + outcome.first
        for gap in [0.0, *outcome.between]:
            at += gap
            per_second[int(at)] = per_second.get(int(at), 0) + 1
        first, last = int(outcome.started - begin), int(outcome.started - begin + outcome.latency)
        for second in range(first, last + 1):
            active[second] = active.get(second, 0) + 1
    per_token = [
        (outcome.latency - outcome.first) / (outcome.output_tokens - 1) for outcome in good if outcome.output_tokens > 1
    ]
    return {
        "duration": duration,
        "completed": len(good),
        "failed": len(outcomes) - len(good),
        "total_input_tokens": inputs,
        "total_output_tokens": outputs,
        "request_throughput": len(good) / duration,
        "request_goodput": None,
        "output_throughput": outputs / duration,
        "total_token_throughput": (inputs + outputs) / duration,
        "max_output_tokens_per_s": float(max(per_second.values(), default=0)),
        "max_concurrent_requests": max(active.values(), default=0),
        **spread("ttft", [outcome.first for outcome in good], percents),
        **spread("tpot", per_token, percents),
        **spread("itl", [gap for outcome in good for gap in outcome.between], percents),
    }


def percents_of(namespace: argparse.Namespace) -> list[float]:
    return [float(part) for part in str(namespace.metric_percentiles).split(",")]


def table(namespace: argparse.Namespace, result: dict[str, Any]) -> str:
    lines = [f"{' Serving Benchmark Result ':=^50}"]

    def count(label: str, value: object) -> None:
        lines.append(f"{label:<40} {value:<10}")

    def number(label: str, value: float) -> None:
        lines.append(f"{label:<40} {value:<10.2f}")

    count("Successful requests:", result["completed"])
    count("Failed requests:", result["failed"])
    if namespace.max_concurrency is not None:
        count("Maximum request concurrency:", namespace.max_concurrency)
    number("Benchmark duration (s):", result["duration"])
    count("Total input tokens:", result["total_input_tokens"])
    count("Total generated tokens:", result["total_output_tokens"])
    number("Request throughput (req/s):", result["request_throughput"])
    number("Output token throughput (tok/s):", result["output_throughput"])
    number("Peak output token throughput (tok/s):", result["max_output_tokens_per_s"])
    number("Peak concurrent requests:", float(result["max_concurrent_requests"]))
    number("Total token throughput (tok/s):", result["total_token_throughput"])
    titles = {
        "ttft": "Time to First Token",
        "tpot": "Time per Output Token (excl. 1st token)",
        "itl": "Inter-token Latency",
    }
    for name, title in titles.items():
        lines.append(f"{title:-^50}")
        for label in ("mean", "median", *(f"p{percent:g}" for percent in percents_of(namespace))):
            number(f"{label.capitalize()} {name.upper()} (ms):", result[f"{label}_{name}_ms"])
    return "\n".join([*lines, "=" * 50]) + "\n"


def file_name(namespace: argparse.Namespace, stamp: str) -> str:
    if namespace.result_filename:
        return str(namespace.result_filename)
    model = str(namespace.model).rsplit("/", maxsplit=1)[-1]
    concurrency = f"-concurrency{namespace.max_concurrency}" if namespace.max_concurrency is not None else ""
    label = namespace.label or namespace.backend
    return f"{label}-{namespace.request_rate}qps{concurrency}-{model}-{stamp}.json"


def save(namespace: argparse.Namespace, result: dict[str, Any], stamp: str) -> None:
    rate = namespace.request_rate
    whole = {
        "date": stamp,
        "endpoint_type": namespace.backend,
        "backend": namespace.backend,
        "label": namespace.label,
        "model_id": namespace.model,
        "tokenizer_id": namespace.tokenizer or namespace.model,
        "num_prompts": namespace.num_prompts,
        **dict(entry.split("=", 1) for entry in namespace.metadata or []),
        "request_rate": rate if rate != float("inf") else "inf",
        "burstiness": namespace.burstiness,
        "max_concurrency": namespace.max_concurrency,
        **result,
    }
    path = file_name(namespace, stamp)
    if namespace.result_dir:
        os.makedirs(namespace.result_dir, exist_ok=True)
        path = os.path.join(namespace.result_dir, path)
    with open(path, "a+" if namespace.append_result else "w", encoding="utf-8") as stream:
        if namespace.append_result and stream.tell() != 0:
            stream.write("\n")
        json.dump(whole, stream)


def run(arguments: list[str]) -> int:
    log = Log("")
    try:
        checks.check_working_directory()
        checks.check_environment(device.look())
        if {"-h", "--help", "--help=all"} & set(arguments):
            sys.stdout.write(options.bench_help(whole="--help=all" in arguments))
            return 0
        namespace = options.parse_bench(arguments)
    except options.Refusal as refusal:
        sys.stderr.write(refusal.text)
        return refusal.status
    except Failed as failure:
        log.traceback(failure.frames, failure.error)
        return failure.status
    tokenizer = namespace.tokenizer or namespace.model
    if not tokenizer or not os.path.isdir(tokenizer):
        log.traceback(
            [(f"{SITE}/benchmarks/serve.py", 1601, "main_async", "tokenizer = get_tokenizer(")],
            f"OSError: {tokenizer} is not a local folder and is not a valid model identifier listed on "
            "'https://huggingface.co/models'\nIf this is a private repository, make sure to pass a token having "
            "permission to this repo either by logging in with `hf auth login` or by passing `token=<your_token>`",
        )
        return 1
    say = sys.stdout.write
    say(f"{namespace}\n")
    length = namespace.input_len or namespace.random_input_len
    output = namespace.output_len or namespace.random_output_len
    log_sampling = Log("")
    sys.stdout.flush()
    log_sampling.info(
        "datasets.py:611", f"Sampling input_len from [{length}, {length}] and output_len from [{output}, {output}]"
    )
    if namespace.temperature is None:
        say(f"{GREEDY}\n")
    say("Starting initial single prompt test run...\nSkipping endpoint ready check.\nStarting main benchmark run...\n")
    say(f"Traffic request rate: {namespace.request_rate}\nBurstiness factor: 1.0 (Poisson process)\n")
    say(f"Maximum request concurrency: {namespace.max_concurrency}\n")
    sys.stdout.flush()
    requests = samples(namespace)
    if namespace.num_warmups:
        warm_up(namespace, requests[0])
    outcomes, duration = asyncio.run(run_all(namespace, requests))
    if not namespace.disable_tqdm:
        sys.stderr.write("\n")
    failures = [outcome.error for outcome in outcomes if not outcome.success]
    if failures:
        say("Failed requests during benchmark run detected (capping to 10):\n")
        for number, error in enumerate(failures[:10]):
            say(f"Error {number}: {error}\n")
    result = measure(outcomes, duration, percents_of(namespace))
    say("tip: install termplotlib and gnuplot to plot the metrics\n")
    say(table(namespace, result))
    sys.stdout.flush()
    if namespace.save_result or namespace.append_result:
        save(namespace, result, time.strftime("%Y%m%d-%H%M%S"))
    return 0
