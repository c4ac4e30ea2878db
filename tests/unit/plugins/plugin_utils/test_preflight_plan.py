# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight and execution ask the same planner: what one refuses, the other finds."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu import slots
from ansible_collections.ascend.fleet.plugins.module_utils._serving import plan
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import Settings
from ansible_collections.ascend.fleet.plugins.plugin_utils import _preflight_plan as planned

RELEASE: dict[str, Any] = {
    "release": "r",
    "driver": {"version": "25.2.0"},
    "images": [],
    "serve": {"served_model_name": "qwen3.5", "port": 8010, "options": {"tensor-parallel-size": 4}},
}


def node(generation: str = "a2", **more: Any) -> dict[str, Any]:
    return {
        **slots.nominal_node(generation),
        "gathered": ["network", "docker"],
        "docker": {"installed": True, "running": True, "engine": "docker", "containers": []},
        "ports": [],
        **more,
    }


def found(about: dict[str, Any], settings: Settings, generation: str = "a2") -> dict[str, str]:
    chosen = planned.Chosen(serving=settings, generation=generation)
    return {f["id"]: f["message"] for f in planned.findings_of(about, RELEASE, chosen)}


def listener(port: int) -> dict[str, Any]:
    return {"port": port, "pid": 9, "process": "nginx", "container": None, "unit": None, "managed": False}


def container(name: str) -> dict[str, Any]:
    return {"name": name, "image": "i", "labels": {}, "state": "running", "privileged": False, "devices": []}


@pytest.mark.parametrize(
    ("settings", "port", "taken"),
    [
        (Settings(), 8011, True),
        (Settings(), 8012, False),
        (Settings(first_port=9000), 8010, False),
        (Settings(first_port=9000), 9001, True),
        (Settings(replicas=1), 8011, False),
        (Settings(options={"tensor-parallel-size": 2}), 8013, True),
        (Settings(options={"tensor-parallel-size": 4, "pipeline-parallel-size": 2}), 8011, False),
    ],
)
def test_the_ports_are_those_of_the_plan(settings: Settings, port: int, taken: bool) -> None:
    assert port in {e["port"] for e in plan.plan_layout(node(), RELEASE, settings)} or not taken
    assert ("NET-001" in found(node(ports=[listener(port)]), settings)) is taken


@pytest.mark.parametrize(
    ("profile", "name", "taken"),
    [
        ("least_privilege", "vllm-qwen3.5-1", True),
        ("least_privilege", "qwen3.5", False),
        ("guide", "qwen3.5", True),
        ("guide", "qwen3.5-1", True),
        ("guide", "vllm-qwen3.5-1", False),
    ],
)
def test_the_names_are_those_of_the_profile(profile: str, name: str, taken: bool) -> None:
    about = node()
    about["docker"]["containers"] = [container(name)]
    assert ("DKR-010" in found(about, Settings(profile=profile))) is taken


def test_settings_that_fit_no_host_of_the_generation_are_a_finding() -> None:
    message = found(node(), Settings(replicas=3))["NPU-019"]
    assert "8 usable chips" in message
    assert "needed 12 for 3 replicas of 4" in message
    assert "NPU-019" not in found(node("a3"), Settings(replicas=3), "a3")


def test_a_fault_is_not_also_a_missing_layout_and_the_other_replicas_ports_count() -> None:
    about = node(ports=[listener(8011)])
    about["devices"][0]["health"] = "Alarm"
    names = found(about, Settings())
    assert "NPU-019" not in names
    assert "NET-001" in names


