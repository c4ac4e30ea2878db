# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what runs is what its unit says, and the first requests of a new engine, which are slow."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base import http_client as http
from .._host import docker
from .answers import one_token


def container_problem(
    unit: Mapping[str, Any], containers: Sequence[Mapping[str, Any]], image_id: Optional[str]
) -> Optional[str]:
    """Why the running container is not the one that a unit describes; None where it is.

    ``image_id`` is docker's ID of the unit's image, None where docker does not have it.
    """
    name = unit["name"]
    own = [
        c
        for c in containers
        if c["labels"].get(docker.LABEL_UNIT) == name and c["state"] in docker.LIVE_STATES
    ]  # fmt: skip
    fix = "run site.yml, which starts it again"
    if not own:
        return "%s: found no running container; needed one. Fix: see journalctl -u %s" % (name, name)
    if len(own) > 1:
        return "%s: found %d running containers (%s); needed one. Fix: docker rm -f those of %s, then %s" % (
            name,
            len(own),
            ", ".join(c["name"] for c in own),
            name,
            fix,
        )
    config = own[0]["labels"].get(docker.LABEL_CONFIG)
    if config != unit["config_hash"]:
        return "%s: found a container of the configuration %s; needed %s. Fix: %s" % (
            name,
            _short(config),
            _short(unit["config_hash"]),
            fix,
        )
    if image_id is None or own[0]["image_id"] != image_id:
        return "%s: found a container of the image %s; needed %s (%s). Fix: %s" % (
            name,
            own[0]["image_id"],
            image_id or "an image that docker has",
            unit["image"],
            fix,
        )
    return None


def version_of(url: str, fetch: Callable[..., http.Answer] = http.fetch) -> tuple[Optional[str], Optional[str]]:
    """The version that an engine tells, and why it tells none."""
    answer = fetch(url + "/version", timeout=10)
    data = answer.json() if answer.ok else None
    version = data.get("version") if isinstance(data, dict) else None
    if isinstance(version, str) and version:
        return version, None
    return None, "found no version at %s/version (%s); needed vLLM's. Fix: see who listens there with `ss -ltnp`" % (
        url,
        answer.describe(),
    )


def warm_up(
    url: str,
    served_model_name: str,
    count: int,
    *,
    timeout: float,
    api_key: str = "",
    fetch: Callable[..., http.Answer] = http.fetch,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[float], Optional[str]]:
    """Ask for one token ``count`` times; how long each answer took, and why one did not come."""
    seconds: list[float] = []
    body = one_token(served_model_name)
    for _number in range(count):
        began = clock()
        answer = fetch(url + "/v1/completions", timeout=timeout, body=body, api_key=api_key)
        data = answer.json() if answer.ok else None
        if not (isinstance(data, dict) and data.get("choices")):
            return seconds, "found no token at %s after %d s (%s); needed one within %g s. Fix: see its journal" % (
                url,
                clock() - began,
                answer.describe(),
                timeout,
            )
        seconds.append(round(clock() - began, 3))
    return seconds, None


def _short(digest: Optional[str]) -> str:
    return digest[:12] if digest else "that is not known"
