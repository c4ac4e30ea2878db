# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a fleet's findings."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._preflight import report as _preflight
from ansible_collections.ascend.fleet.plugins.module_utils._preflight.catalogue import CATALOGUE
from ansible_collections.ascend.fleet.plugins.plugin_utils._compatibility import compatibility_table


def finding(identity: str, found: str = "x", ignored: bool = False) -> dict[str, Any]:
    check = CATALOGUE[identity]
    return {
        "id": identity,
        "severity": check.severity,
        "area": check.area,
        "title": check.title,
        "message": "%s: found %s; needed y" % (check.title, found),
        "found": found,
        "needed": "y",
        "fix": check.fix,
        "ignored": ignored,
    }


FINDINGS: dict[str, Any] = {
    "a2-1": [finding("DRV-003", "driver 24.1.0")],
    "a2-2": [finding("DRV-003", "driver 24.1.0"), finding("SYS-010")],
    "a2-3": None,
    "a3-1": [],
    "a3-2": [finding("DEV-005", ignored=True), finding("DRV-003", "driver 24.1.1")],
}


def build() -> dict[str, Any]:
    return _preflight.build(list(FINDINGS), FINDINGS, {"a2-1": "a2 aarch64"}, {"a2-3": "its checks did not run"})


def text() -> str:
    return "\n".join(line for line, _tone in _preflight.lines(build(), "for r"))


def test_equal_findings_are_one_with_all_their_hosts() -> None:
    groups = [(g["id"], g["found"], g["hosts"], g["ignored"]) for g in build()["findings"]]
    assert groups == [
        ("DRV-003", "driver 24.1.0", ["a2-1", "a2-2"], False),
        ("DRV-003", "driver 24.1.1", ["a3-2"], False),
        ("SYS-010", "x", ["a2-2"], False),
        ("DEV-005", "x", ["a3-2"], True),
    ]


def test_counts() -> None:
    report = build()
    assert (report["errors"], report["warnings"], report["not_checked"]) == (3, 1, ["a2-3"])
    assert report["hosts"]["a3-2"]["areas"]["devices"] == {"errors": 0, "warnings": 0, "ignored": 1}
    assert report["hosts"]["a2-3"]["reason"] == "its checks did not run"


def test_the_text_has_one_row_per_host_and_every_finding_once() -> None:
    lines = text().splitlines()
    assert lines[1] == "PREFLIGHT for r: 5 hosts, 1 ready, 3 with errors, 1 not checked"
    rows = {line.split()[0]: line for line in lines[3:9]}
    assert rows["a2-1"].split() == ["a2-1", "a2", "aarch64", "ok", "1", "error", *["ok"] * 6]
    assert "not checked" in rows["a2-3"]
    assert "1 ignored" in rows["a3-2"]
    assert text().count("found:  driver 24.1.0") == 1
    assert "on:     a2-1, a2-2" in text()
    assert "  a2-3: its checks did not run" in lines


def test_the_table_is_aligned() -> None:
    rows = text().splitlines()[3:9]
    column = rows[0].index("driver")
    assert {row[column - 2 : column] for row in rows} == {"  "}


def test_a_finding_of_all_hosts_says_so() -> None:
    hosts = ["h%d" % n for n in range(50)]
    report = _preflight.build(hosts, {h: [finding("SYS-010")] for h in hosts})
    assert any("on:     all 50 hosts" in line for line, _tone in _preflight.lines(report))


def test_long_texts_are_wrapped() -> None:
    report = _preflight.build(["h"], {"h": [finding("DRV-003", "word " * 80)]})
    assert max(len(line) for line, _tone in _preflight.lines(report)) <= 120


def test_a_hosts_failure_message_holds_its_errors_and_their_fixes() -> None:
    report = build()
    words = report["hosts"]["a2-2"]["text"]
    assert words.startswith("a2-2 is not ready, 1 error:\nDRV-003 ")
    assert "Fix: upgrade firmware" in words
    assert "SYS-010" not in words
    assert report["hosts"]["a3-1"]["text"] == ""


