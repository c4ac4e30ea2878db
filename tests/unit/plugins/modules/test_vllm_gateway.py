# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module around the gateway's logic: arguments in, no secret out, ports that somebody else has."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._host.haproxy import Server
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_host import Present, Todo
from ansible_collections.ascend.fleet.plugins.modules import vllm_gateway

PORTS = {8000: "vllm_gateway_port"}


def listener(**more):
    entry = {"port": 8000, "address": "0.0.0.0", "pid": 7, "process": "nginx", "container": None, "unit": None}
    return {**entry, **more}


@pytest.mark.parametrize(
    ("entry", "holder"),
    [
        (listener(), r"process 7 \(nginx\)"),
        (listener(unit="nginx.service"), "systemd unit `nginx.service`"),
        (listener(container="proxy"), "container `proxy`"),
        (listener(pid=None), "an unknown process"),
        (listener(address="127.0.0.1"), r"process 7 \(nginx\)"),
    ],
)
def test_a_port_that_is_taken_is_named_with_its_holder(entry, holder):
    found = vllm_gateway.taken_port([entry], PORTS, "*")
    assert re.search("found port 8000 taken by %s; .*set another vllm_gateway_port" % holder, found)


def test_our_own_listener_other_ports_and_other_addresses_are_no_mistake():
    assert vllm_gateway.taken_port([listener(unit="ascend-fleet-gateway.service")], PORTS, "*") is None
    assert vllm_gateway.taken_port([listener(port=8010)], PORTS, "*") is None
    assert vllm_gateway.taken_port([listener(address="127.0.0.1")], PORTS, "192.0.2.1") is None
    assert vllm_gateway.taken_port([listener()], PORTS, "192.0.2.1") is not None


def test_a_difference_shows_neither_keys_nor_certificate():
    files = {"/c": 'set-header Authorization "Bearer se\\"cret"\nbind *:8000\n', "/k": "HASH name\n", "/t": "PRIVATE"}
    present = Present({"/c": None, "/k": "OLD\n", "/t": None}, "active", True, False)
    shown = vllm_gateway.diff_of(present, Todo(files, write=("/c", "/k", "/t")), ("/k", "/t"))
    assert 'Authorization "Bearer ***"\nbind *:8000' in shown[0]["after"]
    text = str(shown)
    assert "cret" not in text
    assert "HASH" not in text
    assert "PRIVATE" not in text


def test_arguments_become_what_is_wanted():
    wanted = vllm_gateway.wanted_of(
        {
            "parts": [
                {
                    "host": "a2-1",
                    "model": "m",
                    "port": 8000,
                    "known": True,
                    "servers": [{"replica": 0, "address": "a", "port": 8010, "maxconn": 128}],
                }
            ],
            "replica_keys": {"m": "k"},
            "front": {"paths": ["/v1/models"], "has_keys": True},
            "keys": {"team": "ab"},
            "certificate": "",
            "program": "p",
            "gone": ["a2-2"],
        }
    )
    assert wanted.may_be_empty
    assert wanted.parts[0].api_key == "k"
    assert wanted.front.paths == ("/v1/models",)
    assert wanted.keys == {"team": "ab"}


class Runtime:
    """A gateway with these servers."""

    def __init__(self, *servers):
        self._servers = list(servers)

    def servers(self):
        return self._servers


def test_what_somebody_keeps_out_is_told_and_what_a_change_does_is_not(tmp_path):
    def server(number, state):
        return Server("vllm-m", "a2-1:%d" % number, "192.0.2.1", 8010 + number, state, True, "UP")

    def note(owner):
        return {"by": "alice", "reason": "a fan", "since": "2026-11-24T20:00:00Z", "owner": owner}

    records = tmp_path / "drains.json"
    records.write_text(json.dumps({"vllm-m/a2-1:0": note("operator"), "vllm-m/a2-1:1": note("change")}))
    runtime = Runtime(server(0, "drain"), server(1, "drain"), server(2, "ready"), server(3, "drain"))
    assert vllm_gateway.kept_out(runtime, str(records)) == [
        "a2-1:0 is out of traffic since 2026-11-24T20:00:00Z, by alice (operator): a fan",
        "a2-1:3 is out of traffic, drained by hand",
    ]
    assert vllm_gateway.kept_out(Runtime(), str(tmp_path / "none")) == []


def test_notes_of_a_change_on_hosts_that_are_gone_are_forgotten(tmp_path):
    def note(owner):
        return {"by": "x", "reason": "", "since": "", "owner": owner}

    path = tmp_path / "drains.json"
    records = {"m/a2-1:0": note("change"), "m/a2-1:1": note("operator"), "m/a2-10:0": note("change")}
    path.write_text(json.dumps(records))
    vllm_gateway.forget_hosts(["a2-1"], str(path))
    assert set(json.loads(path.read_text())) == {"m/a2-1:1", "m/a2-10:0"}
    written = path.stat().st_mtime_ns
    vllm_gateway.forget_hosts(["a2-1"], str(path))
    assert path.stat().st_mtime_ns == written
