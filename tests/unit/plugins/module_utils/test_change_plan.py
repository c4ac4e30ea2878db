# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Never more replicas are out than allowed, and nothing starts where another engine still holds what it needs."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._serving import change_plan
from ansible_collections.ascend.fleet.plugins.module_utils._serving.change_plan import (
    KEEP,
    REMOVE,
    REPLACE,
    START,
    Change,
    ChangeError,
    limit_of,
    resources,
    steps_of,
)


def change(number, action, *, chips=None, had=None, in_service=None, **more):
    """Replica ``number``; its engine, where it has one, has the same chips unless ``had`` says otherwise."""
    chips = [number] if chips is None else chips
    had = chips if had is None else had
    running = action in (KEEP, REPLACE, REMOVE)
    return Change(
        unit="vllm-m@%d.service" % number,
        replica=number,
        action=action,
        in_service=running if in_service is None else in_service,
        needs=resources(chips, None, None) if action in (START, REPLACE, KEEP) else frozenset(),
        holds=resources(had, None, None) if running else frozenset(),
        **more,
    )


def numbers(steps):
    return [sorted(c.replica for c in s.changes) for s in steps]


def test_replicas_are_replaced_one_at_a_time():
    changes = [change(n, REPLACE) for n in range(4)]
    assert numbers(steps_of(changes, 1)) == [[0], [1], [2], [3]]
    assert numbers(steps_of(changes, 2)) == [[0, 1], [2, 3]]
    assert numbers(steps_of(changes, 9)) == [[0, 1, 2, 3]]


def test_nothing_to_do_needs_no_step():
    assert steps_of([change(0, KEEP), change(1, KEEP)], 1) == []


def test_what_adds_capacity_comes_first_and_alone():
    changes = [change(0, REPLACE), change(1, START), change(2, REPLACE, in_service=False), change(3, REMOVE)]
    assert numbers(steps_of(changes, 1)) == [[1, 2], [0], [3]]


def test_an_interrupted_replica_is_proven_before_the_next_is_taken_out():
    changes = [change(0, REPLACE), change(1, KEEP, in_service=False, unproven=True)]
    steps = steps_of(changes, 1)
    assert numbers(steps) == [[1], [0]]
    plan = change_plan.describe(changes, steps, 1)
    first = plan["steps"][0]
    assert (first["stop"], first["start"], first["prove"], first["back"]) == ([], [], ["vllm-m@1.service"], [1])
    assert first["text"] == "check vllm-m@1"


def test_a_replica_that_gets_the_chips_of_another_waits_for_it():
    # 1 moves to free chips; then 0 can have what 1 had.
    changes = [change(0, REPLACE, chips=[4], had=[0]), change(1, REPLACE, chips=[8], had=[4])]
    assert numbers(steps_of(changes, 1)) == [[1], [0]]


def test_replicas_that_swap_chips_are_taken_together_and_the_plan_says_so():
    changes = [change(0, REPLACE, chips=[4], had=[0]), change(1, REPLACE, chips=[0], had=[4]), change(2, REPLACE)]
    steps = steps_of(changes, 1)
    assert numbers(steps) == [[2], [0, 1]]
    assert "taken together: vllm-m@0.service needs chip 4 of vllm-m@1.service" in steps[1].note
    assert "2 out at once, more than the allowed 1" in steps[1].note


def test_one_large_replica_in_place_of_two_small_ones_takes_both_out():
    changes = [change(0, REPLACE, chips=[0, 1], had=[0]), change(1, REMOVE, had=[1])]
    assert numbers(steps_of(changes, 1)) == [[1], [0]]
    two = [change(0, REPLACE, chips=[0, 1], had=[0]), change(1, REPLACE, chips=[0, 2], had=[1])]
    [step] = steps_of(two, 1)
    assert step.cost == 2
    assert "more than the allowed 1" in step.note


def test_another_model_takes_over_replica_by_replica():
    old = [change(n, REMOVE, had=[n]) for n in (0, 1)]
    new = [
        Change("vllm-new@%d.service" % n, n, START, needs=resources([n], None, None)) for n in (0, 1)
    ]  # other names, the same chips
    steps = steps_of([*old, *new], 1)
    assert [[c.unit for c in s.changes] for s in steps] == [
        ["vllm-m@0.service", "vllm-new@0.service"],
        ["vllm-m@1.service", "vllm-new@1.service"],
    ]


