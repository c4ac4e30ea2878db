# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts, their releases and what would run on them, checked before any of them is asked. For the controller alone."""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence

from ..module_utils._npu.hardware import GENERATIONS
from ..module_utils._npu.slots import nominal_node
from ..module_utils._release import inventory, ports
from ..module_utils._release.problems import Problem, ReleaseError, quote
from ..module_utils._release.value_checks import as_whole
from ..module_utils._release.variables import check_values
from ..module_utils._serving.plan import plan_layout
from ..module_utils._serving.settings import Settings
from . import _releases

#: Messages of planners: ``found …; needed …. Fix: …``
_SENTENCE = re.compile(r"found (.*?); needed (.*?)(?:\. Fix: .*)?\Z", re.DOTALL)
_DEVICES = re.compile(r" \(/dev/[^)]*\)")


def check_releases(
    hosts: Sequence[inventory.Host], variables: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The releases that hosts name, and for those that cannot be used what is wrong, both by name.

    ``variables`` say where releases are looked for.
    """
    wanted: dict[str, set[str]] = {}
    for host in hosts:
        name = host.values.get("fleet_release")
        if name and not check_values({"fleet_release": name}):
            wanted.setdefault(name, set()).add(str(host.values.get("npu_generation")))
    found: dict[str, dict[str, Any]] = {}
    errors: dict[str, str] = {}
    for name, generations in sorted(wanted.items()):
        try:
            found[name] = _releases.by_name(name, variables)
        except ReleaseError as exc:
            errors[name] = str(exc)
            continue
        missing = (generations & set(GENERATIONS)) - {image["generation"] for image in found[name]["images"]}
        if missing:
            errors[name] = (
                "found no image for the generation %s, which the inventory has; needed one for each. "
                "Fix: add it to the release, or take those hosts out" % ", ".join(sorted(missing))
            )
    return found, errors


def check_layouts(
    hosts: Sequence[inventory.Host], releases: Mapping[str, Mapping[str, Any]]
) -> list[inventory.Mistake]:
    """What hosts cannot run: options that the release's vLLM does not have, too many replicas, ports wanted twice.

    The same planner decides here, in the preflight and when units are written; here it plans for a healthy host of the
    generation. Hosts whose variables are wrong anyway are left to ``validate_fleet``.
    """
    findings: list[tuple[str, inventory.Finding]] = []
    for host in hosts:
        release = releases.get(str(host.values.get("fleet_release")))
        if release is not None and host.values.get("npu_generation") in GENERATIONS:
            findings += [(host.name, finding) for finding in _layout_findings(host, release)]
    return inventory.group_by_host(findings)


def _layout_findings(host: inventory.Host, release: Mapping[str, Any]) -> list[inventory.Finding]:
    values = {
        name: value for name, value in host.values.items() if value is not None and not check_values({name: value})
    }
    components = [image.get("components") or {} for image in release["images"]]
    options = {name: values[name] for name in ("vllm_serve_options",) if name in values}
    problems = check_values(options, components)
    if problems:
        return [inventory.finding_of(problem, host) for problem in problems]
    settings = Settings(
        profile=values.get("vllm_serve_profile", values.get("fleet_profile", "least_privilege")),
        options=values.get("vllm_serve_options", {}),
        environment=values.get("vllm_serve_environment", {}),
        replicas=as_whole(values.get("vllm_serve_replicas")),
        first_port=as_whole(values.get("vllm_serve_first_port")),
    )
    generation = str(values["npu_generation"])
    try:
        layout = plan_layout(nominal_node(generation), release, settings)
    except ValueError as exc:
        sentence = _SENTENCE.match(str(exc))
        found, needed = sentence.groups() if sentence else (str(exc), "settings that a host can run")
        found = "%s on a healthy %s host%s" % (_DEVICES.sub("", found), GENERATIONS[generation]["title"], _chosen(host))
        return [(found, needed, "correct these variables, or serve.options in the release")]
    # Replicas listen side by side, so that one variable is the mistake of all of them: it is named once.
    overlaps: dict[str, Problem] = {}
    for problem in ports.overlaps(ports.claims(values, layout), values):
        overlaps.setdefault(problem.path, problem)
    return [inventory.finding_of(p, host, "set %s to other ports" % p.path) for p in overlaps.values()]


def _chosen(host: inventory.Host) -> str:
    """What the operator chose of that which decides the layout, and where."""
    out = []
    for name in ("vllm_serve_replicas", "vllm_serve_first_port", "vllm_serve_options"):
        if host.values.get(name) not in (None, {}):
            place = " (%s)" % host.places[name] if name in host.places else ""
            out.append(", %s: %s%s" % (name, quote(host.values[name]), place))
    return "".join(out)
