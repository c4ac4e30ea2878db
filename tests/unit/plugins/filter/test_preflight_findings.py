# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter's face: refusals in words, tagged input, defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.ascend.fleet.plugins.filter import preflight_findings as plugin
from ansible_collections.ascend.fleet.plugins.module_utils._node import npu_smi
from ansible_collections.ascend.fleet.plugins.module_utils._preflight.facts import DEFAULT_MEMORY_BYTES

RELEASE: dict[str, Any] = {"driver": {"version": "25.2.0"}, "cann": {"version": "8.5.0"}, "images": [], "serve": {}}
NODE = {"npu_smi": npu_smi.empty()["npu_smi"], "gathered": [], "effective_uid": 1000, "clock": 1790000000}


def test_findings_come_out() -> None:
    found = plugin.preflight_findings(NODE, RELEASE)
    assert [f["id"] for f in found] == ["SYS-001"]
    assert set(found[0]) == {"id", "severity", "area", "title", "message", "found", "needed", "fix", "ignored"}


def test_ignored() -> None:
    assert plugin.preflight_findings(NODE, RELEASE, ignore=["SYS-001"])[0]["ignored"] is True


@pytest.mark.parametrize(
    ("node", "release", "options", "words"),
    [
        ({}, RELEASE, {}, "npu_info"),
        (None, RELEASE, {}, "npu_info"),
        ("text", RELEASE, {}, "npu_info"),
        (NODE, {}, {}, "ascend.fleet.release"),
        (NODE, RELEASE, {"ignore": ["NPU-1"]}, "cannot ignore NPU-1"),
        (NODE, RELEASE, {"ignore": "NPU-001"}, "needed a list"),
        (NODE, RELEASE, {"generation": "a4"}, "a2, a3"),
    ],
)
def test_refusals(node: Any, release: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        plugin.preflight_findings(node, release, **options)


def test_the_documentation_names_every_parameter_with_its_default() -> None:
    options = yaml.safe_load(plugin.DOCUMENTATION)["options"]
    signature = inspect.signature(plugin.preflight_findings).parameters
    assert [*options][1:] == [*signature][1:]
    assert options["memory_bytes"]["default"] == DEFAULT_MEMORY_BYTES
    assert plugin.FilterModule().filters()["preflight_findings"] is plugin.preflight_findings
