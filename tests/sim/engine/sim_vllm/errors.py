# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a question ends that gets no answer."""

from __future__ import annotations

DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


class ApiError(Exception):
    """An error that is answered as JSON."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


class EngineDead(Exception):
    """The engine is gone or being stopped while a request is in flight."""


class ClientGone(Exception):
    """Nobody waits for the answer any more: the request is aborted, as vLLM does."""
