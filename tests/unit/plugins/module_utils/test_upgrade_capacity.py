# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the replicas that stay carry the load of those that are out."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import capacity
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.capacity import Limits, Replica


def fleet(count=4, running=10.0, waiting=0.0, usage=0.2, model="m", **changed):
    own = {"running": running, "waiting": waiting, "kv_cache_usage": usage, "in_service": True, **changed}
    return [Replica("h%d" % n, 0, model, **own) for n in range(count)]


def ask(replicas, out, concurrency=50, **limits):
    return capacity.answer(replicas, out, Limits(concurrency, **limits))


def test_those_that_stay_carry_it():
    [found] = ask(fleet(), [("h0", 0)])
    assert found.carries
    assert (found.serving, found.staying, found.needed, found.requests) == (4, 3, 2, 40)
    assert found.caches == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("running", "waiting", "carries"), [(37.5, 0, True), (30, 7.5, True), (37.75, 0, False), (30, 8, False)]
)
def test_requests_that_run_and_wait_against_the_benchmarked_concurrency(running, waiting, carries):
    [found] = ask(fleet(running=running, waiting=waiting), [("h0", None)])
    assert found.carries == carries
    if not carries:
        assert "needed at most 150, as 3 of 4 replicas stay" in found.reasons[0]


@pytest.mark.parametrize(("usage", "carries"), [(0.59, True), (0.6, False), (0.7, False)])
def test_the_caches_of_what_stays(usage, carries):
    [found] = ask(fleet(usage=usage), [("h0", 0)])
    assert found.carries == carries
    assert found.needed == (3 if carries else 4)
    if not carries:
        assert "needed less than 80 %" in found.reasons[0]


def test_the_release_s_limits():
    assert not ask(fleet(running=30), [("h0", 0)], load=0.5)[0].carries
    assert ask(fleet(usage=0.7), [("h0", 0)], kv_cache_usage=0.95)[0].carries


def test_none_that_stays_carries_nothing():
    [found] = ask(fleet(1, running=0.0, usage=0.0), [("h0", 0)])
    assert "none of 1 replicas stays" in found.reasons[0]


def test_models_are_asked_each_for_itself_and_only_those_that_lose():
    replicas = [*fleet(2, running=60), *(Replica("x%d" % n, 0, "other", True, 1, 0, 0) for n in range(2))]
    assert [(a.model, a.carries) for a in ask(replicas, [("h0", 0)])] == [("m", False)]
    assert [(a.model, a.carries) for a in ask(replicas, [("x0", 0)])] == [("other", True)]
    assert ask(replicas, [("h9", 0)]) == []


def test_what_is_out_already_neither_serves_nor_leaves():
    replicas = [*fleet(2), Replica("h2", 0, "m", False)]
    assert ask(replicas, [("h2", 0)]) == []
    [found] = ask(replicas, [("h0", 0), ("h2", 0)])
    assert (found.serving, found.staying) == (2, 1)


@pytest.mark.parametrize("unknown", ["running", "waiting", "kv_cache_usage"])
def test_an_unknown_load_is_an_error_and_never_none(unknown):
    replicas = [
        *fleet(2),
        Replica("h2", 0, "m", True, **{"running": 1, "waiting": 1, "kv_cache_usage": 0, unknown: None}),
    ]
    [found] = ask(replicas, [("h0", 0)])
    assert "found no load of h2:0" in found.reasons[0]
    assert found.needed == 3


@pytest.mark.parametrize(
    ("least", "count", "needed"),
    [("75%", 4, 3), ("70%", 4, 3), ("1%", 4, 1), ("100%", 4, 4), (2, 4, 2), ("0", 4, 0), ("0%", 4, 0), (9, 4, 9)],
)
def test_min_available_is_a_number_or_a_percentage_rounded_up(least, count, needed):
    assert capacity.least_of(least, count) == needed


@pytest.mark.parametrize("least", ["", "x", "101%", -1, 1.5, "50 %"])
def test_a_min_available_that_is_none(least):
    with pytest.raises(capacity.CapacityError, match="fleet_min_available"):
        capacity.least_of(least, 4)


def test_min_available_decides_and_what_was_measured_warns():
    [found] = ask(fleet(running=100), [("h0", 0)], least="75%")
    assert (found.carries, found.needed, len(found.warnings)) == (True, 3, 1)
    [found] = ask(fleet(), [("h0", 0)], least=4)
    assert not found.carries
    assert "found 3 of 4 replicas that stay in service; needed 4" in found.reasons[0]


def test_a_concurrency_that_nobody_benchmarked_is_an_error():
    with pytest.raises(capacity.CapacityError, match="max-concurrency"):
        ask(fleet(), [("h0", 0)], concurrency=0)


@pytest.mark.parametrize("running", [0, 1, 49, 50, 51, 99, 100, 101, 149, 150, 151])
@pytest.mark.parametrize("usage", [0.0, 0.1, 0.39, 0.4, 0.41, 0.79, 0.8, 0.81, 1.0])
def test_the_least_number_is_the_least_that_carries(running, usage):
    replicas = fleet(6, running=running, usage=usage)
    least = capacity.least_staying(replicas, Limits(50))
    for staying in range(1, 6):
        [found] = ask(replicas, [("h%d" % n, 0) for n in range(6 - staying)])
        assert found.carries == (staying >= least), (staying, least)


def test_replicas_of_a_sample():
    told = {"replica": 1, "served_model_name": "m", "active_state": "active", "running": 1, "waiting": 2}
    down = {**told, "replica": 2, "active_state": "failed"}
    found = capacity.replicas_of("h1", {"replicas": [{**r, "kv_cache_usage": 0.1} for r in (told, down)]})
    assert found == [Replica("h1", 1, "m", True, 1, 2, 0.1), Replica("h1", 2, "m", False, 1, 2, 0.1)]