def test_what_an_operator_has_taken_out_counts():
    held = change(1, KEEP, in_service=False, held_out=True)
    with pytest.raises(ChangeError, match=r"vllm-m@1 out of traffic by an operator.*undrain"):
        steps_of([change(0, REPLACE), held], 1)
    assert numbers(steps_of([change(0, REPLACE), held], 2)) == [[0]]
    # A host that is wholly out has nothing to lose.
    out = [change(n, REPLACE, in_service=False, held_out=True) for n in (0, 1)]
    assert numbers(steps_of(out, 1)) == [[0, 1]]


def test_a_kept_replica_holds_what_it_has():
    with pytest.raises(ChangeError, match="chip 0 in use by"):
        steps_of([change(0, KEEP), change(1, START, chips=[0])], 1)


@pytest.mark.parametrize(
    ("value", "count", "limit"), [(1, 4, 1), ("2", 4, 2), ("50%", 4, 2), ("50%", 3, 1), ("10%", 4, 1), ("100%", 4, 4)]
)
def test_how_many_may_be_out(value, count, limit):
    assert limit_of(value, count) == limit


@pytest.mark.parametrize("value", [0, "0", "0%", "101%", "-1", "a", "", "1.5", None])
def test_zero_is_no_limit(value):
    with pytest.raises(ChangeError, match="vllm_serve_max_unavailable"):
        limit_of(value, 4)


def simulate(changes, steps, limit):
    """Run the steps: what is out never exceeds the limit but where a step says so, and no resource is had twice."""
    held = {c.unit: c.holds for c in changes if c.holds}
    for step in steps:
        out = step.cost
        assert out <= limit or "taken together" in step.note
        for c in step.changes:
            if c.action in (REPLACE, REMOVE):
                held.pop(c.unit, None)
        for c in step.changes:
            if c.action in (START, REPLACE):
                for other, has in held.items():
                    assert not has & c.needs, "%s needs what %s holds" % (c.unit, other)
                held[c.unit] = c.needs
    assert held == {c.unit: c.needs for c in changes if c.action in (START, REPLACE, KEEP)}


def test_every_small_host_is_changed_within_the_rules():
    """All permutations of chips among four replicas, each with every set of actions that fits."""
    count = 0
    for permutation in itertools.permutations(range(4)):
        for limit in (1, 2, 3):
            changes = [change(n, REPLACE, chips=[to], had=[n]) for n, to in enumerate(permutation)]
            steps = steps_of(changes, limit)
            assert sorted(c.unit for s in steps for c in s.changes) == [c.unit for c in changes]
            simulate(changes, steps, limit)
            count += 1
    for actions in itertools.product((KEEP, START, REPLACE, REMOVE), repeat=4):
        for serving in itertools.product((True, False), repeat=4):
            changes = [change(n, a, in_service=s and a != START) for n, (a, s) in enumerate(zip(actions, serving))]
            steps = steps_of(changes, 1)
            simulate(changes, steps, 1)
            costly = [bool(s.cost) for s in steps]
            assert costly == sorted(costly), "capacity is added before any is taken"
            count += 1
    assert count > 4000


def test_the_plan_is_told_line_by_line():
    changes = [change(0, REPLACE, reason="its container runs another configuration"), change(1, KEEP)]
    plan = change_plan.describe(changes, steps_of(changes, 1), 1)
    assert [plan[key] for key in ("rolling", "in_service", "out_at_once")] == [True, 2, 1]
    assert change_plan.lines(plan) == [
        "replace  vllm-m@0 (its container runs another configuration)",
        "keep     vllm-m@1",
        "step 1 of 1: replace vllm-m@0",
    ]


def test_a_host_without_service_starts_all_at_once():
    changes = [change(n, START) for n in range(3)]
    plan = change_plan.describe(changes, steps_of(changes, 1), 1)
    assert not plan["rolling"]
    assert len(plan["steps"]) == 1
