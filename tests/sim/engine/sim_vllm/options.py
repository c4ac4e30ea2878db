# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ``vllm serve``, as the recorded version parses it."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORD_FILE = os.path.join(HOME, "options-0.16.json")
BENCH_FILE = os.path.join(HOME, "bench-options-0.16.json")
MAIN_USAGE = """usage: vllm [-h] [-v]
            {chat,complete,serve,bench,collect-env,run-batch} ...
"""
COMPILATION_KEYS = {
    "level",
    "mode",
    "debug_dump_path",
    "cache_dir",
    "compile_cache_save_format",
    "backend",
    "custom_ops",
    "splitting_ops",
    "compile_mm_encoder",
    "compile_sizes",
    "compile_ranges_split_points",
    "inductor_compile_config",
    "inductor_passes",
    "cudagraph_mode",
    "cudagraph_num_of_warmups",
    "cudagraph_capture_sizes",
    "cudagraph_copy_inputs",
    "cudagraph_specialize_lora",
    "use_inductor_graph_partition",
    "pass_config",
    "max_cudagraph_capture_size",
    "dynamic_shapes_config",
    "local_cache_dir",
    "fast_moe_cold_start",
    "static_all_moe_layers",
}
CUDAGRAPH_MODES = ("NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE")


class Refusal(Exception):
    """A command line that is refused: the whole text for stderr."""

    def __init__(self, text: str, status: int = 2) -> None:
        super().__init__(text)
        self.text, self.status = text, status


def human_int(text: str) -> int:
    """``1k`` is 1000, ``1K`` is 1024, ``25.6k`` is 25600."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", text.strip())
    if match is None:
        return int(text)
    number, unit = match.groups()
    power = "kmgt".index(unit.lower()) + 1
    if unit.islower():
        return int(float(number) * 1000**power)
    if "." in number:
        raise argparse.ArgumentTypeError(
            f"Decimals are not allowed with binary suffixes like {unit}. "
            f"Did you mean to use {number}{unit.lower()} instead?"
        )
    return int(int(number) * 1024**power)


human_int.__name__ = "human_readable_int"


def json_object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"Value {text} cannot be converted to <function loads>.") from error


def late_json(text: str) -> Any:
    """Not refused by the parser: what is no JSON stays text until the configuration is made."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def compilation_config(text: str) -> Any:
    def refuse(problem: str, kind: str, value: object) -> argparse.ArgumentTypeError:
        word = kind.split(",")[0]
        return argparse.ArgumentTypeError(
            f"1 validation error for CompilationConfig\n{problem} [type={word}, input_value={value!r}, "
            f"input_type={type(value).__name__}]\n"
            f"    For further information visit https://errors.pydantic.dev/2.14/v/{word}"
        )

    try:
        value = json.loads(text)
    except ValueError:
        raise refuse("  Invalid JSON: key must be a string at line 1 column 2", "json_invalid", text) from None
    for key, entry in value.items() if isinstance(value, dict) else ():
        if key not in COMPILATION_KEYS:
            raise refuse(f"{key}\n  Unexpected keyword argument", "unexpected_keyword_argument", entry)
        if key == "cudagraph_mode" and entry not in CUDAGRAPH_MODES:
            raise refuse(f"{key}\n  Value error, {entry!r} is not a valid CUDAGraphMode", "value_error", entry)
    return value


def python_literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"invalid value: {text!r}") from error


