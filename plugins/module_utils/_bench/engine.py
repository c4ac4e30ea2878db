# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines of this host as a benchmark sees them: what runs, how, and whether it can be measured."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base import http_client as http
from .._host.docker import LIVE_STATES, Docker
from .._serving import changes
from . import conditions, history
from .client import PROBE, Client, parse_probe

#: Why a unit is marked while it is measured: a later run knows by it what an interrupted benchmark has left.
MARK_REASON = "benchmark"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
_POINTER = b"version https://git-lfs.github.com/spec/"
#: The label of the containers of clients. They are not the service's own: those have another one.
LABEL = "ascend.fleet.bench"
#: Loading vLLM from a cold disk takes this long at most.
PROBE_SECONDS = 600.0


def read(
    units: Sequence[Mapping[str, Any]], devices: Sequence[Mapping[str, Any]], docker: Docker
) -> tuple[list[dict[str, Any]], list[str]]:
    """The running engines of these deployed units, and what keeps each from being measured.

    devices: as npu_info returns them.
    """
    containers = {str(raw.get("Name") or "").lstrip("/"): raw for raw in docker.raw_containers()}
    images = {
        str(i["id"]): i for i in docker.inspect_images(sorted({_image_of(c) for c in containers.values()} - {""}))
    }
    chips = {d.get("index"): str(d.get("name") or "") for d in devices}
    found, problems = [], []
    for unit in units:
        raw = containers.get(str(unit["container_name"]))
        state = str(((raw or {}).get("State") or {}).get("Status") or "")
        if raw is None or state not in LIVE_STATES:
            problems.append(
                "%s: found no running container; needed the engine. Fix: run site.yml, or see journalctl -u %s"
                % (unit["name"], unit["name"])
            )
            continue
        found.append(describe(unit, raw, images.get(_image_of(raw)) or {}, chips))
    return found, problems


def describe(
    unit: Mapping[str, Any], raw: Mapping[str, Any], image: Mapping[str, Any], chips: Mapping[Any, str]
) -> dict[str, Any]:
    """One engine: its unit, what docker says of its container and its image, and the names of the host's chips."""
    config = raw.get("Config") or {}
    options = conditions.serve_options(config.get("Cmd") or [])
    names = sorted({chips.get(index, "") for index in unit["indices"]} - {""})
    return {
        "unit": unit["name"],
        "replica": unit["replica"],
        "port": unit["port"],
        "url": unit["url"],
        "served_model_name": unit["served_model_name"],
        "release": unit["release"],
        "weights": unit["weights"],
        "indices": list(unit["indices"]),
        "image_id": _image_of(raw),
        "chip": ", ".join(names) or None,
        "tensor_parallel_size": conditions.tensor_parallel_size(options),
        "serve_options": options,
        "environment": conditions.environment(config.get("Env") or [], image.get("environment") or []),
        "binds": binds(raw, str(unit.get("directory") or "")),
    }


def binds(raw: Mapping[str, Any], own_folder: str) -> list[str]:
    """What the engine's container has mounted, read-only and without the replica's own folder.

    The client loads the same packages as the engine, so it needs the driver's libraries, and the weights' tokenizer.
    """
    found = []
    for mount in raw.get("Mounts") or []:
        source, target = str(mount.get("Source") or ""), str(mount.get("Destination") or "")
        if mount.get("Type") != "bind" or not source or (own_folder and source.startswith(own_folder)):
            continue
        found.append("%s:%s:ro" % (source, target))
    return sorted(found)


def _image_of(raw: Mapping[str, Any]) -> str:
    return str(raw.get("Image") or "")


def tokenizer_problem(weights: Optional[str]) -> Optional[str]:
    """Why the client cannot read the tokenizer in the folder of the weights; None where it can."""
    if not weights:
        return "found no folder of the weights in the unit; needed it for the tokenizer. Fix: run site.yml"
    try:
        names = [name for name in _TOKENIZER_FILES if os.path.isfile(os.path.join(weights, name))]
        if not names:
            return "found no tokenizer in %s; needed one of %s. Fix: run stage.yml" % (
                weights,
                ", ".join(_TOKENIZER_FILES),
            )
        for name in names:
            with open(os.path.join(weights, name), "rb") as handle:
                if handle.read(len(_POINTER)) == _POINTER:
                    return "found a git-lfs pointer in %s/%s; needed the tokenizer. Fix: run stage.yml" % (
                        weights,
                        name,
                    )
    except OSError as exc:
        return "found %s unreadable: %s; needed the tokenizer in it. Fix: correct its mode" % (
            exc.filename or weights,
            exc.strerror,
        )
    return None


def health_problem(engine: Mapping[str, Any], fetch: Callable[..., http.Answer] = http.fetch) -> Optional[str]:
    """Why an engine cannot be asked; None where it can."""
    answer = fetch("%s/health" % engine["url"], timeout=10)
    if answer.ok:
        return None
    return "%s: found %s at %s/health; needed a replica that serves. Fix: see journalctl -u %s" % (
        engine["unit"],
        answer.describe(),
        engine["url"],
        engine["unit"],
    )


def marks(folder: str = changes.MARKS) -> dict[str, str]:
    """Units that some run has begun to change and not ended, each with that run's reason."""
    found = {}
    for name in changes.marked(folder):
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as handle:
                reason = json.load(handle).get("reason")
        except (OSError, ValueError, AttributeError):
            reason = None  # somebody's mark all the same
        found[name] = str(reason or "not known")
    return found


# - the client of an image -


def known_client(image_id: str, folder: str = history.FOLDER) -> Optional[Client]:
    """The client of an image, if it was asked before."""
    try:
        with open(_client_path(image_id, folder), encoding="utf-8") as handle:
            client = Client.from_data(json.load(handle))
    except (OSError, ValueError):
        return None
    return client if client is not None and client.image_id == image_id else None


def ask_client(
    image_id: str, mounts: Sequence[str], docker: Docker, options: Sequence[str] = (), folder: str = history.FOLDER
) -> Client:
    """Run an image for its client's version and options, and note them; ClientError where it has none."""
    name = "ascend-fleet-bench-client-%d" % os.getpid()
    done = docker.attempt(name, run_options(mounts, options), image_id, ["sh", "-c", PROBE], timeout=PROBE_SECONDS)
    client = parse_probe(image_id, done.exit_status, done.stdout, done.stderr)
    history.write_json(_client_path(image_id, folder), client.as_data())
    return client


def run_options(mounts: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """The options of `docker run` for a container of a client: no card, nothing of the host writable.

    The image's own entrypoint stays, as it does for the engine: it may set up CANN's environment.
    """
    words = ["--net=host", "--security-opt", "no-new-privileges", "--label", "%s=true" % LABEL, "-w", "/"]
    for variable in ("HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "VLLM_NO_USAGE_STATS=1"):
        words += ["--env", variable]
    for mount in mounts:
        words += ["-v", mount]
    return [*words, *options]


def _client_path(image_id: str, folder: str) -> str:
    return os.path.join(folder, history.CLIENTS, image_id.replace(":", "-") + ".json")
