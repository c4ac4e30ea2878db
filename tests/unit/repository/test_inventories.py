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
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.ascend.fleet.plugins.module_utils._release import inventory as _fleet
from ansible_collections.ascend.fleet.plugins.plugin_utils import _fleet_check, _host_variables

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("name", "generations"), [("atlas_a2", {"a2"}), ("atlas_a3", {"a3"}), ("mixed", {"a2", "a3"})])
def test_an_example_is_valid(name, generations):
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(ROOT / "inventories" / name)])
    manager = VariableManager(loader=loader, inventory=inventory)
    hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    reader = _host_variables.Reader(hostvars, Templar(loader=loader), loader)
    groups = inventory.get_groups_dict()
    hosts = [reader.host(host) for host in groups["npu_hosts"]]
    assert _fleet.validate_fleet(groups, hosts) == []
    assert {host.values["npu_generation"] for host in hosts} == generations
    releases, errors = _fleet_check.check_releases(hosts, {})
    assert not errors
    assert _fleet_check.check_layouts(hosts, releases) == []


def test_the_demo_has_its_variables_before_its_hosts_are_written():
    assert yaml.safe_load((ROOT / "inventories/demo/group_vars/all.yml").read_text())["fleet_release"]
    for generation in ("a2", "a3"):
        found = yaml.safe_load((ROOT / f"inventories/demo/group_vars/atlas_{generation}.yml").read_text())
        assert found == {"npu_generation": generation}
