# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What node_converged asks of a host, put together from the variables of the roles."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.ascend.fleet.plugins.action import node_converged as action
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases
from ansible_collections.ascend.fleet.plugins.plugin_utils._play_variables import HostVariables, role_defaults

RELEASE = _releases.load(Path(__file__).resolve().parents[4] / "playbooks/releases/qwen3_5_27b_v0.yml")
NODE = {"architecture": "aarch64", "devices": [], "topology": {}, "mounts": {}, "processes": ["of no interest"]}


def ask(**variables):
    """The arguments for a host with these variables beside the usual ones."""
    known = {
        "npu_generation": "a2",
        "fleet_release": "qwen3_5_27b_v0",
        "model_artifacts_release": RELEASE,
        "npu_preflight_node": NODE,
        "groups": {"npu_hosts": ["h"]},
        "inventory_hostname": "h",
        "hostvars": {},
        **variables,
    }
    known = {name: value for name, value in known.items() if value is not None}
    loader = DataLoader()
    defaults = role_defaults(loader, action._ROLES)
    variables = {**defaults, **known}
    return action.arguments_of(HostVariables(variables, Templar(loader=loader, variables=variables)), known)


def test_the_roles_own_questions_are_put():
    found = ask()
    archive, weights = found["requests"]
    assert archive["identity"] == "Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp"
    assert weights["identity"] == "Qwen-AI/Qwen3.5-27B"
    assert found["image"]["path"].startswith(archive["dest"])
    assert found["image"]["cache"] == "/var/lib/ascend-fleet/images/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar.json"
    assert found["verify"]["cann"] == RELEASE["cann"]["version"]
    assert found["verify"]["threads"] is True
    assert set(found["release"]) == {"release", "serve", "images"}
    assert "processes" not in found["node"]
    assert (found["settings"]["profile"], found["settings"]["stop_seconds"]) == ("least_privilege", 60)


def test_secrets_go_apart():
    found = ask(vllm_serve_api_key="key", vllm_serve_environment={"HF_TOKEN": "t", "OMP_NUM_THREADS": 8})
    assert (found["api_key"], found["secrets"]) == ("key", {"HF_TOKEN": "t"})
    assert found["settings"]["environment"] == {"OMP_NUM_THREADS": "8"}
    assert "api_key" not in found["settings"]


def test_an_image_that_is_not_verified_is_not_verified_here():
    assert ask(vllm_image_verify=False)["verify"] == {}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"model_artifacts_refresh": True}, "model_artifacts_refresh"),
        ({"model_artifacts_rehash": "true"}, "model_artifacts_rehash"),
        ({"vllm_serve_weights": "/data/mine"}, "vllm_serve_weights is set"),
        ({"vllm_image_archive": "/data/mine.tar"}, "vllm_image_archive is set"),
        ({"npu_preflight_node": None}, "npu_preflight has not read the node"),
        ({"npu_preflight_node": "{{ nobody_knows }}"}, "npu_preflight has not read the node"),
    ],
)
def test_what_the_roles_alone_can_tell_is_left_to_them(variables, words):
    trusted = {k: trust_as_template(v) if isinstance(v, str) and "{{" in v else v for k, v in variables.items()}
    with pytest.raises(action.Unknown, match=words):
        ask(**trusted)
