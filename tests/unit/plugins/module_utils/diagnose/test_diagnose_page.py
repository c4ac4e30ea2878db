# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first page: what is wrong now comes first, once for all its hosts; what hosts print stays text."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose import page


def sign(name: str, *, is_now: bool = True, lines: tuple[str, ...] = ("the line",), **more: Any) -> dict[str, Any]:
    about = {"meaning": "what %s means" % name, "fix": "what to do about %s" % name, "unit": "vllm-q@0.service"}
    where = {"at": "2026-11-30T13:58:00+0000", "source": "replicas/vllm-q@0/failure.txt", "line": 7}
    return {"name": name, **about, **where, "lines": list(lines), "is_now": is_now, **more}


def unit(active: str = "active", stage: str | None = "ready", result: str = "success") -> dict[str, Any]:
    return {"unit": "vllm-q@0.service", "active": active, "stage": stage, "result": result}


def index(*found: dict[str, Any], units: tuple[dict[str, Any], ...] = (), **facts: Any) -> dict[str, Any]:
    known = {"system": "openEuler 22.03", "kernel": "5.10", "architecture": "aarch64", "driver": "25.2.0", "chips": 8}
    sources = [
        {"name": "npu-smi/info.txt", "state": "collected", "reason": "", "cut": False},
        {"name": "chips_report", "state": "left out", "reason": "msnpureport is not installed", "cut": False},
        {"name": "hccn/chip0_ip.txt", "state": "timed out", "reason": "it hung", "cut": False},
        {"name": "docker/inspect.json", "state": "collected", "reason": "", "cut": True},
    ]
    facts = {**known, "units": list(units), "chips_not_ok": [], "npu_smi": None, **facts}
    return {"facts": facts, "signs": list(found), "sources": sources, "size": 2048, "sha256": "ab", "problems": []}


def build(indexes: dict[str, Any], absent: dict[str, str] | None = None) -> dict[str, Any]:
    return page.build(indexes, absent or {}, {h: h + ".tar.gz" for h in indexes}, "2026-11-30T14:00:00Z")


def test_what_is_wrong_now_and_on_most_hosts_comes_first() -> None:
    many = {"a2-%d" % n: index(sign("common"), sign("old", is_now=False)) for n in range(5)}
    found = build({**many, "a3-1": index(sign("rare"))})
    assert [kind["name"] for kind in found["signs"]] == ["common", "rare", "old"]
    assert [place["host"] for place in found["signs"][0]["places"]] == list(many)
    assert found["hosts"][0]["signs"] == ["common"]


def test_the_markdown_has_cause_fix_and_lines_before_the_hosts() -> None:
    text = page.markdown(build({"a2-1": index(sign("stream_resources", lines=("before", "error 207008")))}))
    order = [
        "### stream\\_resources",
        "**Cause:**",
        "**Fix:**",
        "```text\nbefore\nerror 207008\n```",
        "## Hosts",
        "| a2-1 |",
    ]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)
    assert "a2-1.tar.gz (2.0 KiB)" in text


def test_of_many_places_some_are_shown_and_the_rest_is_counted() -> None:
    text = page.markdown(build({"h%02d" % n: index(sign("common")) for n in range(9)}))
    assert text.count("```text") == 3
    assert "6 more places are in the JSON." in text
    assert "chips\\_report: left out (msnpureport is not installed) on h00, h01, h02, h03, h04 and 4 more" in text


def test_what_is_missing_is_told_once_for_all_hosts_and_failures_first() -> None:
    text = page.markdown(build({"a": index(), "b": index()}))
    missing = text[text.index("## What is missing") :]
    assert missing.index("it hung") < missing.index("msnpureport")
    assert "docker/inspect.json: collected (only a part was kept) on a, b" in missing


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (index(units=(unit(), unit("failed", "loading_weights", "exit-code"))), "1 of 2, vllm-q@0 failed (exit-code)"),
        (index(units=(unit("active", "loading_weights"),)), "0 of 1, vllm-q@0 starting (loading_weights)"),
        (index(units=(unit(),)), "1 of 1"),
        (index(), "none deployed"),
        (index(chips_not_ok=["NPU 3 chip 0: Alarm"]), "8; NPU 3 chip 0: Alarm"),
        (index(npu_smi="npu-smi hangs"), "8; npu-smi hangs"),
        (index(), "8, all OK"),
    ],
)
def test_the_state_of_a_host(found: dict[str, Any], words: str) -> None:
    assert any(words in line for line, _tone in page.lines(build({"a2-1": found})))


def test_a_host_without_a_bundle_is_named() -> None:
    found = build({}, {"a2-9": "unreachable: no route"})
    assert ("a2-9  no bundle: unreachable: no route", "error") in page.lines(found)
    assert "| a2-9 | no bundle: unreachable: no route |" in page.markdown(found)


def test_nothing_found_is_said() -> None:
    found = build({"a": index()})
    assert ("no sign of a known failure was found", "ok") in page.lines(found)
    assert "No sign of a known failure was found." in page.markdown(found)


def test_what_hosts_print_stays_text() -> None:
    evil = "```\n# heading <script>alert(1)</script> | \x1b[31m"
    hostile = index(sign("x", lines=(evil, "````"), source="a|b<i>"), system="<b>| x", npu_smi="# y")
    found = build({"a<img>|b": hostile}, {"c": "[link](http://x) <script>"})
    text = page.markdown(found)
    inside = text[text.index("`````text") : text.index("\n`````\n")]
    outside = text.replace(inside, "")
    assert "<script>alert(1)</script>" in inside
    assert "\x1b" not in text
    assert not any(words in outside for words in ("<script>", "<img>", "<b>", "<i>"))
    assert "\\[link\\](http" in outside
    rows = [line for line in outside.splitlines() if line.startswith("| a")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [8]
    assert not any("\x1b" in line or "\n" in line for line, _tone in page.lines(found))


def test_a_fleet_makes_a_page_of_moderate_size() -> None:
    found = build({"host-%03d" % n: index(sign("common"), units=(unit(), unit())) for n in range(500)})
    assert len(page.markdown(found)) < 200000
    assert len(page.lines(found)) < 600
