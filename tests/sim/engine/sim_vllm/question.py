# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a question asks for, and what is wrong with it in vLLM's words."""

from __future__ import annotations

import json
from typing import Any

from . import answers, picture
from .engine import Engine
from .errors import ApiError
from .media import load_media


def read_body(raw: bytes, content_type: str | None) -> dict[str, Any]:
    """The JSON object that was sent."""
    kind = (content_type or "").split(";")[0].strip().lower()
    if kind and kind != "application/json":
        raise ApiError(415, "Unsupported Media Type: Only 'application/json' is allowed")
    try:
        value = json.loads(raw)
    except ValueError as error:
        place = getattr(error, "pos", 0)
        raise ApiError(
            400,
            "1 validation error:\n  {'type': 'json_invalid', 'loc': ('body', %d), "
            "'msg': 'JSON decode error', 'input': {}, 'ctx': {'error': '%s'}}" % (place, getattr(error, "msg", error)),
        ) from None
    if not isinstance(value, dict):
        raise ApiError(
            400,
            "1 validation error:\n  {'type': 'model_attributes_type', 'loc': ('body',), "
            "'msg': 'Input should be a valid dictionary or object to extract fields from'}",
        )
    return value


def require(body: dict[str, Any], name: str) -> Any:
    if name not in body:
        raise ApiError(
            400,
            "1 validation error:\n  {'type': 'missing', 'loc': ('body', '%s'), 'msg': 'Field required', "
            "'input': %r}" % (name, body),
        )
    return body[name]


def whole_number(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ApiError(
            400,
            "1 validation error:\n  {'type': 'int_type', 'loc': ('body', '%s'), "
            "'msg': 'Input should be a valid integer', 'input': %r}" % (name, value),
        )
    if value < 1:
        raise ApiError(400, f"{name} must be at least 1, got {value}. (parameter={name}, value={value})", param=name)
    return value


def check_model(engine: Engine, body: dict[str, Any]) -> str:
    model = body.get("model") or engine.names[0]
    if model not in engine.names:
        raise ApiError(404, f"The model `{model}` does not exist.", "NotFoundError", "model")
    return str(model)


def budget(engine: Engine, wanted: int | None, prompt_tokens: int, fallback: int | None) -> int:
    room = engine.max_model_len - prompt_tokens
    if room <= 0:
        raise ApiError(
            400,
            f"This model's maximum context length is {engine.max_model_len} tokens. However, your request has "
            f"{prompt_tokens} input tokens. Please reduce the length of the input messages. "
            f"(parameter=input_tokens, value={prompt_tokens})",
            param="input_tokens",
        )
    if wanted is None:
        return min(room, fallback) if fallback else room
    if wanted > room:
        raise ApiError(
            400,
            f"'max_tokens' or 'max_completion_tokens' is too large: {wanted}. This model's maximum context "
            f"length is {engine.max_model_len} tokens and your request has {prompt_tokens} input tokens "
            f"({wanted} > {engine.max_model_len} - {prompt_tokens}). (parameter=max_tokens, value={wanted})",
            param="max_tokens",
        )
    return wanted


def shape(engine: Engine, text: str, tokens: int, body: dict[str, Any]) -> tuple[list[str], str]:
    """The pieces of the answer and why it ends."""
    if engine.fault == "garbled" or engine.troubles.garbles:
        text = answers.garbled(min(tokens, 60))
    elif engine.fault == "empty":
        text = ""
    if body.get("ignore_eos"):
        return answers.lengthened(text or " ", tokens), "length"
    pieces = answers.split_tokens(text) if text else []
    for stop in [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []:
        place = "".join(pieces).find(stop)
        if place >= 0:
            pieces = answers.split_tokens("".join(pieces)[:place])
    if len(pieces) > tokens:
        return pieces[:tokens], "length"
    return pieces, "stop"


def read_messages(engine: Engine, messages: Any) -> tuple[str, str, list[picture.Picture], int]:
    """Question, whole text, pictures and tokens of the pictures of a chat."""
    if not isinstance(messages, list) or not messages:
        raise ApiError(
            400,
            "1 validation error:\n  {'type': 'list_type', 'loc': ('body', 'messages'), "
            "'msg': 'Input should be a valid list', 'input': %r}" % (messages,),
        )
    texts: list[str] = []
    shown: list[picture.Picture] = []
    question = ""
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        said = ""
        for part in parts:
            kind = part.get("type")
            if kind == "text":
                said += str(part.get("text", ""))
            elif kind == "image_url":
                source = part.get("image_url")
                shown.append(load_media(engine, str(source.get("url", "") if isinstance(source, dict) else source)))
            else:
                raise ApiError(400, f"Unknown part type: {kind}")
        texts.append(said)
        if isinstance(message, dict) and message.get("role") == "user":
            question = said
    image_tokens = sum(max(4, (one.width // 32) * (one.height // 32)) + 2 for one in shown)
    return question, "\n".join(texts), shown, image_tokens
