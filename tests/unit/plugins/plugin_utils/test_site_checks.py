# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's own checks: shape, expressions, expectations, and what becomes of data that cannot be read."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.module_utils._node import software
from ansible_collections.ascend.fleet.plugins.module_utils._node.collect import SUBSETS
from ansible_collections.ascend.fleet.plugins.module_utils._preflight import report
from ansible_collections.ascend.fleet.plugins.module_utils._release.inventory import Host
from ansible_collections.ascend.fleet.plugins.module_utils._release.variables import check_values
from ansible_collections.ascend.fleet.plugins.plugin_utils import _queries, _site_checks

PAGE = Path(__file__).resolve().parents[4] / "docs" / "site_checks.md"
NAME = "npu_preflight_site_checks"
Node = dict[str, Any]


def the_node(**more: Any) -> Node:
    docker = {**software.empty_docker(), "running": True, "registry_mirrors": ["https://registry.example.com/"]}
    docker["containers"] = [{"name": "db", "image": "postgres:16", "state": "running"}]
    return {
        "kernel": "5.10.0-216.0.0.115.oe2203sp4.aarch64",
        "npu_smi": {"error": None},
        "docker": docker,
        "tuning": {"sysctl": {"vm.swappiness": 1}},
        "devices": [
            {
                "index": n,
                "node": "/dev/davinci%d" % n,
                "hbm_free_mb": 62129 if n else 2000,
                "holders": [] if n else [{"managed": True}],
            }
            for n in range(8)
        ],
        "gathered": sorted(SUBSETS),
        **more,
    }


def check(query: str = "node.kernel", expect: Any = "not empty", **more: Any) -> dict[str, Any]:
    return {"id": "SITE-001", "title": "T", "query": query, "expect": expect, "fix": "do it", **more}


