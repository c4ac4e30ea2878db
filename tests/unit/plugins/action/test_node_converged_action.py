# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What node_converged asks of a host, put together from the variables of the roles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.ascend.fleet.plugins.action import node_converged as action
from ansible_collections.ascend.fleet.plugins.filter.vllm_replicas import vllm_replicas
from ansible_collections.ascend.fleet.plugins.module_utils._npu.slots import nominal_node
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.deployment import Deployment, digest_of, sha256_of
from ansible_collections.ascend.fleet.plugins.modules import node_converged as module
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases
from ansible_collections.ascend.fleet.plugins.plugin_utils._play_variables import HostVariables, role_defaults

UNLOCKED = _releases.load(Path(__file__).resolve().parents[4] / "playbooks/releases/qwen3_5_27b_v0.yml")
RELEASE = {**UNLOCKED, "images": [{**image, "image_id": "sha256:" + "4b" * 32} for image in UNLOCKED["images"]]}
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
    assert found["release"] == RELEASE
    assert found["serve_release"] is None
    assert found["artifacts"] == {
        "generation": "a2",
        "architecture": "",
        "root": "/var/lib/ascend-fleet",
        "origin": "",
    }
    assert found["images"] == {"records": "/var/lib/ascend-fleet/images", "verify": True, "threads": True}
    assert "processes" not in found["node"]
    assert found["node"]["architecture"] == "aarch64"
    assert (found["settings"]["profile"], found["settings"]["stop_seconds"]) == ("least_privilege", 60)


def test_the_archive_and_the_weights_of_the_release_are_what_is_looked_for():
    asked = json.loads(json.dumps(ask()))
    planned = module.downloads(asked, asked["node"])
    assert [request["identity"] for request in planned["requests"]] == [
        "Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp",
        "Qwen-AI/Qwen3.5-27B",
    ]


@pytest.mark.parametrize("node", [None, "{{ nobody_knows }}"])
def test_a_node_that_was_not_read_in_this_run_is_read_by_the_module(node):
    assert ask(npu_preflight_node=trust_as_template(node) if node else None)["node"] is None


def test_another_release_to_serve_is_told():
    other = {**RELEASE, "release": "other"}
    assert ask(vllm_serve_release=other)["serve_release"] == other


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"vllm_serve_api_key": "key", "vllm_serve_environment": {"HF_TOKEN": "t", "OMP_NUM_THREADS": 8}},
        {"vllm_serve_replicas": 1, "vllm_serve_options": {"max-model-len": 16384}, "vllm_serve_watchdog": "restart"},
    ],
)
def test_its_digest_is_that_of_what_the_role_records(more):
    node = {**NODE, **nominal_node("a2")}
    asked = json.loads(json.dumps(ask(npu_preflight_node=node, **more)))
    brought = {"image": RELEASE["images"][0]["image_id"], "weights": "/w", "weights_content": "c"}
    planned, secrets = module.wanted(asked, asked["node"], asked["release"], **brought)
    # What roles/vllm_serve/vars/main.yml hands to the filter.
    given = {**role_defaults(DataLoader(), ("vllm_serve",)), **more}
    names = [name for name in action._PLANNED if name != "profile"]
    role = vllm_replicas(
        node,
        RELEASE,
        **brought,
        api_key=given["vllm_serve_api_key"],
        access_gateways=[],
        **{name: given["vllm_serve_" + name] for name in names},
    )
    assert len(role["units"]) >= 1
    recorded = Deployment.of(*json.loads(json.dumps([RELEASE, role["units"], role["secrets"]])))
    assert digest_of(sha256_of(asked["release"]), planned, secrets) == recorded.digest


def test_secrets_go_apart():
    found = ask(vllm_serve_api_key="key", vllm_serve_environment={"HF_TOKEN": "t", "OMP_NUM_THREADS": 8})
    assert (found["api_key"], found["secrets"]) == ("key", {"HF_TOKEN": "t"})
    assert found["settings"]["environment"] == {"OMP_NUM_THREADS": "8"}
    assert "api_key" not in found["settings"]


def test_gateways_are_among_those_that_may_ask_the_replicas():
    groups = {"npu_hosts": ["h"], "gateways": ["gw-1"]}
    found = ask(groups=groups, hostvars={"gw-1": {"ansible_host": "192.0.2.21"}}, vllm_serve_access="gateways")
    assert found["settings"]["access"] == "gateways"
    assert found["settings"]["access_gateways"] == ["192.0.2.21"]
    assert ask()["settings"]["access_gateways"] == []


def test_an_image_that_is_not_verified_is_not_verified_here():
    assert ask(vllm_image_verify=False)["images"]["verify"] is False


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"model_artifacts_refresh": True}, "model_artifacts_refresh"),
        ({"model_artifacts_rehash": "true"}, "model_artifacts_rehash"),
        ({"vllm_serve_weights": "/data/mine"}, "vllm_serve_weights is set"),
        ({"vllm_image_archive": "/data/mine.tar"}, "vllm_image_archive is set"),
    ],
)
def test_what_the_roles_alone_can_tell_is_left_to_them(variables, words):
    with pytest.raises(action.Unknown, match=words):
        ask(**variables)
