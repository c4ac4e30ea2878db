# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an upgrade, and the report of what it has done."""

from __future__ import annotations

from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import plan_table, report
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.tables import (
    Table,
    share_text,
    size_text,
    time_text,
)

U0, U1 = "vllm-m@0.service", "vllm-m@1.service"


def deployment(name, vllm, seqs, *, argv=True, commit="c1"):
    image = {"generation": "a2", "architecture": "any", "image_id": "sha256:" + name, "components": {"vllm": vllm}}
    release = {
        "release": name,
        "images": [image, {**image, "generation": "a3"}],
        "driver": {"version": "25.2.0"},
        "model": {"name": "M", "commit": commit},
        "serve": {"options": {"max-num-seqs": seqs, "dtype": "auto"}},
    }
    command = ["docker", "run", "--rm", "--name", "x", "image", "--max-num-seqs", str(seqs), "--trust"]
    return plan_table.Deployment(release, [{"name": U0, "docker_argv": command}] if argv else None)


OLD, NEW = deployment("old", "0.14", 32), deployment("new", "0.16", 64)
PLAN = {
    "replicas": [{"unit": U0, "replica": 0, "action": "replace", "reason": "another image", "in_service": True}],
    "steps": [],
}
WAVES = {"hosts": ["h1", "h2"], "sizes": [1, 1], "canary": ["h1"], "at_once": [], "outages": [], "left": ["h5"]}
DOWNLOADS = [{"what": "weights", "bytes": 53_800_000_000, "source": "http://mirror"}]


def host(name="h1", **more):
    own = {
        "generation": "a2",
        "before": OLD,
        "after": NEW,
        "plan": PLAN,
        "downloads": DOWNLOADS,
        "expected_seconds": 840.0,
    }
    return plan_table.Host(name, **{**own, **more})


def build(*hosts, **more):
    return plan_table.build(hosts, {**WAVES, **more}, "new")


def test_the_plan_says_what_changes_on_a_host():
    plan = build(host(), host("h2", expected_seconds=None, downloads=None))
    first, second = plan["hosts"]
    assert (first["action"], first["wave"], first["download_bytes"], first["without_outage"]) == (
        "changes",
        1,
        53_800_000_000,
        True,
    )
    assert {v["name"]: (v["before"], v["after"]) for v in first["versions"]} == {
        "release": ("old", "new"),
        "image": ("sha256:old", "sha256:new"),
        "vllm": ("0.14", "0.16"),
    }
    assert first["options"] == [{"name": "max-num-seqs", "before": 32, "after": 64}]
    assert first["argv"] == [{"unit": U0, "diff": ["---max-num-seqs 32", "+--max-num-seqs 64"]}]
    assert (second["expected_seconds"], second["download_bytes"], plan["download_bytes"]) == (None, None, None)
    assert [(w["kind"], w["expected_seconds"]) for w in plan["waves"]] == [("canary", 840.0), ("wave", None)]


def test_what_is_not_known_is_no_empty_answer():
    row = build(host(before=None, plan=None))["hosts"][0]
    assert (row["release_before"], row["argv"], row["without_outage"]) == (None, None, None)
    by_name = build(host(before=plan_table.Deployment({"release": "old"})))["hosts"][0]
    assert (by_name["release_before"], by_name["versions"], by_name["options"]) == ("old", None, None)
    assert build(host(after=deployment("new", "0.16", 64, argv=False)))["hosts"][0]["argv"] is None
    plan = build(host(), host("h3", problem="it failed"))
    assert plan["without_outage"] is None
    text = [line for line, _tone in plan_table.lines(build(host(before=None)), with_argv=True)]
    assert any(line.split()[:2] == ["h1", "unknown"] for line in text)
    assert "  versions and options: unknown, as the deployment before or after is not known" in text
    assert "  command: unknown, as the deployment before or after is not known" in text


