# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of every replica of a host, and the marks of those that are being changed."""

from __future__ import annotations

import os
from datetime import datetime, timezone

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.http_client import Answer
from ansible_collections.ascend.fleet.plugins.module_utils._serving import changes
from ansible_collections.ascend.fleet.plugins.module_utils._serving.change_plan import ChangeError
from ansible_collections.ascend.fleet.plugins.module_utils._serving.changes import Changes, Known
from ansible_collections.ascend.fleet.plugins.module_utils._serving.unit_steps import Present, Steps
from ansible_collections.ascend.fleet.plugins.module_utils._serving.units import Plan, Wanted


def name_of(number):
    return "vllm-m@%d.service" % number


def about(number, first_chip=None):
    return {
        "name": name_of(number),
        "replica": number,
        "indices": [4 * number if first_chip is None else first_chip],
        "port": 8010 + number,
        "container_name": "vllm-m-%d" % number,
        "url": "http://127.0.0.1:%d" % (8010 + number),
    }


def wanted(number, present, action=None, reason=None, **steps):
    return Wanted(about(number), "text", "", present, Steps(action=action, reason=reason, **steps))


RUNNING = Present(content="text", active="active", container="running")
PLAN = Plan(
    wanted=[
        wanted(0, RUNNING, write_unit=True, text_only=True),
        wanted(1, RUNNING, "restart", "its container runs another configuration"),
        wanted(2, Present(), "start", "it was inactive"),
        wanted(3, Present(content="text", active="failed"), "start", "it was failed"),
    ],
    unwanted={name_of(4): "active", name_of(5): "failed"},
)
DEPLOYED = {name_of(n): about(n) for n in (0, 1, 3, 4, 5)}


def told(known=None, serving=bool):
    return Changes(known or Known(), serving)


def test_every_replica_has_one_action_and_a_reason():
    found = told().wanted(PLAN, DEPLOYED)
    assert [(c.replica, c.action, c.reason, c.in_service) for c in found] == [
        (0, "keep", "without a restart: write unit text", True),
        (1, "replace", "its container runs another configuration", True),
        (2, "start", "it is not deployed yet", False),
        (3, "start", "it was failed", False),
        (4, "remove", "not wanted any more", True),
        (5, "remove", "not wanted any more", False),
    ]
    assert found[1].needs == {"chip 4", "port 8011", "the container name vllm-m-1"}
    # A unit that does not run holds nothing, whatever its file says.
    assert [bool(c.holds) for c in found] == [True, True, False, False, True, False]


@pytest.mark.parametrize(
    ("former", "new", "action", "serving", "noticed"),
    [
        ("VLLM_API_KEY=a\n", "VLLM_API_KEY=b\n", "restart", True, True),
        ("VLLM_API_KEY=a\n", "X=1\n", "restart", True, True),
        ("VLLM_API_KEY=a\n", "VLLM_API_KEY=b\n", "restart", False, False),  # nobody asks it
        ("VLLM_API_KEY=a\n", "VLLM_API_KEY=b\n", "start", True, False),  # it did not run
        ("VLLM_API_KEY=a\n", "VLLM_API_KEY=a\nX=1\n", "restart", True, False),
        ("X=1\n", "VLLM_API_KEY=b\n", "restart", True, False),  # the engines of before take any key
        (None, "VLLM_API_KEY=b\n", "restart", True, False),
    ],
)
def test_a_new_key_of_the_engines_is_noticed_by_clients(former, new, action, serving, noticed):
    present = Present(content="text", env=former, active="active" if action == "restart" else "inactive")
    plan = Plan(wanted=[Wanted(about(1), "text", new, present, Steps(action=action, reason="changed"))])
    known = told(serving=lambda url: serving)
    found = changes.key_outages(plan, known.wanted(plan, {name_of(1): about(1)}))
    assert bool(found) is noticed
    assert all("vllm-m@1" in words and "vllm_serve_api_key" in words and "=a" not in words for words in found)


def test_an_engine_that_does_not_answer_is_not_in_service():
    assert [c.in_service for c in told(serving=lambda url: False).wanted(PLAN, DEPLOYED)] == [False] * 6


@pytest.mark.parametrize(
    ("answer", "is_served"),
    [
        (Answer(200), True),
        (Answer(None, error="no answer within 5 s", timed_out=True), True),  # busy, for all that is known
        (Answer(None, error="connection refused", refused=True), False),
        (Answer(503), False),
    ],
)
def test_what_answers_in_time_or_is_busy_may_have_requests(answer, is_served):
    asked = []
    assert changes.serves("http://127.0.0.1:8010", lambda url, timeout: asked.append(url) or answer) is is_served
    assert asked == ["http://127.0.0.1:8010/health"]
    assert changes.serves(None) is False


