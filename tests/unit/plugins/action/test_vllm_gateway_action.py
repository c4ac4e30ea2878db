# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway is told, put together from the variables of all hosts."""

from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.ascend.fleet.plugins.action import vllm_gateway as action
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import ServingError
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases
from ansible_collections.ascend.fleet.plugins.plugin_utils._play_variables import (
    HostVariables,
    SettingsError,
    role_defaults,
)

RELEASE = _releases.by_name("qwen3_5_27b_v0", {})
OTHER = {**RELEASE, "serve": {**RELEASE["serve"], "served_model_name": "other"}}
GROUPS = {"npu_hosts": ["a2-1", "a3-1"], "gateways": ["gw-1", "gw-2"]}


def ask(gateway="gw-1", groups=None, served=(), gone=(), **hosts):
    """The arguments for a gateway; keywords are the variables of hosts, `-` in their names written as `_`."""
    groups = GROUPS if groups is None else groups
    loader = DataLoader()
    defaults = role_defaults(loader, action._ROLES)

    def variables_of(name):
        known = {
            "inventory_hostname": name,
            "ansible_host": "192.0.2.%d" % (len(name) + ord(name[-1])),
            "npu_generation": name[:2],
            "fleet_release": "qwen3_5_27b_v0",
            "vllm_serve_release": RELEASE,
            "groups": groups,
            **hosts.get("everyone", {}),
            **hosts.get(name.replace("-", "_"), {}),
        }
        variables = {**defaults, **known}
        return HostVariables(variables, Templar(loader=loader, variables=variables))

    return action.arguments_of(gateway, variables_of, groups, loader, served, gone)


def test_a_gateway_stands_before_all_replicas_of_the_inventory():
    found = ask()
    assert {part["host"]: len(part["servers"]) for part in found["parts"]} == {"a2-1": 2, "a3-1": 4}
    assert found["front"]["has_keys"] is False
    assert found["front"]["tls_min_version"] == ""
    assert found["floating"] == {}
    assert "def main" in found["program"]


def test_a_host_that_is_gone_has_no_servers_and_is_known_to_have_none():
    parts = {part["host"]: part for part in ask(gone=["a2-1"])["parts"]}
    assert (parts["a2-1"]["servers"], parts["a2-1"]["known"]) == ([], True)
    assert len(parts["a3-1"]["servers"]) == 4


def test_a_gateway_on_an_npu_host_stands_before_its_own():
    found = ask("a2-1", groups={"npu_hosts": ["a2-1", "a3-1"]})
    assert [part["host"] for part in found["parts"]] == ["a2-1"]
    assert {server["address"] for server in found["parts"][0]["servers"]} == {"127.0.0.1"}


def test_keys_of_replicas_go_apart_and_those_of_clients_as_hashes(tmp_path):
    keys = tmp_path / "keys.yml"
    keys.write_text("team: a-key-of-a-client-0123\n")
    keys.chmod(0o600)
    found = ask(everyone={"vllm_serve_api_key": "of-replicas"}, gw_1={"vllm_gateway_api_keys_file": str(keys)})
    assert found["replica_keys"] == {"qwen3.5": "of-replicas"}
    assert found["front"]["has_keys"] is True
    assert "of-replicas" not in str(found["parts"])
    assert "a-key-of-a-client" not in str(found)


def test_two_models_have_a_port_each_or_are_an_error():
    two = {"vllm_serve_release": OTHER, "vllm_gateway_port": 8001}
    assert {part["model"]: part["port"] for part in ask(a3_1=two)["parts"]} == {"qwen3.5": 8000, "other": 8001}
    with pytest.raises(ServingError, match="port 8000 of the gateway for the models"):
        ask(a3_1={"vllm_serve_release": OTHER})


def test_one_hosts_wrong_variables_are_named_with_the_host():
    with pytest.raises(ServingError, match="the variables of a3-1 cannot be used: vllm_gateway_port"):
        ask(a3_1={"vllm_gateway_port": 80})
    with pytest.raises(SettingsError, match="vllm_gateway_max_body_mb"):
        ask(gw_1={"vllm_gateway_max_body_mb": -1})


def test_gateways_without_npu_hosts_are_an_error():
    with pytest.raises(ServingError, match="found no host in npu_hosts"):
        ask(groups={"npu_hosts": [], "gateways": ["gw-1"]})


def test_the_floating_address_knows_the_other_gateways():
    found = ask("gw-2", everyone={"vllm_gateway_floating_address": "192.0.2.250/24"})["floating"]
    assert (found["address"], found["priority"], len(found["peers"])) == ("192.0.2.250/24", 99, 1)
    assert found["own"] not in found["peers"]


def test_a_host_that_serves_by_now_is_taken_as_planned_and_others_as_they_are():
    node = {"__npu_preflight_about": {"node": {"devices": [], "topology": None}}}
    found = ask(served=["a2-1"], everyone=node)
    assert [part["known"] for part in found["parts"]] == [False, False]  # its chips say nothing
