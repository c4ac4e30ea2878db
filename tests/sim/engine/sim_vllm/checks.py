# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before any process of the engine is started: environment, working directory, model, configuration."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from typing import Any

from . import device
from .failures import ASCEND_SITE, CONFIG_FRAMES, ENGINE_FRAMES, MAIN_FRAMES, SITE, Failed, validation_error

DEFAULT_HEADS = 24
DEFAULT_POSITIONS = 262144


def check_environment(node: device.Node) -> None:
    """What importing torch_npu and vllm needs; without it not even the options are parsed."""
    libraries = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]
    if not os.environ.get("ASCEND_TOOLKIT_HOME") or not any("Ascend" in path for path in libraries):
        raise Failed(
            "RuntimeError: Failed to infer device type, please set the environment variable "
            "`VLLM_LOGGING_LEVEL=DEBUG` to turn on verbose logging to help debug the issue.",
            [*MAIN_FRAMES[:2], (f"{SITE}/config/device.py", 55, "__post_init__", "raise RuntimeError(")],
        )
    if not node.libraries:
        raise Failed(
            "ImportError: libascend_hal.so: cannot open shared object file: No such file or directory",
            [
                (
                    "/usr/local/python3.11.14/lib/python3.11/site-packages/torch_npu/__init__.py",
                    21,
                    "<module>",
                    "import torch_npu.npu",
                )
            ],
        )
    if not os.environ.get("ATB_HOME_PATH"):
        raise Failed(
            "ImportError: libatb.so: cannot open shared object file: No such file or directory",
            [(f"{ASCEND_SITE}/utils.py", 31, "<module>", "import torch_npu")],
        )


def check_working_directory() -> None:
    """Python finds the source tree of the working directory instead of the installed package."""
    if os.path.isdir(os.path.join(os.getcwd(), "vllm", "vllm")):
        raise Failed(
            "ModuleNotFoundError: No module named 'vllm.benchmarks.latency'",
            [
                ("/usr/local/python3.11.14/bin/vllm", 4, "<module>", "from vllm.entrypoints.cli.main import main"),
                (
                    f"{SITE}/entrypoints/cli/benchmark/latency.py",
                    5,
                    "<module>",
                    "from vllm.benchmarks.latency import add_cli_args, main",
                ),
            ],
        )


def model_config(model: str) -> dict[str, Any]:
    """config.json of the model, or what vLLM says where there is none."""
    frames = [*ENGINE_FRAMES, (f"{SITE}/engine/arg_utils.py", 1142, "create_model_config", "return ModelConfig(")]
    if not os.path.isdir(model):
        if model.startswith("/") or model.count("/") > 1:
            raise Failed(
                "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or "
                f"'namespace/repo_name': '{model}'. Use `repo_type` argument if needed.",
                [
                    *frames,
                    (f"{SITE}/transformers_utils/repo_utils.py", 301, "get_model_path", "return snapshot_download("),
                ],
            )
        raise Failed(
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the "
            f"cached files.\nCheck your internet connection or see how to run the library in offline mode at "
            f"'https://huggingface.co/docs/transformers/installation#offline-mode'. (model: {model})",
            [
                *frames,
                (f"{SITE}/transformers_utils/config.py", 623, "get_config", "raise ValueError(error_message) from e"),
            ],
        )
    try:
        with open(os.path.join(model, "config.json"), encoding="utf-8") as stream:
            return dict(json.load(stream))
    except FileNotFoundError:
        raise Failed(
            "ValueError: Could not detect config format for no supported file found. With config_format 'auto', ensure "
            "your model has either config.json (HF format) or params.json (Mistral format). Otherwise please specify "
            "your_custom_config_format in engine args for customized config parser.",
            frames,
        ) from None
    except ValueError as error:
        raise Failed(
            f"OSError: It looks like the config file at '{model}/config.json' is not a valid JSON file. ({error})",
            frames,
        ) from None


def check_config(namespace: argparse.Namespace, config: dict[str, Any]) -> None:
    """What create_engine_config() refuses."""
    text = config.get("text_config") or config
    positions = int(text.get("max_position_embeddings", DEFAULT_POSITIONS))
    heads = int(text.get("num_attention_heads", DEFAULT_HEADS))
    length = namespace.max_model_len
    if length is not None and length > positions and os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") != "1":
        raise Failed(
            validation_error(
                "ModelConfig",
                f"Value error, User-specified max_model_len ({length}) is greater than the derived max_model_len "
                f"(max_position_embeddings={float(positions)} or model_max_length=None in model's config.json). "
                "To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. "
                "VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution.",
            ),
            CONFIG_FRAMES,
        )
    utilization = namespace.gpu_memory_utilization
    if not 0 < utilization <= 1:
        word, kind = (
            ("less than or equal to 1", "less_than_equal") if utilization > 1 else ("greater than 0", "greater_than")
        )
        raise Failed(
            validation_error(
                "CacheConfig", f"Input should be {word}", kind, repr(utilization), "float", "gpu_memory_utilization"
            ),
            CONFIG_FRAMES,
        )
    batched, sequences = namespace.max_num_batched_tokens, namespace.max_num_seqs
    if batched is not None and sequences is not None and batched < sequences:
        raise Failed(
            validation_error(
                "SchedulerConfig",
                f"Value error, max_num_batched_tokens ({batched}) must be greater than or equal to "
                f"max_num_seqs ({sequences}).",
            ),
            CONFIG_FRAMES,
        )
    if namespace.quantization == "ascend" and not os.path.exists(
        os.path.join(str(namespace.model_tag or namespace.model), "quant_model_description.json")
    ):
        raise Failed(
            "ValueError: Could not find quant_model_description.json in the model directory; "
            "it is needed by --quantization ascend.",
            CONFIG_FRAMES,
        )
    size = namespace.tensor_parallel_size
    if heads % size:
        raise Failed(
            validation_error(
                "VllmConfig",
                f"Value error, Total number of attention heads ({heads}) must be divisible by tensor parallel "
                f"size ({size}).",
            ),
            CONFIG_FRAMES,
        )
    if not isinstance(namespace.additional_config, dict):
        given = namespace.additional_config
        raise Failed(
            "pydantic_core._pydantic_core.ValidationError: 2 validation errors for VllmConfig\n"
            "additional_config.dict[any,any]\n"
            f"  Input should be a valid dictionary [type=dict_type, input_value={given!r}, "
            f"input_type={type(given).__name__}]\n"
            "    For further information visit https://errors.pydantic.dev/2.14/v/dict_type\n"
            "additional_config.is-instance[SupportsHash]\n"
            f"  Input should be an instance of SupportsHash [type=is_instance_of, input_value={given!r}, "
            f"input_type={type(given).__name__}]\n"
            "    For further information visit https://errors.pydantic.dev/2.14/v/is_instance_of",
            CONFIG_FRAMES,
        )


def shards_of(model: str) -> list[str]:
    """The files of weights that the index names, or those that lie there."""
    index = os.path.join(model, "model.safetensors.index.json")
    with contextlib.suppress(OSError, ValueError), open(index, encoding="utf-8") as stream:
        return sorted(set(json.load(stream)["weight_map"].values()))
    with contextlib.suppress(OSError):
        return sorted(name for name in os.listdir(model) if name.endswith(".safetensors"))
    return []
