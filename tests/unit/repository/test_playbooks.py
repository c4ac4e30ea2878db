# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for the playbooks together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[3] / "playbooks"
IMPORT = "ansible.builtin.import_playbook"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yml"))


def plays(name: str) -> list[dict[str, Any]]:
    """The plays of a playbook, those of imported ones in their places."""
    found: list[dict[str, Any]] = []
    for play in yaml.safe_load((FOLDER / ("%s.yml" % name)).read_text(encoding="utf-8")):
        found += plays(play[IMPORT].removesuffix(".yml")) if IMPORT in play else [play]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_group_that_may_be_absent_is_not_named_as_a_pattern(name: str) -> None:
    # ansible-playbook warns of a pattern that matches nothing; a site without mirrors has done nothing wrong.
    patterns = {play["hosts"] for play in plays(name)}
    assert {pattern for pattern in patterns if "{{" not in pattern} <= {"localhost", "npu_hosts"}


@pytest.mark.parametrize("name", ["site", "stage", "mirrors", "takeover"])
def test_the_release_is_locked_after_the_validation_and_before_mirrors_and_hosts_are_filled(name: str) -> None:
    order = [play["name"] for play in plays(name)]
    assert order[:2] == [play["name"] for play in plays("validate")]
    assert order[2:4] == ["Lock the release", "Fill the site's mirrors"]
    assert order.count("Lock the release") == order.count("Fill the site's mirrors") == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_play_says_what_a_host_that_fails_means_for_the_others(name: str) -> None:
    for play in plays(name):
        assert "any_errors_fatal" in play, play["name"]
        # With the default a play would go on with whatever hosts are left, by nobody's decision.
        assert play["any_errors_fatal"] or play["max_fail_percentage"] == 100, play["name"]


def test_the_wave_that_follows_a_failure_does_not_begin() -> None:
    for name in ("site", "restart", "takeover"):
        waves = [play for play in plays(name) if "serial" in play and "__fleet_waves" in play["hosts"]]
        assert len(waves) == 1
        assert waves[0]["tasks"][0]["ansible.builtin.import_tasks"] == "tasks/stop_after_failure.yml"


def test_a_deployment_is_recorded_as_last_good_after_its_questions_and_only_where_it_was_planned() -> None:
    [ask] = [play for play in plays("site") if play["name"] == "Ask the replicas"]
    [tasks] = ask["tasks"]
    questions, record = tasks["block"]
    assert "rescue" in questions
    # Nothing rescues a record that fails, and whoever fails the questions does not come to it.
    assert "rescue" not in tasks
    assert record["ansible.builtin.include_role"] == {"name": "ascend.fleet.vllm_serve", "tasks_from": "good.yml"}
    assert record["when"] == ["not __site_state.converged | default(true)", "vllm_serve_result is defined"]


@pytest.mark.parametrize("name", sorted({*NAMES} - {"bundle"}))  # a bundle is made on the controller
def test_nothing_is_decided_in_a_play_that_a_limit_leaves_out(name: str) -> None:
    # --limit leaves out localhost too: a play of it would silently not run. The validation has a second one for that.
    local = [play["name"] for play in plays(name) if play["hosts"] == "localhost"]
    assert local == [play["name"] for play in plays("validate") if play["hosts"] == "localhost"][: len(local)]


@pytest.mark.parametrize("name", ["upgrade", "rollback", "driver"])
def test_what_follows_the_waves_follows_also_where_a_wave_has_lost_all_of_its_hosts(name: str) -> None:
    # Ansible ends a playbook behind a batch of `serial` in which all hosts have failed: no report, no way back.
    assert not [play["name"] for play in plays(name) if "serial" in play and "__fleet_waves" in str(play["hosts"])]
    [*_others, report] = plays(name)
    assert report["name"] == "Report"


@pytest.mark.parametrize("name", ["upgrade", "rollback"])
def test_a_change_of_the_fleet_is_not_done_by_half(name: str) -> None:
    files = [task.get("ansible.builtin.import_tasks") for play in plays(name) for task in play.get("tasks", [])]
    assert "tasks/refuse_tags.yml" in files


def test_no_canary_is_a_value_and_not_the_default() -> None:
    # `default(omit, true)` takes an empty list for nothing: then the first host of each generation is the canary.
    texts = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.yml")}
    given = [name for name, text in texts.items() if 'canary: "{{ fleet_canary | default(omit) }}"' in text]
    assert sorted(given) == ["driver_gate.yml", "upgrade_gate.yml"]
    assert [name for name, text in texts.items() if "fleet_canary | default(omit, true)" in text] == []
