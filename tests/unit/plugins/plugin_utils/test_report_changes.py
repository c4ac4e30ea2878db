# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has changed since the last report, and when that cannot be said."""

from __future__ import annotations

import copy
import json

import pytest
import report_fleet as helpers
from ansible_collections.ascend.fleet.plugins.plugin_utils import _report_changes as changes

NOW = helpers.Fleet(12).document()


def said(change, before=None):
    """What is said of a change that is made to a copy of the report."""
    earlier = copy.deepcopy(NOW if before is None else before)
    earlier["made"] = helpers.EARLIER
    change(earlier)
    found = changes.since(earlier, NOW, "report.json")
    assert found["made"] == helpers.EARLIER
    return [(e["what"], e["subject"], e["before"], e["after"], e["hosts"]) for e in found["entries"]]


def row(report, name, host):
    return next(r for r in report[name] if r["host"] == host)


def drop(name, host):
    return lambda r: r.update({name: [one for one in r[name] if one["host"] != host]})


def lose(report):
    row(report, "hosts", "a2-01").update(state="unreachable", driver=None)
    drop("replicas", "a2-01")(report)
    drop("chips", "a2-01")(report)


def test_nothing_has_changed():
    assert said(lambda report: None) == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (drop("hosts", "a2-01"), ("host added", "", "", "", ["a2-01"])),
        (
            lambda r: r["hosts"].append({**r["hosts"][0], "host": "a2-99"}),
            ("host removed", "", "", "", ["a2-99"]),
        ),
        (lose, ("host reachable", "", "", "", ["a2-01"])),
        (
            lambda r: row(r, "hosts", "a2-01").update(driver="24.1.0"),
            ("version", "driver", "24.1.0", "25.2.0", ["a2-01"]),
        ),
        (
            lambda r: row(r, "hosts", "a2-01").update(boot_time=1788000000),
            ("host rebooted", "", "", "", ["a2-01"]),
        ),
        (
            lambda r: row(r, "chips", "a2-01").update(health="Alarm"),
            ("chip health", "0/0", "Alarm", "OK", ["a2-01"]),
        ),
        (
            lambda r: row(r, "replicas", "a2-01").update(health="starting"),
            ("replica", "vllm-qwen3.5@0.service health", "starting", "healthy", ["a2-01"]),
        ),
        (
            lambda r: r["replicas"].remove(row(r, "replicas", "a2-01")),
            ("replica added", "vllm-qwen3.5@0.service", "", "", ["a2-01"]),
        ),
        (
            lambda r: r["replicas"].append({**row(r, "replicas", "a2-01"), "unit": "vllm-x@9.service"}),
            ("replica removed", "vllm-x@9.service", "", "", ["a2-01"]),
        ),
        (
            lambda r: r["changes"].pop(0),
            ("change", "upgrade to qwen3_5_27b_v1 (20261120T061500Z-upgrade)", "", "good", None),
        ),
        (
            lambda r: row(r, "benchmarks", "a2-01").update(run="earlier"),
            ("benchmark", "full text_2048_output_2048", "", "same", ["a2-01"]),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_change(change, wanted):
    [found] = said(change)
    assert found[:4] == wanted[:4]
    assert wanted[4] is None or found[4] == wanted[4]


def test_a_finding_that_comes_goes_or_moves_to_another_host():
    def change(report):
        first = next(f for f in report["findings"] if f["id"] == "DRV-006")
        first["hosts"] = ["a2-01"]
        first["found"] = "other numbers in its words"

    found = said(change)
    title = "DRV-006 The running driver is not the installed one"
    assert found == [("finding new", title, "", "", ["a2-05"]), ("finding gone", title, "", "", ["a2-01"])]


def test_the_same_change_of_many_hosts_stands_once():
    def change(report):
        for own in report["hosts"]:
            if own["driver"] == "25.2.0":
                own["driver"] = "24.1.0"

    [found] = said(change)
    assert found[:4] == ("version", "driver", "24.1.0", "25.2.0")
    assert len(found[4]) == 10


@pytest.mark.parametrize("state", ["unreachable", "not asked"])
def test_of_a_host_that_was_not_read_nothing_is_made_up(state):
    now = copy.deepcopy(NOW)
    row(now, "hosts", "a2-01").update(state=state, driver=None)
    for name in ("chips", "replicas", "benchmarks"):
        drop(name, "a2-01")(now)
    found = changes.since(NOW, now, "report.json")["entries"]
    assert [e["what"] for e in found] == (["host unreachable"] if state == "unreachable" else [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100000, "not JSON"),
        ("[]", "no report of a fleet"),
        ('{"kind": "other"}', "no report of a fleet"),
        (json.dumps({**NOW, "schema": 2}), "schema 2; needed schema 1"),
    ],
)
def test_an_earlier_report_that_is_none(text, words):
    with pytest.raises(changes.EarlierError, match=words):
        changes.parse(text, "report.json")


@pytest.mark.parametrize("name", ["hosts", "chips", "replicas", "findings", "changes", "benchmarks", "made"])
@pytest.mark.parametrize("value", [None, [None], [{}], 5])
def test_a_damaged_earlier_report_says_so_or_is_compared(name, value):
    earlier = changes.parse(json.dumps({**NOW, name: value}), "report.json")
    if name == "made":
        assert changes.since(earlier, NOW, "report.json")["entries"] == []
        return
    with pytest.raises(changes.EarlierError, match="damaged"):
        changes.since(earlier, NOW, "report.json")
