# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a host: what each transition makes of it, and that no file is ever taken for an empty state."""

from __future__ import annotations

import json
import os
import random
import stat

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import state
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.state import StateError, Target

OLD, NEW, THIRD = (Target("r_v%d" % n, str(n) * 64) for n in range(3))
UNITS = ["vllm-m@0.service", "vllm-m@1.service"]
NOW = 1796019300.0  # 2026-11-30T06:15:00Z


def good(found, target, now=NOW, **more):
    return state.record_good(found, target, UNITS, by="alice@ctl", now=now, **more)


def begin(found, target, change="c1", kind="upgrade", now=NOW, **more):
    return state.begin(found, target, change=change, kind=kind, by="alice@ctl", now=now, **more)


@pytest.fixture
def served():
    """A host on which OLD was recorded by site.yml."""
    return good(state.empty(), OLD, now=NOW - 1000)


def test_times_and_names_of_changes():
    assert state.timestamp(NOW) == "2026-11-30T06:15:00Z"
    assert state.change_id("upgrade", NOW) == "20261130T061500Z-upgrade"
    assert state.CHANGE_ID.match(state.change_id("site", NOW))


def test_what_serves_is_recorded_without_a_change_that_began(served):
    assert state.check(served) is None
    assert served["last_good"] == {"release": "r_v0", "digest": OLD.digest, "since": "2026-11-30T05:58:20Z"}
    assert (served["change"], served["previous_good"]) == (None, None)
    assert set(served["replicas"]) == set(UNITS)
    assert served["replicas"][UNITS[0]]["start_seconds"] is None
    [entry] = served["history"]
    assert (entry["kind"], entry["outcome"], entry["from_release"]) == ("site", "good", None)
    assert state.is_recorded(served, OLD.digest)
    assert not state.is_recorded(served, NEW.digest)
    assert not state.is_recorded(state.empty(), OLD.digest)


def test_recording_the_same_again_changes_nothing(served):
    assert good(served, OLD, now=NOW + 1) == served


def test_an_upgrade_from_begin_to_good(served):
    found = begin(served, NEW)
    assert found["change"] == {
        "id": "c1", "kind": "upgrade", "release": "r_v1", "digest": NEW.digest, "from_release": "r_v0",
        "from_digest": OLD.digest, "began": "2026-11-30T06:15:00Z", "by": "alice@ctl", "step": "staged",
        "since": "2026-11-30T06:15:00Z",
    }  # fmt: skip
    assert not state.is_recorded(found, OLD.digest)
    found = state.take_step(found, change="c1", step="switching", now=NOW + 10)
    assert (found["change"]["step"], found["change"]["since"]) == ("switching", "2026-11-30T06:15:10Z")
    assert state.take_step(found, change="c1", step="switching", now=NOW + 20) == found
    proven = {UNITS[0]: {"out_seconds": 412.0, "start_seconds": 371.5, "tokens_per_second": 800}}
    found = state.take_step(found, change="c1", step="baking", now=NOW + 30, proven=proven)
    assert found["replicas"][UNITS[0]] == {
        "release": "r_v1", "digest": NEW.digest, "since": "2026-11-30T06:15:30Z", "out_seconds": 412.0,
        "start_seconds": 371.5,
    }  # fmt: skip
    assert found["replicas"][UNITS[1]]["digest"] == OLD.digest
    assert state.needed(found) == {OLD.digest, NEW.digest}
    ended = good(found, NEW, now=NOW + 60, change="c1", measured=proven)
    assert state.check(ended) is None
    assert ended["change"] is None
    assert ended["last_good"]["digest"] == NEW.digest
    assert ended["previous_good"] == served["last_good"]
    assert ended["replicas"][UNITS[0]]["since"] == "2026-11-30T06:15:30Z"
    assert ended["replicas"][UNITS[0]]["out_seconds"] == 412.0
    entry = ended["history"][-1]
    assert (entry["id"], entry["outcome"], entry["began"], entry["ended"]) == (
        "c1", "good", "2026-11-30T06:15:00Z", "2026-11-30T06:16:00Z",
    )  # fmt: skip
    assert entry["replicas"] == proven
    assert "step" not in entry
    # The old deployment stays ready for a rollback.
    assert state.needed(ended) == {OLD.digest, NEW.digest}
    assert good(ended, NEW, now=NOW + 90, change="c1") == ended


