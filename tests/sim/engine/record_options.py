#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record the options of a real vLLM as the JSON file from which the stand-in builds its parser.

    record_options.py VERSION HELP_FILE USAGE_FILE > options-VERSION.json
    record_options.py VERSION BENCH_HELP_FILE      > bench-options-VERSION.json

HELP_FILE holds the output of ``vllm serve --help=all``, USAGE_FILE what a refused option prints (its ``usage:`` block),
BENCH_HELP_FILE the output of ``vllm bench serve --help``.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from typing import Any

LATE_JSON = {"--additional-config", "--hf-overrides", "--model-loader-extra-config"}
INTEGERS = {
    "--api-server-count",
    "--max-log-len",
    "--data-parallel-rank",
    "--data-parallel-rpc-port",
    "--data-parallel-size-local",
    "--data-parallel-start-rank",
    "--max-parallel-loading-workers",
    "--block-size",
    "--mamba-block-size",
    "--num-gpu-blocks-override",
    "--max-cpu-loras",
    "--max-cudagraph-capture-size",
    "--cudagraph-capture-sizes",
    "--max-lora-rank",
    "--input-len",
    "--output-len",
    "--logprobs",
    "--max-concurrency",
    "--ramp-up-end-rps",
    "--ramp-up-start-rps",
    "--sharegpt-output-len",
    "--hf-output-len",
    "--top-k",
}
# What the help of `vllm bench serve` does not tell.
BENCH = {
    "--host": ("str", "127.0.0.1"),
    "--port": ("int", 8000),
    "--seed": ("int", 0),
    "--metric-percentiles": ("str", "99"),
}
PYTHON = {"--random-mm-bucket-config", "--random-mm-limit-mm-per-prompt"}
HUMAN_INTEGERS = {"--max-model-len", "--max-num-batched-tokens", "--max-num-seqs", "--kv-cache-memory-bytes"}
FLOATS = {
    "--kv-offloading-size",
    "--video-pruning-rate",
    "--request-rate",
    "--min-p",
    "--top-p",
    "--temperature",
    "--frequency-penalty",
    "--presence-penalty",
    "--repetition-penalty",
}


def literal(text: str | None) -> Any:
    """A default as the help shows it; a mapping with tuples for keys stays text."""
    try:
        value = ast.literal_eval(text or "")
        return text if isinstance(value, dict) and any(isinstance(key, tuple) for key in value) else value
    except (SyntaxError, ValueError):
        return None if text is None or re.match(r"\w+Config\(|\{'level'", text) else text


def kind_of(name: str, text: str, default: Any) -> str:
    """How the value of an option is read."""
    if name in LATE_JSON:
        return "json_late"
    if "valid JSON string or JSON keys" in text:
        return "json"
    if name in PYTHON:
        return "python"
    if name in HUMAN_INTEGERS:
        return "human_int"
    if name in FLOATS or isinstance(default, float) or name.endswith(("-gb", "-space")):
        return "float"
    if name in INTEGERS or (isinstance(default, int) and not isinstance(default, bool)):
        return "int"
    return "str"


def described(help_text: str) -> dict[str, str]:
    """The paragraph of the help that belongs to each option, on one line."""
    chunks = [" ".join(chunk.split()) for chunk in re.split(r"\n(?=\S|  -)", help_text) if chunk.startswith("  -")]
    return {name: chunk for chunk in chunks for name in re.findall(r"(?:^|, )(--[a-z0-9][\w-]*)", chunk[:200])}


USAGE_PART = re.compile(r"\[(--[a-z0-9][\w-]*)((?:[^\[\]]|\[[^\]]*\])*)\]")


def options(usage: str, help_text: str) -> list[dict[str, Any]]:
    """One entry per option: its spellings, the kind of its value, choices, number of values, default."""
    paragraphs = described(help_text)
    found = []
    for name, rest in USAGE_PART.findall(usage):
        text = paragraphs[name]
        alias = re.match(re.escape(name) + r"(?: \{.*?\}| \S+)?, (-[a-z0-9]+)\b", text)
        flags = [name, *([alias[1]] if alias else re.findall(r" \| (-[a-z]+)$", rest))]
        default_text = re.search(r"\(default: (.*?)\)(?: |$)", text)
        default = literal(default_text[1] if default_text else None)
        value = rest.strip()
        if not value or value.startswith("|"):
            kind, choices, nargs = ("bool" if value else "flag"), None, None
        else:
            kind = kind_of(name, text, default)
            listed = re.match(r"\{(.*?)\}", value)
            choices = listed[1].split(",") if listed else ast.literal_eval(value) if value.startswith("['") else None
            nargs = "+" if value.endswith(" ...]") else "?" if re.fullmatch(r"\[[A-Z_]+\]", value) else None
        found.append({"flags": flags, "kind": kind, "choices": choices, "nargs": nargs, "default": default})
    return found


def bench_usage(help_text: str) -> str:
    """The help of ``vllm bench serve`` lists no usage: the parts of one, out of the first line of each option."""
    parts = []
    first_line = r"^  (--[a-z0-9][\w-]*)((?: \{[^}\n]*\}| \[[^\]\n]*\]| [A-Z_0-9]+(?=\s))*)"
    for name, rest in re.findall(first_line, help_text, re.MULTILINE):
        parts.append(f"[{name}{rest}]")
    return " ".join(parts)


def write(version: str, usage: list[str], recorded: list[dict[str, Any]]) -> None:
    option_lines = ",\n".join("  " + json.dumps(option, sort_keys=True) for option in recorded)
    usage_lines = ",\n".join("  " + json.dumps(line) for line in usage)
    sys.stdout.write(f'{{\n "version": {json.dumps(version)},\n "usage": [\n{usage_lines}\n ],\n')
    sys.stdout.write(f' "options": [\n{option_lines}\n ]\n}}\n')


def main() -> int:
    version, help_file = sys.argv[1:3]
    with open(help_file, encoding="utf-8") as stream:
        help_text = stream.read()
    if len(sys.argv) == 3:
        recorded = options(bench_usage(help_text), help_text)
        for option in recorded:
            option["kind"], option["default"] = BENCH.get(option["flags"][0], (option["kind"], option["default"]))
        write(version, ["vllm bench serve [options]"], recorded)
        return 0
    with open(sys.argv[3], encoding="utf-8") as stream:
        usage = re.search(r"^usage: (vllm serve .*?\[model_tag\])$", stream.read(), re.DOTALL | re.MULTILINE)
    if usage is None:
        raise SystemExit(f"{sys.argv[3]}: no usage of vllm serve")
    write(version, usage[1].split("\n"), options(" ".join(usage[1].split()), help_text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
