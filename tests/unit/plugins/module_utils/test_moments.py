# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time as an operator writes them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.moments import moment_of
from ansible_collections.ascend.fleet.plugins.module_utils._release.variables import check_values

NOW = datetime(2026, 11, 30, 22, 0).astimezone()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("05:00", datetime(2026, 12, 1, 5, 0)),
        ("5:00", datetime(2026, 12, 1, 5, 0)),
        ("22:30", datetime(2026, 11, 30, 22, 30)),
        ("22:00", datetime(2026, 12, 1, 22, 0)),
        ("2026-12-01", datetime(2026, 12, 2)),
        (date(2026, 12, 1), datetime(2026, 12, 2)),
        ("2026-12-01T05:00", datetime(2026, 12, 1, 5, 0)),
        ("2026-12-01 05:00:30", datetime(2026, 12, 1, 5, 0, 30)),
        (datetime(2026, 12, 1, 5, 0), datetime(2026, 12, 1, 5, 0)),
    ],
)
def test_local_times(text, moment):
    assert moment_of(text, NOW) == moment.astimezone()


def test_times_with_a_zone():
    assert moment_of("2026-12-01T05:00Z", NOW) == datetime(2026, 12, 1, 5, tzinfo=timezone.utc)
    zone = timezone(timedelta(hours=8))
    assert moment_of("2026-12-01T05:00:00+08:00", NOW) == datetime(2026, 12, 1, 5, tzinfo=zone)


@pytest.mark.parametrize("text", ["", "5", "24:00", "05:60", "tomorrow", "2026-13-01", "2026-12-01T", None])
def test_no_times(text):
    assert moment_of(text, NOW) is None


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("fleet_until", ["05:00", "2026-12-01T05:00", ""], ["five", 1350, 5.5, True, ["05:00"], "25:00"]),
        ("fleet_min_available", [1, "75%", "3"], [0, "0%", "101%", -1, "some"]),
        ("fleet_canary", [[], ["a2-1"]], ["a2-1", [1], {"a": 1}]),
        ("fleet_batches", [[1, "10%"]], [[0], ["0"], ["0%"], 1]),
        ("fleet_reports", ["/srv/reports", ""], ["reports", 5]),
        (
            "fleet_maintenance",
            [{"reason": "exchange of a fan"}, {"reason": "x", "until": "2026-12-01"}, {"reason": "x", "until": None}],
            [
                True,
                "yes",
                {},
                {"until": "05:00"},
                {"reason": " "},
                {"reason": "x", "until": "soon"},
                {"reason": "x", "by": 1},
            ],
        ),
    ],
)
def test_the_variables_of_an_upgrade(name, good, bad):
    assert [value for value in good if check_values({name: value})] == []
    assert [value for value in bad if not check_values({name: value})] == []


def test_a_time_that_yaml_reads_as_a_number_is_explained():
    [problem] = check_values({"fleet_until": 1350})
    assert "in quotes" in problem.text()