def test_an_interrupted_upgrade_goes_on_under_the_next_run(served):
    found = state.take_step(begin(served, NEW), change="c1", step="baking", now=NOW + 5)
    again = begin(found, NEW, change="c2", now=NOW + 100)
    assert (again["change"]["id"], again["change"]["step"]) == ("c2", "baking")
    assert (again["change"]["began"], again["change"]["since"]) == ("2026-11-30T06:15:00Z", "2026-11-30T06:15:05Z")
    assert again["history"] == served["history"]
    assert begin(again, NEW, change="c2", now=NOW + 200) == again
    back = begin(again, NEW, change="c2", now=NOW + 200, step="switching")
    assert (back["change"]["step"], back["change"]["since"]) == ("switching", "2026-11-30T06:18:20Z")


def test_another_upgrade_ends_the_one_that_is_open_as_stopped(served):
    found = begin(begin(served, NEW), THIRD, change="c2", now=NOW + 9)
    assert (found["change"]["from_digest"], found["change"]["digest"]) == (OLD.digest, THIRD.digest)
    entry = found["history"][-1]
    assert (entry["id"], entry["outcome"], entry["why"]) == ("c1", "stopped", "c2 began")


def test_a_rollback_leaves_what_the_open_change_was_bringing(served):
    found = begin(begin(served, NEW), OLD, change="c2", kind="rollback")
    assert (found["change"]["from_digest"], found["change"]["digest"]) == (NEW.digest, OLD.digest)
    done = good(found, OLD, change="c2")
    assert (done["change"], done["last_good"], done["previous_good"]) == (None, served["last_good"], None)
    assert [e["outcome"] for e in done["history"]] == ["good", "rolled_back", "good"]


def test_after_a_rollback_of_a_good_upgrade_there_is_nothing_before_last_good(served):
    upgraded = good(begin(served, NEW), NEW, change="c1")
    target = state.rollback_target(upgraded, runs_last_good=True)
    assert target["digest"] == OLD.digest
    found = good(begin(upgraded, OLD, change="c2", kind="rollback"), OLD, change="c2")
    assert (found["last_good"]["digest"], found["previous_good"]) == (OLD.digest, None)
    assert state.rollback_target(found, runs_last_good=True) is None


def test_what_a_rollback_goes_back_to(served):
    target = state.rollback_target
    assert target(state.empty(), runs_last_good=False) is None
    assert target(served, runs_last_good=True) is None
    # Something else is deployed, or a change is open: back to last good.
    assert target(served, runs_last_good=False)["digest"] == OLD.digest
    assert target(begin(served, NEW), runs_last_good=True)["digest"] == OLD.digest
    assert target(begin(state.empty(), NEW), runs_last_good=False) is None
    # A rollback that was interrupted goes on.
    upgraded = good(begin(served, NEW), NEW, change="c1")
    going = begin(upgraded, OLD, change="c2", kind="rollback")
    for runs in (True, False):
        assert target(going, runs_last_good=runs)["digest"] == OLD.digest


def test_a_change_that_was_taken_back_leaves_last_good_and_tells_why(served):
    found = state.take_step(begin(served, NEW), change="c1", step="rolling_back", now=NOW)
    found = state.end(found, change="c1", outcome="rolled_back", why="3 % of its answers failed", now=NOW + 1)
    assert (found["change"], found["last_good"]) == (None, served["last_good"])
    assert found["history"][-1]["why"] == "3 % of its answers failed"
    assert state.end(found, change="c1", outcome="rolled_back", why="again", now=NOW + 2) == found


