# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ``vllm bench serve``, what its client can do, and how far it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from .._serving.argv import option_argv

#: What the program in the image prints before the client's help: the version of the package.
MARK = "ascend-fleet-client "
#: Run by the image's shell. The version comes from the package's metadata, which needs no import of vLLM. Without `all`
#: the help names no option, but groups of them.
PROBE = (
    'python3 -c \'import importlib.metadata as m; print("%s" + m.version("vllm"))\' && '
    "exec vllm bench serve --help=all" % MARK
)
#: Options whose values differ from run to run or from replica to replica, and say nothing about the load.
AT_RUN_TIME = ("model", "host", "port", "tokenizer", "result-dir", "save-result", "result-filename")
PERCENTILES, WARM_UPS = "metric-percentiles", "num-warmups"
#: Options that change what is written, and not what is measured.
REPORTING = (PERCENTILES, "percentile-metrics", "save-detailed", "disable-tqdm", "label", "metadata")

_OPTION = re.compile(r"^  ((?:-\w, )?--[a-z][a-z0-9-]*(?:, --[a-z][a-z0-9-]*)*)", re.MULTILINE)
_LONG = re.compile(r"--([a-z][a-z0-9-]*)")
_STEP = re.compile(r"(\d+)/(\d+) \[")
_ERROR = re.compile(r"^Error \d+: (.*?)(?=^Error \d+: |^tip: |^=====|\Z)", re.MULTILINE | re.DOTALL)
_NO_CLIENT = re.compile(
    r"No module named '?vllm|invalid choice: '?bench|vllm: (?:command )?not found|No package metadata"
)


class ClientError(Exception):
    """The client cannot be used, or its result cannot; the message says what to do."""


@dataclass(frozen=True)
class Client:
    """The benchmark client of an image: its version and the long names of its options, without ``--``."""

    image_id: str
    version: str
    options: frozenset[str]

    def missing(self, options: Mapping[str, Any]) -> list[str]:
        """The options that this client does not have."""
        return [name for name in options if name not in self.options]

    def as_data(self) -> dict[str, Any]:
        """For a file or a result."""
        return {"image_id": self.image_id, "version": self.version, "options": sorted(self.options)}

    @classmethod
    def from_data(cls, data: Any) -> Optional[Client]:
        """From a file; None where it is not one of ours."""
        if not isinstance(data, Mapping) or not isinstance(data.get("options"), (list, tuple)):
            return None
        if not (isinstance(data.get("image_id"), str) and isinstance(data.get("version"), str)):
            return None
        return cls(data["image_id"], data["version"], frozenset(str(name) for name in data["options"]))


def parse_probe(image_id: str, status: Optional[int], stdout: str, stderr: str) -> Client:
    """What PROBE said; ClientError where the image has no client that can be used."""
    version = next((line[len(MARK) :].strip() for line in stdout.splitlines() if line.startswith(MARK)), "")
    options = {name for match in _OPTION.finditer(stdout) for name in _LONG.findall(match.group(1))}
    if status == 0 and version and {"num-prompts", "save-result", "result-filename"} <= options:
        return Client(image_id, version, frozenset(options))
    said = (stderr.strip() or stdout.strip()).splitlines()
    words = said[-1].strip() if said else "nothing"
    if status is None:
        fix = "see why the image does not answer: docker run --rm -w / %s vllm bench serve --help=all" % image_id
    elif _NO_CLIENT.search(stderr + stdout):
        fix = "measure with the client of another image: vllm_bench_client_image"
    else:
        fix = "see `docker run --rm -w / %s vllm bench serve --help=all`, or set vllm_bench_client_image" % image_id
    raise ClientError(
        "found no benchmark client in the image %s (status %s: %s); needed `vllm bench serve` with --save-result. "
        "Fix: %s" % (image_id, status, words, fix)
    )


def bench_argv(
    options: Mapping[str, Any], *, model: str, port: int, tokenizer: str, result_dir: str, result_file: str
) -> list[str]:
    """The whole command: the workload's options as the release writes them, around them what is known at run time."""
    argv = ["vllm", "bench", "serve", "--model", model, "--host", "127.0.0.1", "--port", str(port)]
    for name, value in options.items():
        argv += option_argv(name, value)
    argv += ["--tokenizer", tokenizer, "--result-dir", result_dir, "--save-result", "--result-filename", result_file]
    return argv


def parse_progress(text: str) -> Optional[tuple[int, int]]:
    """How many requests have ended and how many there are, by the last step of the client's progress bar."""
    steps = _STEP.findall(text[-4096:])
    return (int(steps[-1][0]), int(steps[-1][1])) if steps else None


def judge(
    status: Optional[int], result: Optional[str], stdout: str, stderr: str, expected: int, *, where: str
) -> dict[str, Any]:
    """The numbers of one run of the client; ClientError where there are none that mean anything.

    The client ends with status 0 even when every request has failed, so its own counts are judged too.
    result: the text of the result file, None where there is none. where: what was asked, for messages.
    """
    if status is None:
        raise ClientError(
            "found that the benchmark of %s did not end within its deadline; needed its result. Fix: see whether the "
            "engine still answers, or raise vllm_bench_timeout_seconds" % where
        )
    if status != 0:
        raise ClientError(
            "found that the benchmark client ended with status %s (%s); needed 0. Fix: see the log of the client "
            "beside "
            "its results" % (status, _last_line(stderr) or _last_line(stdout) or "it said nothing")
        )
    if result is None:
        raise ClientError(
            "found no result file though the client ended with status 0; needed one. Fix: see the log of the client "
            "beside its results, and whether the disk is full"
        )
    numbers = parse_result(result)
    completed, failed = (
        int(numbers.get("completed", 0)),
        int(numbers.get("failed", expected - numbers.get("completed", 0))),
    )
    if failed or completed < expected:
        errors = [_last_line(error) for error in _ERROR.findall(stdout)]
        said = " First error: %s." % errors[0] if errors else ""
        raise ClientError(
            "found %d of %d requests completed and %d failed, with exit status 0; needed all of them.%s Fix: see the "
            "engine's journal" % (completed, expected, failed, said)
        )
    return numbers


def parse_result(text: str) -> dict[str, Any]:
    """The numbers of a result file, of any version of the client; ClientError where it is not one.

    Lists (one entry for each request) and words are left out.
    """
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise ClientError(
            "found a result file that is not JSON (%s); needed the client's result. Fix: run it again" % exc
        ) from exc
    if not isinstance(data, dict) or "completed" not in data or "duration" not in data:
        raise ClientError(
            "found a result file without `completed` and `duration`; needed the client's. Fix: run it again"
        )
    return {
        name: value
        for name, value in data.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in ("num_prompts", "burstiness")
    }


def parse_serve_argv(argv: Sequence[str]) -> dict[str, str]:
    """The options of a running ``vllm serve``, by long name; a flag has the value ``true``. The model is left out."""
    words = list(argv)
    start = words.index("serve") + 2 if "serve" in words else len(words)
    found: dict[str, str] = {}
    name = ""
    for word in words[start:]:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            found[name] = value if equals else "true"
        elif name:
            found[name] = word if found[name] == "true" else "%s %s" % (found[name], word)
    return found


def _last_line(text: str) -> str:
    lines = [line for line in text.replace("\r", "\n").strip().splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""
