# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: its arguments, what it returns, and that check mode leaves nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._node.host import Host
from ansible_collections.ascend.fleet.plugins.modules import node_diagnose


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    (tmp_path / "host").mkdir()
    monkeypatch.setattr(node_diagnose, "Host", lambda: Host(root=str(tmp_path / "host")))

    def call(**arguments: Any) -> tuple[int, dict[str, Any]]:
        given = {"folder": str(tmp_path), "name": "a2-1", **arguments}
        with patch_module_args(given), pytest.raises(SystemExit) as ended:
            node_diagnose.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return call


def test_it_writes_a_bundle_and_removes_it(run: Any, tmp_path: Path) -> None:
    status, result = run(progress=str(tmp_path / "progress"))
    assert (status, result["changed"], result["bundle"]) == (0, False, None)
    assert os.path.getsize(result["archive"]) == result["size"]
    assert json.loads((tmp_path / "progress").read_text())["title"] == "done"
    status, removed = run(state="absent", path=result["archive"])
    assert (status, removed["changed"]) == (0, True)
    assert not os.path.exists(os.path.dirname(result["archive"]))
    assert run(state="absent", path=result["archive"])[1]["changed"] is False


def test_check_mode_names_the_sources_and_leaves_nothing(run: Any, tmp_path: Path) -> None:
    status, result = run(_ansible_check_mode=True)
    assert (status, result["changed"], result["index"], result["archive"]) == (0, False, None, None)
    assert "docker/inspect.json" in result["sources"]
    assert os.listdir(tmp_path) == ["host"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "../x"}, "found the name"),
        ({"timeout": 0}, "found timeout: 0"),
        ({"size_mb": 0}, "found size_mb: 0"),
        ({"folder": "/no/such/folder"}, "found no folder /no/such/folder"),
        ({"state": "absent", "path": "/etc/passwd"}, "needed a bundle that this module has written"),
    ],
)
def test_wrong_arguments(run: Any, arguments: dict[str, Any], words: str) -> None:
    status, result = run(**arguments)
    assert status == 1
    assert words in result["msg"]


def test_every_key_that_is_returned_is_documented(run: Any) -> None:
    _status, result = run()
    documented = yaml.safe_load(node_diagnose.RETURN)
    assert set(result) - {"changed", "invocation"} == set(documented)
    sample = documented["index"]["sample"]
    assert set(result["index"]) == set(sample)
    assert set(result["index"]["facts"]) == set(sample["facts"])
    assert set(result["index"]["sources"][0]) == set(sample["sources"][0])