def test_ignored_errors_make_no_host_fail() -> None:
    report = _preflight.build(["h"], {"h": [finding("DEV-005", ignored=True)]})
    assert (report["errors"], report["hosts"]["h"]["text"]) == (0, "")


def test_junit() -> None:
    root = ElementTree.fromstring(_preflight.junit(build()))
    suites = {s.get("name"): s for s in root}
    assert list(suites) == list(FINDINGS)
    assert suites["a2-1"].get("tests") == str(len(CATALOGUE))
    failures = [c.get("name", "") for c in suites["a2-1"] if c.find("failure") is not None]
    assert [f.split()[0] for f in failures] == ["DRV-003"]
    assert len(suites["a3-2"].findall("testcase/skipped")) == 1
    assert len(suites["a2-2"].findall("testcase/system-out")) == 1
    assert suites["a2-3"].find("testcase/error") is not None


def test_junit_survives_a_devices_garbage() -> None:
    findings = {"h": [finding("DRV-003", "\x00\x1b[0m<&>\ud800".encode("utf-8", "replace").decode())]}
    report = _preflight.build(["h"], findings)
    assert ElementTree.fromstring(_preflight.junit(report)).find("testsuite") is not None


def test_the_compatibility_table_names_what_the_catalogue_asks_for() -> None:
    table = compatibility_table()
    assert {"cann_driver", "vllm_ascend_cann"} == set(table)


# -- a hundred hosts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["h1"], "h1"),
        (["h1", "h2"], "h1, h2"),
        (["h1", "h2", "h3"], "h[1-3]"),
        (["h1", "h2", "h4", "h5", "h6", "h9"], "h[1,2,4-6,9]"),
        (["h8", "h9", "h10", "h11", "h99", "h100"], "h[8-11,99,100]"),
        (["h08", "h09", "h10", "h11"], "h[08-11]"),
        (["h008", "h009", "h010", "h8"], "h[008-010], h8"),
        (["a2-1", "gw", "a2-2", "a2-3", "a3-1"], "a2-[1-3], gw, a3-1"),
        (["n1.site", "n2.site", "n3.site"], "n[1-3].site"),
        (["10.0.0.1", "10.0.0.2", "10.0.0.3"], "10.0.0.[1-3]"),
        (["b", "a", "b"], "b, a"),
        ([], ""),
    ],
)
def test_names_are_put_together(names: list[str], words: str) -> None:
    assert _preflight.shorten(names) == words


def hundred() -> list[str]:
    """The report of a hundred hosts with the troubles a fleet has."""
    hosts = ["npu-%03d" % n for n in range(1, 101)]
    found: dict[str, Any] = {h: [finding("SYS-011", "kernel.numa_balancing = 1")] for h in hosts}
    for host in hosts[:40]:
        found[host] = [*found[host], finding("DRV-003", "driver 24.1.0")]
    for host in (hosts[6], hosts[55], hosts[56], hosts[57], hosts[90]):
        found[host] = [*found[host], finding("NPU-011", "davinci3, held by container `training`")]
    found[hosts[99]] = found[hosts[98]] = None
    found[hosts[50]] = []
    about = {h: "a2 aarch64 driver 24.1.0" if h in hosts[:40] else "a2 aarch64 driver 25.2.0" for h in hosts}
    report = _preflight.build(hosts, found, about, dict.fromkeys(hosts[98:], "unreachable: no route"))
    return [line for line, _tone in _preflight.lines(report, "for r")]


def test_a_hundred_hosts_fit_a_screen() -> None:
    lines = hundred()
    assert len(lines) < 45, "\n".join(lines)
    assert max(len(line) for line in lines) <= 140
    assert lines[1] == "PREFLIGHT for r: 100 hosts, 54 ready, 44 with errors, 2 not checked"


