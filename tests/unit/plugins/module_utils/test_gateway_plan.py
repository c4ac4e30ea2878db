# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which replicas stand behind a gateway, and that a host which was not asked loses none."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu.slots import nominal_node
from ansible_collections.ascend.fleet.plugins.module_utils._serving import gateway_plan
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_plan import HostPart, Pool, Server, merge
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import ServingError, Settings

RELEASE = {
    "release": "r",
    "serve": {
        "served_model_name": "qwen3.5",
        "port": 8010,
        "options": {"tensor-parallel-size": 4, "max-num-seqs": 128},
    },
    "images": [],
}


def part(host: str, *, known: bool = True, model: str = "qwen3.5", port: int = 8000, key: str = "", first: int = 8010):
    servers = tuple(Server(host, n, host, first + n, 128) for n in range(2))
    return HostPart(host, model, port, key, servers, known)


def names(plan):
    return {pool.model: [server.name for server in pool.servers] for pool in plan.pools}


def test_the_servers_are_those_that_the_planner_of_the_units_lays_out():
    settings = Settings(first_port=8100, options={"max-num-seqs": 64})
    found = gateway_plan.host_servers("a2-1", "192.0.2.1", nominal_node("a2"), RELEASE, settings)
    assert found == (Server("a2-1", 0, "192.0.2.1", 8100, 64), Server("a2-1", 1, "192.0.2.1", 8101, 64))
    assert len(gateway_plan.host_servers("a3-1", "192.0.2.2", nominal_node("a3"), RELEASE, Settings())) == 4


def test_a_limit_that_the_options_do_not_name_is_not_made_up():
    settings = Settings(options={"max-num-seqs": None})
    assert {s.maxconn for s in gateway_plan.host_servers("h", "h", nominal_node("a2"), RELEASE, settings)} == {0}


def test_a_pool_has_the_replicas_of_all_hosts_in_order():
    plan = merge([part("a3-1"), part("a2-1")], [])
    assert names(plan) == {"qwen3.5": ["a2-1:0", "a2-1:1", "a3-1:0", "a3-1:1"]}
    assert (plan.kept, plan.assumed) == ((), ())


def test_two_models_have_a_pool_and_a_port_each():
    plan = merge([part("a2-1"), part("a2-2", model="qwen3.5-large", port=8001)], [])
    assert [(pool.name, pool.port) for pool in plan.pools] == [("vllm-qwen3.5", 8000), ("vllm-qwen3.5-large", 8001)]


def test_a_host_that_was_not_asked_keeps_what_is_deployed():
    deployed = [Pool("qwen3.5", 8000, (Server("a2-1", 0, "192.0.2.9", 9000, 7),))]
    plan = merge([part("a2-1", known=False), part("a2-2")], deployed)
    assert plan.kept == ("a2-1",)
    assert plan.pools[0].servers[0] == Server("a2-1", 0, "192.0.2.9", 9000, 7)
    assert names(plan) == {"qwen3.5": ["a2-1:0", "a2-2:0", "a2-2:1"]}


def test_a_host_that_was_not_asked_and_is_not_deployed_is_assumed_well():
    plan = merge([part("a2-1", known=False)], [])
    assert plan.assumed == ("a2-1",)
    assert names(plan) == {"qwen3.5": ["a2-1:0", "a2-1:1"]}


def test_a_host_that_the_inventory_does_not_name_any_more_goes():
    deployed = [Pool("qwen3.5", 8000, (Server("old", 0, "old", 8010), Server("a2-1", 0, "a2-1", 8010)))]
    assert names(merge([part("a2-1")], deployed)) == {"qwen3.5": ["a2-1:0", "a2-1:1"]}


def test_the_pool_of_a_model_of_before_stays_while_a_host_that_was_not_asked_may_serve_it():
    deployed = [Pool("old", 8000, (Server("a2-1", 0, "a2-1", 8010),), "key-of-before")]
    plan = merge([part("a2-1", known=False, port=8001), part("a2-2", port=8001)], deployed)
    assert names(plan) == {"old": ["a2-1:0"], "qwen3.5": ["a2-2:0", "a2-2:1"]}
    assert plan.pools[0].api_key == "key-of-before"


def test_such_a_pool_with_the_port_of_another_is_an_error_that_names_the_host():
    deployed = [Pool("old", 8000, (Server("a2-1", 0, "a2-1", 8010),))]
    with pytest.raises(ServingError, match=r"port 8000 .* old and qwen3\.5 \(a2-2|a2-1 was not read"):
        merge([part("a2-1", known=False), part("a2-2")], deployed)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            [part("a"), part("b", model="other")],
            r"port 8000 of the gateway for the models qwen3\.5 and other.*such as 8001",
        ),
        ([part("a"), part("b", port=8001)], r"the model qwen3\.5 on the ports 8000 \(a\) and 8001 \(b\)"),
        ([part("a", key="k" * 20), part("b")], "different values of vllm_serve_api_key on hosts .* such as a and b"),
        ([part("a b")], "the host name 'a b'"),
        ([part("a", model="Qwen/Q")], "the served model name 'Qwen/Q'"),
    ],
)
def test_what_cannot_stand_behind_one_gateway_is_said_with_its_fix(parts, words):
    with pytest.raises(ServingError, match=words) as caught:
        merge(parts, [])
    assert "Fix: " in str(caught.value)
    assert "kkkk" not in str(caught.value)


def test_a_part_passes_as_plain_data_without_its_key():
    one = part("a2-1", key="a-secret-of-the-replicas")
    data = gateway_plan.part_data(one)
    assert "a-secret" not in str(data)
    assert gateway_plan.part_from(data, {"qwen3.5": one.api_key}) == one
    assert gateway_plan.describe(merge([one], []).pools)[0]["servers"][0]["name"] == "a2-1:0"
