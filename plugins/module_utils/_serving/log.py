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


@dataclass(frozen=True)
class Signature:
    """A text in a log that tells the cause of a failure."""

    name: str
    pattern: re.Pattern[str]
    meaning: str
    fix: str


def _signature(name: str, pattern: str, meaning: str, fix: str) -> Signature:
    return Signature(name, re.compile(pattern), meaning, fix)


SIGNATURES: tuple[Signature, ...] = (
    # The card and the driver.
    _signature(
        "card_held",
        r"(?<![\w.])-80(05|20)\b|device is used|\b507008\b",
        "another process or container holds the card, or the driver was upgraded without a reboot",
        "run preflight: it names the holder. Stop it; after an upgrade of the driver reboot the host",
    ),
    _signature(
        "chips_not_ready",
        r"^found (.*) after \d+ s; needed all chips of this replica",
        "the driver is not up, or a chip of this replica is not healthy",
        "look at dmesg and npu-smi info; preflight names the chip. The unit starts by itself when its chips work",
    ),
    _signature(
        "driver_mismatch",
        r"\b507033\b|\bE39011\b|TsdOpen failed",
        "the driver does not fit the image's CANN, or only part of the driver's files are mounted",
        "compare driver and CANN (preflight does), and mount driver/lib64, version.info, dcmi and ascend_install.info",
    ),
    _signature(
        "threads_refused",
        r"can't start new thread|pthread_create failed",
        "docker is older than 20.10.10: its seccomp filter refuses the way in which this image starts threads",
        "install docker 20.10.10 or later",
    ),
    _signature(
        "stream_resources",
        r"\b20700[58]\b|\bEL0009\b",
        "the card ran out of stream resources while graphs were captured",
        "fewer cudagraph-capture-sizes, cudagraph_mode FULL_DECODE_ONLY, or a newer driver and CANN",
    ),
    _signature(
        "tensor_parallel_kernel",
        r"EE1003.*CausalConv1d|CausalConv1d.*EE1003",
        "a kernel of these versions does not support this tensor-parallel-size (seen with 8)",
        "tensor-parallel-size 4",
    ),
    _signature(
        "hccl_port",
        r"\bEJ0003\b|\bEI0019\b",
        "two engines of the host use the same HCCL ports",
        "give each its own HCCL_IF_BASE_PORT, as vllm_serve does; look for an engine started by hand",
    ),
    # The image and how it was started.
    _signature(
        "environment_not_sourced",
        r"libatb\.so|Failed to infer device type",
        "the CANN environment was not sourced",
        "keep the image's entry point: it sources set_env.sh",
    ),
    _signature(
        "working_directory",
        r"No module named 'vllm\.benchmarks",
        "Python finds vLLM's source tree in the working directory instead of the package",
        "run with -w /, as vllm_serve does",
    ),
    _signature(
        "docker_down",
        r"Cannot connect to the Docker daemon|Is the docker daemon running",
        "docker does not answer",
        "systemctl status docker",
    ),
    _signature(
        "image_missing",
        r"No such image|Unable to find image|pull access denied",
        "docker does not have the image that the unit names",
        "run the role vllm_image (site.yml or stage.yml) again",
    ),
    _signature(
        "device_missing",
        r"error gathering device information while adding custom device",
        "a device node that the unit passes does not exist",
        "ls -l /dev/davinci*; the driver is not loaded or a card is lost: run preflight",
    ),
    _signature(
        "name_taken",
        r"Conflict\. The container name",
        "a container of the same name exists",
        "docker ps -a; remove or rename it",
    ),
    _signature(
        "architecture",
        r"exec format error|does not match the detected host platform",
        "the image is for another processor architecture",
        "take the image for this host's architecture (uname -m)",
    ),
    # Options, as vLLM itself refuses them.
    _signature(
        "unknown_option",
        r"error: unrecognized arguments:|error: argument .*: invalid|error: the following arguments are required",
        "vLLM does not know an option, or not with this value",
        "correct serve.options of the release, or vllm_serve_options",
    ),
    _signature(
        "heads_not_divisible",
        r"must be divisible by tensor parallel size",
        "the model's attention heads cannot be divided by tensor-parallel-size",
        "another tensor-parallel-size, such as 4",
    ),
    _signature(
        "too_long",
        r"is greater than the derived max_model_len",
        "max-model-len is longer than the model allows",
        "a smaller max-model-len",
    ),
    _signature(
        "batch_too_small",
        r"max_num_batched_tokens \(\d+\) must be greater than or equal to max_num_seqs",
        "max-num-batched-tokens is smaller than max-num-seqs",
        "raise the one or lower the other",
    ),
    _signature(
        "invalid_configuration",
        r"validation errors? for (?:Vllm|Cache|Model|Scheduler|Parallel|Compilation|\w+)Config",
        "vLLM refuses the value of an option",
        "correct the option named in the lines below",
    ),
    # The model.
    _signature(
        "no_model",
        r"HFValidationError|Repo id must be in the form|is not a local folder and is not a valid model identifier"
        r"|Cannot find any model weights|does not appear to have a file named config\.json",
        "there are no complete weights in the folder that is served",
        "run the role model_artifacts (site.yml or stage.yml) again",
    ),
    _signature(
        "weights_damaged",
        r"SafetensorError|MetadataIncompleteBuffer|HeaderTooLarge|invalid header",
        "a file of the weights is damaged, or is still an LFS pointer",
        "verify the weights: model_artifacts_rehash: true",
    ),
    _signature(
        "architecture_unknown",
        r"Model architectures .* are not supported|does not recognize this architecture",
        "the image's vLLM or transformers does not know this model",
        "take the image of the release that belongs to the model",
    ),
    # Memory and the host.
    _signature(
        "device_memory",
        r"NPU out of memory|No available memory for the cache blocks|on device .* is less than desired"
        r"|less than requested memory for kv|larger than the (?:available|maximum number of tokens)"
        r"|alloc(?:ation)? failed.*HBM",
        "the card has too little free memory for this configuration",
        "see who else uses the card (preflight); lower gpu-memory-utilization, max-model-len or max-num-seqs",
    ),
    _signature(
        "shared_memory",
        r"No space left on device.*(?:/dev/shm|psm_|shm)|(?:/dev/shm|shm_open|psm_).*No space left on device|Bus error",
        "the container's shared memory (/dev/shm) is too small",
        "serve.container.shm_size: 100g in the release",
    ),
    _signature(
        "disk_full",
        r"No space left on device",
        "a disk of the host is full",
        "df -h; docker's folder and /var/lib/ascend-fleet are the large ones",
    ),
    _signature(
        "port_taken",
        r"Address already in use",
        "another program listens on the port",
        "ss -ltnp shows it; stop it, or set vllm_serve_first_port",
    ),
    _signature(
        "tls_file",
        r"load_cert_chain|ssl-certfile|ssl-keyfile",
        "a TLS certificate or key cannot be read inside the container",
        "mount it with vllm_serve_docker_options and name its path there",
    ),
    _signature(
        "slow_weights",
        r"Timed out waiting for engines",
        "the engine gave up while weights were still loading",
        "put the weights on a local disk; a longer ready_timeout_seconds in the release",
    ),
    _signature(
        "engine_died",
        r"EngineDeadError|Engine core initialization failed|Engine core proc \S+ died",
        "the engine behind the API server died; where it says nothing else, /dev/shm may be too small or it was killed",
        "look above this line in the journal; check the shm size and `dmesg` for out-of-memory kills",
    ),
)

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
        for number, line in enumerate(lines):
            # A line that repeats the engine's options or configuration tells no cause.
            if "non-default args:" in line or "with config:" in line or _WARNING.search(line):
                continue
            if strip_prefix(line).lstrip().startswith("raise "):
                continue
            if signature.pattern.search(line):
                found.append((number, signature, strip_prefix(line).strip()))
                break
    names = {f[1].name for f in found}
    general = {"engine_died", "invalid_configuration"} | ({"disk_full"} if "shared_memory" in names else set())
    special = [f for f in found if f[1].name not in general]
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


# -- requests ------------------------------------------------------------------------------------------------------

_GAUGE = re.compile(r"^vllm:num_requests_(running|waiting)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)


def requests_in_flight(metrics: str) -> Optional[tuple[int, int]]:
    """Running and waiting requests of all engines in the text of ``/metrics``; None when it does not tell."""
    found: dict[str, int] = {}
    for name, value in _GAUGE.findall(metrics):
        found[name] = found.get(name, 0) + int(float(value))
    return (found["running"], found["waiting"]) if len(found) == 2 else None
