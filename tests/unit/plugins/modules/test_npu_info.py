# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: its arguments, and that it never fails on a host's trouble."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._node import collect as _node
from ansible_collections.ascend.fleet.plugins.module_utils._node import npu_smi, software
from ansible_collections.ascend.fleet.plugins.module_utils._node.host import Host
from ansible_collections.ascend.fleet.plugins.modules import npu_info


def run(capsys, **args):
    with patch_module_args(args), pytest.raises(SystemExit) as ended:
        npu_info.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_a_machine_without_npus_is_described(capsys):
    status, result = run(capsys, gather_subset=["npu", "versions"], timeout=5, _ansible_check_mode=True)
    assert (status, result["changed"]) == (0, False)
    assert result["node"]["gathered"] == ["npu", "versions"]


def test_the_options_reach_the_reader(capsys, monkeypatch):
    seen = {}

    def collect(host, **options):
        seen.update(options, timeout=host.timeout)
        return {}

    monkeypatch.setattr(_node, "collect", collect)
    run(capsys, paths=["/data"], ports=[8010], timeout=3)
    assert seen == {"gather_subset": ["all"], "paths": ["/data"], "ports": [8010], "timeout": 3.0}


@pytest.mark.parametrize(
    ("args", "words"),
    [({"gather_subset": ["npus"]}, "known are"), ({"timeout": 0}, "more than 0"), ({"ports": ["http"]}, "ports")],
)
def test_wrong_arguments(capsys, args, words):
    status, result = run(capsys, **args)
    assert status == 1
    assert words in result["msg"]


def test_every_key_of_the_node_is_documented(tmp_path):
    documented = set(yaml.safe_load(npu_info.RETURN)["node"]["contains"])
    host = Host(root=str(tmp_path), run=lambda argv, **_more: Completed(tuple(argv), 127, "", "", False))
    assert set(_node.collect(host)) == documented


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("npu_smi", set(npu_smi.empty()["npu_smi"])),
        ("versions", set(software.empty_versions())),
        ("docker", set(software.empty_docker())),
        ("kernels", set(software.empty_kernels())),
    ],
)
def test_every_key_of_a_part_is_in_its_sample(name, keys):
    assert set(yaml.safe_load(npu_info.RETURN)["node"]["contains"][name]["sample"]) == keys


@pytest.mark.parametrize("name", ["disk", "hccn", "systemd", "memory", "shm", "tuning", "kernels"])
def test_every_key_that_is_read_is_in_the_sample(name, tmp_path):
    def run(argv, **_more):
        answers = {"df": "Filesystem Type B Used Free Cap Mounted\n/dev/sda xfs 10 4 6 40% /\n", "du": "1\t/x\n"}
        return Completed(tuple(argv), 0, answers.get(argv[0], ""), "", False)

    node = _node.collect(Host(root=str(tmp_path), run=run))
    sample = yaml.safe_load(npu_info.RETURN)["node"]["contains"][name]["sample"]
    found, shown = (v[0] if isinstance(v, list) else v for v in (node[name], sample))
    added = {"artifacts"} if name == "disk" else set()  # by the module itself
    assert set(found) | added == set(shown)


def test_what_is_complete_below_a_path_is_told(capsys, tmp_path):
    folder = tmp_path / "models" / "m" / ".git" / "ascend-fleet"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    _status, result = run(capsys, gather_subset=["disk"], paths=[str(tmp_path)], timeout=5)
    (disk,) = result["node"]["disk"]
    assert [(a["folder"], a["requests"]) for a in disk["artifacts"]] == [(str(tmp_path / "models" / "m"), [])]


def test_artifacts_that_cannot_be_read_are_a_problem_and_not_nothing(capsys, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path + "/models/m\x1b")

    monkeypatch.setattr(npu_info, "present_artifacts", refuse)
    _status, result = run(capsys, gather_subset=["disk"], paths=[str(tmp_path)], timeout=5)
    assert result["node"]["disk"][0]["artifacts"] is None
    (problem,) = [p for p in result["node"]["problems"] if p["subject"] == "artifacts"]
    assert problem["message"] == "%s/models/m\\x1b: Permission denied" % tmp_path


def test_subsets_are_documented():
    text = yaml.safe_load(npu_info.DOCUMENTATION)["options"]["gather_subset"]["description"][-1]
    assert all("C(%s)" % name in text for name in _node.SUBSETS)


def test_what_runs_for_our_units_is_read_only_where_it_is_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(npu_info.serving.Reader, "read", lambda self: {"units": None, "errors": {"units": "closed"}})
    _status, result = run(capsys, gather_subset=["serving"], timeout=5)
    assert result["node"]["serving"]["units"] is None
    assert {"subject": "units", "message": "closed"} in result["node"]["problems"]
    _status, result = run(capsys, gather_subset=["min"], timeout=5)
    assert result["node"]["serving"] is None