def test_hosts_that_do_not_change_are_told_why():
    plan = build(host(), host("h3", converged=True), host("h4", aside="a fan"))
    assert [row["action"] for row in plan["hosts"]] == ["changes", "as wanted", "left alone"]
    text = "\n".join(line for line, _tone in plan_table.lines(plan, with_argv=False))
    assert "PLAN for new: hosts to change: 1, as wanted: 1, left alone: 1, to download: 53.8 GB" in text
    assert "left alone: a fan" in text
    assert "53.8 GB from http://mirror" in text
    assert "left for another time: h5" in text
    assert "--max-num-seqs" not in text
    assert "---max-num-seqs 32" in "\n".join(line for line, _tone in plan_table.lines(plan, with_argv=True))


def test_an_outage_and_the_reasons_of_the_gate_are_told():
    plan = plan_table.build([host(outages=["found 1 replica"])], {**WAVES, "outages": ["h1: x"]}, "new", ["a reason"])
    assert (plan["hosts"][0]["without_outage"], plan["without_outage"]) == (False, False)
    assert ("it would not begin: a reason", "error") in plan_table.lines(plan, with_argv=False)
    text = plan_table.markdown(plan)
    assert "| h1 | old | new | 1 | 53.8 GB from http://mirror | 14 min | yes |" in text
    assert "- a reason" in text
    assert "option max-num-seqs: 32 -> 64" in text


def test_hosts_with_the_same_changes_are_told_together():
    text = [line for line, _tone in plan_table.lines(build(host(), host("h2")), with_argv=False)]
    assert "h1, h2:" in text


def test_an_option_and_its_value_are_one_argument():
    words = ["run", "--name", "x", "-v", "/a:/b", "--rm", "--env=A", "b", "image", "--n", "-1"]
    assert plan_table.arguments(words) == ["run", "--name x", "-v /a:/b", "--rm", "--env=A", "b", "image", "--n", "-1"]


# - the report -


def served(*releases, **more):
    units = [U0, U1]
    times = {"out_seconds": 700.0, "start_seconds": 600.0}
    return {units[n]: {"replica": n, "release": r, **times, **more} for n, r in enumerate(releases)}


def measurement():
    figures = [{"metric": "output_throughput", "value": 760.0, "reference": 800.0}]
    return {
        "unit": U0,
        "workload": "quick-load",
        "metrics": {"output_throughput": 760.0, "median_tpot_ms": 55.0},
        "comparisons": [{"figures": []}, {"figures": figures}],
    }


BAKE = {
    "wave": 1,
    "hosts": ["h1"],
    "verdict": "good",
    "reasons": [],
    "figures": [
        {"generation": "a2", "cohort": "new", "hosts": ["h1"], "requests": 240, "failed": 1, "error_share": 1 / 240,
         "restarts": 0, "ttft_p95_seconds": 1.25},
    ],
}  # fmt: skip
RUN = report.Run(
    change="C1",
    kind="upgrade",
    wanted="new",
    waves=[["h1"], ["h2"]],
    bakes=[BAKE],
    gateways={
        "h1:0": {
            "answers": 100,
            "answers_5xx": 1,
            "response_errors": 2,
            "server_aborts": 1,
            "client_aborts": 3,
            "refused": 0,
        }
    },
)


def text_of(found):
    return "\n".join(line for line, _tone in report.lines(found))


def test_a_good_upgrade_is_told_per_replica():
    hosts = [
        report.Host("h1", outcome="good", replicas=served("new", "new"), measurements=[measurement()]),
        report.Host("h2", converged=True, replicas=served("new")),
    ]
    found = report.build(hosts, RUN)
    assert (found["outcome"], found["mixed"], found["not_on_it"]) == ("good", [], [])
    first = found["hosts"][0]["replicas"][0]
    assert (first["out_seconds"], first["start_seconds"], first["failed_requests"]) == (700.0, 600.0, 3)
    assert first["bench"][0] == {
        "workload": "quick-load",
        "metric": "output_throughput",
        "before": 800.0,
        "after": 760.0,
        "ratio": 0.95,
    }
    assert first["bench"][1]["before"] is None
    assert found["hosts"][1]["outcome"] == "as wanted"
    assert found["failed_requests"] == {
        "answers": 100,
        "answers_5xx": 1,
        "broken": 2,
        "client_aborts": 3,
        "refused": 0,
        "failed": 3,
    }
    text = text_of(found)
    assert "UPGRADE C1 to new: good; replicas: 3 on new" in text
    assert "800.0 -> 760.0 tokens/s" in text
    assert "failed requests: 3 of 101 answers (1 with status 5xx, 2 cut), as the gateways counted them" in text
    assert "| 1 | a2 | new | 1 | 240 | 1 | 0.42 % | 0 | 1.25 s | good |" in report.markdown(found)


