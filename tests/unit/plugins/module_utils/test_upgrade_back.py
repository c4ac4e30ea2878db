# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts go back together: one change, the newest one, and nothing beyond it."""

from __future__ import annotations

import pytest

hypothesis = pytest.importorskip("hypothesis")

from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import back, state
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.state import Target
from hypothesis import assume, given, settings
from hypothesis import strategies as st

A, B, C = (Target("r_%s" % name, name * 64) for name in "abc")
UNITS = ["vllm-m@0.service"]
NOW = 1796019300.0


def good(found, target, at, kind="site", change=""):
    return state.record_good(found, target, UNITS, by="alice@ctl", now=NOW + at, kind=kind, change=change)


def begun(found, target, at, kind="upgrade"):
    return state.begin(found, target, change="c%d" % at, kind=kind, by="alice@ctl", now=NOW + at)


def upgraded(found, target, at, kind="upgrade"):
    return good(begun(found, target, at, kind), target, at + 5, change="c%d" % at)


def host(name, found, runs_last_good=True):
    return back.Host(name, found, runs_last_good)


@pytest.fixture
def on_b():
    """A host that serves B, and served A before."""
    return upgraded(good(state.empty(), A, 0), B, 100)


def test_after_a_whole_upgrade_all_go_back(on_b):
    found = back.plan([host("h1", on_b), host("h2", on_b)])
    assert (found.left, found.targets, found.aside) == ("r_b", {"h1": "r_a", "h2": "r_a"}, {})


def test_a_host_that_the_newest_change_has_not_reached_does_not_go_one_release_too_far(on_b):
    found = back.plan([host("h1", upgraded(on_b, C, 200)), host("h2", on_b), host("h3", begun(on_b, C, 200), False)])
    assert found.left == "r_c"
    assert found.targets == {"h1": "r_b", "h3": "r_b"}
    assert found.aside == {"h2": "it serves r_b, which the change to r_c has not reached"}


def test_a_rollback_that_was_interrupted_goes_on_and_leaves_alone_what_is_back(on_b):
    on_c = upgraded(on_b, C, 200)
    done, half = upgraded(on_c, B, 300, "rollback"), begun(on_c, B, 300, "rollback")
    found = back.plan([host("h1", done), host("h2", half, False), host("h3", on_c)])
    assert (found.left, found.targets) == ("r_c", {"h2": "r_b", "h3": "r_b"})
    assert list(found.aside) == ["h1"]


def test_twice_in_a_row_nobody_goes_back(on_b):
    done = upgraded(on_b, A, 300, "rollback")
    found = back.plan([host("h1", done), host("h2", done)])
    assert (found.left, found.targets) == ("r_b", {})


def test_what_was_never_recorded_as_good_is_the_newest(on_b):
    found = back.plan([host("h1", on_b, runs_last_good=False), host("h2", on_b)])
    assert (found.left, found.targets) == ("", {"h1": "r_b"})
    assert found.aside == {"h2": "it serves r_b, as it is recorded"}


def test_beside_a_change_that_is_open_it_goes_back_too(on_b):
    found = back.plan([host("h1", begun(on_b, C, 200), False), host("h2", on_b, False), host("h3", on_b)])
    assert (found.left, found.targets) == ("r_c", {"h1": "r_b", "h2": "r_b"})


def test_a_host_that_was_added_with_the_release_has_nothing_to_go_back_to(on_b):
    found = back.plan([host("h1", on_b), host("h2", good(state.empty(), B, 150))])
    assert found.targets == {"h1": "r_a"}
    assert "no record of what it served well before" in found.aside["h2"]


def test_a_fleet_of_which_nothing_is_recorded_has_nobody_to_take_back():
    found = back.plan([host("h1", state.empty(), None)])
    assert (found.left, found.targets) == ("", {})
    assert found.aside == {"h1": "nothing is recorded of it"}


def test_the_release_that_is_left_can_be_named(on_b):
    found = back.plan([host("h1", upgraded(on_b, C, 200)), host("h2", on_b)], "r_b")
    assert found.targets == {"h2": "r_a"}


def test_hosts_that_an_earlier_upgrade_has_found_good_are_named(on_b):
    on_c = upgraded(on_b, C, 200)
    hosts = [host("h1", on_c), host("h2", on_b), host("h3", good(on_b, C, 200)), host("h4", begun(on_b, C, 1))]
    assert back.of_earlier_runs(hosts, "r_c", []) == ["h1"]
    assert back.of_earlier_runs(hosts, "r_c", ["h1"]) == []


#: How far the change to C has come on a host.
_REACHED = st.sampled_from(["not", "begun", "deployed", "good"])


@given(st.lists(_REACHED, min_size=1, max_size=6), st.lists(st.integers(0, 5), max_size=8), st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_wherever_an_upgrade_stopped_and_however_often_the_way_back_is_killed_all_end_on_what_served_before(
    reached, kills, data
):
    """The hosts of B, of which a part was reached by C; the way back runs over its hosts in any order."""
    assume(set(reached) != {"not"})  # then the newest change is the one before
    states, runs_last_good = {}, {}
    for number, far in enumerate(reached):
        name = "h%d" % number
        before = upgraded(good(state.empty(), A, 0), B, 100)
        found = before if far == "not" else begun(before, C, 200)
        states[name] = good(found, C, 205, change="c200") if far == "good" else found
        runs_last_good[name] = far != "deployed"
    moment = 300
    for length in [*kills, 9]:
        planned = back.plan([host(name, states[name], runs_last_good[name]) for name in states])
        assert not set(planned.targets) & set(planned.aside)
        assert {*planned.targets, *planned.aside} == set(states)
        assert set(planned.targets.values()) <= {"r_b"}
        moment += 10
        for name in data.draw(st.permutations(sorted(planned.targets)))[:length]:
            states[name] = begun(states[name], B, moment, "rollback")
            if length == 9 or data.draw(st.booleans()):
                states[name] = good(states[name], B, moment + 1, change="c%d" % moment)
            runs_last_good[name] = True
    assert {found["last_good"]["release"] for found in states.values()} == {"r_b"}
    assert not [name for name, found in states.items() if found["change"]]
    # A host that was not reached has not moved: what it served before B is still known.
    assert all(states[n]["previous_good"] for n, far in zip(states, reached) if far == "not")