@pytest.mark.parametrize("outcome", ["rolled_back", "failed"])
def test_replicas_that_were_taken_back_serve_what_was_last_good(served, outcome):
    found = state.take_step(begin(served, NEW), change="c1", step="baking", now=NOW, proven={UNITS[0]: {}})
    figures = {UNITS[0]: {"out_seconds": 600.0}}
    found = state.end(found, change="c1", outcome=outcome, why="", now=NOW + 60, measured=figures)
    first, second = (found["replicas"][unit] for unit in UNITS)
    assert second == served["replicas"][UNITS[1]]
    if outcome == "rolled_back":
        assert (first["release"], first["digest"], first["out_seconds"]) == ("r_v0", OLD.digest, 600.0)
        assert first["since"] == "2026-11-30T06:16:00Z"
    else:
        assert first["digest"] == NEW.digest
    assert found["history"][-1]["replicas"] == figures


def test_a_rollback_to_nothing_leaves_nothing_proven():
    found = state.take_step(begin(state.empty(), NEW), change="c1", step="baking", now=NOW, proven={UNITS[0]: {}})
    assert state.end(found, change="c1", outcome="rolled_back", why="", now=NOW)["replicas"] == {}


def test_site_yml_ends_a_change_that_was_left_open(served):
    found = good(begin(served, NEW), NEW)
    assert (found["change"], found["history"][-1]["outcome"]) == (None, "good")
    found = good(begin(served, NEW), OLD)
    assert (found["change"], found["last_good"]) == (None, served["last_good"])
    assert found["history"][-1]["why"] == "r_v0 was recorded as last good meanwhile"
    found = good(begin(served, NEW), THIRD)
    assert [(e["outcome"], e["release"]) for e in found["history"][-2:]] == [("stopped", "r_v1"), ("good", "r_v2")]
    assert found["last_good"]["digest"] == THIRD.digest


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: state.take_step(s, change="c1", step="baking", now=NOW), "found no change under way"),
        (lambda s: good(s, NEW, change="c1"), "found no change under way"),
        (lambda s: state.take_step(begin(s, NEW), change="c2", step="baking", now=NOW), "found c1 under way"),
        (
            lambda s: state.end(begin(s, NEW), change="c2", outcome="failed", why="", now=NOW),
            "upgrade to r_v1, by alice",
        ),
        (lambda s: good(begin(s, NEW), NEW, change="c2"), "needed c2"),
        (lambda s: good(begin(s, NEW), THIRD, change="c1"), "c1 brings r_v1 (1111111111111111), and r_v2"),
    ],
)
def test_what_another_change_owns_is_not_touched(served, call, words):
    with pytest.raises(StateError) as caught:
        call(served)
    assert words in str(caught.value)
    assert "Fix: " in str(caught.value)


def test_a_replica_keeps_its_figures_while_it_serves_the_same(served):
    known = good(served, OLD, measured={UNITS[0]: {"start_seconds": 300.0}})
    again = good(known, OLD, now=NOW + 99)
    assert again["replicas"] == known["replicas"]
    assert good(known, NEW)["replicas"][UNITS[0]]["start_seconds"] is None
    # A replica that is not deployed any more is forgotten.
    assert set(state.record_good(known, NEW, UNITS[:1], by="a@b", now=NOW)["replicas"]) == {UNITS[0]}


def test_the_history_tells_of_the_last_changes():
    found = state.empty()
    for number in range(30):
        found = good(found, Target("r_%d" % number, "%064d" % number), now=NOW + number)
    assert len(found["history"]) == state.HISTORY
    assert found["history"][-1]["release"] == "r_29"
    assert found["history"][0]["release"] == "r_10"


def anything(found, dice, now):
    """One transition, by the dice."""
    target, change = dice.choice((OLD, NEW, THIRD)), "c%d" % dice.randrange(3)
    word = dice.choice(("begin", "step", "good", "end"))
    if word == "begin":
        return begin(found, target, change=change, kind=dice.choice(state.KINDS), now=now)
    if word == "step":
        return state.take_step(found, change=change, step=dice.choice(state.STEPS), now=now, proven={UNITS[0]: {}})
    if word == "good":
        return good(found, target, now=now, change=dice.choice(("", change)))
    return state.end(found, change=change, outcome=dice.choice(state.OUTCOMES[1:]), why="", now=now)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_in_whatever_order_it_stays_a_state_that_can_be_gone_on_from(seed):
    dice = random.Random(seed)
    found = state.empty()
    for number in range(60):
        before = json.dumps(found)
        try:
            after = anything(found, dice, NOW + number)
        except StateError:
            after = found
        assert json.dumps(found) == before  # transitions are pure
        assert state.check(after) is None
        assert state.parse(state.dump(after), "p") == after
        for name in ("last_good", "previous_good", "change"):
            assert not after[name] or after[name]["digest"] in state.needed(after)
        if found["change"] and after["change"] is None:
            assert after["history"][-1]["ended"] == state.timestamp(NOW + number)
        found = after


