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


def test_a_node_of_no_known_generation_has_no_replicas() -> None:
    assert planned.serving_plan({"devices": [], "pci": []}, RELEASE, Settings(), None) == {
        "replicas": [],
        "error": None,
        "spans_hosts": False,
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
