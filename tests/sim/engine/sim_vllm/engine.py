# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine behind the HTTP side: requests in flight, the pace of tokens, faults and troubles of a running engine."""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterator

from .errors import ClientGone, EngineDead
from .flaws import Flaws
from .log import Log
from .metrics import Metrics
from .troubles import Troubles

FIRST_TOKEN_SECONDS = 0.4
TOKEN_SECONDS = 0.025


class Engine:
    """Requests in flight and what they cost; the answers themselves come from ``answers``."""

    def __init__(
        self,
        namespace: argparse.Namespace,
        fault: str,
        speed: float,
        troubles: Troubles | None = None,
        flaws: Flaws | None = None,
    ) -> None:
        self.namespace, self.fault, self.speed = namespace, fault, speed
        self.troubles = troubles or Troubles(int(namespace.port or 8000), time.time())
        self.flaws = flaws or Flaws()
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

    @property
    def hangs(self) -> bool:
        return self.troubles.hangs or self.flaws.hangs

    @property
    def slowness(self) -> float:
        return self.troubles.slowness * self.flaws.slowness

    def refuses(self) -> bool:
        """Count a question: whether it is answered with an error."""
        asked_for = [self.fault == "error-500", self.flaws.refuses(), self.troubles.refuses()]  # each counts for itself
        if any(asked_for):
            with self.metrics.lock:
                self.metrics.finished["error"] += 1
        return any(asked_for)

    def pause(self, seconds: float, gone: Callable[[], bool]) -> None:
        """Wait, but not longer than the engine lives and the client waits; as long as the engine hangs."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if self.ended():
                raise EngineDead
            if self.hangs:
                left = max(left, 0.25)
            if left <= 0:
                return
            if left >= 0.05 and gone():
                raise ClientGone
            if left < 0.05:
                time.sleep(left)
            else:
                self.stopping.wait(min(left, 0.25))

    def generate(
        self, pieces: list[str], prompt_tokens: int, reason: str, stream: bool, gone: Callable[[], bool]
    ) -> Iterator[str]:
        """The pieces of an answer, at the pace of an engine; all at once unless they are streamed."""
        arrived = time.monotonic()
        finished = "abort"
        with self.slots:
            self.waiting += 1
            while self.running >= self.max_running and not self.ended() and not gone():
                self.slots.wait(0.2)
            self.waiting -= 1
            self.running += 1
            self.served += 1
        try:
            started = time.monotonic()
            with self.metrics.lock:
                self.metrics.queue.observe(started - arrived)
            if self.fault == "hang-request":
                self.pause(86400, gone)
            if self.fault == "die-serving":
                self.poisoned.set()
                self.pause(86400, gone)
            prefill = (FIRST_TOKEN_SECONDS + prompt_tokens * 0.0001) / self.speed
            self.pause(prefill * self.slowness, gone)
            with self.metrics.lock:  # when they have been read: an engine that hangs counts none
                self.metrics.prompt_tokens += prompt_tokens
            first = due = time.monotonic()
            for piece in pieces:
                with self.metrics.lock:
                    self.metrics.generation_tokens += 1
                if stream:
                    yield piece
                due += self.troubles.token_seconds(TOKEN_SECONDS / self.speed) * self.flaws.slowness
                delay = due - time.monotonic()
                # A pause too short to be kept is made up for by a later one.
                if delay > (0.001 if stream else 0.05) or self.ended() or self.hangs:
                    self.pause(delay, gone)
                    if time.monotonic() - due > 0.5:  # it hung: what was missed does not come all at once
                        due = time.monotonic()
            self.pause(due - time.monotonic(), gone)
            if not stream:
                yield "".join(pieces)
            done = time.monotonic()
            finished = reason
            with self.metrics.lock:
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
        return self.metrics.render(
            self.names[0], self.running, self.waiting, self.cache_usage(), self.namespace.gpu_memory_utilization
        )
