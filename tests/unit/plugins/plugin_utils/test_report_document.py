# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a fleet as one document: nobody is left out, and what is not known is not made up."""

from __future__ import annotations

import json
import random

import pytest
import report_fleet as helpers
from ansible_collections.ascend.fleet.plugins.module_utils._serving import status
from ansible_collections.ascend.fleet.plugins.plugin_utils import _report_document as document

CHANCE = random.Random(7)


def build(hosts, replicas=None, findings=(), servers=()):
    told = status.build(list(hosts), replicas or {}, {}, list(servers))
    return document.build(helpers.MADE, hosts, told, findings, "t")


def about(generation="a2", **more):
    node = {"node": helpers.node("n", generation, CHANCE)}
    return document.About(**{**node, "generation": generation, "checked": {"checked": True}, **more})


def rows(found, name):
    return {row["host"]: row for row in found[name]}


def test_a_generated_fleet_is_counted_as_it_is():
    fleet = helpers.Fleet(100)
    found = fleet.document()
    summary = found["summary"]
    gone = [name for name, own in fleet.about.items() if own.node is None]
    assert len(gone) == 3
    assert [row["host"] for row in found["hosts"]] == list(fleet.about)
    assert summary["states"]["unreachable"] == 3
    assert summary["chips"] == sum(len(own.node["devices"]) for own in fleet.about.values() if own.node)
    assert summary["chips"] - summary["chips_well"] == len(fleet.places["NPU-003"])
    assert summary["chips_used"]["others"] == 4 * len(fleet.places["NPU-008"])
    assert summary["replicas"] == sum(map(len, fleet.replicas.values()))
    assert sum(summary["states"].values()) == 100
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("own", "state", "reason"),
    [
        (about(), "ok", ""),
        (about(node=None, reason="unreachable: no route"), "unreachable", "unreachable: no route"),
        (about(node=None, asked=False, reason="left out"), "not asked", "left out"),
        (about(checked={"checked": False, "reason": "its settings cannot be used"}), "error", "its settings"),
        (about(checked=None), "ok", ""),
    ],
)
def test_the_state_of_a_host(own, state, reason):
    row = rows(build({"h": own}), "hosts")["h"]
    assert row["state"] == state
    assert row["reason"].startswith(reason)


def test_findings_make_the_state_and_ignored_ones_do_not():
    hosts = {name: about() for name in ("h1", "h2", "h3")}
    findings = [
        helpers.finding("NPU-008", "warning", "w", ["h1", "h2"]),
        helpers.finding("DRV-006", "error", "e", ["h2"]),
        helpers.finding("DKR-001", "error", "i", ["h3"], ignored=True),
    ]
    found = build(hosts, findings=findings)
    assert [row["state"] for row in found["hosts"]] == ["warning", "error", "ok"]
    assert [f["id"] for f in found["findings"]] == ["DRV-006", "NPU-008", "DKR-001"]
    assert (found["summary"]["errors"], found["summary"]["warnings"]) == (1, 1)


@pytest.mark.parametrize(
    ("holders", "use", "users"),
    [
        (None, "unknown", ""),
        ([], "free", ""),
        ([{"kind": "container", "name": "vllm-m-0", "managed": True}] * 2, "ours", "vllm-m-0"),
        (
            [
                {"kind": "container", "name": "vllm-m-0", "managed": True},
                {"kind": "process", "name": None, "process": "python", "managed": False},
            ],
            "others",
            "vllm-m-0, process python",
        ),
    ],
)
def test_who_uses_a_chip(holders, use, users):
    device = helpers.device(0, "a2", CHANCE, holders=holders)
    [chip] = build({"h": about(node={"devices": [device]})})["chips"]
    assert (chip["use"], chip["users"]) == (use, users)