def test_a_host_on_two_releases_is_named_whatever_its_outcome_says():
    hosts = [
        report.Host("h1", outcome="good", replicas=served("new", "old")),
        report.Host("h2", replicas=served("old")),
    ]
    found = report.build(hosts, RUN)
    assert found["mixed"] == ["h1: its replicas serve new on h1:0; old on h1:1"]
    assert [(e["host"], e["outcome"]) for e in found["not_on_it"]] == [("h1", "good"), ("h2", "not touched")]
    assert found["releases"] == {"new": ["h1:0"], "old": ["h1:1", "h2:0"]}
    assert report.lines(found)[1][1] == "error"
    assert "mixed: h1: its replicas serve new on h1:0; old on h1:1" in text_of(found)
    one = report.build([report.Host("h1", outcome="stopped", replicas=served(None))], RUN)
    assert one["mixed"] == ["h1: its replicas serve unknown on h1:0"]


def test_what_became_of_the_whole():
    good = report.Host("h1", outcome="good", replicas=served("new"))

    def outcome(*others):
        return report.build([good, *others], RUN)["outcome"]

    assert outcome() == "good"
    assert outcome(report.Host("h2", aside="a fan")) == "good"
    assert outcome(report.Host("h2", left=True)) == "stopped"
    assert outcome(report.Host("h2")) == "stopped"
    assert (
        outcome(report.Host("h2", outcome="rolled_back", why="a bake was bad", replicas=served("old"))) == "rolled_back"
    )
    assert outcome(report.Host("h2", absent="it was unreachable")) == "failed"
    back = report.Host("h2", outcome="rolled_back", absent="it failed before", why="w", replicas=served("old"))
    assert outcome(back) == "rolled_back"


def test_why_a_host_does_not_serve_it_is_told():
    hosts = [
        report.Host("h1", aside="a fan"),
        report.Host("h2", left=True, replicas=served("old")),
        report.Host("h3", outcome="rolled_back", why="3 % failed", replicas=served("old")),
    ]
    bad = {**BAKE, "verdict": "bad", "reasons": ["a2: 7 of 240 requests failed"]}
    found = report.build(hosts, report.Run("C1", "upgrade", "new", bakes=[bad]))
    text = text_of(found)
    assert "h1 does not serve it: left alone: a fan" in text
    assert "h2 does not serve it: left for another time" in text
    assert "h3 does not serve it: rolled back: 3 % failed" in text
    assert "bake after wave 1 is bad: a2: 7 of 240 requests failed" in text
    assert "failed requests: unknown" in text
    assert "- h1 does not serve it: left alone: a fan" in report.markdown(found)


def test_a_log_stands_in_the_data_alone():
    why = "u@0: found no new line; needed a sign of life. Fix: look\nlast lines of the log:\n    INFO x"
    host = report.Host("h1", outcome="rolled_back", why=why, replicas=served("old"))
    found = report.build([host], report.Run("C1", "upgrade", "new", notes=["h1: " + why]))
    text = text_of(found)
    assert "rolled back: u@0: found no new line\n" in text + "\n"
    assert "h1 does not serve it: rolled back: u@0: found no new line; needed a sign of life. Fix: look" in text
    assert "INFO x" not in text
    assert found["hosts"][0]["why"] == why


def test_what_tables_hold_cannot_break_them():
    table = Table(("A", "B"), [("a|b", "\x1b[31m")], ["error"])
    assert table.markdown()[2] == "| a\\|b | \\x1b[31m |"
    assert table.lines()[1] == ("a|b  \\x1b[31m", "error")
    assert (Table(("A",), []).lines(), Table(("A",), []).markdown()) == ([], [])
    assert (time_text(None), size_text(None), share_text(None), share_text(0.0)) == ("unknown", "unknown", "-", "0 %")
