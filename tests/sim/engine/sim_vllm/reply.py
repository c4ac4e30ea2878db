# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON of answers."""

from __future__ import annotations

import time
import uuid
from typing import Any


def head(prefix: str, kind: str, model: str) -> dict[str, Any]:
    """What every part of one answer begins with."""
    return {"id": f"{prefix}-{uuid.uuid4().hex[:16]}", "object": kind, "created": int(time.time()), "model": model}


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": None,
    }


def model_card(name: str, root: str, created: int, max_model_len: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": root,
        "parent": None,
        "max_model_len": max_model_len,
        "permission": [],
    }


def completion(begin: dict[str, Any], said: str, reason: str, used: dict[str, Any]) -> dict[str, Any]:
    return {
        **begin,
        "choices": [
            {
                "index": 0,
                "text": said,
                "logprobs": None,
                "finish_reason": reason,
                "stop_reason": None,
                "token_ids": None,
                "prompt_logprobs": None,
                "prompt_token_ids": None,
            }
        ],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": used,
        "kv_transfer_params": None,
    }


def chat_completion(
    begin: dict[str, Any], said: str, reasoning: str | None, reason: str, used: dict[str, Any]
) -> dict[str, Any]:
    return {
        **begin,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": said,
                    "refusal": None,
                    "annotations": None,
                    "audio": None,
                    "function_call": None,
                    "tool_calls": [],
                    "reasoning": reasoning,
                    "reasoning_content": reasoning,
                },
                "logprobs": None,
                "finish_reason": reason,
                "stop_reason": None,
                "token_ids": None,
            }
        ],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": used,
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "kv_transfer_params": None,
    }


def first_chat_chunk(begin: dict[str, Any]) -> dict[str, Any]:
    """The role, ahead of all text."""
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": ""},
        "logprobs": None,
        "finish_reason": None,
    }
    return {**begin, "choices": [choice], "prompt_token_ids": None}


def chunk(begin: dict[str, Any], piece: str, reason: str | None, chat: bool) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": 0,
        "logprobs": None,
        "finish_reason": reason,
        "stop_reason": None,
        "token_ids": None,
    }
    choice.update({"delta": {"content": piece}} if chat else {"text": piece})
    return {**begin, "choices": [choice]}
