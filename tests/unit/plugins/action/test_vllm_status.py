# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of all replicas, put together from what hosts and gateways have answered."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.action import vllm_status as action

OPTIONS = {"node_variable": "node", "shared_variable": "shared", "own_variable": "own"}


class Play:
    """The variables of each host."""

    def __init__(self, variables):
        self.variables = variables

    def of(self, host):
        found = self.variables[host]
        if isinstance(found, Exception):
            raise found
        return {"vllm_gateway_traffic": "haproxy", "vllm_gateway_placement": "gateways", **found}


def node(*numbers, problems=()):
    replicas = [{"replica": n, "health": "healthy", "active_state": "active"} for n in numbers]
    return {"replicas": replicas, "problems": list(problems)}


def server(host, number, state="ready"):
    return {
        "host": host,
        "replica": number,
        "admin_state": state,
        "status": "UP",
        "owner": "operator",
        "drained_by": "alice",
    }


def gather(variables):
    report = action.gather({"ansible_play_hosts_all": list(variables)}, Play(variables), OPTIONS)
    return report, {r["name"]: r["traffic"] for r in report["replicas"]}


def shared(*answers):
    return {"results": list(answers)}


def test_gateways_of_all_hosts_are_asked_once():
    told = shared({"item": "gw-1", "servers": [server("a2-1", 0), server("a2-2", 0, "drain"), server("a9-9", 0)]})
    report, traffic = gather({"a2-1": {"node": node(0), "shared": told}, "a2-2": {"node": node(0), "shared": told}})
    assert traffic == {"a2-1:0": "in", "a2-2:0": "out"}
    assert not report["problems"]


def test_a_gateway_on_each_host_tells_of_its_own():
    own = {"vllm_gateway_placement": "hosts"}
    report, traffic = gather(
        {
            "a2-1": {**own, "node": node(0), "own": {"servers": [server("a2-1", 0)]}},
            "a2-2": {**own, "node": node(0), "own": {"msg": "nobody listening"}},
        }
    )
    assert traffic == {"a2-1:0": "in", "a2-2:0": "unknown"}
    assert report["problems"] == ["gateway a2-2: nobody listening"]


def test_one_gateway_that_is_gone_is_named_and_the_other_believed():
    told = shared(
        {"item": "gw-1", "servers": [server("a2-1", 0)]}, {"item": "gw-2", "unreachable": True, "msg": "gone"}
    )
    report, traffic = gather({"a2-1": {"node": node(0), "shared": told}})
    assert traffic == {"a2-1:0": "in"}
    assert report["problems"][0].startswith("gateway gw-2: unreachable: gone")


def test_without_any_gateway_traffic_is_unknown():
    told = shared({"item": "gw-1", "msg": "nobody listening"})
    assert gather({"a2-1": {"node": node(0), "shared": told}})[1] == {"a2-1:0": "unknown"}


def test_other_drivers():
    external = {"vllm_gateway_traffic": "external", "own": {"servers": [server("a2-1", 0, "drain")]}}
    assert gather({"a2-1": {**external, "node": node(0)}})[1] == {"a2-1:0": "out"}
    assert gather({"a2-1": {"vllm_gateway_traffic": "none", "node": node(0)}})[1] == {"a2-1:0": "direct"}


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"node": {"unreachable": True, "msg": "no\nroute"}}, "unreachable: no route"),
        ({"node": {"msg": "x" * 400}}, "x" * 299 + "…"),
        ({}, "it was not asked"),
        (ValueError("broken template"), "its variables cannot be used: broken template"),
    ],
)
def test_a_host_that_says_nothing_hides_nobody(variables, reason):
    report, traffic = gather({"a2-1": variables, "a2-2": {"node": node(0, problems=["npu-smi: hangs"])}})
    assert report["not_read"] == [{"host": "a2-1", "reason": reason}]
    assert list(traffic) == ["a2-2:0"]
    assert report["problems"] == ["a2-2: npu-smi: hangs"]


def test_what_hosts_have_recorded_is_told_where_it_could_be_read():
    known = {"change": None, "last_good": {"release": "r"}, "lease": None}
    told = shared({"item": "gw-1", "servers": []})
    report, _traffic = gather(
        {
            "a2-1": {"node": {**node(0), "recorded": known}, "shared": told},
            "a2-2": {"node": {**node(0, problems=["state.json damaged"]), "recorded": None}, "shared": told},
        }
    )
    assert report["hosts"] == {"a2-1": known}
    assert [r["last_good"] for r in report["replicas"]] == ["r", None]
    assert report["problems"] == ["a2-2: state.json damaged"]
