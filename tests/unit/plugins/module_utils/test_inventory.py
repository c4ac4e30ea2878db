# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups, names and addresses of a fleet, without Ansible. Values are tested with the action that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._release import inventory
from ansible_collections.ascend.fleet.plugins.module_utils._release.inventory import Host

GOOD = {"npu_generation": "a2", "fleet_release": "qwen3_5_27b_v0"}


def groups(**members):
    return {"all": [], "npu_hosts": sorted({h for hosts in members.values() for h in hosts}), **members}


def host(name="h1", **values):
    values = {k: v for k, v in {**GOOD, **values}.items() if v != "(absent)"}
    return Host(name, values=values, names=frozenset(values))


@pytest.mark.parametrize("found", [{}, {"all": ["h1"], "npu_hosts": []}, {"all": ["h1"], "servers": ["h1"]}])
def test_an_inventory_without_npu_hosts_is_one_mistake(found):
    (mistake,) = inventory.validate_fleet(found, [])
    assert "npu_hosts" in mistake.text()
    assert "make demo" in mistake.fix


@pytest.mark.parametrize(
    ("members", "change", "words"),
    [
        ({"atlas_a2": ["h1"]}, {"npu_generation": "(absent)"}, "npu_generation not set although it is in atlas_a2"),
        ({"servers": ["h1"]}, {"npu_generation": "(absent)"}, "npu_generation not set"),
        ({"atlas_a3": ["h1"]}, {}, "npu_generation: a2 on a host of atlas_a3"),
        ({"atlas_a2": ["h1"], "atlas_a3": ["h1"]}, {}, "atlas_a2 and atlas_a3"),
        ({"atlas_a2": ["h1"]}, {"fleet_release": "(absent)"}, "fleet_release not set"),
        ({"atlas_a2": ["h1"]}, {"fleet_relase": "x"}, "Did you mean `fleet_release`?"),
        ({"atlas_a2": ["h1"]}, {"vllm_serve_something": 1}, "a variable that a role of this collection knows"),
        ({"atlas_a2": ["h1"], "altas_a3": ["h9"]}, {}, "found the group altas_a3; needed the group atlas_a3"),
        ({"atlas_a2": ["h1"], "monitorring": ["h9"]}, {}, "found the group monitorring; needed the group monitoring"),
    ],
)
def test_each_mistake_is_named(members, change, words):
    text = inventory.report(inventory.validate_fleet(groups(**members), [host(**change)]))
    assert words in text
    assert text.startswith("1. ")
    assert "Fix: " in text


def test_what_could_not_be_evaluated_is_not_called_missing():
    own = Host("h1", values={}, names=frozenset(GOOD))
    assert inventory.validate_fleet(groups(atlas_a2=["h1"]), [own]) == []


def test_removed_variables_say_what_to_do(monkeypatch):
    monkeypatch.setitem(inventory.REMOVED_VARIABLES, "vllm_serve_old", "use vllm_serve_new")
    (mistake,) = inventory.validate_fleet(groups(atlas_a2=["h1"]), [host(vllm_serve_old=1)])
    assert mistake.fix == "use vllm_serve_new"


def test_what_a_role_left_behind_is_no_mistake():
    own = host(npu_preflight_node={}, npu_preflight_findings=[], vllm_serve_result={})
    assert inventory.validate_fleet(groups(atlas_a2=["h1"]), [own]) == []


def test_release_errors_are_numbered_after_the_mistakes():
    mistakes = inventory.validate_fleet(groups(atlas_a2=["h1", "h2"]), [host(fleet_x=1), host("h2", fleet_x=1)])
    assert [m.hosts for m in mistakes] == [("h1", "h2")]
    assert inventory.report(mistakes, {"r9": "no such release"}).splitlines()[1] == "2. release r9: no such release"


def test_every_role_of_the_collection_is_known():
    root = Path(__file__).resolve().parents[4]
    assert sorted(inventory.ROLES) == sorted(path.name for path in (root / "roles").iterdir())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"vllm_gateway_traffic": "external"}, "needed a task file, since vllm_gateway_traffic is external"),
        (
            {"vllm_gateway_traffic": "haproxy", "vllm_gateway_placement": "none"},
            "needed external or none, since vllm_gateway_placement is none",
        ),
        ({"vllm_gateway_traffic": "external", "vllm_gateway_traffic_tasks": "tasks.yml"}, "path of a task file"),
        ({"vllm_gateway_traffic": "external", "vllm_gateway_traffic_tasks": "/etc/b.yml"}, None),
        ({"vllm_gateway_traffic": "none", "vllm_gateway_placement": "none"}, None),
        ({"vllm_gateway_traffic": "haproxy"}, None),
    ],
)
def test_who_takes_replicas_out_of_traffic_must_be_there(values, words):
    mistakes = inventory.validate_fleet(groups(npu_hosts=["h1"], atlas_a2=["h1"]), [host(**values)])
    said = "\n".join(m.text() for m in mistakes)
    assert (words in said) if words else not said


@pytest.mark.parametrize(
    ("value", "good"),
    [("0,1", True), (0, True), ([0, "1"], True), ([], True), ("a", False), (True, False), (-1, False), ("0,", False)],
)
def test_numbers_of_replicas(value, good):
    mistakes = inventory.validate_fleet(groups(npu_hosts=["h1"], atlas_a2=["h1"]), [host(drain_replicas=value)])
    assert bool(mistakes) is not good


def test_a_canary_is_a_host_of_the_fleet():
    members = groups(atlas_a2=["h1", "h2"])
    fleet = [host(fleet_canary=["h2"]), host("h2", fleet_canary=["h2"])]
    assert inventory.validate_fleet(members, fleet) == []
    wrong = [host(fleet_canary=["h2", "h7", "h8"]), host("h2", fleet_canary=["h2", "h7", "h8"])]
    (mistake,) = inventory.validate_fleet(members, wrong)
    assert mistake.found == "fleet_canary: h7, h8, which are not in npu_hosts"
    assert mistake.fix == "correct fleet_canary"
