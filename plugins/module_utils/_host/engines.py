# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line of a process says of an engine: whether it is a `vllm serve`, of which model, on which port.

A command line may hold an API key. Nothing of it is kept but the few values that are named here.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

#: Where `vllm serve` listens where no option says otherwise.
DEFAULT_PORT = 8000
_MODULE = "vllm.entrypoints.openai.api_server"
#: The options that are read, by all their spellings.
_OPTIONS = {
    "--port": "port",
    "--model": "model",
    "--served-model-name": "served_model_names",
    "--tensor-parallel-size": "tensor_parallel_size",
    "-tp": "tensor_parallel_size",
}


def engine_of(argv: Sequence[str]) -> Optional[dict[str, Any]]:
    """``port``, ``model``, ``served_model_names`` and ``tensor_parallel_size`` of an engine; None: it is no engine."""
    words = [word for word in argv if word]
    rest = _after_command(words)
    if rest is None:
        return None
    found: dict[str, list[str]] = {}
    if rest and not rest[0].startswith("-"):
        found["model"] = [rest[0]]
    name: Optional[str] = None
    for word in rest:
        if word.startswith("-") and not word.lstrip("-").isdigit():
            option, equals, value = word.partition("=")
            name = _OPTIONS.get(option if option == "-tp" else option.replace("_", "-"))
            if name:
                found[name] = [value] if equals else []
        elif name:
            found[name].append(word)
            # Only the names may be several; whatever else follows is a word of its own.
            name = name if name == "served_model_names" else None
    model = _first(found.get("model"))
    return {
        "port": _number(found.get("port"), DEFAULT_PORT),
        "model": model,
        "served_model_names": found.get("served_model_names") or ([model] if model else []),
        "tensor_parallel_size": _number(found.get("tensor_parallel_size"), 1),
    }


def first_of_each(by_pid: Mapping[int, Optional[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The engines of a container, one for each port, with the ``pid`` of its API server.

    An engine's own processes may bear the command line of the API server, which is the oldest of them.
    """
    found: dict[int, dict[str, Any]] = {}
    for pid in sorted(by_pid):
        engine = by_pid[pid]
        if engine is not None:
            found.setdefault(int(engine["port"]), {"pid": pid, **engine})
    return [found[port] for port in sorted(found)]


def _after_command(words: Sequence[str]) -> Optional[list[str]]:
    """What follows `vllm serve`, or the module that does the same."""
    for place, word in enumerate(words[:-1]):
        if word.rpartition("/")[2] == "vllm" and words[place + 1] == "serve":
            return list(words[place + 2 :])
        if word == "-m" and words[place + 1] == _MODULE:
            return list(words[place + 2 :])
    return None


def _first(values: Optional[Sequence[str]]) -> Optional[str]:
    return values[0] if values else None


def _number(values: Optional[Sequence[str]], default: int) -> int:
    text = _first(values) or ""
    return int(text) if text.isdigit() else default