# - the file -


def test_no_file_is_an_empty_state_and_what_is_written_comes_back(tmp_path, served):
    assert state.read(str(tmp_path)) == state.empty()
    state.write(served, str(tmp_path))
    assert state.read(str(tmp_path)) == served
    assert stat.S_IMODE(os.stat(tmp_path / "state.json").st_mode) == 0o644


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is not JSON"),
        ('{"schema": 1', "it is not JSON"),
        ("[]", "it is not an object"),
        ("{}", "its schema is None"),
        ('{"schema": true}', "its schema is True"),
        ('{"schema": 0}', "schema 0 was never written"),
        ('{"schema": 1}', "it has no change"),
        (json.dumps({**state.empty(), "last_good": {"release": "r"}}), "last_good has no digest"),
        (json.dumps({**state.empty(), "replicas": []}), "replicas is []"),
        (json.dumps({**state.empty(), "history": [{}]}), "history[0] has no id"),
        (json.dumps({**state.empty(), "replicas": {"u": {"release": 1}}}), "replicas.u.release is 1"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, text, words):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(StateError) as caught:
        state.read(str(tmp_path))
    assert words in str(caught.value)
    assert str(tmp_path / "state.json") in str(caught.value)
    assert "Fix: " in str(caught.value)


@pytest.mark.parametrize("field", ["kind", "step"])
def test_a_change_of_an_unknown_kind_or_step_is_damage(served, field):
    found = begin(served, NEW)
    found["change"][field] = "other"
    assert "'other'" in state.check(found)


def test_bytes_that_are_no_text_and_a_folder_in_its_place_are_errors(tmp_path):
    (tmp_path / "state.json").write_bytes(b"\xff\xfe")
    with pytest.raises(StateError, match="it is not text"):
        state.read(str(tmp_path))
    (tmp_path / "state.json").unlink()
    (tmp_path / "state.json").mkdir()
    with pytest.raises(StateError, match="unreadable"):
        state.read(str(tmp_path))


def test_a_newer_schema_is_an_error_that_says_so(tmp_path):
    (tmp_path / "state.json").write_text('{"schema": 2}')
    with pytest.raises(StateError, match="schema 2; needed at most schema 1"):
        state.read(str(tmp_path))


def test_older_schemas_are_brought_forward_one_after_the_other():
    def zero_to_one(data):
        return {**state.empty(), "last_good": data["good"]}

    def one_to_two(data):
        return {**data, "two": True}

    text = json.dumps({"schema": 0, "good": {"release": "r", "digest": "d", "since": "s"}})
    found = state.parse(text, "p", {0: zero_to_one})
    assert (found["schema"], found["last_good"]["release"]) == (1, "r")
    found = state.parse(text, "p", {0: zero_to_one, 1: one_to_two}, schema=2)
    assert (found["schema"], found["two"]) == (2, True)
    with pytest.raises(StateError, match="schema 1 was never written"):
        state.parse(text, "p", {0: zero_to_one}, schema=2)


def test_what_is_no_state_is_not_written(tmp_path):
    with pytest.raises(StateError, match="it has no change"):
        state.write({"schema": 1}, str(tmp_path))
    assert not os.listdir(tmp_path)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(StateError, match="needed to write the state"):
        state.write(state.empty(), str(tmp_path / "missing"))


def test_two_runs_do_not_write_at_once(tmp_path):
    folder = str(tmp_path / "new")
    with (
        state.folder_lock(folder),
        pytest.raises(StateError, match="held by another process"),
        state.folder_lock(folder, 0.2),
    ):
        pass
    with state.folder_lock(folder, 0.2):
        pass
