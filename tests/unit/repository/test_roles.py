# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role says the same in its defaults, its argument specification and its README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(p.name for p in (ROOT / "roles").iterdir() if p.is_dir())


def load(role, path):
    file = ROOT / "roles" / role / path
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}


def options(role):
    return load(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]


def test_the_roles_of_the_main_job_are_there():
    assert {"npu_preflight", "model_artifacts", "vllm_image", "vllm_serve", "vllm_smoke"} <= set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_are_equal(role):
    defaults = load(role, "defaults/main.yml")
    specified = {name: spec["default"] for name, spec in options(role).items() if "default" in spec}
    assert defaults == specified


@pytest.mark.parametrize("role", ROLES)
def test_every_public_variable_is_described_and_prefixed(role):
    for name, spec in options(role).items():
        assert name.startswith(role + "_"), name
        assert spec.get("description"), name
        assert spec.get("type"), name


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_names_every_variable_and_no_other(role):
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(%s_\w+)`" % role, text))
    missing = set(options(role)) - named
    assert not missing
    results = {role + "_result", role + "_node", role + "_findings"}
    assert named - set(options(role)) <= results


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"artifact_fetch", "npu_preflight"}))
def test_the_values_of_the_variables_are_checked_before_anything_is_done(role):
    """artifact_fetch has requests alone, which its module checks; preflight_report checks those of npu_preflight."""
    first = "present" if role == "vllm_gateway" else "main"
    assert load(role, f"tasks/{first}.yml")[0]["ansible.builtin.import_tasks"] == "validate.yml"
    (task,) = load(role, "tasks/validate.yml")
    assert task["ascend.fleet.fleet_validate"] == {"role": role}


@pytest.mark.parametrize("role", ROLES)
def test_variables_used_in_tasks_are_public_or_internal_ones_of_the_role(role):
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "roles" / role).glob("tasks/*.yml"))
    internal = set(re.findall(r"\b(__\w+)\b", text))
    assert all(name.startswith("__" + role) for name in internal), internal


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_shows_the_role_on_its_own(role):
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^## On its own\n.*?```yaml\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert found
    [play] = yaml.safe_load(found[1])
    assert play["roles"] == [{"role": f"ascend.fleet.{role}"}]
    assert set(play.get("vars", {})) <= {*options(role), "__plan", "__architecture"}