TYPES: dict[str, Callable[[str], Any]] = {
    "python": python_literal,
    "int": int,
    "float": float,
    "str": str,
    "human_int": human_int,
    "json": json_object,
    "json_late": late_json,
}


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of ending the process."""

    def __init__(self, usage_text: str, prog: str) -> None:
        super().__init__(prog=prog, add_help=False)
        self.usage_text = usage_text

    def error(self, message: str) -> NoReturn:
        raise Refusal(f"usage: {self.usage_text}\n{self.prog}: error: {message}\n")


def load_record(path: str = RECORD_FILE) -> dict[str, Any]:
    with open(path, encoding="utf-8") as stream:
        return dict(json.load(stream))


def build_parser(record: dict[str, Any]) -> Parser:
    serve = record["usage"][0].startswith("vllm serve")
    parser = Parser("\n".join(record["usage"]), "vllm serve" if serve else "vllm bench serve")
    if serve:
        parser.add_argument("model_tag", nargs="?")
    for option in record["options"]:
        flags, kind = option["flags"], option["kind"]
        if kind == "flag":
            parser.add_argument(*flags, action="store_true", default=option["default"])
        elif kind == "bool":
            parser.add_argument(*flags, action=argparse.BooleanOptionalAction, default=option["default"])
        else:
            convert = compilation_config if flags[0] == "--compilation-config" else TYPES[kind]
            choices = option["choices"]
            if choices is not None:
                choices = [convert(choice) if choice != "None" else None for choice in choices]
                if "name registered" in " ".join(record["usage"]) and flags[0] == "--tool-call-parser":
                    choices = None
            keywords: dict[str, Any] = {"nargs": option["nargs"]} if option["nargs"] else {}
            parser.add_argument(*flags, type=convert, choices=choices, default=option["default"], **keywords)
    return parser


def normalize(arguments: Sequence[str]) -> list[str]:
    """Underscores in option names become dashes; ``--name.key value`` becomes JSON of ``--name``."""
    result: list[str] = []
    nested: dict[str, dict[str, Any]] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--"):
            result.append(argument)
            continue
        name, equals, value = argument.partition("=")
        name, _, path = name.replace("_", "-").partition(".") if "." in name else (name.replace("_", "-"), "", "")
        if not path:
            result.append(f"{name}{equals}{value}")
            continue
        raw_path = argument.partition("=")[0].partition(".")[2]
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        target = nested.setdefault(name, {})
        keys = raw_path.split(".")
        for key in keys[:-1]:
            target = target.setdefault(key, {})
        target[keys[-1]] = late_json(value)
    for name, value_of_name in nested.items():
        result += [name, json.dumps(value_of_name)]
    return result


def parse_serve(arguments: Sequence[str], record: dict[str, Any] | None = None) -> argparse.Namespace:
    """The namespace of a good command line; Refusal with usage and error text otherwise."""
    parser = build_parser(record or load_record())
    namespace, unknown = parser.parse_known_args(normalize(arguments))
    if unknown:
        raise Refusal(f"{MAIN_USAGE}vllm: error: unrecognized arguments: {' '.join(unknown)}\n")
    if namespace.enable_auto_tool_choice and not namespace.tool_call_parser:
        raise Refusal("TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser\n", 1)
    return namespace


def parse_bench(arguments: Sequence[str]) -> argparse.Namespace:
    """The same for ``vllm bench serve``."""
    namespace, unknown = build_parser(load_record(BENCH_FILE)).parse_known_args(normalize(arguments))
    if unknown:
        raise Refusal(f"{MAIN_USAGE}vllm: error: unrecognized arguments: {' '.join(unknown)}\n")
    return namespace


def bench_help(*, whole: bool) -> str:
    """The usage of ``vllm bench serve``; each option as ``--help=all`` begins it, or groups alone as ``--help``."""
    record = load_record(BENCH_FILE)
    if not whole:
        return f"usage: {record['usage'][0]}\n\nConfig Groups:\n  options\n"
    lines = [f"usage: {line}" for line in record["usage"][:1]] + ["", "options:"]
    for option in record["options"]:
        flag = str(option["flags"][0])
        lines.append(f"  {flag}" if option["kind"] == "flag" else f"  {flag} {flag[2:].upper().replace('-', '_')}")
    return "\n".join(lines) + "\n"


def non_default(namespace: argparse.Namespace, record: dict[str, Any]) -> dict[str, Any]:
    """What differs from the defaults, as vLLM logs it."""
    shown: dict[str, Any] = {}
    if namespace.model_tag is not None:
        shown["model_tag"] = namespace.model_tag
    for option in record["options"]:
        dest = option["flags"][0][2:].replace("-", "_")
        value = getattr(namespace, dest)
        if value != option["default"] and dest != "model":
            shown[dest] = value
    if namespace.model_tag is not None:
        shown["model"] = namespace.model_tag
    return shown


if __name__ == "__main__":
    try:
        print(non_default(parse_serve(sys.argv[1:]), load_record()))
    except Refusal as refusal:
        sys.stderr.write(refusal.text)
        sys.exit(refusal.status)