def test_what_is_not_known_is_null_and_no_zero():
    unknown = helpers.device(1, "a2", CHANCE, hbm_used_mb=None, temperature_celsius=None, health=None)
    node = {"devices": [helpers.device(0, "a2", CHANCE), unknown], "versions": {}}
    row = rows(build({"h": about(node=node), "gone": about(node=None)}), "hosts")
    assert row["h"]["hbm_used_mb"] is None
    assert row["h"]["temperature_celsius"] is not None
    assert (row["h"]["driver"], row["h"]["last_good"]) == (None, None)
    assert (row["gone"]["chips"], row["gone"]["hbm_total_mb"], row["gone"]["cann"]) == (None, None, None)
    assert rows(build({"h": about(state={"last_good": None})}), "hosts")["h"]["last_good"] == ""


def test_versions_are_counted_by_generation_and_the_most_frequent_stands_first():
    old = helpers.node("n", "a2", CHANCE, versions={"driver": {"version": "25.0.0"}})
    hosts = {"h1": about(), "h2": about(), "h3": about(node=old), "h4": about("a3"), "h5": about(node=None)}
    found = [v for v in build(hosts)["versions"] if v["subject"] == "driver"]
    assert [(v["generation"], v["value"], v["most"], v["hosts"]) for v in found] == [
        ("a2", "25.2.0", True, ["h1", "h2"]),
        ("a2", "25.0.0", False, ["h3"]),
        ("a3", "25.2.0", True, ["h4"]),
    ]


def test_a_change_of_several_hosts_stands_once_with_each_outcome():
    entry = helpers.state(1, CHANCE)["history"][0]
    open_change = {**entry, "id": "now", "began": "2026-11-30", "step": "baking"}
    hosts = {
        "h1": about(state={"history": [entry]}),
        "h2": about(state={"history": [{**entry, "outcome": "failed", "why": "w", "ended": "2026-11-01T09:00:00Z"}]}),
        "h3": about(state={"history": [entry], "change": open_change}),
    }
    now, former = build(hosts)["changes"]
    assert (now["id"], now["outcomes"]) == ("now", [{"outcome": "open", "why": "baking", "hosts": ["h3"]}])
    assert former["ended"] == "2026-11-01T09:00:00Z"
    assert [(o["outcome"], o["hosts"]) for o in former["outcomes"]] == [("good", ["h1", "h3"]), ("failed", ["h2"])]


def test_what_a_release_leaves_open_is_named():
    release = helpers.release()
    release["images"][0].update(commit="", sha256=None, image_id=None)
    release["model"]["commit"] = ""
    [found] = build({"h": about(release=release)})["releases"]
    assert found["open"] == ["image a2/any", "model"]
    assert found["hosts"] == ["h"]
    [closed] = build({"h": about(release=helpers.release())})["releases"]
    assert closed["open"] == []


def test_benchmarks_stand_with_their_references_and_their_findings():
    slow = helpers.benchmark(1, "text", "full", CHANCE, slow=True)
    bare = {**helpers.benchmark(0, "text", "full", CHANCE), "figures": [], "problem": "it broke"}
    found = build({"h": about(benchmarks=[slow, bare])})
    first, second = found["benchmarks"]
    assert (first["output_throughput_reference"], first["worse"].split(", ")[0]) == (1210.0, "output_throughput")
    assert (second["output_throughput"], second["worse"], second["problem"]) == (None, "", "it broke")
    [finding] = found["findings"]
    assert (finding["id"], finding["hosts"]) == ("PERF-001", ["h"])
    assert finding["found"].startswith("vllm-qwen3.5@1.service, text: ")
    assert rows(found, "hosts")["h"]["state"] == "error"
    assert {m["metric"] for m in found["metrics"]} == {"output_throughput", "median_ttft_ms", "median_tpot_ms"}


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202eabc\u2028", "\\u202eabc\\u2028"),
        ("\ud800", "\\ud800"),
        ("x" * 700, "x" * 599 + "…"),
        (float("nan"), None),
        (float("inf"), None),
        ({"a\x00": ("b", True, 1)}, {"a\\x00": ["b", True, 1]}),
        ("two\nlines", "two\nlines"),
    ],
)
def test_texts_are_printable_and_short(value, clean):
    assert document.clean(value) == clean
    assert "clean" not in repr(document.clean(value))
