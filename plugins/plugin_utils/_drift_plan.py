# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every host is compared with: the plan of serving, asked as the roles would, and the other hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._artifacts.plan import SelectionError, artifact_plan
from ..module_utils._drift import compare, findings, versions
from ..module_utils._drift.check import Facts
from ..module_utils._host.docker import has_pinned_ids
from ..module_utils._npu import hardware
from ..module_utils._preflight.check import ERROR
from ..module_utils._serving import plan as _plan
from ..module_utils._serving.settings import Settings
from ._play_variables import role_settings
from ._preflight_plan import HostSettings, settings_of, site_findings

#: The settings of vllm_serve of which a unit is made.
_SERVING = (
    "profile", "replicas", "first_port", "skip_unhealthy", "options", "environment", "api_key", "data_root",
    "media_path", "docker_options", "stop_seconds", "chip_wait_seconds", "watchdog", "watchdog_port",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What the variables of one host say that it is to run.

    serving: with secrets, which are compared by a hash and never shown. image, weights: where somebody has set them.
    """

    host: HostSettings
    serving: Settings
    root: str
    image: str = ""
    weights: str = ""


def wanted_of(variables: Mapping[str, Any]) -> Wanted:
    """What a host is to run, by its variables; SettingsError names every variable that is wrong."""
    serving = role_settings(variables, "vllm_serve", _SERVING)
    serving["environment"] = {str(k): str(v) for k, v in (serving["environment"] or {}).items()}
    chosen = role_settings(variables, "vllm_serve", ("image", "weights"))
    return Wanted(
        host=settings_of(variables),
        serving=Settings.of(serving),
        root=str(role_settings(variables, "model_artifacts", ("root",))["root"]),
        image=str(chosen["image"] or ""),
        weights=str(chosen["weights"] or ""),
    )


def facts_of(node: Mapping[str, Any], release: Mapping[str, Any], wanted: Wanted) -> Facts:
    """What the checks of one host look at, but for the comparison with other hosts."""
    generation = wanted.host.generation or hardware.generation_of_pci(list(node.get("pci") or []))
    try:
        artifacts = artifact_plan(
            release, generation=str(generation), architecture=node.get("architecture"), root=wanted.root
        )
        places = (artifacts[name] for name in ("weights", "former_weights", "commit_weights"))
        folders = (wanted.weights,) if wanted.weights else tuple(place for place in places if place)
        planned = _planned(node, release, wanted, artifacts["image"], folders)
    except (SelectionError, ArtifactError, ValueError) as exc:
        return Facts(node=node, release=release, plan_error=" ".join(str(exc).split()))
    return Facts(node=node, release=release, planned=planned, image=artifacts["image"], weights=folders)


def _planned(
    node: Mapping[str, Any],
    release: Mapping[str, Any],
    wanted: Wanted,
    image: Mapping[str, Any],
    folders: tuple[str, ...],
) -> dict[str, compare.Expected]:
    """By unit, what the planner makes of the host.

    What only the host knows is taken from it, and compared by itself: which of the folders it has the weights in, and
    the hash of their files.
    """
    if not (release.get("serve") or {}).get("served_model_name"):
        return {}
    serving = node.get("serving") or {}
    units = [u for u in serving.get("units") or [] if str(u.get("release")) == str(release.get("release"))]
    pinned = image.get("image_id") if has_pinned_ids(node.get("docker") or {}) else None
    deployed = next((str(u["image"]) for u in units if u.get("image")), "")
    found: dict[str, compare.Expected] = {}
    for unit in units or [{}]:
        folder = str(unit.get("weights") or "")
        planned = _plan.plan_replicas(
            node,
            release,
            _with(
                wanted.serving,
                image=wanted.image or str(pinned or "") or deployed or str(image.get("tag") or ""),
                weights=folder if folder in folders else folders[0],
                weights_content=str(unit.get("weights_content") or ""),
            ),
        )
        for replica in planned:
            if replica["name"] == unit.get("name") or replica["name"] not in found:
                found[replica["name"]] = compare.expected(replica, serving.get("systemd_version"))
    return found


def _with(settings: Settings, **more: Any) -> Settings:
    return Settings(**{**settings.__dict__, **more})


def findings_of_all(
    nodes: Mapping[str, Mapping[str, Any]],
    releases: Mapping[str, Mapping[str, Any]],
    wanted: Mapping[str, Wanted],
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """The drift of every host of ``nodes``, with what the site's own checks find; and by host why there is none."""
    generations: dict[str, Optional[str]] = {
        host: wanted[host].host.generation or hardware.generation_of_pci(list(node.get("pci") or []))
        for host, node in nodes.items()
    }
    odd = versions.odd_ones(nodes, generations)
    found: dict[str, list[dict[str, Any]]] = {}
    reasons: dict[str, str] = {}
    for host, node in nodes.items():
        own = wanted[host].host
        facts = facts_of(node, releases[host], wanted[host])
        try:
            drift = findings.findings(
                Facts(**{**facts.__dict__, "odd": odd[host]}),
                [*own.ignore],
            )
            drift += site_findings(host, node, releases[host], own)
        except ValueError as exc:
            reasons[host] = str(exc)
            continue
        found[host] = sorted(drift, key=lambda f: (f["ignored"], f["severity"] != ERROR))
    return found, reasons
