# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes from a host, what stays and why, and how that is shown."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._serving import removal_plan
from ansible_collections.ascend.fleet.plugins.module_utils._serving.removal_plan import Foreign, Thing

UNIT = Thing("units", "unit", "vllm-m@0.service", "port 8010")
IMAGE = Thing("images", "image", "sha256:1", "vllm:1", 2048)
WEIGHTS = Thing("artifacts", "folder", "/srv/models/M", "", 3 * 1024**3)
STATE = Thing("service", "folder", "/etc/ascend-fleet", "configuration")
REPLICAS = [{"unit": UNIT.name, "replica": 0}]


@pytest.mark.parametrize(
    ("tags", "skip", "asked", "phases"),
    [
        (["all"], [], {}, ["units", "gateway", "mirror", "sharing", "service"]),
        (["tagged"], [], {"images": True}, ["units", "gateway", "mirror", "images", "sharing", "service"]),
        (["gateway"], [], {}, ["gateway"]),
        (["image"], [], {}, []),
        (["image", "always"], [], {"images": True, "artifacts": True}, ["images"]),
        (["artifacts"], [], {"artifacts": True}, ["mirror", "sharing", "artifacts"]),
        (["all"], ["serve"], {"artifacts": True}, ["mirror", "artifacts"]),
        (["never"], [], {}, []),
    ],
)
def test_tags_and_options_say_what_goes(
    tags: list[str], skip: list[str], asked: dict[str, bool], phases: list[str]
) -> None:
    options = {"images": False, "artifacts": False, **asked}
    assert removal_plan.chosen(tags, skip, **options) == phases


def test_what_is_not_asked_for_in_use_or_of_others_stays_with_its_reason() -> None:
    used = Thing("images", "image", "sha256:2", used_by="the container x")
    plan = removal_plan.plan(
        [STATE, WEIGHTS, IMAGE, used, UNIT],
        [Foreign("container", "x", "not of this collection")],
        ["units", "images", "service"],
        REPLICAS,
    )
    assert [entry["name"] for entry in plan["removed"]] == [UNIT.name, IMAGE.name, STATE.name]
    assert {entry["name"]: entry["reason"] for entry in plan["kept"]} == {
        "sha256:2": "the container x uses it",
        WEIGHTS.name: "-e decommission_artifacts=true removes it too",
        "x": "not of this collection",
    }
    assert plan["replicas"] == REPLICAS


def test_replicas_are_drained_only_where_units_go() -> None:
    plan = removal_plan.plan([UNIT], [], ["mirror"], REPLICAS)
    assert plan["replicas"] == []
    assert plan["kept"][0]["reason"] == "left out by the tags of this run"


def test_the_list_names_sizes_and_reasons_and_how_to_confirm() -> None:
    plans = {
        "h1": removal_plan.plan([UNIT, IMAGE, WEIGHTS], [], ["units", "images"]),
        "h2": removal_plan.plan([], [], ["units"]),
    }
    lines = removal_plan.lines(plans, {"h3": "unreachable: no\x1b route"}, confirmed=False)
    text = [line for line, _tone in lines]
    assert text[1] == "DECOMMISSION: to be removed from 1 of 2 hosts; nothing has been removed"
    assert "h1: these go (2.0 KiB)" in text
    assert "  unit       vllm-m@0.service (port 8010)" in text
    assert "  image      sha256:1 (2.0 KiB, vllm:1)" in text
    assert "  folder     /srv/models/M (3.0 GiB, -e decommission_artifacts=true removes it too)" in text
    assert "h2: nothing goes" in text
    assert r"h3 was not read: unreachable: no\x1b route" in text
    assert "decommission_confirm=true" in text[-1]
    assert "decommission_confirm" not in removal_plan.lines(plans, {}, confirmed=True)[-1][0]
    empty = removal_plan.lines({"h2": plans["h2"]}, {}, confirmed=False)
    assert empty[1] == ("DECOMMISSION: nothing to remove from any of 1 host", "ok")
    assert "decommission_confirm" not in empty[-1][0]