def find(checks: list[dict[str, Any]], node: Node, ignore: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    assert not check_values({NAME: checks})
    about = _site_checks.about_host("a2-01", ["atlas_a2"], "a2")
    return _site_checks.findings(checks, node, {"release": "r"}, about, ignore)


# - the page's examples -


def examples() -> dict[str, dict[str, Any]]:
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    found = [entry for block in blocks for entry in yaml.safe_load(block)[NAME]]
    return {entry["id"]: entry for entry in found}


def swap(node: Node) -> None:
    node["tuning"]["sysctl"]["vm.swappiness"] = 60


def forbidden(node: Node) -> None:
    node["docker"]["containers"].append({"name": "ui", "image": "portainer/portainer-ce:2", "state": "running"})


#: By ID, a change of a good host, and words of what is found then.
CHANGES = {
    "SITE-001": (lambda n: n.update(kernel="5.10.0-136.el8.aarch64"), "kernel 5.10.0-136.el8.aarch64"),
    "SITE-002": (swap, "vm.swappiness=60"),
    "SITE-003": (lambda n: n["docker"].update(registry_mirrors=[]), "no mirror"),
    "SITE-004": (lambda n: n["devices"][3].update(hbm_free_mb=40000), "/dev/davinci3"),
    "SITE-005": (forbidden, "ui"),
}


@pytest.mark.skipif(not PAGE.exists(), reason="an installed collection has no docs")
def test_every_example_of_the_page_is_tried_here() -> None:
    assert set(examples()) == set(CHANGES)


@pytest.mark.skipif(not PAGE.exists(), reason="an installed collection has no docs")
@pytest.mark.parametrize("identity", CHANGES)
def test_an_example_is_silent_on_a_good_host_and_speaks_on_a_bad_one(identity: str) -> None:
    entry = examples()[identity]
    assert not _site_checks.mistakes(Host("h", {NAME: [entry]}))
    assert find([entry], the_node()) == []
    node = the_node()
    change, words = CHANGES[identity]
    change(node)
    (found,) = find([entry], node)
    assert found["id"] == identity
    assert found["found"] == words
    assert found["severity"] == entry.get("severity", "error")
    assert found["needed"]
    assert found["fix"] == entry["fix"]


def test_no_example_takes_what_is_unknown_for_good() -> None:
    node = the_node(kernel=None, tuning={}, devices=[], npu_smi={"error": "hung"})
    node["docker"].update(error="docker is down", running=False)
    assert [i for i, entry in examples().items() if not find([entry], node)] == []


# - expectations -

EXPECTATIONS: list[tuple[Any, Any, Optional[str]]] = [
    ({"equals": 60}, 60, None),
    ({"equals": 60}, "60", "60"),
    ({"equals": 1}, True, "true"),
    ({"equals": None}, None, None),
    ({"equals": ["a"]}, ["a"], None),
    ({"in": ["a", "b"]}, "a", None),
    ({"in": ["a", "b"]}, "c", "c"),
    ({"in": ["a", "b"]}, ["a", "c", "d"], "c, d"),
    ({"in": ["a", None]}, None, None),
    ({"min": 1000}, 1000, None),
    ({"min": 1000}, 999.5, "999.5"),
    ({"min": 1, "max": 8}, 9, "9"),
    ({"min": 1, "max": 8}, [1, 8], None),
    ({"max": 10}, [], "an empty list"),
    ({"version": ">=5.10, <6"}, "5.10.0-216.0.0.115.oe2203sp4.aarch64", None),
    ({"version": ">=5.10, <6"}, "6.1.0-13-amd64", "6.1.0-13-amd64"),
    ({"version": "25.2.X"}, "25.2.0.1", None),
    ({"version": "25.2.X"}, "25.3.RC1", "25.3.RC1"),
    ({"version": "!=24.0.7"}, "24.0.7", "24.0.7"),
    ({"version": ">24.1"}, "24.1.RC2", "24.1.RC2"),
    ({"pattern": "5[.]10[.].*"}, "5.10.0-1", None),
    ({"pattern": "5[.]10"}, "5.10.0-1", "5.10.0-1"),
    ("empty", [], None),
    ("empty", ["a"], "a"),
    ("not empty", ["a"], None),
    ("not_empty", "", "nothing"),
    ("empty", None, "nothing (null)"),
    ("not empty", None, "nothing (null)"),
    ({"min": 1}, None, "nothing (null)"),
]


@pytest.mark.parametrize(("expect", "value", "wrong"), EXPECTATIONS)
def test_expectations(expect: Any, value: Any, wrong: Optional[str]) -> None:
    found = find([check("node.kernel", expect)], the_node(kernel=value))
    if wrong is None:
        assert found == []
    else:
        assert found[0]["found"].startswith(wrong)


@pytest.mark.parametrize(
    ("query", "expect"),
    [
        ("contains(node.nothing, 'x')", {"equals": True}),
        ("max(node.docker.containers)", "not empty"),
        ("node.kernel", {"min": 5}),
        ("node.docker.containers", {"pattern": ".*"}),
        ("node.docker", {"version": ">=1"}),
    ],
)
def test_data_that_cannot_be_read_is_a_finding(query: str, expect: Any) -> None:
    checks = [check(query, expect, found="{value}"), check(id="SITE-002", expect={"equals": "no"})]
    first, second = find(checks, the_node())
    assert first["found"].startswith("data that the expression cannot read (")
    assert second["id"] == "SITE-002"


@pytest.mark.parametrize(
    ("change", "query"),
    [
        (lambda n: n["docker"].update(running=False, error="down"), "node.docker.containers"),
        (lambda n: n["npu_smi"].update(error="hung"), "node.devices"),
        (lambda n: n.update(systemd={"units": [], "error": "no answer"}), "node.systemd.units"),
        (lambda n: n.update(gathered=["npu"], ports=[]), "node.ports"),
        (lambda n: None, "node.dokcer.containers"),
    ],
)
def test_what_was_not_read_is_never_empty(change: Any, query: str) -> None:
    node = the_node()
    change(node)
    assert [f["found"][:14] for f in find([check(query, "empty")], node)] == ["nothing (null)"]


def test_release_and_host_can_be_asked_too() -> None:
    checks = [
        check("release.release", {"equals": "other"}),
        check("host.groups", {"in": ["atlas_a3"]}, id="SITE-002"),
        check("host.generation", {"equals": "a2"}, id="SITE-003"),
    ]
    assert [f["found"] for f in find(checks, the_node())] == ["r", "atlas_a2"]


def test_findings_have_the_form_of_all_others_and_can_be_ignored() -> None:
    (found,) = find([check(expect={"equals": "x"}, severity="warning")], the_node(), ("SITE-001",))
    assert set(found) == {
        "id", "severity", "area", "title", "message", "found", "needed", "fix", "ignored",
    }  # fmt: skip
    assert (found["severity"], found["ignored"], found["area"]) == ("warning", True, "site")
    assert found["message"] == "T: found %s; needed x" % the_node()["kernel"]


def test_the_report_has_a_column_for_them_and_junit_a_case() -> None:
    checks = [check(expect={"equals": "x"})]
    found = find(checks, the_node())
    data = report.build(["a", "b"], {"a": found, "b": []}, site_checks=_site_checks.entries(checks))
    text = "\n".join(line for line, _tone in report.lines(data))
    assert "site" in text.splitlines()[3]
    assert "SITE-001 T" in text
    xml = report.junit(data)
    assert xml.count('name="SITE-001 T"') == 2
    assert xml.count("<failure") == 1
    assert "site" not in report.build(["a"], {"a": []})["hosts"]["a"]["areas"]


# - mistakes -

WRONG: list[tuple[dict[str, Any], str, str]] = [
    (check(id="DRV-001"), "[0].id", "SITE-001"),
    (check(severity="fatal"), "[0].severity", "error, warning"),
    (check(title=""), "[0].title", "text"),
    (check(expect={"equal": 1}), "[0].expect", "one of"),
    (check(expect="full"), "[0].expect", "one of"),
    (check(expect={"min": 1, "equals": 1}), "[0].expect", "only min and max"),
    (check(expect={"min": "1"}), "[0].expect.min", "a number"),
    (check(expect={"in": "a"}), "[0].expect.in", "a list"),
    (check(expect={"version": ">=x"}), "[0].expect.version", "a range"),
    (check(expect={"version": ">=25.X"}), "[0].expect.version", "a range"),
    (check(expect={"pattern": "("}), "[0].expect.pattern", "a regular expression"),
    (check(fixx="x"), "[0].fixx", "one of"),
    ({k: v for k, v in check().items() if k != "expect"}, "[0].expect", "one of"),
    ({k: v for k, v in check().items() if k != "query"}, "[0].query", "text"),
]


@pytest.mark.parametrize(("entry", "place", "needed"), WRONG)
def test_a_wrong_shape_is_named_with_its_place(entry: dict[str, Any], place: str, needed: str) -> None:
    (problem,) = check_values({NAME: [entry]})
    assert problem.path == NAME + place
    assert needed in problem.needed


def test_ids_must_differ_and_entries_be_mappings() -> None:
    assert [p.path for p in check_values({NAME: [check(), check()]})] == [NAME + "[1].id"]
    assert check_values({NAME: ["x"]})
    assert check_values({NAME: "x"})


COLUMNS = [
    ("node.kernel[", 13, "ends too early"),
    ("node.docker.containers[?contains(name, 'x']", 43, "unexpected `]`"),
    ("node.'a", 6, "Unclosed '"),
    ("node.kernel ! ", 13, ""),
    ("node..a", 6, "unexpected `.`"),
    ("node.$x", 6, "Unknown token $"),
    ("max(node.a) == lenght(node.b)", 16, "did you mean `length`"),
    ("length(node.a, node.b)", 1, "takes 1 argument"),
    ("[nod.kernel, host.name]", 2, "did you mean `node`"),
    ("node.a[?b == 'x'] | length(@)", None, ""),
    ("node.devices[].{free: hbm_free_mb}", None, ""),
    ("sort_by(node.devices, &index)", None, ""),
    ('node.tuning.sysctl."vm.swappiness"', None, ""),
    ("node.a && !release.b || `{}`", None, ""),
]


@pytest.mark.parametrize(("expression", "column", "words"), COLUMNS)
def test_a_mistake_is_pointed_at(expression: str, column: Optional[int], words: str) -> None:
    found = _site_checks.mistakes(Host("h", {NAME: [check(expression)]}, places={NAME: "all.yml:7"}))
    if column is None:
        assert found == []
        return
    ((is_so, needed, fix),) = found
    assert "%s[0].query, column %d: " % (NAME, column) in is_so
    assert words in is_so
    assert "(all.yml:7)" in is_so
    assert "JMESPath" in needed
    shown, mark = fix.splitlines()[-2:]
    assert shown.strip() == expression.strip()
    assert mark.index("^") - (len(shown) - len(shown.lstrip())) == column - 1


def test_the_query_of_a_report_is_read_before_a_host_is_asked() -> None:
    ((is_so, _needed, _fix),) = _site_checks.mistakes(Host("h", {"fleet_query": "findings[?"}))
    assert "fleet_query, column 11" in is_so
    assert _site_checks.mistakes(Host("h", {"fleet_query": "findings[].id"})) == []


def test_without_the_library_it_is_named_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_queries, "MISSING", "No module named 'jmespath'")
    assert _site_checks.mistakes(Host("h", {})) == []
    assert find([], the_node()) == []
    ((is_so, needed, fix),) = _site_checks.mistakes(Host("h", {NAME: [check()]}))
    assert "no library jmespath" in is_so
    assert NAME in needed
    assert "pip install jmespath" in fix
    with pytest.raises(_queries.QueryError, match="pip install jmespath"):
        find([check()], the_node())


# - what is printed of a report -


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []

    class Screen:
        def display(self, text: str) -> None:
            lines.append(text)

    monkeypatch.setattr(_queries, "Display", Screen)
    return lines


def test_just_what_was_selected_is_printed(shown: list[str]) -> None:
    data = {"findings": [{"id": "DRF-001", "hosts": ["a", "b"]}], "worst": "error"}
    before = copy.deepcopy(data)
    assert _queries.show(data, "worst") == "error"
    assert _queries.show(data, "findings[].hosts[]") == ["a", "b"]
    assert shown == ["error", '[\n "a",\n "b"\n]']
    assert data == before


def test_texts_of_hosts_do_not_drive_the_terminal(shown: list[str]) -> None:
    _queries.show({"a": "x\x1b[31m"}, "a")
    assert shown == ["x\\x1b[31m"]


@pytest.mark.parametrize(("expression", "words"), [("a[", "column 3 of fleet_query"), ("sum(a)", "cannot be applied")])
def test_what_cannot_be_selected_is_an_error_in_words(shown: list[str], expression: str, words: str) -> None:
    with pytest.raises(_queries.QueryError, match=words):
        _queries.show({"a": "text"}, expression)
    assert shown == []
