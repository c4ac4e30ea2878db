# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the log of a starting `vllm serve`: how far the start is, and after a failure, its cause.

Nothing here looks for words like "error": engines print them while all is well. What a log means is only asked after
the engine has ended, or has been silent for too long.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterable, Optional, Sequence

from .signatures import SIGNATURES, WORKERS_WAIT, Signature

# -- stages --------------------------------------------------------------------------------------------------------

# In the order in which a start passes them. Workers run side by side, so lines of an earlier stage may come late: a
# start never goes back. The second column is what a person reads.
_STAGES: tuple[tuple[str, str, str], ...] = (
    ("waiting", "waiting for the container", ""),
    ("waiting_for_chips", "waiting for its chips", r"^waiting for chips, "),
    ("configuring", "checking its options", r"non-default args:|Resolved architecture:|vLLM API server version"),
    ("starting_engine", "starting the engine", r"Initializing a V1 LLM engine|Waiting for \d+ local, \d+ remote core"),
    ("loading_model", "building the model", r"Starting to load model"),
    ("loading_weights", "loading weights", r"Loading safetensors checkpoint shards:|Loading .*checkpoint shards:"),
    ("weights_loaded", "weights loaded", r"Loading weights took|Loading model weights took|Model loading took"),
    ("compiling", "compiling", r"torch\.compile takes|Compiling a graph|Dynamo bytecode transform|Cache the graph"),
    ("profiling", "sizing the KV cache", r"KV cache size:|Available KV cache memory|Available memory:.*KV"),
    ("capturing_graphs", "capturing graphs", r"Capturing .*graphs?\b"),
    ("engine_ready", "engine ready", r"init engine \(.*\) took|Graph capturing finished"),
    ("starting_server", "starting the API server", r"Starting vLLM (API )?server"),
    ("first_token", "asking for the first token", ""),
    ("ready", "ready", r"Application startup complete\."),
)
STAGES: tuple[str, ...] = tuple(name for name, _title, _pattern in _STAGES)
TITLES: dict[str, str] = {name: title for name, title, _pattern in _STAGES}
_PATTERNS = [(n, re.compile(p)) for n, (_name, _title, p) in enumerate(_STAGES) if p]
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3})%(?:\s|\|)")
_COUNTED = ("loading_weights", "capturing_graphs")


@dataclass(frozen=True)
class Progress:
    """How far a start is; ``percent`` is of the stage, None where a stage has no measure."""

    stage: str = STAGES[0]
    percent: Optional[int] = None

    def text(self) -> str:
        """For people: ``loading weights 42%``."""
        title = TITLES.get(self.stage, self.stage)
        return title if self.percent is None else "%s %d%%" % (title, self.percent)


def split_lines(text: str) -> list[str]:
    """Lines of a log; progress bars rewrite theirs with carriage returns."""
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


def follow(lines: Iterable[str], progress: Optional[Progress] = None) -> Progress:
    """The progress after these lines, from ``progress`` on."""
    now = progress or Progress()
    for line in lines:
        for number, pattern in _PATTERNS:
            if not pattern.search(line):
                continue
            stage, current = STAGES[number], STAGES.index(now.stage)
            if number < current:
                break
            percent = now.percent if number == current else None
            found = _PERCENT.search(line) if stage in _COUNTED else None
            if found:
                percent = max(min(int(found.group(1)), 100), percent or 0)
            now = Progress(stage, percent)
            break
    return now


# -- failures ------------------------------------------------------------------------------------------------------


# Counted only where nothing else is found: they name what follows from a cause.
_GENERAL = {"engine_died", "invalid_configuration", "workers_wait"}
_PREFIX = re.compile(r"^(?:\([^()]*pid=\d+\)\s*)?(?:(?:INFO|WARNING|ERROR|DEBUG) \S+ \S+ \[[^\]]*\]\s?)?")
_WARNING = re.compile(r"^(?:\([^()]*pid=\d+\)\s*)?WARNING ")
_CAUSE = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception)(?::|$)|^(?:\w+: )?error: ")
# Texts of processes that only report the failure of another one.
_PASSED_ON = re.compile(
    r"Engine core initialization failed|Worker failed with error|EngineDeadError|cannot schedule new futures"
    r"|CancelledError|BrokenPipeError|ConnectionResetError"
)


