# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm_takeover as Ansible calls it, and the filter that finds what it takes."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.filter.started_by_hand import FilterModule
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import DockerError
from ansible_collections.ascend.fleet.plugins.module_utils._serving.deployed import UnitsError
from ansible_collections.ascend.fleet.plugins.modules import vllm_takeover

CONTAINER = {"name": "qwen3.5", "id": "9f", "ports": [8010], "pids": [7]}


@pytest.fixture
def call(monkeypatch):
    """Run main() with what `take` does; returns its result, and how it was called."""

    def run(take, check=False, **arguments):
        seen = []

        class FakeTaker:
            def __init__(self, docker, waits):
                self.waits = waits

            def take(self, container, date, *, check):
                seen.append((container, date, check, self.waits))
                return take(container)

        monkeypatch.setattr(vllm_takeover, "Taker", FakeTaker)
        out = io.StringIO()
        given = patch_module_args({"containers": [CONTAINER], **arguments, "_ansible_check_mode": check})
        with given, contextlib.redirect_stdout(out), pytest.raises(SystemExit):
            vllm_takeover.main()
        return json.loads(out.getvalue()), seen

    return run


def taken(container, **changes):
    new = {"name": container["name"], "renamed_to": "qwen3.5-before-takeover-20261129", "cut": 0, "changed": True}
    return {**new, **changes}


def test_it_says_what_became_of_it_and_how_to_go_back(call):
    result, [(container, date, check, waits)] = call(taken, timeout=60, cut=True, stop_seconds=5)
    assert (container, len(date), check) == (CONTAINER, 8, False)
    assert (waits.idle, waits.cut, waits.stop) == (60, True, 5)
    assert result["changed"] is True
    assert "docker rename qwen3.5-before-takeover-20261129 qwen3.5" in result["msg"]
    assert result["diff"] == {"before": "qwen3.5\n", "after": "qwen3.5-before-takeover-20261129 (stopped)\n"}


def test_what_was_cut_off_is_a_warning(call, monkeypatch):
    said = []
    monkeypatch.setattr(vllm_takeover.AnsibleModule, "warn", lambda self, words: said.append(words))
    call(lambda container: taken(container, cut=3))
    assert said == ["3 requests of container qwen3.5 were cut off"]


def test_check_mode_is_handed_on(call):
    _result, [(_container, _date, check, _waits)] = call(taken, check=True)
    assert check is True


def test_one_that_is_gone_is_no_change(call):
    result, _seen = call(lambda container: taken(container, renamed_to=None, changed=False))
    assert (result["changed"], result["msg"]) == (False, "container qwen3.5 is not there any more")


@pytest.mark.parametrize(
    ("error", "words"),
    [(DockerError("`docker rename` ended"), "systemctl status docker"), (UnitsError("found 4"), "found 4")],
)
def test_what_fails_is_said(call, error, words):
    def fails(container):
        raise error

    result, _seen = call(fails)
    assert result["failed"] is True
    assert words in result["msg"]


def test_the_filter_compares_with_the_image_of_the_hosts_generation():
    started_by_hand = FilterModule().filters()["started_by_hand"]
    container = {
        "name": "qwen3.5", "id": "9f", "image": "t3", "image_id": "sha256:3", "state": "running", "labels": {},
        "privileged": True, "shell": True, "network_mode": "host", "restart_policy": "always",
    }  # fmt: skip
    node = {
        "devices": [],
        "docker": {"containers": [container], "images": [{"id": "sha256:3", "tags": ["t3"]}]},
    }
    release = {
        "serve": {"served_model_name": "qwen3.5"},
        "images": [{"generation": "a2", "tag": "t2"}, {"generation": "a3", "tag": "t3"}],
    }
    (found,) = started_by_hand(node, release, "a3")["containers"]
    assert (found["name"], found["comes_back"], found["engines"]) == ("qwen3.5", True, [])
    (other,) = started_by_hand(node, release, "a2")["others"]
    assert other["reasons"] == ["its image is t3 (sha256:3), the release's is t2, which is not loaded"]
