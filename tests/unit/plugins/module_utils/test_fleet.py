# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._release import inventory

ROLES = {"vllm_serve": ["vllm_serve_replicas", "vllm_serve_profile"], "npu_preflight": ["npu_preflight_ignore"]}
GOOD = {"npu_generation": "a2", "fleet_release": "qwen3_5_27b_v0"}


def check(groups, variables):
    return inventory.validate_fleet(groups, variables, generations=("a2", "a3"), role_variables=ROLES)


def groups(**members):
    out = {"all": [], "npu_hosts": sorted({h for hosts in members.values() for h in hosts})}
    return {**out, **members}


def test_a_good_fleet_has_no_mistake():
    own = dict(
        GOOD,
        artifact_origin="https://mirror.example.com",
        vllm_serve_replicas=1,
        ansible_user="root",
        fleet_profile="guide",
        fleet_progress="never",
    )
    assert check(groups(atlas_a2=["h1"]), {"h1": own}) == []


def test_templates_are_left_to_run_time():
    own = dict(GOOD, npu_generation="{{ x }}", artifact_origin="{{ y }}", fleet_profile="{{ z }}")
    assert check(groups(atlas_a2=["h1"]), {"h1": own}) == []


@pytest.mark.parametrize("found", [{}, {"all": ["h1"], "npu_hosts": []}, {"all": ["h1"], "servers": ["h1"]}])
def test_an_inventory_without_npu_hosts_is_one_mistake(found):
    (mistake,) = check(found, {})
    assert "npu_hosts" in mistake.text()
    assert "make demo" in mistake.fix


@pytest.mark.parametrize(
    ("members", "change", "words"),
    [
        ({"atlas_a2": ["h1"]}, {"npu_generation": None}, "npu_generation not set although it is in atlas_a2"),
        ({"servers": ["h1"]}, {"npu_generation": None}, "npu_generation not set"),
        ({"atlas_a2": ["h1"]}, {"npu_generation": "a9"}, "npu_generation: a9"),
        ({"atlas_a3": ["h1"]}, {}, "npu_generation: a2 on a host of atlas_a3"),
        ({"atlas_a2": ["h1"], "atlas_a3": ["h1"]}, {}, "atlas_a2 and atlas_a3"),
        ({"atlas_a2": ["h1"]}, {"fleet_release": None}, "fleet_release not set"),
        ({"atlas_a2": ["h1"]}, {"fleet_profile": "root"}, "fleet_profile: root"),
        ({"atlas_a2": ["h1"]}, {"fleet_progress": "yes"}, "fleet_progress: yes; needed auto, always or never"),
        ({"atlas_a2": ["h1"]}, {"artifact_origin": "mirror.example.com"}, "artifact_origin"),
        ({"atlas_a2": ["h1"]}, {"artifact_swarm_from": "many"}, "artifact_swarm_from: many"),
        ({"atlas_a2": ["h1"]}, {"artifact_swarm_from": -1}, "artifact_swarm_from: -1"),
        ({"atlas_a2": ["h1"]}, {"vllm_serve_replica": 2}, "Did you mean `vllm_serve_replicas`?"),
        ({"atlas_a2": ["h1"]}, {"fleet_relase": "x"}, "Did you mean `fleet_release`?"),
    ],
)
def test_each_mistake_is_named(members, change, words):
    own = {k: v for k, v in dict(GOOD, **change).items() if v is not None}
    text = inventory.report(check(groups(**members), {"h1": own}))
    assert words in text
    assert text.startswith("1. h1: found")
    assert "Fix: " in text


def test_a_secret_in_the_origin_is_not_repeated():
    (mistake,) = check(
        groups(atlas_a2=["h1"]), {"h1": dict(GOOD, artifact_origin="https://me:hunter2@mirror.example.com")}
    )
    assert "hunter2" not in mistake.text()


def test_all_mistakes_are_listed_and_hosts_are_grouped():
    own = {"npu_generation": "a2", "vllm_serve_replica": 1}
    mistakes = check(groups(atlas_a2=["h1", "h2"]), {"h1": own, "h2": own})
    assert [m.hosts for m in mistakes] == [("h1", "h2"), ("h1", "h2")]
    assert inventory.report(mistakes, {"r9": "no such release"}).count("\n") == 2


def test_removed_variables_say_what_to_do(monkeypatch):
    monkeypatch.setitem(inventory.REMOVED_VARIABLES, "vllm_serve_old", "use vllm_serve_new")
    (mistake,) = check(groups(atlas_a2=["h1"]), {"h1": dict(GOOD, vllm_serve_old=1)})
    assert mistake.fix == "use vllm_serve_new"


def test_what_a_role_left_behind_is_no_mistake():
    own = {"npu_generation": "a2", "fleet_release": "r", "npu_preflight_node": {}, "npu_preflight_findings": []}
    assert check(groups(npu_hosts=["h1"], atlas_a2=["h1"]), {"h1": own}) == []
