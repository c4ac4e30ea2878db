# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine counts and measures, as /metrics shows it."""

from __future__ import annotations

import threading
import time

TOKEN_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
FIRST_BUCKETS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
BETWEEN_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_BUCKETS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
)  # fmt: skip


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
        self.started = time.time()
        self.answers: dict[tuple[str, str, str], int] = {}
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

    def count_answer(self, handler: str, method: str, status: int) -> None:
        """As the instrumentation of vLLM's HTTP server counts them: by class of the status."""
        key = (handler, method, f"{status // 100}xx")
        with self.lock:
            self.answers[key] = self.answers.get(key, 0) + 1

    def render(self, name: str, running: int, waiting: int, cache_usage: float, memory_utilization: float) -> str:
        """The text of /metrics."""
        model = f'model_name="{name}"'

        def simple(name: str, kind: str, text: str, value: float) -> str:
            return f'# HELP {name} {text}\n# TYPE {name} {kind}\n{name}{{engine="0",{model}}} {float(value)}\n'

        with self.lock:
            parts = [
                simple("vllm:num_requests_running", "gauge", "Number of requests in model execution batches.", running),
                simple("vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", waiting),
                simple(
                    "vllm:kv_cache_usage_perc",
                    "gauge",
                    "KV-cache usage. 1 means 100 percent usage.",
                    cache_usage,
                ),
                simple("vllm:num_preemptions_total", "counter", "Cumulative number of preemption from the engine.", 0),
                simple(
                    "vllm:prompt_tokens_total", "counter", "Number of prefill tokens processed.", self.prompt_tokens
                ),
                simple(
                    "vllm:generation_tokens_total",
                    "counter",
                    "Number of generation tokens processed.",
                    self.generation_tokens,
                ),
                "# HELP vllm:request_success_total Count of successfully processed requests.\n"
                "# TYPE vllm:request_success_total counter\n",
            ]
            parts += [
                f'vllm:request_success_total{{engine="0",finished_reason="{reason}",{model}}} {float(count)}\n'
                for reason, count in self.finished.items()
            ]
            parts.append(
                "# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.\n"
                f"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {self.started}\n"
                "# HELP http_requests_total Total number of requests by method, status and handler.\n"
                "# TYPE http_requests_total counter\n"
            )
            parts += [
                f'http_requests_total{{handler="{handler}",method="{method}",status="{status}"}} {float(count)}\n'
                for (handler, method, status), count in self.answers.items()
            ]
            parts += [
                histogram.render(model)
                for histogram in (
                    self.prompt,
                    self.generation,
                    self.first,
                    self.between,
                    self.request,
                    self.queue,
                )
            ]
        parts.append(
            "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig\n"
            "# TYPE vllm:cache_config_info gauge\n"
            f'vllm:cache_config_info{{block_size="128",cache_dtype="auto",engine="0",'
            f'gpu_memory_utilization="{memory_utilization}",num_gpu_blocks="9408"}} 1.0\n'
        )
        return "".join(parts)
