# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator accepts of a gateway: privileges, files, listeners, and what clients do and do not reach."""

from __future__ import annotations

import http.client
import json
import re
import ssl

import pytest

UNIT = "ascend-fleet-gateway.service"
FOLDER = "/etc/ascend-fleet/gateway"
CONFIG = FOLDER + "/haproxy.cfg"
#: Those that HAProxy's first process needs to read keys, open sockets and start its workers as another user.
CAPABILITIES = (0, 1, 3, 5, 6, 7, 10, 24)


def port(gateway):
    return int(gateway.variables.get("vllm_gateway_port", 8000))


def management(gateway):
    """Address and port of the metrics."""
    address, _colon, number = str(gateway.variables.get("vllm_gateway_metrics_address", "127.0.0.1:8405")).rpartition(
        ":"
    )
    return address, int(number)


def config(gateway):
    return gateway.host.check_output(f"cat {CONFIG}")


def main_pid(gateway):
    return gateway.host.check_output(f"systemctl show --property=MainPID --value {UNIT}")


def workers(gateway):
    return gateway.host.check_output(f"pgrep --parent {main_pid(gateway)}").split()


def status_of(gateway, pid):
    """The fields of /proc/PID/status."""
    lines = gateway.host.check_output(f"cat /proc/{pid}/status").splitlines()
    return {name: value.strip() for name, _colon, value in (line.partition(":") for line in lines)}


def ask(gateway, path, *, method="GET", body=None, headers=None):
    """One request from outside, to the gateway's own address."""
    address = gateway.variables.get("ansible_host", gateway.name)
    if gateway.variables.get("vllm_gateway_certificate"):
        # The certificate names the clients' address, which may be another one.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(address, port(gateway), timeout=30, context=context)
    else:
        connection = http.client.HTTPConnection(address, port(gateway), timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def on_the_host(gateway, path):
    """Status and body of a request to the management address, on the host itself."""
    address, number = management(gateway)
    host = "127.0.0.1" if address in ("*", "0.0.0.0", "") else address
    text = gateway.host.check_output(
        "curl --silent --max-time 30 --path-as-is --write-out '\\n%%{http_code}' %s", f"http://{host}:{number}{path}"
    )
    body, _newline, status = text.rpartition("\n")
    return int(status), body


def test_it_runs_and_starts_at_boot(gateway):
    service = gateway.host.service(UNIT)
    assert service.is_running
    assert service.is_enabled


def test_what_speaks_to_clients_has_no_rights(gateway):
    user = gateway.host.check_output("id -u haproxy")
    found = workers(gateway)
    assert found
    for pid in found:
        status = status_of(gateway, pid)
        assert set(status["Uid"].split()) == {user}, status["Uid"]
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"] == "1"


def test_the_first_process_may_do_no_more_than_it_needs(gateway):
    status = status_of(gateway, main_pid(gateway))
    allowed = sum(1 << number for number in CAPABILITIES)
    assert int(status["CapBnd"], 16) & ~allowed == 0, status["CapBnd"]
    assert status["NoNewPrivs"] == "1"


def test_secrets_are_for_root_alone(gateway):
    assert gateway.host.file(FOLDER).mode == 0o700
    # keepalived's holds no secret.
    assert gateway.host.check_output(f"find {FOLDER} -perm /077 -not -name keepalived.conf") == ""
    assert gateway.host.check_output(f"find {FOLDER} -not -user root") == ""
    files = gateway.host.check_output(f"find {FOLDER} -type f -printf '%f %m\\n'").splitlines()
    assert "haproxy.cfg 600" in files
    if gateway.variables.get("vllm_gateway_api_keys_file"):
        assert "keys.map 600" in files
    if gateway.variables.get("vllm_gateway_certificate"):
        assert "tls.pem 600" in files


def test_the_runtime_socket_is_for_root_alone(gateway):
    assert gateway.host.check_output("find /run/ascend-fleet-gateway -type s -perm /077") == ""
    assert gateway.host.check_output("stat --format=%a /run/ascend-fleet-gateway") == "700"


def test_no_key_is_written_in_full(gateway):
    if not gateway.variables.get("vllm_gateway_api_keys_file"):
        pytest.skip("its clients have no keys")
    lines = gateway.host.check_output(f"cat {FOLDER}/keys.map").splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[0-9A-F]{64} \S+", line)] == []


def test_it_listens_for_clients_and_for_scrapes_alone(gateway):
    lines = gateway.host.check_output("ss --listening --tcp --numeric --processes --no-header").splitlines()
    found = {line.split()[3] for line in lines if '"haproxy"' in line}
    pools = set(re.findall(r"^frontend vllm-.*\n    bind \S+:(\d+)", config(gateway), re.MULTILINE))
    assert str(port(gateway)) in pools
    address, number = management(gateway)
    assert {listener.rpartition(":")[2] for listener in found} == {*pools, str(number)}
    bound = {listener.rpartition(":")[0] for listener in found if listener.endswith(f":{number}")}
    assert bound <= ({"0.0.0.0", "*", "[::]"} if address in ("*", "0.0.0.0") else {address}), bound


def test_haproxy_itself_finds_nothing_wrong(gateway):
    assert gateway.host.run(f"haproxy -c -f {CONFIG}").rc == 0


@pytest.mark.parametrize(
    "path",
    [
        "/pause", "/resume", "/sleep", "/tokenize", "/invocations", "/metrics", "/load", "/docs", "/v1", "/v1/",
        "/v1/models/", "//v1/models", "/v1/chat/completions/render", "/v1/../pause", "/replicas/x:0/metrics",
    ],
)  # fmt: skip
def test_what_is_not_named_does_not_exist(gateway, path):
    for method in ("GET", "POST"):
        status, text = ask(gateway, path, method=method, body=b"{}" if method == "POST" else None)
        assert status == 404, (method, path, status)
        assert json.loads(text)["error"]["code"] == "not_found"


def test_without_a_key(gateway):
    if not gateway.variables.get("vllm_gateway_api_keys_file"):
        pytest.skip("its clients have no keys")
    for headers in ({}, {"Authorization": "Bearer no-such-key"}, {"X-Api-Key": "no-such-key"}):
        status, text = ask(gateway, "/v1/models", headers=headers)
        assert status == 401
        error = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == "invalid_api_key"


def test_its_health_needs_no_key(gateway):
    assert ask(gateway, "/health") == (200, '{"status":"ok"}')


def test_the_metrics_of_every_replica(gateway):
    replicas = re.findall(r"acl is_replica path -m str (\S+)", config(gateway))
    assert replicas
    for path in replicas:
        status, text = on_the_host(gateway, path)
        assert status == 200, path
        assert "vllm:num_requests_running" in text
        for other in ("pause", "v1/models", "metrics/../health"):
            assert on_the_host(gateway, path.replace("metrics", other, 1))[0] == 404, other
    status, text = on_the_host(gateway, "/metrics")
    assert status == 200
    assert "haproxy_server_status" in text
