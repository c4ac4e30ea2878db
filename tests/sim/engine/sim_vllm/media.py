# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of a question: from a data URL, a file or another server."""

from __future__ import annotations

import base64
import binascii
import os
import urllib.error
import urllib.parse
import urllib.request

from . import picture
from .engine import Engine
from .errors import ApiError


def load_media(engine: Engine, url: str) -> picture.Picture:
    """The picture that a URL stands for, with vLLM's words where it cannot be had."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "data":
        head, _, body = url.partition(",")
        if not head.endswith(";base64"):
            raise ApiError(400, "Only base64 data URLs are supported for now.")
        try:
            data = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ApiError(400, str(error)) from None
    elif parts.scheme == "file":
        if not engine.media_path:
            raise ApiError(400, "Cannot load local files without `--allowed-local-media-path`.")
        path = os.path.realpath(urllib.request.url2pathname(parts.netloc + parts.path))
        allowed = os.path.realpath(engine.media_path)
        if os.path.commonpath([path, allowed]) != allowed:
            raise ApiError(400, f"The file path {path} must be a subpath of `--allowed-local-media-path {allowed}`.")
        try:
            with open(path, "rb") as stream:
                data = stream.read()
        except OSError as error:
            raise ApiError(400, str(error)) from None
    elif parts.scheme in ("http", "https"):
        data = fetch(engine, url, parts)
    else:
        raise ApiError(400, "The URL must be either a HTTP, data or file URL.")
    try:
        return picture.read_picture(data)
    except picture.UnreadablePicture:
        raise ApiError(
            400, "Failed to load image: cannot identify image file <_io.BytesIO object at 0x7f2c4c0d8e50>"
        ) from None


def fetch(engine: Engine, url: str, parts: urllib.parse.SplitResult) -> bytes:
    domains = engine.namespace.allowed_media_domains
    if domains and parts.hostname not in domains:
        raise ApiError(
            400, f"The URL must be from one of the allowed domains: {domains}. Input URL domain: {parts.hostname}"
        )
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read(64 << 20))
    except urllib.error.HTTPError as error:
        raise ApiError(400, f"{error.code}, message='{error.reason}', url='{url}'") from None
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        said = getattr(reason, "strerror", None) or str(reason)
        raise ApiError(400, f"Cannot connect to host {parts.hostname}:{port} ssl:default [{said}]") from None