def test_what_is_out_of_traffic_is_told_by_owner():
    servers = [
        {"replica": 0, "admin_state": "ready", "owner": None},
        {"replica": 1, "admin_state": "drain", "owner": "change"},
        {"replica": 4, "admin_state": "drain", "owner": "operator"},
        {"replica": 5, "admin_state": "maint", "owner": None},
        {"replica": 2, "admin_state": "ready", "owner": "watchdog"},
        {"replica": None, "admin_state": "drain", "owner": None},
    ]
    known = Known.read(servers, [name_of(1)])
    assert (known.held_out, known.drained, known.marked) == ({4, 5}, {1, 2}, {name_of(1)})
    found = {c.replica: c for c in told(known).wanted(PLAN, DEPLOYED)}
    assert not found[1].in_service
    assert not found[1].held_out
    assert found[1].unproven
    assert found[4].held_out


def test_a_kept_replica_that_an_earlier_run_has_left_must_show_that_it_serves():
    known = Known.read([], [name_of(0), name_of(4)])
    found = {c.replica: c for c in told(known).wanted(PLAN, DEPLOYED)}
    assert found[0].touched
    assert "an earlier run" in found[0].reason
    # Without a gateway nothing holds requests off: it is in service all the same.
    assert found[0].in_service
    assert not found[4].unproven


PRESENT = {name_of(0): Present(active="active"), name_of(1): Present(active="failed")}
TWO = [about(0), about(1)]


class TestRestart:
    def test_all_or_some(self):
        found = told().restart(TWO, PRESENT, None, "asked for")
        assert [(c.action, c.reason) for c in found] == [("replace", "asked for"), ("start", "it was failed")]
        found = told().restart(TWO, PRESENT, [0], "asked for")
        assert [c.action for c in found] == ["replace", "keep"]
        assert [c.action for c in told().restart(TWO, PRESENT, [], "")] == ["keep", "keep"]

    def test_a_number_that_is_not_deployed_is_a_mistake(self):
        with pytest.raises(ChangeError, match=r"found no replica 7 on this host, but 0, 1"):
            told().restart(TWO, PRESENT, [7], "")
        with pytest.raises(ChangeError, match="none at all"):
            told().restart([], {}, [0], "")

    def test_wrong_answers_name_their_replicas(self):
        answers = [
            {"unit": name_of(1), "problems": ["found a garbled answer"]},
            {"unit": name_of(1), "problems": ["again"]},
            {"unit": name_of(0), "problems": []},
            {"unit": None, "problems": ["of nobody"]},
        ]
        assert changes.wrong_replicas(answers, TWO) == [1]


class TestMarks:
    def test_what_has_begun_is_remembered_until_it_is_done(self, tmp_path):
        folder = str(tmp_path / "state" / "changing")
        assert changes.marked(folder) == []
        assert changes.mark([name_of(0), name_of(1)], {"reason": "r"}, folder) == [name_of(0), name_of(1)]
        assert changes.mark([name_of(0)], {"reason": "other"}, folder) == []
        assert changes.marked(folder) == [name_of(0), name_of(1)]
        assert changes.unmark([name_of(0), name_of(7)], folder) == [name_of(0)]
        assert changes.marked(folder) == [name_of(1)]

    def test_a_folder_that_cannot_be_read_is_not_an_empty_one(self, tmp_path):
        (tmp_path / "changing").write_text("")
        with pytest.raises(changes.UnitsError, match="unreadable"):
            changes.marked(str(tmp_path / "changing"))
        with pytest.raises(changes.UnitsError, match="needed to note there"):
            changes.mark([name_of(0)], {}, os.path.join(str(tmp_path), "changing", "x"))

    def test_how_long_they_have_been_noted(self, tmp_path):
        folder = str(tmp_path)
        changes.mark([name_of(0)], {"since": "2026-11-30T06:00:00+00:00"}, folder)
        changes.mark([name_of(1)], {"since": "2026-11-30T06:10:00+00:00"}, folder)
        changes.mark([name_of(2)], {"reason": "of a former version"}, folder)
        (tmp_path / name_of(3)).write_text("[]")
        now = datetime(2026, 11, 30, 6, 6, 52, tzinfo=timezone.utc)
        names = [name_of(n) for n in range(5)]
        assert changes.seconds_out(names, now, folder) == {name_of(0): 412.0, name_of(1): 0.0}
