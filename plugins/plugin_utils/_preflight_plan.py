# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preflight measures a node against: the planners of serving and artifacts, asked before anything is done.

The checks get the planners' answers as data, so that preflight and execution cannot decide differently.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from ..module_utils._artifacts import space
from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._artifacts.plan import SelectionError, artifact_plan
from ..module_utils._host.docker import pinned_ids
from ..module_utils._npu import hardware, slots
from ..module_utils._preflight import findings as _findings
from ..module_utils._preflight.check import ERROR
from ..module_utils._preflight.facts import DEFAULT_MEMORY_BYTES
from ..module_utils._preflight.network import tls_states
from ..module_utils._serving import plan as _plan
from ..module_utils._serving.settings import Settings
from . import _site_checks, _systems
from ._compatibility import compatibility_table
from ._play_variables import role_settings

#: What a layout depends on; image, weights and secrets are not needed for it.
_SERVING = (
    "profile", "replicas", "first_port", "skip_unhealthy", "options", "environment", "data_root", "media_path",
    "access",
)  # fmt: skip
#: The findings that takeover.yml is there for.
STARTED_BY_HAND = ("DKR-013",)
_GIB = 1024**3


@dataclass(frozen=True)
class Chosen:
    """What is chosen for one host beside its release.

    generation: as the inventory says; without it the PCI bus tells. ignore: ids of accepted findings.
    required_bytes: bytes still to be written, by path; the key ``docker`` stands for docker's own folder.
    """

    serving: Settings = field(default_factory=Settings)
    generation: Optional[str] = None
    ignore: Sequence[str] = ()
    required_bytes: Mapping[str, int] = field(default_factory=dict)
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    require_host_cann: bool = False
    fleet_tls: frozenset[bool] = frozenset()
    #: Where a gateway on the host itself answers; None: it has none.
    gateway_port: Optional[int] = None
    fleet_drivers: frozenset[str] = frozenset()


def serving_plan(
    node: Mapping[str, Any], release: Mapping[str, Any], settings: Settings, generation: Optional[str]
) -> Optional[dict[str, Any]]:
    """The layout of the replicas as ``replicas``, in ``error`` why there is none, in ``spans_hosts`` whether one engine
    runs on several hosts, and in ``leaves_out_unhealthy`` whether chips that do not work are left out of it; None where
    nothing is served.

    Where the node's own chips cannot be planned with (a fault, which is a finding of its own), the replicas are those
    of a healthy host of the generation: their ports and names must be free nevertheless. ``error`` is set where no
    other finding explains it: the settings fit no host of the generation, or too few of its sound chips.
    """
    if not (release.get("serve") or {}).get("served_model_name"):
        return None
    generation = generation or hardware.generation_of_pci(list(node.get("pci") or []))
    nominal: list[dict[str, Any]] = []
    if generation in hardware.GENERATIONS:
        try:
            nominal = _plan.plan_layout(slots.nominal_node(str(generation)), release, settings)
        except ValueError as exc:
            return {"replicas": [], "error": str(exc), "spans_hosts": False, "leaves_out_unhealthy": False}
    leaves_out = settings.skip_unhealthy
    try:
        replicas, error = _plan.plan_layout(node, release, settings), None
    except ValueError as exc:
        replicas, error, leaves_out = nominal, str(exc) if _is_sound(node, generation) else None, False
    return {
        "replicas": replicas,
        "error": error,
        "spans_hosts": _spans_hosts({**(release["serve"].get("options") or {}), **settings.options}),
        "leaves_out_unhealthy": leaves_out,
        "profile": settings.profile,
    }


def _spans_hosts(options: Mapping[str, Any]) -> bool:
    """Whether these options of `vllm serve` make one engine of processes on several hosts."""
    ranks = int(options.get("data-parallel-size") or 1)
    local = options.get("data-parallel-size-local")
    return int(options.get("nnodes") or 1) > 1 or int(ranks if local is None else local) < ranks


def _is_sound(node: Mapping[str, Any], generation: Optional[str]) -> bool:
    """Whether every chip is there and works, so that only the settings can be why there is no plan."""
    devices = node.get("devices") or []
    chips = hardware.GENERATIONS.get(generation or "", {}).get("chips")
    return len(devices) == chips and all(
        d.get("index") is not None and d.get("node_present") is not False and d.get("health") in slots.WORKING
        for d in devices
    )


def findings_of(node: Mapping[str, Any], release: Mapping[str, Any], chosen: Chosen) -> list[dict[str, Any]]:
    """The findings of one node; ValueError for what was chosen wrongly."""
    plan = serving_plan(node, release, chosen.serving, chosen.generation)
    return _findings.findings(
        node,
        release,
        generation=chosen.generation,
        ignore=chosen.ignore,
        plan=plan
        and {
            **plan,
            "gateway_port": chosen.gateway_port,
            "closes_ports": chosen.serving.access == "gateways",
        },
        required_bytes=chosen.required_bytes,
        memory_bytes=chosen.memory_bytes,
        require_host_cann=chosen.require_host_cann,
        fleet_tls=chosen.fleet_tls,
        fleet_drivers=chosen.fleet_drivers,
        table=compatibility_table(),
        system=_systems.values(node.get("os") or {}),
    )


