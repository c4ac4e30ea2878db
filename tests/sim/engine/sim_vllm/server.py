# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes of vLLM's OpenAI-compatible server."""

from __future__ import annotations

import socket
import threading
from typing import Any

from . import VERSION, answers, reply
from .connection import KEEP_ALIVE_SECONDS, Connection, Server
from .engine import Engine
from .errors import DEAD, ApiError, ClientGone, EngineDead
from .log import Log
from .question import budget, check_model, read_body, read_messages, require, shape, whole_number

DEFAULT_COMPLETION_TOKENS = 16
THOUGHT = {
    True: "用户提出了一个问题，我来想一想怎样回答。\n</think>\n\n",
    False: "The user asks a question; let me think about how to answer it.\n</think>\n\n",
}


class Handler(Connection):
    """The routes: what is asked on a connection, and what is answered."""

    def do_GET(self) -> None:
        self.route()

    def do_HEAD(self) -> None:
        self.route()

    def do_POST(self) -> None:
        self.route()

    def route(self) -> None:
        engine = self.server.engine
        path = self.handler = self.path.split("?")[0]
        length = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(length) if length else b""
        method = getattr(self, ROUTES.get((self.command, path), ""), None)
        if method is None:
            self.handler = "none"
            known = any(route == path for _, route in ROUTES)
            self.send_json(405 if known else 404, {"detail": "Method Not Allowed" if known else "Not Found"})
            return
        if engine.api_keys and path.startswith("/v1"):
            given = (self.headers.get("authorization") or "").partition(" ")[2]
            if given not in engine.api_keys:
                self.send_json(401, {"error": "Unauthorized"})
                return
        with engine.slots:
            engine.handlers += 1
        try:
            method(raw)
        except ApiError as error:
            self.send_json(error.status, error.body)
        except EngineDead:
            self.send_json(500, ApiError(500, DEAD, "InternalServerError").body)
        except (ClientGone, BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with engine.slots:
                engine.handlers -= 1
        self.connection.settimeout(KEEP_ALIVE_SECONDS)

    def health(self, _: bytes) -> None:
        self.send(503 if self.server.engine.dead.is_set() else 200, b"")

    def version(self, _: bytes) -> None:
        self.send_json(200, {"version": VERSION})

    def load(self, _: bytes) -> None:
        engine = self.server.engine
        tracked = bool(engine.namespace.enable_server_load_tracking)
        self.send_json(200, {"server_load": engine.running + engine.waiting if tracked else 0})

    def show_metrics(self, _: bytes) -> None:
        self.send(200, self.server.engine.render_metrics().encode(), "text/plain; version=1.0.0; charset=utf-8")

    def models(self, _: bytes) -> None:
        engine = self.server.engine
        cards = [reply.model_card(name, engine.root, engine.created, engine.max_model_len) for name in engine.names]
        self.send_json(200, {"object": "list", "data": cards})

    def tokenize(self, raw: bytes) -> None:
        body = self.body(raw)
        text = (
            str(body["prompt"]) if "prompt" in body else read_messages(self.server.engine, require(body, "messages"))[1]
        )
        count = answers.count_tokens(text)
        self.send_json(
            200,
            {
                "count": count,
                "max_model_len": self.server.engine.max_model_len,
                "tokens": list(range(100, 100 + count)),
                "token_strs": None,
            },
        )

    def completions(self, raw: bytes) -> None:
        engine, body = self.server.engine, self.body(raw)
        model = check_model(engine, body)
        self.refuse_where_asked()
        prompt = require(body, "prompt")
        if isinstance(prompt, list) and prompt and all(isinstance(token, int) for token in prompt):
            text, prompt_tokens = "", len(prompt)
        else:
            text = str(prompt[0] if isinstance(prompt, list) and prompt else prompt)
            prompt_tokens = answers.count_tokens(text)
        tokens = budget(engine, whole_number(body, "max_tokens"), prompt_tokens, DEFAULT_COMPLETION_TOKENS)
        pieces, reason = shape(engine, answers.answer(text), tokens, body)
        head = reply.head("cmpl", "text_completion", model)
        if body.get("stream"):
            self.stream(body, head, pieces, reason, prompt_tokens, chat=False)
            return
        said = "".join(engine.generate(pieces, prompt_tokens, reason, False, self.gone))
        self.send_json(200, reply.completion(head, said, reason, reply.usage(prompt_tokens, len(pieces))))

    def chat(self, raw: bytes) -> None:
        engine, body = self.server.engine, self.body(raw)
        model = check_model(engine, body)
        messages = require(body, "messages")
        self.refuse_where_asked()
        question, text, shown, image_tokens = read_messages(engine, messages)
        prompt_tokens = answers.count_tokens(text) + 4 * len(messages) + image_tokens
        wanted = whole_number(body, "max_completion_tokens") or whole_number(body, "max_tokens")
        tokens = budget(engine, wanted, prompt_tokens, None)
        answer = answers.answer(question, shown)
        thinking = (body.get("chat_template_kwargs") or {}).get("enable_thinking", True)
        thought = THOUGHT[answers.is_chinese(question)] if thinking else ""
        parsed = bool(engine.namespace.reasoning_parser)
        pieces, reason = shape(engine, answer if parsed else thought + answer, tokens, body)
        head = reply.head("chatcmpl", "chat.completion", model)
        if body.get("stream"):
            self.stream(body, {**head, "object": "chat.completion.chunk"}, pieces, reason, prompt_tokens, chat=True)
            return
        said = "".join(engine.generate(pieces, prompt_tokens, reason, False, self.gone))
        reasoning = thought.split("\n</think>")[0] if parsed and thought else None
        used = reply.usage(prompt_tokens, len(pieces))
        self.send_json(200, reply.chat_completion(head, said, reasoning, reason, used))

    def refuse_where_asked(self) -> None:
        """The failures of a running server that tests ask for."""
        if self.server.engine.refuses():
            raise ApiError(500, "EngineCore encountered an issue.", "InternalServerError")

    def body(self, raw: bytes) -> dict[str, Any]:
        return read_body(raw, self.headers.get("content-type"))

    def stream(
        self, body: dict[str, Any], head: dict[str, Any], pieces: list[str], reason: str, prompt_tokens: int, chat: bool
    ) -> None:
        engine = self.server.engine
        wanted = body.get("stream_options") or {}
        include = bool(wanted.get("include_usage") or engine.namespace.enable_force_include_usage)
        continuous = bool(wanted.get("continuous_usage_stats"))
        began = False

        def begin() -> None:
            nonlocal began
            began = True
            self.begin_events()

        done = 0
        try:
            for piece in engine.generate(pieces, prompt_tokens, reason, True, self.gone):
                if not began:
                    begin()
                    if chat:
                        self.send_event(reply.first_chat_chunk(head))
                done += 1
                part = reply.chunk(head, piece, reason if done == len(pieces) else None, chat)
                if continuous:
                    part["usage"] = reply.usage(prompt_tokens, done)
                self.send_event(part)
        except EngineDead:
            if not began:
                raise
            self.send_event(ApiError(500, DEAD, "InternalServerError").body)
        if not began:
            begin()
        if include:
            self.send_event({**head, "choices": [], "usage": reply.usage(prompt_tokens, done)})
        self.send_event("[DONE]")
        self.end_events()


ROUTES = {
    ("GET", "/health"): "health",
    ("GET", "/ping"): "health",
    ("POST", "/ping"): "health",
    ("GET", "/version"): "version",
    ("GET", "/load"): "load",
    ("GET", "/metrics"): "show_metrics",
    ("GET", "/v1/models"): "models",
    ("POST", "/tokenize"): "tokenize",
    ("POST", "/v1/completions"): "completions",
    ("POST", "/v1/chat/completions"): "chat",
}


def start(listener: socket.socket, engine: Engine, log: Log) -> Server:
    httpd = Server(listener, engine, log, Handler)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return httpd