def test_a_hundred_hosts_are_all_named() -> None:
    text = "\n".join(hundred())
    assert "npu-[001-006,008-040]" in text
    assert "on:     40 hosts: npu-[001-040]" in text
    assert "on:     npu-[007,056-058,091]" in text
    assert "all 100 hosts but npu-051, npu-099, npu-100" in text
    assert "  npu-099, npu-100: unreachable: no route" in text


def test_a_fleet_of_strangers_loses_no_name() -> None:
    hosts = ["%s%s" % (a, b) for a in "abcdefghij" for b in "abcdefghij"]
    found = {h: [finding("SYS-010")] if n % 2 else [] for n, h in enumerate(hosts)}
    lines = [line for line, _tone in _preflight.lines(_preflight.build(hosts, found))]
    words = set(" ".join(lines).replace(",", " ").split())
    assert set(hosts) <= words
    assert max(map(len, lines)) <= 140


def test_a_small_fleet_has_a_row_per_host() -> None:
    report = _preflight.build(["h1", "h2", "h3"], {h: [] for h in ("h1", "h2", "h3")})
    assert [line.split()[0] for line, _tone in _preflight.lines(report)[4:7]] == ["h1", "h2", "h3"]


# -- the verdict ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "worst"),
    [
        ([[]], "ok"),
        ([[finding("DEV-005", ignored=True)]], "ok"),
        ([[finding("SYS-010")], []], "warning"),
        ([[finding("SYS-010")], [finding("DRV-003")]], "error"),
        ([[finding("DRV-003")], None], "not checked"),
    ],
)
def test_the_worst(found: list[Any], worst: str) -> None:
    hosts = ["h%d" % n for n in range(len(found))]
    report = _preflight.build(hosts, dict(zip(hosts, found)))
    assert report["worst"] == worst
    assert report["hosts"][hosts[-1]]["worst"] == _preflight.build(["x"], {"x": found[-1]})["worst"]


def test_a_hosts_failure_is_one_line() -> None:
    found = [finding("DRV-003", "x"), finding("DEV-005"), finding("DEV-005", "z"), finding("SYS-010")]
    summary = _preflight.build(["h"], {"h": found})["hosts"]["h"]["summary"]
    assert summary == (
        "h has 3 errors: DRV-003 The driver does not go with the release's CANN; DEV-005 A device node is missing. "
        "Details and fixes stand in the report below."
    )
    warned = _preflight.build(["h"], {"h": [finding("SYS-010")]})["hosts"]["h"]
    assert warned["summary"].startswith("h has 1 warning: SYS-010 A reboot is asked for.")
    assert _preflight.build(["h"], {"h": [finding("SYS-010", ignored=True)]})["hosts"]["h"]["summary"] == ""
    assert (
        _preflight.build(["h"], {"h": None}, None, {"h": "gone"})["hosts"]["h"]["summary"] == "h was not checked: gone"
    )


def test_what_a_terminal_would_obey_is_escaped() -> None:
    evil = "a2\x1b[2J\u202e1"
    found = [finding("DRV-003", "driver \x1b]0;title\x07 \x9b1m\r")]
    report = _preflight.build([evil, "h2"], {evil: found, "h2": None}, None, {"h2": "unreachable: \x1b[31m no"})
    texts = [line for line, _tone in _preflight.lines(report, "for \x1b[1mr")]
    texts += [report["hosts"][evil]["text"], report["hosts"][evil]["summary"], report["hosts"]["h2"]["summary"]]
    assert all(c == "\n" or c.isprintable() for text in texts for c in text)
    assert any("\\x1b]0;title\\x07 \\x9b1m" in text for text in texts), "nothing is lost"
    assert any("a2\\x1b[2J\\u202e1" in text for text in texts)
    assert ElementTree.fromstring(_preflight.junit(report)).findall("testsuite")