@pytest.mark.parametrize("state", ["Alarm", "Critical", "UNKNOWN"])
def test_a_chip_that_the_replicas_are_planned_around_is_a_warning(state: str) -> None:
    about = node()
    about["gathered"].append("npu")
    about["npu_smi"] = {"error": None}
    for device in about["devices"]:
        device.update(node_present=True, hbm_total_mb=65536, temperature_celsius=40, hbm_used_mb=3000, holders=[])
    about["devices"][6]["health"] = state

    def severities(settings: Settings) -> set[tuple[str, str]]:
        chosen = planned.Chosen(serving=settings, generation="a2")
        found = planned.findings_of(about, RELEASE, chosen)
        return {(f["id"], f["severity"]) for f in found if f["id"] in ("NPU-007", "NPU-009", "DEV-005", "NPU-010")}

    identity = "NPU-009" if state == "UNKNOWN" else "NPU-007"
    assert severities(Settings()) == {(identity, "error")}
    assert severities(Settings(skip_unhealthy=True)) == {(identity, "warning")}
    # The replicas asked for do not fit the chips that are left: nothing is planned around the fault.
    assert severities(Settings(skip_unhealthy=True, replicas=2)) == {(identity, "error")}
    about["devices"][5].update(hbm_total_mb=0, temperature_celsius=0)  # this one is in no replica either
    about["devices"][7]["node_present"] = False
    around = {(identity, "warning"), ("DEV-005", "warning"), ("NPU-010", "warning")}
    assert severities(Settings(skip_unhealthy=True)) == around
    about["devices"][1].update(hbm_total_mb=0, temperature_celsius=0)  # npu-smi calls it OK: a replica has it
    assert severities(Settings(skip_unhealthy=True)) == {*around, ("NPU-010", "error")}


def test_who_closes_ports_needs_nft() -> None:
    about = node(programs={"nft": None})
    about["gathered"].append("system")
    about["tuning"], about["python"] = {}, "3.11.2"
    assert "NET-014" in found(about, Settings(access="gateways"))
    assert "NET-014" not in found(about, Settings())


def test_a_node_of_no_known_generation_has_no_replicas() -> None:
    assert planned.serving_plan({"devices": [], "pci": []}, RELEASE, Settings(), None) == {
        "replicas": [],
        "error": None,
        "spans_hosts": False,
        "leaves_out_unhealthy": False,
        "profile": "least_privilege",
    }
    assert planned.serving_plan(node(), {"serve": {}}, Settings(), "a2") is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"data-parallel-size": 2}, False),
        ({"data-parallel-size": 2, "data-parallel-size-local": 2}, False),
        ({"data-parallel-size": 4, "data-parallel-size-local": 2}, True),
        ({"nnodes": 2}, True),
        ({"nnodes": 1}, False),
    ],
)
def test_whether_an_engine_runs_on_several_hosts(options: dict[str, Any], expected: bool) -> None:
    about = planned.serving_plan(node(), RELEASE, Settings(options={"tensor-parallel-size": 1, **options}), "a2")
    assert about is not None
    assert about["spans_hosts"] is expected


@pytest.mark.parametrize(("takeover", "ignored"), [(False, ["SYS-001"]), (True, ["SYS-001", "DKR-013"])])
def test_takeover_accepts_what_it_is_there_for(takeover: bool, ignored: list[str]) -> None:
    class Unset(dict[str, Any]):
        """Variables of which the others are not set."""

        def __missing__(self, name: str) -> None:
            return None

    chosen = {"npu_preflight_ignore": ["SYS-001"], "npu_preflight_takeover": takeover, "vllm_gateway_placement": "none"}
    chosen["vllm_serve_profile"] = "guide"
    assert list(planned.settings_of(Unset(chosen)).ignore) == ignored


@pytest.mark.parametrize(
    ("image_id", "store", "missing"),
    [
        ("sha256:pinned", "docker", False),
        ("sha256:other", "docker", True),
        ("sha256:pinned", "containerd", True),
    ],
)
def test_no_room_is_needed_for_the_archive_of_an_image_that_docker_has(
    image_id: str, store: str, missing: bool
) -> None:
    gib = 1024**3
    image = {"generation": "a2", "repository": "https://h/A/images.git", "path": "a2.tar", "image_id": "sha256:pinned"}
    model = {"name": "m", "repository": "https://h/A/m.git"}
    release = {**RELEASE, "images": [{**image, "tag": "t:1", "size_bytes": 20 * gib}], "model": model}
    docker = {"installed": True, "running": True, "engine": "docker", "containers": [], "root_dir": "/d"}
    docker.update(image_store=store, images=[{"id": image_id, "tags": []}])
    disk = {"path": "/r", "mount": "/", "filesystem": "ext4", "free_bytes": 60 * gib, "total_bytes": 900 * gib}
    about = node(gathered=["disk", "docker"], docker=docker, disk=[disk])
    settings = planned.HostSettings("a2", Settings(), (), "/r", 80 * gib, 0, gib, False)
    findings, reasons = planned.findings_of_all({"h": about}, {"h": release}, {"h": settings})
    assert reasons == {}
    assert ("DSK-001" in {f["id"] for f in findings["h"]}) is missing
