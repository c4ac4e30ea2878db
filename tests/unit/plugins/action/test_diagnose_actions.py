# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundle is fetched, checked and removed from the host; the page is put together from what every host has left."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.ascend.fleet.plugins.action import diagnose_report, node_diagnose

NOW = datetime(2026, 11, 30, 14, 0, tzinfo=timezone.utc)
DATA = b"a bundle"
ON_HOST = "/var/tmp/ascend-fleet-diagnose-x/a2-1.tar.gz"
COLLECTED = {"index": {"signs": []}, "archive": ON_HOST, "sha256": hashlib.sha256(DATA).hexdigest(), "size": len(DATA)}


class Fetching(node_diagnose.ActionModule):
    """The action on a host that answers as told."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def _execute_module(self, module_name: str = "", module_args: Any = None, **_more: Any) -> dict[str, Any]:  # type: ignore[override]
        self.asked.append((module_name, module_args))
        answer = self.answers[module_name.rpartition(".")[2]]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def fetching(**changed: Any) -> Fetching:
    content = base64.b64encode(DATA).decode()
    return Fetching({"slurp": {"content": content}, "node_diagnose": {"changed": True}, **changed})


class TestFetch:
    def test_it_is_written_for_its_owner_alone(self, tmp_path: Path) -> None:
        dest = tmp_path / "reports" / "diagnose-1"
        found = fetching()._fetch(COLLECTED, str(dest), {})
        assert found == {"bundle": str(dest / "a2-1.tar.gz")}
        assert (dest / "a2-1.tar.gz").read_bytes() == DATA
        assert stat.S_IMODE((dest / "a2-1.tar.gz").stat().st_mode) == 0o600
        assert stat.S_IMODE(dest.stat().st_mode) == 0o700

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ({"content": base64.b64encode(b"another").decode()}, "found another content"),
            ({"failed": True, "msg": "file not found"}, "found no content of %s: file not found" % ON_HOST),
            ({"content": "%%%"}, "found no content"),
        ],
    )
    def test_what_is_not_the_bundle_is_not_written(self, tmp_path: Path, answer: dict[str, Any], words: str) -> None:
        found = fetching(slurp=answer)._fetch(COLLECTED, str(tmp_path), {})
        assert found["failed"]
        assert words in found["msg"]
        assert "Fix: " in found["msg"]
        assert os.listdir(tmp_path) == []

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        found = fetching()._fetch(COLLECTED, str(tmp_path / "file"), {})
        assert found["failed"]
        assert str(tmp_path / "file") in found["msg"]

    def test_it_is_removed_from_the_host(self) -> None:
        one = fetching()
        assert one._removed(ON_HOST, {}) == ""
        assert one.asked == [("ascend.fleet.node_diagnose", {"state": "absent", "path": ON_HOST})]

    @pytest.mark.parametrize("answer", [{"failed": True, "msg": "gone"}, AnsibleConnectionFailure("gone")])
    def test_where_it_cannot_be_removed_that_is_said(self, answer: Any) -> None:
        words = fetching(node_diagnose=answer)._removed(ON_HOST, {})
        assert words.startswith(ON_HOST)
        assert "gone" in words


@pytest.mark.parametrize(
    ("host", "name"), [("a2-1", "a2-1"), ("fe80::1", "fe80__1"), ("../x", "host.._x"), ("h" * 200, "h" * 100)]
)
def test_names_of_hosts_are_names_of_files(host: str, name: str) -> None:
    assert node_diagnose.safe_name(host) == name


def test_the_salt_is_the_same_for_all_hosts_of_a_run() -> None:
    assert node_diagnose.salt() == node_diagnose.salt()
    assert len(node_diagnose.salt()) == 64


def test_a_line_comes_for_every_fifth_of_the_work() -> None:
    said: list[str] = []
    teller = node_diagnose.Teller("a2-1", said.append, lambda: 0.0)
    for number in range(51):
        teller.tell({"number": number, "count": 50, "title": "source %d" % number})
    teller.tell({})
    assert said[0] == "a2-1  diagnose  0/50  source 0"
    assert [line.split()[2] for line in said] == ["0/50", "10/50", "20/50", "30/50", "40/50", "50/50"]


# - the page -


def gather(variables: dict[str, Any]) -> dict[str, Any]:
    known = {"ansible_play_hosts_all": list(variables), "hostvars": variables}
    return diagnose_report.gather(known, "found", NOW)


def test_hosts_with_and_without_a_bundle() -> None:
    index = {"facts": {"units": []}, "signs": [], "sources": []}
    well = {"index": index, "bundle": "/r/diagnose-1/a2-1.tar.gz", "size": 8, "sha256": "ab"}
    found = gather(
        {
            "a2-1": {"found": well},
            "a2-2": {"found": {"unreachable": True, "msg": "no\nroute"}},
            "a2-3": {},
            "a2-4": {"found": {"index": index, "bundle": None, "msg": "found another content"}},
            "a2-5": {"found": {"index": None, "sources": ["a", "b"]}},
        }
    )
    assert [(h["host"], h["bundle"]) for h in found["hosts"]] == [("a2-1", "a2-1.tar.gz"), ("a2-4", None)]
    assert {entry["host"]: entry["reason"] for entry in found["absent"]} == {
        "a2-2": "unreachable: no route",
        "a2-3": "it was not asked",
        "a2-4": "found another content",
        "a2-5": "in check mode nothing is collected; it has 2 sources",
    }


def test_a_host_with_broken_variables_hides_nobody() -> None:
    class Broken:
        def get(self, _name: str) -> Any:
            raise ValueError("broken\ntemplate")

    found = gather({"a2-1": Broken(), "a2-2": {"found": {"msg": "x"}}})
    assert [entry["reason"] for entry in found["absent"]] == ["its variables cannot be used: broken template", "x"]


def test_the_page_is_written_in_both_forms(tmp_path: Path) -> None:
    found = gather({"a2-1": {"found": {"unreachable": True, "msg": "gone"}}})
    done = diagnose_report.write(found, str(tmp_path / "d"))
    assert [os.path.basename(path) for path in done["files"]] == ["diagnose.md", "diagnose.json"]
    assert json.loads((tmp_path / "d" / "diagnose.json").read_text()) == found
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in done["files"]} == {0o600}


class TestBegin:
    def test_the_folder_is_made_with_the_time_in_its_name(self, tmp_path: Path) -> None:
        found = diagnose_report.begin(str(tmp_path), {}, NOW, check=False)
        assert found == {"folder": str(tmp_path / "diagnose-20261130T140000Z")}
        assert stat.S_IMODE(os.stat(found["folder"]).st_mode) == 0o700

    def test_without_a_variable_it_lies_beside_the_inventory(self, tmp_path: Path) -> None:
        inventory = tmp_path / "hosts.yml"
        inventory.write_text("all: {}")
        known = {"ansible_inventory_sources": [str(inventory)], "inventory_dir": str(tmp_path)}
        found = diagnose_report.begin("", known, NOW, check=True)
        assert found == {"folder": str(tmp_path / "reports" / "diagnose-20261130T140000Z")}
        assert not (tmp_path / "reports").exists()

    def test_without_an_inventory_file_it_says_what_to_do(self) -> None:
        found = diagnose_report.begin("", {"ansible_inventory_sources": ["a,"]}, NOW, check=False)
        assert found["failed"]
        assert "Fix: -e fleet_reports=" in found["msg"]

    def test_a_folder_that_cannot_be_made_fails_before_anything_is_collected(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        found = diagnose_report.begin(str(tmp_path / "file"), {}, NOW, check=False)
        assert found["failed"]
        assert "needed to write the diagnosis there" in found["msg"]
