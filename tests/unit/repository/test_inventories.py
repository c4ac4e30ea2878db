# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example inventories are what they tell their readers: valid as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager
from ansible_collections.ascend.fleet.plugins.module_utils._release import inventory as _fleet

ROOT = Path(__file__).resolve().parents[3]


def role_variables():
    found = {}
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        found[path.parents[1].name] = list(
            yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
        )
    return found


@pytest.mark.parametrize(("name", "generations"), [("atlas_a2", {"a2"}), ("atlas_a3", {"a3"}), ("mixed", {"a2", "a3"})])
def test_an_example_is_valid(name, generations):
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(ROOT / "inventories" / name)])
    manager = VariableManager(loader=loader, inventory=inventory)
    groups = inventory.get_groups_dict()
    variables = {h: manager.get_vars(host=inventory.get_host(h)) for h in groups["npu_hosts"]}
    own = {h: {k: v for k, v in found.items() if not k.startswith("ansible_")} for h, found in variables.items()}
    assert _fleet.validate_fleet(groups, own, generations=("a2", "a3"), role_variables=role_variables()) == []
    assert {found["npu_generation"] for found in own.values()} == generations


def test_the_demo_has_its_variables_before_its_hosts_are_written():
    assert yaml.safe_load((ROOT / "inventories/demo/group_vars/all.yml").read_text())["fleet_release"]
    for generation in ("a2", "a3"):
        found = yaml.safe_load((ROOT / f"inventories/demo/group_vars/atlas_{generation}.yml").read_text())
        assert found == {"npu_generation": generation}
