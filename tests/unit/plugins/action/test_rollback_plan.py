# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: who goes back, over all hosts of the play."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible_collections.ascend.fleet.plugins.action import rollback_plan as plugin
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import state
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.state import Target

OLD, NEW = Target("r_v0", "0" * 64), Target("r_v1", "1" * 64)
NOW = 1796019300.0


def good(found, target, at, **more):
    return state.record_good(found, target, ["vllm-m@0.service"], by="a@b", now=NOW + at, **more)


def begun(found, at):
    return state.begin(found, NEW, change="c%d" % at, kind="upgrade", by="a@b", now=NOW + at)


ON_OLD = good(state.empty(), OLD, 0)
ON_NEW = good(begun(ON_OLD, 10), NEW, 20, change="c10")


def read(found, **more):
    return {"__upgrade_state": {"state": found, "runs_last_good": True}, **more}


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(plugin.display, "display", lines.append)
    monkeypatch.setattr(plugin.display, "warning", lambda words: lines.append("WARNING " + words))
    return lines


def run(hostvars, alive=None, check=False, **args):
    task = MagicMock(async_val=0, args=args, check_mode=check, diff=False)
    task.action = "ascend.fleet.rollback_plan"
    task.get_play.return_value.strategy = "linear"
    action = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._connection._shell.tmpdir = None
    names = list(hostvars)
    play = {"ansible_play_hosts_all": names, "ansible_play_hosts": names if alive is None else alive}
    return action.run(task_vars={"hostvars": hostvars, **play})


def test_hosts_that_were_not_read_or_are_under_maintenance_do_not_keep_the_others(said):
    dead = {"__upgrade_state": {"unreachable": True, "msg": "no route to host"}}
    fan = {"fleet_maintenance": {"reason": "a fan"}, "__upgrade_state": {"skipped": True}}
    found = run({"h1": read(ON_NEW), "h2": dead, "h3": fan, "h4": read(ON_OLD), "h5": {}}, alive=["h1", "h2", "h4"])
    assert not found.get("failed"), found
    assert (found["hosts"], found["fleet"], found["release"]) == (["h1"], ["h1", "h4"], "r_v0")
    assert found["aside"]["h2"] == "what it serves could not be read (unreachable: no route to host)"
    assert found["aside"]["h3"] == "it is under maintenance: a fan"
    assert found["aside"]["h4"] == "it serves r_v0, which the change to r_v1 has not reached"
    assert "h5" in found["aside"]
    assert [line for line in said if line.startswith("h2 is left alone")]


def test_nobody_to_take_back_is_an_error_that_names_every_host(said):
    found = run({"h1": read(ON_OLD), "h2": read(state.empty())})
    assert found["failed"]
    assert "found no host to take back" in found["msg"]
    assert "h1: it serves r_v0, and has no record" in found["msg"]
    assert "h2: nothing is recorded of it" in found["msg"]


def test_a_fleet_that_somebody_else_holds_is_refused(said):
    held = {"__upgrade_lease": {"failed": True, "msg": "found that bob@pc holds the fleet"}}
    found = run({"h1": read(ON_NEW, **held), "h2": read(ON_NEW)})
    assert (found["failed"], found["msg"]) == (True, "h1: found that bob@pc holds the fleet")
    assert not run({"h1": read(ON_NEW, **held)}, check=True).get("failed")
    assert said[0].startswith("WARNING h1: found that bob@pc")


def test_a_run_takes_back_what_it_has_changed_and_what_an_earlier_one_has_left_open(said):
    hosts = {
        "h1": read(ON_OLD),
        "h2": read(begun(ON_OLD, 5)),
        "h3": read(ON_NEW),
        "h4": read(ON_OLD),
        "h5": read(ON_OLD),
    }
    found = run(hosts, alive=["h1", "h2", "h3", "h4"], release="r_v1", changed=["h1", "h5"])
    assert found["hosts"] == ["h1", "h2"]
    [note] = found["notes"]
    assert "h3" in note
    assert "rollback.yml --limit h3" in note
    assert run(hosts, release="r_v1", changed=["h1", "h3"])["notes"] == []
