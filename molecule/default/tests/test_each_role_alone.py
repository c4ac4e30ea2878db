# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role in a play of its own, as its README shows it, on a host that is as wanted: nothing is changed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fleet_helpers import ROOT, fleet, playbook, recap

HOST = "a2-1"
ROLES = ("npu_preflight", "model_artifacts", "vllm_image", "vllm_serve", "vllm_smoke")


def example(role: str) -> list[dict[str, Any]]:
    """The play that the role's README shows under the heading "On its own"."""
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^## On its own\n.*?```yaml\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert found, f"roles/{role}/README.md has no section 'On its own' with a play"
    plays: list[dict[str, Any]] = yaml.safe_load(found[1])
    return plays


def deployed() -> dict[str, Any]:
    """What the example of vllm_serve leaves to the reader, from what runs on the host."""
    text = fleet(
        "exec", HOST, "--", "sh", "-c", "docker inspect $(docker ps --quiet --filter label=ascend.fleet.release)"
    )
    container = json.loads(text)[0]
    weights = next(m["Source"] for m in container["Mounts"] if "/models/" in m["Source"])
    return {
        "vllm_serve_image": container["Image"],
        "vllm_serve_weights": weights,
        "vllm_serve_weights_content": container["Config"]["Labels"].get("ascend.fleet.weights", ""),
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_role_alone(role: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    plays = example(role)
    assert [entry["role"] for play in plays for entry in play["roles"]] == [f"ascend.fleet.{role}"]
    path = tmp_path / "play.yml"
    path.write_text(yaml.safe_dump(plays))
    options = ["--limit", HOST]
    if role == "vllm_image":
        options += ["-e", "__architecture=" + fleet("exec", HOST, "--", "uname", "-m").strip()]
    if role == "vllm_serve":
        options += ["-e", json.dumps(deployed())]
    status, output = playbook(request.config.getoption("ansible_inventory"), str(path), *options)
    assert status == 0, output
    assert recap(output)[HOST]["changed"] == 0, output
