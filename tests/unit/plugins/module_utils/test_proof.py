# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs is compared with its unit, is warm before it gets requests, and its chips were free before it began."""

from __future__ import annotations

import json

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.http_client import Answer
from ansible_collections.ascend.fleet.plugins.module_utils._npu.idle import busy_chips
from ansible_collections.ascend.fleet.plugins.module_utils._serving import proof

UNIT = {"name": "vllm-m@0.service", "config_hash": "a" * 64, "image": "sha256:1"}


def container(**more):
    labels = {"ascend.fleet.unit": "vllm-m@0.service", "ascend.fleet.config": more.pop("config", "a" * 64)}
    return {"name": "vllm-m-0", "state": "running", "image_id": "sha256:1", "labels": labels, **more}


def test_the_wanted_container_is_no_problem():
    others = [container(state="exited", config="b"), {"name": "x", "state": "running", "image_id": "", "labels": {}}]
    assert proof.container_problem(UNIT, [*others, container()], "sha256:1") is None


@pytest.mark.parametrize(
    ("containers", "image_id", "words"),
    [
        ([], "sha256:1", "found no running container"),
        ([container(state="exited")], "sha256:1", "found no running container"),
        ([container(), container(name="other")], "sha256:1", r"found 2 running containers \(vllm-m-0, other\)"),
        ([container(config="b" * 64)], "sha256:1", "of the configuration bbbbbbbbbbbb; needed aaaaaaaaaaaa"),
        ([container(config=None)], "sha256:1", "of the configuration that is not known"),
        ([container(image_id="sha256:0")], "sha256:1", "of the image sha256:0; needed sha256:1"),
        ([container()], None, "needed an image that docker has"),
    ],
)
def test_any_other_container_is_named(containers, image_id, words):
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(proof.container_problem(UNIT, containers, image_id))


def test_the_version_is_told_or_why_not():
    assert proof.version_of("http://h", lambda url, timeout: Answer(200, '{"version": "0.16.0"}')) == ("0.16.0", None)
    for answer in (Answer(404, "no"), Answer(200, "[]"), Answer(200, '{"version": ""}'), Answer(None, error="refused")):
        version, why = proof.version_of("http://h", lambda url, timeout, answer=answer: answer)
        assert version is None
        assert "found no version at http://h/version" in why


def test_a_replica_is_asked_for_single_tokens():
    asked = []

    def fetch(url, *, timeout, body, api_key):
        asked.append((url, body["max_tokens"], api_key))
        return Answer(200, json.dumps({"choices": [{"text": "a"}]}))

    seconds, why = proof.warm_up("http://h", "m", 3, timeout=5, api_key="k", fetch=fetch)
    assert why is None
    assert len(seconds) == 3
    assert asked == [("http://h/v1/completions", 1, "k")] * 3
    assert proof.warm_up("http://h", "m", 0, timeout=5, fetch=fetch) == ([], None)


def test_a_token_that_does_not_come_is_told():
    answers = iter([Answer(200, '{"choices": [{}]}'), Answer(None, error="no answer within 5 s", timed_out=True)])
    seconds, why = proof.warm_up("http://h", "m", 3, timeout=5, fetch=lambda url, **more: next(answers))
    assert len(seconds) == 1
    assert "no answer within 5 s" in why


HOLDER = {"kind": "container", "name": "other", "pid": 7, "how": "npu-smi"}
GIVEN = {"kind": "container", "name": "wide", "pid": 8, "how": "privileged"}


class TestFreeChips:
    def test_an_idle_chip_is_free(self):
        devices = [{"index": 0, "hbm_used_mb": 3000, "holders": [GIVEN]}, {"index": 1, "hbm_used_mb": 60000}]
        assert busy_chips(devices, [0]) == []
        assert busy_chips(devices, []) == []

    def test_a_chip_in_use_names_its_holder(self):
        devices = [{"index": 3, "hbm_used_mb": 60000, "holders": [HOLDER, GIVEN]}]
        assert busy_chips(devices, [3]) == ["/dev/davinci3: 60000 MB in use, held by container other (pid 7)"]
        [words] = busy_chips([{"index": 3, "hbm_used_mb": 60000, "holders": []}], [3])
        assert words.endswith("held by no visible process")

    def test_what_is_not_known_is_not_free(self):
        assert busy_chips([], [2]) == ["/dev/davinci2: npu-smi does not list it"]
        assert busy_chips([{"index": 2, "hbm_used_mb": None}], [2]) == ["/dev/davinci2: npu-smi tells no HBM in use"]
