# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts in the log of an engine that tell the cause of a failure, with their meaning and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Signature:
    """A text in a log that tells the cause of a failure."""

    name: str
    pattern: re.Pattern[str]
    meaning: str
    fix: str


def _signature(name: str, pattern: str, meaning: str, fix: str) -> Signature:
    return Signature(name, re.compile(pattern), meaning, fix)


#: The engine waits for its workers, which may be normal. A cause only where nothing follows.
WORKERS_WAIT = _signature(
    "workers_wait",
    r"No available shared memory broadcast block found in \d+ seconds",
    "the engine waits for a worker that does not answer: it hangs, or does something long such as compiling",
    "see npu-smi info and the ERROR lines in the log folder of the replica; `py-spy dump --pid PID` of the worker says "
    "where it stands. Where that is its pace, set VLLM_RINGBUFFER_WARNING_INTERVAL in vllm_serve_environment",
)

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
    # Talk between the cards, and what runs on them.
    _signature(
        "hccl_exec_timeout",
        r"fftsplus task timeout|\bEI0002\b",
        "a chip waited for another one of its replica until HCCL gave up (half an hour by default)",
        "look for the chip that stopped first: ERROR lines in the log folder of the replica, preflight, dmesg. "
        "Restart the replica; HCCL_EXEC_TIMEOUT in vllm_serve_environment makes the next hang shorter",
    ),
    _signature(
        "hccl_connect",
        r"\bEI000[69]\b|Getting socket times out|Transport init error|wait socket establish timeout",
        "the chips of one engine do not reach each other over HCCL",
        "see whether one of its workers ended first; compare HCCL_IF_IP and HCCL_SOCKET_IFNAME with `ip address`, "
        "and TLS and links between the cards (preflight NET-005 to NET-009)",
    ),
    _signature(
        "hccl_init",
        r"hcclCommInit\w*\(?|HcclCommInit\w*|ERR02200",
        "HCCL could not set up the group of chips of one engine",
        "the first ERROR lines in the log folder of the replica say why: a port, an address, or a chip that is held",
    ),
    _signature(
        "kernel_fault",
        r"\b5070(?:11|14|15|35)\b|(?:aicore|aivec|vector core) (?:exception|error|execution)|there is an exception of",
        "a kernel failed on a chip while it ran",
        "keep the log folder of the replica for a report, with the versions; restart the replica. If it comes back "
        "under load: lower max-num-seqs, or take a newer image and driver",
    ),
    _signature(
        "device_lost",
        r"\bEL0001\b|Device\[\d+\] lost heartbeat|reason=lost heartbeat|\b507010\b",
        "the driver has lost a chip of this replica",
        "npu-smi info -t health -i N and dmesg name the chip; reboot the host. If it comes back, exchange the card",
    ),
    _signature(
        "npu_error",
        r"\bE[ZIHLJE]9999\b|\bERR00100\b",
        "CANN reports an inner error",
        "the lines around it, and the ERROR lines in the log folder of the replica, name the cause",
    ),
    # The image and how it was started.
    _signature(
        "driver_libraries",
        r"GLIBC_2\.\d+' not found|lib(?:ascend_hal|dcmi|drvdsmi\w*)\.so[^:]*: cannot open shared object",
        "the driver's libraries are not in the container, or are from a newer system than the image's",
        "with Ascend Docker Runtime as default: mount nothing twice; otherwise install the driver again and run "
        "preflight (DKR-008, DKR-009)",
    ),
    _signature(
        "folder_not_writable",
        r"\[?ge\.debugDir\]?.{0,20} is invalid",
        "CANN wants to write into the working directory and may not",
        "set ASCEND_WORK_PATH to a folder of the replica in vllm_serve_environment",
    ),
    _signature(
        "triton_conflict",
        r"RuntimeError: 0 active drivers",
        "triton and triton-ascend are both in the image, and the wrong one is found",
        "take another image, or remove both and install triton-ascend again when building it",
    ),
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
        "proxy",
        r"ProxyError|Cannot connect to proxy|Tunnel connection failed|407 Proxy Authentication Required",
        "the engine sends requests to its own host, or to other hosts of the fleet, through a proxy",
        "see preflight (NET-…) for where the proxy is set; no_proxy must name this host, 127.0.0.1 and the other hosts",
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
    WORKERS_WAIT,
)
