# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller tells a gateway: hosts, and secrets that are not repeated."""

from __future__ import annotations

import hashlib

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.ascend.fleet.plugins.module_utils._npu.slots import nominal_node
from ansible_collections.ascend.fleet.plugins.module_utils._release.inventory import Host
from ansible_collections.ascend.fleet.plugins.plugin_utils import _gateway, _releases

RELEASE = _releases.by_name("qwen3_5_27b_v0", {})
KEY = "0123456789abcdef-key-a"
PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
PRIVATE = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"


def variables(**more):
    known = dict.fromkeys(("vllm_serve_%s" % n for n in _gateway._SERVING), None)
    known.update(
        vllm_serve_profile="least_privilege",
        vllm_serve_skip_unhealthy=False,
        vllm_serve_options={},
        vllm_serve_environment={},
        vllm_serve_api_key="",
        vllm_serve_release=RELEASE,
        vllm_gateway_port=8000,
        vllm_gateway_host_address="192.0.2.1",
        npu_generation="a2",
    )
    return {**known, **more}


def replica(number, port, model="qwen3.5"):
    return {"replica": number, "port": port, "served_model_name": model}


def test_of_a_host_that_nobody_has_read_the_plan_of_a_healthy_one_is_told():
    part = _gateway.part_of("a2-1", variables())
    assert not part.known
    assert [(s.name, s.address, s.port, s.maxconn) for s in part.servers] == [
        ("a2-1:0", "192.0.2.1", 8010, 128),
        ("a2-1:1", "192.0.2.1", 8011, 128),
    ]


@pytest.mark.parametrize("name", ["vllm_serve_result", "__site_state", "__vllm_gateway_replicas"])
def test_what_the_host_has_comes_before_the_plan(name):
    found = _gateway.part_of("a2-1", variables(**{name: {"replicas": [replica(1, 9001), replica(0, 9000)]}}))
    assert found.known
    assert sorted(s.port for s in found.servers) == [9000, 9001]


def test_replicas_of_another_model_and_none_at_all_say_nothing_of_this_one():
    for replicas in ([replica(0, 9000, "other")], []):
        assert not _gateway.part_of("h", variables(__vllm_gateway_replicas={"replicas": replicas})).known
    assert not _gateway.part_of("h", variables(__vllm_gateway_replicas={"unreachable": True, "msg": "x"})).known


def test_a_host_that_serves_as_planned_is_known_by_its_own_chips():
    about = {"__vllm_serve_about": {"node": nominal_node("a3")}}
    part = _gateway.part_of("h", variables(vllm_serve_first_port=8100, **about), served=True)
    assert part.known
    assert [s.port for s in part.servers] == [8100, 8101, 8102, 8103]
    assert not _gateway.part_of("h", variables(), served=True).known  # nobody has seen its chips


def test_the_watchdog_is_asked_where_it_may_take_replicas_out():
    listed = {"vllm_serve_result": {"replicas": [replica(0, 9000)]}}
    for more in ({}, listed):
        watched = _gateway.part_of("h", variables(vllm_serve_watchdog="restart", vllm_serve_watchdog_port=9406, **more))
        assert {s.agent_port for s in watched.servers} == {9406}
        seen = _gateway.part_of("h", variables(vllm_serve_watchdog="observe", vllm_serve_watchdog_port=9406, **more))
        assert {s.agent_port for s in seen.servers} == {0}


def test_gateways_ask_from_the_address_that_the_inventory_gives_them():
    hostvars = {
        "gw-1": {"ansible_host": "192.0.2.21"},
        "gw-2": {"ansible_host": "198.51.100.2", "vllm_gateway_host_address": "192.0.2.22"},
        "gw-3": {},
    }
    assert _gateway.gateway_addresses(list(hostvars), hostvars) == ["192.0.2.21", "192.0.2.22", "gw-3"]
    assert _gateway.gateway_addresses([], {}) == []


