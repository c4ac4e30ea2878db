# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm_argv, npu_slots, vllm_replicas and the lookup release, through Ansible's own templating."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleError
from ansible_collections.ascend.fleet.plugins.filter.npu_slots import npu_slots
from ansible_collections.ascend.fleet.plugins.filter.vllm_argv import vllm_argv
from ansible_collections.ascend.fleet.plugins.filter.vllm_replicas import vllm_replicas
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases


class Tagged(str):
    """As ansible-core tags the strings that pass through templates."""


@pytest.fixture(scope="module")
def release():
    return _releases.by_name("qwen3_5_27b_v0", {})


DEVICES = [{"npu_id": n, "chip_id": 0, "index": n, "node": "/dev/davinci%d" % n, "health": "OK"} for n in range(8)]


def test_vllm_argv(release):
    argv = vllm_argv(release["serve"], Tagged("/models/x"), port=Tagged("8011"), options={"seed": Tagged("1")})
    assert argv[:3] == ["vllm", "serve", "/models/x"]
    assert argv[argv.index("--port") + 1] == "8011"
    # A tagged str is a str too, and is what must not come out.
    assert {a.__class__ for a in argv} == {str}


@pytest.mark.parametrize("serve", [None, [], {"port": 1}])
def test_vllm_argv_needs_the_section(serve):
    with pytest.raises(AnsibleError, match="section `serve`"):
        vllm_argv(serve, "/models/x")


def test_vllm_argv_refuses_an_empty_path(release):
    with pytest.raises(AnsibleError, match="empty path to the weights"):
        vllm_argv(release["serve"], "")


def test_npu_slots():
    assert [s["indices"] for s in npu_slots(DEVICES, Tagged("4"))] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [s["port"] for s in npu_slots(DEVICES, 4, first_port="9000")] == [9000, 9001]


@pytest.mark.parametrize("devices", [None, "x", [1], [{"index": 0}]])
def test_npu_slots_needs_devices(devices):
    with pytest.raises(AnsibleError, match=r"ascend\.fleet\.npu_info"):
        npu_slots(devices, 4)


def test_npu_slots_errors_are_ansibles():
    with pytest.raises(AnsibleError, match="found 8 usable chips"):
        npu_slots(DEVICES, 16)


def test_vllm_replicas(release):
    plan = vllm_replicas({"devices": DEVICES}, release, image="a:b", weights="/models/x", api_key=Tagged("s3cr3t"))
    assert plan["secrets"] == {"VLLM_API_KEY": "s3cr3t"}
    assert "s3cr3t" not in json.dumps([plan["units"], plan["replicas"], plan["endpoints"]])
    assert plan["replicas"][1] == {
        "unit": "vllm-qwen3.5@1.service",
        "url": "http://127.0.0.1:8011",
        "served_model_name": "qwen3.5",
    }
    assert plan["endpoints"][1]["indices"] == [4, 5, 6, 7]


def test_vllm_replicas_takes_empty_for_not_set(release):
    plan = vllm_replicas(
        {"devices": DEVICES}, release, image="a:b", weights="/m", replicas="", first_port=None, data_root=""
    )
    assert len(plan["units"]) == 2


def test_vllm_replicas_errors_are_ansibles(release):
    with pytest.raises(AnsibleError, match="vllm_replicas: found no image"):
        vllm_replicas({"devices": DEVICES}, release, image="", weights="/m")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("replicas", 0),
        ("replicas", "two"),
        ("first_port", 22),
        ("api_key", "one\ntwo"),
        ("data_root", "data"),
        ("media_path", "/a:/b"),
        ("docker_options", "--ulimit"),
        ("options", ["--max-num-seqs"]),
        ("stop_seconds", 0),
        ("profile", "root"),
    ],
)
def test_vllm_replicas_refuses_what_the_validation_refuses(release, name, value):
    with pytest.raises(AnsibleError, match="vllm_serve_%s: found .*; needed " % name):
        vllm_replicas({"devices": DEVICES}, release, image="a:b", weights="/models/x", **{name: value})
