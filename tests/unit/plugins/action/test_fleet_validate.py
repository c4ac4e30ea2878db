# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import pytest
from ansible_collections.ascend.fleet.plugins.action.fleet_validate import ActionModule, role_variables, stale_copy


class HostVars:
    """What hostvars offers: a host's variables, untemplated."""

    def __init__(self, data):
        self.data = data

    def raw_get(self, host):
        return self.data[host]


def run(groups, variables, **task_vars):
    task = MagicMock(async_val=0, args={}, check_mode=False, diff=False)
    task.action = "ascend.fleet.fleet_validate"
    action = ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    return action.run(task_vars={"groups": groups, "hostvars": HostVars(variables), **task_vars})


A2 = {"npu_generation": "a2", "fleet_release": "qwen3_5_27b_v0"}
GROUPS = {"all": ["h1"], "npu_hosts": ["h1"], "atlas_a2": ["h1"]}


def test_a_good_inventory_passes_and_names_its_releases():
    result = run(GROUPS, {"h1": A2})
    assert not result.get("failed"), result
    assert (result["hosts"], result["releases"]) == (["h1"], ["qwen3_5_27b_v0"])


def test_an_empty_inventory_fails_with_words():
    result = run({"all": []}, {})
    assert result["failed"]
    assert "npu_hosts" in result["msg"]


def test_an_unknown_release_lists_the_known_ones():
    result = run(GROUPS, {"h1": dict(A2, fleet_release="nope")})
    assert result["failed"]
    assert "qwen3_5_27b_v0" in result["msg"]


def test_a_release_of_the_users_own_is_found_beside_the_inventory(tmp_path):
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "mine.yml").write_text("release: mine\ndriver: {version: [1]}\nsurprise: 1\n")
    result = run(GROUPS, {"h1": dict(A2, fleet_release="mine")}, inventory_dir=str(tmp_path))
    assert result["failed"]
    for words in ("driver.version", "surprise", "images"):
        assert words in result["msg"]


def test_a_stale_installed_copy_is_named(tmp_path):
    checkout, installed = tmp_path / "checkout", tmp_path / "installed"
    for folder in (checkout / "playbooks", installed):
        folder.mkdir(parents=True)
    (checkout / "galaxy.yml").write_text("namespace: ascend\nname: fleet\n")
    for playbook_dir in (checkout, checkout / "playbooks"):
        assert stale_copy(str(playbook_dir), checkout) is None
        mistake = stale_copy(str(playbook_dir), installed)
        assert str(installed) in mistake.found
        assert "ANSIBLE_COLLECTIONS_PATH" in mistake.fix
    assert stale_copy(str(installed), Path("/elsewhere")) is None


@pytest.mark.parametrize("role", ["npu_preflight", "model_artifacts", "vllm_image", "vllm_serve", "vllm_smoke"])
def test_the_roles_variables_are_known(role):
    assert role_variables()[role]