def test_a_gateway_on_the_host_itself_asks_the_loopback():
    assert {s.address for s in _gateway.part_of("h", variables(), local=True).servers} == {"127.0.0.1"}
    release = {**RELEASE, "serve": {**RELEASE["serve"], "host": "192.0.2.7"}}
    part = _gateway.part_of("h", variables(vllm_serve_release=release), local=True)
    assert {s.address for s in part.servers} == {"192.0.2.7"}


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_keys_leave_the_controller_as_hashes(tmp_path):
    path = write(tmp_path / "keys.yml", "team-a: %s\n" % KEY)
    assert _gateway.read_keys(path, DataLoader()) == {"team-a": hashlib.sha256(KEY.encode()).hexdigest()}


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("team-a: %s\n" % KEY, 0o640, "with mode 0640; needed API keys that others cannot read. Fix: chmod 600"),
        ("", 0o600, "found no keys"),
        ("- %s\n" % KEY, 0o600, "found no keys"),
        ("a: {%s\n" % KEY, 0o600, "found no keys"),
        ("team a: %s\n" % KEY, 0o600, "a name that is not made of letters"),
        ("team-a: short\n", 0o600, "a key of team-a that is not text in quotes of 16 or more characters"),
        ("team-a: 12345678901234567890\n", 0o600, "a key of team-a that is not text"),
        (f"a: {KEY}\nb: {KEY}\n", 0o600, "the same key for b and another name"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_is_named_without_its_keys(tmp_path, text, mode, words):
    with pytest.raises(_gateway.SecretError, match=words) as caught:
        _gateway.read_keys(write(tmp_path / "keys.yml", text, mode), DataLoader())
    assert KEY not in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_file_of_keys_that_is_not_there_is_named():
    with pytest.raises(_gateway.SecretError, match=r"found /no/such unreadable .No such file"):
        _gateway.read_keys("/no/such", DataLoader())


def test_certificate_and_key_are_one_text(tmp_path):
    paths = [write(tmp_path / "cert", PEM, 0o644), write(tmp_path / "key", PRIVATE, 0o640)]
    assert _gateway.read_certificate(*paths, DataLoader()) == PEM + PRIVATE
    assert _gateway.read_certificate("", "", DataLoader()) == ""


def test_a_certificate_that_cannot_be_used_is_named(tmp_path):
    cert, key = write(tmp_path / "cert", PEM, 0o644), write(tmp_path / "key", PRIVATE, 0o644)
    with pytest.raises(_gateway.SecretError, match=r"key with mode 0644; .*Fix: chmod o-rwx"):
        _gateway.read_certificate(cert, key, DataLoader())
    with pytest.raises(_gateway.SecretError, match="found no vllm_gateway_certificate_key"):
        _gateway.read_certificate(cert, "", DataLoader())
    with pytest.raises(_gateway.SecretError, match="no PEM private key"):
        _gateway.read_certificate(cert, write(tmp_path / "other", PEM), DataLoader())


def hosts(**values):
    common = {"npu_generation": "a2", "fleet_release": "r"}
    return [Host("a", {**common, **values}), Host("b", {**common, "fleet_release": "s", **values})]


def test_two_models_on_one_port_are_a_mistake_of_the_inventory_and_only_at_a_common_gateway():
    releases = {name: {"serve": {"served_model_name": "model-" + name}} for name in "rs"}
    groups = {"npu_hosts": ["a", "b"], "gateways": ["gw"]}
    [mistake] = _gateway.check_gateways(groups, hosts(), releases, DataLoader())
    assert mistake.found == "port 8000 of the gateway for the models model-r and model-s"
    assert "vllm_gateway_port" in mistake.fix
    assert _gateway.check_gateways({"npu_hosts": ["a", "b"]}, hosts(), releases, DataLoader()) == []


def test_secrets_are_checked_for_the_hosts_that_have_a_gateway(tmp_path):
    path = write(tmp_path / "keys.yml", "team-a: %s\n" % KEY, 0o644)
    key = write(tmp_path / "key", PRIVATE, 0o644)
    cert = write(tmp_path / "cert", PEM)
    values = {
        "vllm_gateway_api_keys_file": path,
        "vllm_gateway_certificate": cert,
        "vllm_gateway_certificate_key": key,
    }
    found = _gateway.check_gateways({"npu_hosts": ["a", "b"]}, hosts(**values), {}, DataLoader())
    assert [(m.hosts, m.fix) for m in found] == [
        (("a", "b"), "chmod o-rwx %s" % key),
        (("a", "b"), "chmod 600 %s" % path),
    ]
    assert _gateway.check_gateways({"npu_hosts": ["a"], "gateways": ["gw"]}, hosts(**values), {}, DataLoader()) == []
