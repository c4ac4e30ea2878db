# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long hosts take, what fits before an end, and who is left alone."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import window

NOW = datetime(2026, 11, 30, 22, 0).astimezone()
U0, U1 = "vllm-m@0.service", "vllm-m@1.service"


def change(outcome="good", **seconds):
    units = {"u0": U0, "u1": U1}
    return {"outcome": outcome, "replicas": {units[k]: {"out_seconds": s} for k, s in seconds.items()}}


def plan(*steps, rolling=True):
    return {"rolling": rolling, "steps": [{"stop": list(units), "start": list(units)} for units in steps]}


def test_the_last_good_change_tells():
    history = [change(u0=100.0, u1=90.0), change(u0=200), change("failed", u0=999.0)]
    assert window.out_seconds(history) == {U0: 200.0, U1: 90.0}
    assert window.out_seconds([change(u0=None), change(u1=True), change(u0=0)]) == {}


def test_steps_come_one_after_the_other_and_replicas_of_a_step_together():
    expected = window.Expected({"h": [change(u0=100.0, u1=300.0)]}, {"h": "a2"})
    assert expected.seconds("h", plan([U0], [U1])) == 400.0
    assert expected.seconds("h", plan([U0, U1])) == 300.0
    assert expected.seconds("h", plan([U0], [U1], rolling=False)) == 300.0
    assert expected.seconds("h", plan()) == 0.0
    assert expected.seconds("h", None) is None


def test_without_a_history_of_its_own_the_generation_tells_and_nobody_else():
    histories = {"h1": [change(u0=100.0, u1=200.0)], "h2": [], "h3": []}
    expected = window.Expected(histories, {"h1": "a2", "h2": "a2", "h3": "a3"})
    assert expected.seconds("h1", plan(["vllm-m@7.service"])) == 150.0
    assert expected.seconds("h2", plan([U0])) == 150.0
    assert expected.seconds("h3", plan([U0])) is None


@pytest.mark.parametrize(
    ("groups", "minutes", "count"),
    [
        ([600.0, 600.0, 600.0], 30, 3),
        ([600.0, 600.0, 600.0], 29, 2),
        ([3600.0, 60.0], 30, 0),
        ([600.0, None, 9999.0], 30, 3),
        ([None], 0, 0),
        ([0.0], 0, 1),
        ([], 30, 0),
    ],
)
def test_a_wave_that_would_not_end_in_time_does_not_begin(groups, minutes, count):
    assert window.fitting(groups, NOW, NOW + timedelta(minutes=minutes)) == count
    assert window.fitting(groups, NOW, None) == len(groups)


def test_an_end_that_is_none_is_told():
    assert window.end_of("", NOW) is None
    assert window.end_of("05:00", NOW) == datetime(2026, 12, 1, 5, 0).astimezone()
    with pytest.raises(window.WindowError, match="fleet_until: late"):
        window.end_of("late", NOW)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, None),
        ({}, None),
        ({"reason": "a fan"}, "a fan"),
        ({"reason": "a fan", "until": ""}, "a fan"),
        ({"reason": "a fan", "until": "2026-11-30"}, "a fan (until 2026-11-30)"),
        ({"reason": "a fan", "until": "2026-11-29"}, None),
        ({"reason": "a fan", "until": "2026-11-30T21:59"}, None),
    ],
)
def test_a_host_is_left_alone_until_its_time_is_over(value, words):
    assert window.under_maintenance(value, NOW) == words


@pytest.mark.parametrize("value", [True, "a fan", {"until": "05:00"}, {"reason": "a fan", "until": "soon"}])
def test_what_cannot_be_read_is_no_reason_to_touch_a_host(value):
    with pytest.raises(window.WindowError, match="fleet_maintenance"):
        window.under_maintenance(value, NOW)
