# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replicas of a release on a host: which chips, ports and names each has, and everything that runs it.

``plan_layout`` needs neither image nor weights, so what it decides (chips, ports, names) can be checked before anything
is downloaded. ``plan_replicas`` adds to it the command, the environment and the unit.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from .._npu import slots
from .._release.serve_options import check_serve_options, check_together, check_variable
from . import argv, container, support, unit_file
from .settings import PROFILES, ServingError, Settings


def plan_layout(node: Mapping[str, Any], release: Mapping[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Chips, ports and names of the replicas of ``release`` on ``node``, one entry each.

    ``node`` is what npu_info returns (``devices`` and ``topology`` of it are used), or ``slots.nominal_node`` for a
    generation whose hosts cannot be asked. An entry holds ``replica``, ``unit``, ``container_name``, ``port``, ``url``,
    ``indices``, ``device_nodes``, ``npus``, ``numa_nodes``, ``hccl_if_base_port`` and ``master_port``.
    Raises ServingError for settings that cannot be, SlotError where the chips do not suffice.
    """
    if settings.profile not in PROFILES:
        raise ServingError("found fleet_profile %r; needed one of: %s" % (settings.profile, ", ".join(PROFILES)))
    serve = release["serve"]
    found = slots.plan_slots(
        node.get("devices") or [],
        argv.chips_per_replica(serve_options(release, settings)),
        first_port=settings.first_port if settings.first_port is not None else serve["port"],
        replicas=settings.replicas,
        topology=node.get("topology"),
        skip_unhealthy=settings.skip_unhealthy,
    )
    model = serve["served_model_name"]
    return [
        {
            "unit": unit_name(model, slot["replica"]),
            "container_name": container_name(model, slot["replica"], settings.profile),
            "url": "http://127.0.0.1:%d" % slot["port"],
            **slot,
        }
        for slot in found
    ]


def serve_options(release: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The options of ``vllm serve`` that hold on this host; raises ServingError with everything that is wrong."""
    options = argv.merge_options(release["serve"].get("options") or {}, option_overrides(release, settings))
    components = [i.get("components") or {} for i in release["images"]]
    problems = check_serve_options(settings.options, "vllm_serve_options", components=components)
    problems += check_together(options, "vllm_serve_options")
    for name, value in settings.environment.items():
        problems += check_variable(name, value, "vllm_serve_environment.%s" % name)
    if problems:
        raise ServingError("; ".join(p.text() for p in problems))
    return options


def option_overrides(release: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The options that replace those of the release: the operator's, and the profile's one media folder."""
    overrides = dict(settings.options)
    if settings.profile != "guide" and "allowed-local-media-path" in (release["serve"].get("options") or {}):
        # The release's `/` would hand out the container's whole file system.
        overrides.setdefault("allowed-local-media-path", settings.media)
    return overrides


def unit_name(served_model_name: str, replica: int) -> str:
    """``vllm-qwen3.5@0.service``"""
    return "vllm-%s@%d.service" % (served_model_name, replica)


def container_name(served_model_name: str, replica: int, profile: str) -> str:
    """``vllm-qwen3.5-0``; in the guide's profile its own ``qwen3.5``, and ``qwen3.5-1`` for the next."""
    if profile == "guide":
        return served_model_name if replica == 0 else "%s-%d" % (served_model_name, replica)
    return "vllm-%s-%d" % (served_model_name, replica)


def plan_replicas(node: Mapping[str, Any], release: Mapping[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Everything about the replicas of ``release`` on the host ``node``, one entry each, ready to be written.

    Raises ServingError or SlotError.
    """
    layout = plan_layout(node, release, settings)
    if not settings.image:
        raise ServingError("found no image; needed its ID or tag. Fix: run the role vllm_image first")
    if settings.weights and not settings.weights.startswith("/"):
        raise ServingError("found weights in %r; needed an absolute path" % settings.weights)
    container.check_mounts(node, settings)
    access = access_of(layout, settings)
    return [dict(_replica(entry, node, release, settings), access=access) for entry in layout]


def access_of(layout: Iterable[Mapping[str, Any]], settings: Settings) -> dict[str, Any]:
    """Who reaches which ports of a host. Every unit carries it for all, as a run may bring about some of them alone."""
    ports = [entry["port"] for entry in layout]
    if settings.watchdog == "restart":
        ports.append(settings.watchdog_port)
    sources = sorted({*settings.access_gateways, *settings.access_from})
    return {"mode": settings.access, "ports": sorted(ports), "sources": sources}


def endpoints(replicas: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where the replicas of ``plan_replicas`` serve: what others need to know of each."""
    shown = ("replica", "url", "port", "container_name", "served_model_name", "release", "indices")
    return [{"unit": r["name"], **{key: r[key] for key in shown}} for r in replicas]


def _replica(
    entry: Mapping[str, Any], node: Mapping[str, Any], release: Mapping[str, Any], settings: Settings
) -> dict[str, Any]:
    serve = release["serve"]
    name, number = entry["unit"], entry["replica"]
    folder = "%s/replicas/%s" % (settings.root, entry["container_name"])
    env_path = "%s/%s.env" % (container.CONFIG_DIR, name[: -len(".service")])
    environment, secrets = container.environment(entry, node, serve, settings, folder)
    overrides = option_overrides(release, settings)
    command = argv.serve_argv(serve, settings.weights, port=entry["port"], options=overrides)
    docker_argv, digest = container.run_argv(
        container.run_options(entry, node, serve, settings, folder=folder, env_path=env_path),
        container.labels(name, str(release["release"]), settings.weights_content),
        [settings.image, *command],
        environment,
        secrets,
    )
    directories = [folder, folder + "/cache", folder + "/log"]
    if settings.profile != "guide":
        directories.append(settings.media)
    wait_argv: list[str] = []
    if settings.chip_wait_seconds:
        wait_argv = support.wait_argv(node, entry["device_nodes"], entry["indices"], settings.chip_wait_seconds)
    indices = ",".join(str(i) for i in entry["indices"])
    metadata = {
        "Release": release["release"],
        "ServedModelName": serve["served_model_name"],
        "Replica": number,
        "Port": entry["port"],
        "Container": entry["container_name"],
        "Config": digest,
        "Image": settings.image,
        "Weights": settings.weights,
        "Devices": indices,
        "Directory": folder,
    }
    return {
        "name": name,
        "replica": number,
        "url": entry["url"],
        "port": entry["port"],
        "container_name": entry["container_name"],
        "served_model_name": serve["served_model_name"],
        "release": release["release"],
        "image": settings.image,
        "indices": list(entry["indices"]),
        "device_nodes": list(entry["device_nodes"]),
        "npus": list(entry["npus"]),
        "content": unit_file.unit_text(
            name,
            description="vLLM %s, replica %d (davinci %s, port %d)"
            % (serve["served_model_name"], number, indices, entry["port"]),
            container=entry["container_name"],
            docker_argv=docker_argv,
            metadata=metadata,
            stop_seconds=settings.stop_seconds,
            delay_argv=support.delay_argv(name),
            wait_argv=wait_argv,
            wait_seconds=settings.chip_wait_seconds,
        ),
        "environment": environment,
        "secrets": secrets,
        "env_path": env_path,
        "directories": directories,
        "config_hash": digest,
        "watchdog": settings.watchdog,
        "watchdog_port": settings.watchdog_port,
        "listen": str(serve.get("host") or ""),
        "docker_argv": docker_argv,
        "command": command,
    }
