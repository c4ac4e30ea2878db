# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may hold the fleet: nobody beside another change that lives, and a stale one only by its name."""

from __future__ import annotations

import json

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import lease
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.lease import Claim, LeaseError

NOW = 1796019300.0  # 2026-11-30T06:15:00Z
PROCESS = {"pid": 42, "started": "100", "boot_id": "b"}
ALICE = Claim("alice", "ctl", "c1", "upgrade to r_v1", PROCESS)
BOB = Claim("bob", "ctl", "c2", "upgrade to r_v2", {**PROCESS, "pid": 43})
LIFE = float(lease.ALIVE_SECONDS)


def held(now=NOW, claim=ALICE):
    return lease.take(None, claim, now)


def refusal(*arguments, **more):
    with pytest.raises(LeaseError) as caught:
        lease.take(*arguments, **more)
    return caught.value


def test_a_free_fleet_is_taken():
    found = held()
    assert lease.check(found) is None
    assert (found["holder"], found["controller"], found["change"]) == ("alice", "ctl", "c1")
    assert found["since"] == found["renewed"] == "2026-11-30T06:15:00Z"
    assert lease.owner_of(found) == ALICE.owner == "alice@ctl"


def test_the_same_change_takes_it_again():
    found = lease.take(held(), ALICE, NOW + 60)
    assert (found["since"], found["renewed"]) == ("2026-11-30T06:15:00Z", "2026-11-30T06:16:00Z")


@pytest.mark.parametrize("other", [{"pid": 43}, {"started": "101"}, {"boot_id": "c"}])
def test_two_runs_of_one_second_are_two(other):
    twin = Claim("alice", "ctl", "c1", "", {**PROCESS, **other})
    assert refusal(held(), twin, NOW + 1).asked["process"] == PROCESS
    assert lease.take(held(), twin, NOW + 1, gone=PROCESS)["process"] == twin.process


def test_where_processes_are_not_known_the_change_is_enough():
    nothing = {"pid": 42, "started": "", "boot_id": ""}
    for process in (None, nothing):
        claim = Claim("alice", "ctl", "c1", "", process)
        assert lease.take(held(claim=claim), claim, NOW + 1)["change"] == "c1"


@pytest.mark.parametrize("take_over", ["", "alice@ctl"])
def test_a_lease_that_lives_is_refused_with_who_since_when_what_and_what_to_do(take_over):
    error = refusal(held(), BOB, NOW + LIFE - 1, take_over=take_over)
    for words in (
        "alice@ctl holds the fleet for c1 (upgrade to r_v1), since 2026-11-30T06:15:00Z",
        "Fix: wait until it has ended",
        "after 2026-11-30T08:15:00Z with -e fleet_lease_take_over=alice@ctl",
    ):
        assert words in str(error)
    assert error.asked is None


def test_a_stale_one_is_taken_over_by_name_alone():
    late = NOW + LIFE
    assert "take it over by name with -e fleet_lease_take_over=alice@ctl" in str(refusal(held(), BOB, late))
    assert "not carol@ctl" in str(refusal(held(), BOB, late, take_over="carol@ctl"))
    found = lease.take(held(), BOB, late, take_over="alice@ctl")
    assert (found["holder"], found["change"], found["since"]) == ("bob", "c2", "2026-11-30T08:15:00Z")


def test_a_sign_of_life_keeps_it_alive():
    found = lease.renew(held(), ALICE, NOW + LIFE - 1)
    assert found["since"] == "2026-11-30T06:15:00Z"
    assert lease.is_alive(found, NOW + 2 * LIFE - 2)
    assert not lease.is_alive(found, NOW + 2 * LIFE)
    assert lease.is_alive(found, NOW - 5 * LIFE)  # a clock that was set back


@pytest.mark.parametrize(
    "found", [None, held(claim=BOB), {**held(), "change": "c9"}, {**held(), "controller": "other"}]
)
def test_a_run_that_has_lost_its_lease_stops(found):
    with pytest.raises(LeaseError, match="needed the lease of c1 by alice@ctl"):
        lease.renew(found, ALICE, NOW)
    assert lease.is_released(found, ALICE)


def test_ones_own_is_released():
    assert not lease.is_released(held(), ALICE)


def test_a_later_change_of_the_same_run_takes_it():
    later = Claim("alice", "ctl", "c5", "rollback", PROCESS)
    assert lease.take(held(), later, NOW + 1)["change"] == "c5"


def test_a_run_of_ones_own_that_was_killed_is_taken_over_when_the_controller_says_that_it_is_gone():
    again = Claim("alice", "ctl", "c3", "upgrade to r_v1", {**PROCESS, "pid": 99})
    error = refusal(held(), again, NOW + 60)
    assert error.asked["process"] == PROCESS
    assert lease.take(held(), again, NOW + 60, gone=PROCESS)["change"] == "c3"
    # Meanwhile another run has taken it: what is gone is not what holds it.
    other = lease.take(None, Claim("alice", "ctl", "c4", "", {**PROCESS, "pid": 77}), NOW)
    assert refusal(other, again, NOW + 60, gone=PROCESS).asked["process"]["pid"] == 77


@pytest.mark.parametrize("claim", [BOB, Claim("alice", "laptop", "c3", "", PROCESS)])
def test_what_is_gone_at_one_controller_says_nothing_of_anothers(claim):
    assert refusal(held(), claim, NOW + 60, gone=PROCESS).asked is None


@pytest.mark.parametrize("process", [None, {}, {"pid": 0, "started": "", "boot_id": ""}])
def test_a_process_of_which_nothing_is_known_is_no_other_ones_equal(process):
    unknown = Claim("alice", "ctl", "c3", "", process)
    found = lease.take(None, Claim("alice", "ctl", "c1", "", process), NOW)
    refusal(found, unknown, NOW + 60, gone=process)


def test_the_file(tmp_path):
    folder = str(tmp_path)
    assert lease.read(folder) is None
    lease.write(held(), folder)
    assert lease.read(folder) == held()
    assert lease.described(lease.read(folder), NOW) == {**held(), "owner": "alice@ctl", "alive": True}
    assert lease.described(None, NOW) is None
    lease.drop(folder)
    lease.drop(folder)
    assert lease.read(folder) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not an object"),
        (json.dumps({**held(), "schema": 2}), "its schema is 2"),
        (json.dumps({**held(), "holder": None}), "holder is None"),
        (json.dumps({**held(), "renewed": "yesterday"}), "renewed is 'yesterday'"),
        (json.dumps({**held(), "process": 7}), "process is 7"),
    ],
)
def test_a_damaged_file_is_an_error_and_no_free_fleet(tmp_path, text, words):
    (tmp_path / "lease.json").write_text(text)
    with pytest.raises(LeaseError) as caught:
        lease.read(str(tmp_path))
    assert words in str(caught.value)
    assert str(tmp_path / "lease.json") in str(caught.value)


def test_a_request_to_stop_stays_with_the_lease_and_ends_with_it():
    asked = lease.ask_to_stop(held(), "bob@laptop", NOW + 5)
    assert lease.check(asked) is None
    assert asked["stop"] == {"by": "bob@laptop", "at": "2026-11-30T06:15:05Z"}
    assert lease.ask_to_stop(asked, "carol@pc", NOW + 9) == asked
    assert lease.renew(asked, ALICE, NOW + 60)["stop"] == asked["stop"]
    again = Claim("alice", "ctl", "c3", "upgrade to r_v1", PROCESS)
    assert "stop" not in lease.take(asked, again, NOW + 60)
    assert "stop is 'now'" in lease.check({**asked, "stop": "now"})
