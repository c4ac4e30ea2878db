# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What galaxy.yml, meta/ and .ci/ promise is what is there."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]


def read(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_action_group_holds_every_module():
    modules = sorted("ascend.fleet." + p.stem for p in (ROOT / "plugins/modules").glob("*.py"))
    assert read("meta/runtime.yml")["action_groups"]["all"] == modules


def test_every_action_has_a_module_that_documents_it():
    actions = {p.stem for p in (ROOT / "plugins/action").glob("*.py")}
    assert actions <= {p.stem for p in (ROOT / "plugins/modules").glob("*.py")}


def test_the_collection_names_itself():
    about = read("galaxy.yml")
    assert (about["namespace"], about["name"]) == ("ascend", "fleet")
    assert read("meta/runtime.yml")["requires_ansible"] == ">=2.19.0"
    assert str(about["version"]) in read("changelogs/changelog.yaml")["releases"]


def test_ci_runs_the_test_command_of_the_readme():
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[-1] == "exec make test"
