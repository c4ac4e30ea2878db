# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several gateways have said, as one result."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.ascend.fleet.plugins.filter.vllm_traffic_result import FilterModule

put_together = FilterModule().filters()["vllm_traffic_result"]

GOOD = {"item": "gw-1", "servers": [{"server": "a2-1:0"}], "missing": [], "installed": True}


def test_servers_carry_the_name_of_their_gateway():
    found = put_together({"results": [GOOD, {**GOOD, "item": "gw-2"}]})
    assert [s["gateway"] for s in found["servers"]] == ["gw-1", "gw-2"]
    assert (found["driver"], found["notes"], found["problems"]) == ("haproxy", [], [])


def test_a_gateway_that_holds_nothing_off_is_noted():
    absent = {"item": "gw-2", "servers": [], "missing": [], "installed": False}
    found = put_together({"results": [{**GOOD, "missing": ["a2-1:1"]}, absent]})
    assert found["notes"] == [
        "gateway gw-1: does not have a2-1:1, so it sends no requests there",
        "gateway gw-2: not installed yet, so it sends no requests and holds none off",
    ]
    assert not found["problems"]


def test_every_gateway_that_failed_is_a_problem():
    found = put_together(
        {
            "results": [
                {"item": "gw-1", "unreachable": True, "msg": "no route\nto host"},
                {"item": "gw-2", "msg": "found: nobody listening. Fix: start it"},
                {"item": "gw-3"},
                {**GOOD, "item": "gw-4"},
            ]
        }
    )
    assert len(found["servers"]) == 1
    first, second, third = found["problems"]
    assert first.startswith("gateway gw-1: unreachable: no route to host; needed every gateway")
    assert "Fix: bring it back" in first
    assert second == "gateway gw-2: found: nobody listening. Fix: start it"
    assert third == "gateway gw-3: no reason was given"


@pytest.mark.parametrize("results", [[], [{"item": "gw-1", "servers": [], "installed": False}]])
def test_where_one_is_required_none_is_a_problem(results):
    assert not put_together({"results": results})["problems"]
    (problem,) = put_together({"results": results}, required=True)["problems"]
    assert "found no gateway that has the replicas" in problem
    assert "run gateway.yml" in problem


def test_no_gateway_at_all_is_noted():
    assert put_together({"results": []})["notes"] == ["there is no gateway: new requests are not held off"]


@pytest.mark.parametrize("given", [None, {}, {"servers": []}])
def test_what_is_no_loop_is_an_error(given):
    with pytest.raises(AnsibleFilterError, match="found no results of a loop"):
        put_together(given)