@dataclass(frozen=True)
class HostSettings:
    """What the variables of one host say about its preflight. Sizes in bytes."""

    generation: Optional[str]
    serving: Settings
    ignore: Sequence[str]
    artifacts_path: str
    artifacts_bytes: int
    docker_bytes: int
    memory_bytes: int
    require_host_cann: bool
    gateway_port: Optional[int] = None
    #: The least severity that keeps the host out of the run.
    fail_on: str = "error"
    #: The site's own checks, and the groups of the host, which they may look at.
    site_checks: Sequence[Mapping[str, Any]] = ()
    groups: Sequence[str] = ()


def settings_of(variables: Mapping[str, Any]) -> HostSettings:
    """The settings of a host by its variables; SettingsError names every variable that is wrong."""
    own = role_settings(variables, "npu_preflight")
    serving = role_settings(variables, "vllm_serve", _SERVING)
    gateway = role_settings(variables, "vllm_gateway", ("placement", "port"))
    return HostSettings(
        generation=str(variables["npu_generation"]) if variables.get("npu_generation") else None,
        serving=Settings.of(serving),
        ignore=[*own["ignore"], *(STARTED_BY_HAND if own["takeover"] else ())],
        artifacts_path=own["artifacts_path"],
        artifacts_bytes=int(own["artifacts_gib"] * _GIB),
        docker_bytes=int(own["docker_gib"] * _GIB),
        memory_bytes=int(own["memory_gib"] * _GIB),
        require_host_cann=own["require_host_cann"],
        gateway_port=gateway["port"] if gateway["placement"] == "hosts" else None,
        fail_on=own["fail_on"],
        site_checks=own["site_checks"] or (),
        groups=[str(name) for name in variables.get("group_names") or ()],
    )


def wanted_artifacts(
    node: Mapping[str, Any], release: Mapping[str, Any], settings: HostSettings
) -> list[dict[str, Any]]:
    """What this host will ask for; nothing where the release has no image for it, which is a finding of its own."""
    generation = settings.generation or hardware.generation_of_pci(list(node.get("pci") or []))
    if not generation or not release.get("model"):
        return []
    try:
        plan = artifact_plan(
            release,
            generation=generation,
            architecture=node.get("architecture"),
            root=settings.artifacts_path,
            loaded=pinned_ids(node.get("docker") or {}),
        )
    except (SelectionError, ArtifactError):
        return []
    return space.wanted_requests(plan)


def present_artifacts(node: Mapping[str, Any], settings: HostSettings) -> list[dict[str, Any]]:
    """What the node says is complete below the artifacts' path; nothing where it does not know."""
    found: list[dict[str, Any]] = []
    for disk in node.get("disk") or []:
        if disk["path"] == settings.artifacts_path:
            found += disk.get("artifacts") or []
    return found


def site_findings(
    host: str, node: Mapping[str, Any], release: Mapping[str, Any], settings: HostSettings
) -> list[dict[str, Any]]:
    """What the site's own checks find on a host; ValueError where they cannot be applied."""
    generation = settings.generation or hardware.generation_of_pci(list(node.get("pci") or []))
    about = _site_checks.about_host(host, settings.groups, generation)
    return _site_checks.findings(settings.site_checks, node, release, about, settings.ignore)


def findings_of_all(
    nodes: Mapping[str, Mapping[str, Any]],
    releases: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, HostSettings],
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """The findings of every host of ``nodes``, and by host why there are none.

    A host that has completed a download tells how large it is for all others, and TLS between cards and drivers have
    to be the same on all hosts of one engine.
    """
    wanted = {host: wanted_artifacts(node, releases[host], settings[host]) for host, node in nodes.items()}
    sizes: dict[Any, int] = {}
    for host, node in nodes.items():
        space.learn_sizes(wanted[host], present_artifacts(node, settings[host]), sizes)
    tls: dict[str, set[bool]] = {}
    for host, node in nodes.items():
        tls.setdefault(str(releases[host].get("release")), set()).update(tls_states(node))
    drivers: dict[str, set[str]] = {}
    for host, node in nodes.items():
        version = ((node.get("versions") or {}).get("driver") or {}).get("version")
        drivers.setdefault(str(releases[host].get("release")), set()).update([str(version)] if version else [])
    findings: dict[str, list[dict[str, Any]]] = {}
    reasons: dict[str, str] = {}
    for host, node in nodes.items():
        own = settings[host]
        there = present_artifacts(node, own)
        missing = space.bytes_to_download(wanted[host], there, own.artifacts_bytes, sizes)
        chosen = Chosen(
            serving=own.serving,
            generation=own.generation,
            ignore=own.ignore,
            required_bytes={own.artifacts_path: missing, "docker": own.docker_bytes},
            memory_bytes=own.memory_bytes,
            require_host_cann=own.require_host_cann,
            gateway_port=own.gateway_port,
            fleet_tls=frozenset(tls[str(releases[host].get("release"))]),
            fleet_drivers=frozenset(drivers[str(releases[host].get("release"))]),
        )
        try:
            found = findings_of(node, releases[host], chosen) + site_findings(host, node, releases[host], own)
            findings[host] = sorted(found, key=lambda f: (f["ignored"], f["severity"] != ERROR))
        except ValueError as exc:
            reasons[host] = str(exc)
    return findings, reasons
