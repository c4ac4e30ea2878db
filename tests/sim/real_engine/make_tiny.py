#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a model folder that the real engine loads; nothing is downloaded.

  make_tiny.py DIR                a Qwen3.5 (text and pictures) of one million random numbers, 2 MB; at temperature 0
                                  it answers nonsense of readable characters
  make_tiny.py --shape DIR        the configuration of Qwen3.5-27B at true size, without weights: for option checks

Run with the environment's Python (build_env.py prints where it is). The same call writes the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{% if c.type in ('image','image_url') or 'image' in c %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c.type == 'video' or 'video' in c %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# The tokenizer learns the smoke questions, every other byte stays a token of its own.
CORPUS = (
    "The quick brown fox jumps over the lazy dog. You are a helpful assistant. What is the text in the illustrate?",
    "介绍一下你自己，用中文回答",
)

CONTEXT = 262144  # as the real one: so that the guide's --max-model-len is a limit, not the model's


def processor(kind: str) -> dict[str, Any]:
    """preprocessor_config.json (``image``) or video_preprocessor_config.json (``video``) of the Qwen3-VL processor."""
    common: dict[str, Any] = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "Qwen3VLProcessor",
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "resample": 3,
    }
    if kind == "image":
        size = {"shortest_edge": 65536, "longest_edge": 16777216}
        return dict(common, image_processor_type="Qwen2VLImageProcessorFast", size=size)
    size = {"shortest_edge": 4096, "longest_edge": 25165824}
    return dict(common, video_processor_type="Qwen3VLVideoProcessor", size=size, fps=2)


def tiny_text(vocabulary: int, end: int, pad: int) -> dict[str, Any]:
    """The language half: three linear-attention layers and a full one, the real model's pattern at a hundredth."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "max_position_embeddings": CONTEXT,
        "eos_token_id": end,
        "pad_token_id": pad,
        "bos_token_id": None,
        "linear_num_key_heads": 4,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "full_attention_interval": 4,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.25,
            "mrope_interleaved": True,
            "mrope_section": [4, 2, 2],
        },
    }


TINY_VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 4,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 64,
    "num_position_embeddings": 256,
    "in_channels": 3,
}


def full_shape() -> dict[str, Any]:
    """config.json of Qwen3.5-27B: 64 layers, every fourth with full attention, 24 heads over 4 key-value heads."""
    layers = 64
    return {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "model_type": "qwen3_5",
        "dtype": "bfloat16",
        "image_token_id": 248056,
        "video_token_id": 248057,
        "vision_start_token_id": 248053,
        "vision_end_token_id": 248054,
        "tie_word_embeddings": False,
        "text_config": {
            "model_type": "qwen3_5_text",
            "hidden_size": 5120,
            "intermediate_size": 17408,
            "num_hidden_layers": layers,
            "num_attention_heads": 24,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "vocab_size": 248320,
            "max_position_embeddings": CONTEXT,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 48,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
            "linear_conv_kernel_dim": 4,
            "full_attention_interval": 4,
            "layer_types": ["full_attention" if n % 4 == 3 else "linear_attention" for n in range(layers)],
            "mtp_num_hidden_layers": 1,
            "attn_output_gate": True,
            "mamba_ssm_dtype": "float32",
            "rms_norm_eps": 1e-06,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000000,
                "partial_rotary_factor": 0.25,
                "mrope_interleaved": True,
                "mrope_section": [11, 11, 10],
            },
            "dtype": "bfloat16",
            "eos_token_id": 248044,
        },
        "vision_config": {
            "model_type": "qwen3_5_vision",
            "depth": 27,
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_heads": 16,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 5120,
            "num_position_embeddings": 2304,
            "in_channels": 3,
        },
    }


def is_readable(text: str, special: Sequence[str]) -> bool:
    """Whether a token alone is text that a person can read."""
    return bool(text) and text not in special and text.isprintable() and "\ufffd" not in text


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def write_tokenizer(out: Path) -> Any:
    """A byte-level tokenizer with the model family's special tokens and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(CORPUS) * 4, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(out)
    # Readable by transformers 4.57 as by 5.x.
    path = out / "tokenizer_config.json"
    configuration = json.loads(path.read_text())
    configuration["tokenizer_class"] = "PreTrainedTokenizerFast"
    configuration["additional_special_tokens"] = configuration.pop("extra_special_tokens", list(SPECIAL))
    configuration.pop("backend", None)
    _write(path, configuration)
    _write(out / "preprocessor_config.json", processor("image"))
    _write(out / "video_preprocessor_config.json", processor("video"))
    return fast


def write_tiny(out: Path) -> None:
    """The whole model folder, weights drawn from a fixed seed."""
    import torch
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    fast = write_tokenizer(out)
    ids = {token: fast.convert_tokens_to_ids(token) for token in SPECIAL}
    vocabulary = (len(fast) + 63) // 64 * 64
    torch.manual_seed(0)
    configuration = Qwen3_5Config(
        text_config=tiny_text(vocabulary, ids["<|im_end|>"], ids["<|endoftext|>"]),
        vision_config=TINY_VISION,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    model = Qwen3_5ForConditionalGeneration(configuration)
    # Half of the vocabulary is single bytes. The likeliest token is to be one that can be read, for an answer full of
    # broken characters is what a broken kernel gives: these stay at a score of 0, which the best of the others exceeds.
    texts = [fast.decode([token]) for token in range(len(fast))]
    readable = [token for token, text in enumerate(texts) if is_readable(text, SPECIAL)] + [ids["<|im_end|>"]]
    head = model.lm_head.weight.data
    kept = torch.zeros(head.shape[0], 1)
    kept[readable] = 1
    head.mul_(kept)
    model = model.to(torch.bfloat16)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.save_pretrained(out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", action="store_true", help="configuration of the 27B model only, no weights")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"
    out: Path = options.folder
    out.mkdir(parents=True, exist_ok=True)
    if options.shape:
        write_tokenizer(out)
        _write(out / "config.json", full_shape())
        eos = {"_from_model_config": True, "eos_token_id": 2, "pad_token_id": 0, "use_cache": True}
        _write(out / "generation_config.json", eos)
    else:
        write_tiny(out)
    for path in out.iterdir():
        path.chmod(0o644)  # safetensors writes 0600, and a container's user may be another
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
