# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real engines behind the real gateway, replaced while a client asks: no request is lost.

`make test` restarts one of them; `make serving` changes an option of both, which takes two starts of a real engine.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.fleet_helpers import ROOT
from tests.serving_helpers import Load, addresses, folder_of

HOST = "real-1"
REPLICAS = {HOST: 2}
thorough = pytest.mark.skipif(os.environ.get("ASCEND_SERVING_EVENTS") != "all", reason="`make serving` runs it")
#: Two questions at a time, short answers: on two cores a start takes long enough as it is. The model knows nothing.
CLIENT = ("--unchecked", "--tokens", "24", "--concurrency", "2", "--pause", "1", "--timeout", "120", "--look", "2")
#: Two engines start one after the other, each in a minute or two beside the requests.
SITE_SECONDS, SETTLE_SECONDS = 1500, 120


@pytest.fixture(scope="module")
def load(request):
    inventory = request.config.getoption("ansible_inventory")
    address = addresses(folder_of(inventory))[HOST]
    found = Load(inventory, REPLICAS, (HOST,), f"http://{address}:8000/v1", CLIENT, ROOT / ".cache" / "real_engine")
    with found.under_load(SETTLE_SECONDS):
        yield found


def containers(load):
    """ID and arguments of both engines."""
    told = load.on(HOST, "docker inspect --format '{{.Id}} {{json .Args}}' vllm-qwen3.5-0 vllm-qwen3.5-1")
    return dict(line.split(" ", 1) for line in told.splitlines())


def change(load, event, *words):
    """Play something that replaces engines; no request may be lost, and one engine be out at a time."""
    with load.event(event, timeout=SETTLE_SECONDS):
        load.play(*words, timeout=SITE_SECONDS)
    row = load.row(event)
    assert row.requests > 0
    assert (row.failed, row.cut) == (0, 0), row
    assert row.lowest_in_service == 1, row


def test_an_engine_is_restarted_and_no_request_is_lost(load):
    before = containers(load)
    change(load, "replica 1 restarted", "playbooks/restart.yml", "-e", "restart_replicas=1")
    assert len(set(containers(load)) & set(before)) == 1


@thorough
def test_an_option_is_changed_and_no_request_is_lost(load):
    before = containers(load)
    changed = {"vllm_serve_options": {"max-num-seqs": 64}}
    change(load, "option changed, site.yml", "site.yml", "-e", json.dumps(changed))
    after = containers(load)
    assert len(after) == 2
    assert not set(after) & set(before)
    for arguments in after.values():
        given = json.loads(arguments)
        assert given[given.index("--max-num-seqs") + 1] == "64"
