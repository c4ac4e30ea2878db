# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text that HAProxy reads, and what is read out of it again."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._serving import gateway_config
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_config import Front, Places, config_text
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_plan import Pool, Server

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "gateway"
PATHS = ("/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
PLAIN = Front(paths=PATHS, max_body_mb=64, metrics_address="127.0.0.1:8405")
GUARDED = Front(
    paths=PATHS, address="192.0.2.5", queue_seconds=5, slowstart_seconds=0, tls_min_version="TLSv1.3", has_keys=True
)
ONE = [Pool("qwen3.5", 8000, (Server("a2-1", 0, "192.0.2.1", 8010, 128), Server("a3-1", 3, "a3-1.example", 8013, 128)))]
TWO = [
    Pool("large", 8001, (Server("a3-1", 0, "2001:db8::1", 8010),), 'k$e\\y"%'),
    Pool("qwen3.5", 8000, (Server("a2-1", 0, "192.0.2.1", 8010, 64, 8406),)),
]
CASES = {"plain": (ONE, PLAIN), "guarded": (TWO, GUARDED)}


@pytest.mark.parametrize("name", CASES)
def test_the_text_is_what_it_was(name):
    assert config_text(*CASES[name]) == (FIXTURES / (name + ".cfg")).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_the_pools_are_found_in_the_text_again(name):
    assert gateway_config.parse_pools(config_text(*CASES[name])) == CASES[name][0]


def test_a_text_of_somebody_else_holds_no_pools_of_ours():
    assert gateway_config.parse_pools("backend vllm-x\n    server a:0 1.2.3.4:8010\n") == []


def test_the_text_names_its_own_hash_and_every_change_another_one():
    texts = [config_text(ONE, PLAIN), config_text(TWO, PLAIN), config_text(ONE, GUARDED)]
    texts.append(config_text(ONE, PLAIN, files_hash="0" * 64))
    found = {gateway_config.running_hash(text) for text in texts}
    assert len(found) == 4
    assert "" not in found
    assert gateway_config.running_hash("somebody else's") == ""


def test_every_error_is_said_in_the_form_of_openai():
    bodies = re.findall(r"string '(\{\"error.*?\})'", config_text(TWO, GUARDED) + config_text(ONE, PLAIN))
    assert len(bodies) > 12
    for body in bodies:
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def test_a_log_line_is_json_and_names_no_secret():
    filled = re.sub(r"%(\[[^]]*\]|\{[^}]*\}?\w+|[A-Za-z]+)", "1", gateway_config._LOG)
    assert set(json.loads(filled)) >= {"client", "key", "path", "status", "server", "ms", "queued"}
    assert "authorization" not in gateway_config._LOG.lower()
    assert "%HU" not in gateway_config._LOG  # the query


def test_only_named_paths_exist_and_a_failed_connection_alone_is_tried_again():
    text = config_text(ONE, PLAIN)
    assert "acl is_known path -m str /version %s\n" % " ".join(PATHS) in text
    assert "unless is_known" in text
    assert "retry-on conn-failure\n" in text
    assert "path_beg" not in text


def test_the_replicas_key_replaces_the_clients_where_clients_have_keys():
    open_text, guarded = config_text(TWO, PLAIN), config_text(TWO, GUARDED)
    assert "set-header Authorization" not in open_text  # the client's own goes to the replica
    assert guarded.count("http-request set-header Authorization") == 1
    assert guarded.count("http-request del-header Authorization") == 1


def test_the_map_of_keys_is_read_as_it_is_written_and_as_haproxy_shows_it():
    keys = {"team-b": "ab" * 32, "team-a": "cd" * 32}
    text = gateway_config.keys_text(keys)
    wanted = {name: digest.upper() for name, digest in keys.items()}
    assert gateway_config.parse_keys(text) == wanted
    shown = "".join("0x55dc449312b0 %s\n" % line for line in text.splitlines())
    assert gateway_config.parse_keys(shown + "\n") == wanted
    assert gateway_config.parse_keys("\n") == {}


def test_the_ports_are_known_with_the_variable_that_moves_them():
    assert gateway_config.ports_of(ONE, PLAIN) == {8000: "vllm_gateway_port", 8405: "vllm_gateway_metrics_address"}


def test_the_metrics_of_every_replica_once_and_nothing_else_of_it():
    text = config_text([*ONE, Pool("former", 8001, ONE[0].servers)], PLAIN)
    names = re.findall(r"acl is_replica path -m str /replicas/(\S+)/metrics\n", text)
    assert names == ["a2-1:0", "a3-1:3"]
    assert "return status 404 unless METH_GET is_replica\n" in text
    backend = text.partition("backend replicas\n")[2].partition("\n\n")[0]
    assert [line.split()[1] for line in backend.splitlines() if line.startswith("    server ")] == names
    assert "check" not in backend
    assert "default-server weight 0 " in backend
    assert "/replicas/" not in config_text(TWO, GUARDED)


def test_the_watchdog_is_asked_where_it_has_an_agent():
    text = config_text(TWO, GUARDED)
    (line,) = [line for line in text.splitlines() if "agent" in line]
    assert line.endswith(' agent-check agent-port 8406 agent-inter 5s agent-send "8010\\n"')


@pytest.mark.skipif(shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None, reason="no haproxy on this machine")
@pytest.mark.parametrize("name", CASES)
def test_haproxy_takes_the_text(name, tmp_path):
    places = Places(str(tmp_path), str(tmp_path / "sock"), str(tmp_path / "state"))
    pools, front = CASES[name]
    (tmp_path / "keys.map").write_text(gateway_config.keys_text({"a": "ab" * 32}))
    (tmp_path / "state").write_text("")
    if front.tls_min_version:
        command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=gw -days 2 -keyout key.pem -out cert.pem"
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
        (tmp_path / "tls.pem").write_text((tmp_path / "cert.pem").read_text() + (tmp_path / "key.pem").read_text())
    (tmp_path / "haproxy.cfg").write_text(config_text(pools, front, places))
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    done = subprocess.run(
        [str(haproxy), "-c", "-f", places.config], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    # Not of these: a state file that is empty, and a name that nobody knows.
    warnings = [line for line in done.stderr.splitlines() if "[WARNING]" in line]
    assert [line for line in warnings if "state file" not in line and "resol" not in line] == []
