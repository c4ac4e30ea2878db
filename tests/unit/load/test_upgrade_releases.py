# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of the scenario `upgrade`: the collection accepts each, and an engine understands its flaw."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "molecule" / "upgrade"))
sys.path.insert(0, str(ROOT / "tests" / "sim" / "engine"))

import releases
from ansible_collections.ascend.fleet.plugins.module_utils._release import schema
from sim_vllm import flaws

NAMES = list(releases.declared()["releases"])
SETTINGS = {
    flaws.FINGERPRINT, flaws.START_SECONDS, flaws.TOKEN_RATE, flaws.ERROR_PERCENT, flaws.ERRORS_AFTER,
    flaws.HANG_AFTER, "ASCEND_SIM_ENGINE_FAULT",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_release(name: str, tmp_path: Path) -> None:
    path = releases.write(tmp_path, name)
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert schema.validate(data, name=name)["release"] == name
    for question in data["smoke"]["questions"]:
        assert "picture" not in question or (path.parent / question["picture"]).exists()


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_understands_its_flaw(name: str) -> None:
    given = releases.release(name)["serve"]["environment"]
    assert {variable for variable in given if variable.startswith("ASCEND_SIM_")} <= SETTINGS
    assert flaws.Flaws(given, 8010).fingerprint.startswith(name + " ")


def test_each_differs_from_the_first_in_what_is_declared_alone() -> None:
    base = releases.release("upgrade_base")
    slow = releases.release("upgrade_slow")
    assert (
        base["serve"]["environment"].items()
        < (slow["serve"]["environment"] | {releases.FINGERPRINT: "upgrade_base"}).items()
    )
    slow["serve"]["environment"], slow["release"] = base["serve"]["environment"], base["release"]
    assert slow == base
    assert releases.release("upgrade_good")["serve"]["options"]["max-num-seqs"] == 64
    assert [image["generation"] for image in releases.release("upgrade_no_a3")["images"]] == ["a2"]


def test_new_images_take_the_place_of_the_shipped_ones() -> None:
    images = [
        dict(image, tag=f"vllm-ascend:new-{image['generation']}")
        for image in releases.release("upgrade_base")["images"]
    ]
    assert releases.release("upgrade_good", images)["images"] == images
    assert releases.wants_new_images() == ["upgrade_good"]