@dataclass(frozen=True)
class Diagnosis:
    """What a log says about a failure: known signatures with their lines, the exception at the root, the last lines."""

    found: tuple[tuple[Signature, str], ...]
    cause: tuple[str, ...]
    last: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names of the signatures."""
        return [signature.name for signature, _line in self.found]

    def text(self) -> str:
        """Several lines for people."""
        parts = ["%s [%s]. Fix: %s" % (s.meaning, _shorten(line, 200), s.fix) for s, line in self.found]
        if self.cause:
            parts.append("cause in the log: " + " | ".join(_shorten(c, 400) for c in self.cause))
        if not parts and not self.last:
            parts.append("the log is empty")
        if self.last:
            parts.append("last lines of the log:\n" + "\n".join("    " + _shorten(c, 300) for c in self.last))
        return "\n".join(parts)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def strip_prefix(line: str) -> str:
    """A log line without process, level, time and place."""
    return _PREFIX.sub("", line, count=1)


def diagnose(lines: Sequence[str], *, keep: int = 12) -> Diagnosis:
    """What the end of a log means. The first line of each cause counts: later ones are consequences."""
    found: list[tuple[int, Signature, str]] = []
    for signature in SIGNATURES:
        # Workers that wait are normal as long as something follows.
        first = len(lines) - 1 if signature is WORKERS_WAIT else 0
        for number, line in enumerate(lines[max(first, 0) :], max(first, 0)):
            # A line that repeats the engine's options or configuration tells no cause.
            if "non-default args:" in line or "with config:" in line or _WARNING.search(line):
                continue
            if strip_prefix(line).lstrip().startswith("raise "):
                continue
            if signature.pattern.search(line):
                found.append((number, signature, strip_prefix(line).strip()))
                break
    names = {f[1].name for f in found}
    general = _GENERAL | ({"disk_full"} if "shared_memory" in names else set())
    special = [f for f in found if f[1].name not in general]
    # An inner error is named where nothing says which one.
    special = [f for f in special if f[1].name != "npu_error"] or special
    chosen = sorted(special or found, key=lambda f: f[0])[:3]
    return Diagnosis(tuple((s, line) for _n, s, line in chosen), _cause(lines), tuple(lines[-keep:]))


def _cause(lines: Sequence[str]) -> tuple[str, ...]:
    """The exception at the root, with the lines that explain it."""
    passed_on: tuple[str, ...] = ()
    for number, line in enumerate(lines):
        text = strip_prefix(line).strip()
        if _WARNING.search(line) or not _CAUSE.search(text):
            continue
        words: tuple[str, ...] = (text,)
        if "validation error" in text:
            words += tuple(strip_prefix(more).strip() for more in lines[number + 1 : number + 3])
        if not _PASSED_ON.search(text):
            return words
        passed_on = passed_on or words
    return passed_on


# -- signs of life and of trouble -----------------------------------------------------------------------------------

# While these stages go on, workers may keep the engine waiting for minutes.
_LONG_STAGES = ("loading_weights", "weights_loaded", "compiling", "profiling", "capturing_graphs")
# Lines of an engine that serves all the same, but not as it should.
_NOTES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"Can not get running npu info|[Bb]ind(?:ing)? cpus? (?:is )?(?:failed|skipped)|bind_cpus.*fail"),
        "vllm-ascend did not bind its workers to processors, so throughput varies. Fix: see that npu-smi and lscpu "
        "work in the container and that the host has 5 processors or more for each chip",
    ),
)


def is_sign_of_life(line: str, stage: str) -> bool:
    """Whether a new line shows that a start goes on. One that says again and again that workers are waited for does
    so only in the stages in which that is normal."""
    return stage in _LONG_STAGES or not WORKERS_WAIT.pattern.search(line)


def notes(lines: Iterable[str]) -> list[str]:
    """What lines tell of an engine that serves, but not as it should, each once."""
    found: dict[str, None] = {}
    for line in lines:
        for pattern, words in _NOTES:
            if pattern.search(line):
                found["found %s in the log: %s" % (_shorten(strip_prefix(line).strip(), 160), words)] = None
    return list(found)


# -- requests ------------------------------------------------------------------------------------------------------

_GAUGE = re.compile(r"^vllm:num_requests_(running|waiting)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)


def requests_in_flight(metrics: str) -> Optional[tuple[int, int]]:
    """Running and waiting requests of all engines in the text of ``/metrics``; None when it does not tell."""
    found: dict[str, int] = {}
    for name, value in _GAUGE.findall(metrics):
        found[name] = found.get(name, 0) + int(float(value))
    return (found["running"], found["waiting"]) if len(found) == 2 else None
